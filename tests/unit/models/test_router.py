from __future__ import annotations

import asyncio
import logging

import pytest

from instar.core.clock import ManualClock
from instar.core.errors import ModelFailed, ModelKeyRefused, ModelOverloaded, ModelReplyInvalid, ModelUnreachable
from instar.models.breaker import BREAKER_FAILURES_MAX, BREAKER_REST_S, Breaker
from instar.models.port import ChatMessage, Finished, Request, TextDelta
from instar.models.router import CHOICES_KEPT_MAX, Router
from instar.models.scripted import Hang, ScriptedModel
from instar.telemetry.metrics import MODEL_RESTING

QUESTION = Request(messages=(ChatMessage(role="user", content="Hi"),))
BUSY = ModelOverloaded("first is overloaded", why="429", next="wait a minute")
GONE = ModelUnreachable("no second", why="refused", next="start it")


async def _all(model):
    return [event async for event in model.stream(QUESTION)]


async def _text(model):
    return "".join(event.text for event in await _all(model) if isinstance(event, TextDelta))


def _router(*scripts, clock=None):
    models = [ScriptedModel(script, name=name) for script, name in zip(scripts, ("first", "second"), strict=False)]
    return Router(models, clock=clock or ManualClock()), *models


def _outcomes(router):
    return [(choice.model, choice.outcome) for choice in router.choices]


async def test_the_preferred_model_answers_and_the_others_are_not_asked():
    router, _, second = _router(["hello"], ["never"])
    assert (await _all(router))[-1].responder_name == "first"
    assert second.requests == []
    assert _outcomes(router) == [("first", "answered")]
    assert router.choices[0].reason == "preferred"


async def test_a_failure_before_the_first_event_falls_back_and_the_end_names_who_answered():
    router, first, second = _router([BUSY], ["hello"])
    assert (await _all(router))[-1] == Finished(reason="stop", responder_kind="scripted", responder_name="second")
    assert first.requests == second.requests == [QUESTION]
    assert _outcomes(router) == [("first", "failed"), ("second", "answered")]
    assert "first failed: first is overloaded" in router.choices[1].reason


async def test_a_failure_after_the_first_event_is_the_callers():
    router, _, second = _router([["half", BUSY]], ["never"])
    stream = router.stream(QUESTION)
    assert await anext(stream) == TextDelta("half")
    with pytest.raises(ModelOverloaded):
        await anext(stream)
    assert second.requests == []
    assert _outcomes(router) == [("first", "broke off")]


async def test_when_all_fail_the_error_is_of_the_preferred_models_kind_and_tells_of_each():
    router, *_ = _router([BUSY], [GONE])
    with pytest.raises(ModelOverloaded) as caught:
        await _all(router)
    assert caught.value.what == "none of 2 models answered"
    assert "first: first is overloaded (429)" in caught.value.why
    assert "second: no second (refused)" in caught.value.why
    assert caught.value.next == "wait a minute"


async def test_a_single_models_error_is_passed_on_as_it_is():
    router, *_ = _router([ModelKeyRefused("no", why="401", next="key")])
    with pytest.raises(ModelKeyRefused, match="no: 401"):
        await _all(router)


async def test_a_model_that_keeps_failing_rests_and_is_tried_again_after_its_rest():
    clock = ManualClock()
    router, first, second = _router([BUSY] * BREAKER_FAILURES_MAX + ["back"], ["s"] * 10, clock=clock)
    for _ in range(BREAKER_FAILURES_MAX + 2):
        assert await _text(router) == "s"
    assert len(first.requests) == BREAKER_FAILURES_MAX
    assert _outcomes(router)[-2:] == [("first", "passed over"), ("second", "answered")]
    assert "rests for 30 s after 3 failures" in router.choices[-2].reason
    assert MODEL_RESTING.value(model="first") == 1
    clock.advance(BREAKER_REST_S)
    assert await _text(router) == "back"
    assert MODEL_RESTING.value(model="first") == 0
    assert len(second.requests) == BREAKER_FAILURES_MAX + 2


