"""How long to wait for someone who says nothing: a bound on silence, on the clock that was handed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from instar.core.clock import Clock


class Patience:
    """Interrupts waiting when nothing was heard for `silence_max_s`.

    Several waits in a row share the bound until something is `heard`. The algorithm is that of
    `asyncio.timeout`, on our clock: the waiting task is cancelled, and the cancellation turned into
    `TimeoutError` unless someone else cancelled it too.
    """

    def __init__(self, silence_max_s: float, *, clock: Clock) -> None:
        self._clock = clock
        self._silence_max_s = silence_max_s
        self.heard()

    def heard(self) -> None:
        """Begin to count anew. Call it after the consumer had its turn: its time is not the other side's silence."""
        self._expires_at = self._clock.monotonic() + self._silence_max_s

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None, None]:
        """Raise `TimeoutError` out of this block once the bound has passed."""
        waiter = asyncio.current_task()
        assert waiter is not None, "only a task can wait"
        cancelled_before = waiter.cancelling()
        lost = False

        async def watch() -> None:
            nonlocal lost
            await self._clock.sleep(self._expires_at - self._clock.monotonic())
            lost = True
            waiter.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if lost and waiter.uncancel() <= cancelled_before:
                raise TimeoutError from None
            raise
        finally:
            watcher.cancel()
