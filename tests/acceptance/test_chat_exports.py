"""Chat exports of four programs come out message for message.

The samples and what must come out of them lie beside the repository; without them these tests are skipped.
"""

import json
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from instar.core.records import Memory, Message
from instar.migrate.sources.detect import READERS, kind_of
from instar.migrate.sources.item import Skipped

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "chat-exports.tar.xz"
ROLES = {
    "user": "person",
    "assistant": "agent",
    "bot": "agent",
    "system": "system",
    "tool": "system",
}
KINDS = {"chatgpt": "chatgpt", "sillytavern": "sillytavern", "discord": "discord", "letta": "letta"}

pytestmark = pytest.mark.skipif(not ARCHIVE.exists(), reason=f"the samples are not here: {ARCHIVE}")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    target = tmp_path_factory.mktemp("samples")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(target, filter="data")
    return target / "chat-exports"


@pytest.fixture(scope="module")
def expected(samples):
    by_source = defaultdict(list)
    for line in (samples / "expected.jsonl").read_bytes().split(b"\n"):
        if line:
            record = json.loads(line)
            by_source[record["source"]].append(record)
    return {source: sorted(records, key=lambda record: record["order"]) for source, records in by_source.items()}


def items_of(path, kind):
    return list(READERS[kind](path))


def in_channels(records, channel_of):
    channels = defaultdict(list)
    for record in records:
        channels[channel_of(record)].append(record)
    return channels


def paired(samples, expected, kind):
    """Each expected message with the one that came out at its place, over all files of a kind."""
    pairs = []
    for source, records in expected.items():
        if not source.startswith(kind):
            continue
        items = items_of(samples / source, kind)
        assert not [item for item in items if isinstance(item, Skipped)]
        messages = in_channels([item for item in items if isinstance(item, Message)], lambda message: message.channel)
        wanted = in_channels([r for r in records if r.get("kind") != "memory_block"], lambda r: r["conversation_id"])
        assert messages.keys() == wanted.keys()
        for channel, records_of_channel in wanted.items():
            pairs.extend(zip(records_of_channel, messages[channel], strict=True))
    assert pairs
    return pairs


def utc(message):
    return (
        None if message.sent_at is None else message.sent_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def test_every_sample_is_recognised_by_its_content(samples, expected, tmp_path):
    for source in expected:
        renamed = tmp_path / f"{abs(hash(source))}.txt"
        renamed.write_bytes((samples / source).read_bytes())
        assert kind_of(renamed) == source.partition("/")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_roles_order_and_times_come_out_as_expected(samples, expected, kind):
    for record, message in paired(samples, expected, kind):
        assert message.id == record["message_id"]
        system_by_kind = kind == "discord" and record["type"] not in ("Default", "Reply")
        assert message.role == ("system" if system_by_kind else ROLES[record["author_role"]])
        assert utc(message) == record["timestamp_utc"]


def test_chatgpt_trees_keep_branches_hidden_messages_and_attachments(samples, expected):
    for record, message in paired(samples, expected, "chatgpt"):
        assert message.text == record["text"]
        assert message.selected == record["on_current_path"]
        assert message.hidden == record["hidden"]
        assert list(message.attachments) == record["attachments"]
        assert message.author_name == record["author_name"]
        raw = record["timestamp_raw"]
        assert message.sent_at_original == (raw and raw["float"])


def test_sillytavern_shows_the_shown_swipe_and_keeps_the_others(samples, expected):
    variants = defaultdict(list)
    for record, message in paired(samples, expected, "sillytavern"):
        assert message.text == record["text"]
        assert message.author == record["author_name"]
        assert message.selected == record["selected"]
        assert message.sent_at_original == record["timestamp_local"] or record["timestamp_local"] is None
        variants[message.id].append(message.variant)
    assert all(found == list(range(len(found))) for found in variants.values())


def test_discord_messages_keep_replies_edits_and_attachments(samples, expected):
    for record, message in paired(samples, expected, "discord"):
        assert message.text == record["text"]
        assert message.author == record["author_id"]
        assert message.author_name == (record["author_nickname"] or record["author_name"])
        assert message.reply_to == record["reply_to"]
        assert list(message.attachments) == record["attachments"]
        edited = message.edited_at and message.edited_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        assert edited == record["edited_utc"]


def test_letta_messages_say_what_was_said_and_keep_what_was_stored(samples, expected):
    for record, message in paired(samples, expected, "letta"):
        assert message.text == (record["text"] if record["spoken"] is None else record["spoken"])
        assert (message.text_original or message.text) == record["text"]


def test_letta_memory_blocks_become_memories(samples, expected):
    for source, records in expected.items():
        if source.startswith("letta"):
            blocks = [item for item in items_of(samples / source, "letta") if isinstance(item, Memory)]
            wanted = [(r["label"], r["text"], r["conversation_id"]) for r in records if r.get("kind") == "memory_block"]
            assert [(block.attribute, block.text, block.channel) for block in blocks] == wanted
            assert {block.kind for block in blocks} == {"block"}
