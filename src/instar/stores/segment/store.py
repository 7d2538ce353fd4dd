"""One store of the embedded engine: ordered keys, versions, durable commits, readable segments.

The engine knows collections, keys and bytes; what a value means is the business of the `embedded.py` above
it. One process owns a store at a time; its async methods are called from one event loop, and blocking work
runs on the store's own thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from instar.core.records import Durability
from instar.stores.movable import Purged


class Put(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="p"):
    """Write one value."""

    collection: str
    key: bytes
    value: bytes
    """MessagePack of the collection's struct, as a map of field names."""
    subject: str = ""
    """The person this is about; erasing a person rewrites only the segments of their bucket."""
    version: int | None = None
    """None: the next one. Given by `apply`, which keeps the versions of another home."""


class Delete(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="d"):
    """Write one tombstone."""

    collection: str
    key: bytes
    subject: str = ""
    version: int | None = None


Op = Put | Delete


class Entry(msgspec.Struct, frozen=True):
    """One stored value, or a tombstone when `value` is None."""

    key: bytes
    version: int
    value: bytes | None


class Engine(Protocol):
    """What the backends above may use."""

    async def commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        """Write all ops as one transaction and return the version of the last; durable when it returns.

        With `buffered` it returns at once; power loss may take the last 50 ms or 100 records. Reads see
        the ops when this returns. Raises `Fenced`, `HomeFull`, `StorePoisoned`, `HomeReadOnly`,
        `RecordTooLarge`; then nothing of it was written.
        """

    def get(self, collection: str, key: bytes) -> Entry | None:
        """The newest live entry, or None for an absent or deleted key."""

    def newest(self, collection: str, key: bytes) -> Entry | None:
        """The newest entry, a tombstone included; None when the key was never written or is purged."""

    def scan(
        self,
        collection: str,
        *,
        start: bytes = b"",
        stop: bytes | None = None,
        reverse: bool = False,
        tombstones: bool = False,
    ) -> Iterator[Entry]:
        """Entries with start <= key < stop in key order; a commit during the iteration does not disturb it."""

    def changes(self, collection: str, since: int, *, limit: int) -> Sequence[Entry]:
        """Entries and tombstones with a version above `since`, oldest first, each key once.

        More than `limit` only where several keys share the version the answer ends with: the next call,
        since that version, would pass them over.
        """

    def version(self) -> int:
        """The highest version in the store, over all collections."""

    def fence(self, epoch: int) -> None:
        """Refuse later commits with `Fenced` if `epoch` is above this handle's."""

    async def sync(self) -> None:
        """Make every buffered commit durable."""

    async def seal(self) -> None:
        """Turn the log into segments, so that other programs can read everything acknowledged."""

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        """Rewrite what holds tombstoned bytes, drop tombstones, and search every file of the store for the needles."""

    async def close(self) -> None:
        """Make everything durable and release the files. Closing twice is harmless."""


def key_of(*parts: str) -> bytes:
    """Encode texts as one key whose byte order is the order of the tuples.

    NUL inside a part becomes 00 FF, parts are separated by 00 00 (the encoding of FoundationDB's tuples).
    """
    joined = "\x00\x00".join(parts).encode()
    if joined.count(0) == 2 * (len(parts) - 1):
        return joined
    return b"\x00\x00".join(part.encode().replace(b"\x00", b"\x00\xff") for part in parts)


def parts_of(key: bytes) -> tuple[str, ...]:
    """The texts `key_of` was given."""
    parts: list[bytes] = [b""]
    index = 0
    while index < len(key):
        if key[index] == 0:
            if key[index + 1] == 0:
                parts.append(b"")
            else:
                parts[-1] += b"\x00"
            index += 2
        else:
            stop = key.find(b"\x00", index)
            stop = len(key) if stop < 0 else stop
            parts[-1] += key[index:stop]
            index = stop
    return tuple(part.decode() for part in parts)


def prefix_range(*parts: str) -> tuple[bytes, bytes]:
    """Start and stop of all keys whose first parts are these and that have further parts."""
    prefix = key_of(*parts)
    return prefix + b"\x00\x00", prefix + b"\x00\x01"
