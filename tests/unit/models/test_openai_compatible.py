from __future__ import annotations

import asyncio
import logging
import random
import socket
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from instar.core import errors
from instar.core.clock import ManualClock
from instar.core.limits import MODEL_REPLY_MAX_BYTES, MODEL_RETRIES_MAX, MODEL_RETRY_AFTER_MAX_S
from instar.models.openai_compatible import TAIL_SILENCE_MAX_S, OpenAICompatible
from instar.models.port import ChatMessage, Finished, Request, TextDelta, Tool, ToolCall, Usage
from instar.testing.openai_stub import Call, Drop, Hang, OpenAIStub, Raw, Refuse, Say

QUESTION = Request(messages=(ChatMessage(role="system", content="Be kind."), ChatMessage(role="user", content="Hi")))
KEY = "local-key-0123456789"


class PromptClock(ManualClock):
    """Waits between retries pass at once and are kept; waits for the server last until the clock is moved."""

    def __init__(self, *, passing: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._passing = passing

    async def sleep(self, seconds: float) -> None:
        if seconds not in self._passing and (seconds > MODEL_RETRY_AFTER_MAX_S or seconds == TAIL_SILENCE_MAX_S):
            await super().sleep(seconds)
        else:
            self.waits.append(seconds)
            self.advance(seconds)


@pytest.fixture
def stub():
    with OpenAIStub(models=["stub-model", "other-model"]) as server:
        yield server


@pytest.fixture
async def model(stub):
    opened = _model(stub.url)
    yield opened
    await opened.close()


def _model(url, **changes):
    settings = {"name": "stub-model", "api_key": KEY, "timeout_s": 1_000.0, "clock": PromptClock()}
    return OpenAICompatible(url=url, randomness=random.Random(1), **{**settings, **changes})


async def _all(model, request=QUESTION):
    return [event async for event in model.stream(request)]


async def _text(model, request=QUESTION):
    return "".join(event.text for event in await _all(model, request) if isinstance(event, TextDelta))


async def _error(model, kind):
    with pytest.raises(kind) as caught:
        await _all(model)
    assert type(caught.value) is kind
    assert caught.value.what
    assert caught.value.why
    assert caught.value.next
    assert KEY not in str(caught.value)
    return caught.value


async def _arrived(semaphore):
    assert await asyncio.to_thread(semaphore.acquire, timeout=30)


async def test_a_streamed_reply_comes_piece_by_piece_with_usage_and_who_said_it(stub, model):
    stub.will(Say(("Hel", "lo, ", "Zoë 🌱")))
    assert await _all(model) == [
        TextDelta("Hel"),
        TextDelta("lo, "),
        TextDelta("Zoë 🌱"),
        Usage(prompt_tokens=5, reply_tokens=3),
        Finished(reason="stop", responder_kind="model", responder_name="stub-model"),
    ]


async def test_the_request_carries_messages_tools_key_and_settings(stub, model):
    call = ToolCall(id="c1", name="now", arguments="{}")
    request = Request(
        messages=(
            ChatMessage(role="user", content="Time?", name="ada"),
            ChatMessage(role="user", content="Please.", name="Ada Lovelace"),
            ChatMessage(role="assistant", content="", tool_calls=(call,)),
            ChatMessage(role="tool", content="noon", tool_call_id="c1"),
        ),
        tools=(Tool(name="now", description="The time.", parameters={"type": "object"}),),
        temperature=0.1,
        tokens_max=64,
    )
    await _all(model, request)
    asked = stub.completions[0]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "stub-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "max_tokens": 64,
        "messages": [
            {"role": "user", "content": "Time?", "name": "ada"},
            {"role": "user", "content": "Please."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "noon", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}},
            }
        ],
    }


async def test_tool_calls_come_whole_and_in_order(stub, model):
    calls = (
        ToolCall(id="a", name="now", arguments='{"zone": "UTC"}'),
        ToolCall(id="b", name="search", arguments='{"q": "cats"}'),
    )
    stub.will(Call(calls, say="One moment."))
    events = await _all(model)
    assert events[:3] == [TextDelta("One moment."), *calls]
    assert events[-1].reason == "tool_calls"


