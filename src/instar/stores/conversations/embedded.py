"""Conversations on the embedded engine.

The record is the message, under (channel, position). Three indexes lead to it: by identity, by person, and
from a message to the agent's messages that rest on it. All of one append is one transaction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, ClassVar

import msgspec

from instar.core.errors import MessageUnknown, StoreCorrupt
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Durability, Message, MessageRef, Record, Role, checked_message
from instar.stores.conversations.port import (
    Appended,
    ChannelSummary,
    ConversationStore,
    Cursor,
    ErasedMessages,
    PersonCount,
)
from instar.stores.conversations.tally import Place, Tallies
from instar.stores.embedded import EmbeddedMovable, decoded, encoded
from instar.stores.segment.store import Delete, Engine, Entry, Op, Put, key_of, parts_of, prefix_range

MESSAGES = "messages"
PLACES = "message_places"
BY_PERSON = "message_people"
RESTING = "message_links"
TOPS = "channel_tops"

ERASED_PER_COMMIT = 1_000  # messages; about 1 MiB of tombstones, so that no erasure outgrows a transaction

Identity = tuple[ChannelId, MessageId, int]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """That a message is by or about a person. Key: person, channel, position."""

    role: Role


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """That an agent's message rests on another. Key: channel and id of the other, channel, position."""

    cited: bool
    """True: it quotes the other. False: it only answers it."""


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """The highest position ever given in a channel whose last message is gone. Key: keyed hash of the channel."""

    position: int


_places = msgspec.msgpack.Decoder(Place)
_tops = msgspec.msgpack.Decoder(Top)


