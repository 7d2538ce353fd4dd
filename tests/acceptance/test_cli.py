"""The command line as a user meets it: names, JSON keys, streams and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from instar.testing.openai_stub import Drop, OpenAIStub, Say

INSTAR = str(Path(sys.executable).with_name("instar"))
MESSAGE_KEYS = {
    "id",
    "channel",
    "author",
    "role",
    "sent_at",
    "sent_at_original",
    "text",
    "reply_to",
    "attachments",
    "selected",
}
MEMORY_KEYS = {"id", "person", "kind", "text", "source_message_id", "created_at", "superseded_by", "score", "why"}


@pytest.fixture
def run(tmp_path):
    """Run `instar` with a home of its own, a bare environment and the hashing embedder."""

    def runner(*arguments: str, stdin: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [INSTAR, *arguments],
            input=given,
            capture_output=True,
            cwd=tmp_path,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "INSTAR_HOME": str(tmp_path / "home"),
                "INSTAR_EMBEDDINGS_KIND": "hashing",
                **environment,
            },
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return runner


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def test_alone_it_prints_three_things_to_try(run):
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == snapshot(
        """\
instar: an agent that remembers, on plain files. Three things to try first:

  instar chat --person you                       talk with it in the terminal
  instar serve                                   open it in the browser
  instar import examples/ada.jsonl               bring a conversation, then ask about it

