"""Memory stores and embedders that break one promise each. A contract that lets one pass is not a contract.

Every liar names the clause that must catch it. They are the embedded backend with one thing wrong, so
whatever else happens is as it should be.
"""

# ruff: noqa: D101  the name says the lie, and the clause beside it in the tables below the promise it breaks

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from instar.core.errors import MemoryUnknown
from instar.core.ids import MemoryId, MessageId, PersonId
from instar.core.limits import CANDIDATES_PER_LEG
from instar.core.records import Durability, Memory, MemoryKind, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.embedded import ALL_KINDS, COUNTED_KINDS, EmbeddedMemoryStore
from instar.stores.memories.fusion import Near
from instar.stores.memories.port import Hit
from instar.stores.movable import Purged
from instar.stores.segment.store import Op
from instar.testing.liars import MOVING_LIES, PURGING_LIES, Liar, told_by

_EVERY_KIND: tuple[MemoryKind, ...] = tuple(sorted(ALL_KINDS))


class _Searching(EmbeddedMemoryStore):
    """A liar whose searches are wrong: it changes what is asked or what is answered."""

    async def search(
        self,
        query: str,
        *,
        scope: Scope,
        limit: int = 10,
        kinds: Sequence[MemoryKind] = _EVERY_KIND,
        now: datetime | None = None,
    ) -> Sequence[Hit]:
        hits = list(await super().search(query, scope=scope, limit=limit, kinds=kinds, now=now))
        return await self.answer(query, hits, scope, limit)

    async def honest(self, query: str, scope: Scope, limit: int) -> list[Hit]:
        return list(await super().search(query, scope=scope, limit=limit))

    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return hits

    async def everyone(self) -> list[PersonId]:
        return sorted({memory.person for memory in await self.listing(None, kinds=_EVERY_KIND)})


