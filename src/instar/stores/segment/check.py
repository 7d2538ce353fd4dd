"""Examining a store without opening it: every byte that something vouches for is read and checked.

Manifests and logs are vouched for by their CRC, segments by the hash that is their name, row caches by
their own checksums; then every value is decoded as the struct of its collection. Nothing is written.
What is derived or left over does no harm and is said; what was acknowledged and does not read back is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import blake3
import msgspec

from instar.core.limits import MIB, WAL_UNSEALED_MAX_BYTES
from instar.stores.segment import manifest
from instar.stores.segment.files import Files
from instar.stores.segment.journal import BALLAST, BALLAST_MIN_BYTES
from instar.stores.segment.manifest import Manifest, SegmentFile
from instar.stores.segment.memtable import Row
from instar.stores.segment.rows import MAGIC, BlockCache, CacheDamaged, RowCache
from instar.stores.segment.store import Delete, Op, Put, parts_of
from instar.stores.segment.upkeep import UNMERGED_MAX, paths_of
from instar.stores.segment.wal import Frame, Header, LogContent, decode_header, read_log

UNMERGED_OVERDUE = 4 * UNMERGED_MAX  # sealing merges beyond a quarter of this; more says that merging fails
BLOCKS_HELD_BYTES = MIB
DOCTOR_REPAIR = "instar doctor --repair"

Structs = Mapping[str, type[msgspec.Struct]]
"""Every collection of a store with the struct its values are maps of."""
transaction_decoder = msgspec.msgpack.Decoder(tuple[int, list[Put | Delete]])


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    check: str
    ok: bool
    detail: str
    """Names the file, and the range in it, when something is wrong."""
    next: str | None = None


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """One log file as it reads without the others."""

    path: str
    data: bytes
    header: Header | None
    content: LogContent | None
    """None when the header does not check."""

    @property
    def empty(self) -> bool:
        """True for a file that was begun and never got its header."""
        return not self.data.strip(b"\x00")


class Anatomy(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifests and logs of a store say."""

    manifests: Mapping[str, Manifest | None]
    """By path, oldest first; None for one that does not check."""
    state: Manifest
    """The newest that checks; the one of an empty store when there is none."""
    logs: Sequence[Log]
    """From the one that `state` names."""
    has_segments: bool
    """True when there are segments, named by a manifest or not."""


def read_anatomy(files: Files) -> Anatomy:
    """Read manifests and logs. Raises `HomeNewer`."""
    manifests = {path: manifest.decode(bytes(files.read(path)), path) for path in manifest.paths(files)}
    state = next((found for found in reversed(manifests.values()) if found is not None), Manifest())
    paths = [path for path in (f"wal/{name}" for name in files.list("wal")) if path >= state.log]
    return Anatomy(
        manifests=manifests,
        state=state,
        logs=[_read_log(files, path) for path in paths],
        has_segments=bool(files.list("seg")),
    )


def _read_log(files: Files, path: str) -> Log:
    data = bytes(files.read(path))
    header = decode_header(memoryview(data), path)
    content = None if header is None else read_log(memoryview(data), header)
    return Log(path=path, data=data, header=header, content=content)


def examine(files: Files, anatomy: Anatomy, structs: Structs) -> list[Finding]:
    """Everything there is to say about a store whose manifests and logs read as `anatomy`."""
    decoders = decoders_of(structs)
    return [
        *_manifests(anatomy),
        *_logs(anatomy, decoders),
        *_segments(files, anatomy.state, decoders),
        *_caches(files, anatomy.state),
        *_upkeep(files, anatomy),
    ]


# --- manifests -------------------------------------------------------------------------------------


def _manifests(anatomy: Anatomy) -> Iterator[Finding]:
    damaged = [path for path, found in anatomy.manifests.items() if found is None]
    for path in damaged:
        yield _wrong("manifest", f"{path}: its checksum is wrong")
    if not damaged:
        yield _well(
            "manifest",
            f"{counted(len(anatomy.manifests), 'manifest')} checked, the newest is {anatomy.state.generation}",
        )


