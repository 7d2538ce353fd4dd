"""What every profile store promises: the sentences of `port.py`, each as a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from instar.core.canonical import canonical_bytes
from instar.core.errors import RecordInvalid, RecordTooLarge, VersionConflict
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.limits import EMOTION_SAMPLES_KEPT, FACTS_PER_PROFILE_MAX
from instar.core.records import EmotionSample, Fact, Profile, Record
from instar.stores.movable_contract import Backend, MovableContract
from instar.stores.profiles.port import ProfileStore

NOON = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
ADA, BOB = PersonId("ada"), PersonId("bob")
CYCLES = 10_000


def profile(person: str = ADA, **fields: Any) -> Profile:
    """A profile with a name, unless told otherwise."""
    return Profile(person=PersonId(person), **{"name": person.title(), **fields})


def sample(number: int) -> EmotionSample:
    """An emotion sample told apart by its time."""
    return EmotionSample(label="happy", confidence=0.75, intensity=1 / 3, at=NOON + timedelta(seconds=number))


def fact(number: int) -> Fact:
    """A fact told apart by its value."""
    return Fact(attribute="likes", value=str(number), text=f"Ada likes {number}")


def full_profile() -> Profile:
    """A profile with every field set to something its default is not."""
    learned = Fact(
        attribute="birthday",
        value="5. März",
        text="“Ich habe am 5. März Geburtstag” 🎂",
        source_message_id=MessageId("9007199254740993"),
        source_channel=ChannelId("grüße/日本"),
        learned_at=NOON,
    )
    felt = EmotionSample(
        label="grateful",
        confidence=0.1 + 0.2,
        intensity=5e-324,
        triggers=("danke", "ありがとう"),
        at=NOON + timedelta(microseconds=1),
        source_message_id=MessageId("m"),
    )
    return Profile(
        person=PersonId("ζωή@example.org"),
        name="Ζωή \u0000 🜂",
        relationship_level="close_friend",
        interaction_count=2**63,
        first_seen=NOON - timedelta(days=4_000),
        last_seen=NOON,
        emotion_samples=(felt, sample(2)),
        escalation_count=3,
        trust_indicators=("told a secret", ""),
        preferences={"tone": "дружній", "": "empty key"},
        facts=(learned, fact(2)),
        last_message_id=MessageId("last"),
    )


class ProfilesContract(MovableContract[ProfileStore]):
    """The clauses of `ProfileStore`. A subclass gives the fixture `backend`."""

    # --- what the clauses of every movable store need -------------------------------------------

    async def fill(self, store: ProfileStore, names: Sequence[str]) -> None:
        for name in names:
            await store.save(profile(name, name=self.needle(name).decode()), expected_version=0)

    async def rewrite(self, store: ProfileStore, name: str) -> None:
        stored = await store.load(PersonId(name))
        assert stored is not None, "the test stored it"
        changed = msgspec.structs.replace(stored.profile, interaction_count=stored.profile.interaction_count + 1)
        await store.save(changed, expected_version=stored.version)

    async def remove(self, store: ProfileStore, name: str) -> None:
        await store.delete(PersonId(name))

    async def present(self, store: ProfileStore, name: str) -> bool:
        found = await store.load(PersonId(name)) is not None
        assert found == (name in await store.people())
        return found

    def key(self, name: str) -> tuple[str, ...]:
        return (name,)

    def needle(self, name: str) -> bytes:
        return f"the name of {name} alone".encode()

    def altered(self, value: Profile) -> Profile:
        return msgspec.structs.replace(value, escalation_count=value.escalation_count + 1)

    # --- load and save --------------------------------------------------------------------------

    async def test_load_returns_none_when_there_is_no_profile(self, store: ProfileStore) -> None:
        await store.save(profile(ADA), expected_version=0)
        assert await store.load(BOB) is None

    async def test_load_returns_what_save_returned(self, store: ProfileStore) -> None:
        saved = await store.save(profile(), expected_version=0)
        assert saved.profile == profile()
        assert await store.load(ADA) == saved
        assert saved.version == (await store.scan())[0].version

    async def test_every_field_comes_back_as_it_was_given(self, store: ProfileStore, backend: Backend[Any]) -> None:
        given = full_profile()
        await store.save(given, expected_version=0)
        killed = await backend.open_killed()
        for handle in (store, killed):
            loaded = await handle.load(given.person)
            assert loaded is not None
            assert loaded.profile == given

    async def test_save_is_durable_when_it_returns(self, store: ProfileStore, backend: Backend[Any]) -> None:
        first = await store.save(profile(), expected_version=0)
        second = await store.save(profile(interaction_count=1), expected_version=first.version)
        killed = await backend.open_killed()
        assert await killed.load(ADA) == second

    async def test_buffered_save_is_read_at_once_and_durable_after_close(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        saved = await store.save(profile(), expected_version=0, durability="buffered")
        assert await store.load(ADA) == saved
        await store.close()
        later = await backend.open()
        assert await later.load(ADA) == saved

    async def test_save_names_the_version_the_next_save_must_expect(self, store: ProfileStore) -> None:
        saved = await store.save(profile(), expected_version=0)
        for count in range(1, 4):
            saved = await store.save(profile(interaction_count=count), expected_version=saved.version)
        loaded = await store.load(ADA)
        assert loaded is not None
        assert loaded.profile.interaction_count == 3

    async def test_a_stale_save_is_refused_and_changes_nothing(self, store: ProfileStore) -> None:
        first = await store.save(profile(), expected_version=0)
        second = await store.save(profile(interaction_count=1), expected_version=first.version)
        for stale in (first.version, 0, second.version + 1):
            with pytest.raises(VersionConflict):
                await store.save(profile(interaction_count=9), expected_version=stale)
        assert await store.load(ADA) == second

    async def test_a_save_that_expects_a_profile_where_there_is_none_is_refused(self, store: ProfileStore) -> None:
        with pytest.raises(VersionConflict):
            await store.save(profile(), expected_version=1)
        assert await store.load(ADA) is None

    async def test_of_saves_at_the_same_time_that_expect_one_version_one_wins(self, store: ProfileStore) -> None:
        first = await store.save(profile(), expected_version=0)
        saves = [store.save(profile(interaction_count=n), expected_version=first.version) for n in range(1, 9)]
        answers = await asyncio.gather(*saves, return_exceptions=True)
        won = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert len(won) == 1
        assert sum(isinstance(answer, VersionConflict) for answer in answers) == 7
        assert await store.load(ADA) == won[0]

    async def test_saves_of_different_people_at_the_same_time_all_hold(self, store: ProfileStore) -> None:
        people = [f"p{n:02d}" for n in range(30)]
        await asyncio.gather(*(store.save(profile(person), expected_version=0) for person in people))
        assert list(await store.people()) == people

    async def test_an_invalid_profile_is_refused_before_anything_is_written(self, store: ProfileStore) -> None:
        naive = NOON.replace(tzinfo=None)
        felt = msgspec.structs.replace(sample(0), at=naive)
        learned = msgspec.structs.replace(fact(0), learned_at=naive)
        refused = [
            profile(""),
            profile(first_seen=naive),
            profile(last_seen=naive),
            profile(emotion_samples=(felt,)),
            profile(facts=(learned,)),
            profile(name="\ud800"),
        ]
        for each in refused:
            with pytest.raises(RecordInvalid):
                await store.save(each, expected_version=0)
        assert await store.version() == 0
        assert list(await store.people()) == []

    async def test_the_newest_emotion_samples_are_kept(self, store: ProfileStore) -> None:
        samples = tuple(sample(number) for number in range(EMOTION_SAMPLES_KEPT + 7))
        saved = await store.save(profile(emotion_samples=samples), expected_version=0)
        assert saved.profile.emotion_samples == samples[7:]
        assert await store.load(ADA) == saved

    async def test_too_many_facts_are_refused_before_anything_is_written(self, store: ProfileStore) -> None:
        facts = tuple(fact(number) for number in range(FACTS_PER_PROFILE_MAX + 1))
        with pytest.raises(RecordTooLarge):
            await store.save(profile(facts=facts), expected_version=0)
        assert await store.version() == 0
        saved = await store.save(profile(facts=facts[1:]), expected_version=0)
        assert len(saved.profile.facts) == FACTS_PER_PROFILE_MAX

    async def test_ten_thousand_loads_and_saves_lose_nothing(self, store: ProfileStore) -> None:
        saved = await store.save(full_profile(), expected_version=0)
        before = canonical_bytes(Record(key=("p",), version=0, value=saved.profile))
        for _ in range(CYCLES):
            loaded = await store.load(saved.profile.person)
            assert loaded is not None
            await store.save(loaded.profile, expected_version=loaded.version, durability="buffered")
        loaded = await store.load(saved.profile.person)
        assert loaded is not None
        assert canonical_bytes(Record(key=("p",), version=0, value=loaded.profile)) == before

    # --- people and delete ----------------------------------------------------------------------

    async def test_people_are_those_who_have_a_profile_by_id(self, store: ProfileStore) -> None:
        assert list(await store.people()) == []
        for person in ("cleo", "Ada", "bob", "ähm", "b\x00b"):
            await store.save(profile(person), expected_version=0)
        await store.delete(PersonId("bob"))
        assert list(await store.people()) == ["Ada", "b\x00b", "cleo", "ähm"]

    async def test_delete_tombstones_the_profile_durably(self, store: ProfileStore, backend: Backend[Any]) -> None:
        await self.fill(store, ["ada", "bob"])
        assert await store.delete(ADA)
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert await handle.load(ADA) is None
            assert list(await handle.people()) == [BOB]

    async def test_delete_is_false_when_there_was_none(self, store: ProfileStore) -> None:
        assert not await store.delete(ADA)
        await self.fill(store, ["ada"])
        assert await store.delete(ADA)
        assert not await store.delete(ADA)

    async def test_a_deleted_profile_may_be_saved_anew_and_has_a_newer_version(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        first = await store.save(profile(interaction_count=7), expected_version=0)
        await store.delete(ADA)
        await store.purge([])
        anew = await store.save(profile(), expected_version=0)
        assert anew.version > first.version
        target = await backend.open_other()
        for record in await store.scan():
            await target.apply([record])
        assert await target.load(ADA) == anew