`instar --help` lists every command; `instar COMMAND --help` shows an example of one.
"""
    )


@pytest.mark.parametrize(
    "command",
    [
        "ask",
        "chat",
        "serve",
        "messages",
        "memories",
        "profile",
        "people",
        "channels",
        "import",
        "export",
        "forget",
        "status",
        "doctor",
    ],
)
def test_every_command_has_help_with_an_example(run, command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Example: instar" in done.stdout
    assert {"--home", "--json", "--debug"} <= set(done.stdout.split())


def test_what_was_told_is_answered_with_its_message(run):
    told = lines(run("ask", "My birthday is on 3 May", "--person", "ada", "--message-id", "m-1", "--json"))[0]
    assert set(told) >= {"reply", "reply_id", "message_id", "responder", "citations"}
    answer = lines(run("ask", "When is my birthday?", "--person", "ada", "--json"))[0]
    assert "3 May" in answer["reply"]
    assert answer["responder"]["kind"] == "extractive"
    assert [(each["message_id"], each["channel"], each["author"]) for each in answer["citations"]] == [
        ("m-1", "cli", "ada")
    ]
    assert set(answer["citations"][0]) == {"message_id", "channel", "author", "sent_at", "text"}


def test_asking_again_with_the_same_id_gives_the_same_reply_once(run):
    first, second = (
        lines(run("ask", "hello", "--person", "ada", "--message-id", "m-1", "--json"))[0] for _ in range(2)
    )
    assert first == second
    assert len(lines(run("messages", "--json"))) == 2


def test_another_person_does_not_learn_it(run):
    run("ask", "My birthday is on 3 May", "--person", "ada")
    answer = lines(run("ask", "When is my birthday?", "--person", "bob", "--json"))[0]
    assert "May" not in answer["reply"]
    assert answer["citations"] == []


def test_listings_have_the_promised_keys(run):
    run("ask", "I live in Bristol. Remember that the spare key is under the fern.", "--person", "ada")
    assert all(set(each) >= MESSAGE_KEYS for each in lines(run("messages", "--json")))
    memories = lines(run("memories", "--person", "ada", "--json"))
    assert memories
    assert all(set(each) >= MEMORY_KEYS for each in memories)
    hit = lines(run("memories", "--person", "ada", "--query", "spare key", "--why", "--json"))[0]
    assert "fern" in hit["text"]
    assert hit["why"]["word_rank"] == 1
    profile = lines(run("profile", "ada", "--json"))[0]
    assert set(profile) >= {
        "person",
        "name",
        "relationship_level",
        "interaction_count",
        "first_seen",
        "last_seen",
        "emotion_samples",
        "facts",
    }
    assert {each["source_message_id"] for each in profile["facts"]} <= {
        each["id"] for each in lines(run("messages", "--json"))
    }
    assert [(each["person"], each["messages"]) for each in lines(run("people", "--json"))] == [("ada", 1)]
    assert [(each["channel"], each["messages"]) for each in lines(run("channels", "--json"))] == [("cli", 2)]


def test_chat_through_a_pipe_answers_line_by_line(run):
    done = run("chat", "--person", "ada", stdin="I live in Bristol\nWhere do I live?\n/quit\n")
    assert done.returncode == 0
    assert "You live in Bristol" in done.stdout


def test_chat_commands_work_through_a_pipe(run):
    done = run(
        "chat",
        "--person",
        "ada",
        stdin="I live in Bristol\n/memories\nWhere do I live?\n/why\n/export all.jsonl\n/forget nothing\n/help\n/nope\n",
    )
    assert done.returncode == 0
    assert "I live in Bristol  (fact, ada," in done.stdout
    assert "words: rank" in done.stdout
    assert "digest" in done.stdout
    assert "/forget me" in done.stdout
    assert "error: you have no memory 'nothing'" in done.stderr
    assert "/nope is not a command" in done.stderr


def test_export_import_export_gives_the_same_bytes(run, tmp_path):
    run("ask", "I live in Bristol, and I am worried about the exam.", "--person", "ada")
    first = lines(run("export", "--to", "one.jsonl", "--json"))[0]
    assert set(first) == {"records", "digest"}
    report = lines(run("import", "one.jsonl", "--json", "--home", "other"))[0]
    assert set(report) >= {"kind", "read", "written", "already_there", "skipped"}
    second = lines(run("export", "--to", "two.jsonl", "--json", "--home", "other"))[0]
    assert first == second
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_forget_prints_a_receipt_and_an_old_export_does_not_bring_the_person_back(run):
    run("ask", "I live in Bristol and my cat is called Quibble Marmalade.", "--person", "ada")
    run("ask", "I live in Leeds.", "--person", "bob")
    run("export", "--to", "old.jsonl")
    assert lines(run("forget", "ada", "--dry-run", "--json"))[0]["records"]["conversations"] == 2
    receipt = lines(run("forget", "ada", "--json"))[0]
    assert receipt["verified_absent"] is True
    assert receipt["bytes_scanned"] > 0
    assert receipt["records"]["profiles"] == 1
    run("import", "old.jsonl")
    assert [each["person"] for each in lines(run("people", "--json"))] == ["bob"]
    assert run("profile", "ada").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (["ask", "", "--person", "ada"], "", 1, "error: the message is empty"),
        (["ask", "   ", "--person", "ada"], "", 1, "error: the message is empty"),
        (["ask", "bell \x07", "--person", "ada"], "", 1, "control character"),
        (["ask", "-", "--person", "ada"], b"\xff\xfe", 1, "is not UTF-8 at byte 0"),
        (["ask", "-", "--person", "ada"], b"x" * (4 * 1024 * 1024 + 1), 1, "the bound is 4,194,304 bytes"),
        (["ask", "hello"], "", 2, "Missing option '--person'"),
        (["profile", "nobody"], "", 1, "nobody called 'nobody' is known"),
        (["forget", "nobody"], "", 1, "nobody called 'nobody' is known"),
        (["messages", "--channel", "nowhere"], "", 1, "there is no channel 'nowhere'"),
        (["memories", "--query", "x"], "", 2, "--query needs --person"),
        (["import", "missing.json"], "", 1, "missing.json"),
        (["export", "--to", "no/such/directory/x"], "", 1, "no/such/directory"),
        (["frobnicate"], "", 2, "No such command"),
    ],
)
def test_bad_input_is_refused_with_the_next_step(run, arguments, stdin, code, says):
    run("ask", "hello", "--person", "someone")
    done = run(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    if code == 1:
        assert [line.partition(":")[0] for line in done.stderr.strip().split("\n")][:3] == ["error", "why", "next"]
    assert "Traceback" not in done.stderr


def test_a_message_of_one_megabyte_is_answered(run):
    done = run("ask", "-", "--person", "ada", "--json", stdin="word " * 200_000)
    assert lines(done)[0]["message_id"]


def test_errors_are_json_when_json_is_asked_for(run):
    done = run("profile", "nobody", "--json")
    assert set(json.loads(done.stderr)["error"]) == {"code", "what", "why", "next"}


def test_a_wrong_setting_names_variable_value_and_expectation(run):
    done = run("config", "show", INSTAR_SERVER_PORT="99999999")
    assert done.returncode == 1
    assert done.stderr == snapshot(
        """\
