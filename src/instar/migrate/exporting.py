"""Our own portable form: every record of a home in one file of JSON Lines, equal homes in equal bytes.

A header, one line per record (port, key, version, value; bytes as base64) in the order of ports and keys, and
a last line with the counts, the digest over the records and a BLAKE3 checksum over every byte before it.
Tombstones stay behind: what was forgotten does not travel, not even its name. Workflows under way stay too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import blake3
import msgspec

from instar.core.canonical import Digest, record_digest
from instar.core.errors import ExportCorrupt, ImportUnreadable, RecordTooLarge, TransferError
from instar.core.limits import FRAME_MAX_BYTES, IMPORT_BATCH_MESSAGES, MIB
from instar.core.records import Memory, Message, Profile, Record
from instar.migrate.report import ExportReport
from instar.migrate.sources.detect import OWN_FORMAT
from instar.migrate.sources.document import opened
from instar.stores.conversations.port import ConversationStore
from instar.stores.memories.port import MemoryStore
from instar.stores.movable import Movable
from instar.stores.profiles.port import ProfileStore

VERSION = 1
BATCH_BYTES = FRAME_MAX_BYTES // 4  # leaves room in one transaction for a last large message and its index
LINE_MAX_BYTES = 128 * MIB  # the largest message with its original, every character escaped
_encode = msgspec.json.Encoder(order="sorted").encode


class Ports(Protocol):
    """What a transfer needs of an open home."""

    conversations: ConversationStore
    profiles: ProfileStore
    memories: MemoryStore


class PortRecords(msgspec.Struct, frozen=True):
    """A batch of records of one port."""

    port: str
    records: Sequence[Record[Any]]


class _Header(msgspec.Struct, frozen=True):
    format: str
    version: int


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: str
    key: tuple[str, ...]
    version: int
    value: msgspec.Raw


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    records: dict[str, int]
    digest: str
    checksum: str


_VALUES: Mapping[str, type[msgspec.Struct]] = {"conversations": Message, "profiles": Profile, "memories": Memory}
_decoders: Mapping[str, Callable[[msgspec.Raw], Any]] = {
    port: msgspec.json.Decoder(value).decode for port, value in _VALUES.items()
}


def port_of(home: Ports, port: str) -> Movable[Any]:
    """The store behind a port's name."""
    stores: Mapping[str, Movable[Any]] = {
        "conversations": home.conversations,
        "profiles": home.profiles,
        "memories": home.memories,
    }
    return stores[port]


