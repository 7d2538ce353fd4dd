"""The profile stores keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instar.stores.profiles.contract import ProfilesContract
from instar.stores.profiles.embedded import EmbeddedProfileStore
from instar.testing.backends import EmbeddedBackend, real_files, sealed
from instar.testing.liars import PROFILE_LIARS, broken_by, clauses_without_a_liar


class TestMemory(ProfilesContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedProfileStore.open)
        yield backend
        await backend.close()


class TestFiles(ProfilesContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedProfileStore.open, real_files(tmp_path))
        yield backend
        await backend.close()


class TestSealed(ProfilesContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(sealed(EmbeddedProfileStore).open)
        yield backend
        await backend.close()


@pytest.mark.parametrize("name", sorted(PROFILE_LIARS))
async def test_the_contract_catches_the_liar(name: str) -> None:
    liar, clause = PROFILE_LIARS[name]
    assert await broken_by(ProfilesContract, clause, EmbeddedBackend(liar.open)), f"{clause} lets {name} pass"


async def test_every_clause_catches_a_liar() -> None:
    assert await clauses_without_a_liar(ProfilesContract, PROFILE_LIARS) == []
