"""The tail of the words leg: what is newer than the index ranks as if it stood in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from instar.core.clock import ManualClock
from instar.core.ids import ChannelId, MemoryId, PersonId
from instar.core.records import Memory, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.memories.words import WordsIndex
from instar.stores.segment.files import RealFiles
from instar.testing.backends import FORGET_KEY

ADA, BO = PersonId("ada"), PersonId("bo")
WORDS = [f"word{number}" for number in range(40)]


def memory(number: int, text: str, *, person: PersonId = ADA) -> Memory:
    return Memory(id=MemoryId(f"{number:04d}"), person=person, kind="fact", text=text)


def corpus(length_of: Callable[[random.Random], int]) -> list[Memory]:
    draw = random.Random(11)
    return [
        memory(number, " ".join(draw.choices(WORDS, weights=range(1, 41), k=length_of(draw)))) for number in range(120)
    ]


def index_of(folded: list[Memory], tail: list[Memory]) -> WordsIndex:
    words = WordsIndex(None, not_above=0)
    for each in folded:
        words.follow(each.id, each)
    if folded:
        words.fold()
    for each in tail:
        words.follow(each.id, each)
    return words


def best(words: WordsIndex, query: list[str], limit: int = 25) -> list[MemoryId]:
    return words.top(query, Scope(ADA), kinds=None, limit=limit)


@pytest.mark.parametrize("in_tail", [1, 20, 119, 120])
def test_memories_of_one_length_rank_the_same_in_the_tail_as_in_the_index(in_tail: int) -> None:
    memories = corpus(lambda draw: 9)
    whole, divided = index_of(memories, []), index_of(memories[in_tail:], memories[:in_tail])
    assert divided.behind == in_tail
    for first in range(38):
        query = WORDS[first : first + 3]
        assert best(divided, query) == best(whole, query)


def test_memories_of_any_length_rank_the_same_in_the_tail_as_in_the_index() -> None:
    memories = corpus(lambda draw: draw.choice([1, 7, 24, 39, 40, 41, 55, 90, 300]))
    indexed, held = index_of(memories, []), index_of([], memories)
    for first in range(38):
        query = WORDS[first : first + 3]
        assert best(held, query, limit=120) == best(indexed, query, limit=120)


def test_equal_texts_are_ordered_by_id_wherever_they_stand() -> None:
    same = [memory(number, "The kettle is green.") for number in range(40)]
    assert best(index_of(same[::2], same[1::2]), ["kettl"]) == [each.id for each in same[:25]]


def test_a_memory_that_changed_since_it_was_indexed_is_found_by_its_newer_text_alone() -> None:
    words = index_of([memory(0, "green kettle"), memory(1, "blue kettle")], [memory(0, "red teapot")])
    assert best(words, ["green"]) == []
    assert best(words, ["teapot"]) == ["0000"]
    assert best(words, ["kettl"]) == ["0001"]
    assert words.count == 2


def test_what_is_gone_since_it_was_indexed_is_found_no_more_and_not_counted() -> None:
    words = index_of([memory(number, "kettle") for number in range(60)], [])
    for number in range(50):
        words.follow(MemoryId(f"{number:04d}"), None)
    assert best(words, ["kettl"], limit=5) == ["0050", "0051", "0052", "0053", "0054"]
    assert words.count == 10


def test_a_change_made_while_a_fold_is_written_is_not_lost_with_it() -> None:
    words = index_of([], [memory(0, "green kettle"), memory(1, "blue kettle")])
    fold = words.begun()
    written = words.written(fold)
    words.follow(MemoryId("0000"), None)
    words.follow(MemoryId("0002"), memory(2, "red kettle"))
    assert best(words, ["kettl"]) == ["0001", "0002"]
    words.adopt(fold, written)
    assert best(words, ["kettl"]) == ["0001", "0002"]
    assert words.behind == 2
    assert words.count == 2


def test_the_tail_shows_nobody_what_is_another_persons() -> None:
    club = Memory(id=MemoryId("0002"), person=BO, kind="note", text="kettle", channel=ChannelId("club"), shared=True)
    words = index_of([], [memory(0, "kettle"), memory(1, "kettle", person=BO), club])
    assert best(words, ["kettl"]) == ["0000"]
    assert words.top(["kettl"], Scope(ADA, (ChannelId("club"),)), kinds=None, limit=5) == ["0000", "0002"]
    assert words.top(["kettl"], Scope(ADA, (ChannelId("club"),)), kinds=["note"], limit=5) == ["0002"]


async def opened(directory: Path, epoch: int) -> EmbeddedMemoryStore:
    return await EmbeddedMemoryStore.open(
        RealFiles(directory), clock=ManualClock(), epoch=epoch, forget_key=FORGET_KEY, embedder=HashingEmbedder()
    )


async def found(store: EmbeddedMemoryStore, query: str) -> list[str]:
    return sorted(hit.memory.id for hit in await store.search(query, scope=Scope(ADA), limit=1_000))


@pytest.fixture
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instar.stores.memories.view.WORDS_ON_DISK_MIN", 3)
    monkeypatch.setattr("instar.stores.memories.view.TAIL_MAX", 8)


def stamp_of(directory: Path) -> int:
    return (directory / "cache" / "words" / "stamp.json").stat().st_mtime_ns


@pytest.mark.usefixtures("short_tails")
async def test_a_search_right_after_a_write_writes_no_index(tmp_path: Path) -> None:
    store = await opened(tmp_path, 1)
    await store.remember([memory(number, "kettle") for number in range(20)])
    assert len(await found(store, "kettle")) == 20
    before = stamp_of(tmp_path)
    for number in range(20, 28):
        await store.remember([memory(number, "kettle")])
        assert len(await found(store, "kettle")) == number + 1
    await store.close()
    assert stamp_of(tmp_path) == before


@pytest.mark.usefixtures("short_tails")
async def test_a_long_tail_is_in_the_index_when_the_store_has_closed(tmp_path: Path) -> None:
    store = await opened(tmp_path, 1)
    await store.remember([memory(number, "kettle") for number in range(20)])
    assert len(await found(store, "kettle")) == 20
    before = stamp_of(tmp_path)
    await store.remember([memory(number, "kettle") for number in range(20, 40)])
    assert len(await found(store, "kettle")) == 40
    await store.forget(MemoryId("0003"))
    await store.close()
    assert stamp_of(tmp_path) != before
    words = WordsIndex(tmp_path / "cache" / "words", not_above=1_000)
    assert (words.count, words.behind) == (40, 0)
    store = await opened(tmp_path, 2)
    assert len(await found(store, "kettle")) == 39
    await store.close()


@pytest.mark.usefixtures("short_tails")
async def test_a_purge_during_a_fold_leaves_no_file_with_the_words(tmp_path: Path) -> None:
    store = await opened(tmp_path, 1)
    await store.remember([memory(number, "kettle") for number in range(20)])
    await found(store, "kettle")
    await store.remember([memory(number, "xylophone") for number in range(20, 40)])
    assert len(await found(store, "xylophone")) == 20
    for number in range(20, 40):
        await store.forget(MemoryId(f"{number:04d}"))
    assert (await store.purge([b"xylophone"])).found == 0
    assert await found(store, "xylophone") == []
    await store.close()
    assert all(b"xylophon" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.usefixtures("short_tails")
async def test_more_changes_than_a_tail_may_hold_are_indexed_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instar.stores.memories.view.TAIL_BOUND", 16)
    store = await opened(tmp_path, 1)
    await store.remember([memory(number, "kettle") for number in range(20)])
    await found(store, "kettle")
    await store.remember([memory(number, "kettle") for number in range(20, 60)])
    assert len(await found(store, "kettle")) == 60
    words = WordsIndex(tmp_path / "cache" / "words", not_above=1_000)
    assert words.count == 60
    await store.close()
