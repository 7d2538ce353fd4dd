"""Letta's agent file: what was said, not the envelope it lay in."""

import json
from datetime import UTC, datetime

from instar.core.records import Memory, Message
from instar.migrate.sources.detect import kind_of
from instar.migrate.sources.item import NotCarried
from instar.migrate.sources.letta import read


def content(text):
    return [{"type": "text", "text": text}]


def call(arguments, name="send_message"):
    return {"id": "call", "type": "function", "function": {"name": name, "arguments": arguments}}


def flat(*messages, **more):
    return {"agent_type": "memgpt_agent", "name": "helper", "core_memory": [], "messages": list(messages)} | more


def messages(path, **more):
    return [item for item in read(path, **more) if isinstance(item, Message)]


def test_envelopes_and_calls_are_unpacked_and_the_stored_form_stays(written):
    envelope = json.dumps({"type": "user_message", "message": "Hé \ud83c\udf31", "time": "x"})
    said = json.dumps({"message": "Salut", "request_heartbeat": False})
    path = written(
        "a.af",
        document=flat(
            {"role": "system", "content": content("You are an agent.")},
            {"role": "user", "content": content(envelope), "created_at": "2025-04-02T22:09:04.405490"},
            {"role": "assistant", "content": content("(thinking)"), "tool_calls": [call(said)]},
            {"role": "tool", "name": "send_message", "content": content('{"status": "OK"}')},
            {"role": "user", "content": "as it is"},
        ),
    )
    found = messages(path)
    assert [(m.id, m.role, m.author, m.text, m.text_original, m.hidden) for m in found] == [
        ("0", "system", "system", "You are an agent.", None, True),
        ("1", "person", "user", "Hé 🌱", envelope, False),
        ("2", "agent", "helper", "Salut", "(thinking)", False),
        ("3", "system", "send_message", '{"status": "OK"}', None, True),
        ("4", "person", "user", "as it is", None, False),
    ]
    assert found[1].sent_at == datetime(2025, 4, 2, 22, 9, 4, 405_490, UTC)
    assert found[1].sent_at_original == "2025-04-02T22:09:04.405490"


def test_what_the_machine_put_into_the_users_mouth_is_not_the_users(written):
    beat = json.dumps({"type": "heartbeat", "reason": "tool failed"})
    (found,) = messages(written("a.af", document=flat({"role": "user", "content": content(beat)})))
    assert (found.role, found.author, found.text, found.hidden) == ("system", "system", beat, True)


def test_arguments_that_are_no_json_leave_the_content(written):
    items = list(
        read(written("a.af", document=flat({"role": "assistant", "content": "text", "tool_calls": [call("{")]})))
    )
    assert [item.text for item in items if isinstance(item, Message)] == ["text"]
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["calls of tools"]


def test_a_message_that_only_calls_a_tool_is_kept_out_of_sight(written):
    path = written("a.af", document=flat({"role": "assistant", "content": None, "tool_calls": [call("{}", "search")]}))
    (found,) = messages(path)
    assert (found.text, found.hidden) == ("", True)


def test_json_that_only_looks_like_an_envelope_is_text(written):
    for text in ('"quoted"', "[1, 2]", '{"message": 5}', '{"type": "note"}'):
        (found,) = messages(written("a.af", document=flat({"role": "user", "content": content(text)})))
        assert found.text == text


def test_agents_have_their_own_channels_and_blocks(written):
    document = {
        "agents": [
            {"id": "agent-0", "name": "helper", "block_ids": ["b1"], "messages": [{"id": "m-0", "role": "user"}]},
            {"id": "agent-1", "name": "helper", "block_ids": ["b2", "gone"], "messages": [{"role": "user"}]},
        ],
        "blocks": [{"id": "b1", "label": "human", "value": "Ada"}, {"id": "b2", "label": "persona", "value": "Kind"}],
    }
    path = written("a.af", document=document)
    items = list(read(path, person="ada"))
    assert kind_of(path) == "letta"
    assert [(m.channel, m.id, m.author) for m in items if isinstance(m, Message)] == [
        ("helper", "m-0", "ada"),
        ("helper (agent-1)", "0", "ada"),
    ]
    assert [(m.channel, m.attribute, m.text, m.person) for m in items if isinstance(m, Memory)] == [
        ("helper", "human", "Ada", "ada"),
        ("helper (agent-1)", "persona", "Kind", "ada"),
    ]


def test_parts_that_are_no_text_are_named(written):
    parts = [{"type": "image", "source": {}}, *content("look"), {"type": "tool_return", "content": "done"}]
    items = list(read(written("a.af", document=flat({"role": "user", "content": parts}))))
    assert [item.text for item in items if isinstance(item, Message)] == ["look\ndone"]
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["part of type 'image'"]
