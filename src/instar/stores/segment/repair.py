"""Mending a store that nobody has open: what does not read is set aside, and everything else opens again.

Nothing acknowledged is deleted: damaged files go to `damaged/<time>/` below the store, under the path they
had. A segment is made again from its row cache where that is whole; a log keeps every transaction that
still checks, those behind the damage too. Each repair says what it gives up before it is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import blake3
import msgspec

from instar.core.limits import FRAME_MAX_BYTES
from instar.stores.segment import manifest
from instar.stores.segment.check import (
    Anatomy,
    Log,
    Structs,
    cached_rows,
    damaged_caches,
    decoders_of,
    gaps,
    read_anatomy,
    rows_of,
    segment_problem,
    seq_after,
    undecodable,
)
from instar.stores.segment.files import Files
from instar.stores.segment.manifest import Manifest, SegmentFile
from instar.stores.segment.memtable import Row
from instar.stores.segment.schema import columns_of
from instar.stores.segment.seal import Encode, Made, Rebuild, Sealer
from instar.stores.segment.wal import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    Frame,
    Header,
    decode_header,
    encode_frame,
    encode_header,
    encode_trailer,
    read_log,
)

DAMAGED = "damaged"
_NOTHING = msgspec.msgpack.encode((0, []))
"""A transaction without any op: it stands where one is lost, so that those behind it keep their number."""


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be mended. `mend` does it; until then nothing is changed."""

    file: str
    does: str
    gives_up: str
    """What is lost by it; "" for nothing."""
    mend: Callable[[], None]


def repairs(files: Files, structs: Structs, sealer: Sealer, *, aside: str) -> Iterator[Repair]:
    """What mends the store, one after the other: each is to be done before the next is asked for.

    `aside` names the directory below `damaged/` that takes what does not read. Raises `HomeNewer`.
    """
    mending = _Mending(files, structs, sealer, f"{DAMAGED}/{aside}")
    yield from mending.caches()
    yield from mending.manifests()
    yield from mending.logs()
    yield from mending.segments()


class Described(NamedTuple):
    """A segment that no manifest describes."""

    info: SegmentFile
    last_seq: int
    version: int
    """The highest in it."""


