"""Ids as types. All are text: 64-bit ids of chat systems do not survive JSON numbers."""

from __future__ import annotations

from typing import NewType

PersonId = NewType("PersonId", str)
ChannelId = NewType("ChannelId", str)
MessageId = NewType("MessageId", str)
MemoryId = NewType("MemoryId", str)

AGENT = PersonId("instar")  # the author of what the agent itself says, unless settings name another