class IgnoresScope(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return [hit for person in await self.everyone() for hit in await self.honest(query, Scope(person), limit)]


class TakesAChannelsNameForLeave(_Searching):
    """Shows direct talk to whoever may read the channel of the same name."""

    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        found = [hit for person in await self.everyone() for hit in await self.honest(query, Scope(person), limit)]
        return hits + [hit for hit in found if hit.memory.channel in scope.channels and hit not in hits]


class AnswersWithoutScope(_Searching):
    async def search(self, query: str, *, scope: Scope, **more: Any) -> Sequence[Hit]:
        return [] if scope is None else await super().search(query, scope=scope, **more)


class ReturnsTooMany(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return await self.honest(query, scope, limit + 1)


class ReturnsTheWorstFirst(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return hits[::-1]


class InventsScores(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return [msgspec.structs.replace(hit, score=hit.score + 0.01) for hit in hits]


class HidesItsReasons(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return [msgspec.structs.replace(hit, why=msgspec.structs.replace(hit.why, boosts=())) for hit in hits]


class FindsWithoutWords(_Searching):
    async def answer(self, query: str, hits: list[Hit], scope: Scope, limit: int) -> list[Hit]:
        return hits or await self.honest("green kettle", scope, limit)


class AnchorsToItsOwnClock(_Searching):
    async def search(self, query: str, *, scope: Scope, now: datetime | None = None, **more: Any) -> Sequence[Hit]:
        return await super().search(query, scope=scope, **more)


class _Ranking(EmbeddedMemoryStore):
    """A liar whose legs are wrong."""

    def _ranked(self, sides: Any, sought: Any) -> Any:
        passed: Any = _Legs(self, sides)
        return super()._ranked(passed, sought)

    def words(self, honest: list[MemoryId], sides: Any, scope: Scope) -> list[MemoryId]:
        return honest

    def meaning(self, honest: list[Near], sides: Any, scope: Scope) -> list[Near]:
        return honest


class _Legs:
    """Sides whose answers pass through the liar."""

    def __init__(self, liar: _Ranking, sides: Any) -> None:
        self._liar = liar
        self._sides = sides
        self.words = self.columns = self
        self.traits = sides.columns.traits

    def top(self, asked: Any, scope: Scope, kinds: Any = None, *, limit: int, **more: Any) -> Any:
        if isinstance(asked, bytes):
            honest = self._sides.columns.top(asked, scope, kinds, limit=limit, **more)
            return self._liar.meaning(honest, self._sides, scope)
        return self._liar.words(self._sides.words.top(asked, scope, kinds=kinds, limit=limit), self._sides, scope)


def _strangers(sides: Any, scope: Scope) -> list[MemoryId]:
    """Everybody's memories that `scope` does not allow."""
    own = set(sides.columns.ids(scope, _EVERY_KIND, after=None))
    return [each for each in sides.columns.ids(None, _EVERY_KIND, after=None) if each not in own]


class FiltersWordsAfterTheTop(_Ranking):
    """Foreign memories take the first hundred places, then they are filtered out."""

    def words(self, honest: list[MemoryId], sides: Any, scope: Scope) -> list[MemoryId]:
        strangers = _strangers(sides, scope)
        return [each for each in (strangers + honest)[:CANDIDATES_PER_LEG] if each not in strangers]


class FiltersMeaningAfterTheTop(_Ranking):
    def meaning(self, honest: list[Near], sides: Any, scope: Scope) -> list[Near]:
        return honest[: max(0, CANDIDATES_PER_LEG - len(_strangers(sides, scope)))]


class HasNoWordsLeg(_Ranking):
    def words(self, honest: list[MemoryId], sides: Any, scope: Scope) -> list[MemoryId]:
        return []


class HasNoMeaningLeg(_Ranking):
    def meaning(self, honest: list[Near], sides: Any, scope: Scope) -> list[Near]:
        return []


class CountsRanksFromZero(_Ranking):
    def meaning(self, honest: list[Near], sides: Any, scope: Scope) -> list[Near]:
        return [Near(near.id, near.rank - 1, near.cosine) for near in honest]


class OrdersTiesBackwards(_Ranking):
    def words(self, honest: list[MemoryId], sides: Any, scope: Scope) -> list[MemoryId]:
        return honest[::-1]


class FindsSomethingForEveryQuestion(_Ranking):
    def meaning(self, honest: list[Near], sides: Any, scope: Scope) -> list[Near]:
        return honest or [Near(each, 1, 0.0) for each in sides.columns.ids(scope, COUNTED_KINDS, after=None)[:1]]


class ComparesEveryVector(EmbeddedMemoryStore):
    """Reads a vector of another embedder as one of its own."""

    def _value(self, entry: Any) -> Memory:
        return msgspec.structs.replace(super()._value(entry), embedder=self._embedder.fingerprint)


class SearchesAnOldIndex(EmbeddedMemoryStore):
    """Builds its index at the first search and never again."""

    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        built = self._searched
        version = await super()._commit(ops, durability=durability)
        if built:
            self._view = _Deaf(self._view)  # type: ignore[assignment]
        return version

    _searched = False

    async def search(self, query: str, **more: Any) -> Sequence[Hit]:
        self._searched = True
        return await super().search(query, **more)


class _Deaf:
    """A view that hears of no change."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self.ask, self.close, self.drop = view.ask, view.close, view.drop
        self.outdate_files = view.outdate_files

    def changed(self, keys: Any, *, acknowledged: int) -> None:
        return None


class Overwrites(EmbeddedMemoryStore):
    def _is_new(self, memory_id: MemoryId) -> bool:
        return not self._forgotten.holds(memory_id)


class ForgetsWhatItForgot(EmbeddedMemoryStore):
    def _is_new(self, memory_id: MemoryId) -> bool:
        return self._live((memory_id).encode()) is None


class AppliesTheForgotten(EmbeddedMemoryStore):
    def _barred(self, value: Memory, version: int) -> bool:
        return False


class StoresHalfABatch(EmbeddedMemoryStore):
    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        return sum([await EmbeddedMemoryStore.remember(self, [each], durability=durability) for each in memories])


class KeepsTheLastOfABatch(EmbeddedMemoryStore):
    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        return await super().remember(list(memories)[::-1], durability=durability)


class BuffersWhatShouldBeDurable(EmbeddedMemoryStore):
    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        return await super().remember(memories, durability="buffered")


class LosesMicroseconds(EmbeddedMemoryStore):
    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        return await super().remember([_rounded(each) for each in memories], durability=durability)


def _rounded(memory: Memory) -> Memory:
    at = memory.created_at
    return msgspec.structs.replace(memory, created_at=at and at.replace(microsecond=0))


class MixesVectors(EmbeddedMemoryStore):
    """Gives each text of a batch the vector of another."""

    async def _embedded(self, memories: Sequence[Memory]) -> list[Memory]:
        honest = await super()._embedded(memories)
        vectors = [each.vector for each in honest][::-1]
        return [msgspec.structs.replace(each, vector=vector) for each, vector in zip(honest, vectors, strict=True)]


class TakesEveryVector(EmbeddedMemoryStore):
    def _check(self, memory: Memory) -> None:
        fingerprint = self._embedder.fingerprint if memory.vector is not None else None
        super()._check(msgspec.structs.replace(memory, embedder=fingerprint))


class KeepsTheOldBesideTheNew(EmbeddedMemoryStore):
    async def supersede(self, old: MemoryId, new: Memory) -> Memory:
        if await self.get(old) is None:
            raise MemoryUnknown(f"there is no memory {old!r}", why="it was never stored", next="instar memories")
        await self.remember([new])
        stored = await self.get(new.id)
        return stored or new


class DropsTheOldForTheNew(EmbeddedMemoryStore):
    async def supersede(self, old: MemoryId, new: Memory) -> Memory:
        stored = await super().supersede(old, new)
        await self.forget(old)
        return stored


class SupersedesNothing(EmbeddedMemoryStore):
    """Stores the new one although there is no old one."""

    async def supersede(self, old: MemoryId, new: Memory) -> Memory:
        if await self.get(old) is not None:
            return await super().supersede(old, new)
        await self.remember([new])
        raise MemoryUnknown(f"there is no memory {old!r}", why="it was never stored", next="instar memories")


class GoesRoundInCircles(EmbeddedMemoryStore):
    def _refuse_circle(self, old: Memory, new: Memory) -> None:
        return None


class PinsNothing(EmbeddedMemoryStore):
    async def pin(self, memory_id: MemoryId, *, pinned: bool) -> Memory:
        found = self._known(memory_id)
        return msgspec.structs.replace(found, pinned=pinned)


class OnlyClaimsToForget(EmbeddedMemoryStore):
    async def forget(self, memory_id: MemoryId) -> bool:
        return await self.get(memory_id) is not None


class ForgetsTheNewestOnly(EmbeddedMemoryStore):
    async def forget(self, memory_id: MemoryId) -> bool:
        if await self.get(memory_id) is None:
            return False
        return await self._whole(self._end(lambda _: [memory_id])) > 0


class TakesTheSameIdOfAnotherChannel(EmbeddedMemoryStore):
    async def forget_message(self, message_ids: Sequence[tuple[str, MessageId]]) -> int:
        channels = {memory.channel or "" for memory in await self.listing(None, kinds=_EVERY_KIND)}
        return await super().forget_message([(channel, id_) for channel in channels for _, id_ in message_ids])


class LeavesTheSupersededOfTheErased(EmbeddedMemoryStore):
    async def erase_person(self, person: PersonId) -> int:
        every = await self.listing(Scope(person), kinds=_EVERY_KIND)
        current = [each.id for each in every if each.person == person and each.superseded_by is None]
        return await self._whole(self._end(lambda _: current))


class PurgesNothing(EmbeddedMemoryStore):
    async def purge(self, needles: Sequence[bytes]) -> Purged:
        return Purged(bytes_scanned=1, found=0)


class _Listing(EmbeddedMemoryStore):
    async def listing(
        self,
        scope: Scope | None,
        *,
        kinds: Sequence[MemoryKind] = COUNTED_KINDS,
        after: MemoryId | None = None,
        limit: int = 1_000,
    ) -> Sequence[Memory]:
        return self.listed(list(await super().listing(scope, kinds=kinds, after=after, limit=limit)))

    def listed(self, found: list[Memory]) -> list[Memory]:
        return found


class ListsOnlyTheCurrent(_Listing):
    def listed(self, found: list[Memory]) -> list[Memory]:
        return [each for each in found if each.superseded_by is None]


class ListsInOrderOfWriting(_Listing):
    def listed(self, found: list[Memory]) -> list[Memory]:
        return sorted(found, key=lambda each: self._record_version(each.id))

    def _record_version(self, memory_id: MemoryId) -> int:
        entry = self.engine.get(self.collection, memory_id.encode())
        return entry.version if entry else 0


class ListsEverybodys(_Listing):
    async def listing(self, scope: Scope | None, **more: Any) -> Sequence[Memory]:
        return await super().listing(None, **more)


class ListsFromTheStart(_Listing):
    async def listing(self, scope: Scope | None, **more: Any) -> Sequence[Memory]:
        return await super().listing(scope, **{**more, "after": None})


class CountsTheSuperseded(EmbeddedMemoryStore):
    async def counts(self) -> dict[PersonId, int]:
        every = await self.listing(None)
        return {person: sum(each.person == person for each in every) for person in {each.person for each in every}}


class LeavesForeignVectors(EmbeddedMemoryStore):
    async def reembed(self, *, limit: int = 256) -> int:
        return 0


LIARS: dict[str, Liar] = {
    "leaves foreign vectors": (
        LeavesForeignVectors,
        "test_memories_of_another_embedder_get_new_vectors_until_none_is_left",
    ),
    **told_by({**MOVING_LIES, **PURGING_LIES}, EmbeddedMemoryStore),
    "ignores the scope": (IgnoresScope, "test_search_returns_only_what_the_scope_allows"),
    "takes a channel's name for leave": (TakesAChannelsNameForLeave, "test_search_returns_only_what_the_scope_allows"),
    "answers without a scope": (AnswersWithoutScope, "test_search_without_a_scope_is_refused"),
    "filters words after the top": (
        FiltersWordsAfterTheTop,
        "test_better_matches_outside_the_scope_take_no_place_in_the_words_leg",
    ),
    "filters meaning after the top": (
        FiltersMeaningAfterTheTop,
        "test_better_matches_outside_the_scope_take_no_place_in_the_meaning_leg",
    ),
    "returns too many": (ReturnsTooMany, "test_search_returns_the_best_limit_best_first"),
    "returns the worst first": (ReturnsTheWorstFirst, "test_search_returns_the_best_limit_best_first"),
    "orders ties backwards": (
        OrdersTiesBackwards,
        "test_equal_scores_are_in_order_of_id_whatever_order_they_came_in",
    ),
    "invents scores": (InventsScores, "test_score_is_reciprocal_ranks_plus_the_boosts_in_why"),
    "hides its reasons": (HidesItsReasons, "test_score_is_reciprocal_ranks_plus_the_boosts_in_why"),
    "counts ranks from zero": (CountsRanksFromZero, "test_ranks_count_up_from_one_without_gaps"),
    "finds without words": (FindsWithoutWords, "test_an_empty_or_wordless_query_finds_nothing"),
    "finds something for every question": (
        FindsSomethingForEveryQuestion,
        "test_a_question_about_something_never_mentioned_finds_nothing",
    ),
    "has no words leg": (HasNoWordsLeg, "test_a_hit_of_the_words_leg_alone_is_found"),
    "has no meaning leg": (HasNoMeaningLeg, "test_a_hit_of_the_meaning_leg_alone_is_found"),
    "compares every vector": (ComparesEveryVector, "test_vectors_of_another_embedder_are_not_compared"),
    "anchors to its own clock": (AnchorsToItsOwnClock, "test_now_anchors_time_expressions"),
    "searches an old index": (SearchesAnOldIndex, "test_what_was_remembered_is_found_by_the_next_search"),
    "overwrites": (Overwrites, "test_an_id_that_is_there_already_changes_nothing"),
    "forgets what it forgot": (ForgetsWhatItForgot, "test_an_id_that_was_forgotten_since_changes_nothing"),
    "applies the forgotten": (
        AppliesTheForgotten,
        "test_an_older_record_applied_after_the_purge_does_not_bring_back_what_was_removed",
    ),
    "stores half a batch": (StoresHalfABatch, "test_remember_stores_all_or_none"),
    "keeps the last of a batch": (
        KeepsTheLastOfABatch,
        "test_an_id_twice_in_one_batch_is_stored_once_as_given_first",
    ),
    "buffers what should be durable": (BuffersWhatShouldBeDurable, "test_remember_is_durable_when_it_returns"),
    "loses microseconds": (LosesMicroseconds, "test_remember_keeps_every_field"),
    "mixes vectors": (MixesVectors, "test_a_memory_without_a_vector_gets_one_from_the_embedder"),
    "takes every vector": (TakesEveryVector, "test_a_vector_of_another_embedder_is_refused"),
    "keeps the old beside the new": (
        KeepsTheOldBesideTheNew,
        "test_a_superseded_memory_stays_readable_and_is_not_found_by_search",
    ),
    "drops the old for the new": (
        DropsTheOldForTheNew,
        "test_a_superseded_memory_stays_readable_and_is_not_found_by_search",
    ),
    "supersedes nothing": (
        SupersedesNothing,
        "test_supersede_of_an_unknown_memory_is_refused_and_stores_nothing",
    ),
    "goes round in circles": (GoesRoundInCircles, "test_superseding_in_a_circle_is_refused"),
    "pins nothing": (PinsNothing, "test_a_pin_lifts_a_memory_in_search"),
    "only claims to forget": (OnlyClaimsToForget, "test_no_search_finds_what_is_forgotten"),
    "forgets the newest only": (ForgetsTheNewestOnly, "test_forget_takes_a_memory_and_everything_it_superseded"),
    "takes the same id of another channel": (
        TakesTheSameIdOfAnotherChannel,
        "test_forget_message_takes_every_memory_derived_from_it",
    ),
    "leaves the superseded of the erased": (
        LeavesTheSupersededOfTheErased,
        "test_erase_person_takes_every_memory_of_theirs_and_no_others",
    ),
    "purges nothing": (PurgesNothing, "test_the_bytes_of_an_erased_person_leave_at_the_next_purge"),
    "lists only the current": (ListsOnlyTheCurrent, "test_listing_is_by_id_with_superseded_ones"),
    "lists in order of writing": (ListsInOrderOfWriting, "test_listing_is_by_id_with_superseded_ones"),
    "lists everybody's": (ListsEverybodys, "test_listing_returns_only_what_the_scope_allows"),
    "lists from the start": (ListsFromTheStart, "test_listing_starts_behind_after_and_stops_at_limit"),
    "counts the superseded": (
        CountsTheSuperseded,
        "test_counts_are_facts_notes_and_blocks_that_are_not_superseded",
    ),
}
"""What each does, who it is, and the clause of `MemoriesContract` that catches it."""


class NotUnitLength(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [_scaled(vector, 2.0) for vector in await super().embed(texts)]


class SomethingForNothing(HashingEmbedder):
    """Gives a text without words a vector as if it had one."""

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return await super().embed([text if any(map(str.isalnum, text)) else "nothing" for text in texts])


class ReturnsAnyOrder(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return list(await super().embed(texts))[::-1]


class DropsTheEmpty(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return await super().embed([text for text in texts if text.strip()])


class DiffersEachTime(HashingEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(0)

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [_nudged(vector, self._random.random()) for vector in await super().embed(texts)]


class DiffersByProcess(HashingEmbedder):
    """Takes places from `hash`, which every process salts anew."""

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return await super().embed([f"{text} salt{hash('salt')}" if text.strip() else text for text in texts])


class DependsOnTheBatch(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [_nudged(vector, len(texts) / 100) for vector in await super().embed(texts)]


class BigEndian(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        vectors = await super().embed(texts)
        return [b"".join(vector[at : at + 4][::-1] for at in range(0, len(vector), 4)) for vector in vectors]


class BlocksTheLoop(HashingEmbedder):
    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        from instar.embeddings.hashing import _vectors

        return _vectors(texts)


def _scaled(vector: bytes, factor: float) -> bytes:
    import numpy as np

    return (np.frombuffer(vector, dtype="<f4") * np.float32(factor)).tobytes()


def _nudged(vector: bytes, amount: float) -> bytes:
    import numpy as np

    values = np.frombuffer(vector, dtype="<f4").astype(np.float64)
    if not values.any():
        return vector
    values[0] += amount
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()


EMBEDDER_LIARS: dict[str, tuple[type[HashingEmbedder], str]] = {
    "not unit length": (NotUnitLength, "test_vectors_have_unit_length"),
    "something for nothing": (SomethingForNothing, "test_a_text_without_anything_to_embed_gives_the_zero_vector"),
    "returns any order": (ReturnsAnyOrder, "test_embed_returns_one_vector_per_text_in_order"),
    "drops the empty": (DropsTheEmpty, "test_a_text_without_anything_to_embed_gives_the_zero_vector"),
    "differs each time": (DiffersEachTime, "test_embed_returns_one_vector_per_text_in_order"),
    "differs by process": (DiffersByProcess, "test_the_same_text_gives_the_same_vector_in_every_process"),
    "depends on the batch": (
        DependsOnTheBatch,
        "test_a_text_gives_the_same_vector_whatever_is_embedded_beside_it",
    ),
    "big-endian": (BigEndian, "test_vectors_are_little_endian_float32_of_the_stated_length"),
    "blocks the loop": (BlocksTheLoop, "test_embed_does_not_block_the_event_loop"),
}
"""What each does, who it is, and the clause of `EmbedderContract` that catches it."""
