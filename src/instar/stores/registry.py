"""From a home's location to its backends. The only importer of backends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from instar.core.clock import Clock
from instar.core.errors import SettingInvalid
from instar.core.records import Memory, Message, Profile
from instar.embeddings.port import Embedder
from instar.stores import forgotten
from instar.stores.conversations.embedded import EmbeddedConversationStore
from instar.stores.conversations.port import ConversationStore
from instar.stores.embedded import EmbeddedStore
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.memories.port import MemoryStore
from instar.stores.profiles.embedded import EmbeddedProfileStore
from instar.stores.profiles.port import ProfileStore
from instar.stores.segment.files import Files, MemoryFiles, RealFiles
from instar.stores.workflows.embedded import EmbeddedWorkflowStore
from instar.stores.workflows.port import WorkflowStore

PORTS: dict[str, tuple[type, type | None]] = {
    "conversations": (ConversationStore, Message),
    "profiles": (ProfileStore, Profile),
    "memories": (MemoryStore, Memory),
    "workflows": (WorkflowStore, None),
}
"""Every port with the value its records carry; None where the store does not move by records."""

_BACKENDS: dict[str, type[EmbeddedStore]] = {
    "conversations": EmbeddedConversationStore,
    "profiles": EmbeddedProfileStore,
    "memories": EmbeddedMemoryStore,
    "workflows": EmbeddedWorkflowStore,
}
STRUCTS: dict[str, dict[str, type[msgspec.Struct]]] = {
    name: {**backend.collections, forgotten.COLLECTION: forgotten.Mark} for name, backend in _BACKENDS.items()
}
"""Every collection of each embedded store with the struct its values are maps of."""

COLLECTIONS: dict[str, tuple[str, str]] = {
    "conversations": ("conversations", "messages"),
    "messages": ("conversations", "messages"),
    "profiles": ("profiles", "profiles"),
    "memories": ("memories", "memories"),
    "workflows": ("workflows", "workflows"),
}
"""What users call the records of a home: the store, and the collection in it."""
_MOVABLE_READS = frozenset({"scan", "changes", "digest", "version"})
READS: dict[str, frozenset[str]] = {
    "conversations": _MOVABLE_READS | {"window", "page", "get", "channels", "people"},
    "profiles": _MOVABLE_READS | {"load", "people"},
    "memories": _MOVABLE_READS | {"get", "listing", "search", "embedder", "counts"},
    "workflows": frozenset({"load", "unfinished"}),
    "home": frozenset({"status", "check", "files"}),
}
"""The methods of each port that change nothing: all that a reader beside an owner may call."""


class Location(msgspec.Struct, frozen=True):
    """Where a home is."""

    path: Path | None
    """None: in memory, gone when the process ends."""

    def __str__(self) -> str:
        return "memory:" if self.path is None else f"file:{self.path}"


def locate(text: str, *, environment: dict[str, str] | None = None) -> Location:
    """Read a location: a directory, `file:DIR`, `memory:`, or "" for the platform's state directory."""
    if text == "memory:":
        return Location(None)
    if not text:
        return Location(_state_directory(dict(os.environ) if environment is None else environment))
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "file":
        return Location(Path(rest.removeprefix("//")).expanduser().absolute())
    if colon and scheme.isalpha() and len(scheme) > 1 and not Path(text).exists():
        raise SettingInvalid(
            f"the home {text!r} cannot be opened",
            why=f"{scheme!r} is not a kind of home this version knows; it knows file: and memory:",
            next="use a directory, for example --home ./state",
        )
    return Location(Path(text).expanduser().absolute())


def _state_directory(environment: dict[str, str]) -> Path:
    # The XDG Base Directory Specification: state that should persist, but is not portable data.
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "instar"


async def open_embedded(
    location: Location, *, epoch: int, forget_key: bytes, clock: Clock, embedder: Embedder, read_only: bool = False
) -> dict[str, Any]:
    """Open the embedded backend of every port, all or none."""

    def files(name: str) -> Files:
        return MemoryFiles() if location.path is None else RealFiles(location.path / name)

    common: dict[str, Any] = {"clock": clock, "epoch": epoch, "forget_key": forget_key, "read_only": read_only}
    opened: dict[str, Any] = {}
    try:
        opened["conversations"] = await EmbeddedConversationStore.open(files("conversations"), **common)
        opened["profiles"] = await EmbeddedProfileStore.open(files("profiles"), **common)
        opened["memories"] = await EmbeddedMemoryStore.open(files("memories"), embedder=embedder, **common)
        opened["workflows"] = await EmbeddedWorkflowStore.open(files("workflows"), **common)
    except BaseException:
        for store in opened.values():
            await store.close()
        raise
    return opened
