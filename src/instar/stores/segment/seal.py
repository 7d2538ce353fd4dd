"""Sealing: rows become segments, segments become fewer ones. The work is done in a process of its own.

pyarrow takes 60 MB and a tenth of a second to load; the owner never loads it. A sealer is a function from
bytes to bytes that knows no file system: whoever asks reads and writes the files, with their syncs.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import IO, Protocol, Self

import blake3
import msgspec

from instar.core.errors import HomeError, StoreCorrupt
from instar.core.limits import BUCKETS
from instar.stores.segment.memtable import Row
from instar.stores.segment.schema import Column

ALL = "all"
"""The bucket of a segment that holds rows of every bucket."""
BUCKET_NAMES = [f"{bucket:02d}" for bucket in range(BUCKETS)]
_length = struct.Struct("<Q")


class Encode(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Make one segment of rows in key order."""

    columns: Sequence[Column]
    rows: list[Row]


class Merge(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Make new segments of old ones: of each key the newest row."""

    columns: Sequence[Column]
    inputs: list[bytes]
    """Parquet files."""
    parted: list[bytes]
    """What `Part` made of others for this bucket."""
    versions: list[bytes]
    """What `Part` says of them: a row of an older version than there is left out, though the newer one may
    belong to another bucket."""
    bucket: str | None
    """The one bucket to make, of rows that all belong there; None: part the rows by subject."""
    drop: list[bytes]
    """Keys to leave out, for the log holds something newer."""
    drop_tombstones: bool


class Part(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Part the rows of one Parquet file by bucket, for merges of one bucket after the other."""

    parquet: bytes


class Rebuild(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Make the row cache of a Parquet file once more."""

    parquet: bytes


class Search(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Count needles in what a Parquet file holds once read."""

    parquet: bytes
    needles: list[bytes]


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A made segment, not yet in any file."""

    bucket: str
    parquet: bytes
    cache: bytes
    rows: int
    tombstones: int

    @property
    def digest(self) -> str:
        """The content address."""
        return blake3.blake3(self.parquet).hexdigest()


class Made(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer to `Encode`, `Merge` and `Rebuild`."""

    segments: list[Segment]


class Parted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer to `Part`."""

    buckets: list[bytes]
    """Packed rows, one for each bucket."""
    versions: bytes
    """Packed: every key with its version."""


class Searched(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer to `Search`."""

    bytes_scanned: int
    found: int


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Answer when the bytes handed over do not read."""

    why: str


Job = Encode | Merge | Part | Rebuild | Search
Done = Made | Parted | Searched
Answer = Done | Failed
job_decoder = msgspec.msgpack.Decoder(Job)
answer_decoder = msgspec.msgpack.Decoder(Answer)
encoder = msgspec.msgpack.Encoder()


class Sealer(Protocol):
    """Does jobs. Blocking."""

    def do(self, job: Job) -> Done:
        """Do one job. Raises `StoreCorrupt` when a Parquet file does not read."""

    def close(self) -> None:
        """Let go of the process, if there is one."""


class SpawnedSealer:
    """Does jobs in a spawned process, begun with the first job and ended by `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def do(self, job: Job) -> Done:
        if self._process is None:
            command = [sys.executable, "-m", "instar.stores.segment.seal_worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert self._process.stdin is not None, "asked for a pipe"
        assert self._process.stdout is not None, "asked for a pipe"
        try:
            write_message(self._process.stdin, encoder.encode(job))
            answer = read_message(self._process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise HomeError(
                "sealing did not end",
                why=f"the sealing process ended by itself with status {self._process.wait()}",
                next="nothing is lost: the log keeps everything; see the process's own message on stderr",
            )
        return checked(answer_decoder.decode(answer))

    def close(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        with process:
            assert process.stdin is not None, "asked for a pipe"
            process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InlineSealer:
    """Does jobs in this process, for tests that make thousands of small segments."""

    def do(self, job: Job) -> Done:
        return checked(perform(job))

    def close(self) -> None:
        """There is no process to let go of."""


def checked(answer: Answer) -> Done:
    """The answer; raises `StoreCorrupt` for a failed one."""
    if isinstance(answer, Failed):
        raise StoreCorrupt("a segment does not read back", why=answer.why, next="run `instar doctor`")
    return answer


def perform(job: Job) -> Answer:
    """Do one job, in the process that may load pyarrow."""
    import pyarrow as pa

    from instar.stores.segment.parquet import count_needles, decode_parquet, pack_rows, pack_versions

    try:
        match job:
            case Encode():
                return Made([_segment(job.columns, ALL, job.rows)])
            case Merge():
                return Made(_merged(job))
            case Part():
                rows = list(decode_parquet(job.parquet))
                return Parted([pack_rows(own) for own in _by_bucket(rows)], pack_versions(rows))
            case Rebuild():
                rows = list(decode_parquet(job.parquet))
                return Made([_segment_of(ALL, b"", rows)])
            case Search():
                return Searched(*count_needles(job.parquet, job.needles))
    except (pa.ArrowException, msgspec.DecodeError) as error:
        return Failed(str(error))


def _merged(job: Merge) -> list[Segment]:
    from instar.stores.segment.parquet import decode_parquet, unpack_rows, unpack_versions

    inputs: list[Iterable[Row]] = [decode_parquet(data) for data in job.inputs]
    inputs += [unpack_rows(data) for data in job.parted]
    newest: dict[bytes, int] = {}
    for packed in job.versions:
        for key, version in unpack_versions(packed):
            newest[key] = max(version, newest.get(key, 0))
    dropped = set(job.drop)
    rows = [
        row
        for row in _newest(inputs, newest)
        if row.key not in dropped and not (job.drop_tombstones and row.value is None)
    ]
    named = zip(BUCKET_NAMES, _by_bucket(rows), strict=True) if job.bucket is None else [(job.bucket, rows)]
    return [_segment(job.columns, bucket, own) for bucket, own in named if own]


def _newest(inputs: Sequence[Iterable[Row]], known_versions: Mapping[bytes, int]) -> list[Row]:
    """Of each key the newest row, in key order; none where a newer version is known of."""
    newest: dict[bytes, Row] = {}
    for rows in inputs:
        for row in rows:
            known = newest.get(row.key)
            least = known_versions.get(row.key, 0) if known is None else known.version + 1
            if row.version >= least:
                newest[row.key] = row
    return sorted(newest.values(), key=lambda row: row.key)


def _by_bucket(rows: Iterable[Row]) -> list[list[Row]]:
    buckets: list[list[Row]] = [[] for _ in BUCKET_NAMES]
    for row in rows:
        buckets[bucket_of(row)].append(row)
    return buckets


def bucket_of(row: Row) -> int:
    """The bucket a row belongs to: its subject's, so that erasing a person touches few segments."""
    named = row.subject.encode() or row.key
    return int.from_bytes(blake3.blake3(named).digest(4), "little") % BUCKETS


def _segment(columns: Sequence[Column], bucket: str, rows: list[Row]) -> Segment:
    from instar.stores.segment.parquet import encode_parquet

    return _segment_of(bucket, encode_parquet(columns, rows), rows)


def _segment_of(bucket: str, parquet: bytes, rows: list[Row]) -> Segment:
    from instar.stores.segment.rows import encode_rows

    return Segment(bucket, parquet, encode_rows(rows), len(rows), sum(row.value is None for row in rows))


def write_message(pipe: IO[bytes], message: bytes) -> None:
    """Length, then the bytes."""
    pipe.write(_length.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes | None:
    """The next message; None when the other side has ended."""
    head = pipe.read(_length.size)
    if len(head) < _length.size:
        return None
    length = _length.unpack(head)[0]
    message = pipe.read(length)
    return message if len(message) == length else None
