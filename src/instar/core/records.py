"""The values that move between homes. Frozen; a change makes a new value.

A value knows nothing of where it is stored. `Record` is a value as the machinery of stores and moves
sees it: with its key and version, or as a tombstone. Times are UTC; what the source said is kept beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Generic, Literal, TypeVar

import msgspec

from instar.core.errors import RecordInvalid, RecordTooLarge, ScopeMissing
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.limits import (
    ATTACHMENT_MAX_BYTES,
    ATTACHMENTS_PER_MESSAGE_MAX,
    AUTHOR_NAME_MAX_BYTES,
    CHANNEL_ID_MAX_BYTES,
    MEMORY_TEXT_MAX_BYTES,
    MESSAGE_ID_MAX_BYTES,
    MESSAGE_TEXT_MAX_BYTES,
    PERSON_ID_MAX_BYTES,
)

Durability = Literal["durable", "buffered"]
"""`durable` survives power loss when the call returns. `buffered` may lose the last 50 ms or 100 records."""

Role = Literal["person", "agent", "system"]
RelationshipLevel = Literal["stranger", "acquaintance", "friend", "close_friend"]
EmotionLabel = Literal[
    "neutral",
    "happy",
    "excited",
    "frustrated",
    "angry",
    "sad",
    "disappointed",
    "curious",
    "worried",
    "grateful",
]
MemoryKind = Literal["fact", "note", "episode", "block"]
"""`fact`: derived by a rule from a message. `note`: told with "remember that". `episode`: a message worth
finding again, as it was said. `block`: a standing text carried over from another agent."""


class MessageRef(msgspec.Struct, frozen=True):
    """Names a message from anywhere: ids alone are unique only within their channel."""

    channel: ChannelId
    id: MessageId


class Responder(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a reply."""

    kind: str
    """Either "model", "extractive" or "scripted"."""
    name: str


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One utterance in one channel. Identity: channel, id and variant."""

    id: MessageId
    channel: ChannelId
    author: PersonId
    text: str
    role: Role = "person"
    author_name: str | None = None
    """How the author was shown, when that differs from the id."""
    person: PersonId | None = None
    """Whose conversation this belongs to: the author of a person's message, the one an agent answers."""
    sent_at: datetime | None = None
    """UTC. None when the source gives no zone: a guess would be a wrong time that looks right."""
    sent_at_original: str | None = None
    """The time as the source wrote it, when it differs from RFC 3339 UTC."""
    edited_at: datetime | None = None
    reply_to: MessageId | None = None
    attachments: tuple[str, ...] = ()
    citations: tuple[MessageRef, ...] = ()
    """On an agent's message: the messages it quotes. Erasing one of those erases this one."""
    responder: Responder | None = None
    """On a reply made here: who made it."""
    selected: bool = True
    """False for a branch or swipe that the conversation did not go on from."""
    hidden: bool = False
    """True for what the source kept out of sight (system prompts, tool plumbing)."""
    variant: int = 0
    """0 is the shown one; swipes of the same message share its id and count up."""
    shared: bool = False
    """True when said among several people; False when said to the agent alone."""
    text_original: str | None = None
    """The stored form, where the source wrapped what was said in an envelope."""
    position: int = 0
    """Order in its channel, from 1; given by the store on append."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement about a person, with the message it comes from."""

    attribute: str
    """What it is about: "name", "birthday", "likes", ... Singular attributes hold one current fact."""
    value: str
    text: str
    source_message_id: MessageId | None = None
    source_channel: ChannelId | None = None
    learned_at: datetime | None = None


class EmotionSample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One estimate of feeling. An estimate, not a diagnosis."""

    label: EmotionLabel
    confidence: float
    """0 to 1: how much of the evidence points to this label."""
    intensity: float
    """0 to 1."""
    triggers: tuple[str, ...] = ()
    """The words that led to the estimate."""
    at: datetime | None = None
    source_message_id: MessageId | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one person."""

    person: PersonId
    name: str | None = None
    relationship_level: RelationshipLevel = "stranger"
    interaction_count: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    emotion_samples: tuple[EmotionSample, ...] = ()
    """Oldest first; the last `EMOTION_SAMPLES_KEPT` are kept."""
    escalation_count: int = 0
    """Up by one on a negative estimate, down by one (never below 0) on a positive one."""
    trust_indicators: tuple[str, ...] = ()
    preferences: dict[str, str] = {}
    facts: tuple[Fact, ...] = ()
    last_message_id: MessageId | None = None
    """The last message counted, so that a repeated delivery is not counted again."""


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A remembered statement with its provenance, searchable by words and by meaning."""

    id: MemoryId
    person: PersonId
    kind: MemoryKind
    text: str
    created_at: datetime | None = None
    channel: ChannelId | None = None
    shared: bool = False
    """True when said among several people: then everyone in `channel` may have it recalled."""
    source_message_id: MessageId | None = None
    author_name: str | None = None
    attribute: str | None = None
    """For facts: what it is about. A newer fact on a singular attribute supersedes the older."""
    value: str | None = None
    superseded_by: MemoryId | None = None
    pinned: bool = False
    embedder: str | None = None
    """Fingerprint of what made `vector`; vectors of two embedders are never compared."""
    vector: bytes | None = None
    """Little-endian float32, unit length."""


Value = TypeVar("Value")


class Record(msgspec.Struct, Generic[Value], frozen=True, kw_only=True):
    """A value as stores and moves see it. `value` None is a tombstone."""

    key: tuple[str, ...]
    version: int
    """Order of writes to this store. Grows; a newer version wins over an older one."""
    value: Value | None


class Scope(msgspec.Struct, frozen=True):
    """Whose records a read may return: the person's own, and what was said in shared channels named here."""

    person: PersonId
    channels: tuple[ChannelId, ...] = ()

    def __post_init__(self) -> None:
        if not self.person:
            raise ScopeMissing(
                "a read without a person was refused",
                why="an empty scope would reach every person's records",
                next="pass Scope(person) with the id of the person who asks",
            )

    def allows(self, memory: Memory) -> bool:
        """True when this scope may see `memory`."""
        if memory.person == self.person:
            return True
        return memory.shared and memory.channel in self.channels