# --- logs ------------------------------------------------------------------------------------------


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the log that was acknowledged and does not read back."""

    path: str
    what: str


def gaps(anatomy: Anatomy) -> Iterator[Gap]:
    """Where the log breaks off though it went on, in order."""
    state = anatomy.state
    if state.log and state.log not in [log.path for log in anatomy.logs]:
        yield Gap(path=state.log, what=f"{state.log} is not there, and the manifest says the log goes on in it")
    if not state.generation and not anatomy.logs and anatomy.has_segments:
        yield Gap(path="manifest", what="there are segments in seg, and neither a manifest nor a log that names them")
    next_seq: int | None = state.sealed_seq + 1
    for log in anatomy.logs:
        last = log is anatomy.logs[-1]
        if log.header is None or log.content is None:
            if not (last and log.empty and log.path != state.log):
                yield Gap(path=log.path, what=f"{log.path}, bytes 0 to 63: the header of the log does not check")
            next_seq = None
            continue
        if next_seq is not None and log.header.first_seq != next_seq:
            begins = f"{log.path} begins with frame {log.header.first_seq}, and {next_seq} is the next"
            yield Gap(path=log.path, what=begins)
        next_seq = seq_after(log)
        if log.content.tail == "corrupt":
            yield Gap(path=log.path, what=_broken_off(log, log.content, next_seq))
            next_seq = None


def seq_after(log: Log) -> int:
    """The sequence number that follows the readable frames of a log."""
    assert log.header is not None, "the header checks"
    assert log.content is not None, "the header checks"
    return log.content.frames[-1].seq + 1 if log.content.frames else log.header.first_seq


def _broken_off(log: Log, content: LogContent, next_seq: int) -> str:
    end = len(log.data.rstrip(b"\x00"))
    return (
        f"{log.path}, from byte {content.stop} (of {end} written): frame {next_seq} does not check, "
        f"and frames up to {content.durable_beyond} were acknowledged"
    )


def _logs(anatomy: Anatomy, decoders: Decoders) -> Iterator[Finding]:
    broken = list(gaps(anatomy))
    for gap in broken:
        yield _wrong("log", gap.what)
    frames = torn = 0
    for log in anatomy.logs:
        if log.content is not None:
            frames += len(log.content.frames)
            torn += log.content.tail == "torn"
            yield from (_wrong("log", problem) for problem in _undecoded(log, log.content, decoders))
    if not broken:
        tail = "; behind the last are bytes of an unfinished write, which was never acknowledged" if torn else ""
        yield _well("log", f"{counted(frames, 'transaction')} in {counted(len(anatomy.logs), 'file')} checked{tail}")


def _undecoded(log: Log, content: LogContent, decoders: Decoders) -> Iterator[str]:
    for frame in content.frames:
        why = undecodable(frame, decoders)
        if why is not None:
            yield f"{log.path}, frame {frame.seq}: {why}"


def undecodable(frame: Frame, decoders: Decoders) -> str | None:
    """Why a frame's checksum is right and its content is not; None when it is."""
    try:
        _, ops = transaction_decoder.decode(frame.payload)
    except msgspec.DecodeError as error:
        return str(error)
    return next((why for op in ops if (why := _op_problem(op, decoders)) is not None), None)


def _op_problem(op: Op, decoders: Decoders) -> str | None:
    return _value_problem(op.collection, op.key, op.value, decoders) if isinstance(op, Put) else None


# --- segments and caches ---------------------------------------------------------------------------


Decoders = Mapping[str, "msgspec.msgpack.Decoder[msgspec.Struct]"]


def decoders_of(structs: Structs) -> Decoders:
    """What reads the values of each collection."""
    return {name: msgspec.msgpack.Decoder(struct) for name, struct in structs.items()}


def _value_problem(collection: str, key: bytes, value: bytes, decoders: Decoders) -> str | None:
    decoder = decoders.get(collection)
    if decoder is None:  # of another version of instar, which knows more collections
        return None
    try:
        decoder.decode(value)
    except msgspec.DecodeError as error:
        return f"the record {parts_of(key)} of {collection} does not read: {error}"
    return None


def _segments(files: Files, state: Manifest, decoders: Decoders) -> Iterator[Finding]:
    rows = 0
    wrong = False
    for info in state.segments:
        problem = segment_problem(files, info) or _rows_problem(files, info, decoders)
        rows += info.rows
        if problem is not None:
            wrong = True
            yield _wrong("segments", f"{info.path}: {problem}")
    if not wrong:
        yield _well(
            "segments", f"{counted(len(state.segments), 'file')} with {counted(rows, 'row')} compared with the name"
        )


def segment_problem(files: Files, info: SegmentFile) -> str | None:
    """What is wrong with a Parquet file; None when it is what its name says."""
    try:
        data = files.read(info.path)
    except FileNotFoundError:
        return f"the file is not there; it had {info.rows:,} rows"
    if len(data) != info.bytes:
        return f"it has {len(data):,} bytes and the manifest says {info.bytes:,}"
    if blake3.blake3(data).hexdigest() != info.digest:
        return f"bytes 0 to {len(data)}: its content is not what its name says; it has {info.rows:,} rows"
    return None


def _rows_problem(files: Files, info: SegmentFile, decoders: Decoders) -> str | None:
    """A row that does not read as its collection's struct. Without a good cache the hash has to do."""
    for row in cached_rows(files, info) or ():
        why = None if row.value is None else _value_problem(info.collection, row.key, row.value, decoders)
        if why is not None:
            return why
    return None


