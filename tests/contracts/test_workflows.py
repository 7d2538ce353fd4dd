"""The workflow stores keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instar.stores.workflows.contract import WorkflowsContract
from instar.stores.workflows.embedded import EmbeddedWorkflowStore
from instar.testing.backends import EmbeddedBackend, real_files, sealed
from instar.testing.liars import WORKFLOW_LIARS, broken_by, clauses_without_a_liar


class TestMemory(WorkflowsContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedWorkflowStore.open)
        yield backend
        await backend.close()


class TestFiles(WorkflowsContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(EmbeddedWorkflowStore.open, real_files(tmp_path))
        yield backend
        await backend.close()


class TestSealed(WorkflowsContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(sealed(EmbeddedWorkflowStore).open)
        yield backend
        await backend.close()


@pytest.mark.parametrize("name", sorted(WORKFLOW_LIARS))
async def test_the_contract_catches_the_liar(name: str) -> None:
    liar, clause = WORKFLOW_LIARS[name]
    assert await broken_by(WorkflowsContract, clause, EmbeddedBackend(liar.open)), f"{clause} lets {name} pass"


async def test_every_clause_catches_a_liar() -> None:
    assert await clauses_without_a_liar(WorkflowsContract, WORKFLOW_LIARS) == []
