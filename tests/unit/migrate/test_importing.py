"""An import writes everything once, says what it left out, and can be killed and run again."""

import gzip

import pytest

from instar.core.errors import ImportKindUnknown, ImportUnreadable
from instar.core.limits import IMPORT_BATCH_MESSAGES
from instar.core.records import Scope
from instar.migrate.importing import import_file

LETTA = {
    "agent_type": "memgpt_agent",
    "name": "helper",
    "core_memory": [{"label": "human", "value": "Name: Ada"}, {"label": "empty", "value": " "}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}], "created_at": "2025-01-01T00:00:00"}],
}


async def everything(home):
    return await home.conversations.page(limit=10_000)


async def test_every_message_is_written_in_order(home, written, plain_line):
    path = written("talk.jsonl", lines=[plain_line(f"message {index}") for index in range(600)])
    report = await import_file(home, path)
    assert (report.kind, report.read, report.written, report.already_there, report.skipped) == (
        "plain",
        600,
        600,
        0,
        (),
    )
    assert [message.text for message in await everything(home)] == [f"message {index}" for index in range(600)]


async def test_importing_again_writes_nothing_and_doubles_nothing(home, written, plain_line):
    path = written("talk.jsonl", lines=[plain_line("the same"), plain_line("the same"), plain_line("other")])
    await import_file(home, path)
    report = await import_file(home, path)
    assert (report.written, report.already_there, report.skipped_total) == (0, 3, 0)
    assert len(await everything(home)) == 3


class Killed(BaseException):
    pass


async def test_a_killed_import_is_finished_by_running_it_again(home, written, plain_line):
    path = written("talk.jsonl", lines=[plain_line(f"message {index}", id=str(index)) for index in range(1_000)])
    learned = set()

    async def die_in_the_second_batch(messages):
        if learned:
            raise Killed
        learned.update(message.id for message in messages)

    async def learn(messages):
        learned.update(message.id for message in messages)

    with pytest.raises(Killed):
        await import_file(home, path, learn=die_in_the_second_batch)
    report = await import_file(home, path, learn=learn)
    assert report.written == 1_000 - 2 * IMPORT_BATCH_MESSAGES
    assert report.already_there == 2 * IMPORT_BATCH_MESSAGES
    assert [message.id for message in await everything(home)] == [str(index) for index in range(1_000)]
    assert len(learned) == 1_000


async def test_a_dry_run_writes_nothing_and_says_what_it_would_write(home, written, plain_line):
    await import_file(home, written("first.jsonl", lines=[plain_line("one", id="1")]))
    path = written("second.jsonl", lines=[plain_line("one", id="1"), plain_line("two", id="2")])
    report = await import_file(home, path, dry_run=True)
    assert (report.dry_run, report.written, report.would_write, report.already_there) == (True, 0, 1, 1)
    assert len(await everything(home)) == 1


async def test_a_message_that_breaks_a_rule_is_listed_and_the_rest_comes_over(home, written, plain_line):
    path = written(
        "talk.jsonl", lines=[plain_line("fits"), plain_line("x" * (4 * 1024 * 1024 + 1)), plain_line("also")]
    )
    report = await import_file(home, path)
    assert report.written == 2
    assert "bound" in report.skipped[0].why


async def test_two_messages_with_one_id_are_one_message_and_one_reason(home, written, plain_line):
    path = written("talk.jsonl", lines=[plain_line("first", id="7"), plain_line("second", id="7")])
    report = await import_file(home, path)
    assert (report.read, report.written, report.skipped_total) == (2, 1, 1)
    assert "another message with this id" in report.skipped[0].why
    assert [message.text for message in await everything(home)] == ["first"]


async def test_every_read_thing_is_written_there_or_skipped(home, written, plain_line):
    lines = [plain_line("a"), "{broken", plain_line("b", role="robot"), plain_line("c"), plain_line("c", channel=None)]
    report = await import_file(home, written("talk.jsonl", lines=lines))
    assert report.read == report.written + report.already_there + report.skipped_total == 5
    assert [skipped.where for skipped in report.skipped] == ["line 2", "line 3", "line 5"]


async def test_a_person_asking_alone_is_not_shared_and_two_people_are(home, written, plain_line):
    path = written(
        "talk.jsonl",
        lines=[
            plain_line("alone", channel="one"),
            plain_line("together", channel="two"),
            plain_line("with me", channel="two", author="bob"),
        ],
    )
    await import_file(home, path)
    assert {message.text: message.shared for message in await everything(home)} == {
        "alone": False,
        "together": True,
        "with me": True,
    }


async def test_an_answer_belongs_to_the_one_it_replies_to_or_who_spoke_last(home, written, plain_line):
    answer = {"author": "instar", "role": "agent"}
    lines = [
        plain_line("welcome", **answer),
        plain_line("q1", id="q1"),
        plain_line("q2", id="q2", author="bob"),
        plain_line("to bob", **answer),
        plain_line("to ada", id="a1", reply_to="q1", **answer),
        plain_line("more to ada", reply_to="a1", **answer),
    ]
    await import_file(home, written("talk.jsonl", lines=lines))
    people = {message.text: message.person for message in await everything(home)}
    assert people == {
        "welcome": None,
        "q1": "ada",
        "q2": "bob",
        "to bob": "bob",
        "to ada": "ada",
        "more to ada": "ada",
    }


