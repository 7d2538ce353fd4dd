"""The write-ahead log: one file of frames, in the order in which they were committed.

A file begins with a header. Then come groups: the frames that one write made durable, and a trailer that
says up to which sequence number everything was durable *before* that write. A length of zero is the end.

    header   magic 8, format u16, pad 6, uuid 16, salt 16, first sequence u64, CRC32C u32, pad 4
    frame    length u32, CRC32C u32 over salt, length, sequence and payload, sequence u64, payload
    trailer  length FFFFFFFF, CRC32C u32 likewise, durable sequence u64

The salt is random per file, so that no byte of another file, or of a value, is ever taken for a frame. The
trailer tells a torn tail from corruption: bytes that do not check are the end of the log as long as nothing
behind them says that they were durable once.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Literal

import google_crc32c
import msgspec

from instar.core.errors import HomeNewer
from instar.core.limits import FRAME_MAX_BYTES, KIB, WAL_SEGMENT_BYTES
from instar.stores.segment.files import File, Files

MAGIC = b"instrwal"
FORMAT = 1
ALLOCATED_MIN_BYTES = 64 * KIB  # a command that commits once takes no more than this

_header = struct.Struct("<8sH6x16s16sQ")
_crc = struct.Struct("<I")
_frame = struct.Struct("<IIQ")
_salted = struct.Struct("<IQ")
HEADER_BYTES = _header.size + 8
FRAME_HEAD_BYTES = _frame.size
_TRAILER = 0xFFFFFFFF
_TRAILER_MARK = b"\xff\xff\xff\xff"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a log file says of itself."""

    uuid: bytes
    salt: bytes
    first_seq: int

    @property
    def seed(self) -> int:
        """Where every checksum of the file starts."""
        return int(google_crc32c.value(self.salt))


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One transaction as it stands in the log."""

    seq: int
    payload: bytes
    stop: int
    """Offset of the first byte behind it."""


class LogContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a log file holds, up to where it stops making sense."""

    header: Header
    frames: Sequence[Frame]
    stop: int
    """Offset of the first byte that is neither frame nor trailer."""
    tail: Literal["clean", "torn", "corrupt"]
    """`clean`: only zeros behind `stop`. `torn`: an unfinished group. `corrupt`: what was durable is damaged."""
    durable_seq: int
    """The highest sequence number that a trailer before `stop` marks as durable; below the header's first if none does."""
    durable_beyond: int
    """The highest that any trailer of the file marks as durable."""


def new_header(first_seq: int, randomness: random.Random, *, uuid: bytes | None = None) -> Header:
    """A header with a salt of its own."""
    return Header(uuid=uuid or randomness.randbytes(16), salt=randomness.randbytes(16), first_seq=first_seq)


def encode_header(header: Header) -> bytes:
    """The first bytes of a log file."""
    packed = _header.pack(MAGIC, FORMAT, header.uuid, header.salt, header.first_seq)
    return packed + _crc.pack(google_crc32c.value(packed)) + bytes(4)


def decode_header(data: memoryview, path: str) -> Header | None:
    """The header of a file; None when the bytes are no header. Raises `HomeNewer`."""
    packed = bytes(data[: _header.size])
    if len(data) < HEADER_BYTES or google_crc32c.value(packed) != _crc.unpack_from(data, _header.size)[0]:
        return None
    magic, version, uuid, salt, first_seq = _header.unpack(packed)
    if magic != MAGIC:
        return None
    if version != FORMAT:
        raise HomeNewer(
            f"{path} has log format {version}",
            why=f"this instar reads format {FORMAT}",
            next="install the instar that wrote it, or a later one",
        )
    return Header(uuid=uuid, salt=salt, first_seq=first_seq)


def encode_frame(seed: int, seq: int, payload: bytes) -> bytes:
    """One frame: head and payload."""
    length = len(payload)
    check = google_crc32c.extend(google_crc32c.extend(seed, _salted.pack(length, seq)), payload)
    return _frame.pack(length, check, seq) + payload


def encode_trailer(seed: int, durable_seq: int) -> bytes:
    """The end of a group: everything up to `durable_seq` was durable before it was written."""
    return _frame.pack(_TRAILER, google_crc32c.extend(seed, _salted.pack(_TRAILER, durable_seq)), durable_seq)


