"""Chat models that break one promise of the port each. The contract must catch every one of them.

`LIARS` names, for each, the clause that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

import msgspec

from instar.core.errors import ModelError
from instar.models.port import Finished, ModelEvent, Request, TextDelta, ToolCall
from instar.models.scripted import ScriptedModel


class EmptyInsteadOfError(ScriptedModel):
    """Hides a failure behind a reply that says nothing."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        try:
            async for event in super().stream(request):
                yield event
        except ModelError:
            yield Finished(reason="stop", responder_kind=self.kind, responder_name=self.name)


class Unfinished(ScriptedModel):
    """Stops without saying that it is done."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            if not isinstance(event, Finished):
                yield event


class TalksOn(ScriptedModel):
    """Has one more word after the end."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield event
        yield TextDelta("And another thing.")


class RetriesInTheMiddle(ScriptedModel):
    """Asks again although a piece of the reply is already with the reader, and hides the part they share."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        said = 0
        try:
            async for event in super().stream(request):
                said += 1
                yield event
        except ModelError:
            if not said:
                raise
            async for event in super().stream(request):
                said -= 1
                if said < 0:
                    yield event


class RepeatsAfterFailure(ScriptedModel):
    """Begins its reply anew behind a piece of the old one."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        said: list[ModelEvent] = []
        try:
            async for event in super().stream(request):
                said.append(event)
                yield event
        except ModelError:
            for event in said:
                yield event
            raise


class WorksOnAfterClose(ScriptedModel):
    """Leaves its work running when the reader has gone."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # hands on what it was given
        self.left_running: list[asyncio.Task[None]] = []

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        events: asyncio.Queue[ModelEvent | ModelError] = asyncio.Queue()
        self.left_running.append(asyncio.create_task(self._work(request, events)))
        while True:
            event = await events.get()
            if isinstance(event, ModelError):
                raise event
            yield event
            if isinstance(event, Finished):
                return

    async def _work(self, request: Request, events: asyncio.Queue[ModelEvent | ModelError]) -> None:
        try:
            async for event in super().stream(request):
                events.put_nowait(event)
        except ModelError as error:
            events.put_nowait(error)

    async def close(self) -> None:
        await super().close()
        for task in self.left_running:
            task.cancel()
        await asyncio.gather(*self.left_running, return_exceptions=True)


class Impostor(ScriptedModel):
    """Signs with another name."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield msgspec.structs.replace(event, responder_name="gpt") if isinstance(event, Finished) else event


class OddKind(ScriptedModel):
    """Is of a kind nobody knows."""

    kind = "human"


class Nameless(ScriptedModel):
    """Cannot be told from another."""

    def __init__(self, *args: object, **_: object) -> None:
        super().__init__(*args, name=" ")  # type: ignore[arg-type]  # hands on what it was given


class HalfCalls(ScriptedModel):
    """Gives a tool call in the pieces it arrived in."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            if isinstance(event, ToolCall):
                half = len(event.arguments) // 2
                yield msgspec.structs.replace(event, arguments=event.arguments[:half])
                yield msgspec.structs.replace(event, arguments=event.arguments[half:])
            else:
                yield event


class WrongReason(ScriptedModel):
    """Says that it stopped when it waits for a tool."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield msgspec.structs.replace(event, reason="stop") if isinstance(event, Finished) else event


class Trims(ScriptedModel):
    """Loses the spaces between its pieces."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield TextDelta(event.text.strip()) if isinstance(event, TextDelta) else event


class RawError(ScriptedModel):
    """Lets another library's error through."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        try:
            async for event in super().stream(request):
                yield event
        except ModelError as error:
            raise RuntimeError(error.what) from error


class FailsSecondClose(ScriptedModel):
    """Cannot be closed twice."""

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        await super().close()


class Mute(ScriptedModel):
    """Finishes a reply without a word as if it were one."""

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        events = super().stream(request)
        try:
            yield await anext(events)
        except ModelError as error:
            if "say nothing" not in error.what:
                raise
            yield Finished(reason="stop", responder_kind=self.kind, responder_name=self.name)
            return
        async for event in events:
            yield event


LIARS: Mapping[type[ScriptedModel], str] = {
    EmptyInsteadOfError: "test_a_failure_is_a_model_error_with_what_why_and_next",
    Unfinished: "test_the_last_event_is_finished_and_there_is_one",
    TalksOn: "test_the_last_event_is_finished_and_there_is_one",
    RetriesInTheMiddle: "test_nothing_is_asked_again_after_the_first_event",
    RepeatsAfterFailure: "test_a_failure_after_the_first_event_is_raised_behind_it",
    WorksOnAfterClose: "test_closing_the_iterator_early_stops_the_work_behind_it",
    Impostor: "test_finished_names_who_answered",
    OddKind: "test_the_kind_is_one_of_three",
    Nameless: "test_the_name_can_be_read",
    HalfCalls: "test_a_tool_call_comes_whole_and_is_the_reason",
    WrongReason: "test_a_tool_call_comes_whole_and_is_the_reason",
    Trims: "test_the_pieces_joined_are_the_reply",
    RawError: "test_a_failure_is_a_model_error_with_what_why_and_next",
    FailsSecondClose: "test_closing_twice_is_harmless",
    Mute: "test_a_reply_without_a_word_is_an_error",
}
