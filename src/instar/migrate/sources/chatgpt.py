"""ChatGPT's data export: `conversations.json`, alone, in its folder or in its .zip.

Each conversation is a tree of nodes; messages come in pre-order by `children`, and the ones on the path to
`current_node` are selected. Nodes that no root reaches (orphans, cycles) follow behind. A node without a
message is structure and gives nothing.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, Role
from instar.migrate.sources.document import (
    Parsed,
    Piece,
    bounded,
    parsed,
    parsed_member,
    read_document,
    top_level,
    unreadable,
    utf8_of,
)
from instar.migrate.sources.field import first, items, joined, mapping, name_if_other, string, text
from instar.migrate.sources.instant import as_written, since_epoch, zoned
from instar.migrate.sources.item import Item, NotCarried, Skipped

DEFAULT_PERSON = "user"
_PART_OF_EXPORT = re.compile(r"(?:.*/)?conversations(?:[-_]\d+)?\.json")
_ROLES: Mapping[str, Role] = {"user": "person", "assistant": "agent", "system": "system", "tool": "system"}
_TEXT_FIELDS = (
    "text",
    "result",
    "content",
    "user_profile",
    "user_instructions",
    "model_set_context",
    "repository",
    "repo_summary",
    "structured_context",
    "output_str",
    "summary",
)
"""Where content types without `parts` keep what they say, in the order of reading."""
_POINTERS = (
    "asset_pointer",
    "audio_asset_pointer",
    "video_container_asset_pointer",
    "frames_asset_pointers",
    "screenshot",
)
_STRUCTURE_FIELDS = frozenset({"content_type", "parts", "thoughts", "language", "response_format_name"})


def read(path: Path, *, person: str | None = None) -> Iterator[Item]:
    """Every message of every conversation; the human side is `person`, or "user"."""
    for name, content in _documents(path):
        for index, piece in enumerate(_conversations(path, content)):
            yield from _conversation(piece, f"{name}conversation {index}", person or DEFAULT_PERSON)


def _conversations(path: Path, content: bytes) -> Sequence[Piece]:
    """The list of conversations; a file with one conversation is a list of one."""
    document = top_level(path, content)
    if isinstance(document, Mapping):
        return [Parsed({key: parsed_member(path, piece).value for key, piece in document.items()})]
    return document


def holds_export(path: Path) -> bool:
    """True for a folder or a .zip with a `conversations.json`."""
    if path.is_dir():
        return bool(_parts_of_folder(path))
    return path.is_file() and zipfile.is_zipfile(path)


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        parts = _parts_of_folder(path)
        for part in parts:
            yield (f"{part.name}, " if len(parts) > 1 else ""), read_document(part)
        if not parts:
            raise unreadable(
                path, "the folder holds no conversations.json", next="name the folder of the unpacked export"
            )
    elif path.is_file() and zipfile.is_zipfile(path):
        yield from _zipped(path)
    else:
        yield "", read_document(path)


def _parts_of_folder(path: Path) -> list[Path]:
    return sorted(part for part in path.iterdir() if part.is_file() and _PART_OF_EXPORT.fullmatch(part.name))


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if _PART_OF_EXPORT.fullmatch(name))
            for name in names:
                with archive.open(name) as file:
                    content = bounded(path, file)  # type: ignore[arg-type]  # a ZipExtFile reads bytes
                yield (f"{name}, " if len(names) > 1 else ""), utf8_of(path, content)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise unreadable(
            path, f"the archive is damaged or locked: {error}", next="unpack it and name the folder"
        ) from error
    if not names:
        raise unreadable(path, "the archive holds no conversations.json", next="name the .zip that ChatGPT sent you")


def _conversation(piece: Piece, where: str, person: str) -> Iterator[Item]:
    try:
        whole = parsed(piece)
    except (ValueError, RecursionError) as error:
        yield Skipped(where=where, why=f"its JSON cannot be built: {error}")
        return
    found = mapping(whole.value)
    channel = first(found.get("conversation_id"), found.get("id"), default="")
    nodes = mapping(found.get("mapping"))
    if not channel or not isinstance(found.get("mapping"), dict):
        yield Skipped(where=where, why="it has no id" if not channel else "it has no mapping of messages")
        return
    if whole.mended:
        yield NotCarried(where=f"channel {channel}", what="half characters, replaced by U+FFFD")
    on_path = _path_to(nodes, text(found.get("current_node")))
    for key in _pre_order(nodes):
        yield from _node(mapping(nodes[key]), key, channel, person, selected=key in on_path)


def _path_to(nodes: Mapping[str, object], current: str | None) -> set[str]:
    """The nodes from `current` up to its root. Everything, when the export does not say where it stands."""
    if current is None or current not in nodes:
        return set(nodes)
    path: set[str] = set()
    while current is not None and current in nodes and current not in path:
        path.add(current)
        current = text(mapping(nodes[current]).get("parent"))
    return path


def _pre_order(nodes: Mapping[str, object]) -> Iterator[str]:
    seen: set[str] = set()
    starts = [key for key in nodes if mapping(nodes[key]).get("parent") is None]
    orphans = [key for key in nodes if text(mapping(nodes[key]).get("parent")) not in nodes]
    for start in (*starts, *orphans, *nodes):
        stack = [start]
        while stack:
            key = stack.pop()
            if key in seen or key not in nodes:
                continue
            seen.add(key)
            yield key
            children = items(mapping(nodes[key]).get("children"))
            stack.extend(child for child in map(text, reversed(children)) if child is not None)


def _node(node: Mapping[str, object], key: str, channel: str, person: str, *, selected: bool) -> Iterator[Item]:
    if node.get("message") is None:
        return
    message = mapping(node.get("message"))
    identifier = first(message.get("id"), node.get("id"), default=key)
    where = f"channel {channel}, message {identifier}"
    if not message:
        yield Skipped(where=where, why="its message is no JSON object")
        return
    author = mapping(message.get("author"))
    role_name = string(author.get("role"))
    if role_name not in _ROLES:
        yield NotCarried(where=where, what=f"author role {author.get('role')!r}, kept as system")
    said, attachments, left = _content(_as_content(message.get("content")))
    yield from (NotCarried(where=where, what=what) for what in left)
    metadata = mapping(message.get("metadata"))
    author_id = person if role_name == "user" else role_name or "unknown"
    written = text(message.get("create_time"))
    sent_at = since_epoch(written)
    yield Message(
        id=MessageId(identifier),
        channel=ChannelId(channel),
        author=PersonId(author_id),
        author_name=name_if_other(author.get("name"), author_id),
        role=_ROLES.get(role_name, "system"),
        text=said,
        sent_at=sent_at if sent_at is not None else zoned(written),
        sent_at_original=as_written(written),
        attachments=(*attachments, *_uploads(metadata, attachments)),
        selected=selected,
        hidden=metadata.get("is_visually_hidden_from_conversation") is True,
    )


def _as_content(stored: object) -> Mapping[str, object]:
    """The content object; a text that stands there bare is its text."""
    if isinstance(stored, str):
        return {"text": stored}
    content = mapping(stored)
    return {**content, "parts": [content["parts"]]} if isinstance(content.get("parts"), str) else content


def _content(content: Mapping[str, object]) -> tuple[str, list[str], list[str]]:
    """What was said, what was attached, and what has no place here."""
    attachments: list[str] = []
    left: list[str] = []
    said: list[object] = []
    for part in items(content.get("parts")):
        if isinstance(part, dict):
            pointers = _pointers(part)
            attachments.extend(pointers)
            said.extend(part[field] for field in ("text",) if isinstance(part.get(field), str))
            if not pointers and not isinstance(part.get("text"), str):
                left.append(f"part of type {part.get('content_type')!r}")
        elif isinstance(part, str):
            said.append(part)
        elif part is not None:
            left.append(f"part that is a JSON {type(part).__name__}")
    if "parts" not in content:
        said = _without_parts(content)
        attachments.extend(_pointers(content))
        if not any(said) and not attachments and _unread(content):
            left.append(f"content of type {content.get('content_type')!r}")
    return joined(said), attachments, left


def _without_parts(content: Mapping[str, object]) -> list[object]:
    thoughts = [mapping(thought) for thought in items(content.get("thoughts"))]
    said: list[object] = [string(thought.get("content")) or string(thought.get("summary")) for thought in thoughts]
    said.extend(content[field] for field in _TEXT_FIELDS if isinstance(content.get(field), str))
    return [part for part in said if part]


def _unread(content: Mapping[str, object]) -> bool:
    return any(
        value for field, value in content.items() if field not in _STRUCTURE_FIELDS and field not in _TEXT_FIELDS
    )


def _pointers(part: Mapping[str, object]) -> list[str]:
    """Every asset a part points to, nested ones included (a voice turn holds its sound and its pictures)."""
    found: list[str] = []
    for field in _POINTERS:
        value = part.get(field)
        for pointer in value if isinstance(value, list) else [value]:
            if isinstance(pointer, dict):
                found.extend(_pointers(pointer))
            elif isinstance(pointer, str) and pointer:
                found.append(pointer)
    return found


def _uploads(metadata: Mapping[str, object], pointers: list[str]) -> list[str]:
    """Names of uploaded files that no part points to."""
    uploads = [mapping(upload) for upload in items(metadata.get("attachments"))]
    return [
        first(upload.get("name"), upload.get("id"), default="unnamed file")
        for upload in uploads
        if not any(string(upload.get("id")) and string(upload.get("id")) in pointer for pointer in pointers)
    ]