class _Mending:
    def __init__(self, files: Files, structs: Structs, sealer: Sealer, aside: str) -> None:
        self._files = files
        self._structs = structs
        self._sealer = sealer
        self._aside = aside

    # --- caches ---------------------------------------------------------------------------------

    def caches(self) -> Iterator[Repair]:
        for path in damaged_caches(self._files, read_anatomy(self._files).state):
            yield Repair(
                file=path,
                does="drop the row cache; it is made again from its segment",
                gives_up="",
                mend=partial(self._files.unlink, path),
            )

    # --- manifests ------------------------------------------------------------------------------

    def manifests(self) -> Iterator[Repair]:
        anatomy = read_anatomy(self._files)
        damaged = [path for path, found in anatomy.manifests.items() if found is None]
        rebuilt = self._is_to_be_rebuilt(anatomy)
        for path in damaged:
            if not (rebuilt and path == list(anatomy.manifests)[-1]):
                yield Repair(
                    file=path,
                    does=f"set it aside in {self._aside}; another manifest says all that is needed",
                    gives_up="",
                    mend=partial(self._set_aside, path),
                )
        if rebuilt:
            yield Repair(
                file=manifest.DIRECTORY,
                does="make a new manifest of the segments and logs that are there",
                gives_up="",
                mend=partial(self._rebuild, anatomy, damaged[-1:]),
            )

    def _is_to_be_rebuilt(self, anatomy: Anatomy) -> bool:
        """True when the newest manifest is lost and no older one, nor none at all, fits what is there."""
        states = list(anatomy.manifests.values())
        lost = not states or states[-1] is None
        return lost and bool(self._segment_paths()) and (any(True for _ in gaps(anatomy)) or not any(states))

    def _rebuild(self, anatomy: Anatomy, damaged: Sequence[str]) -> None:
        found = sorted(filter(None, map(self._described, self._segment_paths())), key=lambda each: each.last_seq)
        first = next((log for log in anatomy.logs if log.header is not None), None)
        begun = first.header.first_seq - 1 if first is not None and first.header is not None else None
        for path in damaged:
            self._set_aside(path)
        self._write_manifest(
            msgspec.structs.replace(
                anatomy.state,
                epoch=max([anatomy.state.epoch, *(int(log.path[4:14]) for log in anatomy.logs)]),
                version=max([anatomy.state.version, *(each.version for each in found)]),
                log=first.path if first else "",
                sealed_seq=max((each.last_seq for each in found), default=0) if begun is None else begun,
                segments=[each.info for each in found],
            )
        )

    def _segment_paths(self) -> list[str]:
        return [
            f"seg/{collection}/{bucket}/{name}"
            for collection in self._files.list("seg")
            for bucket in self._files.list(f"seg/{collection}")
            for name in self._files.list(f"seg/{collection}/{bucket}")
            if name.endswith(".parquet")
        ]

    def _described(self, path: str) -> Described | None:
        """What a manifest says of a segment, found out from the file; None for one that does not read."""
        data = bytes(self._files.read(path))
        _, collection, bucket, name = path.split("/")
        if blake3.blake3(data).hexdigest() != name.partition(".")[0]:
            return None
        made = self._sealer.do(Rebuild(data))
        assert isinstance(made, Made), "a rebuild makes a segment"
        segment = made.segments[0]
        info = SegmentFile(
            collection=collection,
            bucket=bucket,
            merged=False,
            digest=name.partition(".")[0],
            rows=segment.rows,
            tombstones=segment.tombstones,
            bytes=len(data),
        )
        rows = rows_of(memoryview(segment.cache), info)
        return Described(info, max(row.seq for row in rows), max(row.version for row in rows))

    def _write_manifest(self, state: Manifest) -> None:
        taken = manifest.paths(self._files)
        manifest.write(
            self._files, msgspec.structs.replace(state, generation=1 + (int(taken[-1][-25:-5]) if taken else 0))
        )

    # --- logs -----------------------------------------------------------------------------------

    def logs(self) -> Iterator[Repair]:
        anatomy = read_anatomy(self._files)
        if not any(True for _ in gaps(anatomy)) and not self._undecodable(anatomy):
            return
        next_seq = anatomy.state.sealed_seq + 1
        if anatomy.state.log and anatomy.state.log not in [log.path for log in anatomy.logs]:
            stop = next((log.header.first_seq for log in anatomy.logs if log.header is not None), next_seq)
            yield self._missing(anatomy.state, next_seq, stop)
            next_seq = stop
        for at, log in enumerate(anatomy.logs):
            behind = [each.header.first_seq for each in anatomy.logs[at + 1 :] if each.header is not None]
            mended = _mended(log, next_seq, behind[0] if behind else None, self._structs)
            next_seq = mended.next_seq
            if mended.bytes != log.data:
                yield self._rewriting(log, mended)

    def _undecodable(self, anatomy: Anatomy) -> bool:
        decoders = decoders_of(self._structs)
        contents = [log.content for log in anatomy.logs if log.content is not None]
        return any(undecodable(frame, decoders) is not None for content in contents for frame in content.frames)

    def _missing(self, state: Manifest, first_seq: int, stop: int) -> Repair:
        header = Header(uuid=bytes(16), salt=bytes.fromhex(f"{state.generation:032x}"), first_seq=first_seq)
        lost = f"{stop - first_seq} transactions" if stop > first_seq else "all transactions since the last sealing"
        return Repair(
            file=state.log,
            does="begin the log anew under the name the manifest gives",
            gives_up=f"the file is gone, and with it {lost}",
            mend=lambda: self._write("wal", state.log, _log_bytes(header, {}, stop)),
        )

    def _rewriting(self, log: Log, mended: MendedLog) -> Repair:
        lost = [f"frame {first}" if first == last else f"frames {first} to {last}" for first, last in mended.lost]
        unknown = "whatever its frames held, for none of them can be told" if mended.unreadable else ""
        return Repair(
            file=log.path,
            does=f"set it aside in {self._aside} and keep the {mended.kept:,} transactions of it that check",
            gives_up=unknown or (f"{log.path}, {', '.join(lost)}" if lost else ""),
            mend=partial(self._replace, log.path, mended.bytes),
        )

    # --- segments -------------------------------------------------------------------------------

    def segments(self) -> Iterator[Repair]:
        for info in read_anatomy(self._files).state.segments:
            problem = segment_problem(self._files, info)
            if problem is None:
                continue
            rows = cached_rows(self._files, info)
            if rows is not None:
                yield self._remaking(info, rows, problem)
            else:
                yield self._dropping(info, problem)

    def _remaking(self, info: SegmentFile, rows: list[Row], problem: str) -> Repair:
        return Repair(
            file=info.path,
            does=f"{problem}: set it aside in {self._aside} and make it again from its row cache, which is whole",
            gives_up="",
            mend=lambda: self._swap(info, self._remade(info, rows)),
        )

    def _dropping(self, info: SegmentFile, problem: str) -> Repair:
        deleted = f"; {info.tombstones:,} of them are deletions, which no longer hold" if info.tombstones else ""
        return Repair(
            file=info.path,
            does=f"{problem}: set it aside in {self._aside} and go on without it",
            gives_up=f"{info.rows:,} rows of {info.collection}, and there is no row cache to take them from{deleted}",
            mend=lambda: self._swap(info, None),
        )

    def _remade(self, info: SegmentFile, rows: list[Row]) -> SegmentFile:
        state = read_anatomy(self._files).state
        struct = self._structs.get(info.collection, _Unknown)
        made = self._sealer.do(Encode(columns_of(struct, state.fields.get(info.collection, {})), rows))
        assert isinstance(made, Made), "an encoding makes a segment"
        segment = made.segments[0]
        remade = msgspec.structs.replace(info, digest=segment.digest, bytes=len(segment.parquet))
        self._set_aside(info.path)
        self._write(remade.directory, remade.path, segment.parquet)
        with contextlib.suppress(FileNotFoundError):
            self._files.unlink(remade.cache_path)
        self._write("cache", remade.cache_path, segment.cache)
        return remade

    def _swap(self, info: SegmentFile, other: SegmentFile | None) -> None:
        if other is None:
            self._set_aside(info.path)
        state = read_anatomy(self._files).state
        if other == info:
            return
        segments = [other if segment == info else segment for segment in state.segments]
        self._write_manifest(
            msgspec.structs.replace(state, segments=[segment for segment in segments if segment is not None])
        )

    # --- files ----------------------------------------------------------------------------------

    def _set_aside(self, path: str) -> None:
        """Move a file below `damaged/`, durably; one that is not there needs no moving."""
        target = f"{self._aside}/{path}"
        self._files.make_directory(target.rpartition("/")[0])
        try:
            self._files.rename(path, target)
        except FileNotFoundError:
            return
        self._files.sync_directory(target.rpartition("/")[0])
        self._files.sync_directory(path.rpartition("/")[0])

    def _replace(self, path: str, data: bytes) -> None:
        """Set a file aside and put another in its place; a crash leaves one of the two there."""
        aside = f"{self._aside}/{path}"
        directory = aside.rpartition("/")[0]
        self._files.make_directory(directory)
        self._files.link(path, aside)
        self._write(directory, f"{aside}.mended", data)
        self._files.rename(f"{aside}.mended", path)
        self._files.sync_directory(directory)
        self._files.sync_directory(path.rpartition("/")[0])

    def _write(self, directory: str, path: str, data: bytes) -> None:
        self._files.make_directory(directory)
        file = self._files.create(path)
        try:
            file.write(0, data)
            file.sync()
        finally:
            file.close()
        self._files.sync_directory(directory)


