"""What the backends above rely on, over files in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from instar.core.clock import ManualClock
from instar.core.errors import Fenced, HomeClosed, HomeReadOnly, RecordTooLarge
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import Files, MemoryFiles, RealFiles
from instar.stores.segment.store import Delete, Put


class Note(msgspec.Struct, kw_only=True):
    text: str
    author: str | None = None


COLLECTIONS: dict[str, type[msgspec.Struct]] = {"notes": Note, "marks": Note}


@pytest.fixture(params=["memory", "disk"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return MemoryFiles() if request.param == "memory" else RealFiles(tmp_path / "store")


async def opened(files: Files, *, read_only: bool = False, epoch: int = 1) -> SegmentEngine:
    return await open_engine(files, collections=COLLECTIONS, clock=ManualClock(), epoch=epoch, read_only=read_only)


def put(key: str, text: str, *, version: int | None = None, subject: str = "ada") -> Put:
    value = msgspec.msgpack.encode(Note(text=text))
    return Put(collection="notes", key=key.encode(), value=value, subject=subject, version=version)


def delete(key: str, *, version: int | None = None) -> Delete:
    return Delete(collection="notes", key=key.encode(), version=version)


def texts(engine: SegmentEngine, **how: bool) -> list[tuple[str, str | None]]:
    found = engine.scan("notes", **how)  # type: ignore[arg-type]
    return [(e.key.decode(), e.value and msgspec.msgpack.decode(e.value)["text"]) for e in found]


async def test_what_was_committed_reads_back_after_reopening(files: Files) -> None:
    engine = await opened(files)
    assert await engine.commit([put("a", "one"), put("b", "two")]) == 2
    assert await engine.commit([delete("a")]) == 3
    await engine.close()

    engine = await opened(files, epoch=2)
    assert texts(engine) == [("b", "two")]
    assert texts(engine, tombstones=True) == [("a", None), ("b", "two")]
    assert engine.get("notes", b"a") is None
    assert engine.version() == 3
    await engine.close()


async def test_a_scan_is_not_disturbed_by_commits(files: Files) -> None:
    engine = await opened(files)
    await engine.commit([put(key, key) for key in "bdfh"])
    for reverse in (False, True):
        scan = engine.scan("notes", reverse=reverse)
        first = next(scan)
        await engine.commit([put("a", "new"), put("d", "changed"), put("e", "new"), put("z", "new"), delete("f")])
        seen = [first.key, *(entry.key for entry in scan)]
        assert seen == ([b"h", b"f", b"d", b"b"] if reverse else [b"b", b"d", b"f", b"h"])
        await engine.commit([delete("a"), put("d", "d"), delete("e"), delete("z"), put("f", "f")])
    await engine.close()


async def test_changes_come_oldest_first_and_each_key_once(files: Files) -> None:
    engine = await opened(files)
    await engine.commit([put("a", "1"), put("b", "2"), put("a", "3"), delete("b"), put("c", "5")])
    assert [(e.key, e.version) for e in engine.changes("notes", 0, limit=9)] == [(b"a", 3), (b"b", 4), (b"c", 5)]
    assert [e.key for e in engine.changes("notes", 3, limit=1)] == [b"b"]
    await engine.close()


async def test_an_older_version_changes_nothing_and_later_writes_stay_above(files: Files) -> None:
    engine = await opened(files)
    await engine.commit([put("a", "new", version=10)])
    await engine.commit([put("a", "old", version=9), delete("a", version=10)])
    assert texts(engine) == [("a", "new")]
    assert await engine.commit([put("b", "later")]) == 11
    await engine.close()


async def test_a_fence_of_a_higher_epoch_refuses_later_writes_only(files: Files) -> None:
    engine = await opened(files, epoch=3)
    engine.fence(3)
    await engine.commit([put("a", "kept")])
    engine.fence(4)
    with pytest.raises(Fenced):
        await engine.commit([put("a", "late")])
    assert texts(engine) == [("a", "kept")]
    await engine.close()


async def test_a_key_or_transaction_over_its_bound_is_refused_whole(files: Files) -> None:
    engine = await opened(files)
    with pytest.raises(RecordTooLarge):
        await engine.commit([put("fine", "x"), put("k" * 2000, "x")])
    with pytest.raises(RecordTooLarge):
        await engine.commit([put("fine", "x" * (17 << 20))])
    assert texts(engine) == []
    assert engine.version() == 0
    await engine.close()


async def test_a_closed_store_and_one_opened_for_reading_refuse_writes(files: Files) -> None:
    engine = await opened(files)
    await engine.commit([put("a", "one")])
    await engine.close()
    await engine.close()
    with pytest.raises(HomeClosed):
        await engine.commit([put("b", "two")])
    reader = await opened(files, read_only=True)
    with pytest.raises(HomeReadOnly):
        await reader.commit([put("b", "two")])
    assert texts(reader) == [("a", "one")]
    await reader.close()


async def test_a_purge_leaves_no_byte_of_the_deleted(files: Files) -> None:
    engine = await opened(files)
    await engine.commit([put("a", "a secret of hers"), put("b", "kept")])
    await engine.commit([put("a", "a second secret"), delete("a")])
    purged = await engine.purge([b"secret", b"kept"])
    assert purged.found == 1
    assert purged.bytes_scanned > 0
    assert await engine.commit([put("c", "after")]) == 5
    await engine.close()

    engine = await opened(files, epoch=2)
    assert texts(engine, tombstones=True) == [("b", "kept"), ("c", "after")]
    assert engine.version() == 5
    await engine.close()