async def export_home(home: Ports, path: Path, *, person: str | None = None) -> ExportReport:
    """Write every record of the home, or of one person, to `path` and report how many.

    The file is complete and durable under its name when this returns; before that there is only a file
    `.partial` beside it, which an error takes away. Raises `TransferError` when it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="instar-export") as thread:

        async def work(call: Callable[[], None]) -> None:
            await asyncio.get_running_loop().run_in_executor(thread, call)

        try:
            with partial.open("wb") as file:
                writer = _Writer(file)
                async for batch in _records_of(home, person):
                    await work(lambda batch=batch: writer.write(batch))  # type: ignore[misc]
                report = writer.end()
                await work(lambda: _make_durable(file, partial, path))
        except OSError as error:
            raise TransferError(
                f"the export {path} cannot be written",
                why=error.strerror or str(error),
                next="choose a file in a directory with space that you may write to: instar export --to FILE",
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    return report


async def _records_of(home: Ports, person: str | None) -> AsyncIterator[PortRecords]:
    for port in _VALUES:
        after: tuple[str, ...] | None = None
        while batch := await _scanned(port_of(home, port), after, IMPORT_BATCH_MESSAGES):
            after = batch[-1].key
            yield PortRecords(port, [record for record in batch if _belongs(record.value, person)])


async def _scanned(store: Movable[Any], after: tuple[str, ...] | None, limit: int) -> Sequence[Record[Any]]:
    """The next records; fewer of them where they are too large to come through the owner's socket together."""
    try:
        return await store.scan(after, limit=limit)
    except RecordTooLarge:
        if limit == 1:
            raise
        return await _scanned(store, after, limit // 2)


def _belongs(value: Message | Profile | Memory | None, person: str | None) -> bool:
    if value is None:
        return False
    return person is None or value.person == person or (isinstance(value, Message) and value.author == person)


class _Writer:
    """Writes the lines and keeps what the last one says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = blake3.blake3()
        self._counts = dict.fromkeys(_VALUES, 0)
        self._digest = Digest()
        self._put(_Header(format=OWN_FORMAT, version=VERSION))

    def write(self, batch: PortRecords) -> None:
        for record in batch.records:
            value = msgspec.Raw(_encode(record.value))
            self._put(_Line(port=batch.port, key=record.key, version=record.version, value=value))
            self._digest += record_digest(record)
        self._counts[batch.port] += len(batch.records)

    def end(self) -> ExportReport:
        checksum = f"blake3:{self._hash.hexdigest()}"
        self._put(_End(records=self._counts, digest=self._digest.hex(), checksum=checksum))
        return ExportReport(records=self._counts, digest=self._digest.hex())

    def _put(self, line: _Header | _Line | _End) -> None:
        written = _encode(line) + b"\n"
        self._hash.update(written)
        self._file.write(written)


def _make_durable(file: BinaryIO, partial: Path, path: Path) -> None:
    """A name is durable once the file and then its directory are. See fsync(2)."""
    file.flush()
    os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def check_export(path: Path) -> int:
    """Read an export to its last byte and return how many records it holds. Raises `ExportCorrupt`."""
    end = _checked_end(path)
    counts = dict.fromkeys(_VALUES, 0)
    digest = Digest()
    for batch in read_records(path):
        counts[batch.port] += len(batch.records)
        for record in batch.records:
            digest += record_digest(record)
    if counts != end.records or digest.hex() != end.digest:
        raise _corrupt(path, "its records are not the ones its last line counts")
    return sum(counts.values())


def read_records(path: Path) -> Iterator[PortRecords]:
    """The records of an export that was checked, in its order, in batches of one port and one transaction each."""
    port, records, size_bytes = "", list[Record[Any]](), 0
    for (number, line), _ in pairwise(_lines(path)):
        if number == 1:
            continue
        next_port, record = _record(path, number, line)
        if records and (next_port != port or len(records) == IMPORT_BATCH_MESSAGES or size_bytes > BATCH_BYTES):
            yield PortRecords(port, records)
            records, size_bytes = [], 0
        port = next_port
        records.append(record)
        size_bytes += len(line)
    if records:
        yield PortRecords(port, records)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        for number in count(1):
            line = file.readline(LINE_MAX_BYTES)
            if not line:
                return
            if not line.endswith(b"\n"):
                raise _corrupt(path, f"line {number} does not end; the file is cut off or damaged")
            yield number, line


def _record(path: Path, number: int, written: bytes) -> tuple[str, Record[Any]]:
    try:
        line = msgspec.json.decode(written, type=_Line)
        value = _decoders[line.port](line.value)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise _corrupt(path, f"line {number} is no record: {error}") from error
    return line.port, Record(key=line.key, version=line.version, value=value)


def _checked_end(path: Path) -> _End:
    """The last line, after every byte before it has been compared with the checksum it holds."""
    checksum = blake3.blake3()
    last = first = b""
    for number, line in _lines(path):
        checksum.update(last)
        last = line
        first = line if number == 1 else first
    end = _decoded_end(path, last)
    if end.checksum != f"blake3:{checksum.hexdigest()}" or _encode(end) + b"\n" != last:
        raise _corrupt(path, "its bytes do not match the checksum in its last line")
    header = msgspec.json.decode(first, type=_Header)
    if (header.format, header.version) != (OWN_FORMAT, VERSION):
        raise ImportUnreadable(
            f"{path} cannot be imported",
            why=f"it is {header.format} version {header.version}; this version reads {OWN_FORMAT} version {VERSION}",
            next="use the newer instar that wrote it",
        )
    return end


def _decoded_end(path: Path, line: bytes) -> _End:
    try:
        return msgspec.json.decode(line, type=_End)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _corrupt(path, "its last line is missing or damaged; the file is cut off or was changed") from error


def _corrupt(path: Path, why: str) -> ExportCorrupt:
    return ExportCorrupt(f"the export {path} is damaged", why=why, next="export it again: instar export --to FILE")
