"""The official client understands the stub: what it speaks is the real form."""

from __future__ import annotations

import openai
import pytest

from instar.models.port import ToolCall
from instar.testing.openai_stub import Call, Drop, OpenAIStub, Refuse, Say

MESSAGES = [{"role": "user", "content": "Hi"}]
WEATHER = ToolCall(id="call-1", name="weather", arguments='{"city": "Porto"}')


@pytest.fixture
def stub():
    with OpenAIStub(api_key="sk-stub-0123456789") as server:
        yield server


@pytest.fixture
def client(stub):
    with openai.OpenAI(base_url=stub.url, api_key="sk-stub-0123456789", max_retries=0) as opened:
        yield opened


def test_a_whole_completion(stub, client):
    stub.will(Say("Hello, Ada."))
    completion = client.chat.completions.create(model="stub-model", messages=MESSAGES)
    assert completion.choices[0].message.content == "Hello, Ada."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 6


def test_a_streamed_completion_with_usage(stub, client):
    stub.will(Say(("Hello, ", "Ada.")))
    chunks = list(
        client.chat.completions.create(
            model="stub-model", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello, Ada."
    assert chunks[-1].usage.completion_tokens == 2


@pytest.mark.parametrize("streamed", [True, False])
def test_a_tool_call(stub, client, streamed):
    stub.will(Call((WEATHER,)))
    if streamed:
        with client.chat.completions.stream(model="stub-model", messages=MESSAGES) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(model="stub-model", messages=MESSAGES).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls"
    assert (call.id, call.function.name, call.function.arguments) == ("call-1", "weather", WEATHER.arguments)


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["stub-model"]


def test_a_wrong_key_a_wrong_model_and_a_throttle_are_the_clients_own_errors(stub, client):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-other").chat.completions.create(model="stub-model", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="nope", messages=MESSAGES)
    stub.will(Refuse(429, "slow down", code="rate_limit_exceeded", retry_after="1"))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="stub-model", messages=MESSAGES)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"


def test_a_cut_connection_is_a_broken_stream(stub, client):
    stub.will(Drop(("Half",)))
    stream = client.chat.completions.create(model="stub-model", messages=MESSAGES, stream=True)
    assert next(iter(stream)).choices[0].delta.content == "Half"
    with pytest.raises(openai.APIConnectionError):
        next(iter(stream))


def test_without_told_answers_it_repeats_the_question(client):
    completion = client.chat.completions.create(model="stub-model", messages=MESSAGES)
    assert completion.choices[0].message.content == "You said: Hi"
