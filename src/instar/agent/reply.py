"""What a turn gives back: the reply, who made it, and what it rests on."""

from __future__ import annotations

from datetime import datetime

import msgspec

from instar.core.ids import ChannelId, MessageId
from instar.stores.memories.port import Hit


class Responder(msgspec.Struct, frozen=True, kw_only=True):
    """Who made the reply."""

    kind: str
    """Either "model", "extractive" or "scripted"."""
    name: str


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """A message the reply rests on."""

    message_id: MessageId
    channel: ChannelId
    author: str
    sent_at: datetime | None
    text: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's answer to one message. Durable: it is in the conversation when the caller gets it."""

    reply: str
    reply_id: MessageId
    message_id: MessageId
    responder: Responder
    citations: tuple[Citation, ...] = ()


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """Event of a turn: what was recalled before the first word."""

    message_id: MessageId
    hits: tuple[Hit, ...]


class ReplyDelta(msgspec.Struct, frozen=True, kw_only=True):
    """Event of a turn: the next piece of the reply."""

    text: str


class Replied(msgspec.Struct, frozen=True, kw_only=True):
    """Last event of a turn."""

    reply: Reply


TurnEvent = Recalled | ReplyDelta | Replied
