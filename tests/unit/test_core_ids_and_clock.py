from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.core.clock import ManualClock, SystemClock, UlidSource


def test_the_manual_clock_stands_still_until_told():
    clock = ManualClock()
    assert (clock.now(), clock.monotonic()) == (clock.now(), clock.monotonic())


def test_advancing_moves_both_times_alike():
    clock = ManualClock(datetime(2030, 5, 1, tzinfo=UTC))
    clock.advance(90.5)
    assert clock.now() == datetime(2030, 5, 1, 0, 1, 30, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 90.5


async def test_advancing_wakes_those_who_are_due_and_only_those():
    clock = ManualClock()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (10.0, 20.0, 30.0):
            group.create_task(sleeper(seconds))
        await asyncio.sleep(0)
        clock.advance(20)
        await asyncio.sleep(0)
        assert woken == [10.0, 20.0]
        clock.advance(10)
    assert woken == [10.0, 20.0, 30.0]


@pytest.mark.parametrize("seconds", [0, -1])
async def test_sleeping_for_no_time_returns(seconds):
    await asyncio.wait_for(ManualClock().sleep(seconds), timeout=5)


async def test_a_cancelled_sleeper_does_not_disturb_the_others():
    clock = ManualClock()
    cancelled = asyncio.create_task(clock.sleep(1))
    kept = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    clock.advance(1)
    await kept
    assert cancelled.cancelled()


def test_the_system_clock_is_in_utc_and_only_grows():
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_an_id_has_26_characters_of_crockfords_alphabet():
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", UlidSource(SystemClock()).new())


def test_an_id_begins_with_its_time_as_the_specification_spells_it():
    clock = ManualClock(datetime.fromtimestamp(1469918176.385, UTC))
    assert UlidSource(clock).new().startswith("01ARYZ6S41")


def test_the_same_clock_and_seed_give_the_same_ids():
    first, second = (UlidSource(ManualClock(), random.Random(7)) for _ in range(2))
    assert [first.new() for _ in range(5)] == [second.new() for _ in range(5)]


@given(st.lists(st.floats(min_value=-5, max_value=5, allow_nan=False), max_size=50))
def test_ids_sort_in_the_order_they_were_made_even_when_the_clock_jumps_back(jumps_s):
    clock = ManualClock()
    source = UlidSource(clock, random.Random(1))
    made = [source.new()]
    for jump_s in jumps_s:
        clock.advance(jump_s)
        made.append(source.new())
    assert made == sorted(set(made))


def test_ids_keep_their_order_when_one_millisecond_runs_out_of_them():
    class Highest(random.Random):
        def getrandbits(self, k):
            return (1 << k) - 1

    source = UlidSource(ManualClock(), Highest())
    first, second = source.new(), source.new()
    assert first < second
    assert len(second) == 26
