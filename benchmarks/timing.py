"""How figures are taken and told: rounds in turn, medians with their spread, and one JSON line at the end."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, ParamSpec

Given = ParamSpec("Given")
Work = Callable[[], Awaitable[Sequence[float]]]
"""One round of one competitor; returns what it measured."""


class Spread(NamedTuple):
    """What many measurements come to."""

    p50: float
    p95: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        ordered = sorted(samples)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return cls(statistics.median(ordered), p95, ordered[0], ordered[-1])


class Goal(NamedTuple):
    """A figure and the bound it is held to."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def wanted(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


async def in_turn(works: Mapping[str, Work], *, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Run every work in every round, every other round backwards, and return all that was measured.

    Whatever else the machine does meanwhile meets all of them alike, so their ratios hold. The rounds of the
    warm-up count for nothing.
    """
    measured: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-warm_up, rounds):
        for name in list(works)[:: -1 if number % 2 else 1]:
            samples = await works[name]()
            if number >= 0:
                measured[name].extend(samples)
            await asyncio.sleep(0)
    return measured


def elapsed_us(work: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> float:
    """How long a blocking call takes, in microseconds."""
    started_ns = time.perf_counter_ns()
    work(*given, **named)
    return (time.perf_counter_ns() - started_ns) / 1000


async def awaited_us(work: Awaitable[object]) -> float:
    """How long something awaited takes, in microseconds."""
    started_ns = time.perf_counter_ns()
    await work
    return (time.perf_counter_ns() - started_ns) / 1000


def tell_machine() -> None:
    """Print what the figures depend on."""
    load, _, _ = os.getloadavg()
    print(
        f"{os.cpu_count()} CPUs, load {load:.1f}; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def tell(bench: str, goals: Sequence[Goal], **figures: object) -> None:
    """Print each goal, then everything as one JSON line."""
    for goal in goals:
        print(f"{goal.name}: {goal.value:.3g} (goal {goal.wanted}: {'met' if goal.met else 'not met'})")
    ratios = {goal.name: round(goal.value, 4) for goal in goals}
    wanted = {goal.name: goal.wanted for goal in goals}
    print(
        json.dumps(
            {"bench": bench, **figures, "ratios": ratios, "goals": wanted, "met": all(goal.met for goal in goals)}
        )
    )
