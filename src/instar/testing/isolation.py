"""The proof that a search shows nobody what was not said to them.

A crowd talks about the same few things, alone and in shared channels, so that every query would match
somebody else's memories. Each answer is checked against the rule itself, and against a plain reading of all
memories: nothing foreign is shown, and nothing of one's own that holds the words is missing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from instar.core.clock import ManualClock
from instar.core.ids import ChannelId, MemoryId, PersonId
from instar.core.records import Memory, MemoryKind, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.segment.files import MemoryFiles
from instar.testing.backends import FORGET_KEY
from instar.testing.outcome import Outcome

PEOPLE = 1_000
CHANNELS = 40
MEMORIES = 8_000
THINGS = ("kettle", "lighthouse", "chess", "violin", "harbour", "orchid", "bicycle", "telescope", "anchor", "lantern")
_KINDS: tuple[MemoryKind, ...] = ("fact", "note", "episode", "block")
_START = datetime(2025, 1, 1, tzinfo=UTC)
_WRITES_EVERY = 25  # queries between two changes, so that the derived indexes are followed as well as built


class Crowd:
    """What a thousand people told. The same seed tells the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # Ids that begin alike, hold each other, or differ in case are the ones a careless filter confuses.
        self.people = [PersonId(f"p{number}") for number in range(PEOPLE - 3)]
        self.people += [PersonId("P1"), PersonId("p1 "), PersonId("p1\x00p2")]
        self.channels = [ChannelId(name) for name in ("p1", "p2", *(f"room {number}" for number in range(CHANNELS)))]
        self.told = 0

    def memory(self) -> Memory:
        """The next thing told, by anybody."""
        self.told += 1
        channel = self.random.choice([None, *self.channels])
        words = self.random.sample(THINGS, 2)
        return Memory(
            id=MemoryId(f"{self.told:07d}"),
            person=self.random.choice(self.people),
            kind=self.random.choice(_KINDS),
            text=f"The {words[0]} beside the {words[1]} is number {self.told}.",
            created_at=_START + timedelta(minutes=self.told),
            channel=channel,
            shared=channel is not None and self.random.random() < 0.5,
        )

    def scope(self) -> Scope:
        """Whoever asks, in none, one or several channels."""
        channels = self.random.sample(self.channels, self.random.choice([0, 0, 1, 2, 5]))
        person = self.random.choice([*self.people, PersonId("nobody")])
        return Scope(person, tuple(channels))


class Seen(msgspec.Struct):
    """What was seen so far."""

    queries: int = 0
    shown: int = 0
    broken: str | None = None


def run_isolation(seed: int, rounds: int, *, backend: type[EmbeddedMemoryStore] = EmbeddedMemoryStore) -> Outcome:
    """Ask `rounds` random questions in random scopes of a crowd of a thousand."""
    seen = asyncio.run(_asked(backend, Crowd(seed), rounds))
    figure = seen.broken or f"0 of {seen.shown:,} memories shown were foreign, none of the asker's own was missing"
    return Outcome(name="isolation", rounds=seen.queries, figure=figure, held=seen.broken is None)


async def _asked(backend: type[EmbeddedMemoryStore], crowd: Crowd, rounds: int) -> Seen:
    store = await backend.open(
        MemoryFiles(), clock=ManualClock(), epoch=1, forget_key=FORGET_KEY, embedder=HashingEmbedder()
    )
    try:
        return await _interrogated(store, crowd, rounds)
    finally:
        await store.close()


async def _interrogated(store: EmbeddedMemoryStore, crowd: Crowd, rounds: int) -> Seen:
    told = [crowd.memory() for _ in range(MEMORIES)]
    for start in range(0, MEMORIES, 1_000):
        await store.remember(told[start : start + 1_000])
    standing = {memory.id: memory for memory in told}
    seen = Seen()
    for number in range(rounds):
        if number % _WRITES_EVERY == 0:
            await _changed(store, crowd, standing)
        seen.broken = await _crossed(store, crowd, standing, seen)
        seen.queries += 1
        if seen.broken:
            break
    return seen


async def _changed(store: EmbeddedMemoryStore, crowd: Crowd, standing: dict[MemoryId, Memory]) -> None:
    """Something new is told, something is corrected, something is forgotten."""
    new = crowd.memory()
    await store.remember([new])
    standing[new.id] = new
    old = standing[crowd.random.choice(list(standing))]
    newer = msgspec.structs.replace(crowd.memory(), person=old.person)
    await store.supersede(old.id, newer)
    del standing[old.id]
    standing[newer.id] = newer
    gone = crowd.random.choice(list(standing))
    await store.forget(gone)
    del standing[gone]


async def _crossed(
    store: EmbeddedMemoryStore, crowd: Crowd, standing: dict[MemoryId, Memory], seen: Seen
) -> str | None:
    """Ask one question; what is wrong with the answer, or None."""
    scope, thing = crowd.scope(), crowd.random.choice(THINGS)
    hits = await store.search(f"Where is the {thing}?", scope=scope, limit=10_000)
    found = [hit.memory for hit in hits]
    seen.shown += len(found)
    foreign = [memory for memory in found if memory.id not in standing or not scope.allows(standing[memory.id])]
    if foreign:
        return f"{scope} was shown {foreign[0].id} of {foreign[0].person!r} in {foreign[0].channel!r}"
    return _missing(scope, thing, found, standing.values())


def _missing(scope: Scope, thing: str, found: Sequence[Memory], standing: Iterable[Memory]) -> str | None:
    own = {memory.id for memory in standing if thing in memory.text and scope.allows(memory)}
    missing = sorted(own - {memory.id for memory in found})
    # Each leg hands on a hundred, so only an answer shorter than that must be whole.
    if missing and len(found) < 100:
        return f"{scope} was not shown {missing[0]}, which is visible and holds {thing!r}"
    return None
