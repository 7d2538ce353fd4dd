"""One byte form and one digest per record: how two homes are compared.

The canonical form is JSON with sorted keys, no spaces, UTF-8, fields that equal their default included,
so that a field added later changes every digest knowingly and never some of them. A home's digest is the
sum modulo 2**128 of its records' digests, so it does not depend on the order they are read in. Tombstones
are not part of it: a compacted home equals its uncompacted self.
"""

from __future__ import annotations

from collections.abc import Iterable

import blake3
import msgspec

from instar.core.limits import DIGEST_BUCKETS
from instar.core.records import Record

_encoder = msgspec.json.Encoder(order="deterministic")
_MODULUS = 1 << 128


class Digest(msgspec.Struct, frozen=True):
    """Count and 128-bit sum over a set of records."""

    count: int = 0
    sum: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.count + other.count, (self.sum + other.sum) % _MODULUS)

    def hex(self) -> str:
        """The digest as text: 32 hexadecimal digits, a dash, the count."""
        return f"{self.sum:032x}-{self.count}"


def canonical_bytes(record: Record[msgspec.Struct]) -> bytes:
    """The one byte form of a record: key, version and value."""
    return _encoder.encode([record.key, record.version, msgspec.to_builtins(record.value)])


def record_digest(record: Record[msgspec.Struct]) -> Digest:
    """The digest of one record; a tombstone has the empty digest."""
    if record.value is None:
        return Digest()
    return Digest(1, int.from_bytes(blake3.blake3(canonical_bytes(record)).digest(16), "big"))


def digest_of(records: Iterable[Record[msgspec.Struct]]) -> Digest:
    """The digest of a set of records, in any order."""
    total = Digest()
    for record in records:
        total += record_digest(record)
    return total


def bucket_of(key: tuple[str, ...]) -> int:
    """The digest bucket of a key, 0 to `DIGEST_BUCKETS` - 1."""
    joined = "\x00".join(key).encode()
    return int.from_bytes(blake3.blake3(joined).digest(4), "big") % DIGEST_BUCKETS