async def test_what_stands_before_the_only_human_speaks_belongs_to_them(home, written, plain_line):
    lines = [plain_line("welcome", author="instar", role="agent"), plain_line("hello")]
    await import_file(home, written("talk.jsonl", lines=lines))
    assert [message.person for message in await everything(home)] == ["ada", "ada"]


async def test_forgotten_messages_do_not_come_back_and_are_not_learned(home, written, plain_line):
    path = written("talk.jsonl", lines=[plain_line("my secret", id="1"), plain_line("mine", id="2", author="bob")])
    await import_file(home, path)
    await home.forget("ada")
    learned = []

    async def learn(messages):
        learned.extend(message.text for message in messages)

    report = await import_file(home, path, learn=learn)
    assert (report.written, report.already_there, report.skipped_total) == (0, 1, 1)
    assert "forgotten" in report.skipped[0].why
    assert learned == ["mine"]


async def test_hidden_and_unselected_messages_are_stored_and_not_learned(home, written, plain_line):
    lines = [plain_line("shown"), plain_line("branch", selected=False), plain_line("plumbing", hidden=True)]
    learned = []

    async def learn(messages):
        learned.extend(message.text for message in messages)

    report = await import_file(home, written("talk.jsonl", lines=lines), learn=learn)
    assert report.written == 3
    assert learned == ["shown"]


async def test_memory_blocks_are_remembered_for_the_person_and_empty_ones_are_listed(home, written):
    path = written("helper.af", document=LETTA)
    report = await import_file(home, path, person="ada")
    assert (report.kind, report.read, report.written, report.memories) == ("letta", 3, 2, 1)
    assert report.skipped[0].where == "channel helper, memory block empty"
    blocks = await home.memories.listing(Scope("ada"))
    assert [(block.kind, block.text) for block in blocks] == [("block", "Name: Ada")]
    assert (await import_file(home, path, person="ada")).already_there == 2


async def test_progress_reaches_the_total(home, written, plain_line):
    told = []
    path = written("talk.jsonl", lines=[plain_line(f"message {index}") for index in range(700)])
    await import_file(home, path, progress=told.append)
    assert (told[-1].phase, told[-1].done, told[-1].total) == ("writing", 700, 700)
    assert {progress.phase for progress in told} == {"reading", "writing"}


async def test_a_document_that_ends_in_the_middle_writes_nothing(home, written):
    whole = b'[{"id": "c", "mapping": {"n": {"message": {"id": "m", "author": {"role": "user"}, "content": {"parts": ["hi"]}}}}}]'
    for length in range(2, len(whole)):
        with pytest.raises(ImportUnreadable) as refused:
            await import_file(home, written("cut.json", content=whole[:length]))
        assert "byte" in refused.value.why
    assert not await everything(home)


async def test_an_unknown_kind_names_the_known_ones(home, written):
    with pytest.raises(ImportKindUnknown) as refused:
        await import_file(home, written("talk.jsonl", content=b"{}"), kind="telegram")
    assert "chatgpt" in refused.value.why


@pytest.mark.parametrize(
    "content", [b"Dear diary, today", b'{"some": "json"}', b'[{"some": "json"}]', b"42", b'{"a": 1}\n{"b": 2}']
)
async def test_a_file_of_no_known_format_is_refused(home, written, content):
    with pytest.raises((ImportKindUnknown, ImportUnreadable)):
        await import_file(home, written("what.txt", content=content))


@pytest.mark.parametrize("content", [b"", b" \n\n ", b"\xef\xbb\xbf"])
async def test_an_empty_file_is_refused(home, written, content):
    with pytest.raises(ImportUnreadable, match="empty"):
        await import_file(home, written("empty.json", content=content))


async def test_a_directory_and_a_missing_file_are_refused(home, tmp_path):
    with pytest.raises(ImportUnreadable, match="directory"):
        await import_file(home, tmp_path)
    with pytest.raises(ImportUnreadable, match="No such file"):
        await import_file(home, tmp_path / "missing.json")


async def test_a_packed_file_is_refused_with_the_command_that_unpacks_it(home, written):
    with pytest.raises(ImportUnreadable) as refused:
        await import_file(home, written("chat.json.gz", content=gzip.compress(b"[]")))
    assert "gunzip" in refused.value.next


async def test_a_wrong_kind_is_refused_and_writes_nothing(home, written):
    discord = {"channel": {"id": "1"}, "messages": [{"id": "2", "content": "hello", "author": {"id": "3"}}]}
    with pytest.raises(ImportKindUnknown) as refused:
        await import_file(home, written("chat.json", document=discord), kind="letta")
    assert "--kind discord" in refused.value.next
    assert await everything(home) == []