error: server.port is '99999999', from INSTAR_SERVER_PORT
why: Expected `int` <= 65535
next: correct INSTAR_SERVER_PORT, or take it away to use the default; `instar config show` lists all
"""
    )


def test_config_show_says_where_each_value_came_from_and_hides_secrets(run, tmp_path):
    (tmp_path / "instar.toml").write_text('[agent]\nname = "Mira"\n')
    rows = {
        each["key"]: each
        for each in lines(run("config", "show", "--json", LLM_MODEL_NAME="q", INSTAR_MODEL_API_KEY="s3cret"))
    }
    assert (rows["agent.name"]["value"], rows["agent.name"]["source"]) == ("Mira", "instar.toml")
    assert (rows["model.name"]["value"], rows["model.name"]["source"]) == ("q", "LLM_MODEL_NAME")
    assert rows["model.api_key"]["value"] == "(hidden)"
    assert "s3cret" not in json.dumps(rows)


def test_a_read_only_directory_is_named(run, tmp_path):
    (tmp_path / "taken").write_text("a file, where a directory is needed")
    done = run("ask", "hello", "--person", "ada", "--home", "taken/home")
    assert done.returncode == 1
    assert "cannot be prepared" in done.stderr


def test_nothing_listens_and_nothing_is_stored_for_a_look_at_an_empty_place(run, tmp_path):
    done = run("status")
    assert done.returncode == 1
    assert "there is no home at" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_doctor_is_content_with_a_good_home(run):
    run("ask", "hello", "--person", "ada")
    done = run("doctor", "--json")
    assert lines(done)[0]["ok"] is True


def test_a_dry_run_into_a_home_that_is_not_there_makes_none(run, tmp_path):
    message = {"id": "1", "channel": "c", "author": "ada", "role": "person", "sent_at": None, "text": "hello"}
    (tmp_path / "talk.jsonl").write_text(json.dumps(message))
    (report,) = lines(run("import", "talk.jsonl", "--dry-run", "--json"))
    assert (report["would_write"], report["written"]) == (1, 0)
    assert not (tmp_path / "home").exists()


def test_a_reply_that_breaks_off_keeps_its_own_line_and_shows_in_the_exit_code(run):
    with OpenAIStub() as stub:
        stub.will(Drop(("Hel",)), Say("the second answer"))
        done = run(
            "chat",
            "--person",
            "ada",
            stdin="say hello\nsay more\n",
            INSTAR_MODEL_URL=stub.url,
            INSTAR_MODEL_NAME="stub-model",
        )
    assert (done.returncode, done.stdout) == (1, "Hel\nthe second answer\n")
    assert done.stderr.startswith("error: the connection to stub-model was lost")


def test_control_characters_of_a_message_never_reach_a_terminal(run, tmp_path):
    message = {"id": "1", "channel": "c", "author": "ada", "role": "person", "sent_at": None, "text": "a\x1b]0;x\x07b"}
    (tmp_path / "talk.jsonl").write_text(json.dumps(message))
    assert lines(run("import", "talk.jsonl", "--json"))[0]["written"] == 1
    shown = run("messages", "--channel", "c").stdout
    assert "ada: a\ufffd]0;x\ufffdb" in shown
    assert lines(run("messages", "--json"))[0]["text"] == message["text"]
