"""Whatever a file holds, a reader gives items or a named refusal: never a crash, never a message without identity."""

import json
import random

import pytest

from instar.core.errors import ImportKindUnknown, ImportUnreadable
from instar.core.records import Memory, Message
from instar.migrate.importing import import_file
from instar.migrate.sources.detect import READERS, kind_of
from instar.migrate.sources.item import NotCarried, Skipped

CHATGPT = [
    {
        "id": "c",
        "current_node": "b",
        "mapping": {
            "a": {"id": "a", "parent": None, "children": ["b"], "message": None},
            "b": {
                "id": "b",
                "parent": "a",
                "children": [],
                "message": {
                    "id": "m",
                    "author": {"role": "user", "name": None},
                    "create_time": 1.5,
                    "content": {"content_type": "multimodal_text", "parts": ["hi", {"asset_pointer": "x"}]},
                    "metadata": {"attachments": [{"id": "f", "name": "n"}]},
                },
            },
        },
    }
]
SILLYTAVERN = [
    {"user_name": "Pim", "character_name": "Owl", "chat_metadata": {}},
    {
        "name": "Owl",
        "is_user": False,
        "send_date": "x",
        "mes": "b",
        "swipe_id": 0,
        "swipes": ["b", "c"],
        "swipe_info": [{"send_date": 1}, {}],
        "extra": {"file": {"name": "f"}, "media": [{"url": "u"}]},
    },
]
DISCORD = {
    "guild": {"id": "1"},
    "channel": {"id": "2"},
    "messages": [
        {
            "id": "1246593371830644149",
            "type": "Reply",
            "timestamp": "2024-06-02T00:37:00+02:00",
            "timestampEdited": None,
            "content": "hi",
            "author": {"id": "5", "name": "n", "nickname": "k", "isBot": False},
            "attachments": [{"fileName": "f", "url": "https://x/y"}],
            "embeds": [{"title": "t"}],
            "reference": {"messageId": "9"},
        }
    ],
}
LETTA = {
    "agents": [
        {
            "id": "agent-0",
            "name": "helper",
            "block_ids": ["b"],
            "messages": [
                {
                    "id": "m",
                    "role": "assistant",
                    "content": [{"type": "text", "text": '{"type": "user_message", "message": "x"}'}],
                    "tool_calls": [{"function": {"name": "send_message", "arguments": '{"message": "hi"}'}}],
                    "created_at": "2025-01-01T00:00:00",
                }
            ],
        }
    ],
    "blocks": [{"id": "b", "label": "human", "value": "Ada", "created_at": "2025-01-01T00:00:00"}],
}
PLAIN = [
    {"id": "1", "channel": "c", "author": "a", "role": "person", "sent_at": None, "text": "hi", "attachments": ["f"]},
    {"channel": "c", "author": "i", "role": "agent", "sent_at": "2026-01-01T00:00:00Z", "text": "yes", "reply_to": "1"},
]
SOURCES = {"chatgpt": CHATGPT, "sillytavern": SILLYTAVERN, "discord": DISCORD, "letta": LETTA, "plain": PLAIN}
AS_LINES = ("sillytavern", "plain")
STRANGE = [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "\ud800", "\x00", [], {}, [None], {"": None}, [[]]]


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*path, index))


def changed(value, path, change):
    if not path:
        return change(value)
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], change)
    return copy


def without(value, path):
    copy = value.copy()
    if len(path) == 1:
        copy.pop(path[0])
        return copy
    copy[path[0]] = without(value[path[0]], path[1:])
    return copy


def variants(value):
    for path in places(value):
        if path:
            yield without(value, path)
        for strange in STRANGE:
            yield changed(value, path, lambda _, strange=strange: strange)


def written_as(kind, value, path):
    if kind in AS_LINES and isinstance(value, list):
        path.write_text("\n".join(json.dumps(line) for line in value))
    else:
        path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("kind", SOURCES)
def test_any_value_may_be_missing_or_strange(kind, tmp_path):
    path = tmp_path / "export"
    count = 0
    for value in variants(SOURCES[kind]):
        written_as(kind, value, path)
        try:
            found = list(READERS[kind](path))
            kind_of(path)
        except (ImportUnreadable, ImportKindUnknown):
            continue
        count += len(found)
        assert all(isinstance(item, (Message, Memory, Skipped, NotCarried)) for item in found)
        for item in found:
            if isinstance(item, Message):
                json.dumps([item.id, item.channel, item.author, item.text, item.attachments]).encode()
                item.text.encode()
    assert count > 100


@pytest.mark.parametrize("kind", SOURCES)
async def test_any_strange_export_can_be_imported_or_is_refused(kind, home, tmp_path):
    chosen = random.Random(7)
    for value in chosen.sample(list(variants(SOURCES[kind])), 60):
        path = written_as(kind, value, tmp_path / "export")
        try:
            report = await import_file(home, path, kind=kind)
        except (ImportUnreadable, ImportKindUnknown):
            continue
        assert report.read == report.written + report.already_there + report.skipped_total


@pytest.mark.parametrize("kind", SOURCES)
def test_any_byte_may_be_wrong(kind, tmp_path):
    chosen = random.Random(11)
    path = written_as(kind, SOURCES[kind], tmp_path / "export")
    whole = path.read_bytes()
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chosen.randint(1, 3)):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        path.write_bytes(damaged[: chosen.choice([len(damaged), chosen.randrange(len(damaged))])])
        try:
            list(READERS[kind_of(path)](path))
        except (ImportUnreadable, ImportKindUnknown):
            continue
