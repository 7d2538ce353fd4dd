"""What every memory store promises: the sentences of `port.py`, each as a test.

Meaning is tested without a language model: a memory may bring its own vector, so a clause can place a text
wherever it likes. The fixture `embedder` gives the embedder that the backend under test was opened with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from instar.core.errors import EmbedderMismatch, MemoryUnknown, RecordInvalid, RecordTooLarge, ScopeMissing
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.limits import CANDIDATES_PER_LEG, FUSION_K, MEMORY_TEXT_MAX_BYTES
from instar.core.records import Memory, MemoryKind, Record, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.embeddings.port import Embedder
from instar.stores.memories.port import Hit, MemoryStore
from instar.stores.movable_contract import Backend, MovableContract

NOON = datetime(2026, 3, 12, 12, 0, 0, 123457, tzinfo=UTC)  # a Thursday
ADA, BOB = PersonId("ada"), PersonId("bob")
HALL, YARD = ChannelId("hall"), ChannelId("yard")
ALL: tuple[MemoryKind, ...] = ("fact", "note", "episode", "block")


def memory(id_: str, text: str = "The kettle is green.", **fields: Any) -> Memory:
    """A fact about Ada, unless told otherwise."""
    filled = {"person": ADA, "kind": "fact", "created_at": NOON - timedelta(days=400), **fields}
    return Memory(id=MemoryId(id_), text=text, **filled)


def full_memory() -> Memory:
    """A memory with every field set to something its default is not."""
    return Memory(
        id=MemoryId("9007199254740993/ü\x00"),
        person=PersonId("Ζωή"),
        kind="note",
        text="naïve 🏳️‍🌈 \u202e text\r\n\twith\u2028all",
        created_at=NOON,
        channel=ChannelId("grüße/日本\x00語"),
        shared=True,
        source_message_id=MessageId("m 1"),
        author_name="Ζωή 🜂",
        attribute="likes",
        value="tea",
        superseded_by=MemoryId("later"),
        pinned=True,
    )


def ids(found: Sequence[Memory | Hit]) -> list[str]:
    """The ids, in order."""
    return [each.memory.id if isinstance(each, Hit) else each.id for each in found]


def other_ids(count: int) -> list[str]:
    """Ids that sort before every name a clause uses, so that no tie is broken in their favour by chance."""
    return [f"0{number:04d}" for number in range(count)]


class MemoriesContract(MovableContract[MemoryStore]):
    """The clauses of `MemoryStore`. A subclass gives the fixture `backend`, and `embedder` when it is another."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """What the backend under test was opened with."""
        return HashingEmbedder()

    # --- what the clauses of every movable store need -------------------------------------------

    async def fill(self, store: MemoryStore, names: Sequence[str]) -> None:
        for name in names:
            await store.remember([memory(name, self.needle(name).decode(), person=PersonId(name))])

    async def rewrite(self, store: MemoryStore, name: str) -> None:
        found = await store.get(MemoryId(name))
        assert found is not None
        await store.pin(found.id, pinned=not found.pinned)

    async def remove(self, store: MemoryStore, name: str) -> None:
        await store.forget(MemoryId(name))

    async def present(self, store: MemoryStore, name: str) -> bool:
        found = await store.get(MemoryId(name)) is not None
        scope = Scope(PersonId(name))
        assert found == (ids(await store.listing(scope)) == [name])
        assert found == (ids(await store.search(f"what did {name} sing", scope=scope)) == [name])
        return found

    def key(self, name: str) -> tuple[str, ...]:
        return (name,)

    def needle(self, name: str) -> bytes:
        return f"a song that only {name} sings".encode()

    def altered(self, value: Memory) -> Memory:
        return msgspec.structs.replace(value, text=value.text + "!")

    # --- remember -------------------------------------------------------------------------------

    async def test_remember_returns_how_many_were_new(self, store: MemoryStore) -> None:
        assert await store.remember([memory("a"), memory("b")]) == 2
        assert await store.remember([memory("b"), memory("c")]) == 1
        assert await store.remember([]) == 0

    async def test_remember_keeps_every_field(
        self, store: MemoryStore, backend: Backend[Any], embedder: Embedder
    ) -> None:
        given = full_memory()
        await store.remember([given])
        stored = await store.get(given.id)
        assert stored is not None
        assert msgspec.structs.replace(stored, vector=None, embedder=None) == given
        later = await backend.open_killed()
        assert await later.get(given.id) == stored

    async def test_remember_stores_all_or_none(self, store: MemoryStore) -> None:
        for broken, error in (
            (memory("b", "  "), RecordInvalid),
            (memory("b", "x" * (MEMORY_TEXT_MAX_BYTES + 1)), RecordTooLarge),
            (memory("b", created_at=datetime(2026, 1, 1)), RecordInvalid),  # noqa: DTZ001 - that is what is refused
        ):
            with pytest.raises(error):
                await store.remember([memory("a"), broken])
            assert await store.get(MemoryId("a")) is None

    async def test_remember_is_durable_when_it_returns(self, store: MemoryStore, backend: Backend[Any]) -> None:
        await store.remember([memory("a"), memory("b")])
        killed = await backend.open_killed()
        assert ids(await killed.listing(Scope(ADA))) == ["a", "b"]
        assert ids(await killed.search("green kettle", scope=Scope(ADA))) == ["a", "b"]

    async def test_remembering_again_after_buffered_is_durable_when_it_returns(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        await store.remember([memory("a")], durability="buffered")
        assert await store.remember([memory("a")]) == 0
        killed = await backend.open_killed()
        assert ids(await killed.listing(Scope(ADA))) == ["a"]

    async def test_an_id_that_is_there_already_changes_nothing(self, store: MemoryStore) -> None:
        await store.remember([memory("a", "The first.")])
        stored, version = await store.get(MemoryId("a")), await store.version()
        assert await store.remember([memory("a", "The second.", pinned=True)]) == 0
        assert await store.get(MemoryId("a")) == stored
        assert await store.version() == version

    async def test_an_id_twice_in_one_batch_is_stored_once_as_given_first(self, store: MemoryStore) -> None:
        assert await store.remember([memory("a", "The first."), memory("a", "The second.")]) == 1
        stored = await store.get(MemoryId("a"))
        assert stored is not None
        assert stored.text == "The first."

    async def test_an_id_that_was_superseded_since_changes_nothing(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        await store.supersede(MemoryId("a"), memory("b", "The kettle is blue."))
        assert await store.remember([memory("a")]) == 0
        assert ids(await store.search("kettle", scope=Scope(ADA))) == ["b"]

    async def test_an_id_that_was_forgotten_since_changes_nothing(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        await store.remember([memory("a")])
        await store.forget(MemoryId("a"))
        assert await store.remember([memory("a")]) == 0
        await store.purge([])
        assert await store.remember([memory("a")]) == 0
        killed = await backend.open_killed()
        assert await killed.remember([memory("a")]) == 0
        assert await killed.get(MemoryId("a")) is None

    async def test_a_memory_without_a_vector_gets_one_from_the_embedder(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        texts = [f"Statement number {number} of many." for number in range(300)]
        await store.remember([memory(f"{number:03d}", text) for number, text in enumerate(texts)])
        stored = await store.listing(Scope(ADA))
        assert [each.vector for each in stored] == list(await embedder.embed(texts))
        assert {each.embedder for each in stored} == {embedder.fingerprint}

    async def test_a_given_vector_of_the_same_embedder_is_kept(self, store: MemoryStore, embedder: Embedder) -> None:
        placed = await at(embedder, memory("a"), "the far side of the moon")
        await store.remember([placed])
        assert await store.get(MemoryId("a")) == placed

    async def test_a_vector_of_another_embedder_is_refused(self, store: MemoryStore, embedder: Embedder) -> None:
        placed = await at(embedder, memory("b"), "anything")
        for strange in ("another-1/f32", None):
            with pytest.raises(EmbedderMismatch):
                await store.remember([memory("a"), msgspec.structs.replace(placed, embedder=strange)])
            with pytest.raises(EmbedderMismatch):
                await store.supersede(MemoryId("a"), msgspec.structs.replace(placed, embedder=strange))
        assert list(await store.listing(None)) == []

    async def test_a_vector_that_is_not_one_of_the_embedders_is_refused(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        placed = await at(embedder, memory("a"), "anything")
        assert placed.vector is not None
        for broken in (placed.vector[:-4], placed.vector[:-1], b"", b"\x00\x00\x80\x3f" * embedder.dimensions):
            with pytest.raises(RecordInvalid):
                await store.remember([msgspec.structs.replace(placed, vector=broken)])

    async def test_memories_of_another_embedder_get_new_vectors_until_none_is_left(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        foreign = [await at(embedder, memory(each), "elsewhere") for each in ("a", "b", "c")]
        foreign = [msgspec.structs.replace(each, embedder="another-1/f32") for each in foreign]
        await store.apply(
            [Record(key=(each.id,), version=number, value=each) for number, each in enumerate(foreign, 1)]
        )
        assert [await store.reembed(limit=2), await store.reembed(limit=2), await store.reembed(limit=2)] == [2, 1, 0]
        assert {each.embedder for each in await store.listing(None)} == {embedder.fingerprint}

    async def test_what_was_remembered_is_found_by_the_next_search(self, store: MemoryStore) -> None:
        for number in range(12):
            await store.remember([memory(f"{number:02d}", f"Lighthouse number {number} is white.")])
            assert len(await store.search("lighthouse", scope=Scope(ADA), limit=50)) == number + 1

    # --- supersede ------------------------------------------------------------------------------

    async def test_supersede_stores_the_new_and_returns_it_as_stored(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        stored = await store.supersede(MemoryId("a"), memory("b", "The kettle is blue."))
        assert stored == await store.get(MemoryId("b"))
        assert stored.vector is not None

    async def test_supersede_is_one_durable_transaction(self, store: MemoryStore, backend: Backend[Any]) -> None:
        await store.remember([memory("a")])
        await store.supersede(MemoryId("a"), memory("b"))
        killed = await backend.open_killed()
        assert (await killed.get(MemoryId("a"))).superseded_by == "b"
        assert await killed.get(MemoryId("b")) is not None

    async def test_a_superseded_memory_stays_readable_and_is_not_found_by_search(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        await store.supersede(MemoryId("a"), memory("b", "The kettle is blue."))
        old = await store.get(MemoryId("a"))
        assert old is not None
        assert (old.text, old.superseded_by) == ("The kettle is green.", "b")
        assert ids(await store.search("green kettle", scope=Scope(ADA))) == ["b"]

    async def test_supersede_of_an_unknown_memory_is_refused_and_stores_nothing(self, store: MemoryStore) -> None:
        with pytest.raises(MemoryUnknown):
            await store.supersede(MemoryId("nobody"), memory("b"))
        assert await store.get(MemoryId("b")) is None

    async def test_superseding_the_same_again_changes_nothing(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        first = await store.supersede(MemoryId("a"), memory("b", "The kettle is blue."))
        digest = await store.digest()
        assert await store.supersede(MemoryId("a"), memory("b", "The kettle is red.")) == first
        assert await store.digest() == digest

    async def test_superseding_by_a_forgotten_id_is_refused(self, store: MemoryStore) -> None:
        await store.remember([memory("a"), memory("b")])
        await store.forget(MemoryId("b"))
        with pytest.raises(MemoryUnknown):
            await store.supersede(MemoryId("a"), memory("b"))
        assert ids(await store.search("kettle", scope=Scope(ADA))) == ["a"]

    async def test_superseding_in_a_circle_is_refused(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        await store.supersede(MemoryId("a"), memory("b"))
        for old, new in (("b", "a"), ("b", "b")):
            with pytest.raises(RecordInvalid):
                await store.supersede(MemoryId(old), memory(new))
        assert ids(await store.search("kettle", scope=Scope(ADA))) == ["b"]

    # --- get and listing ------------------------------------------------------------------------

    async def test_get_of_what_was_never_there_is_none(self, store: MemoryStore) -> None:
        assert await store.get(MemoryId("a")) is None

    async def test_get_of_a_forgotten_memory_is_none(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        await store.forget(MemoryId("a"))
        assert await store.get(MemoryId("a")) is None

    async def test_listing_is_by_id_with_superseded_ones(self, store: MemoryStore) -> None:
        await store.remember([memory("c"), memory("a"), memory("é"), memory("\U0001f30d")])
        await store.supersede(MemoryId("a"), memory("b"))
        assert ids(await store.listing(Scope(ADA))) == ["a", "b", "c", "é", "\U0001f30d"]

    async def test_listing_starts_behind_after_and_stops_at_limit(self, store: MemoryStore) -> None:
        await store.remember([memory(name) for name in "abcde"])
        assert ids(await store.listing(Scope(ADA), limit=2)) == ["a", "b"]
        assert ids(await store.listing(Scope(ADA), after=MemoryId("b"), limit=2)) == ["c", "d"]
        assert list(await store.listing(Scope(ADA), after=MemoryId("e"))) == []

    async def test_listing_leaves_episodes_out_unless_asked(self, store: MemoryStore) -> None:
        await store.remember([memory(kind, kind=kind) for kind in ALL])
        assert ids(await store.listing(Scope(ADA))) == ["block", "fact", "note"]
        assert ids(await store.listing(Scope(ADA), kinds=("episode",))) == ["episode"]

    async def test_listing_returns_only_what_the_scope_allows(self, store: MemoryStore) -> None:
        await store.remember(every_visibility())
        assert ids(await store.listing(Scope(ADA))) == ["own"]
        assert ids(await store.listing(Scope(ADA, (HALL,)))) == ["hall", "own"]
        assert ids(await store.listing(Scope(PersonId("cleo")))) == []

    async def test_listing_without_a_scope_is_everyones(self, store: MemoryStore) -> None:
        await store.remember(every_visibility())
        assert ids(await store.listing(None)) == ["direct", "hall", "others", "own", "yard"]

    # --- search: scope --------------------------------------------------------------------------

    async def test_search_returns_only_what_the_scope_allows(self, store: MemoryStore) -> None:
        await store.remember(every_visibility())
        assert set(ids(await store.search("kettle", scope=Scope(ADA)))) == {"own"}
        assert set(ids(await store.search("kettle", scope=Scope(ADA, (HALL,))))) == {"own", "hall"}
        assert set(ids(await store.search("kettle", scope=Scope(ADA, (HALL, YARD))))) == {"own", "hall", "yard"}
        assert ids(await store.search("kettle", scope=Scope(PersonId("cleo")))) == []

    async def test_search_without_a_scope_is_refused(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        nobody: Any = None
        with pytest.raises(ScopeMissing):
            await store.search("kettle", scope=nobody)

    async def test_better_matches_outside_the_scope_take_no_place_in_the_words_leg(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        mine = await at(embedder, memory("mine", "A kettle, among so many other words about the house."), "volcano")
        others = [memory(id_, "kettle kettle", person=BOB) for id_ in other_ids(3 * CANDIDATES_PER_LEG)]
        await store.remember([*others, mine])
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.memory.id, hit.why.word_rank) == ("mine", 1)

    async def test_better_matches_outside_the_scope_take_no_place_in_the_meaning_leg(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        mine = await at(embedder, memory("mine", "Wordless."), "kettle on the stove")
        exact = await at(embedder, memory("0", "Wordless."), "kettle")
        others = [msgspec.structs.replace(exact, id=id_, person=BOB) for id_ in other_ids(3 * CANDIDATES_PER_LEG)]
        await store.remember([*others, mine])
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.memory.id, hit.why.meaning_rank, hit.why.word_rank) == ("mine", 1, None)

    async def test_other_kinds_take_no_place_in_either_leg(self, store: MemoryStore) -> None:
        others = [memory(id_, "kettle kettle", kind="episode") for id_ in other_ids(3 * CANDIDATES_PER_LEG)]
        await store.remember([*others, memory("mine", "A kettle in the house.")])
        (hit,) = await store.search("kettle", scope=Scope(ADA), kinds=("fact", "note"))
        assert (hit.memory.id, hit.why.word_rank, hit.why.meaning_rank) == ("mine", 1, 1)

    # --- search: what is found ------------------------------------------------------------------

    async def test_search_returns_the_best_limit_best_first(self, store: MemoryStore) -> None:
        await store.remember(
            [
                memory("c", "A green kettle."),
                memory("a", "Kettles are common, green paint is common too, and so are lighthouses by the sea."),
                memory("b", "There is a kettle somewhere."),
            ]
        )
        hits = await store.search("green kettle", scope=Scope(ADA))
        assert ids(hits)[0] == "c"
        assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]
        assert list(await store.search("green kettle", scope=Scope(ADA), limit=1)) == list(hits[:1])
        assert list(await store.search("green kettle", scope=Scope(ADA), limit=0)) == []

    async def test_superseded_memories_take_no_place(self, store: MemoryStore) -> None:
        await store.remember([memory(f"{number:03d}", "kettle") for number in range(CANDIDATES_PER_LEG)])
        await store.remember([memory("z", "A kettle, with other words around it.")])
        for number in range(CANDIDATES_PER_LEG):
            await store.supersede(MemoryId(f"{number:03d}"), memory("new", "Tea is ready."))
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.memory.id, hit.why.word_rank) == ("z", 1)

    async def test_a_hit_of_the_words_leg_alone_is_found(self, store: MemoryStore, embedder: Embedder) -> None:
        await store.remember([await at(embedder, memory("a", "The kettle is green."), "volcano")])
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.why.word_rank, hit.why.meaning_rank, hit.why.meaning_score) == (1, None, None)

    async def test_a_hit_of_the_meaning_leg_alone_is_found(self, store: MemoryStore, embedder: Embedder) -> None:
        await store.remember([await at(embedder, memory("a", "It whistles when tea is due."), "kettle")])
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.why.word_rank, hit.why.meaning_rank) == (None, 1)
        assert hit.why.meaning_score == pytest.approx(1.0)
        assert hit.why.embedder is not None

    async def test_score_is_reciprocal_ranks_plus_the_boosts_in_why(
        self, store: MemoryStore, embedder: Embedder
    ) -> None:
        await store.remember(
            [
                await at(embedder, memory("words", "A kettle, a kettle!"), "volcano"),
                await at(embedder, memory("meaning", "It whistles.", pinned=True), "kettle"),
                memory("both", "The kettle is green.", kind="episode", created_at=NOON),
            ]
        )
        hits = await store.search("kettle", scope=Scope(ADA), now=NOON)
        assert set(ids(hits)) == {"words", "meaning", "both"}
        for hit in hits:
            ranks = [rank for rank in (hit.why.word_rank, hit.why.meaning_rank) if rank is not None]
            expected = sum(1 / (FUSION_K + rank) for rank in ranks) + sum(boost.amount for boost in hit.why.boosts)
            assert hit.score == pytest.approx(expected)

    async def test_ranks_count_up_from_one_without_gaps(self, store: MemoryStore) -> None:
        await store.remember([memory(f"{number:02d}", "kettle " + "word " * number) for number in range(20)])
        hits = await store.search("kettle", scope=Scope(ADA), limit=50)
        assert sorted(hit.why.word_rank or 0 for hit in hits) == list(range(1, 21))
        near = sorted(
            (hit.why.meaning_rank, -(hit.why.meaning_score or 0)) for hit in hits if hit.why.meaning_rank is not None
        )
        assert [rank for rank, _ in near] == list(range(1, len(near) + 1))
        assert [score for _, score in near] == sorted(score for _, score in near)

    async def test_equal_scores_are_in_order_of_id_whatever_order_they_came_in(self, store: MemoryStore) -> None:
        await store.remember([memory(name) for name in "dbeac"])
        await store.remember([memory(name) for name in "hgf"])
        assert ids(await store.search("kettle", scope=Scope(ADA))) == list("abcdefgh")

    async def test_a_search_gives_the_same_answer_after_reopening(self, store: Any, backend: Backend[Any]) -> None:
        await store.remember(
            [memory(f"{number:02d}", f"kettle {number % 7} {'tea ' * (number % 5)}") for number in range(60)]
        )
        await store.forget(MemoryId("07"))
        before = await store.search("kettle tea 3", scope=Scope(ADA), now=NOON, limit=30)
        await store.close()
        later = await backend.open()
        assert await later.search("kettle tea 3", scope=Scope(ADA), now=NOON, limit=30) == before

    async def test_an_empty_or_wordless_query_finds_nothing(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        for query in ("", "   ", "?!", "\n", "…"):
            assert list(await store.search(query, scope=Scope(ADA))) == []

    async def test_a_question_about_something_never_mentioned_finds_nothing(self, store: MemoryStore) -> None:
        await store.remember([memory("a"), memory("b", "I live in Oslo."), memory("c", "My sister plays chess.")])
        assert list(await store.search("How does quantum computing work?", scope=Scope(ADA))) == []

    async def test_function_words_find_nothing_beside_other_words(self, store: MemoryStore, embedder: Embedder) -> None:
        await store.remember([await at(embedder, memory("a", "What is it that you have there?"), "volcano")])
        assert list(await store.search("What is the kettle?", scope=Scope(ADA))) == []
        assert ids(await store.search("What is it?", scope=Scope(ADA))) == ["a"]

    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("I go to many parties.", "party"),
            ("She was running.", "run"),
            ("Wir treffen uns im Café Zürich.", "cafe zurich"),
            ("私は東京に住んでいます", "東京"),
            ("我喜欢喝绿茶", "绿茶"),
            ("The code is X-4711.", "4711"),
            ("Ada's bike", "ada bike"),
        ],
    )
    async def test_words_are_found_in_other_forms(self, store: MemoryStore, text: str, query: str) -> None:
        await store.remember([memory("a", text), memory("b", "Nothing of the kind.")])
        hits = await store.search(query, scope=Scope(ADA))
        assert [(hit.memory.id, hit.why.word_rank) for hit in hits if hit.why.word_rank] == [("a", 1)]

    async def test_a_memory_is_found_by_who_said_it(self, store: MemoryStore) -> None:
        await store.remember([memory("a", author_name="Grace Hopper"), memory("b", author_name="Alan")])
        assert ids(await store.search("what did Grace say", scope=Scope(ADA)))[0] == "a"

    async def test_vectors_of_another_embedder_are_not_compared(
        self, store: Any, backend: Backend[Any], embedder: Embedder
    ) -> None:
        source = await backend.open_other()
        await source.remember([memory("a", "The kettle is green.")])
        (record,) = await source.scan()
        strange = msgspec.structs.replace(record.value, embedder="another-1/f32")
        await store.apply([msgspec.structs.replace(record, value=strange)])
        (hit,) = await store.search("kettle", scope=Scope(ADA))
        assert (hit.why.word_rank, hit.why.meaning_score, hit.why.embedder) == (1, None, None)
        assert "another" in await store.embedder()

    async def test_applied_memories_are_found_beside_older_ones(self, store: Any, backend: Backend[Any]) -> None:
        source = await backend.open_other()
        await source.remember([memory("early", "An early kettle.")])
        early = await source.scan()
        await store.remember([memory(f"{number:02d}", "kettle") for number in range(9)])
        assert len(await store.search("kettle", scope=Scope(ADA))) == 9
        await store.apply(early)
        assert "early" in ids(await store.search("early kettle", scope=Scope(ADA)))

    # --- search: boosts -------------------------------------------------------------------------

    async def test_now_anchors_time_expressions(self, store: MemoryStore) -> None:
        await store.remember(
            [
                memory("before", "We talked about boats.", kind="episode", created_at=NOON - timedelta(days=30)),
                memory("inside", "We talked about boats.", kind="episode", created_at=NOON - timedelta(days=7)),
                memory("after", "We talked about boats.", kind="episode", created_at=NOON - timedelta(days=1)),
            ]
        )
        question = "what did we say about boats last week?"
        assert ids(await store.search(question, scope=Scope(ADA), now=NOON))[0] == "inside"
        month_later = NOON + timedelta(days=6)
        assert ids(await store.search(question, scope=Scope(ADA), now=month_later))[0] == "after"

    async def test_without_now_the_stores_clock_anchors_them(self, store: MemoryStore) -> None:
        start_of_the_manual_clock = datetime(2026, 1, 1, tzinfo=UTC)
        await store.remember(
            [
                memory("a", "We talked about boats.", created_at=start_of_the_manual_clock - timedelta(days=20)),
                memory("b", "We talked about boats.", created_at=start_of_the_manual_clock - timedelta(hours=3)),
            ]
        )
        first, *_ = await store.search("boats yesterday", scope=Scope(ADA))
        assert first.memory.id == "b"
        assert "time" in {boost.name for boost in first.why.boosts}

    async def test_of_two_equal_memories_the_newer_comes_first(self, store: MemoryStore) -> None:
        await store.remember([memory("a", created_at=NOON - timedelta(days=90)), memory("b", created_at=NOON)])
        assert ids(await store.search("kettle", scope=Scope(ADA), now=NOON)) == ["b", "a"]

    async def test_of_two_equal_memories_a_fact_comes_before_an_episode(self, store: MemoryStore) -> None:
        await store.remember([memory("a", kind="episode"), memory("b", kind="fact")])
        assert ids(await store.search("kettle", scope=Scope(ADA), now=NOON)) == ["b", "a"]

    # --- pin ------------------------------------------------------------------------------------

    async def test_a_pin_lifts_a_memory_in_search(self, store: MemoryStore, backend: Backend[Any]) -> None:
        await store.remember([memory("a", "green kettle"), memory("b", "kettle")])
        assert ids(await store.search("green kettle", scope=Scope(ADA))) == ["a", "b"]
        pinned = await store.pin(MemoryId("b"), pinned=True)
        assert pinned.pinned
        assert pinned == await store.get(MemoryId("b"))
        assert ids(await store.search("green kettle", scope=Scope(ADA))) == ["b", "a"]
        killed = await backend.open_killed()
        assert (await killed.get(MemoryId("b"))).pinned

    async def test_a_cleared_pin_lifts_no_longer(self, store: MemoryStore) -> None:
        await store.remember([memory("a", "green kettle"), memory("b", "kettle", pinned=True)])
        assert ids(await store.search("green kettle", scope=Scope(ADA))) == ["b", "a"]
        assert not (await store.pin(MemoryId("b"), pinned=False)).pinned
        assert ids(await store.search("green kettle", scope=Scope(ADA))) == ["a", "b"]

    async def test_pin_of_an_unknown_memory_is_refused(self, store: MemoryStore) -> None:
        with pytest.raises(MemoryUnknown):
            await store.pin(MemoryId("nobody"), pinned=True)

    # --- forgetting -----------------------------------------------------------------------------

    async def test_forget_takes_a_memory_and_everything_it_superseded(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        await store.remember([memory("a"), memory("other")])
        await store.supersede(MemoryId("a"), memory("b"))
        await store.supersede(MemoryId("b"), memory("c"))
        assert await store.forget(MemoryId("c"))
        killed = await backend.open_killed()
        for later in (store, killed):
            assert ids(await later.listing(None)) == ["other"]

    async def test_forgetting_what_was_superseded_leaves_the_newer_one(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        await store.supersede(MemoryId("a"), memory("b"))
        assert await store.forget(MemoryId("a"))
        assert ids(await store.listing(None)) == ["b"]

    async def test_forget_of_what_is_not_there_is_false(self, store: MemoryStore) -> None:
        await store.remember([memory("a")])
        assert not await store.forget(MemoryId("nobody"))
        assert await store.forget(MemoryId("a"))
        assert not await store.forget(MemoryId("a"))

    async def test_no_search_finds_what_is_forgotten(self, store: MemoryStore) -> None:
        await store.remember([memory("a"), memory("b")])
        assert ids(await store.search("kettle", scope=Scope(ADA))) == ["a", "b"]
        await store.forget(MemoryId("a"))
        assert ids(await store.search("kettle", scope=Scope(ADA))) == ["b"]

    async def test_forget_message_takes_every_memory_derived_from_it(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        said = {"source_message_id": MessageId("m1"), "channel": HALL}
        await store.remember(
            [
                memory("a", **said),
                memory("b", kind="episode", **said),
                memory("c", **{**said, "channel": YARD}),
                memory("d", **{**said, "source_message_id": MessageId("m2")}),
                memory("e"),
            ]
        )
        assert await store.forget_message([(HALL, MessageId("m1")), (HALL, MessageId("nothing"))]) == 2
        killed = await backend.open_killed()
        for later in (store, killed):
            assert ids(await later.listing(None, kinds=ALL)) == ["c", "d", "e"]
        assert await store.forget_message([(HALL, MessageId("m1"))]) == 0
        assert await store.forget_message([]) == 0

    async def test_erase_person_takes_every_memory_of_theirs_and_no_others(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        await store.remember(every_visibility())
        await store.supersede(MemoryId("own"), memory("newer", kind="episode"))
        assert await store.erase_person(ADA) == 2
        killed = await backend.open_killed()
        for later in (store, killed):
            assert ids(await later.listing(None, kinds=ALL)) == ["direct", "hall", "others", "yard"]
        assert await store.erase_person(ADA) == 0
        assert await store.remember([memory("own")]) == 0

    async def test_the_bytes_of_an_erased_person_leave_at_the_next_purge(
        self, store: MemoryStore, backend: Backend[Any]
    ) -> None:
        await store.remember([memory("secret-id-1", "The xylophone is under the floor."), memory("b", person=BOB)])
        assert await store.search("xylophone", scope=Scope(ADA))
        assert b"xylophone" in backend.raw()
        await store.erase_person(ADA)
        purged = await store.purge([b"xylophone", b"secret-id-1"])
        assert purged.found == 0
        assert b"xylophone" not in backend.raw()
        assert b"secret-id-1" not in backend.raw()
        assert ids(await store.search("kettle", scope=Scope(BOB))) == ["b"]

    # --- figures --------------------------------------------------------------------------------

    async def test_embedder_is_the_name_of_the_one_in_use(self, store: MemoryStore, embedder: Embedder) -> None:
        await store.remember([memory("a")])
        assert await store.embedder() == embedder.name

    async def test_counts_are_facts_notes_and_blocks_that_are_not_superseded(self, store: MemoryStore) -> None:
        assert await store.counts() == {}
        await store.remember([memory(kind, kind=kind) for kind in ALL])
        await store.remember([memory("b", person=BOB)])
        await store.supersede(MemoryId("fact"), memory("newer"))
        assert await store.counts() == {ADA: 3, BOB: 1}
        await store.forget(MemoryId("b"))
        assert await store.counts() == {ADA: 3}


async def at(embedder: Embedder, given: Memory, text: str) -> Memory:
    """The memory with the vector of another text, so that words and meaning can be told apart."""
    (vector,) = await embedder.embed([text])
    return msgspec.structs.replace(given, vector=vector, embedder=embedder.fingerprint)


def every_visibility() -> list[Memory]:
    """One memory of Ada's, and of Bob's every kind that she may or may not see."""
    return [
        memory("own", shared=False),
        memory("hall", person=BOB, channel=HALL, shared=True),
        memory("yard", person=BOB, channel=YARD, shared=True),
        memory("direct", person=BOB, channel=HALL, shared=False),
        memory("others", person=BOB),
    ]
