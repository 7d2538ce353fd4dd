"""What every chat model promises: the sentences of `port.py`, each as a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import pytest

from instar.core.errors import ModelError, ModelFailed
from instar.models.port import ChatMessage, ChatModel, Evidence, Finished, ModelEvent, Request, TextDelta, ToolCall
from instar.models.scripted import Hang, Step

QUESTION = Request(
    messages=(
        ChatMessage(role="system", content="Answer from the evidence."),
        ChatMessage(role="user", content="Where does the cat sleep?"),
    ),
    evidence=(Evidence(text="The cat sleeps on the piano.", score=1.0, kind="fact"),),
)
CALL = ToolCall(id="call-1", name="weather", arguments='{"city": "Porto", "days": 3}')
FAILURE = ModelFailed("told to fail", why="the clause wants to see a failure", next="nothing; this is a test")


class Stage(Protocol):
    """Leads one model into the situation a clause needs."""

    def model(self, *steps: Step) -> ChatModel:
        """Return a model whose one reply does this: pieces of text, a tool call, a failure, or silence."""

    def asked(self) -> int:
        """How many times the work behind the model was begun."""

    async def hanging(self) -> None:
        """Return once the work behind the model has come to its silence."""

    async def stopped(self) -> None:
        """Return once the work behind the model was stopped; fail when it was not."""


async def heard(model: ChatModel) -> list[ModelEvent]:
    """Every event of one reply."""
    return [event async for event in model.stream(QUESTION)]


async def until_failure(model: ChatModel) -> tuple[list[ModelEvent], ModelError]:
    """What came before the failure, and the failure."""
    events: list[ModelEvent] = []
    stream = model.stream(QUESTION)
    try:
        async for event in stream:
            events.append(event)  # noqa: PERF401  # what came before the failure is kept
    except ModelError as error:
        return events, error
    raise AssertionError(f"the reply ended as if nothing had failed: {events}")


def begun(model: ChatModel) -> AsyncGenerator[ModelEvent, None]:
    """One reply as the closable iterator it is."""
    return model.stream(QUESTION)


def text_of(events: list[ModelEvent]) -> str:
    """The pieces, joined."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


class AnyModelContract:
    """The clauses for every model, those that say what they like included. A subclass gives the fixture `model`."""

    async def test_the_kind_is_one_of_three(self, model: ChatModel) -> None:
        assert model.kind in {"model", "extractive", "scripted"}

    async def test_the_name_can_be_read(self, model: ChatModel) -> None:
        assert model.name.strip()

    async def test_a_reply_says_something(self, model: ChatModel) -> None:
        assert text_of(await heard(model)).strip()

    async def test_the_last_event_is_finished_and_there_is_one(self, model: ChatModel) -> None:
        events = await heard(model)
        assert [place for place, event in enumerate(events) if isinstance(event, Finished)] == [len(events) - 1]

    async def test_finished_names_who_answered(self, model: ChatModel) -> None:
        last = (await heard(model))[-1]
        assert isinstance(last, Finished)
        assert (last.responder_kind, last.responder_name) == (model.kind, model.name)

    async def test_a_reply_in_words_finishes_with_stop(self, model: ChatModel) -> None:
        last = (await heard(model))[-1]
        assert isinstance(last, Finished)
        assert last.reason == "stop"

    async def test_an_iterator_closed_early_gives_nothing_more(self, model: ChatModel) -> None:
        stream = begun(model)
        await anext(stream)
        await stream.aclose()
        assert [event async for event in stream] == []

    async def test_closing_twice_is_harmless(self, model: ChatModel) -> None:
        await heard(model)
        await model.close()
        await model.close()


class ModelContract(AnyModelContract):
    """The clauses for models that can be led. A subclass gives the fixture `stage`."""

    @pytest.fixture
    async def model(self, stage: Stage) -> ChatModel:
        return stage.model("Good ", "morning, ", "Zoë.")

    async def test_the_pieces_joined_are_the_reply(self, stage: Stage) -> None:
        assert text_of(await heard(stage.model("Good ", "morning, ", "Zoë 🌱.\n"))) == "Good morning, Zoë 🌱.\n"

    async def test_a_piece_is_given_before_the_next_one_exists(self, stage: Stage) -> None:
        stream = begun(stage.model("Good ", Hang()))
        async with asyncio.timeout(30):  # never reached unless the promise is broken
            assert await anext(stream) == TextDelta("Good ")
        await stream.aclose()

    async def test_a_tool_call_comes_whole_and_is_the_reason(self, stage: Stage) -> None:
        events = await heard(stage.model("One moment.", CALL))
        assert [event for event in events if isinstance(event, ToolCall)] == [CALL]
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.reason == "tool_calls"

    async def test_closing_the_iterator_early_stops_the_work_behind_it(self, stage: Stage) -> None:
        stream = begun(stage.model("Good ", Hang()))
        await anext(stream)
        await stream.aclose()
        await stage.stopped()

    async def test_cancelling_the_reader_stops_the_work_behind_it(self, stage: Stage) -> None:
        reader = asyncio.create_task(heard(stage.model(Hang())))
        await stage.hanging()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await stage.stopped()

    async def test_a_failure_is_a_model_error_with_what_why_and_next(self, stage: Stage) -> None:
        events, error = await until_failure(stage.model(FAILURE))
        assert events == []
        assert error.what
        assert error.why
        assert error.next

    async def test_a_failure_after_the_first_event_is_raised_behind_it(self, stage: Stage) -> None:
        events, _ = await until_failure(stage.model("Good ", FAILURE))
        assert events == [TextDelta("Good ")]

    async def test_nothing_is_asked_again_after_the_first_event(self, stage: Stage) -> None:
        await until_failure(stage.model("Good ", FAILURE))
        assert stage.asked() == 1

    async def test_a_reply_without_a_word_is_an_error(self, stage: Stage) -> None:
        events, _ = await until_failure(stage.model(""))
        assert events == []
