"""A row cache finds each row by its key alone, follows versions, and never reads as something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.stores.segment import rows as rows_module
from instar.stores.segment.memtable import Row
from instar.stores.segment.rows import BLOCK_MAX_BYTES, BlockCache, CacheDamaged, RowCache, encode_rows, hash_of


class Watched(BlockCache):
    """Says how many blocks were unpacked whole."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.unpacked = 0

    def put(self, owner: int, number: int, rows: list[Row], size_bytes: int) -> None:
        self.unpacked += 1
        super().put(owner, number, rows, size_bytes)


def rows_of(keys: Sequence[bytes], value: bytes = b"value of ") -> list[Row]:
    ordered = sorted(set(keys))
    return [
        Row(key, 1 + (at * 7919) % 100_003, at, "", value + key if at % 5 else None) for at, key in enumerate(ordered)
    ]


@given(st.sets(st.binary(max_size=12), min_size=1, max_size=80), st.sets(st.binary(max_size=12), max_size=20))
def test_every_row_is_found_by_its_key_and_no_other_key_is(keys: set[bytes], others: set[bytes]) -> None:
    rows = rows_of(list(keys))
    cache = RowCache(memoryview(encode_rows(rows)), BlockCache(1 << 20))
    assert [cache.get(row.key, hash_of(row.key)) for row in rows] == rows
    assert [cache.get(key, hash_of(key)) for key in others - keys] == [None] * len(others - keys)
    assert list(cache.scan(b"", None, reverse=False)) == rows
    assert list(cache.since(0)) == sorted(rows, key=lambda row: row.version)


def test_keys_of_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "hash_of", lambda key: 0xFFFF0000 + key[0] % 2)
    rows = rows_of([bytes([number]) for number in range(0, 200, 2)])
    cache = RowCache(memoryview(encode_rows(rows)), BlockCache(1 << 20))
    assert [cache.get(row.key, 0xFFFF0000) for row in rows] == rows
    assert cache.get(b"\x01", 0xFFFF0000) is None
    assert cache.get(b"\x01", 0xFFFF0001) is None


def test_a_read_of_one_row_unpacks_no_other() -> None:
    rows = rows_of([b"%05d" % number for number in range(500)])
    watched = Watched()
    cache = RowCache(memoryview(encode_rows(rows)), watched)
    assert [cache.get(row.key, hash_of(row.key)) for row in rows] == rows
    assert watched.unpacked == 0
    list(cache.scan(b"00100", b"00110", reverse=False))
    assert watched.unpacked == 1


def test_rows_larger_than_a_block_stand_alone_and_read_back() -> None:
    rows = rows_of([b"a", b"b", b"c", b"d"], value=b"x" * BLOCK_MAX_BYTES)
    cache = RowCache(memoryview(encode_rows(rows)), BlockCache(1 << 20))
    assert [cache.get(row.key, hash_of(row.key)) for row in rows] == rows


def test_a_changed_byte_is_damage_or_changes_nothing_that_is_read() -> None:
    rows = rows_of([b"%03d" % number for number in range(60)])
    whole = encode_rows(rows)
    named = 0
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x40
        try:
            cache = RowCache(memoryview(changed), BlockCache(1 << 20))
            assert [cache.get(row.key, hash_of(row.key)) for row in rows] == rows
        except CacheDamaged:
            named += 1
    assert named >= len(whole) - len(rows_module.MAGIC), "every byte behind the first eight is vouched for"


def test_a_cache_whose_last_lines_were_zeroed_before_the_magic_is_damage() -> None:
    made = encode_rows(rows_of([bytes([number]) for number in range(50)]))
    torn = made[:-16] + bytes(8) + made[-8:]
    with pytest.raises(CacheDamaged):
        RowCache(memoryview(torn), BlockCache(1 << 20))
