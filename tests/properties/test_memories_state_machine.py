"""Any order of remembering, correcting, pinning, forgetting, erasing, purging and reopening agrees with a dict."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from instar.core.errors import MemoryUnknown, RecordInvalid
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Memory, MemoryKind, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories import view
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.testing.backends import EmbeddedBackend

Result = TypeVar("Result")

PEOPLE = (PersonId("ada"), PersonId("bob"))
CHANNELS = (ChannelId("hall"), ChannelId("yard"))
KINDS: tuple[MemoryKind, ...] = ("fact", "note", "episode", "block")

ids = st.sampled_from([MemoryId(f"m{number}") for number in range(8)])
memories = st.builds(
    Memory,
    id=ids,
    person=st.sampled_from(PEOPLE),
    kind=st.sampled_from(KINDS),
    text=st.sampled_from(["The kettle is green.", "A kettle, as blue as the sea.", "kettle"]),
    channel=st.sampled_from([None, *CHANNELS]),
    shared=st.booleans(),
    source_message_id=st.sampled_from([None, MessageId("1"), MessageId("2")]),
)


class MemoriesMachine(RuleBasedStateMachine):
    tail_max: ClassVar[int] = view.TAIL_MAX

    def __init__(self) -> None:
        super().__init__()
        self.tail_before, view.TAIL_MAX = view.TAIL_MAX, self.tail_max
        self.loop = asyncio.new_event_loop()
        self.backend = EmbeddedBackend(partial(EmbeddedMemoryStore.open, embedder=HashingEmbedder()))
        self.store: EmbeddedMemoryStore = self.run(self.backend.open())
        self.model: dict[MemoryId, Memory] = {}
        self.gone: set[MemoryId] = set()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.loop.close()
        view.TAIL_MAX = self.tail_before

    def end(self, found: set[MemoryId]) -> None:
        self.gone |= found
        for memory_id in found:
            del self.model[memory_id]

    @rule(batch=st.lists(memories, max_size=3))
    def remember(self, batch: list[Memory]) -> None:
        new = 0
        for memory in batch:
            if memory.id not in self.model and memory.id not in self.gone:
                self.model[memory.id] = memory
                new += 1
        assert self.run(self.store.remember(batch)) == new

    @rule(old=ids, new=memories)
    def supersede(self, old: MemoryId, new: Memory) -> None:
        try:
            self.run(self.store.supersede(old, new))
        except MemoryUnknown:
            assert old not in self.model or new.id in self.gone
        except RecordInvalid:
            assert old == new.id or old in self.chain(new.id)
        else:
            self.model.setdefault(new.id, new)
            self.model[old] = msgspec.structs.replace(self.model[old], superseded_by=new.id)

    def chain(self, memory_id: MemoryId) -> list[MemoryId]:
        found = []
        at: MemoryId | None = memory_id
        while at is not None and at in self.model:
            found.append(at)
            at = self.model[at].superseded_by
        return found

    @rule(memory_id=ids, pinned=st.booleans())
    def pin(self, memory_id: MemoryId, *, pinned: bool) -> None:
        try:
            self.run(self.store.pin(memory_id, pinned=pinned))
        except MemoryUnknown:
            assert memory_id not in self.model
        else:
            self.model[memory_id] = msgspec.structs.replace(self.model[memory_id], pinned=pinned)

    @rule(memory_id=ids)
    def forget(self, memory_id: MemoryId) -> None:
        assert self.run(self.store.forget(memory_id)) == (memory_id in self.model)
        if memory_id in self.model:
            self.end({each for each in self.model if memory_id in self.chain(each)})

    @rule(channel=st.sampled_from(CHANNELS), message=st.sampled_from([MessageId("1"), MessageId("2")]))
    def forget_message(self, channel: ChannelId, message: MessageId) -> None:
        derived = {
            each.id for each in self.model.values() if (each.channel, each.source_message_id) == (channel, message)
        }
        assert self.run(self.store.forget_message([(channel, message)])) == len(derived)
        self.end(derived)

    @rule(person=st.sampled_from(PEOPLE))
    def erase_person(self, person: PersonId) -> None:
        theirs = {each.id for each in self.model.values() if each.person == person}
        assert self.run(self.store.erase_person(person)) == len(theirs)
        self.end(theirs)

    @rule()
    def purge(self) -> None:
        self.run(self.store.purge([]))

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.backend.open())

    @rule()
    def nothing_is_lost_by_a_kill(self) -> None:
        killed = self.run(self.backend.open_killed())
        self.agrees(killed)
        self.run(killed.close())

    def agrees(self, store: EmbeddedMemoryStore) -> None:
        stored = self.run(store.listing(None, kinds=KINDS))
        bare = [msgspec.structs.replace(each, vector=None, embedder=None) for each in stored]
        assert bare == [self.model[memory_id] for memory_id in sorted(self.model)]

    @invariant()
    def listing_agrees(self) -> None:
        self.agrees(self.store)

    @invariant()
    def search_agrees(self) -> None:
        scope = Scope(PEOPLE[0], CHANNELS[:1])
        hits = self.run(self.store.search("kettle", scope=scope, limit=100))
        current = {each.id for each in self.model.values() if each.superseded_by is None and scope.allows(each)}
        assert {hit.memory.id for hit in hits} == current
        assert all(hit.why.word_rank for hit in hits)

    @invariant()
    def counts_agree(self) -> None:
        current = [each for each in self.model.values() if each.superseded_by is None and each.kind != "episode"]
        expected = {person: sum(each.person == person for each in current) for person in PEOPLE}
        assert self.run(self.store.counts()) == {person: count for person, count in expected.items() if count}


class FoldingMachine(MemoriesMachine):
    """The same with a words index that is written behind nearly every answer."""

    tail_max: ClassVar[int] = 1


MemoriesMachine.TestCase.settings = FoldingMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None
)
TestMemoriesMachine = MemoriesMachine.TestCase
TestFoldingMachine = FoldingMachine.TestCase
