"""The meaning leg: every memory's vector and what a search filters by, as columns in RAM. Derived.

A search picks the memories its scope allows, then takes exact dot products with those alone: no
approximation, and nothing outside the scope is ever compared. Vectors of another embedder are left out and
counted. One row costs about 1.6 KB at 384 dimensions.

Blocking; used from one thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import numpy.typing as npt

from instar.core.ids import MemoryId, MessageId, PersonId
from instar.core.records import Memory, MemoryKind, Scope
from instar.stores.memories.fusion import Near, Traits
from instar.stores.memories.when import Span

KINDS: tuple[MemoryKind, ...] = ("fact", "note", "episode", "block")
_FIRST_ROWS = 256
_COSINE_DIGITS = 6  # beyond these float32 sums depend on where a row lies; ties must not


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How the cosines of one embedder are read."""

    floor: float
    """Least cosine of a hit found by meaning alone. Unrelated sentences stay below it, so a question about
    something never mentioned finds nothing."""
    closeness: float
    """Boost for each unit of cosine above the floor. An answer in other words has no place in the words leg;
    without this, every sentence that repeats a word of the question would outrank it."""


SCALES = {
    "minilm-l6-v2": Scale(floor=0.25, closeness=0.06),
    "hashing-1": Scale(floor=0.3, closeness=0.0),  # its cosines are words once more
}
"""By the first part of the embedder's fingerprint. Chosen with `benchmarks/recall.py`."""
SCALE_OTHER = Scale(floor=0.25, closeness=0.0)

Mask = npt.NDArray[np.bool_]
Slots = npt.NDArray[np.intp]


def scale_of(fingerprint: str) -> Scale:
    """How the cosines of the embedder with this fingerprint are read."""
    return SCALES.get(fingerprint.partition("/")[0], SCALE_OTHER)


