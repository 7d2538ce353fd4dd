"""How two lists of candidates become one: reciprocal rank fusion over their union, plus named boosts.

score = sum over both legs of 1 / (60 + rank) + boosts (Cormack, Clarke, Buettcher 2009). A first rank in
one leg is worth 1/61, about 0.0164, which is the measure of the boosts:

| boost | amount | why |
|---|---|---|
| pinned | 0.0164 | as much as a first rank: the person said it matters |
| time | 0.0164 | the question names a time and the memory was made inside it |
| closeness | by the embedder's scale in `meaning.py` | an answer in other words than the question's |
| kind | 0.003 for facts and notes | a statement before the talk it came from |
| recency | 0.0012, halved every 30 days | of two equal ones the newer |

Equal scores are ordered by id, so that every backend and every run give the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from instar.core.ids import MemoryId
from instar.core.limits import FUSION_K
from instar.core.records import MemoryKind
from instar.stores.memories.port import Boost, Why
from instar.stores.memories.when import Span

FIRST_RANK = 1 / (FUSION_K + 1)
PINNED_BOOST = FIRST_RANK
TIME_BOOST = FIRST_RANK
KIND_BOOST = 0.003
RECENCY_BOOST = 0.0012
RECENCY_HALF_LIFE_S = 30 * 86_400.0
_BOOSTED_KINDS = ("fact", "note")


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's boosts depend on."""

    kind: MemoryKind
    pinned: bool
    created_at: datetime | None


class Near(msgspec.Struct, frozen=True):
    """A candidate of the meaning leg."""

    id: MemoryId
    rank: int
    cosine: float
    closeness: float = 0.0
    """The boost its cosine earns."""


class Fused(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with its place."""

    id: MemoryId
    score: float
    why: Why


def fused(
    words: Sequence[MemoryId],
    meaning: Sequence[Near],
    traits: Mapping[MemoryId, Traits],
    *,
    now: datetime,
    named: Sequence[Span],
    embedder: str,
) -> list[Fused]:
    """Rank the union of both legs, best first. `words` is in order of rank; `traits` covers every candidate."""
    word_ranks = {memory_id: rank for rank, memory_id in enumerate(words, 1)}
    near = {candidate.id: candidate for candidate in meaning}
    ranked = [
        _fused(
            memory_id,
            word_ranks.get(memory_id),
            near.get(memory_id),
            boosts(traits[memory_id], near.get(memory_id), now=now, named=named),
            embedder,
        )
        for memory_id in word_ranks.keys() | near.keys()
    ]
    return sorted(ranked, key=lambda candidate: (-candidate.score, candidate.id))


def _fused(
    memory_id: MemoryId, word_rank: int | None, near: Near | None, boosts: tuple[Boost, ...], embedder: str
) -> Fused:
    ranks = [rank for rank in (word_rank, near.rank if near else None) if rank is not None]
    score = sum(1 / (FUSION_K + rank) for rank in ranks) + sum(boost.amount for boost in boosts)
    why = Why(
        word_rank=word_rank,
        meaning_rank=near.rank if near else None,
        meaning_score=near.cosine if near else None,
        boosts=boosts,
        embedder=embedder if near else None,
    )
    return Fused(id=memory_id, score=score, why=why)


def boosts(traits: Traits, near: Near | None, *, now: datetime, named: Sequence[Span]) -> tuple[Boost, ...]:
    """The boosts of one candidate, those of zero left out."""
    found = []
    if traits.pinned:
        found.append(Boost("pinned", PINNED_BOOST))
    if traits.created_at is not None and any(span.holds(traits.created_at) for span in named):
        found.append(Boost("time", TIME_BOOST))
    if near is not None and near.closeness > 0:
        found.append(Boost("closeness", near.closeness))
    if traits.kind in _BOOSTED_KINDS:
        found.append(Boost("kind", KIND_BOOST))
    if traits.created_at is not None:
        found.append(Boost("recency", recency(traits.created_at, now)))
    return tuple(found)


def recency(created_at: datetime, now: datetime) -> float:
    """`RECENCY_BOOST` for now, half of it 30 days ago; a time in the future counts as now."""
    age_s = max(0.0, (now - created_at).total_seconds())
    return RECENCY_BOOST * math.exp2(-age_s / RECENCY_HALF_LIFE_S)
