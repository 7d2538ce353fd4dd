"""The row cache of one segment: its rows in key order, in small compressed blocks, for reading by key.

Parquet is for other programs; a single row out of it costs a hundred times what a block here does. The
cache is derived: it is never synced, and a file that does not check is written again from the Parquet file.

    magic 8 | blocks | versions u64[n] | places u32[n] | bloom filter | footer | footer length u32, CRC u32, magic 8

`versions` is in rising order and `places` says which row each belongs to, so that changes can be followed.
"""

from __future__ import annotations

import struct
import threading
import zlib
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import blake3
import google_crc32c
import msgspec

from instar.stores.segment.memtable import Row

MAGIC = b"instrow1"
BLOCK_ROWS = 16
BLOCK_MAX_BYTES = 16 * 1024  # large rows stand in blocks of their own
BLOOM_BITS_PER_ROW = 10  # with 4 probes about one absent key in 85 costs a block
BLOOM_PROBES = 4
_tail = struct.Struct("<II8s")


class CacheDamaged(Exception):
    """The bytes do not check. Never leaves this folder: the cache is made again."""


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one block stands."""

    first_key: bytes
    first_row: int
    offset: int
    length: int
    crc: int


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """The index of a row cache."""

    rows: int
    last_key: bytes
    blocks: list[Block]
    versions_at: int
    bloom_at: int
    bloom_bits: int
    crc: int
    """Of everything between the last block and the footer."""


_rows_encoder = msgspec.msgpack.Encoder()
_rows_decoder = msgspec.msgpack.Decoder(list[Row])
_footer_decoder = msgspec.msgpack.Decoder(Footer)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """The cache of rows that are in key order."""
    assert rows, "a segment holds at least one row"
    blocks: list[Block] = []
    body = bytearray(MAGIC)
    for first, group in _groups(rows):
        packed = zlib.compress(_rows_encoder.encode(group), 1)
        blocks.append(Block(group[0].key, first, len(body), len(packed), google_crc32c.value(packed)))
        body += packed
    versions_at = len(body)
    places = sorted(range(len(rows)), key=lambda place: rows[place].version)
    body += struct.pack(f"<{len(rows)}Q", *(rows[place].version for place in places))
    body += struct.pack(f"<{len(rows)}I", *places)
    bloom_at = len(body)
    bloom = _bloom([row.key for row in rows])
    body += bloom
    footer = msgspec.msgpack.encode(
        Footer(
            rows=len(rows),
            last_key=rows[-1].key,
            blocks=blocks,
            versions_at=versions_at,
            bloom_at=bloom_at,
            bloom_bits=len(bloom) * 8,
            crc=google_crc32c.value(bytes(body[versions_at:])),
        )
    )
    return bytes(body) + footer + _tail.pack(len(footer), google_crc32c.value(footer), MAGIC)


def _groups(rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
    first = size_bytes = 0
    for at, row in enumerate(rows):
        row_bytes = len(row.key) + len(row.value or b"")
        if at > first and (at - first == BLOCK_ROWS or size_bytes + row_bytes > BLOCK_MAX_BYTES):
            yield first, rows[first:at]
            first, size_bytes = at, 0
        size_bytes += row_bytes
    yield first, rows[first:]


def _bloom(keys: Sequence[bytes]) -> bytes:
    bits = max(64, len(keys) * BLOOM_BITS_PER_ROW + 7 & ~7)
    bloom = bytearray(bits // 8)
    for key in keys:
        for bit in probes(hash_of(key), bits):
            bloom[bit >> 3] |= 1 << (bit & 7)
    return bytes(bloom)


def hash_of(key: bytes) -> int:
    """What the bloom filters know a key by; computed once for all segments."""
    return int.from_bytes(blake3.blake3(key).digest(16), "little")


def probes(hashed: int, bits: int) -> Iterator[int]:
    """The bits of a key. Kirsch, Mitzenmacher 2006: two hashes are enough for any number of probes."""
    low, high = hashed & 0xFFFFFFFFFFFFFFFF, hashed >> 64
    return ((low + probe * high) % bits for probe in range(BLOOM_PROBES))


class BlockCache:
    """Decoded blocks of all segments of a store, the longest unused dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._readers = 0
        self._lock = threading.Lock()  # a purge reads beside the event loop
        self._blocks: OrderedDict[tuple[int, int], tuple[list[Row], int]] = OrderedDict()

    def new_reader(self) -> int:
        """A number for one segment's reader; never given twice, as an `id` would be."""
        self._readers += 1
        return self._readers

    def get(self, owner: int, number: int) -> list[Row] | None:
        """The block, if it is here."""
        with self._lock:
            found = self._blocks.get((owner, number))
            if found is None:
                return None
            self._blocks.move_to_end((owner, number))
            return found[0]

    def put(self, owner: int, number: int, rows: list[Row], size_bytes: int) -> None:
        """Keep a block; `size_bytes` is what it has unpacked."""
        with self._lock:
            replaced = self._blocks.pop((owner, number), None)
            self._blocks[owner, number] = (rows, size_bytes)
            self._bytes += size_bytes - (replaced[1] if replaced else 0)
            while self._bytes > self._max_bytes and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything, for what is erased must not be found here either."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0


