"""The plain message file: one JSON object a line, as small as a converter can write.

`{"id", "channel", "author", "role": "person" | "agent" | "system", "sent_at", "text"}`. Without `id` a message
is named by a digest of the rest; two equal lines are then two messages, told apart by their count. The other
fields of `instar messages --json` are taken over too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import blake3
import msgspec

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, Role
from instar.migrate.sources.field import items, mapping, text
from instar.migrate.sources.instant import as_written, zoned
from instar.migrate.sources.item import Item, NotCarried, Skipped
from instar.migrate.sources.lines import LineValue, read_values

_ROLES: Mapping[str, Role] = {"person": "person", "agent": "agent", "system": "system"}
_KNOWN = frozenset(
    {
        "id",
        "channel",
        "author",
        "author_name",
        "role",
        "sent_at",
        "sent_at_original",
        "edited_at",
        "text",
        "reply_to",
        "attachments",
        "selected",
        "hidden",
        "variant",
        "person",
        "shared",
        "position",
    }
)
_NAMING = ("channel", "author", "role", "sent_at", "text")
"""What a message without an id is named by."""
_encode = msgspec.json.Encoder().encode


def read(path: Path, *, person: str | None = None) -> Iterator[Item]:
    """Every line's message. Each line names its author; `person` is of no use here and is reported."""
    if person is not None:
        yield NotCarried(where=path.name, what="the person given: each line of this file names its author")
    seen: Counter[bytes] = Counter()
    for entry in read_values(path):
        if isinstance(entry, Skipped):
            yield entry
        else:
            yield from _message(entry, seen)


def _message(entry: LineValue, seen: Counter[bytes]) -> Iterator[Item]:
    fields = mapping(entry.parsed.value)
    refused = _refusal(fields)
    if refused is not None:
        yield Skipped(where=entry.line.where, why=refused)
        return
    for field in fields.keys() - _KNOWN:
        yield NotCarried(where=entry.line.where, what=f"field {field!r}")
    if entry.parsed.mended:
        yield NotCarried(where=entry.line.where, what="half characters, replaced by U+FFFD")
    written = text(fields.get("sent_at"))
    variant = fields.get("variant")
    yield Message(
        id=MessageId(text(fields.get("id")) or _digest_id(fields, seen)),
        channel=ChannelId(_required(fields, "channel")),
        author=PersonId(_required(fields, "author")),
        author_name=text(fields.get("author_name")),
        role=_ROLES[_required(fields, "role")],
        text=_required(fields, "text"),
        sent_at=zoned(written),
        sent_at_original=text(fields.get("sent_at_original")) or as_written(written),
        edited_at=zoned(text(fields.get("edited_at"))),
        reply_to=MessageId(target) if (target := text(fields.get("reply_to"))) else None,
        attachments=tuple(name for name in map(text, items(fields.get("attachments"))) if name),
        selected=fields.get("selected") is not False,
        hidden=fields.get("hidden") is True,
        variant=variant if isinstance(variant, int) and not isinstance(variant, bool) and variant >= 0 else 0,
    )


def _refusal(fields: Mapping[str, object]) -> str | None:
    for field in ("channel", "author", "role", "text"):
        if text(fields.get(field)) is None:
            return f"{field!r} is missing" if field not in fields else f"{field!r} is no text"
    if text(fields["role"]) not in _ROLES:
        return f"role {text(fields['role'])!r} is unknown; it is person, agent or system"
    return None


def _required(fields: Mapping[str, object], field: str) -> str:
    found = text(fields[field])
    assert found is not None
    return found


def _digest_id(fields: Mapping[str, object], seen: Counter[bytes]) -> str:
    """The same line gives the same id in every import; the second equal line gives the second one."""
    digest = blake3.blake3(_encode([text(fields.get(field)) for field in _NAMING])).digest(16)
    seen[digest] += 1
    occurrence = seen[digest]
    return digest.hex() if occurrence == 1 else f"{digest.hex()}-{occurrence}"
