from __future__ import annotations

import json

import pytest

from instar.core.errors import ModelFailed, ModelReplyInvalid
from instar.models.openai_wire import Assembly, WireFault, fault_in, model_ids
from instar.models.port import Finished, TextDelta, ToolCall


def _events(*choices, marked=True):
    assembly = Assembly(responder_name="m")
    events = []
    for choice in choices:
        events += assembly.feed(json.dumps({"choices": [choice]}))
    return events + list(assembly.end(marked=marked))


def _call(index=None, id=None, name=None, arguments=None):
    function = {"name": name, "arguments": arguments}
    return {"delta": {"tool_calls": [{"index": index, "id": id, "function": function}]}}


def _calls(events):
    return [(event.id, event.name, event.arguments) for event in events if isinstance(event, ToolCall)]


def test_interleaved_calls_are_assembled_by_their_index():
    events = _events(
        _call(0, "a", "one", '{"x"'), _call(1, "b", "two", "{"), _call(0, None, None, ": 1}"), _call(1, None, None, "}")
    )
    assert _calls(events) == [("a", "one", '{"x": 1}'), ("b", "two", "{}")]


def test_calls_without_an_index_are_told_apart_by_their_ids():
    events = _events(_call(None, "a", "one", "{}"), _call(None, "b", "two", "{"), _call(None, None, None, "}"))
    assert _calls(events) == [("a", "one", "{}"), ("b", "two", "{}")]


def test_calls_without_ids_or_with_arguments_as_an_object_are_understood():
    events = _events(_call(0, None, "one", {"x": 1}), _call(1, "", "two", None))
    assert _calls(events) == [("call-0", "one", '{"x":1}'), ("call-1", "two", "{}")]
    assert events[-1] == Finished(reason="tool_calls", responder_kind="model", responder_name="m")


def test_a_call_without_a_name_is_no_call():
    with pytest.raises(ModelReplyInvalid, match="not a chat completion"):
        _events(_call(0, "a", None, "{}"))


def test_content_in_parts_and_refusals_are_text():
    events = _events(
        {"delta": {"content": [{"type": "text", "text": "one "}, {"type": "image"}]}},
        {"delta": {"refusal": "I cannot."}},
    )
    assert events[:2] == [TextDelta("one "), TextDelta("I cannot.")]


def test_reasoning_is_not_part_of_the_reply():
    with pytest.raises(ModelReplyInvalid, match="empty reply"):
        _events({"delta": {"reasoning_content": "hmm"}, "finish_reason": "stop"})


def test_a_second_choice_is_not_mixed_in():
    events = _events({"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}})
    assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta("a")]


@pytest.mark.parametrize(
    ("theirs", "ours"), [("eos", "stop"), ("max_tokens", "length"), ("SAFETY", "content_filter"), (None, "stop")]
)
def test_finish_reasons_of_other_servers_are_understood(theirs, ours):
    assert _events({"delta": {"content": "x"}, "finish_reason": theirs})[-1].reason == ours


def test_a_filtered_reply_without_a_word_is_told_as_such():
    with pytest.raises(ModelFailed, match="content filter"):
        _events({"delta": {}, "finish_reason": "content_filter"})


def test_an_end_without_mark_or_reason_is_half_a_reply():
    with pytest.raises(ModelFailed, match="middle"):
        _events({"delta": {"content": "x"}}, marked=False)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('{"error": {"message": "m", "code": "c", "param": "p"}}', WireFault(message="m", code="c", param="p")),
        ('{"error": {"message": "m", "type": "t", "code": null}}', WireFault(message="m", code="t")),
        ('{"error": {"message": "m", "code": 429}}', WireFault(message="m", code="429")),
        ('{"error": "m"}', WireFault(message="m")),
        (
            '{"object": "error", "message": "m", "type": "NotFoundError", "code": 404}',
            WireFault(message="m", code="404"),
        ),
        ('{"detail": "m"}', WireFault(message="m")),
        ('{"detail": [1]}', WireFault(message="[1]")),
        ('{"error": null, "choices": []}', None),
        ("[]", None),
        ("oops", None),
    ],
)
def test_complaints_are_read_in_every_known_shape(body, fault):
    assert fault_in(body) == fault


def test_models_are_read_and_anything_else_is_none():
    assert model_ids(b'{"data": [{"id": "a"}, {"id": "b", "x": 1}]}') == ["a", "b"]
    assert model_ids(b"<html>") == model_ids(b'{"data": 7}') == model_ids(b"\xff") == []
