"""The table of support: ports, their backends, and what the contracts hold them to. Counted, never written by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec

import instar
from instar.embeddings.contract import EmbedderContract
from instar.models.contract import ModelContract
from instar.stores.conversations.contract import ConversationsContract
from instar.stores.memories.contract import MemoriesContract
from instar.stores.profiles.contract import ProfilesContract
from instar.stores.workflows.contract import WorkflowsContract
from instar.testing.liars import CONVERSATION_LIARS, PROFILE_LIARS, WORKFLOW_LIARS
from instar.testing.memory_liars import EMBEDDER_LIARS
from instar.testing.memory_liars import LIARS as MEMORY_LIARS
from instar.testing.model_liars import LIARS as MODEL_LIARS

_ROOT = Path(instar.__file__).parent


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One port."""

    port: str
    backends: tuple[str, ...]
    promises: int
    """Clauses of the contract, each one test that every backend passes."""
    liars: int
    """Backends that break one promise each; every one is caught."""


def support() -> list[Row]:
    """Every port, as its folder and its contract show it."""
    return [
        _row("stores/conversations", ("embedded",), ConversationsContract, len(CONVERSATION_LIARS)),
        _row("stores/profiles", ("embedded",), ProfilesContract, len(PROFILE_LIARS)),
        _row("stores/memories", ("embedded",), MemoriesContract, len(MEMORY_LIARS)),
        _row("stores/workflows", ("embedded",), WorkflowsContract, len(WORKFLOW_LIARS)),
        _row("models", ("openai_compatible", "extractive", "scripted", "router"), ModelContract, len(MODEL_LIARS)),
        _row("embeddings", ("minilm", "hashing"), EmbedderContract, len(EMBEDDER_LIARS)),
    ]


def _row(folder: str, backends: tuple[str, ...], contract: type, liars: int) -> Row:
    for backend in backends:
        assert (_ROOT / folder / f"{backend}.py").is_file(), f"{folder} has no {backend}.py"
    promises = sum(name.startswith("test_") for name in dir(contract))
    return Row(port=folder.removeprefix("stores/"), backends=backends, promises=promises, liars=liars)
