"""A conversation store beside a plain list, through any history of writes, erasures, kills and moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from instar.core.errors import MessageUnknown
from instar.core.records import Message, MessageRef
from instar.stores.conversations.embedded import EmbeddedConversationStore
from instar.stores.movable_contract import everything
from instar.testing.backends import EmbeddedBackend

Result = TypeVar("Result")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNELS = st.sampled_from(["hall", "hall\x00", "ha"])
IDS = st.sampled_from(["1", "2", "3", "4"])
PEOPLE = st.sampled_from(["ada", "bob", "bo"])

from_people = st.builds(
    Message,
    id=IDS,
    channel=CHANNELS,
    author=PEOPLE,
    text=st.text(max_size=8),
    sent_at=st.none() | st.just(NOON),
    selected=st.booleans(),
    hidden=st.booleans(),
    shared=st.booleans(),
)
from_the_agent = st.builds(
    Message,
    id=IDS,
    channel=CHANNELS,
    author=st.just("instar"),
    role=st.just("agent"),
    text=st.text(max_size=8),
    person=st.none() | PEOPLE,
    reply_to=st.none() | IDS,
    citations=st.lists(st.builds(MessageRef, CHANNELS, IDS), max_size=2).map(tuple),
    variant=st.sampled_from([0, 0, 1, 12]),
)
messages = from_people | from_the_agent


class ConversationsMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.backend = EmbeddedBackend(EmbeddedConversationStore.open)
        self.store = self.run(self.backend.open())
        self.stored: dict[tuple[str, int], Message] = {}
        self.taken: set[tuple[str, str, int]] = set()
        self.deleted: set[tuple[str, str]] = set()
        self.last: dict[str, int] = {}
        self.moved = False
        """The next home goes on behind what it got; what was gone and purged before leaves no trace there."""
        self.older: list[Any] = []

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.backend.close())
            self.runner.close()

    # --- the model ------------------------------------------------------------------------------

    def learn(self, message: Message, answer: Any) -> None:
        """Compare an answer with what the model expects of this append, and take it into the model."""
        identity = (message.channel, message.id, message.variant)
        known = identity in self.taken or identity[:2] in self.deleted
        assert answer.already_there == known
        if known:
            return
        self.taken.add(identity)
        position = answer.message.position
        assert answer.message == msgspec.structs.replace(message, position=position)
        if self.moved:
            assert position > max((at for channel, at in self.stored if channel == message.channel), default=0)
        else:
            assert position == self.last.get(message.channel, 0) + 1
            self.last[message.channel] = position
        self.stored[message.channel, position] = answer.message

    def resting_on(self, gone: list[Message]) -> list[Message]:
        """Agent's messages that cite or answer one of these."""
        places = {(message.channel, message.id) for message in gone}
        return [
            message
            for message in self.stored.values()
            if message.role == "agent"
            and places & {(message.channel, message.reply_to), *((each.channel, each.id) for each in message.citations)}
        ]

    def in_order(self) -> list[Message]:
        return [self.stored[key] for key in sorted(self.stored)]

    # --- writing --------------------------------------------------------------------------------

    @rule(batch=st.lists(messages, max_size=4), durability=st.sampled_from(["durable", "buffered"]))
    def append_many(self, batch: list[Message], durability: Any) -> None:
        answers = self.run(self.store.append_many(batch, durability=durability))
        for message, answer in zip(batch, answers, strict=True):
            self.learn(message, answer)

    @rule(batch=st.lists(messages, min_size=2, max_size=6))
    def append_at_the_same_time(self, batch: list[Message]) -> None:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(self.store.append(message) for message in batch))

        answers = self.run(all_at_once())
        first = [(message, answer) for message, answer in zip(batch, answers, strict=True) if not answer.already_there]
        for message, answer in sorted(first, key=lambda pair: pair[1].message.position):
            self.learn(message, answer)
        for message, answer in zip(batch, answers, strict=True):
            if answer.already_there:
                self.learn(message, answer)

    @rule(channel=CHANNELS, id_=IDS, text=st.text(max_size=8))
    def edit(self, channel: str, id_: str, text: str) -> None:
        key = next((k for k, m in self.stored.items() if (m.channel, m.id, m.variant) == (channel, id_, 0)), None)
        if key is None:
            try:
                self.run(self.store.edit(channel, id_, text=text, edited_at=NOON))
            except MessageUnknown:
                return
            raise AssertionError("a message that is not there was edited")
        edited = msgspec.structs.replace(self.stored[key], text=text, edited_at=NOON, text_original=None)
        assert self.run(self.store.edit(channel, id_, text=text, edited_at=NOON)) == edited
        self.stored[key] = edited

    @rule(channel=CHANNELS, id_=IDS)
    def delete(self, channel: str, id_: str) -> None:
        gone = [key for key, message in self.stored.items() if (message.channel, message.id) == (channel, id_)]
        assert self.run(self.store.delete(channel, id_)) == bool(gone)
        for key in gone:
            del self.stored[key]
            self.deleted.add((channel, id_))

    @rule(person=PEOPLE)
    def erase(self, person: str) -> None:
        gone: list[Message] = []
        found = [message for message in self.stored.values() if person in {message.author, message.person}]
        while found:
            for message in found:
                del self.stored[message.channel, message.position]
            gone += found
            found = self.resting_on(gone)
        erased = self.run(self.store.erase_person(person)).messages
        assert sorted(erased) == sorted({(message.channel, message.id) for message in gone})

    @rule()
    def purge(self) -> None:
        self.run(self.store.purge([]))

    # --- time and place -------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.backend.open())

    @rule(message=messages)
    def kill_after_a_durable_write(self, message: Message) -> None:
        answer = self.run(self.store.append(message))
        self.learn(message, answer)
        if not answer.already_there:
            killed = self.run(self.backend.open_killed())
            assert list(self.run(killed.page())) == self.in_order()
            self.run(killed.close())

    @rule()
    def keep_a_copy(self) -> None:
        self.older = self.run(everything(self.store))

    @rule()
    def apply_the_older_copy(self) -> None:
        digest = self.run(self.store.digest())
        self.run(self.store.apply(self.older))
        assert self.run(self.store.digest()) == digest

    @rule(page=st.sampled_from([1, 3, 1_000]))
    def move(self, page: int) -> None:
        async def to_another_home() -> tuple[EmbeddedBackend, Any]:
            backend = EmbeddedBackend(EmbeddedConversationStore.open)
            target = await backend.open()
            records = await everything(self.store)
            for start in range(0, len(records), page):
                await target.apply(records[start : start + page])
            assert await target.digest() == await self.store.digest()
            assert await target.apply(records) == 0
            await self.backend.close()
            return backend, target

        self.backend, self.store = self.run(to_another_home())
        self.moved = True

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def reads_equal_the_model(self) -> None:
        if not hasattr(self, "runner"):
            return
        expected = self.in_order()
        assert list(self.run(self.store.page())) == expected
        for channel in ("hall", "hall\x00", "ha"):
            here = [message for message in expected if message.channel == channel]
            shown = [message for message in here if message.selected and not message.hidden]
            assert list(self.run(self.store.window(channel, limit=3))) == shown[-3:]
            assert list(self.run(self.store.page(channel=channel, limit=2))) == here[:2]
        for person in ("ada", "bob", "bo", "instar"):
            theirs = [message for message in expected if person in {message.author, message.person}]
            assert list(self.run(self.store.page(person=person))) == theirs
        for message in expected:
            assert self.run(self.store.get(message.channel, message.id, variant=message.variant)) == message

    @invariant()
    def listings_equal_the_model(self) -> None:
        if not hasattr(self, "runner"):
            return
        by_channel = {channel: 0 for channel, _ in sorted(self.stored)}
        by_person: dict[str, int] = {}
        for message in self.stored.values():
            by_channel[message.channel] += 1
            if message.role == "person":
                by_person[message.author] = by_person.get(message.author, 0) + 1
        assert [(each.channel, each.messages) for each in self.run(self.store.channels())] == list(by_channel.items())
        assert [(e.person, e.messages) for e in self.run(self.store.people())] == sorted(by_person.items())
        assert self.run(self.store.digest()).count == len(self.stored)


ConversationsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestConversations = ConversationsMachine.TestCase