def cached_rows(files: Files, info: SegmentFile) -> list[Row] | None:
    """All rows of a segment by its row cache; None when that is not there or not whole."""
    try:
        return rows_of(files.read(info.cache_path), info)
    except (FileNotFoundError, CacheDamaged, msgspec.DecodeError):
        return None


def rows_of(data: memoryview, info: SegmentFile) -> list[Row]:
    """All rows of a row cache. Raises `CacheDamaged` when it is not that of the segment, whole."""
    rows = list(RowCache(data, BlockCache(BLOCKS_HELD_BYTES)).scan(b"", None, reverse=False))
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise CacheDamaged("it does not begin as one")
    if (len(rows), sum(row.value is None for row in rows)) != (info.rows, info.tombstones):
        raise CacheDamaged(f"it has {len(rows)} rows and the manifest says {info.rows}")
    if any(one.key >= next_one.key for one, next_one in pairwise(rows)):
        raise CacheDamaged("its rows are not in order")
    return rows


def damaged_caches(files: Files, state: Manifest) -> list[str]:
    """Row caches that do not check; reading does without them."""
    there = set(files.list("cache"))
    kept = [info for info in state.segments if info.cache_path.rpartition("/")[2] in there]
    return [info.cache_path for info in kept if cached_rows(files, info) is None]


def _caches(files: Files, state: Manifest) -> Iterator[Finding]:
    damaged = damaged_caches(files, state)
    for path in damaged:
        yield _wrong("cache", f"{path}: it does not check; nothing is lost, it is made again from its segment")
    if not damaged:
        yield _well("cache", "every row cache that is there checks")


# --- upkeep ----------------------------------------------------------------------------------------


def _upkeep(files: Files, anatomy: Anatomy) -> Iterator[Finding]:
    sizes = {path: len(files.read(path)) for path in paths_of(files)}
    yield _merging(anatomy.state, sizes)
    yield _log_length(anatomy)
    left = leftovers(anatomy, sizes)
    named = f"; the first is {left[0]}, and the next sealing takes them away" if left else ""
    yield _well("leftovers", f"{counted(len(left), 'file')} of an unfinished step{named}")
    if anatomy.logs and not files.volatile:
        yield _ballast(sizes)


def _merging(state: Manifest, sizes: Mapping[str, int]) -> Finding:
    unmerged: dict[str, int] = {}
    for info in state.segments:
        unmerged[info.collection] = unmerged.get(info.collection, 0) + (not info.merged)
    live = sum(info.bytes for info in state.segments)
    total = sum(sizes.values())
    segments = counted(len(state.segments), "segment")
    figures = f"{counted(len(sizes), 'file')}, {total:,} bytes, of which {live:,} in {segments}"
    worst = max(unmerged, key=lambda name: unmerged[name], default="")
    if worst and unmerged[worst] > UNMERGED_OVERDUE:
        overdue = f"{figures}; {worst} has {unmerged[worst]} segments that were to be merged at {UNMERGED_MAX}"
        return Finding(check="compaction", ok=False, detail=overdue, next="instar files messages --seal")
    return _well("compaction", figures)


def _log_length(anatomy: Anatomy) -> Finding:
    unsealed = sum(log.content.stop for log in anatomy.logs if log.content is not None)
    detail = f"{unsealed:,} bytes are not sealed; writes wait for the sealing at {WAL_UNSEALED_MAX_BYTES:,}"
    if unsealed > WAL_UNSEALED_MAX_BYTES // 2:
        return Finding(check="log length", ok=False, detail=detail, next="instar files messages --seal")
    return _well("log length", detail)


def _ballast(sizes: Mapping[str, int]) -> Finding:
    if sizes.get(BALLAST, 0) >= BALLAST_MIN_BYTES:
        return _well("ballast", f"{sizes[BALLAST]:,} bytes are held back for a full disk")
    return _well("ballast", "no space is held back for a full disk; the next write takes it if there is any")


def leftovers(anatomy: Anatomy, paths: Mapping[str, int]) -> list[str]:
    """Files that no manifest names and no reader needs."""
    named = {info.digest for found in anatomy.manifests.values() if found for info in found.segments}
    kinds = (".parquet", ".rows")
    orphans = [p for p in paths if p.endswith(kinds) and p.rpartition("/")[2].partition(".")[0] not in named]
    logs = [path for path in paths if path.startswith("wal/") and path < anatomy.state.log]
    return sorted([*orphans, *logs, *(path for path in paths if path.endswith("/new"))])


def counted(number: int, thing: str) -> str:
    """A number of things, in words that fit it."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _well(check: str, detail: str) -> Finding:
    return Finding(check=check, ok=True, detail=detail)


def _wrong(check: str, detail: str) -> Finding:
    return Finding(check=check, ok=False, detail=detail, next=DOCTOR_REPAIR)
