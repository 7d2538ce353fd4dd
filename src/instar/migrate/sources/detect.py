"""Which format a file is in, found out from its content; a name's ending says nothing reliable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from instar.core.errors import ImportKindUnknown, ImportUnreadable
from instar.migrate.sources import chatgpt, discord_export, letta, plain, sillytavern
from instar.migrate.sources.document import Piece, opened, parsed_member, read_document, top_level
from instar.migrate.sources.field import mapping
from instar.migrate.sources.item import Reader, Skipped
from instar.migrate.sources.lines import LineValue, read_values

OWN_EXPORT = "instar"
OWN_FORMAT = "instar-export"
READERS: Mapping[str, Reader] = {
    "chatgpt": chatgpt.read,
    "sillytavern": sillytavern.read,
    "discord": discord_export.read,
    "letta": letta.read,
    "plain": plain.read,
}
KINDS = (*READERS, OWN_EXPORT)
_LINES_LOOKED_AT = 50
_START_BYTES = 64


def known_kind(kind: str) -> str:
    """Return `kind` if there is a reader for it. Raises `ImportKindUnknown`."""
    if kind in KINDS:
        return kind
    raise ImportKindUnknown(
        f"there is no reader for {kind!r}",
        why=f"the kinds are {', '.join(KINDS)}",
        next="leave out --kind to have it found out, or name one of these",
    )


def agreed_kind(path: Path, kind: str) -> str:
    """Return the kind that was named, unless the file shows itself to be another. Raises `ImportKindUnknown`."""
    named = known_kind(kind)
    try:
        found = kind_of(path)
    except (ImportKindUnknown, ImportUnreadable):
        return named
    if found != named:
        raise ImportKindUnknown(
            f"{path} is no {named} file",
            why=f"it looks like {found}; read as {named}, its messages would be lost or wrong",
            next=f"leave out --kind, or name --kind {found}",
        )
    return named


def kind_of(path: Path) -> str:
    """The kind of a file. Raises `ImportUnreadable` for what cannot be read, `ImportKindUnknown` for the rest."""
    if path.exists() and chatgpt.holds_export(path):
        return "chatgpt"
    if _announces_own_export(path):
        return OWN_EXPORT
    values = read_values(path)
    kind = _kind_of_value(next(values, None)) or _kind_of_document_or_lines(path, values)
    if kind is None:
        raise ImportKindUnknown(
            f"the format of {path} could not be found out",
            why=f"it looks like none of {', '.join(KINDS)}",
            next="name the format with --kind, or convert it to a plain message file (see examples/README.md)",
        )
    return kind


def _announces_own_export(path: Path) -> bool:
    """Our own export shows itself in its first bytes, even where the header is damaged."""
    with opened(path) as file:
        return OWN_FORMAT.encode() in file.read(_START_BYTES)


def _kind_of_document_or_lines(path: Path, values: Iterator[LineValue | Skipped]) -> str | None:
    """A file whose first line says nothing: one document over many lines, or lines of which the first is damaged."""
    damage: ImportUnreadable | None = None
    try:
        kind = _kind_of_document(path)
    except ImportUnreadable as error:
        kind, damage = None, error
    following = map(_kind_of_value, islice(values, _LINES_LOOKED_AT))
    kind = kind or next((found for found in following if found is not None), None)
    if kind is None and damage is not None:
        raise damage
    return kind


def _kind_of_value(value: LineValue | Skipped | None) -> str | None:
    return _kind_of_fields(mapping(value.parsed.value)) if isinstance(value, LineValue) else None


def _kind_of_fields(fields: Mapping[str, object]) -> str | None:
    return next((kind for kind, fits in _SIGNS.items() if fits(fields)), None)


_SIGNS: Mapping[str, Callable[[Mapping[str, object]], bool]] = {
    OWN_EXPORT: lambda fields: fields.keys() >= {"port", "key", "version"} or fields.keys() >= {"digest", "checksum"},
    "chatgpt": lambda fields: "mapping" in fields,
    "letta": lambda fields: (
        ("agents" in fields and "blocks" in fields)
        or ("messages" in fields and bool(fields.keys() & {"agent_type", "core_memory", "llm_config", "memory_blocks"}))
    ),
    "discord": lambda fields: "messages" in fields and "channel" in fields,
    "sillytavern": lambda fields: "mes" in fields or len(fields.keys() & sillytavern.HEADER_FIELDS) > 1,
    "plain": lambda fields: "text" in fields and bool(fields.keys() & {"author", "channel", "role"}),
}


def _kind_of_document(path: Path) -> str | None:
    """The kind of one JSON document, None when the file is none. A damaged one raises where it is damaged."""
    content = read_document(path)
    if content.lstrip()[:1] not in (b"{", b"[", b""):
        return None
    document = top_level(path, content)
    if isinstance(document, Mapping):
        return _kind_of_fields(document)
    return _kind_of_array(path, document)


def _kind_of_array(path: Path, document: Sequence[Piece]) -> str | None:
    if not document:
        return "chatgpt"
    looked_at = (mapping(parsed_member(path, piece).value) for piece in document[:_LINES_LOOKED_AT])
    return "chatgpt" if any("mapping" in fields for fields in looked_at) else None
