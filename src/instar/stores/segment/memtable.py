"""What the log holds, in memory: one table per collection, ordered by key, followed by version."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

import msgspec

UNFOLLOWED_MAX = 1_024  # rows written over and over are not kept for ever
SORTED_TOGETHER = 8  # more new keys than this are sorted with the others, fewer are put in their places


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
        self._sorted_keys: list[bytes] = []
        self._new_keys: list[bytes] = []
        """Not yet in their place: many writes between two scans are sorted at once."""
        self._versions: list[tuple[int, bytes]] = []
        self._unfollowed: list[Row] = []
        """Not yet among the versions."""
        self._scans: set[Scanned] = set()

    def put(self, row: Row) -> Row | None:
        """Keep `row` as the newest of its key and return what it takes the place of."""
        key = row.key
        known = self.rows.get(key)
        if known is None:
            self._new_keys.append(key)
        if self._scans:
            self._disturb(key, known)
        self.rows[key] = row
        self._unfollowed.append(row)
        if len(self._unfollowed) > UNFOLLOWED_MAX + len(self.rows):
            self._follow()
        return known

    def restore(self, key: bytes, row: Row | None) -> None:
        """Take back a `put`: `row` is what it returned."""
        self._disturb(key, self.rows.get(key))
        if row is None:
            del self.rows[key]
            keys = self._keys
            del keys[bisect_left(keys, key)]
        else:
            self.rows[key] = row
            self._unfollowed.append(row)

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
        self._follow()
        last: Row | None = None
        for number, key in self._versions[bisect_left(self._versions, (version + 1, b"")) :]:
            row = self.rows.get(key)
            if row is not None and row.version == number and row is not last:
                last = row
                yield row

    @property
    def _keys(self) -> list[bytes]:
        """Every key, in order."""
        keys, new = self._sorted_keys, self._new_keys
        if new:
            in_order = len(new) == 1 and (not keys or keys[-1] < new[0])
            if in_order or len(new) > SORTED_TOGETHER:
                keys += new
                if not in_order:
                    keys.sort()
            else:
                for key in new:
                    insort(keys, key)
            self._new_keys = []
        return keys

    def _follow(self) -> None:
        """Bring the versions up to date; those that are no longer any row's are dropped once they are most of all."""
        if not self._unfollowed:
            return
        self._versions += [(row.version, row.key) for row in self._unfollowed]
        self._unfollowed = []
        if len(self._versions) > 2 * len(self.rows) + UNFOLLOWED_MAX:
            self._versions = [(row.version, row.key) for row in self.rows.values()]
        self._versions.sort()

    def _disturb(self, key: bytes, row: Row | None) -> None:
        for scan in self._scans:
            scan.before.setdefault(key, row)

    def _keys_up(self, start: bytes, stop: bytes | None) -> Iterator[bytes]:
        keys = self._keys
        at = bisect_left(keys, start)
        while at < len(keys):
            key = keys[at]
            if stop is not None and key >= stop:
                return
            yield key
            at = at + 1 if at < len(keys) and keys[at] == key else bisect_right(keys, key)

    def _keys_down(self, start: bytes, stop: bytes | None) -> Iterator[bytes]:
        keys = self._keys
        at = len(keys) if stop is None else bisect_left(keys, stop)
        while at > 0:
            key = keys[at - 1]
            if key < start:
                return
            yield key
            at = at - 1 if at <= len(keys) and keys[at - 1] == key else bisect_left(keys, key)
