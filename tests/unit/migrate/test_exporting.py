"""An export holds a home; what comes out of it is the same home, to the byte, or nothing at all."""

import json
import random

import pytest

from instar.core.errors import ExportCorrupt, ImportUnreadable, TransferError
from instar.core.records import Memory, Message, Profile
from instar.migrate.exporting import export_home
from instar.migrate.importing import import_file


async def fill(home):
    await home.conversations.append_many(
        [
            Message(id="1", channel="cli", author="ada", person="ada", text="I like plums\u2028and \x00 NUL\x0b."),
            Message(id="2", channel="cli", author="instar", person="ada", role="agent", text="Noted. 🌱"),
            Message(id="3", channel="den", author="bob", person="bob", text="Hello"),
            Message(id="4", channel="den", author="bob", person="bob", text="Going"),
        ]
    )
    await home.conversations.delete("den", "4")
    await home.profiles.save(Profile(person="ada", name="Ada", preferences={"b": "1", "a": "2"}), expected_version=0)
    await home.profiles.save(Profile(person="bob"), expected_version=0)
    await home.memories.remember(
        [
            Memory(id="m1", person="ada", kind="fact", text="Ada likes plums"),
            Memory(id="m2", person="bob", kind="note", text="Bob is brief"),
        ]
    )


async def test_a_home_that_was_imported_exports_the_same_bytes(home, other_home, tmp_path):
    await fill(home)
    report = await export_home(home, tmp_path / "a.jsonl")
    assert report.records == {"conversations": 3, "profiles": 2, "memories": 2}
    imported = await import_file(other_home, tmp_path / "a.jsonl")
    assert (imported.kind, imported.read, imported.written) == ("instar", 7, 7)
    again = await export_home(other_home, tmp_path / "b.jsonl")
    assert again == report
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (await other_home.memories.get("m1")).vector == (await home.memories.get("m1")).vector is not None


async def test_importing_the_same_export_twice_changes_nothing(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    await import_file(other_home, tmp_path / "a.jsonl")
    report = await import_file(other_home, tmp_path / "a.jsonl")
    assert (report.written, report.already_there, report.skipped_total) == (0, 7, 0)
    await export_home(other_home, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


async def test_an_import_killed_between_two_stores_is_finished_with_the_same_bytes(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    await other_home.conversations.apply([record for record in await home.conversations.scan() if record.value][:2])
    report = await import_file(other_home, tmp_path / "a.jsonl")
    assert (report.written, report.already_there, report.skipped_total) == (5, 2, 0)
    await export_home(other_home, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


async def test_a_home_with_other_state_keeps_it_and_gets_the_rest(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    await other_home.conversations.append(Message(id="x", channel="cli", author="eve", text="I was here first"))
    await other_home.profiles.save(Profile(person="ada", name="Adele"), expected_version=0)
    report = await import_file(other_home, tmp_path / "a.jsonl")
    assert (report.written, report.skipped_total) == (6, 1)
    texts = [message.text for message in await other_home.conversations.page(channel="cli")]
    assert texts[0] == "I was here first"
    assert set(texts[1:]) == {"I like plums\u2028and \x00 NUL\x0b.", "Noted. 🌱"}
    assert (await other_home.profiles.load("ada")).profile.name == "Adele"


async def test_an_export_of_one_person_holds_nothing_of_another(home, tmp_path):
    await fill(home)
    report = await export_home(home, tmp_path / "ada.jsonl", person="ada")
    assert report.records == {"conversations": 2, "profiles": 1, "memories": 1}
    assert b"bob" not in (tmp_path / "ada.jsonl").read_bytes()


async def test_what_was_forgotten_leaves_no_trace_in_an_export(home, tmp_path):
    await fill(home)
    await home.forget("ada")
    await export_home(home, tmp_path / "a.jsonl")
    content = (tmp_path / "a.jsonl").read_bytes()
    assert b"ada" not in content
    assert b"plums" not in content


async def test_a_dry_run_of_an_export_counts_and_writes_nothing(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    report = await import_file(other_home, tmp_path / "a.jsonl", dry_run=True)
    assert (report.written, report.would_write) == (0, 7)
    assert not await other_home.conversations.page()


async def test_any_flipped_byte_is_found_before_anything_is_written(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    whole = (tmp_path / "a.jsonl").read_bytes()
    chosen = random.Random(5)
    edges = [*range(60), *range(len(whole) - 330, len(whole))]
    for place in edges + chosen.sample(range(len(whole)), 150):
        damaged = bytearray(whole)
        damaged[place] ^= chosen.choice([0x01, 0x20, 0x80, 0xFF])
        (tmp_path / "damaged.jsonl").write_bytes(damaged)
        with pytest.raises(ExportCorrupt):
            await import_file(other_home, tmp_path / "damaged.jsonl")
    assert not await other_home.conversations.scan()


async def test_any_truncation_is_found_before_anything_is_written(home, other_home, tmp_path):
    await fill(home)
    await export_home(home, tmp_path / "a.jsonl")
    whole = (tmp_path / "a.jsonl").read_bytes()
    for length in [*range(40, len(whole), 37), len(whole) - 1]:
        (tmp_path / "cut.jsonl").write_bytes(whole[:length])
        with pytest.raises(ExportCorrupt):
            await import_file(other_home, tmp_path / "cut.jsonl")
    assert not await other_home.conversations.scan()


async def test_an_export_of_a_newer_version_names_what_to_do(home, other_home, tmp_path):
    import blake3

    await export_home(home, tmp_path / "a.jsonl")
    header, end = (tmp_path / "a.jsonl").read_bytes().splitlines()
    header = header.replace(b'"version":1', b'"version":2') + b"\n"
    last = json.loads(end) | {"checksum": "blake3:" + blake3.blake3(header).hexdigest()}
    (tmp_path / "newer.jsonl").write_bytes(header + json.dumps(last, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(ImportUnreadable) as refused:
        await import_file(other_home, tmp_path / "newer.jsonl")
    assert "newer instar" in refused.value.next


async def test_an_export_that_cannot_be_written_leaves_no_file(home, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(TransferError):
        await export_home(home, tmp_path / "taken")
    with pytest.raises(TransferError):
        await export_home(home, tmp_path / "missing" / "a.jsonl")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


async def test_an_empty_home_gives_an_export_that_imports(home, other_home, tmp_path):
    await export_home(home, tmp_path / "a.jsonl")
    report = await import_file(other_home, tmp_path / "a.jsonl")
    assert (report.kind, report.read) == ("instar", 0)
