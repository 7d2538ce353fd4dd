"""DiscordChatExporter's messages keep their ids, authors, replies and times."""

from datetime import UTC, datetime

import pytest

from instar.core.errors import ImportUnreadable
from instar.core.records import Message
from instar.migrate.sources.detect import kind_of
from instar.migrate.sources.discord_export import read
from instar.migrate.sources.item import NotCarried, Skipped

OWL = {"id": "1023978623097589742", "name": "mill_owl", "nickname": "ミル", "isBot": False}


def export(*messages):
    return {"guild": {"id": "1"}, "channel": {"id": "77", "name": "café"}, "messages": list(messages)}


def message(identifier="1246593371830644149", **more):
    return {"id": identifier, "type": "Default", "timestamp": "2024-06-02T00:37:00.43+02:00", "author": OWL} | more


def messages(path):
    return [item for item in read(path) if isinstance(item, Message)]


def test_the_time_is_the_millisecond_of_the_id(written):
    (found,) = messages(written("a.json", document=export(message(content="hi"))))
    assert found.sent_at == datetime(2024, 6, 1, 22, 37, 0, 429_000, UTC)
    assert found.sent_at_original == "2024-06-02T00:37:00.43+02:00"


@pytest.mark.parametrize("identifier", ["abc", "12", "9" * 40])
def test_an_id_that_holds_no_time_leaves_it_to_the_timestamp(written, identifier):
    (found,) = messages(written("a.json", document=export(message(identifier))))
    assert found.sent_at == datetime(2024, 6, 1, 22, 37, 0, 430_000, UTC)


def test_bots_are_agents_and_what_discord_writes_is_system(written):
    bot = OWL | {"isBot": True}
    found = messages(
        written(
            "a.json",
            document=export(
                message("1", content="hi"),
                message("2", author=bot, type="Reply"),
                message("3", type="GuildMemberJoin", content="Joined the server."),
                message("4", type=None),
                message("5", type="20", author=bot),
            ),
        )
    )
    assert [each.role for each in found] == ["person", "agent", "system", "person", "agent"]
    assert found[2].person == OWL["id"]


def test_names_fall_back_from_nickname_to_name_to_id(written):
    authors = [OWL, OWL | {"nickname": None}, {"id": "5"}, {"id": 1023978623097589742, "name": "n"}]
    found = messages(written("a.json", document=export(*(message(str(n), author=a) for n, a in enumerate(authors)))))
    assert [(each.author, each.author_name) for each in found] == [
        ("1023978623097589742", "ミル"),
        ("1023978623097589742", "mill_owl"),
        ("5", None),
        ("1023978623097589742", "n"),
    ]


def test_replies_outside_the_export_edits_and_attachments_stay(written):
    more = {
        "content": "",
        "reference": {"messageId": "42"},
        "timestampEdited": "2024-06-02T08:33:25.043+02:00",
        "attachments": [{"fileName": "p ü.png"}, {"url": "https://cdn.invalid/a/b%20c.png?x=1"}, {"id": "9"}, None],
    }
    (found,) = messages(written("a.json", document=export(message(**more))))
    assert found.text == ""
    assert found.reply_to == "42"
    assert found.edited_at == datetime(2024, 6, 2, 6, 33, 25, 43_000, UTC)
    assert found.attachments == ("p ü.png", "b c.png", "9", "unnamed file")


def test_text_is_borrowed_from_forwards_and_embeds_and_the_rest_is_named(written):
    document = export(
        message("1", content="", forwardedMessage={"content": "passed on"}),
        message("2", content="", embeds=[{"title": "News", "description": "of the mill"}]),
        message("3", content="own words", embeds=[{"title": "News"}], reactions=[{"count": 2}]),
    )
    items = list(read(written("a.json", document=document)))
    assert [item.text for item in items if isinstance(item, Message)] == ["passed on", "News\nof the mill", "own words"]
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["embeds", "reactions"]


def test_a_message_without_author_comes_over_and_one_without_id_is_listed(written):
    items = list(read(written("a.json", document=export(message(author=None, content="hi"), message(None), None, 5))))
    (found,) = [item for item in items if isinstance(item, Message)]
    assert (found.author, found.text) == ("unknown", "hi")
    assert [item.why for item in items if isinstance(item, Skipped)] == ["it has no id"] * 3


def test_a_person_given_is_reported_as_of_no_use(written):
    items = list(read(written("a.json", document=export()), person="ada"))
    assert ["person given" in item.what for item in items] == [True]


def test_the_kind_is_found_in_indented_and_in_packed_form(written, tmp_path):
    import json

    packed = written("packed.txt", document=export(message()))
    indented = tmp_path / "indented.csv"
    indented.write_text(json.dumps(export(message()), indent=2), encoding="utf-8-sig")
    assert kind_of(packed) == kind_of(indented) == "discord"
    assert len(messages(indented)) == 1


def test_a_document_without_messages_is_refused(written):
    with pytest.raises(ImportUnreadable, match="no list of messages"):
        list(read(written("a.json", document={"channel": {}})))