async def test_a_failed_trial_begins_a_new_rest():
    clock = ManualClock()
    router, first, _ = _router([BUSY] * 9, ["s"] * 9, clock=clock)
    for _ in range(BREAKER_FAILURES_MAX):
        await _text(router)
    clock.advance(BREAKER_REST_S)
    await _text(router)
    await _text(router)
    assert len(first.requests) == BREAKER_FAILURES_MAX + 1


async def test_when_all_rest_the_one_that_rested_longest_is_asked():
    clock = ManualClock()
    router, *_ = _router([BUSY] * 3 + ["back"], [GONE] * 3 + ["no"], clock=clock)
    for _ in range(BREAKER_FAILURES_MAX):
        with pytest.raises(ModelOverloaded):
            await _all(router)
    assert await _text(router) == "back"
    assert router.choices[-1].reason == "all rest; it did longest"


async def test_a_reply_given_up_before_its_first_word_is_no_failure_and_frees_the_trial():
    clock = ManualClock()
    router, first, _ = _router([BUSY] * 3 + [[hang := Hang()], "back"], ["s"] * 9, clock=clock)
    for _ in range(BREAKER_FAILURES_MAX):
        await _text(router)
    clock.advance(BREAKER_REST_S)
    trial = asyncio.create_task(_all(router))
    await hang.reached.wait()
    assert await _text(router) == "s"
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    assert first.stopped == 1
    assert router.choices[-1].outcome == "given up"
    assert await _text(router) == "back"


async def test_a_reader_that_leaves_at_the_last_event_has_been_answered():
    router, *_ = _router(["one"])
    stream = router.stream(QUESTION)
    await anext(stream)
    assert isinstance(await anext(stream), Finished)
    await stream.aclose()
    assert _outcomes(router) == [("first", "answered")]


async def test_a_model_that_ends_without_saying_so_has_failed():
    class Unfinished(ScriptedModel):
        async def stream(self, request):
            async for event in super().stream(request):
                if not isinstance(event, Finished):
                    yield event

    router = Router([Unfinished(["half"])], clock=ManualClock())
    with pytest.raises(ModelReplyInvalid, match="without saying so"):
        await _all(router)


async def test_closing_the_router_closes_every_model():
    router, first, second = _router(["a"], ["b"])
    await router.close()
    await router.close()
    assert first.closed
    assert second.closed


async def test_choices_are_logged_and_their_list_is_bounded(caplog):
    caplog.set_level(logging.INFO)
    router, *_ = _router(["x"] * (CHOICES_KEPT_MAX + 5))
    for _ in range(CHOICES_KEPT_MAX + 5):
        await _all(router)
    assert len(router.choices) == CHOICES_KEPT_MAX
    assert "model first answered: preferred" in caplog.text


async def test_what_a_server_complains_of_is_not_logged_for_it_may_quote_the_conversation(caplog):
    caplog.set_level(logging.DEBUG)
    quoting = ModelFailed("first refused the request", why="400: your input 'I am ill' is bad", next="change it")
    router, *_ = _router([quoting], ["hello"])
    await _all(router)
    assert "first refused the request" in caplog.text
    assert "I am ill" not in caplog.text
    assert "I am ill" not in repr(router.choices)


def test_a_breaker_counts_failures_in_a_row_only():
    breaker = Breaker(clock=ManualClock(), failures_max=2)
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    breaker.failed()
    assert breaker.state == "open"
    assert not breaker.lets_through()


def test_a_half_open_breaker_lets_one_through():
    clock = ManualClock()
    breaker = Breaker(clock=clock, failures_max=1, rest_s=5)
    breaker.failed()
    clock.advance(4)
    assert breaker.rest_left_s == 1
    clock.advance(1)
    assert breaker.state == "half-open"
    assert [breaker.lets_through(), breaker.lets_through()] == [True, False]
    breaker.failed()
    assert breaker.state == "open"


async def test_router_errors_keep_their_class_through_a_broken_second():
    router, *_ = _router([ModelFailed("a", why="b", next="c")], [["", ""]])
    with pytest.raises(ModelFailed, match="none of 2"):
        await _all(router)