def read_log(data: memoryview, header: Header) -> LogContent:
    """Read frames while they check and follow each other, and find out what kind of end that is."""
    seed = header.seed
    seq = header.first_seq
    durable_seq = seq - 1
    frames: list[Frame] = []
    at = HEADER_BYTES
    while at + FRAME_HEAD_BYTES <= len(data):
        length, check, number = _frame.unpack_from(data, at)
        if length == _TRAILER:
            if google_crc32c.extend(seed, _salted.pack(length, number)) != check:
                break
            durable_seq = max(durable_seq, number)
            at += FRAME_HEAD_BYTES
            continue
        stop = at + FRAME_HEAD_BYTES + length
        if length == 0 or length > FRAME_MAX_BYTES or stop > len(data) or number != seq:
            break
        payload = bytes(data[at + FRAME_HEAD_BYTES : stop])
        if google_crc32c.extend(google_crc32c.extend(seed, _salted.pack(length, seq)), payload) != check:
            break
        frames.append(Frame(seq, payload, stop))
        at = stop
        seq += 1
    beyond = max(durable_seq, _durable_beyond(data, at, seed))
    tail: Literal["clean", "torn", "corrupt"] = "torn"
    if beyond >= seq:
        tail = "corrupt"
    elif not bytes(data[at:]).strip(b"\x00"):
        tail = "clean"
    return LogContent(header=header, frames=frames, stop=at, tail=tail, durable_seq=durable_seq, durable_beyond=beyond)


def _durable_beyond(data: memoryview, start: int, seed: int) -> int:
    """The highest durable mark of any trailer behind `start`; -1 when there is none."""
    highest = -1
    rest = bytes(data[start:])
    at = rest.find(_TRAILER_MARK)
    while at >= 0 and at + FRAME_HEAD_BYTES <= len(rest):
        length, check, number = _frame.unpack_from(rest, at)
        if google_crc32c.extend(seed, _salted.pack(length, number)) == check:
            highest = max(highest, number)
        at = rest.find(_TRAILER_MARK, at + 1)
    return highest


def discard(files: Files, path: str) -> None:
    """Take a log away that is not to be part of the store, durably: the log before it goes on instead."""
    files.unlink(path)
    files.sync_directory("wal")


class LogWriter:
    """Appends groups to one log file. Blocking; used from the store's own thread."""

    def __init__(
        self, file: File, header: Header, *, path: str, offset: int, allocated_bytes: int, ahead: bool
    ) -> None:
        self._file = file
        self._ahead = ahead
        self._allocated_bytes = allocated_bytes
        self.path = path
        self.header = header
        self.seed = header.seed
        self.offset = offset
        self.frugal = False
        """True to take no more space ahead than the next group needs."""

    @classmethod
    def create(cls, files: Files, path: str, header: Header) -> LogWriter:
        """Begin a new file; durable, with its name, when this returns."""
        file = files.create(path)
        ahead = not files.volatile
        try:
            if ahead:
                file.resize(ALLOCATED_MIN_BYTES)
            file.write(0, encode_header(header))
            file.sync()
            files.sync_directory("wal")
        except OSError:
            file.close()
            discard(files, path)
            raise
        return cls(
            file,
            header,
            path=path,
            offset=HEADER_BYTES,
            allocated_bytes=ALLOCATED_MIN_BYTES if ahead else HEADER_BYTES,
            ahead=ahead,
        )

    @classmethod
    def resume(cls, files: Files, path: str, content: LogContent, data: memoryview) -> LogWriter:
        """Go on behind what a file holds: cut an unfinished group off, and make durable what may not be.

        What stands behind the durable mark is written once more before it is synced. After a failed sync the
        system may hold pages that are not on the disk and count as clean; syncing those again does nothing.
        A file without any mark may have been left before its header, or its name, was durable.
        """
        file = files.open(path)
        size_bytes = len(data)
        if content.tail == "torn":
            file.resize(content.stop)
            size_bytes = content.stop
        unmarked = any(frame.seq > content.durable_seq for frame in content.frames)
        begun = content.durable_seq >= content.header.first_seq
        if unmarked or not begun:
            marked = max((f.stop for f in content.frames if f.seq <= content.durable_seq), default=0)
            file.write(marked, bytes(data[marked : content.stop]))
        if unmarked or not begun or content.tail == "torn":
            file.sync()
        if not begun:
            files.sync_directory("wal")
        return cls(
            file,
            content.header,
            path=path,
            offset=content.stop,
            allocated_bytes=size_bytes,
            ahead=not files.volatile,
        )

    def append(self, group: bytes) -> None:
        """Write one group behind the last; not durable before `sync`. `ENOSPC` leaves the file as it was."""
        self._allocate(self.offset + len(group))
        self._file.write(self.offset, group)
        self.offset += len(group)

    def sync(self) -> None:
        """Make everything appended durable."""
        self._file.sync()

    def close(self) -> None:
        """Give the file back; not a sync."""
        self._file.close()

    def _allocate(self, needed_bytes: int) -> None:
        if not self._ahead or needed_bytes <= self._allocated_bytes:
            return
        size_bytes = needed_bytes if self.frugal else self._doubled(needed_bytes)
        self._file.resize(size_bytes)
        self._allocated_bytes = size_bytes

    def _doubled(self, needed_bytes: int) -> int:
        size_bytes = max(ALLOCATED_MIN_BYTES, self._allocated_bytes)
        while size_bytes < needed_bytes:
            size_bytes += min(size_bytes, WAL_SEGMENT_BYTES)
        return size_bytes
