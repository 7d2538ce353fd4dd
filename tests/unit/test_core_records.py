from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.core import limits
from instar.core.errors import RecordInvalid, RecordTooLarge, ScopeMissing
from instar.core.records import (
    Memory,
    Message,
    MessageRef,
    Profile,
    Scope,
    checked_memory,
    checked_message,
    checked_profile,
    checked_time,
    plain,
)

AT = datetime(2026, 3, 1, 12, 30, 5, 250_000, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))

changed = msgspec.structs.replace


def message(**fields):
    return Message(**{"id": "m1", "channel": "kitchen", "author": "ada", "text": "hello", **fields})


def memory(**fields):
    return Memory(**{"id": "x", "person": "ada", "kind": "note", "text": "likes tea", **fields})


def test_a_good_message_comes_back_as_it_was():
    good = message(sent_at=AT, edited_at=AT, attachments=("photo.jpg",), person="ada")
    assert checked_message(good) is good


@pytest.mark.parametrize("field", ["id", "channel", "author", "person"])
def test_an_empty_identity_is_refused(field):
    with pytest.raises(RecordInvalid, match="is empty"):
        checked_message(message(**{field: ""}))


@pytest.mark.parametrize(
    ("field", "bytes_max"),
    [
        ("id", limits.MESSAGE_ID_MAX_BYTES),
        ("channel", limits.CHANNEL_ID_MAX_BYTES),
        ("author", limits.PERSON_ID_MAX_BYTES),
        ("person", limits.PERSON_ID_MAX_BYTES),
        ("text", limits.MESSAGE_TEXT_MAX_BYTES),
    ],
)
def test_a_bound_counts_bytes_and_includes_its_last_one(field, bytes_max):
    fits = "é" * (bytes_max // 2)
    assert checked_message(message(**{field: fits}))
    with pytest.raises(RecordTooLarge) as refused:
        checked_message(message(**{field: fits + "x"}))
    assert f"{bytes_max + 1:,} bytes" in refused.value.what
    assert f"{bytes_max:,} bytes" in refused.value.why


def test_too_many_attachments_are_refused():
    most = ("a",) * limits.ATTACHMENTS_PER_MESSAGE_MAX
    assert checked_message(message(attachments=most))
    with pytest.raises(RecordTooLarge, match="257 attachments"):
        checked_message(message(attachments=(*most, "b")))


@pytest.mark.parametrize("field", ["sent_at", "edited_at"])
@pytest.mark.parametrize("at", [AT.replace(tzinfo=None), AT.astimezone(BERLIN)])
def test_a_time_that_is_not_utc_is_refused_by_the_name_of_its_field(field, at):
    with pytest.raises(RecordInvalid, match=field):
        checked_message(message(**{field: at}))


def test_half_a_character_is_refused_with_its_place():
    with pytest.raises(RecordInvalid, match="lone surrogate at character 3"):
        checked_message(message(text="abc\ud83d"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_every_text_that_is_unicode_is_accepted(text):
    assert checked_message(message(text=text)).text == text


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_a_memory_of_nothing_is_refused(text):
    with pytest.raises(RecordInvalid, match="memory 'x' is empty"):
        checked_memory(memory(text=text))


@pytest.mark.parametrize("field", ["id", "person"])
def test_a_memory_without_identity_is_refused(field):
    with pytest.raises(RecordInvalid, match="is empty"):
        checked_memory(memory(**{field: ""}))


def test_a_memory_keeps_its_bound():
    fits = "x" * limits.MEMORY_TEXT_MAX_BYTES
    assert checked_memory(memory(text=fits)).text == fits
    with pytest.raises(RecordTooLarge):
        checked_memory(memory(text=fits + "x"))


def test_a_profile_is_checked_for_identity_and_times():
    good = Profile(person="ada", first_seen=AT, last_seen=AT)
    assert checked_profile(good) is good
    with pytest.raises(RecordInvalid, match="person"):
        checked_profile(changed(good, person=""))
    for field in ("first_seen", "last_seen"):
        with pytest.raises(RecordInvalid, match=f"{field} of 'ada'"):
            checked_profile(changed(good, **{field: AT.replace(tzinfo=None)}))


def test_no_time_is_a_good_time():
    assert checked_time("sent_at", None) is None


def test_a_scope_without_a_person_is_refused():
    with pytest.raises(ScopeMissing):
        Scope("")


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"person": "ada"}, True),
        ({"person": "ada", "channel": "elsewhere"}, True),
        ({"person": "bob"}, False),
        ({"person": "bob", "channel": "kitchen"}, False),
        ({"person": "bob", "channel": "kitchen", "shared": True}, True),
        ({"person": "bob", "channel": "cellar", "shared": True}, False),
        ({"person": "bob", "shared": True}, False),
    ],
)
def test_a_scope_allows_ones_own_and_what_was_said_among_several_in_its_channels(fields, allowed):
    assert Scope("ada", channels=("kitchen",)).allows(memory(**fields)) is allowed


def test_a_scope_without_channels_allows_only_ones_own():
    assert not Scope("ada").allows(memory(person="bob", channel="kitchen", shared=True))


@pytest.mark.parametrize("value", [message(), memory(), Profile(person="ada"), Scope("ada")])
def test_values_cannot_be_changed(value):
    with pytest.raises(AttributeError):
        value.person = "bob"


def test_a_field_nobody_knows_is_refused_when_read():
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"id": "m", "channel": "c", "author": "a", "text": "t", "colour": "red"}, Message)


def test_printed_times_are_rfc_3339_in_utc():
    printed = plain(message(sent_at=AT))
    assert printed["sent_at"] == "2026-03-01T12:30:05.250000Z"


def test_a_printed_value_is_json_and_reads_back_as_itself():
    value = message(sent_at=AT, attachments=("a", "b"), citations=(MessageRef("c", "m0"),))
    assert msgspec.convert(json.loads(json.dumps(plain(value))), Message) == value
