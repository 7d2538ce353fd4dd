"""Forgetting a person: out of every store, proved by a search of the bytes, with a receipt that names nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import blake3
import msgspec

from instar.core.clock import Clock, IdSource
from instar.core.errors import PersonUnknown
from instar.core.ids import PersonId
from instar.core.limits import PAGE_MAX_MESSAGES
from instar.core.records import Memory, MemoryKind, Message, MessageRef, Scope
from instar.stores import format as formats
from instar.stores.conversations.port import Cursor
from instar.stores.examination import RECEIPTS, discard_set_aside, with_checksum
from instar.stores.format import sync_directory

NEEDLES_MAX = 256  # texts of the forgotten that a receipt's byte search looks for
NEEDLE_MIN_BYTES = 16  # shorter texts ("yes") stand in other people's messages too
EVERY_KIND: tuple[MemoryKind, ...] = ("fact", "note", "block", "episode")

Place = tuple[str, str, int]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of an erasure. Holds nothing of the person: `person_hash` is keyed with the home's own key."""

    receipt_id: str
    records: dict[str, int]
    verified_absent: bool
    bytes_scanned: int
    needles: int
    """How many of the erased texts the byte search looked for."""
    forgotten_at: datetime | None
    person_hash: str
    dry_run: bool = False


class Erasure:
    """Erases people from the stores of one home. `path` is its directory, None for a home in memory."""

    def __init__(
        self, ports: Mapping[str, Any], path: Path | None, *, forget_key: bytes, clock: Clock, ids: IdSource
    ) -> None:
        self._ports = ports
        self._path = path
        self._forget_key = forget_key
        self._clock = clock
        self._ids = ids
        self.undisturbed = asyncio.Lock()
        """Held while somebody is forgotten; a backup holds it too, so that it never copies half of an erasure."""

    async def forget(self, person: PersonId, *, dry_run: bool = False) -> Receipt:
        """Erase a person, prove it, and keep the receipt; with `dry_run` only count. Raises `PersonUnknown`."""
        async with self.undisturbed:
            messages = await self._going_with(person)
            memories = await self._memory_texts_of(person)
            profile = await self._ports["profiles"].load(person)
            if not messages and not memories and profile is None:
                raise PersonUnknown(
                    f"nobody called {person!r} is known here",
                    why="no message, memory or profile has that person",
                    next="`instar people` lists everyone",
                )
            counts = {"conversations": len(messages), "profiles": int(profile is not None), "memories": len(memories)}
            if dry_run:
                return self._receipt(person, counts, verified=False, scanned=0, needles=0, dry_run=True)
            return await self._erase(person, [message.text for message in messages] + memories)

    async def _erase(self, person: PersonId, texts: Sequence[str]) -> Receipt:
        erased = await self._ports["conversations"].erase_person(person)
        derived = await self._ports["memories"].forget_message(erased.messages)
        counts = {
            "conversations": len(erased.messages),
            "memories": derived + await self._ports["memories"].erase_person(person),
            "profiles": int(await self._ports["profiles"].delete(person)),
            "workflows": await self._ports["workflows"].erase_person(person),
        }
        if self._path is not None:
            discard_set_aside(self._path)
        needles = await self._only_theirs(_candidates(texts))
        purged = [await self._ports[name].purge(needles) for name in self._ports]
        receipt = self._receipt(
            person,
            counts,
            verified=sum(each.found for each in purged) == 0,
            scanned=sum(each.bytes_scanned for each in purged),
            needles=len(needles),
        )
        self._keep(receipt)
        return receipt

    def _receipt(
        self,
        person: PersonId,
        records: dict[str, int],
        *,
        verified: bool,
        scanned: int,
        needles: int,
        dry_run: bool = False,
    ) -> Receipt:
        return Receipt(
            receipt_id=self._ids.new(),
            records=records,
            verified_absent=verified,
            bytes_scanned=scanned,
            needles=needles,
            forgotten_at=None if dry_run else self._clock.now(),
            person_hash=blake3.blake3(person.encode(), key=self._forget_key).hexdigest(16),
            dry_run=dry_run,
        )

    def _keep(self, receipt: Receipt) -> None:
        if self._path is None:
            return
        directory = self._path / RECEIPTS
        directory.mkdir(exist_ok=True)
        sync_directory(self._path)
        formats.write_durably(directory / f"{receipt.receipt_id}.json", with_checksum(msgspec.json.encode(receipt)))

    async def _only_theirs(self, candidates: Sequence[str]) -> list[bytes]:
        """The candidates that no live record still holds: what others said in the same words is theirs to keep."""
        left = list(candidates)
        async for texts in self._living_texts():
            joined = "\n".join(texts)
            left = [text for text in left if text not in joined]
        return [text.encode() for text in left[:NEEDLES_MAX]]

    async def _living_texts(self) -> AsyncIterator[list[str]]:
        async for messages in self._pages(None):
            yield [text for message in messages for text in (message.text, message.text_original or "")]
        async for memories in self._memory_pages(None):
            yield [memory.text for memory in memories]

    async def _going_with(self, person: PersonId) -> list[Message]:
        """Every message that goes: theirs, the replies to them, and replies that rest on one that goes."""
        gone = {_place(message): message async for page in self._pages(person) for message in page}
        replies = [message async for page in self._pages(None) for message in page if message.role == "agent"]
        resting: list[Message] | None = None
        while resting is None or resting:
            refs = {(channel, message_id) for channel, message_id, _ in gone}
            resting = [each for each in replies if _place(each) not in gone and _rests_on(each) & refs]
            gone |= {_place(message): message for message in resting}
        return list(gone.values())

    async def _memory_texts_of(self, person: PersonId) -> list[str]:
        return [memory.text async for page in self._memory_pages(Scope(person)) for memory in page]

    async def _pages(self, person: PersonId | None) -> AsyncIterator[Sequence[Message]]:
        after: Cursor | None = None
        while page := await self._ports["conversations"].page(person=person, after=after, limit=PAGE_MAX_MESSAGES):
            yield page
            after = Cursor(page[-1].channel, page[-1].position)

    async def _memory_pages(self, scope: Scope | None) -> AsyncIterator[Sequence[Memory]]:
        after = None
        while page := await self._ports["memories"].listing(
            scope, kinds=EVERY_KIND, after=after, limit=PAGE_MAX_MESSAGES
        ):
            yield page
            after = page[-1].id


def _place(message: Message) -> Place:
    return message.channel, message.id, message.variant


def _rests_on(reply: Message) -> set[tuple[str, str]]:
    answered = [MessageRef(reply.channel, reply.reply_to)] if reply.reply_to else []
    return {(each.channel, each.id) for each in (*answered, *reply.citations)}


def _candidates(texts: Sequence[str]) -> list[str]:
    """The longest distinct texts, twice `NEEDLES_MAX` at most: what the byte search may look for."""
    distinct = {text for text in texts if len(text.encode()) >= NEEDLE_MIN_BYTES}
    return sorted(distinct, key=lambda text: (-len(text), text))[: 2 * NEEDLES_MAX]
