"""What a turn needs of a home: four ports. `stores/home.py` fulfils it, and so does any object that has them."""

from __future__ import annotations

from typing import Protocol

from instar.stores.conversations.port import ConversationStore
from instar.stores.memories.port import MemoryStore
from instar.stores.profiles.port import ProfileStore
from instar.stores.workflows.port import WorkflowStore


class Stores(Protocol):
    """The ports of one home."""

    @property
    def conversations(self) -> ConversationStore:
        """Every message of every channel."""

    @property
    def profiles(self) -> ProfileStore:
        """One profile per person."""

    @property
    def memories(self) -> MemoryStore:
        """What is remembered."""

    @property
    def workflows(self) -> WorkflowStore:
        """What was begun and not finished."""
