"""The memory stores keep the port's promises, and the contract catches those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.contract import MemoriesContract
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.testing.backends import EmbeddedBackend, real_files

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
        backend = EmbeddedBackend(open_memories, real_files(tmp_path))
        yield backend
        await backend.close()