class _Unknown(msgspec.Struct):
    """The struct of a collection that this version does not name."""


# --- the content of logs ---------------------------------------------------------------------------


class MendedLog(msgspec.Struct, frozen=True, kw_only=True):
    """A log as it is to be."""

    bytes: bytes
    next_seq: int
    kept: int
    lost: Sequence[tuple[int, int]]
    """First and last sequence number of each run of lost transactions."""
    unreadable: bool
    """True when nothing of the file could be read."""


def _mended(log: Log, next_seq: int, behind: int | None, structs: Structs) -> MendedLog:
    """A log that begins with `next_seq` and goes on to the one before `behind`, with every frame that checks."""
    header = log.header or corrected_header(log.data, log.path)
    if header is None:
        return _unreadable(log, next_seq, behind)
    decoders = decoders_of(structs)
    content = read_log(memoryview(log.data), header)
    found = {frame.seq: frame for frame in frames_anywhere(log.data, header) if not undecodable(frame, decoders)}
    ends = seq_after(log) if log.content is not None else 0
    follows = (header.first_seq, ends) == (next_seq, behind or ends) and content.tail != "corrupt"
    if log.content is not None and follows and all(frame.seq in found for frame in content.frames):
        return MendedLog(bytes=log.data, next_seq=ends, kept=len(content.frames), lost=(), unreadable=False)
    stop = behind or max([header.first_seq - 1, content.durable_beyond, *found]) + 1
    begun = msgspec.structs.replace(header, first_seq=next_seq)
    kept = {seq: frame.payload for seq, frame in found.items() if next_seq <= seq < stop}
    return MendedLog(
        bytes=_log_bytes(begun, kept, stop),
        next_seq=stop,
        kept=len(kept),
        lost=_runs(seq for seq in range(next_seq, stop) if seq not in kept),
        unreadable=False,
    )