class EmbeddedConversationStore(EmbeddedMovable[Message]):
    """The embedded backend."""

    collection: ClassVar[str] = MESSAGES
    kind: ClassVar[type[msgspec.Struct]] = Message
    collections: ClassVar[dict[str, type[msgspec.Struct]]] = {
        MESSAGES: Message,
        PLACES: Place,
        BY_PERSON: Part,
        RESTING: Rest,
        TOPS: Top,
    }

    def __init__(self, engine: Engine, *, forget_key: bytes) -> None:
        super().__init__(engine, forget_key=forget_key)
        self._last: dict[ChannelId, int] = {}
        """Highest position given, acknowledged or not."""
        self._tallies = Tallies(self._standing)
        self._buffered = False

    # --- appending ------------------------------------------------------------------------------

    async def append(self, message: Message, *, durability: Durability = "durable") -> Appended:
        return (await self.append_many([message], durability=durability))[0]

    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        checked = [checked_message(message) for message in messages]
        return await self._whole(self._append(checked, durability))

    async def _append(self, messages: Sequence[Message], durability: Durability) -> Sequence[Appended]:
        async with self._claims.of(*map(identity, messages)):
            answers = self._planned(messages)
            new = [answer.message for answer in answers if not answer.already_there]
            if new:
                ops = [op for message in new for op in self._written(None, message)]
                await self._commit(ops, durability=durability)
                self._buffered = self._buffered or durability == "buffered"
                self._tallies.changed({message.channel for message in new})
            if len(new) < len(answers) and durability == "durable":
                await self._synced()
            return answers

    async def _synced(self) -> None:
        """Make what was stored earlier as durable as this caller asks for."""
        if self._buffered:
            self._buffered = False
            await self.engine.sync()

    def _planned(self, messages: Sequence[Message]) -> list[Appended]:
        """What becomes of each message, positions given. Awaits nothing: two batches never share a position."""
        answers: list[Appended] = []
        placed: dict[Identity, Message] = {}
        for message in messages:
            there = placed.get(identity(message)) or self._standing_or_gone(message)
            stored = there or self._placed(message)
            placed[identity(message)] = stored
            answers.append(Appended(message=stored, already_there=there is not None))
        return answers

    def _standing_or_gone(self, message: Message) -> Message | None:
        """The stored message of this identity; the offered one when it was taken away for good."""
        stored = self._found(*identity(message))
        if stored is None and self._is_gone(message):
            return message
        return stored

    def _placed(self, message: Message) -> Message:
        last = self._last.get(message.channel)
        position = 1 + (self._stored_last(message.channel) if last is None else last)
        self._last[message.channel] = position
        return msgspec.structs.replace(message, position=position)

    def _stored_last(self, channel: ChannelId) -> int:
        start, stop = prefix_range(channel)
        newest = next(self.engine.scan(MESSAGES, start=start, stop=stop, reverse=True, tombstones=True), None)
        return max(0 if newest is None else int(parts_of(newest.key)[1]), self._top_left(channel))

    def _top_left(self, channel: ChannelId) -> int:
        entry = self.engine.get(TOPS, key_of(self._forgotten.hash(channel)))
        return 0 if entry is None else _top(entry).position

    # --- reading --------------------------------------------------------------------------------

    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        start, stop = prefix_range(channel)
        if before is not None:
            stop = _position_key(channel, before)
        newest_first = map(self._value, self.engine.scan(MESSAGES, start=start, stop=stop, reverse=True))
        shown = (message for message in newest_first if message.selected and not message.hidden)
        return list(islice(shown, limit))[::-1]

    async def page(
        self,
        *,
        channel: ChannelId | None = None,
        person: PersonId | None = None,
        after: Cursor | None = None,
        limit: int = 1_000,
    ) -> Sequence[Message]:
        listed = self._all(channel, after) if person is None else self._of_person(person, channel, after)
        return list(islice(listed, limit))

    def _all(self, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        start, stop = (b"", None) if channel is None else prefix_range(channel)
        if after is not None:
            start = max(start, _behind(_position_key(after.channel, after.position)))
        return map(self._value, self.engine.scan(MESSAGES, start=start, stop=stop))

    def _of_person(self, person: PersonId, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        start, stop = prefix_range(person) if channel is None else prefix_range(person, channel)
        if after is not None:
            start = max(start, _behind(key_of(person, after.channel, _digits(after.position))))
        for entry in self.engine.scan(BY_PERSON, start=start, stop=stop):
            _, in_channel, digits = parts_of(entry.key)
            yield self._at(ChannelId(in_channel), int(digits))

    async def get(self, channel: ChannelId, message_id: MessageId, *, variant: int = 0) -> Message | None:
        return self._found(channel, message_id, variant)

    async def channels(self) -> Sequence[ChannelSummary]:
        return self._tallies.channels()

    async def people(self) -> Sequence[PersonCount]:
        return self._tallies.people()

    def _found(self, channel: ChannelId, message_id: MessageId, variant: int) -> Message | None:
        entry = self.engine.get(PLACES, key_of(channel, message_id, str(variant)))
        return None if entry is None else self._at(channel, _place(entry).position)

    def _at(self, channel: ChannelId, position: int) -> Message:
        message = self._live(_position_key(channel, position))
        if message is None:
            raise StoreCorrupt(
                f"message {position} of channel {channel!r} is missing",
                why="an index leads to it and its record is not there",
                next="run `instar doctor`",
            )
        return message

    def _standing(self, channel: ChannelId | None) -> Iterator[tuple[ChannelId, Place]]:
        """Every place, or those of one channel."""
        start, stop = (b"", None) if channel is None else prefix_range(channel)
        in_channel, here = ChannelId(""), b""
        for entry in self.engine.scan(PLACES, start=start, stop=stop):
            # Keys of one channel stand together, and decoding a key costs more than comparing its start.
            if not here or not entry.key.startswith(here):
                in_channel = ChannelId(parts_of(entry.key)[0])
                here = prefix_range(in_channel)[0]
            yield in_channel, _place(entry)

    # --- changing and taking away ---------------------------------------------------------------

    async def edit(self, channel: ChannelId, message_id: MessageId, *, text: str, edited_at: datetime) -> Message:
        return await self._whole(self._edit(channel, message_id, text, edited_at))

    async def delete(self, channel: ChannelId, message_id: MessageId) -> bool:
        return await self._whole(self._delete(channel, message_id))

    async def erase_person(self, person: PersonId) -> ErasedMessages:
        return await self._whole(self._erase_person(person))

    async def _edit(self, channel: ChannelId, message_id: MessageId, text: str, edited_at: datetime) -> Message:
        async with self._claims.of_everything():
            stored = self._found(channel, message_id, 0)
            if stored is None:
                raise _unknown(channel, message_id)
            edited = checked_message(
                msgspec.structs.replace(stored, text=text, edited_at=edited_at, text_original=None)
            )
            await self._commit(self._written(stored, edited))
            return edited

    async def _delete(self, channel: ChannelId, message_id: MessageId) -> bool:
        async with self._claims.of_everything():
            variants = self._variants(channel, message_id)
            if variants:
                mark = self._forgotten.mark(channel, message_id)
                await self._commit([mark, *self._all_ended(variants)])
                self._tallies.changed([channel])
            return bool(variants)

    async def _erase_person(self, person: PersonId) -> ErasedMessages:
        async with self._claims.of_everything():
            erased = self._with_what_rests_on(list(self._of_person(person, None, None)))
            # What rests on others goes first: an erasure cut short finds it again through what is left.
            for stop in range(len(erased), 0, -ERASED_PER_COMMIT):
                await self._commit(self._all_ended(erased[max(0, stop - ERASED_PER_COMMIT) : stop]))
            self._tallies.changed({message.channel for message in erased})
            return ErasedMessages(messages=list(dict.fromkeys((message.channel, message.id) for message in erased)))

    def _all_ended(self, messages: Sequence[Message]) -> list[Op]:
        # Messages of one channel leave the same top behind, which is written once.
        return list(dict.fromkeys(chain.from_iterable(map(self._ended, messages))))

    def _with_what_rests_on(self, messages: list[Message]) -> list[Message]:
        """The messages, then the agent's messages that cite or answer them, then those that cite these."""
        found = {self._key(message): message for message in messages}
        pending = deque(messages)
        while pending:
            for resting in self._resting_on(pending.popleft()):
                if self._key(resting) not in found:
                    found[self._key(resting)] = resting
                    pending.append(resting)
        return list(found.values())

    def _resting_on(self, message: Message) -> Iterator[Message]:
        start, stop = prefix_range(message.channel, message.id)
        for entry in self.engine.scan(RESTING, start=start, stop=stop):
            _, _, channel, digits = parts_of(entry.key)
            yield self._at(ChannelId(channel), int(digits))

    def _variants(self, channel: ChannelId, message_id: MessageId) -> list[Message]:
        start, stop = prefix_range(channel, message_id)
        entries = self.engine.scan(PLACES, start=start, stop=stop)
        return [self._at(channel, _place(entry).position) for entry in entries]

    # --- what a record brings with it -----------------------------------------------------------

    async def _apply(self, records: Sequence[Record[Message]]) -> int:
        try:
            return await super()._apply(records)
        finally:
            self._last.clear()
            self._tallies.forget()

    def _applied(self, record: Record[Message]) -> list[Op]:
        ops = super()._applied(record)
        twin = self._found(*identity(record.value)) if ops and record.value is not None else None
        if twin is None or record.value is None or twin.position == record.value.position:
            return ops
        # The same message at another position: of the two the newer stays, as for two records of one key.
        entry = self.engine.get(MESSAGES, key_of(*self._key(twin)))
        if entry is not None and entry.version >= record.version:
            return []
        leaving = Delete(collection=MESSAGES, key=key_of(*self._key(twin)), subject=self._subject(twin))
        return [*self._companions(twin, record.value), leaving, *ops]

    def _key(self, value: Message) -> tuple[str, ...]:
        return value.channel, _digits(value.position)

    def _subject(self, value: Message) -> str:
        return value.person or value.author

    def _checked(self, value: Message) -> Message:
        return checked_message(value)

    def _barred(self, value: Message, version: int) -> bool:
        return self._is_gone(value)

    def _is_gone(self, message: Message) -> bool:
        gone = self._forgotten.holds(message.channel, message.id)
        return gone or self._forgotten.holds(message.channel, message.id, str(message.variant))

    def _companions(self, old: Message | None, new: Message | None) -> Sequence[Op]:
        before = {} if old is None else self._index(old)
        after = {} if new is None else self._index(new)
        ops: list[Op] = [put for key, put in after.items() if before.get(key) != put]
        ops += [
            Delete(collection=put.collection, key=put.key, subject=put.subject)
            for key, put in before.items()
            if key not in after
        ]
        return [*ops, *self._farewell(old)] if old is not None and new is None else ops

    def _index(self, message: Message) -> dict[tuple[str, bytes], Put]:
        """The index entries of one message."""
        digits = _digits(message.position)
        place = Place(
            position=message.position,
            author=message.author,
            role=message.role,
            shared=message.shared,
            sent_at=message.sent_at,
        )
        people = sorted({message.author, message.person or message.author})
        part = Part(role=message.role)
        entries: list[tuple[str, bytes, msgspec.Struct]] = [
            (PLACES, key_of(message.channel, message.id, str(message.variant)), place),
            *((BY_PERSON, key_of(person, message.channel, digits), part) for person in people),
            *(
                (RESTING, key_of(other.channel, other.id, message.channel, digits), Rest(cited=cited))
                for other, cited in _rests_on(message).items()
            ),
        ]
        subject = self._subject(message)
        return {
            (collection, key): Put(collection=collection, key=key, value=encoded(value), subject=subject)
            for collection, key, value in entries
        }

    def _farewell(self, message: Message) -> list[Op]:
        """Its identity stays taken, and its channel goes on counting behind what was there."""
        mark = self._forgotten.mark(message.channel, message.id, str(message.variant))
        top = self._stored_last(message.channel)
        if top == self._top_left(message.channel):
            return [mark]
        key = key_of(self._forgotten.hash(message.channel))
        return [mark, Put(collection=TOPS, key=key, value=encoded(Top(position=top)))]


def identity(message: Message) -> Identity:
    """What makes a message the same one when it is delivered again."""
    return message.channel, message.id, message.variant


def _rests_on(message: Message) -> Mapping[MessageRef, bool]:
    """The messages an agent's message rests on; True for those it cites, False for the one it only answers."""
    if message.role != "agent":
        return {}
    answered = {MessageRef(message.channel, message.reply_to): False} if message.reply_to else {}
    return answered | dict.fromkeys(message.citations, True)


def _position_key(channel: ChannelId, position: int) -> bytes:
    return key_of(channel, _digits(position))


def _digits(position: int) -> str:
    return f"{position:020d}"


def _behind(key: bytes) -> bytes:
    return key + b"\x00"


def _place(entry: Entry) -> Place:
    assert entry.value is not None, "the entry is live"
    return decoded(_places, entry.value, "a message's place")


def _top(entry: Entry) -> Top:
    assert entry.value is not None, "the entry is live"
    return decoded(_tops, entry.value, "the top of a channel")


def _unknown(channel: ChannelId, message_id: MessageId) -> MessageUnknown:
    return MessageUnknown(
        f"message {message_id!r} of channel {channel!r} is not there",
        why="it was never stored, or it was deleted",
        next=f"list what is there: instar messages --channel {channel}",
    )


if TYPE_CHECKING:
    _fulfils: type[ConversationStore] = EmbeddedConversationStore
