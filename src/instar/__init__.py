"""instar: a runtime for conversational AI agents whose state can move.

    async with instar.open("file:./state") as home:
        await home.conversations.append(instar.Message(...))

    async with instar.Agent(home) as agent:
        reply = await agent.ask("When is my birthday?", person="ada")

Importing this loads values and rules; the engine, the models and the web server load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instar.core.errors import InstarError
from instar.core.records import (
    EmotionSample,
    Fact,
    Memory,
    Message,
    Profile,
    Record,
    Scope,
)
from instar.core.settings import Settings

if TYPE_CHECKING:
    from instar.agent.reply import Reply
    from instar.agent.turn import Agent
    from instar.app import open, open_sync  # noqa: A004 - `instar.open` reads like the built-in it resembles
    from instar.stores.home import Home

__all__ = [
    "Agent",
    "EmotionSample",
    "Fact",
    "Home",
    "InstarError",
    "Memory",
    "Message",
    "Profile",
    "Record",
    "Reply",
    "Scope",
    "Settings",
    "open",
    "open_sync",
]

__version__ = "0.1.0"

_LAZY = {
    "Agent": "instar.agent.turn",
    "Home": "instar.stores.home",
    "Reply": "instar.agent.reply",
    "open": "instar.app",
    "open_sync": "instar.app",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'instar' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