@pytest.mark.parametrize("answer", [Say("Whole."), Call((ToolCall(id="a", name="now", arguments="{}"),))])
async def test_a_server_that_answers_whole_is_understood(answer):
    with OpenAIStub(honours_stream=False) as stub:
        model = _model(stub.url)
        stub.will(answer)
        events = await _all(model)
        await model.close()
    assert isinstance(events[0], TextDelta | ToolCall)
    assert isinstance(events[-2], Usage)
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_finish_reasons_are_passed_on(stub, model, reason):
    stub.will(Say("Words.", finish_reason=reason))
    assert (await _all(model))[-1].reason == reason


async def test_an_end_mark_may_be_missing_when_a_finish_reason_came(stub, model):
    body = b'data: {"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}'
    stub.will(Raw((body,)))
    assert await _text(model) == "ok"


async def test_a_connection_left_open_after_the_finish_reason_does_not_hold_the_reply(stub):
    model = _model(stub.url, clock=PromptClock(passing=(TAIL_SILENCE_MAX_S,)))
    stub.will(Hang(("ok",), finish_reason="length"))
    assert await _all(model) == [
        TextDelta("ok"),
        Finished(reason="length", responder_kind="model", responder_name="stub-model"),
    ]
    await _arrived(stub.left)
    await model.close()


async def test_comments_carriage_returns_and_split_characters_are_read(stub, model):
    text = (
        '\ufeff: hello\r\n\r\nevent: x\r\ndata: {"choices":[{"delta":\r\ndata: {"content":"Zo\u00eb"}}]}\r\n\r\n'
        'data:{"choices":[{"delta":{},"finish_reason":"stop"}]}\r\rdata: [DONE]\n\n'
    ).encode()
    stub.will(Raw(tuple(text[at : at + 1] for at in range(len(text)))))
    assert await _text(model) == "Zoë"


@pytest.mark.parametrize(
    ("refusal", "kind", "shown"),
    [
        (Refuse(401, "Incorrect API key", code="invalid_api_key"), errors.ModelKeyRefused, "INSTAR_MODEL_API_KEY"),
        (Refuse(403, "no access"), errors.ModelKeyRefused, "not be allowed"),
        (Refuse(429, "slow down"), errors.ModelOverloaded, "slow down"),
        (Refuse(500, "boom"), errors.ModelFailed, "boom"),
        (Refuse(503, "Loading model"), errors.ModelFailed, "Loading model"),
        (Refuse(400, "This model's maximum context length is 4096 tokens"), errors.ModelFailed, "too long"),
        (Refuse(400, "the request exceeds the available context size"), errors.ModelFailed, "INSTAR_AGENT_WINDOW"),
        (Refuse(400, "bad request"), errors.ModelFailed, "refused the request: the server answered 400: bad request"),
        (Refuse(400, "foo is not a valid model ID"), errors.ModelUnknown, "INSTAR_MODEL_NAME"),
        (Refuse(402, "no credits"), errors.ModelFailed, "no credits"),
        (Refuse(307, location="https://elsewhere.example/v1"), errors.ModelFailed, "https://elsewhere.example/v1"),
        (Refuse(502, body="<html>Bad gateway</html>"), errors.ModelFailed, "a web page"),
        (Refuse(422, body='{"detail": [{"msg": "nope"}]}'), errors.ModelFailed, "nope"),
    ],
)
async def test_each_refusal_has_its_error_and_next_step(stub, model, refusal, kind, shown):
    stub.will(*[refusal] * (MODEL_RETRIES_MAX + 1))
    assert shown in str(await _error(model, kind))


async def test_an_unknown_model_is_told_with_the_names_there_are(stub):
    model = _model(stub.url, name="lama3")
    error = await _error(model, errors.ModelUnknown)
    assert "no model named 'lama3'" in error.what
    assert "it has: stub-model, other-model" in error.why
    await model.close()


async def test_a_url_without_its_version_path_is_told_with_the_url_to_try(stub):
    model = _model(stub.url.removesuffix("/v1"))
    error = await _error(model, errors.ModelUnknown)
    assert "nothing answers chat completions" in error.what
    assert f"INSTAR_MODEL_URL={stub.url}" in error.next
    await model.close()


