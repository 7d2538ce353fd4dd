"""ChatGPT's tree of nodes becomes messages in order, with branches, files and what is out of sight."""

import zipfile

import pytest

from instar.core.errors import ImportUnreadable
from instar.core.records import Message
from instar.migrate.sources.chatgpt import read
from instar.migrate.sources.detect import kind_of
from instar.migrate.sources.item import NotCarried, Skipped


def node(key, parent, children=(), *, role="user", parts=("hi",), **more):
    message = {"id": f"m-{key}", "author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}}
    return {"id": key, "parent": parent, "children": list(children), "message": message | more}


def conversation(nodes, *, current=None, **more):
    return {"id": "c1", "current_node": current, "mapping": {each["id"]: each for each in nodes}} | more


def messages(path):
    return [item for item in read(path) if isinstance(item, Message)]


def ids(path):
    return [message.id for message in messages(path)]


def test_branches_come_in_pre_order_and_only_the_current_path_is_selected(written):
    nodes = [node("d", "b"), node("a", None, ["b", "c"]), node("c", "a"), node("b", "a", ["d"])]
    found = messages(written("conversations.json", document=[conversation(nodes, current="c")]))
    assert [(message.id, message.selected) for message in found] == [
        ("m-a", True),
        ("m-b", False),
        ("m-d", False),
        ("m-c", True),
    ]


def test_orphans_and_cycles_follow_and_nothing_comes_twice(written):
    nodes = [
        node("root", None, ["a", "gone"]),
        node("a", "root", ["root", "a"]),
        node("orphan", "missing", ["child"]),
        node("child", "orphan"),
        node("x", "y", ["y"]),
        node("y", "x", ["x"]),
    ]
    found = ids(written("conversations.json", document=[conversation(nodes)]))
    assert found == ["m-root", "m-a", "m-orphan", "m-child", "m-x", "m-y"]


def test_a_chain_of_ten_thousand_messages_needs_no_recursion(written):
    last = 10_000
    nodes = [node(str(n), str(n - 1) if n else None, [str(n + 1)] if n < last else []) for n in range(last + 1)]
    assert len(ids(written("conversations.json", document=[conversation(nodes, current=str(last))]))) == last + 1


def test_without_a_current_node_everything_is_selected(written):
    path = written("conversations.json", document=[conversation([node("a", None, ["b"]), node("b", "a")])])
    assert all(message.selected for message in messages(path))


def test_nodes_without_a_message_give_nothing(written):
    nodes = [{"id": "root", "parent": None, "children": ["a"], "message": None}, node("a", "root")]
    assert ids(written("conversations.json", document=[conversation(nodes)])) == ["m-a"]


def test_parts_are_joined_and_pointers_become_attachments(written):
    parts = [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://one"},
        "look",
        {"content_type": "audio_transcription", "text": "and listen"},
        {
            "content_type": "real_time_user_audio_video_asset_pointer",
            "audio_asset_pointer": {"asset_pointer": "sediment://two"},
            "frames_asset_pointers": [{"asset_pointer": "sediment://three"}],
        },
        None,
        {"content_type": "hologram", "beam": 1},
    ]
    items = list(read(written("conversations.json", document=[conversation([node("a", None, parts=parts)])])))
    (message,) = [item for item in items if isinstance(item, Message)]
    assert message.text == "look\nand listen"
    assert message.attachments == ("file-service://one", "sediment://two", "sediment://three")
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["part of type 'hologram'"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"content_type": "code", "language": "python", "text": "print(1)"}, "print(1)"),
        ({"content_type": "execution_output", "text": "1\n"}, "1\n"),
        (
            {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "one"}, {"content": "two"}]},
            "one\ntwo",
        ),
        ({"content_type": "reasoning_recap", "content": "Thought for 3s"}, "Thought for 3s"),
        (
            {"content_type": "user_editable_context", "user_profile": "Ada", "user_instructions": "Be kind"},
            "Ada\nBe kind",
        ),
        ({"content_type": "tether_browsing_display", "result": "found", "summary": None}, "found"),
        ({"content_type": "text", "parts": None}, ""),
        (None, ""),
    ],
)
def test_every_content_type_gives_its_text(written, content, text):
    (message,) = messages(written("conversations.json", document=[conversation([node("a", None, content=content)])]))
    assert message.text == text


def test_an_unknown_content_type_is_named_in_the_report(written):
    nodes = [node("a", None, content={"content_type": "dream", "scenes": ["sea"]})]
    items = list(read(written("conversations.json", document=[conversation(nodes)])))
    assert [item.what for item in items if isinstance(item, NotCarried)] == ["content of type 'dream'"]


def test_uploaded_files_are_named_unless_a_part_points_to_them(written):
    metadata = {"attachments": [{"id": "file-1", "name": "seen.png"}, {"id": "file-2", "name": "plan.pdf"}]}
    parts = [{"asset_pointer": "file-service://file-1"}, "two files"]
    (message,) = messages(
        written("conversations.json", document=[conversation([node("a", None, parts=parts, metadata=metadata)])])
    )
    assert message.attachments == ("file-service://file-1", "plan.pdf")


