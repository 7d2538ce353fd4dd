"""The chat models keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest

from instar.core.clock import ManualClock
from instar.core.errors import ModelError
from instar.models.contract import FAILURE, AnyModelContract, ModelContract
from instar.models.extractive import ExtractiveResponder
from instar.models.openai_compatible import OpenAICompatible
from instar.models.port import ChatModel, ToolCall
from instar.models.router import Router
from instar.models.scripted import Hang, ScriptedModel, Step
from instar.testing import openai_stub
from instar.testing.model_liars import LIARS
from instar.testing.openai_stub import OpenAIStub

GIVEN_UP_AFTER_S = 30


class ScriptedStage:
    """A scripted model, or a liar made from one."""

    def __init__(self, make: type[ScriptedModel] = ScriptedModel) -> None:
        self._make = make
        self._hang = Hang()
        self._model = make([])

    def model(self, *steps: Step) -> ChatModel:
        self._hang = next((step for step in steps if isinstance(step, Hang)), self._hang)
        self._model = self._make([list(steps), list(steps)])
        return self._model

    def asked(self) -> int:
        return len(self._model.requests)

    async def hanging(self) -> None:
        await self._hang.reached.wait()

    async def stopped(self) -> None:
        assert self._model.stopped == 1

    async def close(self) -> None:
        await self._model.close()


class WireStage:
    """A model on the wire, its server told what to answer."""

    def __init__(self, stub: OpenAIStub) -> None:
        self._stub = stub
        self._opened: list[ChatModel] = []

    def model(self, *steps: Step) -> ChatModel:
        self._stub.will(*[_answer(steps)] * 2)
        self._opened.append(OpenAICompatible(url=self._stub.url, name="stub-model", clock=ManualClock()))
        return self._opened[-1]

    def asked(self) -> int:
        return len(self._stub.completions)

    async def hanging(self) -> None:
        assert await asyncio.to_thread(self._stub.asked.acquire, timeout=GIVEN_UP_AFTER_S)

    async def stopped(self) -> None:
        assert await asyncio.to_thread(self._stub.left.acquire, timeout=GIVEN_UP_AFTER_S)

    async def close(self) -> None:
        for model in self._opened:
            await model.close()


class RoutedStage(ScriptedStage):
    """A router over a model that is led and one that must not be needed."""

    def model(self, *steps: Step) -> ChatModel:
        return Router([super().model(*steps)], clock=ManualClock())


class FallenBackStage(ScriptedStage):
    """A router whose preferred model always fails."""

    def model(self, *steps: Step) -> ChatModel:
        return Router([ScriptedModel([FAILURE] * 2), super().model(*steps)], clock=ManualClock())


def _answer(steps: tuple[Step, ...]) -> openai_stub.Answer:
    said = tuple(step for step in steps if isinstance(step, str))
    calls = tuple(step for step in steps if isinstance(step, ToolCall))
    if any(isinstance(step, Hang) for step in steps):
        return openai_stub.Hang(said or None)
    if any(isinstance(step, ModelError) for step in steps):
        return openai_stub.Drop(said) if said else openai_stub.Refuse(400)
    return openai_stub.Call(calls, say="".join(said)) if calls else openai_stub.Say(said)


class TestScripted(ModelContract):
    @pytest.fixture
    def stage(self) -> ScriptedStage:
        return ScriptedStage()


class TestOpenAICompatible(ModelContract):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[WireStage]:
        with OpenAIStub() as stub:
            stage = WireStage(stub)
            yield stage
            await stage.close()


class TestOpenAICompatibleWithoutStreaming(AnyModelContract):
    @pytest.fixture
    async def model(self) -> AsyncIterator[ChatModel]:
        with OpenAIStub(honours_stream=False) as stub:
            model = OpenAICompatible(url=stub.url, name="stub-model", clock=ManualClock())
            yield model
            await model.close()


class TestRouter(ModelContract):
    @pytest.fixture
    def stage(self) -> RoutedStage:
        return RoutedStage()


class TestRouterAfterFallback(ModelContract):
    @pytest.fixture
    def stage(self) -> FallenBackStage:
        return FallenBackStage()


class TestExtractive(AnyModelContract):
    @pytest.fixture
    def model(self) -> ChatModel:
        return ExtractiveResponder()


async def _keep(clause: str, stage: ScriptedStage) -> None:
    check = getattr(ModelContract(), clause)
    if "model" in inspect.signature(check).parameters:
        await check(stage.model("Good ", "morning."))
    else:
        await check(stage)


@pytest.mark.parametrize(("liar", "clause"), LIARS.items(), ids=lambda value: getattr(value, "__name__", value))
async def test_each_liar_is_caught_by_its_clause(liar: type[ScriptedModel], clause: str) -> None:
    await _keep(clause, ScriptedStage())
    stage = ScriptedStage(liar)
    with pytest.raises((AssertionError, RuntimeError)):
        await _keep(clause, stage)
    if not liar.__name__.startswith("FailsSecond"):
        await stage.close()
