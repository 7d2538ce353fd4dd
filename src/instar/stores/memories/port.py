"""The memory store: statements with provenance, found by words and by meaning inside a scope."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from instar.core.ids import MemoryId, MessageId, PersonId
from instar.core.records import Durability, Memory, MemoryKind, Scope
from instar.stores.movable import Movable, Purgeable


class Boost(msgspec.Struct, frozen=True):
    """One term of a score besides the two ranks."""

    name: str
    amount: float


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """How a hit got its score."""

    word_rank: int | None
    """1 is best; None when the words leg did not find it."""
    meaning_rank: int | None
    """1 is best; None when the meaning leg did not find it."""
    meaning_score: float | None
    """Cosine between query and memory, -1 to 1; None when no vector was compared."""
    boosts: tuple[Boost, ...]
    embedder: str | None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One found memory."""

    memory: Memory
    score: float
    """Sum over both legs of 1 / (60 + rank), plus the boosts in `why`."""
    why: Why


class MemoryStore(Movable[Memory], Purgeable, Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    async def remember(self, memories: Sequence[Memory], *, durability: Durability = "durable") -> int:
        """Store memories, all or none, and return how many were new.

        Durable when it returns. A memory whose id is there already changes nothing, even when it was
        superseded or forgotten since. Memories without a vector get one from the store's embedder;
        a vector of another embedder is refused with `EmbedderMismatch`. They are found by the next search.
        """

    async def supersede(self, old: MemoryId, new: Memory) -> Memory:
        """Store `new` and mark `old` as superseded by it, in one transaction, and return `new` as stored.

        The old one stays readable by id and is no longer found by search. Raises `MemoryUnknown`.
        """

    async def get(self, memory_id: MemoryId) -> Memory | None:
        """Return the memory, or None when it was never there or is forgotten."""

    async def listing(
        self,
        scope: Scope | None,
        *,
        kinds: Sequence[MemoryKind] = ("fact", "note", "block"),
        after: MemoryId | None = None,
        limit: int = 1_000,
    ) -> Sequence[Memory]:
        """Return memories by id, superseded ones included, starting behind `after`; only those `scope` allows.

        `scope` None lists everyone's and is for the operator's own tools, never for a turn.
        """

    async def search(
        self,
        query: str,
        *,
        scope: Scope,
        limit: int = 10,
        kinds: Sequence[MemoryKind] = ("fact", "note", "episode", "block"),
        now: datetime | None = None,
    ) -> Sequence[Hit]:
        """Return the best `limit` memories that `scope` allows, best first, superseded ones left out.

        Both legs (words and meaning) give candidates; their union is ranked by reciprocal rank fusion.
        An empty or wordless query finds nothing. `now` anchors expressions such as "last week". Raises `ScopeMissing`.
        """

    async def pin(self, memory_id: MemoryId, *, pinned: bool) -> Memory:
        """Set or clear the pin, which lifts a memory in every search, and return it. Raises `MemoryUnknown`."""

    async def forget(self, memory_id: MemoryId) -> bool:
        """Tombstone one memory and everything it superseded, durably; False when it was not there.

        No search finds it afterwards, and storing the same id again does not bring it back.
        """

    async def forget_message(self, message_ids: Sequence[tuple[str, MessageId]]) -> int:
        """Tombstone every memory derived from these (channel, message id) pairs, durably, and return how many."""

    async def erase_person(self, person: PersonId) -> int:
        """Tombstone every memory of a person, durably, and return how many. The bytes leave at the next `purge`."""

    async def reembed(self, *, limit: int = 256) -> int:
        """Make new vectors for at most `limit` memories whose vector is of another embedder, and return how many.

        0 means that none is left. Durable when it returns. Searches go on meanwhile, by words for what is left.
        """

    async def embedder(self) -> str:
        """Return the name of the embedder in use, as people should read it."""

    async def counts(self) -> dict[PersonId, int]:
        """Return how many facts, notes and blocks each person has that are not superseded."""
