"""The profile store: one profile per person, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from instar.core.ids import PersonId
from instar.core.records import Durability, Profile
from instar.stores.movable import Movable, Purgeable


class StoredProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile with the version a later save must name."""

    profile: Profile
    version: int


class ProfileStore(Movable[Profile], Purgeable, Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    async def load(self, person: PersonId) -> StoredProfile | None:
        """Return the person's profile, or None when there is none."""

    async def save(
        self, profile: Profile, *, expected_version: int, durability: Durability = "durable"
    ) -> StoredProfile:
        """Store the profile if the stored version is still `expected_version` (0: there is none yet).

        Durable when it returns, unless `buffered` was asked for. Raises `VersionConflict` and changes
        nothing when someone else saved in between. Raises `RecordInvalid` before anything is written.
        """

    async def people(self) -> Sequence[PersonId]:
        """Return everyone who has a profile, by id."""

    async def delete(self, person: PersonId) -> bool:
        """Tombstone the profile, durably; False when there was none."""
