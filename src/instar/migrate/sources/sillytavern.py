"""SillyTavern's chat file: JSON Lines, a header and then one message a line.

The shown text is `mes`, variant 0. Each swipe that is not shown follows under the same id as variant 1, 2, ...
and is not selected. A `send_date` without a zone gives no time, only what was written. The channel is the
file's name; ids count the lines behind the header from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, Role
from instar.migrate.sources.field import first, items, mapping, name_if_other, place, string, text, whole
from instar.migrate.sources.instant import as_written, since_epoch, zoned
from instar.migrate.sources.item import Item, NotCarried, Skipped
from instar.migrate.sources.lines import LineValue, read_values

HEADER_FIELDS = frozenset({"user_name", "character_name", "chat_metadata", "create_date"})


class _Chat(msgspec.Struct, frozen=True, kw_only=True):
    """What every message of one file shares."""

    channel: str
    person: str | None
    header: Mapping[str, object]


def read(path: Path, *, person: str | None = None) -> Iterator[Item]:
    """Every message and every swipe; the human's id is `person`, or the name the file shows."""
    chat = _Chat(channel=str(whole(path.name)), person=person, header={})
    count = 0
    for entry in read_values(path):
        if isinstance(entry, Skipped):
            yield entry
        elif count == 0 and _is_header(mapping(entry.parsed.value)):
            chat = msgspec.structs.replace(chat, header=mapping(entry.parsed.value))
            continue
        else:
            yield from _message(entry, chat, str(count))
        count += 1


def _is_header(fields: Mapping[str, object]) -> bool:
    return "mes" not in fields and bool(fields.keys() & HEADER_FIELDS)


def _message(entry: LineValue, chat: _Chat, number: str) -> Iterator[Item]:
    fields = mapping(entry.parsed.value)
    swipes = items(fields.get("swipes"))
    said = text(fields.get("mes"))
    shown = _shown_swipe(fields, swipes)
    if said is None and shown is not None:
        said = text(swipes[shown])
    if said is None:
        yield Skipped(where=entry.line.where, why="it has no text: `mes` is missing or null")
        return
    message = _as_message(fields, chat, number, said)
    if entry.parsed.mended:
        yield NotCarried(where=place(message), what="half characters, replaced by U+FFFD")
    if shown is not None and string(swipes[shown]) not in ("", said):
        yield NotCarried(where=place(message), what="the text of a message before it was edited by hand")
    yield message
    yield from _swipes(message, swipes, items(fields.get("swipe_info")), shown)


def _as_message(fields: Mapping[str, object], chat: _Chat, number: str, said: str) -> Message:
    role = _role(fields)
    usual_name = chat.header.get("user_name" if fields.get("is_user") is True else "character_name")
    name = first(fields.get("name"), usual_name, default=role)
    author = chat.person if chat.person and role == "person" else name
    sent_at, original = _time(fields.get("send_date"))
    return Message(
        id=MessageId(number),
        channel=ChannelId(chat.channel),
        author=PersonId(author),
        author_name=name_if_other(name, author),
        role=role,
        text=said,
        sent_at=sent_at,
        sent_at_original=original,
        attachments=tuple(_attachments(mapping(fields.get("extra")))),
    )


def _role(fields: Mapping[str, object]) -> Role:
    if fields.get("is_system") is True:
        return "system"
    return "person" if fields.get("is_user") is True else "agent"


def _time(written: object) -> tuple[datetime | None, str | None]:
    original = text(written)
    if original is not None and original.strip().replace(".", "", 1).isdigit():
        return since_epoch(original.strip()), original
    return zoned(original), as_written(original)


def _shown_swipe(fields: Mapping[str, object], swipes: object) -> int | None:
    """Which swipe `mes` is: the one `swipe_id` names, else the first with the same text."""
    known = items(swipes)
    index = fields.get("swipe_id")
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(known):
        return index
    return next((at for at, swipe in enumerate(known) if swipe == fields.get("mes")), None)


def _swipes(message: Message, swipes: object, info: object, shown: int | None) -> Iterator[Item]:
    others = [(index, swipe) for index, swipe in enumerate(items(swipes)) if index != shown]
    for variant, (index, swipe) in enumerate(others, start=1):
        said = text(swipe)
        if said is None:
            yield Skipped(where=f"{place(message)}, swipe {index}", why="it has no text")
            continue
        other = msgspec.structs.replace(message, text=said, variant=variant, selected=False, attachments=())
        known = items(info)
        date = mapping(known[index]).get("send_date") if index < len(known) else None
        if date is not None:
            sent_at, original = _time(date)
            other = msgspec.structs.replace(other, sent_at=sent_at, sent_at_original=original)
        yield other


def _attachments(extra: Mapping[str, object]) -> Iterator[str]:
    """Names of pictures and files. Pictures that are kept inside the chat file itself have no name."""
    media = [mapping(medium).get("url") for medium in items(extra.get("media"))]
    files = [mapping(file) for file in (extra.get("file"), *items(extra.get("files")))]
    named = [string(file.get("name")) or string(file.get("url")) for file in files]
    for name in (extra.get("image"), extra.get("video"), *items(extra.get("image_swipes")), *media, *named):
        shown = string(name)
        if shown:
            yield "embedded picture" if shown.startswith("data:") else shown
