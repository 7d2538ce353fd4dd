"""What every store offers so that its state can move: read it all, follow it, write it back, compare it.

A move copies with `scan`, follows with `changes`, writes with `apply`, compares with `digest` and ends
with `fence`. Backends need nothing more to take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from instar.core.canonical import Digest
from instar.core.records import Record

Value = TypeVar("Value")


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge did."""

    bytes_scanned: int
    found: int
    """Places where a needle still occurs; 0 proves absence."""


class Movable(Protocol[Value]):
    """The part of a store port that moves use. Each sentence below is a clause of the contract."""

    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Value]]:
        """Return at most `limit` records in key order, starting behind `after`; an empty answer is the end.

        Live records carry their value; tombstones still known to the store are included with value None.
        """

    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Value]]:
        """Return at most `limit` records whose version is above `since`, oldest version first.

        A record written twice appears once, with its newest version. Tombstones are included.
        """

    async def apply(self, records: Sequence[Record[Value]]) -> int:
        """Write records as they are, keys and versions kept, and return how many were newer than what was there.

        Durable when it returns. Applying the same records again changes nothing. A record older than the
        stored one is left out. The store's own later writes get versions above every applied one.
        """

    async def digest(self, bucket: int | None = None) -> Digest:
        """Return the digest over live records, of one bucket or of all."""

    async def version(self) -> int:
        """Return the highest version in the store; 0 when it is empty."""

    async def fence(self, epoch: int) -> None:
        """Refuse every later write through this handle with `Fenced`, if `epoch` is above the handle's own.

        Writes acknowledged before stay; reads go on.
        """


class Purgeable(Protocol):
    """What every store offers so that the forgotten is gone from the disk, not only hidden."""

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        """Take the bytes of everything tombstoned off the disk, then search all the store's bytes for `needles`.

        Searched are raw bytes and what compressed files hold once read. Durable when it returns.
        """
