"""Several models as one: the first that answers wins, and every choice is kept with its reason.

Models are asked in the order given. One that fails before its first event hands over to the next; after the first
event a failure is the caller's, for half a reply cannot be taken back. A model that fails again and again rests
(`breaker.py`) and is passed over, unless all rest: then the one that has rested longest is asked, for a person
who waits is better served by a try than by a refusal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from instar.core.clock import Clock
from instar.core.errors import ModelError, ModelReplyInvalid
from instar.models.breaker import Breaker
from instar.models.port import ChatModel, Finished, ModelEvent, Request
from instar.telemetry.metrics import MODEL_CHOICES, MODEL_RESTING

_log = logging.getLogger(__name__)

CHOICES_KEPT_MAX = 256  # some hours of talk: enough to see why a fallback answered

Outcome = Literal["answered", "failed", "broke off", "given up", "passed over"]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one model in one request. It holds no word of the conversation, and none of a server's
    complaint, which may quote it: choices are logged.
    """

    at: datetime
    model: str
    outcome: Outcome
    reason: str


class _Guarded:
    """A model with its breaker."""

    def __init__(self, model: ChatModel, breaker: Breaker) -> None:
        self.model = model
        self.breaker = breaker


class Router:
    """The port over several models, the preferred one first. It owns them: closing it closes them."""

    def __init__(self, models: Sequence[ChatModel], *, clock: Clock) -> None:
        assert models, "a router needs a model"
        self._guarded = [_Guarded(model, Breaker(clock=clock)) for model in models]
        self._clock = clock
        self._choices: deque[Choice] = deque(maxlen=CHOICES_KEPT_MAX)

    @property
    def kind(self) -> str:
        return self._guarded[0].model.kind

    @property
    def name(self) -> str:
        return self._guarded[0].model.name

    @property
    def choices(self) -> Sequence[Choice]:
        """The last choices, oldest first."""
        return tuple(self._choices)

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        failures: list[tuple[str, ModelError]] = []
        for guarded, why in self._candidates():
            reason = "; ".join([why, *(f"{name} failed: {error.what}" for name, error in failures)])
            begun = False
            try:
                async with aclosing(self._ask(guarded, request, reason)) as events:
                    async for event in events:
                        begun = True
                        yield event
            except ModelError as error:
                if begun:
                    raise
                failures.append((guarded.model.name, error))
            else:
                return
        raise _all_failed(failures)

    async def close(self) -> None:
        for guarded in self._guarded:
            await guarded.model.close()

    def _candidates(self) -> Iterator[tuple[_Guarded, str]]:
        """Each model in turn that may be asked, with the reason; those that rest are noted and passed over."""
        asked = False
        for place, guarded in enumerate(self._guarded):
            if guarded.breaker.lets_through():
                asked = True
                yield guarded, "preferred" if place == 0 else f"number {place + 1} in order"
            else:
                rest = f"rests for {guarded.breaker.rest_left_s:.0f} s after {guarded.breaker.failures} failures"
                self._note(guarded, "passed over", rest)
        if not asked:
            yield min(self._guarded, key=lambda guarded: guarded.breaker.rest_left_s), "all rest; it did longest"

    async def _ask(self, guarded: _Guarded, request: Request, reason: str) -> AsyncGenerator[ModelEvent, None]:
        """One model's reply; its breaker learns how it went."""
        begun = finished = False
        try:
            async with aclosing(guarded.model.stream(request)) as events:
                async for event in events:
                    begun = True
                    if isinstance(event, Finished):
                        finished = True
                        self._settle(guarded, "answered", reason)
                    yield event
            if not finished:
                raise _unfinished(guarded.model.name)
        except ModelError as error:
            self._settle(guarded, "broke off" if begun else "failed", error.what)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if not finished:
                self._settle(guarded, "given up", "the reply was stopped" if begun else "the caller did not wait")
            raise

    def _settle(self, guarded: _Guarded, outcome: Outcome, reason: str) -> None:
        if outcome == "answered":
            guarded.breaker.succeeded()
        elif outcome == "given up":
            guarded.breaker.abandoned()
        else:
            guarded.breaker.failed()
        self._note(guarded, outcome, reason)

    def _note(self, guarded: _Guarded, outcome: Outcome, reason: str) -> None:
        name = guarded.model.name
        self._choices.append(Choice(at=self._clock.now(), model=name, outcome=outcome, reason=reason))
        MODEL_CHOICES.inc(model=name, outcome=outcome)
        MODEL_RESTING.set(float(guarded.breaker.state == "open"), model=name)
        level = logging.WARNING if outcome in {"failed", "broke off"} else logging.INFO
        _log.log(level, "model %s %s: %s", name, outcome, reason)


def _unfinished(name: str) -> ModelReplyInvalid:
    return ModelReplyInvalid(
        f"{name} ended its reply without saying so",
        why="its stream stopped before the event Finished",
        next="check the model with the clauses of instar.models.contract",
    )


def _all_failed(failures: Sequence[tuple[str, ModelError]]) -> ModelError:
    """The preferred model's kind of failure and next step, with what every model said."""
    first = failures[0][1]
    if len(failures) == 1:
        return first
    why = "; ".join(f"{name}: {error.what} ({error.why})" for name, error in failures)
    return type(first)(f"none of {len(failures)} models answered", why=why, next=first.next)


if TYPE_CHECKING:
    _fulfils: type[ChatModel] = Router
