"""A chat model that says what it was told to say: for tests, examples and demonstrations.

It keeps every sentence of the port, so what works with it works with a language model as far as the port goes.
It makes no text of its own. `requests` keeps what it was asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from instar.core.errors import ModelError, ModelFailed, ModelReplyInvalid
from instar.models.port import ChatModel, Cited, Finished, ModelEvent, Request, TextDelta, ToolCall, Usage


class Hang:
    """A place in a script where the model says nothing until `release` is called."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        """Set when the model has come to this place."""
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the reply go on."""
        self._released.set()

    async def wait(self) -> None:
        """Return once released; marks the place as reached."""
        self.reached.set()
        await self._released.wait()


Step = str | ToolCall | Usage | Cited | ModelError | Hang
"""One thing a script does: say a piece of text, ask for a tool, report tokens, cite, fail, or hang."""

Script = Step | Sequence[Step]
"""One reply. A single text is streamed word by word; a sequence is streamed as written."""


class ScriptedModel:
    """Gives `replies` in order, or what a function of the request returns.

    A reply asked for after the last one raises `ModelFailed`, and so does a reply that was told to fail.
    """

    kind = "scripted"

    def __init__(self, replies: Iterable[Script] | Callable[[Request], Script], *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[Request] = []
        """Every request, in the order the streams were begun."""
        self.stopped = 0
        """How many replies were closed before their end."""
        self.closed = False
        self._script_of = replies if callable(replies) else _in_order(replies)

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        steps = _steps(self._script_of(request))
        try:
            for step in steps:
                if isinstance(step, Hang):
                    await step.wait()
                elif isinstance(step, ModelError):
                    raise step
                else:
                    yield TextDelta(step) if isinstance(step, str) else step
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise
        if not any(isinstance(step, str | ToolCall) for step in steps):
            raise _nothing_to_say()
        yield Finished(reason=_reason(steps), responder_kind=self.kind, responder_name=self.name)

    async def close(self) -> None:
        self.closed = True


def _in_order(replies: Iterable[Script]) -> Callable[[Request], Script]:
    remaining = iter(replies)

    def next_reply(_: Request) -> Script:
        for reply in remaining:
            return reply
        raise ModelFailed(
            "the scripted model has no reply left",
            why="it was asked more often than it has replies",
            next="give ScriptedModel one reply for each request, or a function that returns one",
        )

    return next_reply


def _steps(script: Script) -> Sequence[Step]:
    if isinstance(script, str):
        steps: Sequence[Step] = re.findall(r"\s*\S+\s*$|\s*\S+", script)
    elif isinstance(script, Sequence):
        steps = [step for step in script if step != ""]
    else:
        steps = [script]
    if not any(isinstance(step, str | ToolCall | ModelError | Hang) for step in steps):
        raise _nothing_to_say()
    return steps


def _nothing_to_say() -> ModelReplyInvalid:
    return ModelReplyInvalid(
        "the scripted model was told to say nothing",
        why="a reply without text, tool call or error would look like an answer and be none",
        next="give the script a text, a ToolCall or a ModelError",
    )


def _reason(steps: Sequence[Step]) -> Literal["stop", "tool_calls"]:
    return "tool_calls" if any(isinstance(step, ToolCall) for step in steps) else "stop"


if TYPE_CHECKING:
    _fulfils: type[ChatModel] = ScriptedModel