class Columns:
    """Every live memory's vector and traits. A slot is a row; a removed memory's slot is used again."""

    def __init__(self, fingerprint: str, dimensions: int) -> None:
        self._fingerprint = fingerprint
        self._scale = scale_of(fingerprint)
        self._slots: dict[MemoryId, int] = {}
        self._ids: list[MemoryId | None] = []
        self._free: list[int] = []
        self._codes: dict[str, int] = {}
        self._superseded: dict[MemoryId, MemoryId] = {}
        self._sources: dict[tuple[str, MessageId], set[MemoryId]] = defaultdict(set)
        self._source_of: dict[MemoryId, tuple[str, MessageId]] = {}
        self._vectors = np.zeros((_FIRST_ROWS, dimensions), dtype=np.float32)
        self._person = np.full(_FIRST_ROWS, -1, dtype=np.int32)
        self._channel = np.full(_FIRST_ROWS, -1, dtype=np.int32)
        self._kind = np.full(_FIRST_ROWS, -1, dtype=np.int8)
        self._current = np.zeros(_FIRST_ROWS, dtype=np.bool_)
        self._comparable = np.zeros(_FIRST_ROWS, dtype=np.bool_)
        self._pinned = np.zeros(_FIRST_ROWS, dtype=np.bool_)
        self._created = np.full(_FIRST_ROWS, np.nan, dtype=np.float64)

    # --- following the store --------------------------------------------------------------------

    def put(self, memory: Memory) -> None:
        """Take in one memory, or its newer form."""
        self.remove(memory.id)
        slot = self._free.pop() if self._free else self._new_slot()
        self._slots[memory.id], self._ids[slot] = slot, memory.id
        self._person[slot] = self._code(f"person {memory.person}")
        shared = memory.channel if memory.shared else None
        self._channel[slot] = -1 if shared is None else self._code(f"channel {shared}")
        self._kind[slot] = KINDS.index(memory.kind)
        self._current[slot] = memory.superseded_by is None
        self._pinned[slot] = memory.pinned
        self._created[slot] = memory.created_at.timestamp() if memory.created_at else np.nan
        self._comparable[slot] = memory.vector is not None and memory.embedder == self._fingerprint
        if self._comparable[slot]:
            self._vectors[slot] = np.frombuffer(memory.vector or b"", dtype="<f4")
        self._note_relations(memory)

    def remove(self, memory_id: MemoryId) -> None:
        """Take one memory out; one that is not there is left so."""
        slot = self._slots.pop(memory_id, None)
        if slot is None:
            return
        self._ids[slot] = None
        self._free.append(slot)
        self._person[slot] = self._channel[slot] = self._kind[slot] = -1
        self._current[slot] = self._comparable[slot] = self._pinned[slot] = False
        self._vectors[slot] = 0
        self._superseded.pop(memory_id, None)
        source = self._source_of.pop(memory_id, None)
        if source is not None:
            self._sources[source].discard(memory_id)

    def _note_relations(self, memory: Memory) -> None:
        if memory.superseded_by is not None:
            self._superseded[memory.id] = memory.superseded_by
        if memory.source_message_id is not None and memory.channel is not None:
            source = (memory.channel, memory.source_message_id)
            self._source_of[memory.id] = source
            self._sources[source].add(memory.id)

    def _new_slot(self) -> int:
        slot = len(self._ids)
        self._ids.append(None)
        if slot == len(self._person):
            self._double()
        return slot

    def _double(self) -> None:
        rows = len(self._person)
        self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._person, self._channel, self._kind = (
            np.concatenate([column, np.full(rows, -1, column.dtype)])
            for column in (self._person, self._channel, self._kind)
        )
        self._current, self._comparable, self._pinned = (
            np.concatenate([column, np.zeros(rows, np.bool_)])
            for column in (self._current, self._comparable, self._pinned)
        )
        self._created = np.concatenate([self._created, np.full(rows, np.nan)])

    def _code(self, name: str) -> int:
        return self._codes.setdefault(name, len(self._codes))

    # --- questions ------------------------------------------------------------------------------

    @property
    def current(self) -> int:
        """How many memories are not superseded."""
        return int(self._current.sum())

    @property
    def strangers(self) -> int:
        """How many of those have no vector of the embedder in use."""
        return int((self._current & ~self._comparable).sum())

    def incomparable(self, limit: int) -> list[MemoryId]:
        """At most `limit` of them, by id."""
        return sorted(self._named(np.flatnonzero(self._current & ~self._comparable)))[:limit]

    def ids(self, scope: Scope | None, kinds: Sequence[MemoryKind], *, after: MemoryId | None) -> list[MemoryId]:
        """The ids that `scope` allows (None: all), superseded ones included, behind `after`, in order."""
        allowed = self._of_kinds(kinds) if scope is None else self._of_kinds(kinds) & self._visible(scope)
        found = self._named(np.flatnonzero(allowed))
        return sorted(memory_id for memory_id in found if after is None or memory_id > after)

    def of_person(self, person: PersonId) -> list[MemoryId]:
        """Every memory of a person, superseded ones included."""
        return sorted(self._named(np.flatnonzero(self._person == self._codes.get(f"person {person}", -2))))

    def of_messages(self, messages: Iterable[tuple[str, MessageId]]) -> list[MemoryId]:
        """Every memory derived from these (channel, message id) pairs."""
        return sorted({memory_id for message in messages for memory_id in self._sources.get(message, ())})

    def with_superseded(self, memory_id: MemoryId) -> list[MemoryId]:
        """A memory and all it superseded, over any number of steps."""
        older: dict[MemoryId, list[MemoryId]] = defaultdict(list)
        for old, new in self._superseded.items():
            older[new].append(old)
        found = {memory_id: None}
        pending = [memory_id]
        while pending:
            fresh = [old for old in older[pending.pop()] if old not in found]
            found |= dict.fromkeys(fresh)
            pending += fresh
        return list(found)

    def counts(self, kinds: Sequence[MemoryKind]) -> dict[PersonId, int]:
        """How many current memories of these kinds each person has."""
        people = self._person[self._current & self._of_kinds(kinds)]
        codes, amounts = np.unique(people, return_counts=True)
        by_code = dict(zip(codes.tolist(), amounts.tolist(), strict=True))
        names = {code: name for name, code in self._codes.items() if code in by_code}
        return {PersonId(names[code].removeprefix("person ")): amount for code, amount in by_code.items()}

    def traits(self, memory_id: MemoryId) -> Traits | None:
        """What boosts depend on, or None for a memory that is not there."""
        slot = self._slots.get(memory_id)
        if slot is None:
            return None
        created_s = float(self._created[slot])
        return Traits(
            kind=KINDS[self._kind[slot]],
            pinned=bool(self._pinned[slot]),
            created_at=None if np.isnan(created_s) else datetime.fromtimestamp(created_s, UTC),
        )

    def top(
        self, query: bytes, scope: Scope, kinds: Sequence[MemoryKind], *, named: Sequence[Span], limit: int
    ) -> list[Near]:
        """The nearest `limit` memories that `scope` allows, nearest first, those under the floor left out.

        A memory made inside a time the question names needs no closeness above zero: the time is what was
        asked for.
        """
        slots = np.flatnonzero(self._current & self._comparable & self._of_kinds(kinds) & self._visible(scope))
        cosines = np.round(self._cosines(slots, np.frombuffer(query, dtype="<f4")), _COSINE_DIGITS)
        floors = np.where(self._inside(slots, named), 0.0, self._scale.floor)
        kept = np.flatnonzero(cosines > floors)
        if len(kept) > limit:
            least = np.partition(cosines[kept], len(kept) - limit)[len(kept) - limit]
            kept = kept[cosines[kept] >= least]  # all that tie with the last one, so that the id decides
        nearest = sorted((-float(cosines[at]), self._ids[slots[at]] or "") for at in kept)[:limit]
        return [
            Near(MemoryId(memory_id), rank, -negative, closeness=self._closeness(-negative))
            for rank, (negative, memory_id) in enumerate(nearest, 1)
        ]

    def _closeness(self, cosine: float) -> float:
        return self._scale.closeness * max(0.0, cosine - self._scale.floor)

    def _cosines(self, slots: Slots, query: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Row by row on this thread: BLAS would wake threads of its own, and wait for a processor to run them."""
        if 2 * len(slots) > len(self._ids):  # copying more than half of the rows costs more than comparing all
            every: npt.NDArray[np.float32] = np.vecdot(self._vectors[: len(self._ids)], query)
            return every[slots]
        some: npt.NDArray[np.float32] = np.vecdot(self._vectors[slots], query)
        return some

    def _visible(self, scope: Scope) -> Mask:
        visible: Mask = self._person == self._codes.get(f"person {scope.person}", -2)
        for channel in scope.channels:
            visible |= self._channel == self._codes.get(f"channel {channel}", -2)
        return visible

    def _of_kinds(self, kinds: Sequence[MemoryKind]) -> Mask:
        wanted = np.zeros(len(KINDS) + 1, dtype=np.bool_)  # the last stands for slots without a memory, -1
        wanted[[KINDS.index(kind) for kind in kinds]] = True
        return wanted[self._kind]

    def _inside(self, slots: Slots, named: Sequence[Span]) -> Mask:
        inside = np.zeros(len(slots), dtype=np.bool_)
        created = self._created[slots]
        for span in named:
            inside |= (created >= span.start.timestamp()) & (created < span.stop.timestamp())
        return inside

    def _named(self, slots: Slots) -> list[MemoryId]:
        return [memory_id for slot in slots if (memory_id := self._ids[slot]) is not None]
