"""A profile store beside a dict, through any history of saves, deletions, kills and moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from instar.core.errors import VersionConflict
from instar.core.limits import EMOTION_SAMPLES_KEPT
from instar.core.records import EmotionSample, Fact, Profile
from instar.stores.movable_contract import everything
from instar.stores.profiles.embedded import EmbeddedProfileStore
from instar.testing.backends import EmbeddedBackend

Result = TypeVar("Result")

START = datetime(2020, 1, 1, tzinfo=UTC)
PEOPLE = ("ada", "ada\x00", "ad", "ζωή")
TIMES = st.none() | st.integers(0, 10**15).map(lambda us: START + timedelta(microseconds=us))
SHARES = st.floats(0, 1)

samples = st.builds(
    EmotionSample,
    label=st.sampled_from(["happy", "sad"]),
    confidence=SHARES,
    intensity=SHARES,
    triggers=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    at=TIMES,
)
facts = st.builds(Fact, attribute=st.text(max_size=5), value=st.text(max_size=5), text=st.text(max_size=5))
profiles = st.builds(
    Profile,
    person=st.sampled_from(PEOPLE),
    name=st.none() | st.text(max_size=8),
    relationship_level=st.sampled_from(["stranger", "friend"]),
    interaction_count=st.integers(0, 2**64 - 1),
    first_seen=TIMES,
    last_seen=TIMES,
    emotion_samples=st.lists(samples, max_size=3).map(lambda few: tuple(few * 30)),
    escalation_count=st.integers(0, 100),
    trust_indicators=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    preferences=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    facts=st.lists(facts, max_size=2).map(tuple),
)


class ProfilesMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.backend = EmbeddedBackend(EmbeddedProfileStore.open)
        self.store = self.run(self.backend.open())
        self.stored: dict[str, tuple[Profile, int]] = {}
        self.highest = 0
        self.older: list[Any] = []

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.backend.close())
            self.runner.close()

    def version_of(self, person: str) -> int:
        return self.stored[person][1] if person in self.stored else 0

    @rule(profile=profiles, durability=st.sampled_from(["durable", "buffered"]))
    def save(self, profile: Profile, durability: Any) -> None:
        expected = self.version_of(profile.person)
        saved = self.run(self.store.save(profile, expected_version=expected, durability=durability))
        assert saved.version > self.highest
        assert saved.profile.emotion_samples == profile.emotion_samples[-EMOTION_SAMPLES_KEPT:]
        self.stored[profile.person] = (saved.profile, saved.version)
        self.highest = saved.version

    @rule(profile=profiles, off=st.integers(-3, 3).filter(bool))
    def save_with_another_version(self, profile: Profile, off: int) -> None:
        try:
            self.run(self.store.save(profile, expected_version=self.version_of(profile.person) + off))
        except VersionConflict:
            return
        raise AssertionError("a stale save was taken")

    @rule(batch=st.lists(profiles, min_size=2, max_size=5))
    def save_at_the_same_time(self, batch: list[Profile]) -> None:
        async def all_at_once() -> list[Any]:
            saves = [self.store.save(each, expected_version=self.version_of(each.person)) for each in batch]
            return await asyncio.gather(*saves, return_exceptions=True)

        won: dict[str, Any] = {}
        for answer in self.run(all_at_once()):
            if isinstance(answer, VersionConflict):
                continue
            assert answer.profile.person not in won
            won[answer.profile.person] = answer
        assert won.keys() == {profile.person for profile in batch}
        for person, answer in won.items():
            self.stored[person] = (answer.profile, answer.version)
            self.highest = max(self.highest, answer.version)

    @rule(person=st.sampled_from(PEOPLE))
    def delete(self, person: str) -> None:
        assert self.run(self.store.delete(person)) == (person in self.stored)
        self.stored.pop(person, None)

    @rule()
    def purge(self) -> None:
        self.run(self.store.purge([]))

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.backend.open())

    @rule(person=st.sampled_from(PEOPLE))
    def kill_after_a_durable_write(self, person: str) -> None:
        if not self.run(self.store.delete(person)):
            return
        del self.stored[person]
        killed = self.run(self.backend.open_killed())
        assert list(self.run(killed.people())) == sorted(self.stored)
        self.run(killed.close())

    @rule()
    def keep_a_copy(self) -> None:
        self.older = self.run(everything(self.store))

    @rule()
    def apply_the_older_copy(self) -> None:
        digest = self.run(self.store.digest())
        self.run(self.store.apply(self.older))
        assert self.run(self.store.digest()) == digest

    @rule(page=st.sampled_from([1, 2, 1_000]))
    def move(self, page: int) -> None:
        async def to_another_home() -> tuple[EmbeddedBackend, Any]:
            backend = EmbeddedBackend(EmbeddedProfileStore.open)
            target = await backend.open()
            records = await everything(self.store)
            for start in range(0, len(records), page):
                await target.apply(records[start : start + page])
            assert await target.digest() == await self.store.digest()
            await self.backend.close()
            return backend, target

        self.backend, self.store = self.run(to_another_home())

    @invariant()
    def reads_equal_the_model(self) -> None:
        if not hasattr(self, "runner"):
            return
        assert list(self.run(self.store.people())) == sorted(self.stored)
        for person in PEOPLE:
            loaded = self.run(self.store.load(person))
            assert (loaded and (loaded.profile, loaded.version)) == self.stored.get(person)
        assert self.run(self.store.digest()).count == len(self.stored)


ProfilesMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestProfiles = ProfilesMachine.TestCase
