"""Profiles on the embedded engine: one record per person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec

from instar.core.errors import RecordTooLarge, VersionConflict
from instar.core.ids import PersonId
from instar.core.limits import EMOTION_SAMPLES_KEPT, FACTS_PER_PROFILE_MAX
from instar.core.records import Durability, Profile, checked_profile, checked_time
from instar.stores.embedded import EmbeddedMovable
from instar.stores.profiles.port import ProfileStore, StoredProfile
from instar.stores.segment.store import Op, key_of, parts_of

PROFILES = "profiles"


class EmbeddedProfileStore(EmbeddedMovable[Profile]):
    """The embedded backend. A deleted person may be saved anew; an older copy of them is not applied again."""

    collection: ClassVar[str] = PROFILES
    kind: ClassVar[type[msgspec.Struct]] = Profile
    collections: ClassVar[dict[str, type[msgspec.Struct]]] = {PROFILES: Profile}

    async def load(self, person: PersonId) -> StoredProfile | None:
        entry = self.engine.get(PROFILES, key_of(person))
        return None if entry is None else StoredProfile(profile=self._value(entry), version=entry.version)

    async def save(
        self, profile: Profile, *, expected_version: int, durability: Durability = "durable"
    ) -> StoredProfile:
        return await self._whole(self._save(self._checked(_trimmed(profile)), expected_version, durability))

    async def people(self) -> Sequence[PersonId]:
        return [PersonId(parts_of(entry.key)[0]) for entry in self.engine.scan(PROFILES)]

    async def delete(self, person: PersonId) -> bool:
        return await self._whole(self._delete(person))

    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        async with self._claims.of(profile.person):
            stored = await self.load(profile.person)
            version = 0 if stored is None else stored.version
            if version != expected_version:
                raise _conflict(profile.person, expected_version, version)
            ops = self._written(None if stored is None else stored.profile, profile)
            return StoredProfile(profile=profile, version=await self._commit(ops, durability=durability))

    async def _delete(self, person: PersonId) -> bool:
        async with self._claims.of(person):
            stored = self._live(key_of(person))
            if stored is not None:
                await self._commit(self._ended(stored))
            return stored is not None

    def _key(self, value: Profile) -> tuple[str, ...]:
        return (value.person,)

    def _subject(self, value: Profile) -> str:
        return value.person

    def _checked(self, value: Profile) -> Profile:
        for sample in value.emotion_samples:
            checked_time(f"an emotion sample of {value.person!r}", sample.at)
        for fact in value.facts:
            checked_time(f"learned_at of a fact about {value.person!r}", fact.learned_at)
        if len(value.facts) > FACTS_PER_PROFILE_MAX:
            raise RecordTooLarge(
                f"the profile of {value.person!r} has {len(value.facts):,} facts",
                why=f"the bound is {FACTS_PER_PROFILE_MAX:,}",
                next="keep the further ones as memories: home.memories.remember",
            )
        return checked_profile(value)

    def _companions(self, old: Profile | None, new: Profile | None) -> Sequence[Op]:
        return [self._forgotten.mark(old.person)] if old is not None and new is None else ()

    def _barred(self, value: Profile, version: int) -> bool:
        return version <= self._forgotten.since(value.person)


def _trimmed(profile: Profile) -> Profile:
    if len(profile.emotion_samples) <= EMOTION_SAMPLES_KEPT:
        return profile
    return msgspec.structs.replace(profile, emotion_samples=profile.emotion_samples[-EMOTION_SAMPLES_KEPT:])


def _conflict(person: PersonId, expected: int, found: int) -> VersionConflict:
    return VersionConflict(
        f"the profile of {person!r} was not saved",
        why=f"it was to replace version {expected}, and the stored one is {found}: someone saved in between",
        next="load it again, make the change on what is there, and save that",
    )


if TYPE_CHECKING:
    _fulfils: type[ProfileStore] = EmbeddedProfileStore
