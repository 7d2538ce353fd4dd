from __future__ import annotations

import subprocess
import sys

import pytest

from instar.core.clock import ManualClock
from instar.core.errors import SettingInvalid
from instar.core.settings import ModelSettings
from instar.models.choose import choose_model
from instar.models.openai_compatible import OpenAICompatible
from instar.models.port import ChatMessage, Request, TextDelta
from instar.models.router import Router
from instar.testing.openai_stub import OpenAIStub, Refuse

QUESTION = Request(messages=(ChatMessage(role="user", content="Hi"),))


def test_without_a_url_there_is_no_model():
    assert choose_model(ModelSettings(), clock=ManualClock()) is None
    assert choose_model(ModelSettings(name="lonely"), clock=ManualClock()) is None


def test_with_a_url_it_is_that_server():
    model = choose_model(ModelSettings(url="http://127.0.0.1:1/v1", name="m"), clock=ManualClock())
    assert isinstance(model, OpenAICompatible)
    assert (model.kind, model.name) == ("model", "m")


async def test_with_a_fallback_the_second_server_answers_when_the_first_fails():
    with OpenAIStub(models=["a"], api_key="key-of-a") as first, OpenAIStub(models=["b"], api_key="key-of-b") as second:
        first.will(Refuse(400, "broken"))
        settings = ModelSettings(
            url=first.url,
            name="a",
            api_key="key-of-a",
            temperature=0.2,
            fallback_url=second.url,
            fallback_name="b",
            fallback_api_key="key-of-b",
        )
        model = choose_model(settings, clock=ManualClock())
        assert isinstance(model, Router)
        events = [event async for event in model.stream(QUESTION)]
        await model.close()
    assert TextDelta("You said: Hi") in events
    assert events[-1].responder_name == "b"
    assert second.completions[0].body["temperature"] == 0.2


@pytest.mark.parametrize("settings", [{"url": "nonsense"}, {"url": "http://h/v1", "fallback_url": "nonsense"}])
def test_a_url_that_is_none_is_told_at_once(settings):
    with pytest.raises(SettingInvalid):
        choose_model(ModelSettings(**settings), clock=ManualClock())


def test_choosing_no_model_does_not_load_httpx():
    program = (
        "import sys; from instar.models.choose import choose_model; from instar.core.clock import ManualClock;"
        "from instar.core.settings import ModelSettings; import instar.models.scripted;"
        "choose_model(ModelSettings(), clock=ManualClock()); print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
