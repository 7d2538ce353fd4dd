"""The plain message file: what a line says is what is stored, and what it lacks is said."""

from datetime import UTC, datetime

from instar.core.limits import IMPORT_LINE_MAX_BYTES
from instar.core.records import Message
from instar.migrate.sources.detect import kind_of
from instar.migrate.sources.item import NotCarried, Skipped
from instar.migrate.sources.plain import read


def messages(path):
    return [item for item in read(path) if isinstance(item, Message)]


def skipped(path):
    return [(item.where, item.why) for item in read(path) if isinstance(item, Skipped)]


def test_a_full_line_is_taken_whole(written, plain_line):
    line = plain_line(
        "hi", id="1", sent_at="2026-01-02T03:04:05+02:00", reply_to="0", attachments=["a.png"], author_name="Ada L."
    )
    (message,) = messages(written("m.jsonl", lines=[line]))
    assert message == Message(
        id="1",
        channel="cli",
        author="ada",
        author_name="Ada L.",
        text="hi",
        sent_at=datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        sent_at_original="2026-01-02T03:04:05+02:00",
        reply_to="0",
        attachments=("a.png",),
    )


def test_without_an_id_equal_lines_are_two_messages_with_lasting_ids(written, plain_line):
    first = [message.id for message in messages(written("m.jsonl", lines=[plain_line("a"), plain_line("a")]))]
    again = [message.id for message in messages(written("n.jsonl", lines=[plain_line("a"), plain_line("a")]))]
    assert len(set(first)) == 2
    assert first == again


def test_an_id_may_be_a_number_beyond_what_floats_hold(written, plain_line):
    (message,) = messages(written("m.jsonl", lines=[plain_line("a", id=2**63 + 1)]))
    assert message.id == str(2**63 + 1)


def test_a_time_that_cannot_be_read_stays_as_it_was_written(written, plain_line):
    (message,) = messages(written("m.jsonl", lines=[plain_line("a", sent_at="last Tuesday")]))
    assert (message.sent_at, message.sent_at_original) == (None, "last Tuesday")


def test_every_refused_line_says_why(written, plain_line):
    lines = [
        plain_line("a", role="robot"),
        {"channel": "c", "author": "a", "role": "person"},
        plain_line("a", author=None),
        "nonsense",
        "null",
        plain_line("good"),
    ]
    path = written("m.jsonl", lines=lines)
    assert [where for where, _ in skipped(path)] == ["line 1", "line 2", "line 3", "line 4", "line 5"]
    assert [why for _, why in skipped(path)][:3] == [
        "role 'robot' is unknown; it is person, agent or system",
        "'text' is missing",
        "'author' is no text",
    ]
    assert [message.text for message in messages(path)] == ["good"]


def test_unknown_fields_are_named_and_the_message_comes_over(written, plain_line):
    items = list(read(written("m.jsonl", lines=[plain_line("a", mood="calm")])))
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["field 'mood'"]
    assert len(items) == 2


def test_bytes_that_are_no_text_are_listed_with_their_offset(written):
    good = b'{"channel": "c", "author": "a", "role": "person", "text": "%s"}'
    path = written("m.jsonl", content=b"\n".join([good % b"one", good % b"caf\xe9", good % b"three"]))
    assert [message.text for message in messages(path)] == ["one", "three"]
    (reason,) = skipped(path)
    assert reason == ("line 2", f"byte 0xe9 at offset {path.read_bytes().index(bytes([0xE9])):,} is not UTF-8")


def test_a_line_beyond_the_bound_is_skipped_and_listed(tmp_path, written, plain_line):
    path = tmp_path / "m.jsonl"
    start = written("start.jsonl", lines=[plain_line("before")]).read_bytes()
    end = written("end.jsonl", lines=[plain_line("behind")]).read_bytes()
    with path.open("wb") as file:
        file.write(start + b"\n{")
        file.write(b"x" * IMPORT_LINE_MAX_BYTES)
        file.write(b"}\n" + end)
    assert [message.text for message in messages(path)] == ["before", "behind"]
    assert skipped(path) == [("line 2", f"it has {IMPORT_LINE_MAX_BYTES + 2:,} bytes; the bound is 16,777,216")]


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_message(written, plain_line):
    content = written("plain.jsonl", lines=[plain_line("a"), plain_line("b")]).read_bytes()
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        text = content.decode().replace("\n", "\r\n") + "\r\n"
        path = written("marked.jsonl", content=text.encode(encoding))
        assert kind_of(path) == "plain"
        assert [message.text for message in messages(path)] == ["a", "b"]


def test_a_person_given_is_reported_as_of_no_use(written, plain_line):
    items = list(read(written("m.jsonl", lines=[plain_line("a")]), person="bob"))
    assert ["person given" in item.what for item in items if isinstance(item, NotCarried)] == [True]
