"""The conversation store: every message of every channel, in order.

Identity of a message is (channel, id, variant). Order in a channel is `Message.position`, given on append.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Durability, Message
from instar.stores.movable import Movable, Purgeable


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one appended message."""

    message: Message
    """The message as stored, with its position. If it was already there, the one stored first."""
    already_there: bool


class Cursor(msgspec.Struct, frozen=True):
    """A place in a listing; pass it back to go on behind it."""

    channel: ChannelId
    position: int


class ChannelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One channel in a listing."""

    channel: ChannelId
    messages: int
    people: tuple[PersonId, ...]
    """Authors of messages with role person, in order of first appearance; at most 100."""
    shared: bool
    """True when any of its messages was said among several people."""
    first_at: datetime | None
    last_at: datetime | None


class PersonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages a person wrote."""

    person: PersonId
    messages: int


class ErasedMessages(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure tombstoned."""

    messages: Sequence[tuple[ChannelId, MessageId]]
    """Every erased message: the person's own, the replies to them, and replies that cite them."""


class ConversationStore(Movable[Message], Purgeable, Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    async def append(self, message: Message, *, durability: Durability = "durable") -> Appended:
        """Store one message behind the last of its channel and return it with its position.

        Durable when it returns, unless `buffered` was asked for. A message whose identity is there
        already changes nothing and is reported as such. Raises `RecordInvalid` or `RecordTooLarge`
        before anything is written.
        """

    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        """Store messages in the order given, all or none, and return what became of each.

        A message repeated within the batch is stored once. An empty batch changes nothing.
        """

    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        """Return the last `limit` messages of a channel, oldest first, only selected and not hidden ones.

        With `before`, those in front of that position. A channel nobody wrote in is an empty window.
        """

    async def page(
        self,
        *,
        channel: ChannelId | None = None,
        person: PersonId | None = None,
        after: Cursor | None = None,
        limit: int = 1_000,
    ) -> Sequence[Message]:
        """Return messages by channel and position, hidden and unselected ones included, starting behind `after`.

        `channel` and `person` narrow it; a person's messages are those whose `person` or `author` it is.
        """

    async def get(self, channel: ChannelId, message_id: MessageId, *, variant: int = 0) -> Message | None:
        """Return the message, or None when it was never there or is deleted."""

    async def edit(self, channel: ChannelId, message_id: MessageId, *, text: str, edited_at: datetime) -> Message:
        """Replace the text of a message, keep its position, and return it. Raises `MessageUnknown`."""

    async def delete(self, channel: ChannelId, message_id: MessageId) -> bool:
        """Tombstone a message with all its variants; False when it was not there. Its id stays taken: a late
        delivery of it is answered as already there and stores nothing.
        """

    async def channels(self) -> Sequence[ChannelSummary]:
        """Return every channel that holds a message, by id."""

    async def people(self) -> Sequence[PersonCount]:
        """Return everyone who wrote a message with role person, by id."""

    async def erase_person(self, person: PersonId) -> ErasedMessages:
        """Tombstone every message of the person, replies to them, and replies that cite them; durable when it returns.

        The bytes leave the disk at the store's next `purge`. Erasing someone unknown erases nothing.
        """
