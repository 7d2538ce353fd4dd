"""`instar doctor`: what is wrong with a home is named with file and range, and mended only when asked."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import instar
from instar.core.clock import ManualClock
from instar.core.errors import HomeMissing, StoreCorrupt, StorePoisoned
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Memory, Message
from instar.core.settings import EmbeddingSettings, Settings
from instar.stores.examination import examine_home
from instar.stores.segment.lease import file_system_of

INSTAR = str(Path(sys.executable).with_name("instar"))
SETTINGS = Settings(embeddings=EmbeddingSettings(kind="hashing"))
CHANNEL = ChannelId("c")
ADA = PersonId("ada")
WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def opening(path):
    return instar.open(path, settings=SETTINGS, clock=ManualClock())


async def begin(path: Path) -> None:
    async with opening(path) as home:
        for number in range(8):
            await say(home, number)
        await home.files("messages", seal=True)
        await home.files("memories", seal=True)
        for number in range(8, 12):
            await say(home, number)


async def say(home, number: int) -> None:
    text = f"text {number}"
    await home.conversations.append(Message(id=MessageId(f"m{number}"), channel=CHANNEL, author=ADA, text=text))
    await home.memories.remember([Memory(id=MemoryId(f"n{number}"), person=ADA, kind="note", text=text)])


def texts(path: Path) -> list[str]:
    async def read() -> list[str]:
        async with opening(path) as home:
            return [each.text for each in await home.conversations.window(CHANNEL, limit=50)]

    return asyncio.run(read())


ALL = [f"text {number}" for number in range(12)]


@pytest.fixture
def home(tmp_path):
    asyncio.run(begin(tmp_path / "home"))
    return tmp_path / "home"


def run(home: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "INSTAR_EMBEDDINGS_KIND": "hashing"}
    command = [*before, INSTAR, *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=home.parent)


def doctor(home: Path, *arguments: str) -> tuple[int, dict, str]:
    done = run(home, "doctor", "--json", *arguments)
    return done.returncode, json.loads(done.stdout), done.stderr


def wrong(examination: dict) -> list[dict]:
    return [each for each in examination["findings"] if not each["ok"]]


def only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    assert len(found) == 1, found
    return found[0]


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def test_a_sound_home_is_well_and_the_doctor_changes_nothing(home):
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file() and file.name != "LOCK"}
    assert all(each.ok for each in examine_home(home))
    assert {file: file.read_bytes() for file in before} == before
    code, found, _ = doctor(home)
    assert (code, found["ok"]) == (0, True)


def test_the_doctor_gives_health_figures(home):
    details = {each["check"]: each["detail"] for each in doctor(home)[1]["findings"]}
    assert "bytes, of which" in details["conversations: compaction"]
    assert "are not sealed" in details["conversations: log length"]
    assert "held back for a full disk" in details["conversations: ballast"]


def test_a_damaged_transaction_is_named_given_up_and_everything_else_kept(home):
    log = only(home, "conversations/wal/*.wal")
    at = log.read_bytes().index(b"text 9")
    flip(log, at)
    code, found, _ = doctor(home)
    assert code == 1
    [finding] = wrong(found)
    assert finding["check"] == "conversations: log"
    assert f"wal/{log.name}, from byte" in finding["detail"]
    assert finding["next"] == "instar doctor --repair"
    with pytest.raises(StoreCorrupt):
        texts(home)
    code, found, said = doctor(home, "--repair")
    assert (code, found["ok"]) == (0, True)
    [repair] = found["repairs"]
    assert repair["file"] == f"conversations/wal/{log.name}"
    assert "frame 10" in repair["gives_up"]
    assert f"gives up {repair['gives_up']}" in said
    assert texts(home) == [text for text in ALL if text != "text 9"]
    assert only(home, f"conversations/damaged/*/wal/{log.name}").read_bytes()[at] == ord("t") ^ 1


def test_a_damaged_header_is_corrected_and_nothing_given_up(home):
    flip(only(home, "conversations/wal/*.wal"), 40)
    assert "header" in wrong(doctor(home)[1])[0]["detail"]
    code, found, _ = doctor(home, "--repair")
    assert (code, [each["gives_up"] for each in found["repairs"]]) == (0, [""])
    assert texts(home) == ALL


def test_a_lost_log_is_named_and_only_what_it_held_is_given_up(home):
    only(home, "conversations/wal/*.wal").unlink()
    assert "is not there" in wrong(doctor(home)[1])[0]["detail"]
    code, found, _ = doctor(home, "--repair")
    assert (code, "the file is gone" in found["repairs"][0]["gives_up"]) == (0, True)
    assert texts(home) == ALL[:8]


def test_a_damaged_segment_is_made_again_from_its_cache(home):
    segment = only(home, "conversations/seg/messages/all/*.parquet")
    flip(segment, 100)
    assert segment.name in wrong(doctor(home)[1])[0]["detail"]
    code, found, _ = doctor(home, "--repair")
    assert (code, [each["gives_up"] for each in found["repairs"]]) == (0, [""])
    assert texts(home) == ALL


def test_a_segment_lost_with_its_cache_is_given_up_with_its_rows_counted(home):
    segment = only(home, "conversations/seg/messages/all/*.parquet")
    (home / "conversations" / "cache" / f"{segment.stem}.rows").unlink()
    segment.unlink()
    code, found, _ = doctor(home, "--repair")
    assert (code, "8 rows of messages" in found["repairs"][0]["gives_up"]) == (0, True)
    assert [text for text in texts(home) if text in ALL[8:]] == ALL[8:]


def test_a_lost_manifest_is_made_again_from_segments_and_log(home):
    shutil.rmtree(home / "conversations" / "manifest")
    with pytest.raises(StoreCorrupt):
        texts(home)
    assert wrong(doctor(home)[1])
    code, found, _ = doctor(home, "--repair")
    assert (code, [each["gives_up"] for each in found["repairs"]]) == (0, [""])
    assert texts(home) == ALL


def test_segments_without_manifest_and_log_are_not_an_empty_store(home):
    shutil.rmtree(home / "conversations" / "manifest")
    shutil.rmtree(home / "conversations" / "wal")
    with pytest.raises(StoreCorrupt, match="damaged"):
        texts(home)
    assert doctor(home, "--repair")[0] == 0
    assert texts(home) == ALL[:8]


def test_a_damaged_format_file_is_mended_from_its_copy(home):
    key = json.loads((home / "FORMAT.json").read_text())["forget_key"]
    for damage in (b"{", (home / "FORMAT.json").read_bytes().replace(key[:4].encode(), b"0000")):
        (home / "FORMAT.json").write_bytes(damage)
        with pytest.raises(instar.InstarError, match="FORMAT"):
            texts(home)
        assert doctor(home, "--repair")[0] == 0
        assert json.loads((home / "FORMAT.json").read_text())["forget_key"] == key
    (home / "FORMAT.json").unlink()
    with pytest.raises(StoreCorrupt, match="not there"):
        texts(home)
    assert doctor(home, "--repair")[0] == 0
    assert texts(home) == ALL


def test_a_lost_key_is_said_before_a_new_one_is_made(home):
    (home / "FORMAT.json").unlink()
    (home / "FORMAT.copy").unlink()
    code, _, said = doctor(home, "--repair")
    assert (code, "gives up the key of what was forgotten" in said) == (0, True)
    assert texts(home) == ALL


def test_a_lock_with_a_lower_epoch_is_refused_and_mended(home):
    (home / "LOCK").write_text('{"pid":1,"boot_id":"","epoch":0}')
    with pytest.raises(StoreCorrupt, match="LOCK"):
        texts(home)
    (home / "LOCK").write_bytes(b"\xff rubbish")
    assert "LOCK" in wrong(doctor(home)[1])[0]["detail"]
    assert doctor(home, "--repair")[0] == 0
    assert texts(home) == ALL


def test_a_deleted_lock_is_no_way_to_an_older_epoch(home):
    for _ in range(3):
        (home / "LOCK").unlink()
        assert texts(home) == ALL
        asyncio.run(sealed(home))
    assert doctor(home)[0] == 0


async def sealed(path: Path) -> None:
    async with opening(path) as home:
        known = await home.conversations.get(CHANNEL, MessageId("m1"))
        assert known is not None
        await home.conversations.edit(CHANNEL, MessageId("m1"), text=known.text, edited_at=ManualClock().now())
        await home.files("messages", seal=True)


def test_a_file_that_is_not_of_the_store_is_named_and_set_aside(home):
    stray = home / "conversations" / "wal" / "notes.txt"
    stray.write_text("remember the milk")
    assert str(stray) in wrong(doctor(home)[1])[0]["detail"]
    assert doctor(home, "--repair")[0] == 0
    assert only(home, "damaged/*/conversations/wal/notes.txt").read_text() == "remember the milk"
    assert texts(home) == ALL


def test_a_file_beside_the_stores_does_no_harm(home):
    (home / "README.txt").write_text("my agent")
    code, found, _ = doctor(home)
    assert (code, found["ok"]) == (0, True)
    assert "README.txt" in " ".join(each["detail"] for each in found["findings"])


def test_a_manifest_of_a_newer_format_is_refused_with_what_to_do(home):
    import google_crc32c

    newest = max((home / "conversations" / "manifest").iterdir())
    line = newest.read_bytes().partition(b"\n")[0].replace(b'"format":1', b'"format":7')
    newest.write_bytes(line + b'\n{"crc32c":"%08x"}\n' % google_crc32c.value(line))
    done = run(home, "messages", "--json")
    assert json.loads(done.stderr)["error"]["code"] == "home-newer"
    assert "manifest format 7" in json.loads(done.stderr)["error"]["what"]
    assert "a later one" in wrong(doctor(home)[1])[0]["next"]


def test_where_there_is_no_home_the_doctor_says_so(tmp_path):
    with pytest.raises(HomeMissing):
        examine_home(tmp_path / "nowhere")
    code, found, _ = doctor(tmp_path / "nowhere")
    assert (code, "there is no home" in wrong(found)[0]["detail"]) == (1, True)


def test_a_network_file_system_is_wrong(home, monkeypatch):
    monkeypatch.setattr("instar.stores.examination.NETWORK_FILE_SYSTEMS", {file_system_of(home)})
    [finding] = [each for each in examine_home(home) if not each.ok]
    assert "network file system" in finding.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only a superuser can give a file to another user")
def test_a_home_of_another_user_is_refused_with_their_number(home):
    os.chown(home / "conversations" / "ballast", 4_321, -1)
    assert "belongs to user 4321" in wrong(doctor(home)[1])[0]["detail"]
    os.chown(home / "conversations" / "ballast", 0, -1)
    os.chown(home, 4_321, -1)
    home.chmod(0o700)
    done = run(home, "messages", "--json", before=tuple(WITHOUT_CAPABILITIES))
    error = json.loads(done.stderr)["error"]
    assert (error["code"], "belongs to user 4321" in error["next"]) == ("home-read-only", True)
    os.chown(home, 0, -1)


async def test_a_home_deleted_under_its_owner_is_noticed_by_the_next_write(tmp_path):
    async with opening(tmp_path / "home") as home:
        await say(home, 1)
        shutil.rmtree(tmp_path / "home")
        with pytest.raises(StorePoisoned, match="deleted"):
            await home.conversations.append(Message(id=MessageId("late"), channel=CHANNEL, author=ADA, text="late"))


async def test_the_doctor_asks_a_running_owner(home):
    async with opening(home) as opened:
        segment = only(home, "conversations/seg/messages/all/*.parquet")
        flip(segment, 20)
        process = await asyncio.create_subprocess_exec(
            INSTAR, "doctor", "--json", "--home", str(home), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 1
        assert segment.name in wrong(json.loads(out))[0]["detail"]
        process = await asyncio.create_subprocess_exec(
            INSTAR, "doctor", "--repair", "--json", "--home", str(home), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert json.loads(said)["error"]["code"] == "home-owned"
        assert opened.owned


def test_forgetting_deletes_what_a_repair_set_aside(home):
    flip(only(home, "conversations/wal/*.wal"), 200)
    assert doctor(home, "--repair")[0] == 0
    assert list(home.glob("conversations/damaged/*"))
    done = run(home, "forget", "ada", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified_absent"]
    assert not list(home.glob("**/damaged"))
    assert all(b"text 1" not in file.read_bytes() for file in home.rglob("*") if file.is_file())
