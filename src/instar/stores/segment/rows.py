"""The row cache of one segment: its rows in key order, in small blocks, for reading by key.

Parquet is for other programs; a single row out of it costs a thousand times what one here does. The rows are
not compressed, so that one is decoded without its neighbours. The cache is derived: it is never synced, and a
file that does not check is written again from the Parquet file.

    magic 8 | blocks | versions u64[n] | places u32[n] | ends u32[n] | hashes u32[n] | hashed u32[n] | slots u32[2^k+1]
    | footer | footer length u32, CRC u32, magic 8

`versions` is in rising order and `places` says which row each belongs to, so that changes can be followed.
`ends` says where in its block a row ends. `hashes` are those of the keys, in rising order, and `hashed` says
which row each belongs to; those whose first k bits are s stand from `slots[s]` to `slots[s + 1]`.
"""

from __future__ import annotations

import struct
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate

import blake3
import google_crc32c
import msgspec

from instar.stores.segment.memtable import Row

MAGIC = b"instrow2"
BLOCK_ROWS = 16
BLOCK_MAX_BYTES = 16 * 1024  # large rows stand in blocks of their own
HASH_BITS = 32  # among a million rows one absent key in 4,000 costs the decoding of a row
_head = struct.Struct(">BH")  # of a MessagePack array with a length of 16 bits
_ARRAY_16 = 0xDC
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
    slot_bits: int
    """The k of the slots."""
    crc: int
    """Of everything between the last block and the footer."""


_row_encoder = msgspec.msgpack.Encoder()
_row_decoder = msgspec.msgpack.Decoder(Row)
_rows_decoder = msgspec.msgpack.Decoder(list[Row])
_footer_decoder = msgspec.msgpack.Decoder(Footer)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """The cache of rows that are in key order."""
    assert rows, "a segment holds at least one row"
    blocks: list[Block] = []
    ends = array("I")
    body = bytearray(MAGIC)
    for first, group in _groups(rows):
        block = bytearray(_head.pack(_ARRAY_16, len(group)))
        for row in group:
            block += _row_encoder.encode(row)
            ends.append(len(block))
        blocks.append(Block(group[0].key, first, len(body), len(block), google_crc32c.value(bytes(block))))
        body += block
    versions_at = len(body)
    slot_bits, index = _index(rows, ends)
    body += index
    footer = msgspec.msgpack.encode(
        Footer(
            rows=len(rows),
            last_key=rows[-1].key,
            blocks=blocks,
            versions_at=versions_at,
            slot_bits=slot_bits,
            crc=google_crc32c.value(index),
        )
    )
    return bytes(body) + footer + _tail.pack(len(footer), google_crc32c.value(footer), MAGIC)


def _index(rows: Sequence[Row], ends: array[int]) -> tuple[int, bytes]:
    """Everything between the last block and the footer, and the bits of its slots."""
    places = sorted(range(len(rows)), key=lambda place: rows[place].version)
    of_place = [hash_of(row.key) for row in rows]
    hashed = sorted(range(len(rows)), key=of_place.__getitem__)
    slot_bits = (len(rows) - 1).bit_length()
    filled = Counter(value >> HASH_BITS - slot_bits for value in of_place)
    slots = accumulate((filled[slot] for slot in range(1 << slot_bits)), initial=0)
    parts = [
        array("Q", [rows[place].version for place in places]),
        array("I", places),
        ends,
        array("I", [of_place[place] for place in hashed]),
        array("I", hashed),
        array("I", slots),
    ]
    return slot_bits, b"".join(part.tobytes() for part in parts)


def _groups(rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
    first = size_bytes = 0
    for at, row in enumerate(rows):
        row_bytes = len(row.key) + len(row.value or b"")
        if at > first and (at - first == BLOCK_ROWS or size_bytes + row_bytes > BLOCK_MAX_BYTES):
            yield first, rows[first:at]
            first, size_bytes = at, 0
        size_bytes += row_bytes
    yield first, rows[first:]


def hash_of(key: bytes) -> int:
    """What the row caches know a key by; computed once for all segments."""
    return int.from_bytes(blake3.blake3(key).digest(HASH_BITS // 8), "little")


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
        slots = (1 << footer.slot_bits) + 1
        sizes = [8 * footer.rows, *[4 * footer.rows] * 4, 4 * slots]
        index = data[footer.versions_at : footer.versions_at + sum(sizes)]
        if google_crc32c.value(bytes(index)) != footer.crc:
            raise CacheDamaged("the index between blocks and footer does not check")
        self.rows = footer.rows
        self._blocks = footer.blocks
        self._first_keys = [block.first_key for block in footer.blocks]
        self._first_rows = [block.first_row for block in footer.blocks]
        stops = list(accumulate(sizes))
        parts = [index[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)]
        self._versions = parts[0].cast("Q")
        self._places, self._ends, self._hashes, self._hashed, self._slots = (part.cast("I") for part in parts[1:])
        self._shift = HASH_BITS - footer.slot_bits
        self._id = cache.new_reader()

    def get(self, key: bytes, hashed: int) -> Row | None:
        """The row of a key whose hash is `hashed`, a tombstone included."""
        slot = hashed >> self._shift
        for at in range(self._slots[slot], self._slots[slot + 1]):
            if self._hashes[at] == hashed:
                row = self._row(self._hashed[at])
                if row.key == key:
                    return row
        return None

    def scan(self, start: bytes, stop: bytes | None, *, reverse: bool) -> Iterator[Row]:
        """Rows with start <= key < stop, in key order."""
        return self._down(start, stop) if reverse else self._up(start, stop)

    def since(self, version: int) -> Iterator[Row]:
        """Rows with a higher version, oldest first."""
        for at in range(bisect_right(self._versions, version), self.rows):
            place = self._places[at]
            number = bisect_right(self._first_rows, place) - 1
            yield self._block(number)[place - self._first_rows[number]]

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

    def _row(self, place: int) -> Row:
        number = bisect_right(self._first_rows, place) - 1
        start = _head.size if place == self._first_rows[number] else self._ends[place - 1]
        return _row_decoder.decode(self._checked(number)[start : self._ends[place]])

    def _block(self, number: int) -> list[Row]:
        known = self._cache.get(self._id, number)
        if known is not None:
            return known
        block = self._checked(number)
        rows = _rows_decoder.decode(block)
        self._cache.put(self._id, number, rows, len(block))
        return rows

    def _checked(self, number: int) -> bytes:
        block = self._blocks[number]
        content = bytes(self._data[block.offset : block.offset + block.length])
        if google_crc32c.value(content) != block.crc:
            raise CacheDamaged(f"block {number} does not check")
        return content


def _key_of(row: Row) -> bytes:
    return row.key


def _footer_of(data: memoryview) -> Footer:
    if len(data) < _tail.size + len(MAGIC):
        raise CacheDamaged("it is too short")
    length, crc, magic = _tail.unpack_from(data, len(data) - _tail.size)
    stop = len(data) - _tail.size
    packed = bytes(data[max(0, stop - length) : stop])
    # The checksum of nothing is 0: a tail of zeros before the magic, as a torn write leaves it, must not check.
    if magic != MAGIC or not packed or google_crc32c.value(packed) != crc:
        raise CacheDamaged("its footer does not check")
    return _footer_decoder.decode(packed)
