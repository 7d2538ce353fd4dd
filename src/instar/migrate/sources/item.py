"""What a reader gives: a message, a memory, or the reason why something of the source is neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from instar.core.records import Memory, Message


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or what should have been one, that does not come over."""

    where: str
    why: str


class NotCarried(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message that has no place here; the message itself comes over."""

    where: str
    what: str


Item = Message | Memory | Skipped | NotCarried


class Reader(Protocol):
    """One format. Reads a file from start to end and writes nothing."""

    def __call__(self, path: Path, *, person: str | None = None) -> Iterator[Item]:
        """Give everything in the file, in its order.

        `person` is the id of the human side in formats that know only one human. Raises `ImportUnreadable`
        when the file as a whole cannot be read; a bad part of a readable file is a `Skipped`.
        """
