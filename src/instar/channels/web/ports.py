"""What the web channel needs from the agent and from its home, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from instar.agent.reply import TurnEvent
from instar.agent.stores import Stores
from instar.core.ids import PersonId


class Talker(Protocol):
    """The agent, as far as a chat needs it."""

    def stream(
        self, text: str, *, person: str, channel: str = "cli", message_id: str | None = None, shared: bool = False
    ) -> AsyncIterator[TurnEvent]:
        """Yield the events of one turn. A message id seen before gives the reply it got then."""


class WebHome(Stores, Protocol):
    """The home behind the pages."""

    async def status(self) -> msgspec.Struct:
        """Figures about the home, printed as they come."""

    async def forget(self, person: PersonId) -> msgspec.Struct:
        """Erase everything about a person and return the receipt."""
