"""SillyTavern's lines become messages and swipes; a time without a zone stays what it was."""

import json
from datetime import UTC, datetime

import pytest

from instar.core.records import Message
from instar.migrate.sources.detect import kind_of
from instar.migrate.sources.item import NotCarried, Skipped
from instar.migrate.sources.sillytavern import read

HEADER = {"user_name": "Pim", "character_name": "Ælf", "create_date": "2025-03-04@09h15m33s", "chat_metadata": {}}


def line(mes, **more):
    return {"name": "Pim", "is_user": True, "is_system": False, "send_date": None, "mes": mes} | more


def messages(path, **more):
    return [item for item in read(path, **more) if isinstance(item, Message)]


def test_only_a_line_feed_ends_a_line(written):
    said = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh"
    content = "\r\n".join(json.dumps(each, ensure_ascii=False) for each in [HEADER, line(said), line("end")])
    path = written("chat.jsonl", content=content.encode())
    assert [message.text for message in messages(path)] == [said, "end"]


def test_control_characters_written_as_they_are_stay(written):
    raw = json.dumps(line("x")).replace("x", "a\x0bb\x0cc").encode()
    assert [m.text for m in messages(written("chat.jsonl", content=json.dumps(HEADER).encode() + b"\n" + raw))] == [
        "a\x0bb\x0cc"
    ]


@pytest.mark.parametrize(
    ("send_date", "utc", "original"),
    [
        ("2025-03-04T11:13:28.811Z", datetime(2025, 3, 4, 11, 13, 28, 811_000, UTC), None),
        (1741086808811, datetime(2025, 3, 4, 11, 13, 28, 811_000, UTC), "1741086808811"),
        (1741086808, datetime(2025, 3, 4, 11, 13, 28, 0, UTC), "1741086808"),
        ("1741086808811", datetime(2025, 3, 4, 11, 13, 28, 811_000, UTC), "1741086808811"),
        ("2025-03-04T12:13:28+01:00", datetime(2025, 3, 4, 11, 13, 28, 0, UTC), "2025-03-04T12:13:28+01:00"),
        ("2025-3-4 @10h 11m 33s 712ms", None, "2025-3-4 @10h 11m 33s 712ms"),
        ("March 4, 2025 11:39am", None, "March 4, 2025 11:39am"),
        ("2025-03-04T11:13:28", None, "2025-03-04T11:13:28"),
        (None, None, None),
        (10**30, None, str(10**30)),
        ([], None, None),
    ],
)
def test_dates_are_utc_or_not_guessed(written, send_date, utc, original):
    (message,) = messages(written("chat.jsonl", lines=[HEADER, line("hi", send_date=send_date)]))
    assert (message.sent_at, message.sent_at_original) == (utc, original)


def test_swipes_share_the_id_and_count_up(written):
    answer = line("b", name="Ælf", is_user=False, swipe_id=1, swipes=["a", "b", "c"], swipe_info=[])
    found = messages(written("chat.jsonl", lines=[HEADER, line("q"), answer]))
    assert [(m.id, m.variant, m.text, m.selected) for m in found] == [
        ("0", 0, "q", True),
        ("1", 0, "b", True),
        ("1", 1, "a", False),
        ("1", 2, "c", False),
    ]


@pytest.mark.parametrize("swipe_id", [None, 9, -1, "1", True])
def test_without_a_good_swipe_id_the_shown_text_says_which_it_is(written, swipe_id):
    found = messages(written("chat.jsonl", lines=[HEADER, line("b", swipe_id=swipe_id, swipes=["a", "b"])]))
    assert [(m.variant, m.text) for m in found] == [(0, "b"), (1, "a")]


def test_a_swipe_has_its_own_date_where_there_is_one(written):
    info = [{"send_date": "2025-03-04T11:00:00Z"}, {"send_date": "2025-03-04T12:00:00Z"}]
    answer = line("b", swipe_id=1, swipes=["a", "b"], swipe_info=info, send_date="2025-03-04T12:00:00Z")
    found = messages(written("chat.jsonl", lines=[HEADER, answer]))
    assert [m.sent_at.hour for m in found] == [12, 11]


def test_a_text_edited_by_hand_is_the_one_shown(written):
    items = list(read(written("chat.jsonl", lines=[HEADER, line("edited", swipe_id=0, swipes=["as made"])])))
    assert [item.text for item in items if isinstance(item, Message)] == ["edited"]
    assert ["edited by hand" in item.what for item in items if isinstance(item, NotCarried)] == [True]


def test_roles_and_names(written):
    lines = [
        HEADER,
        line("u"),
        line("c", is_user=False, name=None),
        line("s", is_system=True, name="SillyTavern System"),
    ]
    found = messages(written("chat.jsonl", lines=lines))
    assert [(m.role, m.author) for m in found] == [
        ("person", "Pim"),
        ("agent", "Ælf"),
        ("system", "SillyTavern System"),
    ]


def test_the_person_given_replaces_the_name_and_keeps_it_beside(written):
    (message,) = messages(written("chat.jsonl", lines=[HEADER, line("hi")]), person="ada")
    assert (message.author, message.author_name) == ("ada", "Pim")


def test_a_damaged_line_is_listed_and_takes_its_number(written):
    path = written("chat.jsonl", lines=[HEADER, line("a"), '{"mes": "b', line("c"), line(None), "[1]", "7"])
    items = list(read(path))
    assert [(m.id, m.text) for m in items if isinstance(m, Message)] == [("0", "a"), ("2", "c")]
    assert [item.where for item in items if isinstance(item, Skipped)] == ["line 3", "line 5", "line 6", "line 7"]


def test_a_group_chat_without_a_header_is_recognised(written):
    path = written("group.bin", lines=[line("a"), line("b")])
    assert kind_of(path) == "sillytavern"
    assert [m.id for m in messages(path)] == ["0", "1"]


def test_a_chat_with_only_a_header_is_empty(written):
    path = written("chat.jsonl", lines=[HEADER])
    assert kind_of(path) == "sillytavern"
    assert messages(path) == []


def test_the_first_line_may_be_damaged(written):
    path = written("chat.jsonl", lines=['{"user_name": "Pim', line("a")])
    assert kind_of(path) == "sillytavern"
    assert [m.text for m in messages(path)] == ["a"]


def test_files_and_pictures_are_attachments(written):
    extra = {
        "image": "data:image/png;base64,AAAA",
        "file": {"name": "plan.pdf"},
        "media": [{"url": "/user/images/a.png"}],
    }
    (message,) = messages(written("chat.jsonl", lines=[HEADER, line("see", extra=extra)]))
    assert message.attachments == ("embedded picture", "/user/images/a.png", "plan.pdf")