class RowCache:
    """Reads one row cache. Raises `CacheDamaged` when bytes do not check."""

    def __init__(self, data: memoryview, cache: BlockCache) -> None:
        self._data = data
        self._cache = cache
        self._footer = _footer_of(data)
        footer = self._footer
        end = footer.bloom_at + footer.bloom_bits // 8
        if google_crc32c.value(bytes(data[footer.versions_at : end])) != footer.crc:
            raise CacheDamaged("the index between blocks and footer does not check")
        self.rows = footer.rows
        self._first_keys = [block.first_key for block in footer.blocks]
        self._first_rows = [block.first_row for block in footer.blocks]
        places_at = footer.versions_at + 8 * footer.rows
        self._versions = data[footer.versions_at : places_at].cast("Q")
        self._places = data[places_at : footer.bloom_at].cast("I")
        self._bloom = data[footer.bloom_at : end]
        self._id = cache.new_reader()

    def may_hold(self, hashed: int) -> bool:
        """False when the key of this hash is certainly not here."""
        return all(self._bloom[bit >> 3] >> (bit & 7) & 1 for bit in probes(hashed, self._footer.bloom_bits))

    def get(self, key: bytes) -> Row | None:
        """The row of a key, a tombstone included."""
        number = bisect_right(self._first_keys, key) - 1
        if number < 0 or key > self._footer.last_key:
            return None
        rows = self._block(number)
        at = bisect_left(rows, key, key=_key_of)
        return rows[at] if at < len(rows) and rows[at].key == key else None

    def scan(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[Row]:
        """Rows with start <= key < stop, in key order."""
        return self._down(start, stop) if reverse else self._up(start, stop)

    def since(self, version: int) -> Iterator[Row]:
        """Rows with a higher version, oldest first."""
        for at in range(bisect_right(self._versions, version), self.rows):
            place = self._places[at]
            number = bisect_right(self._first_rows, place) - 1
            yield self._block(number)[place - self._first_rows[number]]

    def count(self, needles: Sequence[bytes]) -> tuple[int, int]:
        """How many bytes the blocks have unpacked, and how often a needle is in them."""
        scanned = found = 0
        for number in range(len(self._first_keys)):
            plain = self._plain(number)
            scanned += len(plain)
            found += sum(plain.count(needle) for needle in needles)
        return scanned, found

    def _up(self, start: bytes, stop: bytes | None) -> Iterator[Row]:
        first = max(0, bisect_right(self._first_keys, start) - 1)
        for number in range(first, len(self._first_keys)):
            if stop is not None and self._first_keys[number] >= stop:
                return
            rows = self._block(number)
            for row in rows[bisect_left(rows, start, key=_key_of) :]:
                if stop is not None and row.key >= stop:
                    return
                yield row

    def _down(self, start: bytes, stop: bytes | None) -> Iterator[Row]:
        last = len(self._first_keys) if stop is None else bisect_left(self._first_keys, stop)
        for number in range(last - 1, -1, -1):
            rows = self._block(number)
            end = len(rows) if stop is None else bisect_left(rows, stop, key=_key_of)
            for row in reversed(rows[:end]):
                if row.key < start:
                    return
                yield row

    def _block(self, number: int) -> list[Row]:
        known = self._cache.get(self._id, number)
        if known is not None:
            return known
        plain = self._plain(number)
        rows = _rows_decoder.decode(plain)
        self._cache.put(self._id, number, rows, len(plain))
        return rows

    def _plain(self, number: int) -> bytes:
        block = self._footer.blocks[number]
        packed = bytes(self._data[block.offset : block.offset + block.length])
        if google_crc32c.value(packed) != block.crc:
            raise CacheDamaged(f"block {number} does not check")
        return zlib.decompress(packed)


def _key_of(row: Row) -> bytes:
    return row.key


def _footer_of(data: memoryview) -> Footer:
    if len(data) < _tail.size + len(MAGIC):
        raise CacheDamaged("it is too short")
    length, crc, magic = _tail.unpack_from(data, len(data) - _tail.size)
    stop = len(data) - _tail.size
    packed = bytes(data[max(0, stop - length) : stop])
    if magic != MAGIC or google_crc32c.value(packed) != crc:
        raise CacheDamaged("its footer does not check")
    return _footer_decoder.decode(packed)
