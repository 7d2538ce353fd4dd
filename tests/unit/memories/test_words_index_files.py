"""The words index is derived: whatever happens to its files, a search finds what the store holds."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from instar.core.clock import ManualClock
from instar.core.ids import MemoryId, PersonId
from instar.core.records import Memory, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.memories.words import WordsIndex, is_kept
from instar.stores.segment.files import RealFiles
from instar.testing.backends import FORGET_KEY

ADA = PersonId("ada")


def memory(number: int, text: str = "The kettle is green.") -> Memory:
    return Memory(id=MemoryId(f"{number:04d}"), person=ADA, kind="fact", text=text)


async def opened(directory: Path, *, epoch: int = 1, read_only: bool = False) -> EmbeddedMemoryStore:
    return await EmbeddedMemoryStore.open(
        RealFiles(directory),
        clock=ManualClock(),
        epoch=epoch,
        forget_key=FORGET_KEY,
        embedder=HashingEmbedder(),
        read_only=read_only,
    )


async def found(store: EmbeddedMemoryStore, query: str = "kettle") -> list[str]:
    hits = await store.search(query, scope=Scope(ADA), limit=1_000)
    assert all(hit.why.word_rank is not None for hit in hits)
    return sorted(hit.memory.id for hit in hits)


def rows(*numbers: int) -> list[str]:
    return [f"{number:04d}" for number in numbers]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "words"


@pytest.fixture
async def kept(tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A closed store of three memories whose words index is on disk."""
    monkeypatch.setattr("instar.stores.memories.view.WORDS_ON_DISK_MIN", 3)
    monkeypatch.setattr("instar.stores.memories.view.TAIL_MAX", 2)
    store = await opened(tmp_path)
    await store.remember([memory(number) for number in range(3)])
    assert await found(store) == rows(0, 1, 2)
    await store.close()
    assert is_kept(words)
    return tmp_path


async def test_a_small_store_keeps_no_index_files(tmp_path: Path, words: Path) -> None:
    store = await opened(tmp_path)
    await store.remember([memory(0)])
    assert await found(store) == rows(0)
    await store.close()
    assert not is_kept(words)


async def test_an_index_that_is_whole_is_used_again(kept: Path, words: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in words.iterdir()}
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    await store.close()
    assert {path.name: path.stat().st_mtime_ns for path in words.iterdir()} == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip], ids=["taken away", "cut", "a bit flipped"])
@pytest.mark.parametrize("which", ["stamp.json", "meta.json", ".idx", ".term", ".store", ".fieldnorm"])
async def test_a_damaged_index_is_built_anew(
    kept: Path, words: Path, which: str, damage: Callable[[Path], None]
) -> None:
    damaged = [path for path in words.iterdir() if path.name.endswith(which)]
    assert damaged
    for path in damaged:
        damage(path)
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    await store.close()


async def test_a_file_too_many_means_a_new_index(kept: Path, words: Path) -> None:
    (words / "left.idx").write_bytes(b"of another index")
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    await store.close()
    assert not (words / "left.idx").exists()


async def test_an_index_of_another_analysis_is_built_anew(
    kept: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instar.stores.memories.words.FORM", "0/analysis-0")
    assert WordsIndex(words, not_above=1_000_000).covered == 0


async def test_an_index_behind_the_store_catches_up(kept: Path) -> None:
    writer = await opened(kept, epoch=2)
    await writer.remember([memory(3)])
    await writer.supersede(MemoryId("0000"), memory(4))
    await writer.forget(MemoryId("0001"))
    await writer.close()
    reader = await opened(kept, epoch=3)
    assert await found(reader) == rows(2, 3, 4)
    await reader.close()


def test_an_index_ahead_of_the_store_is_built_anew(tmp_path: Path) -> None:
    ahead = WordsIndex(tmp_path / "words", not_above=0)
    ahead.follow(MemoryId("0000"), memory(0))
    ahead.covers(10)
    ahead.fold()
    assert ahead.count == 1
    assert WordsIndex(tmp_path / "words", not_above=10).count == 1
    assert WordsIndex(tmp_path / "words", not_above=9).count == 0


async def test_records_applied_with_older_versions_are_found_after_reopening(kept: Path, tmp_path: Path) -> None:
    other = await opened(tmp_path / "other")
    await other.remember([memory(9)])
    early = await other.scan()
    await other.close()
    assert early[0].version == 1
    writer = await opened(kept, epoch=2)
    await writer.apply(early)
    await writer.close()
    reader = await opened(kept, epoch=3)
    assert await found(reader) == rows(0, 1, 2, 9)
    await reader.close()


async def test_purge_takes_the_index_off_the_disk(kept: Path, words: Path) -> None:
    store = await opened(kept, epoch=2)
    await store.remember([memory(5, "The xylophone is hidden.")])
    assert await found(store, "xylophone") == rows(5)
    before = {path.name for path in words.glob("*.*") if len(path.stem) == 32}
    assert before
    await store.forget(MemoryId("0005"))
    await store.purge([b"xylophone"])
    assert not is_kept(words)
    assert await found(store) == rows(0, 1, 2)
    assert before.isdisjoint(path.name for path in words.iterdir())
    await store.close()


async def test_reading_only_touches_no_index_file(kept: Path, words: Path) -> None:
    (words / "stamp.json").unlink()
    before = sorted(path.name for path in words.iterdir())
    store = await opened(kept, epoch=2, read_only=True)
    assert await found(store) == rows(0, 1, 2)
    await store.close()
    assert sorted(path.name for path in words.iterdir()) == before


async def test_a_hundred_writes_between_two_searches_cost_one_commit(kept: Path, words: Path) -> None:
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    stamps = {(words / "stamp.json").stat().st_ino}
    for number in range(10, 70):
        await store.remember([memory(number)], durability="buffered")
        stamps.add((words / "stamp.json").stat().st_ino)
    assert len(stamps) == 1
    assert len(await found(store)) == 63
    await store.close()


async def test_where_no_index_file_can_be_written_a_search_finds_the_same(kept: Path, words: Path) -> None:
    shutil.rmtree(words.parent)
    words.parent.write_bytes(b"no directory")
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    await store.remember([memory(3)])
    assert await found(store) == rows(0, 1, 2, 3)
    await store.close()


async def test_an_index_that_loses_its_files_while_open_is_built_anew_in_memory(kept: Path, words: Path) -> None:
    store = await opened(kept, epoch=2)
    assert await found(store) == rows(0, 1, 2)
    shutil.rmtree(words)
    await store.remember([memory(3)])
    assert await found(store) == rows(0, 1, 2, 3)
    await store.close()


async def test_sealing_changes_no_answer_before_or_after_reopening(kept: Path) -> None:
    store = await opened(kept, epoch=2)
    await store.remember([memory(number) for number in range(3, 40)])
    await store.supersede(MemoryId("0003"), memory(40))
    await store.forget(MemoryId("0004"))
    expected = rows(*(number for number in range(41) if number not in {3, 4}))
    assert await found(store) == expected
    await store.engine.seal()
    assert await found(store) == expected
    await store.forget(MemoryId("0005"))
    await store.close()
    store = await opened(kept, epoch=3)
    assert await found(store) == [each for each in expected if each != "0005"]
    assert await store.remember([memory(4), memory(5)]) == 0
    assert (await store.purge([b"0004", b"0005"])).found == 0
    assert await found(store) == [each for each in expected if each != "0005"]
    await store.close()
