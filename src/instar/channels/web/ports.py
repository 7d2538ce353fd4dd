"""What the web channel needs from the agent and from its home, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from instar.agent.reply import TurnEvent
from instar.core.ids import PersonId
from instar.stores.conversations.port import ConversationStore
from instar.stores.memories.port import MemoryStore
from instar.stores.profiles.port import ProfileStore


class Talker(Protocol):
    """The agent, as far as a chat needs it."""

    def stream(
        self, text: str, *, person: str, channel: str = "cli", message_id: str | None = None, shared: bool = False
    ) -> AsyncIterator[TurnEvent]:
        """Yield the events of one turn. A message id seen before gives the reply it got then."""


class WebHome(Protocol):
    """The home behind the pages."""

    @property
    def conversations(self) -> ConversationStore:
        """Every message."""

    @property
    def profiles(self) -> ProfileStore:
        """What is known of each person."""

    @property
    def memories(self) -> MemoryStore:
        """What is remembered."""

    async def status(self) -> msgspec.Struct:
        """Figures about the home, printed as they come."""

    async def forget(self, person: PersonId) -> msgspec.Struct:
        """Erase everything about a person and return the receipt."""
