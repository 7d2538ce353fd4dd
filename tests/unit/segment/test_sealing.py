"""What is sealed reads back like what is not, stays readable by other programs, and goes when it is purged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from instar.core.clock import ManualClock
from instar.core.errors import StoreCorrupt
from instar.core.records import EmotionSample, Fact, Memory, Message, Profile
from instar.stores.segment import upkeep
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import Files, MemoryFiles, RealFiles
from instar.stores.segment.memtable import Row
from instar.stores.segment.parquet import decode_parquet, encode_parquet
from instar.stores.segment.rows import BlockCache, RowCache
from instar.stores.segment.schema import columns_of
from instar.stores.segment.seal import Done, InlineSealer, Job, Merge, Part, Sealer, SpawnedSealer
from instar.stores.segment.store import Delete, Put
from instar.stores.segment.upkeep import paths_of

COLLECTIONS: Mapping[str, type[msgspec.Struct]] = {"messages": Message, "profiles": Profile}
AT = datetime(2026, 5, 4, 3, 2, 1, 12345, tzinfo=UTC)


async def opened(
    files: Files,
    *,
    collections: Mapping[str, type[msgspec.Struct]] = COLLECTIONS,
    sealer: Callable[[], Sealer] = InlineSealer,
    read_only: bool = False,
    clock: ManualClock | None = None,
) -> SegmentEngine:
    return await open_engine(
        files, collections=collections, clock=clock or ManualClock(), epoch=1, sealer=sealer, read_only=read_only
    )


def message(number: int, text: str = "hello") -> Put:
    value = Message(id=f"m{number:04d}", channel="c", author="ada", text=f"{text} {number}", sent_at=AT)  # type: ignore[arg-type]
    return Put(
        collection="messages",
        key=f"c\x00\x00m{number:04d}".encode(),
        value=msgspec.msgpack.encode(value),
        subject=f"person {number % 5}",
    )


def gone(number: int) -> Delete:
    return Delete(collection="messages", key=f"c\x00\x00m{number:04d}".encode(), subject=f"person {number % 5}")


def texts(engine: SegmentEngine, **how: Any) -> list[str | None]:
    return [e.value and msgspec.msgpack.decode(e.value)["text"] for e in engine.scan("messages", **how)]


async def test_sealed_records_read_back_by_every_read_and_after_reopening(tmp_path: Path) -> None:
    files = RealFiles(tmp_path)
    engine = await opened(files, sealer=SpawnedSealer)
    await engine.commit([message(n) for n in range(50)])
    await engine.seal()
    await engine.commit([message(7, "changed"), gone(8), message(50)])
    for reopened in (False, True):
        if reopened:
            await engine.close()
            engine = await opened(files)
        assert engine.get("messages", b"c\x00\x00m0008") is None
        newest = engine.newest("messages", b"c\x00\x00m0008")
        assert newest is not None
        assert newest.value is None
        up = texts(engine)
        assert up == [f"{'changed' if n == 7 else 'hello'} {n}" for n in range(51) if n != 8]
        assert texts(engine, reverse=True) == up[::-1]
        assert texts(engine, start=b"c\x00\x00m0006", stop=b"c\x00\x00m0010") == ["hello 6", "changed 7", "hello 9"]
        assert [e.version for e in engine.changes("messages", 48, limit=9)] == [49, 50, 51, 52, 53]
        assert engine.stats().records == {"messages": 50, "profiles": 0}
    await engine.close()


@pytest.mark.parametrize("make", [MemoryFiles, None])
async def test_many_seals_are_merged_and_nothing_is_lost(
    make: type[MemoryFiles] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PARTED_MIN_BYTES", 4_000)
    files: Files = make() if make else RealFiles(tmp_path)
    engine = await opened(files)
    expected: dict[int, str] = {}
    for turn in range(14):
        numbers = range(turn * 3, turn * 3 + 12)
        await engine.commit([message(n, f"turn {turn}") for n in numbers])
        expected |= {n: f"turn {turn} {n}" for n in numbers}
        await engine.commit([gone(turn * 3)])
        del expected[turn * 3]
        await engine.seal()
        assert texts(engine) == [expected[n] for n in sorted(expected)]
    buckets = {info.path.split("/")[2] for info in engine.files("messages")}
    assert len(buckets) > 2, "large collections are parted by subject"
    assert engine.stats().records["messages"] == len(expected)
    await engine.close()
    engine = await opened(files)
    assert texts(engine) == [expected[n] for n in sorted(expected)]
    assert engine.version() == 14 * 13
    await engine.close()


async def test_a_purge_of_sealed_records_leaves_no_byte_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PARTED_MIN_BYTES", 3_000)
    engine = await opened(RealFiles(tmp_path))
    for turn in range(6):
        await engine.commit([message(turn * 10 + n, "a secret" if n == 3 else "kept") for n in range(10)])
        await engine.seal()
    await engine.commit([gone(turn * 10 + 3) for turn in range(6)])
    purged = await engine.purge([b"a secret", b"c\x00\x00m0013"])
    assert purged.found == 0
    everything = b"".join((tmp_path / path).read_bytes() for path in paths_of(RealFiles(tmp_path)))
    assert b"a secret" not in everything
    for listed in engine.files("messages"):
        assert not [row for row in decode_parquet((tmp_path / listed.path).read_bytes()) if row.key.endswith(b"3")]
    assert (await engine.purge([b"kept 11"])).found > 0, "what is still there is found"
    assert len(texts(engine, tombstones=True)) == 54
    await engine.close()
    engine = await opened(RealFiles(tmp_path))
    assert len(texts(engine, tombstones=True)) == 54
    assert engine.version() == 66
    await engine.close()


async def test_other_programs_read_the_sealed_files(tmp_path: Path) -> None:
    engine = await opened(RealFiles(tmp_path))
    await engine.commit([message(n) for n in range(20)])
    await engine.seal()
    await engine.commit([message(3, "edited")])
    await engine.seal()
    paths = [str(tmp_path / listed.path) for listed in engine.files("messages")]
    frame = pl.read_parquet(paths)
    assert frame.height == 21
    assert frame["sent_at"].to_list()[0] == AT
    newest = duckdb.sql(
        f"select text from read_parquet({paths}) qualify row_number() over (partition by _key order by _version desc) = 1"
        " and _op = 'put' order by id"
    ).fetchall()
    assert [row[0] for row in newest] == [f"{'edited' if n == 3 else 'hello'} {n}" for n in range(20)]
    schema = pq.read_schema(paths[0])
    assert schema.field("text").metadata[b"PARQUET:field_id"]
    await engine.close()


async def test_a_damaged_or_missing_row_cache_is_made_again(tmp_path: Path) -> None:
    files = RealFiles(tmp_path)
    engine = await opened(files)
    await engine.commit([message(n) for n in range(100)])
    await engine.seal()
    await engine.close()
    (cache,) = (tmp_path / "cache").iterdir()
    whole = cache.read_bytes()
    for damaged in (whole[:20] + b"\xff\xff" + whole[22:], whole[:-5], b"", None):
        cache.unlink()
        if damaged is not None:
            cache.write_bytes(damaged)
        engine = await opened(files)
        assert texts(engine) == [f"hello {n}" for n in range(100)]
        assert len(engine.changes("messages", 0, limit=1000)) == 100
        await engine.close()
        assert RowCache(memoryview(cache.read_bytes()), BlockCache(1 << 20)).rows == 100


async def test_a_damaged_segment_is_an_error_that_names_it_and_never_data(tmp_path: Path) -> None:
    engine = await opened(RealFiles(tmp_path))
    await engine.commit([message(n) for n in range(100)])
    await engine.seal()
    (listed,) = engine.files("messages")
    await engine.close()
    segment = tmp_path / listed.path
    content = bytearray(segment.read_bytes())
    content[200] ^= 1
    segment.write_bytes(content)
    for cache in (tmp_path / "cache").iterdir():
        cache.unlink()
    engine = await opened(RealFiles(tmp_path))
    with pytest.raises(StoreCorrupt, match=listed.path):
        list(engine.scan("messages"))
    await engine.close()


async def test_a_quiet_store_is_sealed_after_a_minute(tmp_path: Path) -> None:
    clock = ManualClock()
    engine = await opened(RealFiles(tmp_path), clock=clock)
    await engine.commit([message(1)])
    assert engine.files("messages") == []
    idle = engine._idle
    assert idle is not None
    while not idle.done():
        clock.advance(61)
        await engine.sync()
        await engine._worker.run(lambda: None)
    assert [listed.rows for listed in engine.files("messages")] == [1]
    assert engine.stats().log_bytes < 200
    await engine.close()


async def test_a_collection_this_version_does_not_know_is_kept(tmp_path: Path) -> None:
    engine = await opened(RealFiles(tmp_path))
    await engine.commit([message(1)])
    await engine.close()
    other: Mapping[str, type[msgspec.Struct]] = {"profiles": Profile}
    engine = await opened(RealFiles(tmp_path), collections=other)
    await engine.seal()
    await engine.purge([])
    await engine.close()
    engine = await opened(RealFiles(tmp_path))
    assert texts(engine) == ["hello 1"]
    await engine.close()


class Older(msgspec.Struct, kw_only=True):
    text: str
    mood: str = "calm"


class Newer(msgspec.Struct, kw_only=True):
    text: str
    size: int | None = None


@pytest.mark.parametrize(
    "value",
    [
        {"text": "plain"},
        {"text": "with", "size": 3, "mood": "a dropped field", "other": {"deep": [1, b"x", AT]}},
        {"text": None, "size": "not a number"},
        {"size": 1 << 63},
        {"text": "explicit", "size": None},
        {},
    ],
)
def test_every_value_comes_back_from_parquet(value: dict[str, Any]) -> None:
    columns = columns_of(Newer, {"text": 4, "mood": 9})
    assert [column.id for column in columns] == [4, 10]
    row = Row(b"k", 1, 1, "", msgspec.msgpack.encode(value))
    (back,) = decode_parquet(encode_parquet(columns, [row]))
    assert back.value is not None
    assert msgspec.msgpack.decode(back.value) == {k: v for k, v in value.items() if k != "size" or v is not None}


@pytest.mark.parametrize(
    "value",
    [
        Profile(
            person="ada",  # type: ignore[arg-type]
            preferences={"tea": "green", "": "x"},
            trust_indicators=("shares",),
            last_seen=AT,
            facts=(
                Fact(attribute="name", value="Ada", text="is Ada", learned_at=AT),
                Fact(attribute="", value="", text=""),
            ),
            emotion_samples=(EmotionSample(label="happy", confidence=1, intensity=0.25, triggers=("a", "b"), at=AT),),
        ),
        Memory(id="1", person="ada", kind="fact", text="x", vector=b"\x00\xff" * 8, pinned=True),  # type: ignore[arg-type]
        Message(id="1", channel="c", author="a", text="\x00é", attachments=("f",), selected=False),  # type: ignore[arg-type]
    ],
)
def test_records_come_back_from_parquet_as_they_were(value: msgspec.Struct) -> None:
    row = Row(b"k", 1, 1, "", msgspec.msgpack.encode(value))
    (back,) = decode_parquet(encode_parquet(columns_of(type(value), {}), [row]))
    assert back.value is not None
    assert msgspec.msgpack.decode(back.value, type=type(value)) == value
    table = pq.read_table(__import__("pyarrow").BufferReader(encode_parquet(columns_of(type(value), {}), [row])))
    assert table["_extra"].to_pylist() == [None], "every field has a column"


async def test_a_record_that_passes_to_another_person_stands_once_in_what_is_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "PARTED_MIN_BYTES", 4_000)
    engine = await opened(MemoryFiles())

    def owned(number: int, turn: int) -> Put:
        return msgspec.structs.replace(message(number, f"turn {turn}"), subject=f"person {number} {turn}")

    for turn in range(16):
        await engine.commit([owned(number, turn) for number in range(60)])
        await engine.commit([Delete(collection="messages", key=message(turn).key)])
        await engine.seal()
    assert len({info.path.split("/")[2] for info in engine.files("messages")}) > 2, "parted by subject"
    await engine.purge([])
    rows = [row for info in engine.files("messages") for row in decode_parquet(engine._state.files.read(info.path))]
    assert sorted(row.key for row in rows) == [message(number).key for number in range(60) if number != 15]
    assert texts(engine) == [f"turn 15 {number}" for number in range(60) if number != 15]
    assert engine.stats().records["messages"] == 59
    await engine.close()


async def test_each_sealed_file_is_unpacked_once_by_a_merge_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PARTED_MIN_BYTES", 4_000)
    read: list[bytes] = []

    class Counting(InlineSealer):
        def do(self, job: Job) -> Done:
            read.extend(job.inputs if isinstance(job, Merge) else [job.parquet] if isinstance(job, Part) else [])
            return super().do(job)

    engine = await opened(MemoryFiles(), sealer=Counting)
    for turn in range(2 * upkeep.UNMERGED_MAX):
        before = {info.path for info in engine.files("messages")}
        read.clear()
        await engine.commit([message(number, f"turn {turn}") for number in range(200)])
        await engine.seal()
    assert len(before) == 5 + upkeep.UNMERGED_MAX - 1, "five people in five buckets, and what is not merged"
    assert len(read) == len(set(read)) == len(before) + 1
    await engine.close()
