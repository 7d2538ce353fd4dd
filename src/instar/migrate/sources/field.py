"""Looking into JSON that may hold anything anywhere: each function gives the wanted type or its empty form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from instar.core.records import Message


class Number(float):
    """A JSON number with a fraction or an exponent, and the digits the source wrote."""

    def __init__(self, written: str) -> None:
        self.written = written


def mapping(value: object) -> Mapping[str, object]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[object]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str | None:
    """The string; a number becomes its digits, because ids are sometimes written as numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, Number):
        return value.written
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def string(value: object) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def first(*candidates: object, default: str) -> str:
    """The first candidate that is a text with something in it."""
    for candidate in candidates:
        found = text(candidate)
        if found and found.strip():
            return found
    return default


def joined(parts: Sequence[object]) -> str:
    """The strings among the parts, one below the other; empty strings keep their line."""
    return "\n".join(part for part in parts if isinstance(part, str))


def whole(value: object) -> object:
    """The same value with every lone surrogate replaced by U+FFFD: half a character cannot be stored."""
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, dict):
        return {_whole_text(key): whole(part) for key, part in value.items()}
    return value


def _whole_text(value: str) -> str:
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def name_if_other(name: object, message_author: str) -> str | None:
    """The shown name, when there is one that differs from the id."""
    shown = text(name)
    return shown if shown and shown != message_author else None


def place(message: Message) -> str:
    """How a report names a message."""
    swipe = f", variant {message.variant}" if message.variant else ""
    return f"channel {message.channel}, message {message.id}{swipe}"
