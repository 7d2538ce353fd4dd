"""The conversation stores keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instar.stores.conversations.contract import ConversationsContract
from instar.stores.conversations.embedded import EmbeddedConversationStore
from instar.testing.backends import EmbeddedBackend, real_files, sealed
from instar.testing.liars import CONVERSATION_LIARS, broken_by, clauses_without_a_liar


class TestMemory(ConversationsContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedConversationStore.open)
        yield backend
        await backend.close()


class TestFiles(ConversationsContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedConversationStore.open, real_files(tmp_path))
        yield backend
        await backend.close()


class TestSealed(ConversationsContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(sealed(EmbeddedConversationStore).open)
        yield backend
        await backend.close()


@pytest.mark.parametrize("name", sorted(CONVERSATION_LIARS))
async def test_the_contract_catches_the_liar(name: str) -> None:
    liar, clause = CONVERSATION_LIARS[name]
    assert await broken_by(ConversationsContract, clause, EmbeddedBackend(liar.open)), f"{clause} lets {name} pass"


async def test_every_clause_catches_a_liar() -> None:
    assert await clauses_without_a_liar(ConversationsContract, CONVERSATION_LIARS) == []
