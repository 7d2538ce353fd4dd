"""Marks of what was taken away for good, so that an older copy of it does not come back.

A mark is a hash keyed with the home's own key: it recognises what is offered again and tells a reader of
the files nothing. In a move a mark travels as a tombstone whose key begins with an empty text, which no
record's key does.
"""

from __future__ import annotations

import blake3
import msgspec

from instar.stores.segment.store import Engine, Put, key_of

COLLECTION = "forgotten"
KEY_BYTES = 32


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must not come back. The version it was taken away at is the entry's own."""

    hash: str


_encoder = msgspec.msgpack.Encoder()


class Forgotten:
    """The marks of one store."""

    def __init__(self, engine: Engine, forget_key: bytes) -> None:
        assert len(forget_key) == KEY_BYTES, f"the forget key has {KEY_BYTES} bytes"
        self._engine = engine
        self._key = forget_key

    def hash(self, *parts: str) -> str:
        """The keyed hash of an identity: 32 hexadecimal digits."""
        return blake3.blake3(key_of(*parts), key=self._key).hexdigest(length=16)

    def mark(self, *parts: str) -> Put:
        """The op that marks an identity."""
        return mark_of(self.hash(*parts))

    def since(self, *parts: str) -> int:
        """The version an identity was marked at; 0 when it never was."""
        entry = self._engine.get(COLLECTION, key_of("", self.hash(*parts)))
        return entry.version if entry is not None else 0

    def holds(self, *parts: str) -> bool:
        """True when an identity is marked."""
        return self.since(*parts) > 0


def is_mark(key: tuple[str, ...]) -> bool:
    """True for the key of a mark that travels as a tombstone."""
    return len(key) == 2 and key[0] == ""


def mark_of(hash_: str, *, version: int | None = None) -> Put:
    """The op that writes one mark, with the version another home gave it where there is one."""
    return Put(collection=COLLECTION, key=key_of("", hash_), value=_encoder.encode(Mark(hash=hash_)), version=version)
