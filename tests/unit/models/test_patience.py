from __future__ import annotations

import asyncio

import pytest

from instar.core.clock import ManualClock
from instar.models.patience import Patience


async def _settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def _wait_for(patience, event):
    async with patience.waiting():
        await event.wait()


async def test_silence_up_to_the_bound_is_borne_and_at_the_bound_is_not():
    clock = ManualClock()
    waiting = asyncio.create_task(_wait_for(Patience(10, clock=clock), asyncio.Event()))
    await _settle()
    clock.advance(9.9)
    await _settle()
    assert not waiting.done()
    clock.advance(0.1)
    with pytest.raises(TimeoutError):
        await waiting


async def test_two_waits_share_the_bound_until_something_is_heard():
    clock = ManualClock()
    patience = Patience(10, clock=clock)
    clock.advance(6)
    first = asyncio.create_task(_wait_for(patience, asyncio.Event()))
    await _settle()
    clock.advance(4)
    with pytest.raises(TimeoutError):
        await first
    patience.heard()
    second = asyncio.create_task(_wait_for(patience, event := asyncio.Event()))
    await _settle()
    clock.advance(9)
    event.set()
    await second


async def test_someone_elses_cancellation_stays_a_cancellation():
    clock = ManualClock()
    waiting = asyncio.create_task(_wait_for(Patience(10, clock=clock), asyncio.Event()))
    await _settle()
    clock.advance(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_error_inside_passes_and_nothing_is_left_running():
    before = asyncio.all_tasks()
    with pytest.raises(ValueError, match="x"):
        async with Patience(10, clock=ManualClock()).waiting():
            raise ValueError("x")
    await _settle()
    assert asyncio.all_tasks() == before
