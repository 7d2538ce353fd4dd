"""One collection: what the log holds, what is being sealed, and the segments, read as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby

from instar.stores.segment.memtable import Row, Table
from instar.stores.segment.rows import hash_of
from instar.stores.segment.sealed import SealedSegment


class Collection:
    """Rows by key; of each key the newest. Used from the engine's event loop only."""

    def __init__(self) -> None:
        self.table = Table()
        self.frozen: Table | None = None
        self.segments: Sequence[SealedSegment] = ()
        """Newest first; those that are `merged` come last and share no key."""

    def newest(self, key: bytes) -> Row | None:
        """The newest row of a key, a tombstone included."""
        row = self.table.rows.get(key)
        if row is None and self.frozen is not None:
            row = self.frozen.rows.get(key)
        if row is None and self.segments:
            row = self.sealed(key)
        return row

    def sealed(self, key: bytes) -> Row | None:
        """The newest row of a key in the segments."""
        hashed = hash_of(key)
        return next((row for segment in self.segments if (row := segment.get(key, hashed)) is not None), None)

    def scan(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[Row]:
        """The newest row of every key with start <= key < stop, in key order, as it is now."""
        tables = [table for table in (self.table, self.frozen) if table is not None and table.rows]
        held: list[Table | SealedSegment] = [*tables, *self.segments]
        sources = [source.scan(start, stop, reverse=reverse) for source in held]
        if len(sources) < 2:
            return sources[0] if sources else iter(())
        if reverse:
            ordered = merge(*sources, key=lambda row: (row.key, row.version), reverse=True)
        else:
            ordered = merge(*sources, key=lambda row: (row.key, -row.version))
        return (next(rows) for _, rows in groupby(ordered, key=lambda row: row.key))

    def since(self, version: int) -> Iterator[Row]:
        """Rows with a higher version, oldest first, each key once."""
        tables = [table for table in (self.frozen, self.table) if table is not None]
        held: list[Table | SealedSegment] = [*self.segments, *tables]
        sources = [source.since(version) for source in held]
        if len(sources) == 1:
            return sources[0]
        ordered = merge(*sources, key=lambda row: row.version)
        return (row for row in ordered if self._is_newest(row))

    def freeze(self) -> None:
        """Set the table aside for sealing; what is written from now on goes into a new one."""
        assert self.frozen is None, "one sealing at a time"
        self.frozen, self.table = self.table, Table()

    def overlay(self) -> set[bytes]:
        """Every key that stands outside the merged segments."""
        tables = [table for table in (self.table, self.frozen) if table is not None]
        keys = {key for table in tables for key in table.rows}
        for segment in self.segments:
            if not segment.info.merged:
                keys.update(row.key for row in segment.scan(b"", None, reverse=False))
        return keys

    def live(self) -> int:
        """How many keys have a value now."""
        merged = [segment for segment in self.segments if segment.info.merged]
        count = sum(segment.info.rows - segment.info.tombstones for segment in merged)
        for key in self.overlay():
            count += _is_live(self.newest(key))
            if merged:
                hashed = hash_of(key)
                count -= any(_is_live(segment.get(key, hashed)) for segment in merged)
        return count

    def _is_newest(self, row: Row) -> bool:
        newest = self.newest(row.key)
        return newest is not None and newest.version == row.version


def _is_live(row: Row | None) -> bool:
    return row is not None and row.value is not None
