"""One sealed segment as the owner reads it: by its row cache, which is made again when it does not check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import blake3

from instar.core.errors import StoreCorrupt
from instar.stores.segment.files import Files
from instar.stores.segment.manifest import SegmentFile
from instar.stores.segment.memtable import Row
from instar.stores.segment.rows import BlockCache, CacheDamaged, RowCache
from instar.stores.segment.seal import Made, Rebuild, Sealer


class SealedSegment:
    """Rows of one segment. Raises `StoreCorrupt` when neither the cache nor the Parquet file reads."""

    def __init__(
        self, info: SegmentFile, files: Files, blocks: BlockCache, sealer: Callable[[], Sealer], *, read_only: bool
    ) -> None:
        self.info = info
        self._files = files
        self._blocks = blocks
        self._sealer = sealer
        self._read_only = read_only
        self._cache: RowCache | None = None

    def open(self) -> None:
        """Map the cache now, so that the segment stays readable when its name is taken away."""
        self._rows()

    def get(self, key: bytes, hashed: int) -> Row | None:
        """The row of a key whose hash is `hashed`, a tombstone included."""
        cache = self._cache or self._rows()
        try:
            return cache.get(key, hashed)
        except CacheDamaged:
            self._rebuild()
            return self._rows().get(key, hashed)

    def scan(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[Row]:
        """Rows with start <= key < stop, in key order."""
        last: Row | None = None
        while True:
            try:
                for row in self._rows().scan(start, stop, reverse=reverse):
                    last = row
                    yield row
            except CacheDamaged:
                self._rebuild()
                if last is not None and reverse:
                    stop = last.key
                elif last is not None:
                    start = last.key + b"\x00"
            else:
                return

    def since(self, version: int) -> Iterator[Row]:
        """Rows with a higher version, oldest first."""
        while True:
            try:
                for row in self._rows().since(version):
                    version = row.version
                    yield row
            except CacheDamaged:
                self._rebuild()
            else:
                return

    def _rows(self) -> RowCache:
        if self._cache is None:
            try:
                self._cache = RowCache(self._files.read(self.info.cache_path), self._blocks)
            except (FileNotFoundError, CacheDamaged):
                self._rebuild()
        assert self._cache is not None, "it was read or rebuilt"
        return self._cache

    def _rebuild(self) -> None:
        """Read the Parquet file, check it against its name, and make the cache of it."""
        parquet = read_segment(self._files, self.info)
        sealer = self._sealer()
        try:
            made = sealer.do(Rebuild(parquet))
        finally:
            sealer.close()
        assert isinstance(made, Made), "a rebuild makes a segment"
        cache = made.segments[0].cache
        self._cache = RowCache(memoryview(cache), self._blocks)
        if not self._read_only:
            write_cache(self._files, self.info, cache)


def read_segment(files: Files, info: SegmentFile) -> bytes:
    """The bytes of a Parquet file. Raises `StoreCorrupt` when it is not what its name says."""
    try:
        parquet = bytes(files.read(info.path))
    except FileNotFoundError as error:
        raise _corrupt(info, "the file is not there") from error
    if blake3.blake3(parquet).hexdigest() != info.digest:
        raise _corrupt(info, "its content is not what its name says")
    return parquet


def write_cache(files: Files, info: SegmentFile, cache: bytes) -> None:
    """Keep a row cache, if the disk takes it. It is never synced; a missing or damaged one is made again."""
    with contextlib.suppress(OSError):
        files.make_directory("cache")
        with contextlib.suppress(FileNotFoundError):
            files.unlink(info.cache_path)
        file = files.create(info.cache_path)
        try:
            file.write(0, cache)
        finally:
            file.close()


def _corrupt(info: SegmentFile, why: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"the segment {info.path} with {info.rows:,} rows does not read back",
        why=why,
        next="run `instar doctor`; restore the file from a backup: a segment never changes",
    )
