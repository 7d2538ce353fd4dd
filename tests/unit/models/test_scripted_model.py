from __future__ import annotations

import asyncio

import pytest

from instar.core.errors import ModelFailed, ModelOverloaded, ModelReplyInvalid
from instar.models.port import ChatMessage, Finished, Request, TextDelta, ToolCall, Usage
from instar.models.scripted import Hang, ScriptedModel

QUESTION = Request(messages=(ChatMessage(role="user", content="Hello?"),))


async def _all(model: ScriptedModel) -> list[object]:
    return [event async for event in model.stream(QUESTION)]


async def test_a_text_is_streamed_word_by_word_and_ends_with_who_said_it():
    model = ScriptedModel(["Good  morning,\nAda. "])
    *pieces, last = await _all(model)
    assert pieces == [TextDelta("Good"), TextDelta("  morning,"), TextDelta("\nAda. ")]
    assert last == Finished(reason="stop", responder_kind="scripted", responder_name="scripted")


async def test_replies_are_given_in_order_and_running_out_is_an_error():
    model = ScriptedModel(["one", "two"])
    assert TextDelta("one") in await _all(model)
    assert TextDelta("two") in await _all(model)
    with pytest.raises(ModelFailed, match="no reply left"):
        await _all(model)
    assert model.requests == [QUESTION] * 3


async def test_a_tool_call_ends_with_the_reason_tool_calls():
    call = ToolCall(id="1", name="now", arguments="{}")
    usage = Usage(prompt_tokens=3, reply_tokens=2)
    *events, last = await _all(ScriptedModel([["Let me look.", call, usage]]))
    assert events == [TextDelta("Let me look."), call, usage]
    assert isinstance(last, Finished)
    assert last.reason == "tool_calls"


async def test_a_told_error_is_raised_after_what_was_said_before_it():
    stream = ScriptedModel([["half a", ModelOverloaded("busy", why="told so", next="wait")]]).stream(QUESTION)
    assert await anext(stream) == TextDelta("half a")
    with pytest.raises(ModelOverloaded):
        await anext(stream)


async def test_a_hang_lasts_until_it_is_released():
    hang = Hang()
    reply = asyncio.create_task(_all(ScriptedModel([[hang, "at last"]])))
    await hang.reached.wait()
    assert not reply.done()
    hang.release()
    assert TextDelta("at last") in await reply


async def test_a_released_hang_with_nothing_behind_it_is_no_reply():
    hang = Hang()
    hang.release()
    with pytest.raises(ModelReplyInvalid):
        await _all(ScriptedModel([hang]))


async def test_closing_or_cancelling_early_is_counted_as_stopped():
    model = ScriptedModel(["a b c", ["x", hang := Hang()]])
    stream = model.stream(QUESTION)
    await anext(stream)
    await stream.aclose()
    assert model.stopped == 1
    reply = asyncio.create_task(_all(model))
    await hang.reached.wait()
    reply.cancel()
    await asyncio.gather(reply, return_exceptions=True)
    assert model.stopped == 2


async def test_a_function_of_the_request_decides_the_reply():
    model = ScriptedModel(lambda request: request.messages[-1].content.upper())
    assert TextDelta("HELLO?") in await _all(model)


@pytest.mark.parametrize("script", ["", "  ", [], [""], [Usage(prompt_tokens=1, reply_tokens=0)]])
async def test_a_script_that_says_nothing_is_an_error_and_not_an_empty_reply(script):
    with pytest.raises(ModelReplyInvalid):
        await _all(ScriptedModel([script]))
