"""What the log holds, in memory: one table per collection, ordered by key, followed by version."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence

import msgspec


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One written key with its newest value; None is a tombstone."""

    key: bytes
    version: int
    seq: int
    subject: str
    value: bytes | None


class Scanned:
    """A running scan of a table: what the rows it has yet to reach were when it began."""

    __slots__ = ("__weakref__", "before")

    def __init__(self) -> None:
        self.before: dict[bytes, Row | None] = {}


class Table:
    """The rows of one collection. Changed by the engine's event loop only."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self._keys: list[bytes] = []
        self._versions: list[tuple[int, bytes]] = []
        self._versions_sorted = True
        self._scans: set[Scanned] = set()

    def put(self, row: Row) -> Row | None:
        """Keep `row` as the newest of its key and return what it takes the place of."""
        known = self.rows.get(row.key)
        if known is None:
            self._insert_key(row.key)
        self._disturb(row.key, known)
        self.rows[row.key] = row
        self._follow(row)
        return known

    def restore(self, key: bytes, row: Row | None) -> None:
        """Take back a `put`: `row` is what it returned."""
        self._disturb(key, self.rows.get(key))
        if row is None:
            del self.rows[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            self.rows[key] = row
        self._versions_sorted = False

    def scan(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[Row]:
        """Rows with start <= key < stop as they are now, whatever is written during the iteration."""
        scan = Scanned()
        self._scans.add(scan)
        try:
            keys = self._keys_down(start, stop) if reverse else self._keys_up(start, stop)
            for key in keys:
                row = scan.before[key] if key in scan.before else self.rows[key]
                if row is not None:
                    yield row
        finally:
            self._scans.discard(scan)

    def since(self, version: int) -> Iterator[Row]:
        """Rows with a higher version, oldest first."""
        if not self._versions_sorted or len(self._versions) > 2 * len(self.rows) + 64:
            self._versions = sorted((row.version, row.key) for row in self.rows.values())
            self._versions_sorted = True
        for number, key in self._versions[bisect_left(self._versions, (version + 1, b"")) :]:
            row = self.rows.get(key)
            if row is not None and row.version == number:
                yield row

    def keys(self) -> Sequence[bytes]:
        """Every key, in order."""
        return self._keys

    def _insert_key(self, key: bytes) -> None:
        if self._keys and key < self._keys[-1]:
            insort(self._keys, key)
        else:
            self._keys.append(key)

    def _follow(self, row: Row) -> None:
        if self._versions and row.version <= self._versions[-1][0]:
            self._versions_sorted = False
        self._versions.append((row.version, row.key))

    def _disturb(self, key: bytes, row: Row | None) -> None:
        for scan in self._scans:
            scan.before.setdefault(key, row)

    def _keys_up(self, start: bytes, stop: bytes | None) -> Iterator[bytes]:
        at = bisect_left(self._keys, start)
        while at < len(self._keys):
            key = self._keys[at]
            if stop is not None and key >= stop:
                return
            yield key
            at = at + 1 if at < len(self._keys) and self._keys[at] == key else bisect_right(self._keys, key)

    def _keys_down(self, start: bytes, stop: bytes | None) -> Iterator[bytes]:
        at = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        while at > 0:
            key = self._keys[at - 1]
            if key < start:
                return
            yield key
            at = at - 1 if at <= len(self._keys) and self._keys[at - 1] == key else bisect_left(self._keys, key)
