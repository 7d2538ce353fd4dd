"""Others read a home: processes beside its owner, processes without the right to write, and other programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import instar
from instar.core.clock import ManualClock
from instar.core.errors import HomeMissing, HomeReadOnly, RecordInvalid, StoreCorrupt
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Memory, Message, Profile, Scope
from instar.core.settings import EmbeddingSettings, Settings
from instar.stores.home import _methods
from instar.stores.registry import READS

INSTAR = str(Path(sys.executable).with_name("instar"))
SETTINGS = Settings(embeddings=EmbeddingSettings(kind="hashing"))
ADA = PersonId("ada")
PLAIN_USER = (
    ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
)  # a superuser may write where nobody may; without capabilities it may not
OWNER = """
import asyncio, sys, instar
async def main():
    async with instar.open(sys.argv[1]) as home:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


def opening(path, *, read_only=False):
    return instar.open(path, settings=SETTINGS, clock=ManualClock(), read_only=read_only)


def message(number: int, text: str = "") -> Message:
    return Message(id=MessageId(f"m{number}"), channel=ChannelId("c"), author=ADA, text=text or f"text {number}")


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


@pytest.fixture
def home(tmp_path):
    """A closed home: some of it sealed, some of it only in the log, one message edited and one deleted."""
    asyncio.run(begin(tmp_path / "home"))
    return tmp_path / "home"


async def begin(path):
    async with opening(path) as opened:
        await opened.conversations.append_many([message(number) for number in range(10)])
        await opened.profiles.save(Profile(person=ADA, interaction_count=3), expected_version=0)
        await opened.memories.remember([Memory(id="n1", person=ADA, kind="note", text="the boat is red")])
        await opened.files("messages", seal=True)
        await opened.conversations.edit(ChannelId("c"), MessageId("m1"), text="edited", edited_at=ManualClock().now())
        await opened.conversations.delete(ChannelId("c"), MessageId("m2"))
        await opened.conversations.append(message(10))


@pytest.fixture
def owner(home):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "INSTAR_EMBEDDINGS_KIND": "hashing"},
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


# --- instar.open(read_only=True) --------------------------------------------------------------------


async def test_a_reader_sees_everything_durable(home):
    async with opening(home, read_only=True) as reader:
        texts = [each.text for each in await reader.conversations.window(ChannelId("c"), limit=50)]
        assert texts == ["text 0", "edited", *(f"text {number}" for number in range(3, 11))]
        assert (await reader.profiles.load(ADA)).profile.interaction_count == 3
        assert [hit.memory.id for hit in await reader.memories.search("red boat", scope=Scope(ADA))] == ["n1"]
        assert (await reader.status()).messages == 10
        assert (await reader.status()).owner_pid is None
        assert all(each.ok for each in await reader.check())


async def test_a_reader_changes_no_byte_and_leaves_no_file(home):
    shutil.rmtree(home / "conversations" / "cache")
    before = contents(home)
    async with opening(home, read_only=True) as reader:
        await reader.memories.search("red boat", scope=Scope(ADA))
        await reader.conversations.scan()
        await reader.status()
    assert contents(home) == before


async def test_a_reader_does_not_keep_an_owner_out(home):
    async with opening(home, read_only=True) as reader, opening(home) as owner:
        assert owner.owned
        await owner.conversations.append(message(11))
        await owner.files("messages", seal=True)
        assert len(await reader.conversations.window(ChannelId("c"), limit=50)) == 10


async def test_every_write_of_a_reader_is_refused(home):
    async with opening(home, read_only=True) as reader:
        with pytest.raises(HomeReadOnly):
            await reader.conversations.append(message(12))
        with pytest.raises(HomeReadOnly):
            await reader.forget(ADA)
        with pytest.raises(HomeReadOnly):
            await reader.files("messages", seal=True)


async def test_a_reader_beside_an_owner_reads_through_it_and_may_not_write(owner, home):
    async with opening(home, read_only=True) as reader:
        assert (await reader.status()).owner_pid == owner.pid
        assert len(await reader.conversations.window(ChannelId("c"), limit=50)) == 10
        for write in (
            reader.conversations.append(message(12)),
            reader.profiles.delete(ADA),
            reader.memories.erase_person(ADA),
            reader.workflows.finish("w"),
            reader.forget(ADA),
            reader.backup("/nowhere"),
        ):
            with pytest.raises(HomeReadOnly):
                await write


