"""DiscordChatExporter's JSON: one channel a file, messages in the order of the file.

The time is the millisecond in the message's id. Bots are agents; what Discord itself writes (pins, joins,
calls) is a system message of the member it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, Role
from instar.migrate.sources.document import members, parsed, parsed_member, read_document, top_level, unreadable
from instar.migrate.sources.field import first, items, mapping, name_if_other, string, text, whole
from instar.migrate.sources.instant import as_written, snowflake, zoned
from instar.migrate.sources.item import Item, NotCarried, Skipped

_SAID_BY_MEMBERS = frozenset({"Default", "Reply", "0", "19", "20", "21", "23", "ThreadStarterMessage"})
"""Message kinds that hold what someone said; the numbers are slash commands and thread starters."""
_LEFT_FIELDS = ("embeds", "stickers", "reactions", "poll")


def read(path: Path, *, person: str | None = None) -> Iterator[Item]:
    """Every message of the channel. Members keep their own ids; `person` is of no use here and is reported."""
    document = top_level(path, read_document(path))
    if not isinstance(document, Mapping) or "messages" not in document:
        raise unreadable(path, "it has no list of messages at its top", next="export the channel as JSON")
    channel_piece = document.get("channel")
    channel = mapping(parsed_member(path, channel_piece).value) if channel_piece is not None else {}
    channel_id = first(channel.get("id"), default=str(whole(path.name)))
    if person is not None:
        yield NotCarried(
            where=f"channel {channel_id}", what="the person given: Discord's members have ids of their own"
        )
    for index, piece in enumerate(members(document["messages"])):
        where = f"channel {channel_id}, message at index {index}"
        try:
            found = parsed(piece)
        except (ValueError, RecursionError) as error:
            yield Skipped(where=where, why=f"its JSON cannot be built: {error}")
            continue
        if found.mended:
            yield NotCarried(where=where, what="half characters, replaced by U+FFFD")
        yield from _message(mapping(found.value), channel_id, where)


def _message(fields: Mapping[str, object], channel: str, where: str) -> Iterator[Item]:
    identifier = text(fields.get("id"))
    if not identifier:
        yield Skipped(where=where, why="it has no id")
        return
    where = f"channel {channel}, message {identifier}"
    author = mapping(fields.get("author"))
    author_id = first(author.get("id"), author.get("name"), default="unknown")
    if not author:
        yield NotCarried(where=where, what="the author, who is missing in the export; kept as 'unknown'")
    role = _role(fields, author)
    said, borrowed = _text(fields)
    yield from _left(fields, where, borrowed)
    sent_at, original = _time(identifier, text(fields.get("timestamp")))
    yield Message(
        id=MessageId(identifier),
        channel=ChannelId(channel),
        author=PersonId(author_id),
        author_name=name_if_other(first(author.get("nickname"), author.get("name"), default=author_id), author_id),
        role=role,
        person=PersonId(author_id) if role == "system" and author.get("isBot") is not True else None,
        text=said,
        sent_at=sent_at,
        sent_at_original=original,
        edited_at=zoned(text(fields.get("timestampEdited"))),
        reply_to=_reply_to(fields),
        attachments=tuple(_attachment(mapping(attachment)) for attachment in items(fields.get("attachments"))),
    )


def _role(fields: Mapping[str, object], author: Mapping[str, object]) -> Role:
    if first(fields.get("type"), default="Default") not in _SAID_BY_MEMBERS:
        return "system"
    return "agent" if author.get("isBot") is True else "person"


def _text(fields: Mapping[str, object]) -> tuple[str, str | None]:
    """What was said, and which other field it was borrowed from when `content` is empty."""
    content = string(fields.get("content"))
    if content:
        return content, None
    forwarded = string(mapping(fields.get("forwardedMessage")).get("content"))
    if forwarded:
        return forwarded, "forwardedMessage"
    embedded = [mapping(embed) for embed in items(fields.get("embeds"))]
    lines = [string(embed.get(field)) for embed in embedded for field in ("title", "description")]
    shown = "\n".join(line for line in lines if line)
    return shown, "embeds" if shown else None


def _left(fields: Mapping[str, object], where: str, borrowed: str | None) -> Iterator[NotCarried]:
    for field in _LEFT_FIELDS:
        if fields.get(field) and field != borrowed:
            yield NotCarried(where=where, what=field)


def _time(identifier: str, written: str | None) -> tuple[datetime | None, str | None]:
    sent_at = snowflake(identifier)
    return (sent_at if sent_at is not None else zoned(written)), as_written(written)


def _reply_to(fields: Mapping[str, object]) -> MessageId | None:
    target = text(mapping(fields.get("reference")).get("messageId"))
    return MessageId(target) if target else None


def _attachment(attachment: Mapping[str, object]) -> str:
    address = unquote(string(attachment.get("url")).partition("?")[0].rpartition("/")[2])
    return first(attachment.get("fileName"), address, attachment.get("id"), default="unnamed file")
