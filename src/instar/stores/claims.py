"""Claims: writers of different keys go side by side, writers of one key take turns.

A backend that reads before it writes claims the keys it decides on, and keeps them until its commit has
ended. So many writers share one group commit, and none decides on something another is about to change.
One event loop, one store; nothing here is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Claims:
    """Who is writing what. A claim of everything waits for all others and lets nobody in meanwhile."""

    def __init__(self) -> None:
        self._claimed: set[Hashable] = set()
        self._everything = asyncio.Lock()
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def of(self, *keys: Hashable) -> AsyncIterator[None]:
        """Wait until nobody else holds any of `keys`, then hold them."""
        wanted = frozenset(keys)
        while self._everything.locked() or not wanted.isdisjoint(self._claimed):
            await self._a_release()
        self._claimed |= wanted
        try:
            yield
        finally:
            self._claimed -= wanted
            self._wake()

    @asynccontextmanager
    async def of_everything(self) -> AsyncIterator[None]:
        """Wait until nobody holds anything, then hold all there is."""
        try:
            async with self._everything:
                while self._claimed:
                    await self._a_release()
                yield
        finally:
            self._wake()

    async def _a_release(self) -> None:
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(released)
        await released

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for released in waiting:
            if not released.done():
                released.set_result(None)
