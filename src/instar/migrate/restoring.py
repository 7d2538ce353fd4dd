"""Our own export back into a home: as it was into an empty one, beside what is there into another.

Into an empty home records keep key and version, so that exporting again gives the same bytes. A home that
holds something keeps what it has: a record whose identity is there is not written again, one whose place is
taken goes behind the last of its channel, and one that would replace something else is listed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

import msgspec

from instar.core.records import Memory, Message, Profile, Record
from instar.migrate.exporting import PortRecords, Ports, port_of
from instar.migrate.sources.field import place
from instar.migrate.sources.item import Skipped
from instar.stores.conversations.port import Cursor


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one batch; what is neither written nor skipped was there already."""

    written: int
    skipped: Sequence[Skipped] = ()


class _Sorted(msgspec.Struct, frozen=True):
    """A batch, sorted by what is there already."""

    free: list[Record[Any]]
    """Nothing is at their key."""
    displaced: list[Message]
    """New, but another message has their place."""
    skipped: list[Skipped]


class Restoring:
    """One restore under way."""

    def __init__(self, home: Ports, empty: Mapping[str, bool], *, dry_run: bool) -> None:
        self._home = home
        self._empty = empty
        self._dry_run = dry_run
        self._sort: Mapping[str, Callable[[_Sorted, Record[Any]], Awaitable[None]]] = {
            "conversations": self._sort_message,
            "profiles": self._sort_profile,
            "memories": self._sort_memory,
        }

    @classmethod
    async def into(cls, home: Ports, *, dry_run: bool) -> Self:
        """Look which stores of the home are empty."""
        ports = ("conversations", "profiles", "memories")
        empty = {port: not await port_of(home, port).scan(limit=1) for port in ports}
        return cls(home, empty, dry_run=dry_run)

    async def restore(self, batch: PortRecords) -> Restored:
        """Write a batch, or on a dry run count what would be written. Durable when it returns."""
        if self._empty[batch.port]:
            written = len(batch.records) if self._dry_run else await self._apply(batch.port, batch.records)
            return Restored(written=written)
        found = _Sorted([], [], [])
        for record in batch.records:
            await self._sort[batch.port](found, record)
        if self._dry_run:
            return Restored(written=len(found.free) + len(found.displaced), skipped=found.skipped)
        written = await self._apply(batch.port, found.free)
        appended = await self._home.conversations.append_many(found.displaced) if found.displaced else ()
        written += sum(not each.already_there for each in appended)
        return Restored(written=written, skipped=found.skipped)

    async def _apply(self, port: str, records: Sequence[Record[Any]]) -> int:
        return await port_of(self._home, port).apply(records) if records else 0

    async def _sort_message(self, found: _Sorted, record: Record[Message]) -> None:
        message = record.value
        assert message is not None, "an export holds no tombstones"
        there = await self._home.conversations.get(message.channel, message.id, variant=message.variant)
        if there is not None:
            if msgspec.structs.replace(there, position=message.position) != message:
                found.skipped.append(_kept(place(message), "another message with this id"))
        elif await self._is_taken(message):
            found.displaced.append(message)
        else:
            found.free.append(record)

    async def _is_taken(self, message: Message) -> bool:
        behind = Cursor(message.channel, message.position - 1)
        following = await self._home.conversations.page(channel=message.channel, after=behind, limit=1)
        return bool(following) and following[0].position == message.position

    async def _sort_profile(self, found: _Sorted, record: Record[Profile]) -> None:
        assert record.value is not None, "an export holds no tombstones"
        there = await self._home.profiles.load(record.value.person)
        if there is None:
            found.free.append(record)
        elif there.profile != record.value:
            found.skipped.append(_kept(f"profile {record.value.person}", "another profile of this person"))

    async def _sort_memory(self, found: _Sorted, record: Record[Memory]) -> None:
        assert record.value is not None, "an export holds no tombstones"
        there = await self._home.memories.get(record.value.id)
        if there is None:
            found.free.append(record)
        elif there != record.value:
            found.skipped.append(_kept(f"memory {record.value.id}", "another memory with this id"))


def _kept(where: str, what: str) -> Skipped:
    return Skipped(where=where, why=f"{what} is there already; that one was kept")
