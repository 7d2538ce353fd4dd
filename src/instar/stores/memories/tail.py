"""The tail of the words leg: the newest changes, ranked here until the index has them.

Writing an index costs tens of milliseconds, and somebody waits for the answer to a question asked right
after a write. So the last few hundred memories are held as counted terms and scored by the formula the
index uses (BM25 as in Lucene and tantivy, lengths rounded alike), with frequencies counted over both. A
memory that changed since it was indexed is hidden there and stands here, or nowhere if it is gone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from instar.core.ids import MemoryId
from instar.core.records import Memory, MemoryKind, Scope
from instar.embeddings.analysis import terms

TAIL_MAX = 256  # changes; more are written into the index while nobody waits
TAIL_BOUND = 2_048  # changes; scoring more costs longer than writing them, so a question waits for that
SATURATION = 1.2  # k1
_LENGTH_SHARE = 0.75  # b
_EXACT_LENGTHS = 24  # longer texts are rounded: the index keeps a length in one byte


class Counted(msgspec.Struct, frozen=True):
    """One memory's terms."""

    memory: Memory
    times: Mapping[str, int]
    words: int
    length: int
    """The number of words as the index rounds it."""


class Tail:
    """Changes by memory id: the newer form, or None for what search no longer finds."""

    def __init__(self) -> None:
        self._memories: dict[MemoryId, Memory | None] = {}
        self._counted: dict[MemoryId, Counted] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def put(self, memory_id: MemoryId, memory: Memory | None) -> None:
        """Take in a change."""
        self._memories[memory_id] = memory
        self._counted.pop(memory_id, None)

    def changes(self) -> dict[MemoryId, Memory | None]:
        """What is in it now, a copy."""
        return dict(self._memories)

    def release(self, changes: Mapping[MemoryId, Memory | None]) -> None:
        """Let go of what the index has, unless it has changed again."""
        for memory_id, memory in changes.items():
            if memory_id in self._memories and self._memories[memory_id] is memory:
                del self._memories[memory_id]
                self._counted.pop(memory_id, None)

    def counted(self) -> Sequence[Counted]:
        """Every memory in it that search may find."""
        for memory_id, memory in self._memories.items():
            if memory is not None and memory_id not in self._counted:
                self._counted[memory_id] = _counted(memory)
        return list(self._counted.values())


def indexed_terms(memory: Memory) -> list[str]:
    """The terms by which a memory is found: those of its text and of its author's name."""
    return terms(f"{memory.text} {memory.author_name}" if memory.author_name else memory.text)


def rarity(total: int, holding: int) -> float:
    """The weight of a term that `holding` of `total` memories have (BM25's idf, never negative)."""
    return math.log(1 + (total - holding + 0.5) / (holding + 0.5))


def scored(
    memories: Sequence[Counted],
    weights: Mapping[str, float],
    scope: Scope,
    kinds: Sequence[MemoryKind] | None,
    *,
    average_length: float,
) -> list[tuple[float, MemoryId]]:
    """Score and id of each memory that `scope` allows and that has one of the weighted terms."""
    found = []
    for each in memories:
        held = [term for term in weights if term in each.times]
        if held and (kinds is None or each.memory.kind in kinds) and scope.allows(each.memory):
            norm = SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * each.length / average_length)
            score = sum(weights[term] * each.times[term] / (each.times[term] + norm) for term in held)
            found.append(((SATURATION + 1) * score, each.memory.id))
    return found


def _counted(memory: Memory) -> Counted:
    found = indexed_terms(memory)
    return Counted(memory, Counter(found), len(found), _rounded(len(found)))


def _rounded(length: int) -> int:
    """A length as one byte can tell it: above 24 four leading bits are kept (Lucene's SmallFloat, byte4)."""
    above = length - _EXACT_LENGTHS
    if above <= 0:
        return length
    lost = max(0, above.bit_length() - 4)
    return _EXACT_LENGTHS + (above >> lost << lost)