@pytest.mark.parametrize(
    ("written_as", "utc", "original"),
    [
        ("1697371268.613314", "2023-10-15T12:01:08.613314+00:00", "1697371268.613314"),
        ("1.697371268e9", "2023-10-15T12:01:08+00:00", "1.697371268e9"),
        ("1697371268", "2023-10-15T12:01:08+00:00", "1697371268"),
        ("1e300", None, "1e300"),
        ("null", None, None),
        ("true", None, None),
        ('"2023-10-15T12:01:08Z"', "2023-10-15T12:01:08+00:00", None),
    ],
)
def test_times_keep_the_digits_of_the_source(written, written_as, utc, original):
    node_json = '{"id":"a","parent":null,"message":{"id":"m","create_time":WHEN,"author":{"role":"user"}}}'
    content = '[{"id":"c","mapping":{"a":' + node_json.replace("WHEN", written_as) + "}}]"
    path = written("conversations.json", content=content.encode())
    (message,) = messages(path)
    assert (message.sent_at and message.sent_at.isoformat(), message.sent_at_original) == (utc, original)


def test_nulls_everywhere_lose_no_message(written):
    bare = {"id": "a", "parent": None, "children": None, "message": {"id": None, "author": None, "content": None}}
    (message,) = messages(written("conversations.json", document=[conversation([bare])]))
    assert (message.id, message.role, message.text) == ("a", "system", "")


def test_a_conversation_without_id_or_mapping_is_listed(written):
    path = written(
        "conversations.json", document=[{"mapping": {}}, {"id": "c2"}, None, conversation([node("a", None)])]
    )
    skipped = [item for item in read(path) if isinstance(item, Skipped)]
    assert [(item.where, item.why) for item in skipped] == [
        ("conversation 0", "it has no id"),
        ("conversation 1", "it has no mapping of messages"),
        ("conversation 2", "it has no id"),
    ]
    assert ids(path) == ["m-a"]


def test_an_empty_conversation_and_an_empty_export_hold_nothing(written):
    assert ids(written("one.json", document=[conversation([])])) == []
    empty = written("none.json", document=[])
    assert kind_of(empty) == "chatgpt"
    assert ids(empty) == []


def test_the_zip_the_folder_and_the_shards_are_read(written, tmp_path):
    single = written("source.json", document=[conversation([node("a", None)])]).read_bytes()
    other = written("other.json", document=[conversation([node("b", None)], id="c2")]).read_bytes()
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("export/conversations.json", single)
        archive.writestr("export/user.json", b"{}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "conversations-000.json").write_bytes(single)
    (folder / "conversations-001.json").write_bytes(other)
    assert kind_of(tmp_path / "export.zip") == kind_of(folder) == "chatgpt"
    assert ids(tmp_path / "export.zip") == ["m-a"]
    assert ids(folder) == ["m-a", "m-b"]


def test_a_damaged_zip_and_one_of_something_else_are_refused(written, tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("letter.txt", b"hello")
    with pytest.raises(ImportUnreadable, match=r"no conversations\.json"):
        ids(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("conversations.json", b"[" + b" " * 1_000 + b"]")
    content = bytearray((tmp_path / "good.zip").read_bytes())
    content[200] ^= 0xFF
    with pytest.raises(ImportUnreadable, match="damaged"):
        ids(written("bad.zip", content=bytes(content)))


def test_half_a_character_is_mended_and_said(written):
    path = written("conversations.json", document=[conversation([node("a", None, parts=["\ud83d! \U0001f331"])])])
    items = list(read(path))
    assert [item.text for item in items if isinstance(item, Message)] == ["�! \U0001f331"]
    assert ["half characters" in item.what for item in items if isinstance(item, NotCarried)] == [True]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_understood(written, encoding):
    text = '[{"id": "c", "mapping": {"a": {"message": {"id": "m", "content": {"parts": ["é🌱"]}}}}}]'
    path = written("conversations.json", content=text.encode(encoding))
    assert kind_of(path) == "chatgpt"
    assert [message.text for message in messages(path)] == ["é🌱"]


def test_bytes_that_are_no_text_are_refused_with_their_offset(written):
    content = b'[{"id": "c", "title": "caf\xe9", "mapping": {}}]' + b" " * 2_000_000
    with pytest.raises(ImportUnreadable, match="byte 0xe9 at offset 26"):
        list(read(written("latin.json", content=content)))
    late = b"[" + b" " * (1024 * 1024 - 2) + b"\xe2\x82" + b"]"
    with pytest.raises(ImportUnreadable, match="offset 1,048,575"):
        list(read(written("late.json", content=late)))


def test_json_nested_beyond_reason_is_refused(written):
    with pytest.raises(ImportUnreadable):
        kind_of(written("deep.json", content=b"[" * 100_000))
    deep = b'[{"id": "c", "mapping": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}]"
    with pytest.raises(ImportUnreadable, match="nested"):
        list(read(written("deeper.json", content=deep)))


def test_numbers_that_are_no_json_are_taken_where_python_wrote_them(written):
    path = written(
        "conversations.json", content=b'[{"id": "c", "score": NaN, "mapping": {"a": {"message": {"id": "m"}}}}]'
    )
    assert ids(path) == ["m"]


@pytest.mark.parametrize("content", ["bare words", {"content_type": "text", "parts": "bare words"}])
def test_a_text_without_its_wrapping_is_still_the_text(written, content):
    path = written("conversations.json", document=[conversation([node("a", None, content=content)])])
    assert [message.text for message in messages(path)] == ["bare words"]


def test_milliseconds_where_seconds_belong_are_the_same_instant(written):
    nodes = [node("a", None, ["b"], create_time=1733016448.5), node("b", "a", create_time=1733016448500)]
    first, second = messages(written("conversations.json", document=[conversation(nodes)]))
    assert first.sent_at == second.sent_at
