"""Chat turns in progress. A turn runs on its own, so closing or reloading the page does not end it.

Whoever asks for a running turn by its message id gets all its events from the first on; the same message
sent twice at once is therefore one turn. Stopping a turn cancels the agent's stream, which keeps what was
shown as the reply.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from functools import partial
from typing import TypeVar

import msgspec

from instar.agent.reply import Recalled, Replied, Reply, TurnEvent
from instar.channels.web.ports import Talker
from instar.core.errors import InstarError

_log = logging.getLogger(__name__)
_KEPT_TURNS = 500  # explanations of recent replies; older ones are found by searching the memories
Kept = TypeVar("Kept")


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """Event: the person stopped the reply."""

    message_id: str


TurnNews = TurnEvent | Stopped | InstarError
TurnKey = tuple[str, str]
"""Channel and message id."""


class Turn:
    """One running turn and the events it gave so far."""

    def __init__(self, text: str, *, channel: str, message_id: str, person: str) -> None:
        self.text = text
        self.channel = channel
        self.message_id = message_id
        self.person = person
        self._news: list[TurnNews] = []
        self._ended = False
        self._changed = asyncio.Event()

    def add(self, event: TurnNews) -> None:
        """Tell everyone who follows."""
        self._news.append(event)
        self._wake()

    def end(self) -> None:
        """Let followers finish."""
        self._ended = True
        self._wake()

    async def follow(self) -> AsyncIterator[TurnNews]:
        """Yield every event, those of the past first, until the turn has ended."""
        seen = 0
        while not (self._ended and seen == len(self._news)):
            changed = self._changed
            while seen < len(self._news):
                yield self._news[seen]
                seen += 1
            if not self._ended:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Turns:
    """The turns of this process."""

    def __init__(self, agent: Talker) -> None:
        self._agent = agent
        self._running: dict[TurnKey, tuple[Turn, asyncio.Task[None]]] = {}
        self._recalled: OrderedDict[TurnKey, Recalled] = OrderedDict()
        self._replies: OrderedDict[TurnKey, Reply] = OrderedDict()

    def start(self, text: str, *, person: str, channel: str, message_id: str) -> Turn:
        """Start a turn, or join the one that runs for this message."""
        key = (channel, message_id)
        if key in self._running:
            return self._running[key][0]
        turn = Turn(text, channel=channel, message_id=message_id, person=person)
        task = asyncio.create_task(self._run(turn), name=f"turn {message_id}")
        self._running[key] = (turn, task)
        task.add_done_callback(partial(self._finished, turn))
        return turn

    async def stop(self, *, channel: str, message_id: str) -> bool:
        """Stop a running turn and wait until it has kept what was shown; False when none runs."""
        found = self._running.get((channel, message_id))
        if found is None:
            return False
        found[1].cancel()
        await asyncio.wait([found[1]])
        return True

    async def stop_all(self, *, person: str | None = None) -> None:
        """Stop every running turn, or every one of a person; each keeps what was shown."""
        for turn, _ in list(self._running.values()):
            if person is None or turn.person == person:
                await self.stop(channel=turn.channel, message_id=turn.message_id)

    def running(self, *, channel: str, person: str) -> Turn | None:
        """Return the turn that answers `person` in `channel` now."""
        turns = (turn for turn, _ in self._running.values())
        return next((turn for turn in turns if (turn.channel, turn.person) == (channel, person)), None)

    def recalled(self, channel: str, message_id: str) -> Recalled | None:
        """Return what was recalled for a recent message."""
        return self._recalled.get((channel, message_id))

    def reply(self, channel: str, message_id: str) -> Reply | None:
        """Return the reply of a recent turn, with its responder and full citations."""
        return self._replies.get((channel, message_id))

    def drop_explanations(self) -> None:
        """Drop what was kept of past turns, because someone or something was forgotten."""
        self._recalled.clear()
        self._replies.clear()

    async def _run(self, turn: Turn) -> None:
        events = self._agent.stream(turn.text, person=turn.person, channel=turn.channel, message_id=turn.message_id)
        async for event in events:
            self._keep(turn, event)
            turn.add(event)

    def _finished(self, turn: Turn, task: asyncio.Task[None]) -> None:
        del self._running[turn.channel, turn.message_id]
        if task.cancelled():
            turn.add(Stopped(message_id=turn.message_id))
        elif (error := task.exception()) is not None:
            turn.add(_shown(error))
        turn.end()

    def _keep(self, turn: Turn, event: TurnEvent) -> None:
        key = (turn.channel, turn.message_id)
        if isinstance(event, Recalled):
            _put(self._recalled, key, event)
        elif isinstance(event, Replied):
            _put(self._replies, key, event.reply)


def _put(kept: OrderedDict[TurnKey, Kept], key: TurnKey, value: Kept) -> None:
    kept[key] = value
    if len(kept) > _KEPT_TURNS:
        kept.popitem(last=False)


def _shown(error: BaseException) -> InstarError:
    if isinstance(error, InstarError):
        return error
    _log.error("a chat turn failed", exc_info=error)
    return FAULT


FAULT = InstarError(
    "this failed",
    why="there is a fault in instar itself; what `instar serve` printed has the details",
    next="try again; if it fails again, report it with what was printed and with `instar status`",
)
