"""Time, randomness and new ids come in through constructors, so that tests can turn them."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """The wall-clock time, timezone-aware, in UTC. It may jump; order never depends on it."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an unnamed start."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when told: `advance(seconds)` wakes the sleepers that are due."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, wake))
        await wake

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and wake whoever waited no longer than this."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        due = [wake for at, wake in self._sleepers if at <= self._monotonic]
        self._sleepers = [(at, wake) for at, wake in self._sleepers if at > self._monotonic]
        for wake in due:
            if not wake.done():
                wake.set_result(None)


class IdSource(Protocol):
    """A source of new identifiers."""

    def new(self) -> str:
        """A text no other call of any process returned; later ids sort after earlier ones."""


class UlidSource:
    """Ids of 26 characters: 48 bits of time, 80 bits of randomness, in Crockford's base 32.

    Source of the form: https://github.com/ulid/spec. Two ids of one millisecond are kept in order by
    counting up the random part.
    """

    def __init__(self, clock: Clock, randomness: random.Random | None = None) -> None:
        self._clock = clock
        self._random = randomness or random.SystemRandom()
        self._last_ms = -1
        self._last_random = 0

    def new(self) -> str:
        now_ms = int(self._clock.now().timestamp() * 1000)
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._last_random = self._random.getrandbits(80)
        else:
            self._last_random += 1
        if self._last_random == 1 << 80:
            self._last_ms += 1
            self._last_random = self._random.getrandbits(80)
        return _base32((self._last_ms << 80) | self._last_random)


def _base32(value: int) -> str:
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
