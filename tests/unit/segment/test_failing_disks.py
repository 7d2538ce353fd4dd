"""Full disks, failing disks, damaged bytes: what is refused, what goes on, and what is said."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable

import msgspec
import pytest

from instar.core.clock import ManualClock
from instar.core.errors import HomeFull, StoreCorrupt, StorePoisoned
from instar.core.limits import BUFFERED_LOSS_WINDOW_RECORDS
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Delete, Put
from instar.testing.simulated_files import SimulatedFiles


class Note(msgspec.Struct, kw_only=True):
    text: str


async def opened(disk: SimulatedFiles, *, clock: ManualClock | None = None, read_only: bool = False) -> SegmentEngine:
    return await open_engine(
        disk,
        collections={"notes": Note},
        clock=clock or ManualClock(),
        epoch=1,
        sealer=InlineSealer,
        inline=True,
        read_only=read_only,
    )


def put(key: str, text: str = "x") -> Put:
    return Put(collection="notes", key=key.encode(), value=msgspec.msgpack.encode(Note(text=text)))


def keys(engine: SegmentEngine) -> list[str]:
    return [entry.key.decode() for entry in engine.scan("notes")]


def failing(call: str, prefix: str, number: int = errno.EIO) -> Callable[[str, str], int | None]:
    return lambda name, path: number if name == call and path.startswith(prefix) else None


@pytest.fixture
def disk() -> SimulatedFiles:
    return SimulatedFiles(random.Random(3))


@pytest.mark.parametrize("call", ["sync", "write"])
async def test_a_failed_write_or_sync_refuses_every_later_write_and_no_read(disk: SimulatedFiles, call: str) -> None:
    engine = await opened(disk)
    await engine.commit([put("a")])
    disk.fail = failing(call, "wal/")
    with pytest.raises(StorePoisoned):
        await engine.commit([put("b")])
    disk.fail = lambda _call, _path: None
    with pytest.raises(StorePoisoned):
        await engine.commit([put("c")])
    assert keys(engine) == ["a"], "what was not acknowledged is not shown"
    await engine.close()
    engine = await opened(disk)
    await engine.commit([put("d")])
    assert {"a", "d"} <= set(keys(engine))
    await engine.close()


async def test_a_full_disk_refuses_and_half_writes_nothing(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a")])
    disk.capacity_bytes = disk.used_bytes()
    outcomes = await asyncio.gather(
        *(engine.commit([put(f"b{n}", "x" * 40_000)]) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, HomeFull) for outcome in outcomes)
    assert keys(engine) == ["a"]
    assert engine.version() == 1
    await engine.commit([put("small")])
    disk.capacity_bytes = None
    await engine.commit([put("c", "x" * 40_000)])
    await engine.close()
    disk.crash()
    assert keys(await opened(disk)) == ["a", "c", "small"]


async def test_on_a_full_disk_forgetting_still_works(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a", "a secret"), put("b", "y" * 60_000)])
    disk.capacity_bytes = disk.used_bytes()
    with pytest.raises(HomeFull):
        await engine.commit([put("c", "x" * 90_000)])
    await engine.commit([Delete(collection="notes", key=b"a"), put("mark", "z" * 30_000)])
    purged = await engine.purge([b"a secret"])
    assert purged.found == 0
    assert keys(engine) == ["b", "mark"]
    await engine.close()


async def test_buffered_writes_lost_on_a_full_disk_are_reported_once(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a")])
    disk.capacity_bytes = disk.used_bytes()
    await engine.commit([put("b", "x" * 90_000)], durability="buffered")
    with pytest.raises(HomeFull, match="buffered"):
        await engine.sync()
    await engine.sync()
    assert keys(engine) == ["a"]
    await engine.close()


async def test_a_buffered_write_is_on_the_disk_after_50_ms_or_100_records(disk: SimulatedFiles) -> None:
    clock = ManualClock()
    engine = await opened(disk, clock=clock)
    await engine.commit([put("a")], durability="buffered")
    assert keys(engine) == ["a"]
    while not clock._sleepers:  # noqa: ASYNC110 - the timer's task has yet to begin
        await asyncio.sleep(0)
    syncs: list[str] = []
    disk.fail = lambda call, path: syncs.append(path) if call == "sync" else None  # type: ignore[func-returns-value]
    clock.advance(0.051)
    while not syncs:  # noqa: ASYNC110 - all work is on this loop; nothing waits
        await asyncio.sleep(0)
    syncs.clear()
    for number in range(BUFFERED_LOSS_WINDOW_RECORDS):
        await engine.commit([put(f"b{number}")], durability="buffered")
    while not syncs:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await engine.close()


async def damaged(disk: SimulatedFiles) -> None:
    """Three commits, then one bit of the first turned over."""
    engine = await opened(disk)
    for key in "abc":
        await engine.commit([put(key, key * 30)])
    await engine.close()
    (log,) = disk.list("wal")
    data = bytes(disk.read(f"wal/{log}"))
    disk.damage(f"wal/{log}", data.index(b"bbbbbb"))


async def test_damage_to_what_was_durable_is_named_and_not_guessed(disk: SimulatedFiles) -> None:
    await damaged(disk)
    with pytest.raises(StoreCorrupt, match=r"wal/.*bytes \d+ to \d+"):
        await opened(disk)
    reader = await opened(disk, read_only=True)
    assert keys(reader) == ["a"]
    assert len(reader.damage) == 1
    await reader.close()


async def test_a_missing_log_or_segment_is_damage(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a")])
    await engine.seal()
    await engine.commit([put("b")])
    await engine.close()
    (log,) = disk.list("wal")
    disk.unlink(f"wal/{log}")
    with pytest.raises(StoreCorrupt, match="not there"):
        await opened(disk)
    reader = await opened(disk, read_only=True)
    assert keys(reader) == ["a"]
    await reader.close()


async def test_a_damaged_manifest_is_an_error_when_the_older_one_needs_a_log_that_is_gone(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    for key in "ab":
        await engine.commit([put(key)])
        await engine.seal()
    await engine.close()
    newest = disk.list("manifest")[-1]
    disk.damage(f"manifest/{newest}", 10)
    with pytest.raises(StoreCorrupt):
        await opened(disk)
    reader = await opened(disk, read_only=True)
    assert len(reader.damage) == 2
    await reader.close()


async def test_a_failed_sealing_loses_nothing_and_can_be_done_again(disk: SimulatedFiles) -> None:
    engine = await opened(disk)
    await engine.commit([put("a"), put("b")])
    disk.fail = failing("create", "seg/", errno.ENOSPC)
    with pytest.raises(HomeFull):
        await engine.seal()
    await engine.commit([put("b", "newer"), put("c")])
    assert keys(engine) == ["a", "b", "c"]
    disk.fail = lambda _call, _path: None
    await engine.seal()
    await engine.seal()
    assert [listed.rows for listed in engine.files("notes")] == [2, 2]
    await engine.close()
    disk.crash()
    assert keys(await opened(disk)) == ["a", "b", "c"]
