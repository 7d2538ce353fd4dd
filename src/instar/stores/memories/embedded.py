"""Memories on the embedded engine: the record holds text, provenance and vector; every index is derived.

What was forgotten leaves a keyed hash of its id, so that the same id never comes back. Searches go through
`view.py`, which follows the store; what they find is read from the store again, and checked against the
scope again, before anybody gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import msgspec

from instar.core.clock import Clock
from instar.core.errors import EmbedderMismatch, HomeClosed, InstarError, MemoryUnknown, RecordInvalid, ScopeMissing
from instar.core.ids import MemoryId, MessageId, PersonId
from instar.core.limits import CANDIDATES_PER_LEG
from instar.core.records import Durability, Memory, MemoryKind, Scope, checked_memory
from instar.embeddings.analysis import query_terms
from instar.embeddings.port import Embedder
from instar.stores.embedded import EmbeddedMovable
from instar.stores.memories.fusion import Fused, fused
from instar.stores.memories.port import Hit, MemoryStore
from instar.stores.memories.view import SearchView, Sides
from instar.stores.memories.when import spans
from instar.stores.movable import Purged
from instar.stores.segment.files import Files, RealFiles
from instar.stores.segment.store import Engine, Op, key_of

Answer = TypeVar("Answer")

MEMORIES = "memories"
WORDS_DIRECTORY = "cache/words"
EMBEDDED_PER_CALL = 256  # texts handed to the embedder at once
ENDED_PER_COMMIT = 1_000  # memories; about 0.2 MiB of tombstones and marks
COUNTED_KINDS: tuple[MemoryKind, ...] = ("fact", "note", "block")
ALL_KINDS: frozenset[MemoryKind] = frozenset(("fact", "note", "episode", "block"))
_UNIT_TOLERANCE = 1e-3  # float32 sums of other programs end within it


class _Sought(msgspec.Struct, frozen=True):
    """One search."""

    query: str
    terms: Sequence[str]
    vector: bytes
    scope: Scope
    kinds: Sequence[MemoryKind]
    now: datetime


class EmbeddedMemoryStore(EmbeddedMovable[Memory]):
    """The embedded backend."""

    collection: ClassVar[str] = MEMORIES
    kind: ClassVar[type[msgspec.Struct]] = Memory
    collections: ClassVar[Mapping[str, type[msgspec.Struct]]] = {MEMORIES: Memory}

    def __init__(
        self, engine: Engine, *, forget_key: bytes, clock: Clock, embedder: Embedder, files: Files, read_only: bool
    ) -> None:
        super().__init__(engine, forget_key=forget_key)
        self._clock = clock
        self._embedder = embedder
        self._buffered = False
        kept = files.path(WORDS_DIRECTORY) if isinstance(files, RealFiles) and not read_only else None
        self._view = SearchView(engine, MEMORIES, value_of=self._value, embedder=embedder, directory=kept)

    @classmethod
    async def open(  # type: ignore[override]
        cls, files: Files, *, clock: Clock, epoch: int, forget_key: bytes, embedder: Embedder, read_only: bool = False
    ) -> Self:
        """Open the store in `files`, or begin one there. `embedder` makes the vectors of new memories."""
        engine = await cls._open_engine(files, clock=clock, epoch=epoch, read_only=read_only)
        return cls(engine, forget_key=forget_key, clock=clock, embedder=embedder, files=files, read_only=read_only)

    async def close(self) -> None:
        await super().close()
        await self._view.close()

    # --- what the shared part asks --------------------------------------------------------------

    def _key(self, value: Memory) -> tuple[str, ...]:
        return (value.id,)

    def _subject(self, value: Memory) -> str:
        return value.person

    def _checked(self, value: Memory) -> Memory:
        return checked_memory(value)

    def _companions(self, old: Memory | None, new: Memory | None) -> Sequence[Op]:
        if old is not None and new is None:
            return [self._forgotten.mark(old.id)]
        return []

    def _barred(self, value: Memory, version: int) -> bool:
        return self._forgotten.holds(value.id)

    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        keys = [op.key for op in ops if op.collection == MEMORIES]
        if any(op.version is not None for op in ops):
            self._view.outdate_files()
        try:
            version = await super()._commit(ops, durability=durability)
        except InstarError:
            self._view.changed(keys, acknowledged=0)
            raise
        self._view.changed(keys, acknowledged=version if durability == "durable" else 0)
        return version

    async def _purge(self, needles: Sequence[bytes]) -> Purged:
        await self._view.drop()
        return await super()._purge(needles)

    # --- remembering ----------------------------------------------------------------------------

    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        for memory in memories:
            self._check(memory)
        first = {memory.id: memory for memory in reversed(memories)}
        new = [memory for memory in first.values() if self._is_new(memory.id)]
        return await self._whole(self._remember(await self._embedded(new), durability))

    async def _remember(self, memories: Sequence[Memory], durability: Durability) -> int:
        async with self._claims.of(*(memory.id for memory in memories)):
            new = [memory for memory in memories if self._is_new(memory.id)]
            if new:
                await self._commit([op for memory in new for op in self._written(None, memory)], durability=durability)
                self._buffered = self._buffered or durability == "buffered"
            elif self._buffered and durability == "durable":
                await self.engine.sync()
            return len(new)

    async def supersede(self, old: MemoryId, new: Memory) -> Memory:
        self._check(new)
        self._known(old)
        (embedded,) = await self._embedded([new])
        return await self._whole(self._supersede(old, embedded))

    async def _supersede(self, old_id: MemoryId, new: Memory) -> Memory:
        async with self._claims.of(old_id, new.id):
            old, there = self._known(old_id), self._live(key_of(new.id))
            if there is None and not self._is_new(new.id):
                raise _unknown(new.id, "it was forgotten, and what is forgotten does not come back")
            self._refuse_circle(old, there or new)
            ops = [] if there is not None else self._written(None, new)
            marked = msgspec.structs.replace(old, superseded_by=new.id)
            await self._commit([*ops, *(self._written(old, marked) if marked != old else [])])
            return there or new

    def _refuse_circle(self, old: Memory, new: Memory) -> None:
        at: Memory | None = new
        while at is not None:
            if at.id == old.id:
                raise RecordInvalid(
                    f"memory {old.id!r} cannot be superseded by {new.id!r}",
                    why="the newer one is superseded by the older one, so no search would find either",
                    next="store the statement under a new id",
                )
            at = self._live(key_of(at.superseded_by)) if at.superseded_by is not None else None

    async def pin(self, memory_id: MemoryId, *, pinned: bool) -> Memory:
        return await self._whole(self._pin(memory_id, pinned=pinned))

    async def _pin(self, memory_id: MemoryId, *, pinned: bool) -> Memory:
        async with self._claims.of(memory_id):
            old = self._known(memory_id)
            new = msgspec.structs.replace(old, pinned=pinned)
            await self._commit(self._written(old, new))
            return new

    async def reembed(self, *, limit: int = EMBEDDED_PER_CALL) -> int:
        ids = await self._ask(lambda sides: sides.columns.incomparable(limit))
        bare = [msgspec.structs.replace(each, vector=None) for each in self._read(ids, None, limit=limit)]
        return await self._whole(self._reembed(await self._embedded(bare)))

    async def _reembed(self, memories: Sequence[Memory]) -> int:
        async with self._claims.of(*(memory.id for memory in memories)):
            pairs = [(old, new) for new in memories if (old := self._live(key_of(new.id))) is not None]
            changed = [
                (old, msgspec.structs.replace(old, vector=new.vector, embedder=new.embedder))
                for old, new in pairs
                if old.text == new.text and old.embedder != new.embedder
            ]
            await self._commit([op for old, new in changed for op in self._written(old, new)])
            return len(changed)

    def _is_new(self, memory_id: MemoryId) -> bool:
        return self.engine.get(MEMORIES, key_of(memory_id)) is None and not self._forgotten.holds(memory_id)

    def _known(self, memory_id: MemoryId) -> Memory:
        memory = self._live(key_of(memory_id))
        if memory is None:
            raise _unknown(memory_id, "it was never stored, or it is forgotten")
        return memory

    def _check(self, memory: Memory) -> None:
        checked_memory(memory)
        if memory.vector is None:
            return
        if memory.embedder != self._embedder.fingerprint:
            raise EmbedderMismatch(
                f"memory {memory.id!r} brings a vector of {memory.embedder or 'an unnamed embedder'}",
                why=f"this home uses {self._embedder.name}, and vectors of two embedders cannot be compared",
                next="leave the vector out and it is made here, or set embeddings.kind to the embedder it is of",
            )
        _check_vector(memory.id, memory.vector, self._embedder.dimensions)

    async def _embedded(self, memories: Sequence[Memory]) -> list[Memory]:
        """The memories with vectors, those without one embedded in parts."""
        bare = [memory for memory in memories if memory.vector is None]
        vectors: dict[MemoryId, bytes] = {}
        for start in range(0, len(bare), EMBEDDED_PER_CALL):
            part = bare[start : start + EMBEDDED_PER_CALL]
            made = await self._embedder.embed([memory.text for memory in part])
            vectors |= {memory.id: vector for memory, vector in zip(part, made, strict=True)}
        return [_with_vector(memory, vectors.get(memory.id), self._embedder.fingerprint) for memory in memories]

    # --- finding --------------------------------------------------------------------------------

    async def get(self, memory_id: MemoryId) -> Memory | None:
        return self._live(key_of(memory_id))

    async def listing(
        self,
        scope: Scope | None,
        *,
        kinds: Sequence[MemoryKind] = COUNTED_KINDS,
        after: MemoryId | None = None,
        limit: int = 1_000,
    ) -> Sequence[Memory]:
        ids = await self._ask(lambda sides: sides.columns.ids(scope, kinds, after=after))
        return self._read(ids, scope, limit=limit)

    async def search(
        self,
        query: str,
        *,
        scope: Scope,
        limit: int = 10,
        kinds: Sequence[MemoryKind] = tuple(sorted(ALL_KINDS)),
        now: datetime | None = None,
    ) -> Sequence[Hit]:
        if not isinstance(scope, Scope):
            raise ScopeMissing(
                "a search without a scope was refused",
                why="it would reach every person's memories",
                next="pass scope=Scope(person) with the id of the person who asks",
            )
        terms = query_terms(query)
        if not terms or limit < 1:
            return []
        (vector,) = await self._embedder.embed([query])
        at = now or self._clock.now()
        sought = _Sought(query, terms, vector, scope, kinds, at)
        ranked = await self._ask(lambda sides: self._ranked(sides, sought))
        current = self._read((each.id for each in ranked), scope, limit=limit)
        memories = {memory.id: memory for memory in current if memory.superseded_by is None}
        return [Hit(memory=memories[each.id], score=each.score, why=each.why) for each in ranked if each.id in memories]

    def _ranked(self, sides: Sides, sought: _Sought) -> list[Fused]:
        named = spans(sought.query, sought.now)
        kinds = None if set(sought.kinds) >= ALL_KINDS else sought.kinds
        words = sides.words.top(sought.terms, sought.scope, kinds=kinds, limit=CANDIDATES_PER_LEG)
        meaning = sides.columns.top(sought.vector, sought.scope, sought.kinds, named=named, limit=CANDIDATES_PER_LEG)
        candidates = {*words, *(near.id for near in meaning)}
        traits = {each: found for each in candidates if (found := sides.columns.traits(each)) is not None}
        known = [each for each in words if each in traits]
        return fused(known, meaning, traits, now=sought.now, named=named, embedder=self._embedder.name)

    def _read(self, ids: Iterable[MemoryId], scope: Scope | None, *, limit: int) -> list[Memory]:
        """The first `limit` of these memories as they are stored now, whatever an index said of them."""
        found: list[Memory] = []
        for memory_id in ids:
            if len(found) >= limit:
                break
            memory = self._live(key_of(memory_id))
            if memory is not None and (scope is None or scope.allows(memory)):
                found.append(memory)
        return found

    # --- forgetting -----------------------------------------------------------------------------

    async def forget(self, memory_id: MemoryId) -> bool:
        if await self.get(memory_id) is None:
            return False
        return await self._whole(self._end(lambda sides: sides.columns.with_superseded(memory_id))) > 0

    async def forget_message(self, message_ids: Sequence[tuple[str, MessageId]]) -> int:
        return await self._whole(self._end(lambda sides: sides.columns.of_messages(message_ids)))

    async def erase_person(self, person: PersonId) -> int:
        return await self._whole(self._end(lambda sides: sides.columns.of_person(person)))

    async def _end(self, chosen: Callable[[Sides], list[MemoryId]]) -> int:
        async with self._claims.of_everything():
            memories = self._read(await self._view.ask(chosen), None, limit=2**63)
            for start in range(0, len(memories), ENDED_PER_COMMIT):
                part = memories[start : start + ENDED_PER_COMMIT]
                await self._commit([op for memory in part for op in self._ended(memory)])
            return len(memories)

    # --- figures --------------------------------------------------------------------------------

    async def embedder(self) -> str:
        strangers = await self._ask(lambda sides: sides.columns.strangers)
        if not strangers:
            return self._embedder.name
        return f"{self._embedder.name}; {strangers:,} memories of another embedder are found by words only"

    async def counts(self) -> dict[PersonId, int]:
        return await self._ask(lambda sides: sides.columns.counts(COUNTED_KINDS))

    async def _ask(self, question: Callable[[Sides], Answer]) -> Answer:
        if self._closed:
            raise HomeClosed("a read of a closed store was refused", why="its home was closed", next="open it again")
        return await self._view.ask(question)


def _unknown(memory_id: MemoryId, why: str) -> MemoryUnknown:
    return MemoryUnknown(
        f"there is no memory {memory_id!r}", why=why, next="`instar memories --person P` lists what is remembered"
    )


def _with_vector(memory: Memory, vector: bytes | None, fingerprint: str) -> Memory:
    if vector is None:
        return memory
    return msgspec.structs.replace(memory, vector=vector, embedder=fingerprint)


def _check_vector(memory_id: MemoryId, vector: bytes, dimensions: int) -> None:
    import numpy as np

    whole = len(vector) == 4 * dimensions
    length = float(np.linalg.norm(np.frombuffer(vector, dtype="<f4").astype(np.float64))) if whole else -1.0
    if not whole or (length != 0.0 and abs(length - 1.0) > _UNIT_TOLERANCE):
        raise RecordInvalid(
            f"the vector of memory {memory_id!r} has {len(vector):,} bytes and length {length:.3f}",
            why=f"a vector here is {dimensions} float32 values of unit length, or all zeros",
            next="leave the vector out and it is made here",
        )


if TYPE_CHECKING:
    _fulfils: type[MemoryStore] = EmbeddedMemoryStore
