"""A damaged store becomes one that opens; everything that still checks is kept, and what is lost is said."""

from __future__ import annotations

import random

import msgspec
import pytest

from instar.core.clock import ManualClock
from instar.core.errors import StoreCorrupt
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.repair import Repaired, repair_store
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Put
from instar.testing.simulated_files import SimulatedFiles


class Note(msgspec.Struct, kw_only=True):
    text: str


async def opened(disk: SimulatedFiles) -> SegmentEngine:
    return await open_engine(
        disk, collections={"notes": Note}, clock=ManualClock(), epoch=1, sealer=InlineSealer, inline=True
    )


def put(key: str) -> Put:
    return Put(collection="notes", key=key.encode(), value=msgspec.msgpack.encode(Note(text=key * 20)))


def repaired(disk: SimulatedFiles) -> Repaired:
    found = repair_store(disk, collections={"notes": Note}, epoch=2, randomness=random.Random(2), sealer=InlineSealer)
    disk.crash()
    return found


async def keys(disk: SimulatedFiles) -> list[str]:
    engine = await open_engine(
        disk, collections={"notes": Note}, clock=ManualClock(), epoch=3, sealer=InlineSealer, inline=True
    )
    found = [entry.key.decode() for entry in engine.scan("notes")]
    await engine.commit([put("zz")])
    await engine.seal()
    await engine.purge([])
    assert disk.list("damaged") == [], "a purge takes the damaged copies away too"
    await engine.close()
    return found


@pytest.fixture
def disk() -> SimulatedFiles:
    return SimulatedFiles(random.Random(5))


async def test_a_damaged_frame_costs_that_frame_only(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    for key in "abcde":
        await engine.commit([put(key)])
    await engine.close()
    path = f"wal/{disk.list('wal')[0]}"
    disk.damage(path, bytes(disk.read(path)).index(b"bbbb"))
    with pytest.raises(StoreCorrupt):
        await opened(disk)
    found = repaired(disk)
    assert found.frames_kept == 4
    assert [sentence.partition(": ")[2] for sentence in found.lost] == ["frames 2 to 2 are lost"]
    assert disk.list("damaged")
    assert await keys(disk) == ["a", "c", "d", "e"]


async def test_a_damaged_segment_is_made_again_from_its_row_cache(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a"), put("b")])
    await engine.seal()
    await engine.commit([put("c")])
    (listed,) = engine.files("notes")
    assert await engine.verify() == []
    disk.damage(listed.path, 50)
    assert len(await engine.verify()) == 1
    await engine.close()
    found = repaired(disk)
    assert found.rows_lost == 0
    assert "made again" in found.lost[0]
    assert await keys(disk) == ["a", "b", "c"]


async def test_a_segment_without_any_good_copy_is_given_up_and_counted(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a"), put("b")])
    await engine.seal()
    await engine.commit([put("c")])
    (listed,) = engine.files("notes")
    await engine.close()
    disk.damage(listed.path, 50)
    disk.unlink(f"cache/{disk.list('cache')[0]}")
    found = repaired(disk)
    assert found.rows_lost == 2
    assert await keys(disk) == ["c"]


async def test_a_healthy_store_is_left_as_it_is(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a")])
    await engine.seal()
    await engine.close()
    before = {name: bytes(disk.read(f"manifest/{name}")) for name in disk.list("manifest")}
    assert repaired(disk) == Repaired(frames_kept=0, rows_lost=0, lost=[])
    assert {name: bytes(disk.read(f"manifest/{name}")) for name in disk.list("manifest")} == before
    assert await keys(disk) == ["a"]