@pytest.mark.parametrize("tail", ["", "/", "//", "/chat/completions", "/chat/completions/"])
async def test_the_url_is_tidied(stub, tail):
    model = _model(f" {stub.url}{tail} ")
    assert await _text(model) == "You said: Hi"
    await model.close()


async def test_a_failed_handshake_is_told_in_the_words_of_tls():
    async def speak_plainly(reader, writer):
        writer.write(b"this is no TLS\r\n")
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as server:
        model = _model(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        assert "SSL" in (await _error(model, errors.ModelUnreachable)).why
        await model.close()


def test_a_url_without_its_scheme_is_told_with_the_one_to_try():
    with pytest.raises(errors.SettingInvalid, match="such as http://localhost:11434/v1"):
        _model("localhost:11434/v1")


async def test_a_server_that_wants_a_name_is_told_as_such(stub):
    model = _model(stub.url, name="")
    stub.will(Refuse(404, "model is required", code="model_not_found"))
    error = await _error(model, errors.ModelUnknown)
    assert "wants the name of a model" in error.what
    assert "it has: stub-model, other-model" in error.why
    await model.close()


@pytest.mark.parametrize("url", ["", "localhost:11434/v1", "ftp://host/v1", "http://", "http://[::1/v1"])
def test_a_url_that_is_none_is_refused_at_once(url):
    with pytest.raises(errors.SettingInvalid, match=r"model\.url"):
        _model(url)


def test_a_key_with_a_line_break_inside_is_refused_without_being_shown():
    with pytest.raises(errors.SettingInvalid) as caught:
        _model("http://127.0.0.1/v1", api_key="abc\ndef")
    assert "abc" not in str(caught.value)


async def test_a_missing_key_is_asked_for():
    with OpenAIStub(api_key=KEY) as stub:
        model = _model(stub.url, api_key="")
        assert "wants an API key" in (await _error(model, errors.ModelKeyRefused)).what
        assert "authorization" not in stub.requests[0].headers
        await model.close()


async def test_nothing_at_the_address_is_told_as_unreachable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = _model(f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        error = await _error(model, errors.ModelUnreachable)
    assert "no model answers at http://127.0.0.1:" in error.what
    assert error.why == "Connection refused"
    await model.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_failure_before_the_first_event_is_asked_again(stub, status):
    model = _model(stub.url, clock=(clock := PromptClock()))
    stub.will(Refuse(status), Drop(), Refuse(status), Say("Better now."))
    assert await _text(model) == "Better now."
    assert len(stub.completions) == 4
    assert len(clock.waits) == 3
    for wait_s, most_s in zip(clock.waits, [0.25, 0.5, 1.0], strict=True):
        assert most_s / 2 <= wait_s <= most_s
    await model.close()


async def test_retries_end(stub, model):
    stub.will(*[Refuse(503)] * 20)
    await _error(model, errors.ModelFailed)
    assert len(stub.completions) == 1 + MODEL_RETRIES_MAX


async def test_retry_after_is_kept_in_seconds_and_as_a_date(stub):
    model = _model(stub.url, clock=(clock := PromptClock()))
    date = format_datetime(clock.now() + timedelta(seconds=12), usegmt=True)
    stub.will(Refuse(429, retry_after="7"), Refuse(503, retry_after=date), Say("ok"))
    assert await _text(model) == "ok"
    assert clock.waits == [7.0, 5.0]
    await model.close()


@pytest.mark.parametrize("text", ["soon", "-3", "Fri, 99 Foo 2026", "\xb2"])
async def test_a_retry_after_that_cannot_be_read_is_as_if_there_were_none(stub, text):
    model = _model(stub.url, clock=(clock := PromptClock()))
    stub.will(Refuse(503, retry_after=text), Say("ok"))
    assert await _text(model) == "ok"
    assert 0.125 <= clock.waits[0] <= 0.25
    await model.close()


async def test_a_retry_after_in_the_past_means_now(stub):
    model = _model(stub.url, clock=(clock := PromptClock()))
    stub.will(Refuse(503, retry_after="Mon, 01 Jan 2024 00:00:00 GMT"), Say("ok"))
    assert await _text(model) == "ok"
    assert clock.waits == [0.0]
    await model.close()


async def test_a_proxy_of_the_environment_is_not_used_for_loopback(stub, monkeypatch):
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    model = _model(stub.url)
    assert await _text(model) == "You said: Hi"
    await model.close()


async def test_two_replies_at_once_do_not_mix(stub, model):
    texts = [f"question {number}" for number in range(8)]
    requests = [Request(messages=(ChatMessage(role="user", content=text),)) for text in texts]
    replies = await asyncio.gather(*(_text(model, request) for request in requests))
    assert replies == [f"You said: {text}" for text in texts]


async def test_a_long_retry_after_is_told_instead_of_waited_for(stub, model):
    stub.will(Refuse(429, "later", retry_after="3600"))
    assert "in 3,600 s" in (await _error(model, errors.ModelOverloaded)).next
    assert len(stub.completions) == 1


async def test_a_spent_quota_is_not_asked_again(stub, model):
    stub.will(Refuse(429, "You exceeded your current quota", code="insufficient_quota"))
    assert "billing" in (await _error(model, errors.ModelOverloaded)).next
    assert len(stub.completions) == 1


@pytest.mark.parametrize("parameter", ["stream_options", "temperature"])
async def test_a_parameter_the_server_refuses_is_left_out_from_then_on(stub, model, parameter):
    stub.will(Refuse(400, f"Unsupported parameter: '{parameter}'"), Say("one"), Say("two"))
    assert await _text(model) == "one"
    assert await _text(model) == "two"
    assert [parameter in asked.body for asked in stub.completions] == [True, False, False]


async def test_max_tokens_is_renamed_for_a_server_that_wants_the_newer_name(stub, model):
    stub.will(Refuse(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."), Say("ok"))
    await _all(model, Request(messages=QUESTION.messages, tokens_max=9))
    assert stub.completions[1].body["max_completion_tokens"] == 9
    assert "max_tokens" not in stub.completions[1].body


async def test_a_stream_cut_in_the_middle_is_an_error_and_not_asked_again(stub, model):
    stub.will(Drop(("Half a ",)))
    stream = model.stream(QUESTION)
    assert await anext(stream) == TextDelta("Half a ")
    with pytest.raises(errors.ModelFailed, match="was lost"):
        await anext(stream)
    assert len(stub.completions) == 1


async def test_a_stream_that_ends_in_the_middle_without_a_word_is_an_error(stub, model):
    stub.will(Raw((b'data: {"choices":[{"delta":{"content":"Half"}}]}\n\n',)))
    stream = model.stream(QUESTION)
    await anext(stream)
    with pytest.raises(errors.ModelFailed, match="middle of its reply"):
        await anext(stream)


@pytest.mark.parametrize("hang", [Hang(), Hang(()), Hang((), comments=5)])
async def test_silence_before_the_first_event_is_a_timeout(stub, hang):
    model = _model(stub.url, timeout_s=60.0, clock=(clock := PromptClock()))
    stub.will(hang)
    reply = asyncio.create_task(_all(model))
    await _arrived(stub.asked)
    clock.advance(60)
    with pytest.raises(errors.ModelTimeout, match="said nothing for 60 s"):
        await reply
    await _arrived(stub.left)
    await model.close()


async def test_silence_in_the_middle_is_a_timeout_but_a_slow_reader_is_not(stub):
    model = _model(stub.url, timeout_s=60.0, clock=(clock := PromptClock()))
    stub.will(Hang(("One", "Two")))
    stream = model.stream(QUESTION)
    assert await anext(stream) == TextDelta("One")
    clock.advance(600)
    assert await anext(stream) == TextDelta("Two")
    waiting = asyncio.create_task(anext(stream))
    for _ in range(20):
        await asyncio.sleep(0)
    clock.advance(59)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(1)
    with pytest.raises(errors.ModelTimeout):
        await waiting
    await model.close()


async def test_closing_the_iterator_closes_the_connection(stub, model):
    stub.will(Hang(("One",)))
    stream = model.stream(QUESTION)
    await anext(stream)
    await stream.aclose()
    await _arrived(stub.left)


async def test_cancelling_the_reader_closes_the_connection(stub, model):
    stub.will(Hang())
    reply = asyncio.create_task(_all(model))
    await _arrived(stub.asked)
    reply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reply
    await _arrived(stub.left)


@pytest.mark.parametrize(
    "answer",
    [
        Raw((b"data: {not json\n\n",)),
        Raw((b'data: {"choices": 7}\n\n',)),
        Raw((b"\x00\xff\xfe" * 100,)),
        Raw((b"",)),
        Raw((b"data: [DONE]\n\n",)),
        Raw((b'data: {"choices":[{"delta":{"content":" "},"finish_reason":"stop"}]}\n\n',)),
        Raw((b"<html>hello</html>",), content_type="text/html"),
        Raw((b"[1, 2]",), content_type="application/json"),
        Raw((b"{}",), content_type="application/json"),
        Raw((b"data: " + b"x" * (2 * MODEL_REPLY_MAX_BYTES + 1),)),
        Say("", finish_reason="length"),
    ],
)
async def test_an_answer_that_is_no_reply_is_an_error_and_never_an_empty_reply(stub, model, answer):
    stub.will(answer)
    await _error(model, errors.ModelReplyInvalid)


async def test_a_runaway_reply_is_stopped(stub, model):
    stub.will(Say(("x" * (MODEL_REPLY_MAX_BYTES // 2),) * 3))
    assert "was stopped" in (await _error(model, errors.ModelReplyInvalid)).what


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"error": {"message": "went wrong", "code": 502}}', errors.ModelFailed),
        ('{"error": {"message": "went wrong", "code": 429}}', errors.ModelOverloaded),
        ('{"error": "went wrong"}', errors.ModelFailed),
        (
            '{"error": {"message": "went wrong"}, "choices": [{"delta": {}, "finish_reason": "error"}]}',
            errors.ModelFailed,
        ),
        ('{"error": "Unexpected endpoint or method: went wrong"}', errors.ModelUnknown),
    ],
)
async def test_an_error_inside_a_good_status_is_found(stub, model, data, kind):
    stub.will(*[Raw((f"data: {data}\n\n".encode(),))] * (MODEL_RETRIES_MAX + 1))
    assert "went wrong" in (await _error(model, kind)).why


async def test_a_server_that_echoes_the_key_does_not_bring_it_into_errors_or_logs(stub, model, caplog):
    caplog.set_level(logging.DEBUG)
    stub.will(*[Refuse(500, f"key {KEY} and sk-abcdefghijklmnop\nsecond line " + "x" * 10_000)] * 4)
    error = await _error(model, errors.ModelFailed)
    assert "sk-abcdefghijklmnop" not in error.why
    assert "second line" in error.why
    assert len(error.why) < 600
    assert "\n" not in error.why
    assert KEY not in caplog.text
    assert KEY not in repr(model)


async def test_user_and_password_in_the_url_are_not_shown(stub):
    model = _model(stub.url.replace("http://", "http://ada:hunter2@"), name="nope")
    error = await _error(model, errors.ModelUnknown)
    assert "hunter2" not in str(error) + repr(model)
    await model.close()


async def test_closing_twice_is_harmless_and_asking_afterwards_is_told(stub, model):
    await _all(model)
    await model.close()
    await model.close()
    await _error(model, errors.ModelUnreachable)


async def test_the_client_can_be_handed_in(stub):
    made = []

    def client():
        made.append(httpx.AsyncClient(headers={"x-test": "yes"}))
        return made[-1]

    model = _model(stub.url, client=client)
    await _all(model)
    await _all(model)
    await model.close()
    assert len(made) == 1
    assert made[0].is_closed
    assert stub.completions[0].headers["x-test"] == "yes"


async def test_a_model_without_a_name_is_asked_without_one(stub):
    model = _model(stub.url, name="")
    last = (await _all(model))[-1]
    assert last.responder_name == "the model at 127.0.0.1"
    assert "model" not in stub.completions[0].body
    await model.close()
