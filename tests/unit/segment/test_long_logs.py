"""Who writes faster than the log is sealed waits; refused is only who would wait for ever."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable

import msgspec
import pytest

from instar.core.clock import ManualClock
from instar.core.errors import Fenced, HomeClosed, HomeError, HomeFull, StorePoisoned
from instar.stores.segment import engine as engine_module
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import MemoryFiles
from instar.stores.segment.seal import Done, InlineSealer, Job
from instar.stores.segment.store import Put

COUNT = 80
BOUND_BYTES = 16 * 1024


class Note(msgspec.Struct, kw_only=True):
    text: str


class Gate:
    """Makes sealers that wait until they may go on, and then seal, or fail."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.failure: Exception | None = None

    def sealer(self) -> GatedSealer:
        return GatedSealer(self)


class GatedSealer(InlineSealer):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def do(self, job: Job) -> Done:
        self._gate.open.wait()
        if self._gate.failure is not None:
            raise self._gate.failure
        return super().do(job)


def put(number: int) -> Put:
    value = msgspec.msgpack.encode(Note(text=f"{number}" * 400))
    return Put(collection="notes", key=f"{number:04d}".encode(), value=value)


async def opened(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> SegmentEngine:
    monkeypatch.setattr(engine_module, "WAL_SEGMENT_BYTES", BOUND_BYTES // 4)
    monkeypatch.setattr(engine_module, "WAL_UNSEALED_MAX_BYTES", BOUND_BYTES)
    return await open_engine(
        MemoryFiles(), collections={"notes": Note}, clock=ManualClock(), epoch=1, sealer=gate.sealer
    )


async def write_all(engine: SegmentEngine, acknowledged: list[int]) -> None:
    for number in range(COUNT):
        await engine.commit([put(number)])
        acknowledged.append(number)


async def stuck(writers: Callable[[], object]) -> None:
    """Return when many turns of the loop have changed nothing."""
    seen: object = None
    while seen != (seen := writers()):
        for _ in range(200):
            await asyncio.sleep(0)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def held(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> tuple[SegmentEngine, list[int], asyncio.Task[None]]:
    """A store whose sealing does not get on, what was written, and who waits to write more."""
    engine = await opened(gate, monkeypatch)
    acknowledged: list[int] = []
    writer = asyncio.create_task(write_all(engine, acknowledged))
    await stuck(lambda: len(acknowledged))
    return engine, acknowledged, writer


Held = tuple[SegmentEngine, list[int], asyncio.Task[None]]


async def test_a_writer_waits_for_the_sealing_that_fell_behind_and_loses_nothing(gate: Gate, held: Held) -> None:
    engine, acknowledged, writer = held
    assert not writer.done(), "refused, though nothing failed"
    assert 0 < len(acknowledged) < COUNT
    assert BOUND_BYTES <= engine.stats().log_bytes < BOUND_BYTES + 4096, "the log stays within its bound"
    assert engine.get("notes", b"0000") is not None, "reads go on"
    gate.open.set()
    await writer
    assert acknowledged == list(range(COUNT))
    assert len(list(engine.scan("notes"))) == COUNT
    assert engine.stats().log_bytes < BOUND_BYTES + 4096
    await engine.close()


async def test_those_who_wait_go_on_in_the_order_in_which_they_came(gate: Gate, held: Held) -> None:
    engine, _, writer = held
    order: list[int] = []

    async def write(number: int) -> None:
        await engine.commit([put(number)])
        order.append(number)

    waiting = [asyncio.create_task(write(1000 + number)) for number in range(5)]
    await stuck(lambda: len(order))
    assert order == []
    waiting[2].cancel()
    gate.open.set()
    await asyncio.wait(waiting)
    await writer
    assert order == [1000, 1001, 1003, 1004]
    assert waiting[2].cancelled()
    assert engine.get("notes", b"1002") is None, "who gave up has written nothing"
    await engine.close()


async def test_a_sealing_that_fails_refuses_in_its_own_words_and_the_next_try_may_succeed(
    gate: Gate, held: Held
) -> None:
    engine, acknowledged, writer = held
    gate.failure = HomeError("the sealer is on strike", why="it has its reasons", next="ask it")
    gate.open.set()
    with pytest.raises(HomeFull, match="the sealer is on strike"):
        await writer
    with pytest.raises(HomeFull, match="the sealer is on strike"):
        await engine.commit([put(5000)])
    assert engine.get("notes", b"5000") is None
    assert engine.get("notes", put(acknowledged[-1]).key) is not None
    gate.failure = None
    await engine.commit([put(5000)])
    assert len(list(engine.scan("notes"))) == len(acknowledged) + 1
    await engine.close()


async def test_a_failing_disk_under_the_sealing_poisons_those_who_wait(gate: Gate, held: Held) -> None:
    engine, _, writer = held
    gate.failure = OSError(errno.EIO, "Input/output error")
    gate.open.set()
    with pytest.raises(StorePoisoned):
        await writer
    await engine.close()


async def test_a_fault_in_the_sealer_reaches_those_who_wait(gate: Gate, held: Held) -> None:
    engine, _, writer = held
    gate.failure = ArithmeticError("a fault")
    gate.open.set()
    with pytest.raises(ArithmeticError, match="a fault"):
        await writer
    gate.failure = None
    await engine.close()


async def test_those_who_wait_are_told_that_another_owner_took_over(gate: Gate, held: Held) -> None:
    engine, _, writer = held
    engine.fence(9)
    gate.open.set()
    with pytest.raises(Fenced):
        await writer
    await engine.close()


async def test_those_who_wait_are_told_that_the_home_was_closed(gate: Gate, held: Held) -> None:
    engine, acknowledged, writer = held
    closing = asyncio.create_task(engine.close())
    await stuck(lambda: len(acknowledged))
    gate.open.set()
    await closing
    with pytest.raises(HomeClosed):
        await writer
