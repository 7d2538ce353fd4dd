"""Reciprocal rank fusion over the union of both lists, and its boosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.core.ids import MemoryId
from instar.stores.memories.fusion import (
    FIRST_RANK,
    KIND_BOOST,
    RECENCY_BOOST,
    Fused,
    Near,
    Traits,
    boosts,
    fused,
    recency,
)
from instar.stores.memories.when import Span

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
PLAIN = Traits(kind="episode", pinned=False, created_at=None)


def fuse(words: list[str], meaning: list[str], **traits: Traits) -> list[Fused]:
    near = [Near(MemoryId(id_), rank, 1.0 - rank / 1000) for rank, id_ in enumerate(meaning, 1)]
    every = {MemoryId(id_): traits.get(id_, PLAIN) for id_ in [*words, *meaning]}
    return fused([MemoryId(id_) for id_ in words], near, every, now=NOW, named=[], embedder="e")


def test_what_both_legs_found_beats_what_one_leg_found_first() -> None:
    assert [each.id for each in fuse(["a", "b"], ["c", "b"])] == ["b", "a", "c"]


def test_equal_scores_are_in_order_of_id() -> None:
    ranked = fuse(["z"], ["a"])
    assert [each.id for each in ranked] == ["a", "z"]
    assert ranked[0].score == ranked[1].score == pytest.approx(1 / 61)


def test_why_names_ranks_and_the_embedder_only_where_a_vector_was_compared() -> None:
    words_only, meaning_only = fuse(["w"], ["m"])[::-1]
    assert (words_only.why.word_rank, words_only.why.meaning_rank, words_only.why.embedder) == (1, None, None)
    assert (meaning_only.why.word_rank, meaning_only.why.meaning_rank, meaning_only.why.embedder) == (None, 1, "e")


@given(
    st.lists(st.sampled_from("abcdefghij"), unique=True),
    st.lists(st.sampled_from("abcdefghij"), unique=True),
)
def test_every_candidate_of_either_leg_is_ranked_once(words: list[str], meaning: list[str]) -> None:
    ranked = fuse(words, meaning)
    assert {each.id for each in ranked} == {*words, *meaning}
    assert len(ranked) == len({*words, *meaning})
    assert [each.score for each in ranked] == sorted((each.score for each in ranked), reverse=True)


@given(st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=1), st.data())
def test_a_better_rank_in_one_leg_never_lowers_a_candidate(words: list[str], data: st.DataObject) -> None:
    meaning = data.draw(st.permutations(words))
    lifted = data.draw(st.sampled_from(words))
    before = [each.id for each in fuse(words, list(meaning))].index(MemoryId(lifted))
    raised = [lifted, *(each for each in words if each != lifted)]
    assert [each.id for each in fuse(raised, list(meaning))].index(MemoryId(lifted)) <= before


def test_each_boost_is_named_with_its_amount() -> None:
    span = Span(NOW - timedelta(days=1), NOW + timedelta(days=1), "today")
    found = boosts(
        Traits(kind="note", pinned=True, created_at=NOW),
        Near(MemoryId("a"), 1, 0.5, closeness=0.015),
        now=NOW,
        named=[span],
    )
    assert {boost.name: boost.amount for boost in found} == {
        "pinned": FIRST_RANK,
        "time": FIRST_RANK,
        "closeness": 0.015,
        "kind": KIND_BOOST,
        "recency": RECENCY_BOOST,
    }
    assert boosts(PLAIN, Near(MemoryId("a"), 1, 0.5), now=NOW, named=[span]) == ()


def test_recency_is_halved_every_thirty_days_and_the_future_counts_as_now() -> None:
    assert recency(NOW, NOW) == RECENCY_BOOST
    assert recency(NOW - timedelta(days=30), NOW) == pytest.approx(RECENCY_BOOST / 2)
    assert recency(NOW - timedelta(days=60), NOW) == pytest.approx(RECENCY_BOOST / 4)
    assert recency(NOW + timedelta(days=9), NOW) == RECENCY_BOOST
    assert 0 <= recency(datetime(1970, 1, 1, tzinfo=UTC), NOW) < 1e-9


def test_small_boosts_together_weigh_less_than_being_found_by_the_other_leg() -> None:
    assert KIND_BOOST + RECENCY_BOOST < 1 / (60 + 100)


def test_an_answer_in_other_words_outranks_many_that_only_repeat_a_word_of_the_question() -> None:
    repeated = [f"r{number:02d}" for number in range(30)]
    near = [Near(MemoryId("answer"), 1, 0.61, closeness=0.06 * 0.36)]
    near += [Near(MemoryId(id_), rank, 0.35, closeness=0.06 * 0.1) for rank, id_ in enumerate(repeated, 2)]
    every = {MemoryId(id_): PLAIN for id_ in [*repeated, "answer"]}
    ranked = fused([MemoryId(id_) for id_ in repeated], near, every, now=NOW, named=[], embedder="e")
    assert [each.id for each in ranked].index(MemoryId("answer")) < 5
