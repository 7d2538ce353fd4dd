"""Backups: incremental, verified, beside a running owner; and what was forgotten does not come back with them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import instar
from instar.core.clock import ManualClock
from instar.core.errors import ExportCorrupt, HomeForeign, ImportUnreadable, StoreCorrupt
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Memory, Message, Profile
from instar.core.settings import EmbeddingSettings, Settings
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.backup import LIST, OBJECTS, read_snapshot
from instar.stores.restoring import restore_backup

INSTAR = str(Path(sys.executable).with_name("instar"))
SETTINGS = Settings(embeddings=EmbeddingSettings(kind="hashing"))
CHANNEL = ChannelId("c")
CANARY = "zyxwvutsrq-canary"
WRITER = """
import asyncio, sys, instar
from instar.core.records import Message
async def main():
    async with instar.open(sys.argv[1]) as home:
        number = 0
        while True:
            await home.conversations.append(Message(id=f"w{number}", channel="w", author="eve", text=f"word {number}"))
            print(number, flush=True)
            number += 1
asyncio.run(main())
"""


def opening(path):
    return instar.open(path, settings=SETTINGS, clock=ManualClock())


def restored(source: Path, home: Path, *beside: Path):
    return restore_backup(source, home, beside=beside, clock=ManualClock(), embedder=HashingEmbedder())


async def say(home, number: int, person: str = "ada", text: str = "") -> None:
    text = text or f"{person} says {number}"
    await home.conversations.append(
        Message(id=MessageId(f"m{number}"), channel=CHANNEL, author=PersonId(person), text=text)
    )
    memory = Memory(id=MemoryId(f"n{number}"), person=PersonId(person), kind="note", text=f"{text}, as a note")
    await home.memories.remember([memory])
    if await home.profiles.load(PersonId(person)) is None:
        await home.profiles.save(Profile(person=PersonId(person)), expected_version=0)


async def digests(home):
    return [await store.digest() for store in (home.conversations, home.profiles, home.memories)]


def words_in(directory: Path) -> bytes:
    """Every byte below a directory, Parquet files unpacked as well."""
    return b"".join(_unpacked(file) for file in sorted(directory.rglob("*")) if file.is_file())


def _unpacked(file: Path) -> bytes:
    from pyarrow import parquet

    data = file.read_bytes()
    table = repr(parquet.read_table(io.BytesIO(data)).to_pylist()).encode() if data[:4] == b"PAR1" else b""
    return data + table + file.name.encode()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INSTAR_EMBEDDINGS_KIND": "hashing"}
    return subprocess.run([INSTAR, *arguments], capture_output=True, text=True, env=environment, check=False)


def started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([INSTAR, *arguments], env={**os.environ, "INSTAR_EMBEDDINGS_KIND": "hashing"})


async def test_a_restored_home_holds_what_the_home_held(tmp_path):
    async with opening(tmp_path / "home") as home:
        for number in range(20):
            await say(home, number)
        await home.backup(tmp_path / "backup")
        held = await digests(home)
    await restored(tmp_path / "backup", tmp_path / "new")
    async with opening(tmp_path / "new") as new:
        assert await digests(new) == held
        await say(new, 99)


async def test_only_what_is_new_is_copied_and_what_is_gone_is_dropped(tmp_path):
    async with opening(tmp_path / "home") as home:
        for number in range(20):
            await say(home, number)
        for collection in ("messages", "profiles", "memories"):
            await home.files(collection, seal=True)
        first = await home.backup(tmp_path / "backup")
        await say(home, 20)
        second = await home.backup(tmp_path / "backup")
    assert first.copied == first.files
    assert 0 < second.copied_bytes < first.bytes // 3
    assert len([file for file in (tmp_path / "backup" / OBJECTS).rglob("*") if file.is_file()]) == len(
        {file.digest for file in read_snapshot(tmp_path / "backup").files}
    )


def test_a_backup_beside_a_writing_owner_holds_all_that_was_acknowledged_before_it(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "INSTAR_EMBEDDINGS_KIND": "hashing"},
    )
    try:
        acknowledged = [int(writer.stdout.readline()) for _ in range(200)][-1]
        done = run("backup", "--to", str(tmp_path / "backup"), "--home", str(tmp_path / "home"))
        assert done.returncode == 0, done.stderr
        assert writer.poll() is None, "the owner went on"
    finally:
        writer.kill()
        writer.communicate()
    assert run("restore", "--from", str(tmp_path / "backup"), "--home", str(tmp_path / "new")).returncode == 0
    listed = run("messages", "--home", str(tmp_path / "new")).stdout
    assert f"word {acknowledged}\n" in listed
    assert run("doctor", "--home", str(tmp_path / "new")).returncode == 0


@pytest.mark.parametrize("objects", [1, 4])
async def test_a_backup_killed_half_way_is_completed_by_the_next(tmp_path, objects):
    async with opening(tmp_path / "home") as home:
        for number in range(5):
            await say(home, number)
        held = await digests(home)
    arguments = ["backup", "--to", str(tmp_path / "backup"), "--home", str(tmp_path / "home")]
    killed = started(*arguments)
    while killed.poll() is None and len(list((tmp_path / "backup").glob(f"{OBJECTS}/*/*"))) < objects:
        os.sched_yield()
    killed.kill()
    killed.wait()
    assert run(*arguments).returncode == 0
    await restored(tmp_path / "backup", tmp_path / "new")
    async with opening(tmp_path / "new") as new:
        assert await digests(new) == held


async def test_an_object_that_rotted_is_copied_again(tmp_path):
    async with opening(tmp_path / "home") as home:
        await say(home, 1)
        await home.backup(tmp_path / "backup")
        for file in (tmp_path / "backup" / OBJECTS).glob("*/*"):
            file.write_bytes(b"rotten")
        await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "new")


async def test_a_damaged_backup_is_refused_and_the_file_is_named(tmp_path):
    async with opening(tmp_path / "home") as home:
        await say(home, 1)
        await home.backup(tmp_path / "backup")
    for file in [*(tmp_path / "backup" / OBJECTS).glob("*/*"), tmp_path / "backup" / LIST]:
        sound = file.read_bytes()
        file.write_bytes(sound[:10] + bytes([sound[10] ^ 4]) + sound[11:])
        with pytest.raises(ExportCorrupt, match=file.name):
            await restored(tmp_path / "backup", tmp_path / "new")
        file.unlink()
        with pytest.raises((ExportCorrupt, ImportUnreadable), match=f"{file.name}|holds no backup"):
            await restored(tmp_path / "backup", tmp_path / "new")
        assert not (tmp_path / "new").exists()
        file.write_bytes(sound)
    await restored(tmp_path / "backup", tmp_path / "new")


async def test_a_damaged_home_does_not_overwrite_its_backup(tmp_path):
    async with opening(tmp_path / "home") as home:
        await say(home, 1)
        segment = Path((await home.files("messages", seal=True))[0].path)
        await home.backup(tmp_path / "backup")
        segment.write_bytes(b"rotten")
        with pytest.raises(StoreCorrupt, match=segment.name):
            await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "new")


async def test_places_that_cannot_take_a_backup_or_a_restore_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    async with opening(tmp_path / "home") as home, opening(tmp_path / "second") as second:
        await say(home, 1)
        await home.backup(tmp_path / "backup")
        with pytest.raises(HomeForeign, match="is not a backup"):
            await home.backup(tmp_path / "other")
        with pytest.raises(HomeForeign, match="cannot take the backup"):
            await home.backup(tmp_path / "home" / "backup")
        with pytest.raises(HomeForeign, match="of another home"):
            await second.backup(tmp_path / "backup")
    with pytest.raises(HomeForeign, match="is not empty"):
        await restored(tmp_path / "backup", tmp_path / "home")
    with pytest.raises(ImportUnreadable, match="holds no backup"):
        await restored(tmp_path / "other", tmp_path / "new")


# --- the forgotten ----------------------------------------------------------------------------------


@pytest.fixture
async def forgetting(tmp_path):
    """A home with two backups: `old` was taken before dan was forgotten and m5 deleted, `backup` before and after."""
    async with opening(tmp_path / "home") as home:
        for number in range(4):
            await say(home, number, "dan", f"{CANARY} number {number}")
        await home.files("messages", seal=True)
        await say(home, 4, "dan", f"{CANARY} at last")
        await say(home, 5, "ada", "a sentence ada takes back")
        await say(home, 6, "ada", "a sentence ada keeps")
        await home.backup(tmp_path / "old")
        await home.backup(tmp_path / "backup")
        assert CANARY.encode() in words_in(tmp_path / "backup")
        await home.forget(PersonId("dan"))
        await home.conversations.delete(CHANNEL, MessageId("m5"))
        await home.conversations.purge([])
        await home.backup(tmp_path / "backup")
    return tmp_path


async def test_no_word_of_the_forgotten_is_left_in_a_backup_that_follows(forgetting):
    assert CANARY.encode() not in words_in(forgetting / "backup")
    assert b"a sentence ada keeps" in words_in(forgetting / "backup")


async def test_an_older_backup_restored_beside_the_home_does_not_bring_the_forgotten_back(forgetting):
    report = await restored(forgetting / "old", forgetting / "new")
    assert (report.heeded, report.forgotten) == ([str(forgetting / "home")], 1)
    assert CANARY.encode() not in words_in(forgetting / "new")
    async with opening(forgetting / "new") as new:
        assert [each.person for each in await new.conversations.people()] == ["ada"]
        assert [each.text for each in await new.conversations.window(CHANNEL, limit=9)] == ["a sentence ada keeps"]


async def test_a_home_that_no_longer_reads_still_keeps_the_forgotten_forgotten(forgetting):
    for log in (forgetting / "home").glob("*/wal/*"):
        log.write_bytes(b"rotten")
    report = await restored(forgetting / "old", forgetting / "new")
    assert report.forgotten == 1
    assert len(report.unread) == 1
    assert CANARY.encode() not in words_in(forgetting / "new")


async def test_a_ledger_that_moved_is_heeded_when_it_is_named(forgetting):
    (forgetting / "home").rename(forgetting / "moved")
    report = await restored(forgetting / "old", forgetting / "new", forgetting / "moved")
    assert report.forgotten == 1
    assert CANARY.encode() not in words_in(forgetting / "new")


async def test_someone_forgotten_before_the_backup_who_came_again_is_kept(tmp_path):
    async with opening(tmp_path / "home") as home:
        await say(home, 1, "dan")
        await home.forget(PersonId("dan"))
        await say(home, 2, "dan", "here again")
        await home.backup(tmp_path / "backup")
    report = await restored(tmp_path / "backup", tmp_path / "new")
    assert report.forgotten == 0
    async with opening(tmp_path / "new") as new:
        assert [each.text for each in await new.conversations.window(CHANNEL, limit=9)] == ["here again"]
