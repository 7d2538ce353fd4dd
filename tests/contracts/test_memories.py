"""The memory stores keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from instar.core.errors import InstarError
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.contract import MemoriesContract
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.testing.backends import EmbeddedBackend, real_files
from instar.testing.memory_liars import LIARS

open_memories = partial(EmbeddedMemoryStore.open, embedder=HashingEmbedder())


class TestMemory(MemoriesContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(open_memories)
        yield backend
        await backend.close()


class TestFiles(MemoriesContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[EmbeddedBackend]:
        backend = EmbeddedBackend(open_memories, real_files(tmp_path))
        yield backend
        await backend.close()


class TestFilesWithTheWordsIndexOnDisk(MemoriesContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedBackend]:
        monkeypatch.setattr("instar.stores.memories.view.WORDS_ON_DISK_MIN", 0)
        monkeypatch.setattr("instar.stores.memories.view.TAIL_MAX", 0)
        backend = EmbeddedBackend(open_memories, real_files(tmp_path))
        yield backend
        await backend.close()


@pytest.mark.parametrize("name", sorted(LIARS))
async def test_the_contract_catches_the_liar(name: str) -> None:
    liar, clause = LIARS[name]
    assert await broken(liar, clause), f"{clause} lets {name} pass"


async def broken(store: type, clause: str) -> bool:
    backend = EmbeddedBackend(partial(store.open, embedder=HashingEmbedder()))
    try:
        method = getattr(MemoriesContract(), clause)
        given = {"backend": backend, "store": await backend.open(), "embedder": HashingEmbedder()}
        await method(**{each: given[each] for each in inspect.signature(method).parameters})
    except (AssertionError, InstarError, LookupError, TypeError, ValueError, pytest.fail.Exception):
        return True
    finally:
        await backend.close()
    return False


@pytest.mark.parametrize("clause", sorted({clause for _, clause in LIARS.values()}))
async def test_the_honest_store_passes_the_clause_that_catches_a_liar(clause: str) -> None:
    assert not await broken(EmbeddedMemoryStore, clause)
