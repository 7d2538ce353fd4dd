"""A turn in progress and everyone who listens to it: the same message delivered three times is one turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from instar.agent.reply import ReplyDelta, TurnEvent
from instar.core.records import Message


class Running:
    """Runs a turn in a task of its own, keeps its events, and hands them to each listener from the first on.

    When the last listener leaves, `stopping` is set: the turn ends its reply where it stands.
    """

    def __init__(self, message: Message, turn: Callable[[Running], Coroutine[Any, Any, None]]) -> None:
        self.message = message
        self.stopping = asyncio.Event()
        self._events: list[TurnEvent] = []
        self._shown = 0
        self._listeners = 0
        self._news = asyncio.Event()
        self._task = asyncio.create_task(turn(self))
        self._task.add_done_callback(lambda _: self._tell())

    def publish(self, event: TurnEvent) -> None:
        """Hand an event to every listener."""
        self._events.append(event)
        self._tell()

    def shown_text(self) -> str:
        """The part of the reply that a person has seen."""
        return "".join(event.text for event in self._events[: self._shown] if isinstance(event, ReplyDelta))

    async def listen(self, *, shows: bool) -> AsyncGenerator[TurnEvent, None]:
        """Yield the turn's events; raise what it raised. `shows` tells that a person sees each as it comes."""
        self._listeners += 1
        try:
            heard = 0
            while heard < len(self._events) or not self._task.done():
                news = self._news
                while heard < len(self._events):
                    heard += 1
                    if shows:
                        self._shown = max(self._shown, heard)
                    yield self._events[heard - 1]
                if not self._task.done():
                    await news.wait()
            self._task.result()
        finally:
            self._listeners -= 1
            if self._listeners == 0 and not self._task.done():
                await self.stop()

    async def stop(self) -> None:
        """End the reply where it stands and wait until the turn is done."""
        self.stopping.set()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the turn is done, whatever came of it."""
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