def test_what_a_reader_may_call_is_there():
    methods = {name: set(each) for name, each in _methods().items()}
    assert {name: reads - methods[name] for name, reads in READS.items()} == {name: set() for name in methods}


async def test_a_reader_of_nothing_says_so_and_begins_nothing(tmp_path):
    with pytest.raises(HomeMissing):
        await opening(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(HomeMissing, match="in memory"):
        await opening("memory:", read_only=True)


async def test_a_reader_does_not_take_half_a_home_for_all_of_it(home):
    log = max((home / "conversations" / "wal").iterdir())
    data = bytearray(log.read_bytes())
    data[80] ^= 1
    log.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged"):
        await opening(home, read_only=True)


# --- without the right to write ---------------------------------------------------------------------


@pytest.fixture
def unwritable(home):
    for path in [home, *home.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield home
    for path in [home, *home.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "INSTAR_EMBEDDINGS_KIND": "hashing"}
    return subprocess.run(
        [*PLAIN_USER, INSTAR, *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=home.parent,
    )


def test_looking_commands_work_on_a_home_without_the_right_to_write(unwritable, tmp_path):
    before = contents(unwritable)
    assert "edited" in run(unwritable, "messages").stdout
    assert "the boat is red" in run(unwritable, "memories", "--person", "ada").stdout
    for command in (["profile", "ada"], ["people"], ["channels"], ["status"], ["doctor"]):
        done = run(unwritable, *command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert run(unwritable, "export", "--to", str(tmp_path / "all.jsonl")).returncode == 0
    assert "edited" in (tmp_path / "all.jsonl").read_text()
    assert contents(unwritable) == before


def test_a_write_without_the_right_to_is_refused_in_words(unwritable):
    done = run(unwritable, "forget", "ada", "--json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["code"] == "home-read-only"


# --- other programs ---------------------------------------------------------------------------------


async def test_files_are_listed_by_the_names_users_say(home):
    async with opening(home) as opened:
        listed = await opened.files("messages", seal=True)
        assert [each.path for each in await opened.files("conversations")] == [each.path for each in listed]
        assert all(Path(each.path).is_file() and Path(each.path).stat().st_size == each.bytes for each in listed)
        with pytest.raises(RecordInvalid, match="no collection") as refused:
            await opened.files("emails")
        assert "messages, profiles, memories" in refused.value.why


def test_the_command_lists_what_a_running_owner_holds(owner, home):
    done = run(home, "files", "messages", "--seal", "--json")
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(listed[0]) == {"path", "collection", "rows", "bytes"}
    assert sum(each["rows"] for each in listed) == 13  # 10, one more, and one row each for the edit and the deletion


DEDUPLICATED = """
SELECT * FROM read_parquet({paths})
QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _seq DESC) = 1 AND _op <> 'delete'
"""
EXPECTED = sorted(["text 0", "edited", *(f"text {number}" for number in range(3, 11))])


def paths_of(home: Path) -> list[str]:
    return run(home, "files", "messages", "--seal").stdout.split()


def test_duckdb_reads_the_newest_form_of_each_message(home):
    import duckdb

    rows = duckdb.sql(DEDUPLICATED.format(paths=paths_of(home)))
    assert sorted(row[0] for row in rows.select("text").fetchall()) == EXPECTED
    assert {"id", "channel", "author", "role", "sent_at", "text"} <= set(rows.columns)


def test_polars_reads_the_newest_form_of_each_message(home):
    import polars as pl

    frame = pl.scan_parquet(paths_of(home)).sort("_seq").unique("_key", keep="last").filter(_op="put").collect()
    assert sorted(frame["text"]) == EXPECTED


def test_pandas_reads_the_newest_form_of_each_message(home):
    import pandas as pd

    frame = pd.concat(map(pd.read_parquet, paths_of(home)))
    newest = frame.sort_values("_seq").drop_duplicates("_key", keep="last").query("_op == 'put'")
    assert sorted(newest["text"]) == EXPECTED


# --- the page that says all this --------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "embedded.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["duckdb", "polars", "pandas", "reader"])
def test_the_examples_of_the_page_count_the_messages(home, example):
    environment = {
        **os.environ,
        "INSTAR_HOME": str(home),
        "INSTAR_EMBEDDINGS_KIND": "hashing",
        "PATH": f"{Path(INSTAR).parent}:{os.environ['PATH']}",
    }
    (home.parent / "state").symlink_to(home)
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, env=environment, cwd=home.parent, check=False
    )
    assert (done.stdout, done.stderr) == ("10\n", "")
