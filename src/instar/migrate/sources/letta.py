"""Letta's agent file (`.af`), flat or with `agents` and `blocks`: messages, and memory blocks as memories.

A message's text is what was said: the message inside a person's envelope, the argument of the agent's
`send_message` call, or the content itself; the stored content is kept beside it when it differs. Letta
writes UTC, sometimes without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import blake3

from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Memory, Message, Role
from instar.migrate.sources.document import parsed_member, read_document, top_level, unreadable
from instar.migrate.sources.field import first, items, joined, mapping, name_if_other, string, text, whole
from instar.migrate.sources.instant import as_written, zoneless_as_utc
from instar.migrate.sources.item import Item, NotCarried, Skipped

DEFAULT_PERSON = "user"
_ROLES: Mapping[str, Role] = {
    "user": "person",
    "assistant": "agent",
    "system": "system",
    "tool": "system",
    "function": "system",
}
_MACHINE_ENVELOPES = frozenset({"heartbeat", "login", "system_alert", "function_response"})
"""Envelopes that Letta itself puts into the user's mouth; nobody said them."""


def read(path: Path, *, person: str | None = None) -> Iterator[Item]:
    """Every message and memory block of every agent; the human side is `person`, or "user"."""
    document = top_level(path, read_document(path))
    if not isinstance(document, Mapping):
        raise unreadable(path, "it is a JSON array, not an agent file")
    pieces = {key: parsed_member(path, piece) for key, piece in document.items()}
    if any(piece.mended for piece in pieces.values()):
        yield NotCarried(where=path.name, what="half characters, replaced by U+FFFD")
    root = {key: piece.value for key, piece in pieces.items()}
    agents = [mapping(agent) for agent in items(root.get("agents"))] if "agents" in root else [root]
    shared_blocks = {first(mapping(block).get("id"), default=""): mapping(block) for block in items(root.get("blocks"))}
    taken: set[str] = set()
    for index, agent in enumerate(agents):
        channel = _channel(agent, index, taken, path)
        taken.add(channel)
        yield from _messages(agent, channel, person or DEFAULT_PERSON)
        yield from _blocks(_blocks_of(agent, shared_blocks), channel, person or DEFAULT_PERSON)


def _channel(agent: Mapping[str, object], index: int, taken: set[str], path: Path) -> str:
    name = first(agent.get("name"), agent.get("id"), default=str(whole(path.stem)))
    return name if name not in taken else f"{name} ({first(agent.get('id'), default=str(index))})"


def _messages(agent: Mapping[str, object], channel: str, person: str) -> Iterator[Item]:
    for index, raw in enumerate(items(agent.get("messages"))):
        fields = mapping(raw)
        identifier = first(fields.get("id"), default=str(index))
        where = f"channel {channel}, message {identifier}"
        if not fields:
            yield Skipped(where=where, why="it is no JSON object, or an empty one")
            continue
        yield from _message(fields, identifier, channel, person, where)


def _message(fields: Mapping[str, object], identifier: str, channel: str, person: str, where: str) -> Iterator[Item]:
    role_name = string(fields.get("role"))
    if role_name not in _ROLES:
        yield NotCarried(where=where, what=f"role {fields.get('role')!r}, kept as system")
    stored, left = _stored(fields.get("content", fields.get("text")))
    yield from (NotCarried(where=where, what=what) for what in left)
    envelope = mapping(_json(stored)) if role_name == "user" else {}
    from_machine = text(envelope.get("type")) in _MACHINE_ENVELOPES
    role = "system" if from_machine else _ROLES.get(role_name, "system")
    said = _said(role, stored, envelope, fields)
    calls = _call_names(fields)
    if calls and said == stored:
        yield NotCarried(where=where, what="calls of tools")
    author = _author(role, role_name, fields, channel, person)
    written = text(fields.get("created_at"))
    yield Message(
        id=MessageId(identifier),
        channel=ChannelId(channel),
        author=PersonId(author),
        author_name=name_if_other(fields.get("name"), author),
        role=role,
        text=said,
        text_original=stored if stored != said else None,
        sent_at=zoneless_as_utc(written),
        sent_at_original=as_written(written),
        hidden=role == "system" or (role == "agent" and not said and bool(calls)),
    )


