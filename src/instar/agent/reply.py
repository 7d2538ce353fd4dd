"""What a turn gives back: the reply, who made it, and what it rests on."""

from __future__ import annotations

from datetime import datetime

import blake3
import msgspec

from instar.core.ids import ChannelId, MessageId
from instar.core.records import Message, Responder
from instar.stores.memories.port import Hit


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


def reply_id_of(channel: ChannelId, message_id: MessageId) -> MessageId:
    """The id of the reply to a message: the same whenever and wherever the turn runs."""
    return MessageId("re-" + blake3.blake3(f"{channel}\x00{message_id}".encode()).hexdigest(length=16))


def made_by_a_turn(message: Message) -> bool:
    """True for a reply that a turn gave, here or in the home it was exported from: it is never learned."""
    return message.reply_to is not None and message.id == reply_id_of(message.channel, message.reply_to)


TurnEvent = Recalled | ReplyDelta | Replied