def _unreadable(log: Log, next_seq: int, behind: int | None) -> MendedLog:
    if log.empty and behind is None:
        return MendedLog(bytes=log.data, next_seq=next_seq, kept=0, lost=(), unreadable=False)
    header = Header(uuid=bytes(16), salt=log.data[:16].ljust(16, b"\x00"), first_seq=next_seq)
    stop = behind or next_seq
    return MendedLog(bytes=_log_bytes(header, {}, stop), next_seq=stop, kept=0, lost=(), unreadable=True)


def corrected_header(data: bytes, path: str) -> Header | None:
    """The header that differs in one bit from the one that is there and checks; None when there is none."""
    for bit in range(8 * min(HEADER_BYTES, len(data))):
        changed = bytearray(data[:HEADER_BYTES])
        changed[bit // 8] ^= 1 << (bit % 8)
        header = decode_header(memoryview(changed), path)
        if header is not None:
            return header
    return None


def frames_anywhere(data: bytes, header: Header) -> Iterator[Frame]:
    """Every frame of a log that checks, in order; what lies between them is passed over byte by byte.

    The salt of the file is in each checksum, so bytes inside a value are never taken for a frame.
    """
    content = read_log(memoryview(data), header)
    yield from content.frames
    at = content.stop
    seq = content.frames[-1].seq + 1 if content.frames else header.first_seq
    end = len(data.rstrip(b"\x00")) + FRAME_HEAD_BYTES
    while at + FRAME_HEAD_BYTES <= min(end, len(data)):
        frame = _frame_at(data, at, header.seed, seq)
        if frame is None:
            at += 1
        else:
            yield frame
            at, seq = frame.stop, frame.seq + 1


def _frame_at(data: bytes, at: int, seed: int, lowest_seq: int) -> Frame | None:
    length = int.from_bytes(data[at : at + 4], "little")
    stop = at + FRAME_HEAD_BYTES + length
    seq = int.from_bytes(data[at + 8 : at + 16], "little")
    if not 0 < length <= FRAME_MAX_BYTES or stop > len(data) or seq < lowest_seq:
        return None
    payload = data[at + FRAME_HEAD_BYTES : stop]
    checks = encode_frame(seed, seq, payload)[:FRAME_HEAD_BYTES] == data[at : at + FRAME_HEAD_BYTES]
    return Frame(seq, payload, stop) if checks else None


def _log_bytes(header: Header, payloads: dict[int, bytes], stop: int) -> bytes:
    frames = [encode_frame(header.seed, seq, payloads.get(seq, _NOTHING)) for seq in range(header.first_seq, stop)]
    return b"".join([encode_header(header), *frames, encode_trailer(header.seed, stop - 1)])


def _runs(numbers: Iterator[int]) -> Sequence[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