def checked_message(message: Message) -> Message:
    """Return `message` if it keeps every rule; raise `RecordInvalid` or `RecordTooLarge` naming the field."""
    _bounded("message id", message.id, MESSAGE_ID_MAX_BYTES)
    _bounded("channel", message.channel, CHANNEL_ID_MAX_BYTES)
    _bounded("author", message.author, PERSON_ID_MAX_BYTES)
    if message.person is not None:
        _bounded("person", message.person, PERSON_ID_MAX_BYTES)
    _sized("message text", message.text, MESSAGE_TEXT_MAX_BYTES)
    _sized("message's original text", message.text_original or "", MESSAGE_TEXT_MAX_BYTES)
    _sized("author's name", message.author_name or "", AUTHOR_NAME_MAX_BYTES)
    for attachment in message.attachments:
        _sized("attachment", attachment, ATTACHMENT_MAX_BYTES)
    if len(message.attachments) > ATTACHMENTS_PER_MESSAGE_MAX:
        raise RecordTooLarge(
            f"message {message.id!r} has {len(message.attachments)} attachments",
            why=f"the bound is {ATTACHMENTS_PER_MESSAGE_MAX}",
            next="send the attachments in several messages",
        )
    for label, at in (("sent_at", message.sent_at), ("edited_at", message.edited_at)):
        checked_time(f"{label} of message {message.id!r}", at)
    return message


def checked_memory(memory: Memory) -> Memory:
    """Return `memory` if it keeps every rule; raise `RecordInvalid` or `RecordTooLarge` naming the field."""
    _bounded("memory id", memory.id, MESSAGE_ID_MAX_BYTES)
    _bounded("person", memory.person, PERSON_ID_MAX_BYTES)
    _sized("memory text", memory.text, MEMORY_TEXT_MAX_BYTES)
    if not memory.text.strip():
        raise RecordInvalid(
            f"memory {memory.id!r} is empty",
            why="there is nothing to find again",
            next="give the statement to remember",
        )
    checked_time(f"created_at of memory {memory.id!r}", memory.created_at)
    return memory


def checked_profile(profile: Profile) -> Profile:
    """Return `profile` if it keeps every rule; raise `RecordInvalid` or `RecordTooLarge` naming the field."""
    _bounded("person", profile.person, PERSON_ID_MAX_BYTES)
    checked_time(f"first_seen of {profile.person!r}", profile.first_seen)
    checked_time(f"last_seen of {profile.person!r}", profile.last_seen)
    return profile


def checked_time(what: str, at: datetime | None) -> datetime | None:
    """Return `at` if it is None or UTC; raise `RecordInvalid` for a time without a zone or in another."""
    if at is not None and (at.tzinfo is None or at.utcoffset() != UTC.utcoffset(None)):
        raise RecordInvalid(
            f"{what} is {at.isoformat()}, which is not UTC",
            why="times are stored in UTC; a time without a zone could mean 26 different hours",
            next="convert it: value.astimezone(datetime.UTC), and keep the source's text in sent_at_original",
        )
    return at


def _bounded(what: str, text: str, bytes_max: int) -> None:
    if not text:
        raise RecordInvalid(f"the {what} is empty", why="it is the record's identity", next=f"name the {what}")
    _sized(what, text, bytes_max)


def _sized(what: str, text: str, bytes_max: int) -> None:
    try:
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise RecordInvalid(
            f"the {what} holds a lone surrogate at character {error.start}",
            why="it is half of a character and cannot be written as UTF-8",
            next="decode the source with the right encoding, or replace the character with U+FFFD",
        ) from error
    if size_bytes > bytes_max:
        raise RecordTooLarge(
            f"the {what} has {size_bytes:,} bytes",
            why=f"the bound is {bytes_max:,} bytes",
            next="split it, or attach it as a file",
        )


def plain(value: msgspec.Struct | Sequence[msgspec.Struct]) -> object:
    """A value as JSON-able builtins, the way every face prints it: RFC 3339 times, tuples as lists."""
    return msgspec.to_builtins(value, builtin_types=())
