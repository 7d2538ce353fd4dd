"""One process owns a home; every other one works through it, and nobody meets a lock."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import instar
from instar.core.errors import (
    HomeForeign,
    HomeMissing,
    HomeNewer,
    HomeReadOnly,
    OwnerLost,
    RecordTooLarge,
    VersionConflict,
)
from instar.core.ids import PersonId
from instar.core.records import Memory, Message, Profile, Scope

OWNER = """
import asyncio, sys, instar
async def main():
    async with instar.open(sys.argv[1]) as home:
        print("owned" if home.owned else "guest", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""

WRITER = """
import asyncio, sys, instar
async def main():
    async with instar.open(sys.argv[1]) as home:
        for number in range(int(sys.argv[3])):
            await home.conversations.append(instar.Message(id=f"{sys.argv[2]}-{number}", channel="c", author=sys.argv[2], text="x"))
asyncio.run(main())
"""


def message(number: int, *, author: str = "ada") -> Message:
    return Message(id=f"{author}-{number}", channel="c", author=PersonId(author), text=f"text {number}")


@pytest.fixture
def owner(tmp_path):
    """A process that owns the home until the test ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "home")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.communicate()


async def test_a_second_process_gets_the_same_ports(owner, tmp_path):
    async with instar.open(tmp_path / "home") as home:
        assert not home.owned
        assert (await home.conversations.append(message(1))).message.position == 1
        assert (await home.conversations.append(message(1))).already_there
        assert [each.text for each in await home.conversations.window("c", limit=5)] == ["text 1"]
        assert (await home.status()).owner_pid == owner.pid


async def test_an_error_of_the_owner_reaches_the_guest_as_itself(owner, tmp_path):
    async with instar.open(tmp_path / "home") as home:
        await home.profiles.save(Profile(person=PersonId("ada")), expected_version=0)
        with pytest.raises(VersionConflict):
            await home.profiles.save(Profile(person=PersonId("ada")), expected_version=0)


async def test_an_answer_over_the_bound_is_refused_and_the_next_call_is_answered(owner, tmp_path):
    async with instar.open(tmp_path / "home") as home:
        for number in range(12):
            long = Message(id=f"m{number}", channel="c", author=PersonId("ada"), text="x" * 3_500_000)
            await home.conversations.append(long)
        with pytest.raises(RecordTooLarge, match="does not fit the owner's socket"):
            await home.conversations.window("c", limit=12)
        assert len(await home.conversations.window("c", limit=2)) == 2


async def test_a_guest_searches_inside_its_scope(owner, tmp_path):
    async with instar.open(tmp_path / "home") as home:
        own = Memory(id="1", person=PersonId("ada"), kind="note", text="the red boat is moored at pier seven")
        other = Memory(id="2", person=PersonId("bob"), kind="note", text="the red boat is moored at pier nine")
        assert await home.memories.remember([own, other]) == 2
        hits = await home.memories.search("red boat pier", scope=Scope(PersonId("ada")))
        assert [hit.memory.id for hit in hits] == ["1"]


async def test_a_guest_whose_owner_is_killed_says_so_and_finds_everything_acknowledged(owner, tmp_path):
    async with instar.open(tmp_path / "home") as home:
        await home.conversations.append_many([message(number) for number in range(20)])
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        with pytest.raises(OwnerLost):
            await home.conversations.append(message(99))
    async with instar.open(tmp_path / "home") as home:
        assert home.owned
        assert len(await home.conversations.window("c", limit=100)) == 20


async def test_four_processes_write_to_one_home_and_none_is_refused(tmp_path):
    home = tmp_path / "home"
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(home), f"writer{n}", "25")
        for n in range(4)
    ]
    # A writer that owned the home may finish first; the others then meet OwnerLost, which commands answer by trying again.
    codes = [await writer.wait() for writer in writers]
    for n in [n for n, code in enumerate(codes) if code]:
        again = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(home), f"writer{n}", "25")
        assert await again.wait() == 0
    async with instar.open(home) as opened:
        written = {each.person: each.messages for each in await opened.conversations.people()}
    assert written == {f"writer{n}": 25 for n in range(4)}


async def test_a_directory_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(HomeForeign, match="is not an instar home"):
        await instar.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


async def test_a_home_of_a_newer_format_is_refused(tmp_path):
    async with instar.open(tmp_path / "home"):
        pass
    format_file = tmp_path / "home" / "FORMAT.json"
    format_file.write_text(format_file.read_text().replace('"min_reader": 1', '"min_reader": 9'))
    with pytest.raises(HomeNewer, match="format"):
        await instar.open(tmp_path / "home")


async def test_a_home_that_must_exist_is_not_created(tmp_path):
    with pytest.raises(HomeMissing):
        await instar.open(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


async def test_a_file_where_the_home_should_be_is_refused(tmp_path):
    (tmp_path / "home").write_text("x")
    with pytest.raises(HomeReadOnly, match="cannot be prepared"):
        await instar.open(tmp_path / "home")


def test_the_sync_face_reads_what_it_wrote(tmp_path):
    with instar.open_sync(str(tmp_path / "home")) as home:
        home.conversations.append(message(1))
        assert [each.id for each in home.conversations.window("c", limit=3)] == ["ada-1"]
        assert home.status().messages == 1


def test_a_deep_directory_does_not_outgrow_the_sockets_address(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 6)
    with instar.open_sync(str(deep)) as home, instar.open_sync(str(deep)) as guest:
        assert home.status().owner_pid == guest.status().owner_pid