def _author(role: Role, role_name: str, fields: Mapping[str, object], channel: str, person: str) -> str:
    if role == "person":
        return person
    if role == "agent":
        return channel
    return first(fields.get("name"), role_name if role_name != "user" else "system", default="system")


def _stored(content: object) -> tuple[str, list[str]]:
    """The content as text, and the types of parts that are none."""
    if isinstance(content, str):
        return content, []
    said: list[object] = []
    left: list[str] = []
    for part in items(content):
        found = part if isinstance(part, str) else _part_text(mapping(part))
        if found is None:
            left.append(f"part of type {mapping(part).get('type')!r}")
        else:
            said.append(found)
    return joined(said), left


def _part_text(part: Mapping[str, object]) -> str | None:
    if isinstance(part.get("text"), str):
        return string(part.get("text"))
    if part.get("type") == "tool_return" and isinstance(part.get("content"), str):
        return string(part.get("content"))
    return None


def _said(role: Role, stored: str, envelope: Mapping[str, object], fields: Mapping[str, object]) -> str:
    if role == "person" and isinstance(envelope.get("message"), str):
        return string(envelope.get("message"))
    if role == "agent":
        sent = [argument for argument in map(_sent, _calls(fields)) if argument is not None]
        return joined(sent) if sent else stored
    return stored


def _calls(fields: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    single = fields.get("function_call")
    calls = [mapping(mapping(call).get("function", call)) for call in items(fields.get("tool_calls"))]
    return [*calls, mapping(single)] if isinstance(single, dict) else calls


def _call_names(fields: Mapping[str, object]) -> list[str]:
    return [first(call.get("name"), default="unnamed") for call in _calls(fields)]


def _sent(call: Mapping[str, object]) -> str | None:
    """The argument of a `send_message` call, which is JSON inside JSON."""
    if call.get("name") != "send_message":
        return None
    arguments = call.get("arguments")
    found = mapping(arguments if isinstance(arguments, dict) else _json(string(arguments)))
    message = found.get("message")
    return message if isinstance(message, str) else None


def _json(written: str) -> object:
    try:
        return whole(json.loads(written, strict=False))
    except (ValueError, RecursionError):
        return None


def _blocks_of(agent: Mapping[str, object], shared: Mapping[str, Mapping[str, object]]) -> list[Mapping[str, object]]:
    own = agent.get("core_memory", agent.get("memory_blocks", agent.get("blocks") if "block_ids" in agent else None))
    if isinstance(own, list):
        return [mapping(block) for block in own]
    wanted = [first(identifier, default="") for identifier in items(agent.get("block_ids"))]
    return [shared[identifier] for identifier in wanted if identifier in shared]


def _blocks(blocks: Sequence[Mapping[str, object]], channel: str, person: str) -> Iterator[Item]:
    for index, block in enumerate(blocks):
        label = first(block.get("label"), block.get("name"), default=str(index))
        where = f"channel {channel}, memory block {label}"
        value = string(block.get("value"))
        if not value.strip():
            yield Skipped(where=where, why="the block is empty")
            continue
        yield Memory(
            id=_block_id(channel, label, value),
            person=PersonId(person),
            kind="block",
            text=value,
            channel=ChannelId(channel),
            attribute=label,
            created_at=zoneless_as_utc(text(block.get("updated_at")) or text(block.get("created_at"))),
        )


def _block_id(channel: str, label: str, value: str) -> MemoryId:
    return MemoryId("block-" + blake3.blake3(f"{channel}\x00{label}\x00{value}".encode()).hexdigest(16))
