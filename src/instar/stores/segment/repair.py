"""Repair: what still reads of a damaged store becomes a store that opens, and what is lost is said.

Explicit, and only for a store that nobody has open. Every frame that checks is kept, also those behind a damaged one;
a segment whose Parquet file is damaged is made again from its row cache where that checks. The damaged
files are copied to `damaged/` first, for whoever can read more out of them; the next purge deletes them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

import google_crc32c
import msgspec

from instar.core.errors import StoreCorrupt
from instar.core.limits import FRAME_MAX_BYTES
from instar.stores.segment import manifest
from instar.stores.segment.files import Files
from instar.stores.segment.manifest import Manifest, SegmentFile
from instar.stores.segment.memtable import Row
from instar.stores.segment.rows import BlockCache, CacheDamaged, RowCache
from instar.stores.segment.schema import columns_of
from instar.stores.segment.seal import Encode, Made, Sealer, SpawnedSealer
from instar.stores.segment.sealed import read_segment
from instar.stores.segment.upkeep import Unknown, store_segment, sweep
from instar.stores.segment.wal import (
    FRAME_HEAD_BYTES,
    Header,
    LogWriter,
    decode_header,
    encode_frame,
    encode_trailer,
    new_header,
    read_log,
)

DIRECTORY = "damaged"
_head = struct.Struct("<IIQ")
_salted = struct.Struct("<IQ")


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair kept and gave up."""

    frames_kept: int
    rows_lost: int
    """In segments that neither Parquet nor row cache could give back."""
    lost: Sequence[str]
    """Each damaged place, as a sentence; empty when there was nothing to repair."""


def repair_store(
    files: Files,
    *,
    collections: Mapping[str, type[msgspec.Struct]],
    epoch: int,
    randomness: random.Random | None = None,
    sealer: Callable[[], Sealer] = SpawnedSealer,
) -> Repaired:
    """Make a store that opens of what still reads. Blocking; the caller holds the lease with `epoch`."""
    found = manifest.newest(files)
    state = found.manifest
    lost = [f"{path} does not check" for path in found.damaged]
    payloads, log_damage = _salvaged(files, state)
    segments, rows_lost, segment_damage = _segments(files, state, collections, sealer)
    lost += log_damage + segment_damage
    if lost:
        _keep_damaged(files, [*found.damaged, *(f"wal/{name}" for name in files.list("wal"))])
        log = _new_log(files, state, payloads, epoch, randomness or random.SystemRandom())
        _install(files, state, segments, log, epoch)
    return Repaired(frames_kept=len(payloads), rows_lost=rows_lost, lost=lost)


def _salvaged(files: Files, state: Manifest) -> tuple[list[bytes], list[str]]:
    """Every transaction behind the sealed ones that checks, in order, and what does not."""
    payloads: list[bytes] = []
    lost: list[str] = []
    expected = state.sealed_seq + 1
    paths = [f"wal/{name}" for name in files.list("wal")]
    if state.log and state.log not in paths:
        lost.append(f"{state.log} is not there")
    for path in paths:
        data = files.read(path)
        header = decode_header(data, path)
        if header is None:
            if bytes(data).strip(b"\x00"):
                lost.append(f"{path} has no header that checks")
            continue
        for seq, payload in _frames(data, header):
            if seq < expected:
                continue
            if seq > expected:
                lost.append(f"{path}: frames {expected} to {seq - 1} are lost")
            payloads.append(payload)
            expected = seq + 1
        beyond = read_log(data, header).durable_beyond
        if beyond >= expected:
            lost.append(f"{path}: frames {expected} to {beyond} are lost")
            expected = beyond + 1
    return payloads, lost


def _frames(data: memoryview, header: Header) -> Iterator[tuple[int, bytes]]:
    """Every frame that checks, found byte by byte behind the first that does not."""
    content = read_log(data, header)
    for frame in content.frames:
        yield frame.seq, frame.payload
    rest = bytes(data[content.stop :]).rstrip(b"\x00")
    seed = header.seed
    at = 0
    while at + FRAME_HEAD_BYTES < len(rest):
        length, check, seq = _head.unpack_from(rest, at)
        stop = at + FRAME_HEAD_BYTES + length
        if (
            0 < length <= FRAME_MAX_BYTES
            and length <= len(data) - content.stop - at - FRAME_HEAD_BYTES
            and seq < 1 << 48
        ):
            payload = bytes(data[content.stop + at + FRAME_HEAD_BYTES : content.stop + stop])
            if google_crc32c.extend(google_crc32c.extend(seed, _salted.pack(length, seq)), payload) == check:
                yield seq, payload
                at = stop
                continue
        at += 1


def _segments(
    files: Files, state: Manifest, structs: Mapping[str, type[msgspec.Struct]], sealer: Callable[[], Sealer]
) -> tuple[list[SegmentFile], int, list[str]]:
    kept: list[SegmentFile] = []
    lost: list[str] = []
    rows_lost = 0
    for info in state.segments:
        try:
            read_segment(files, info)
        except StoreCorrupt as error:
            rows = _cached_rows(files, info)
            lost.append(f"{error.what}: {'made again from its row cache' if rows else 'its rows are lost'}")
            if rows:
                kept.append(_made_again(files, info, rows, structs=structs, state=state, sealer=sealer))
            else:
                rows_lost += info.rows
        else:
            kept.append(info)
    return kept, rows_lost, lost


def _cached_rows(files: Files, info: SegmentFile) -> list[Row]:
    """The rows of a segment by its cache; none when any of it does not check."""
    try:
        cache = RowCache(files.read(info.cache_path), BlockCache(1))
        return list(cache.scan(b"", None, reverse=False))
    except (FileNotFoundError, CacheDamaged):
        return []


def _made_again(
    files: Files,
    info: SegmentFile,
    rows: list[Row],
    *,
    structs: Mapping[str, type[msgspec.Struct]],
    state: Manifest,
    sealer: Callable[[], Sealer],
) -> SegmentFile:
    columns = columns_of(structs.get(info.collection, Unknown), state.fields.get(info.collection, {}))
    doing = sealer()
    try:
        made = doing.do(Encode(columns, rows))
    finally:
        doing.close()
    assert isinstance(made, Made), "an encoding makes a segment"
    segment = msgspec.structs.replace(made.segments[0], bucket=info.bucket)
    return store_segment(files, info.collection, segment, merged=info.merged)


def _keep_damaged(files: Files, paths: Sequence[str]) -> None:
    """Copy files aside as they are."""
    files.make_directory(DIRECTORY)
    for path in paths:
        name = path.replace("/", "-")
        if name in files.list(DIRECTORY):
            continue
        file = files.create(f"{DIRECTORY}/{name}")
        try:
            file.write(0, bytes(files.read(path)))
            file.sync()
        finally:
            file.close()
    files.sync_directory(DIRECTORY)


def _new_log(files: Files, state: Manifest, payloads: Sequence[bytes], epoch: int, randomness: random.Random) -> str:
    """A log of what was kept, numbered without gaps, behind all others by its name."""
    files.make_directory("wal")
    taken = [int(name[:10]) for name in files.list("wal")]
    path = f"wal/{max([epoch, *(number + 1 for number in taken)]):010d}-000000.wal"
    log = LogWriter.create(files, path, new_header(state.sealed_seq + 1, randomness))
    seq = state.sealed_seq
    for payload in payloads:
        seq += 1
        log.append(encode_frame(log.seed, seq, payload))
    log.sync()
    log.append(encode_trailer(log.seed, seq))
    log.close()
    return path


def _install(files: Files, state: Manifest, segments: Sequence[SegmentFile], log: str, epoch: int) -> None:
    taken = manifest.paths(files)
    mended = msgspec.structs.replace(
        state,
        generation=1 + (int(taken[-1][-25:-5]) if taken else 0),
        epoch=epoch,
        segments=list(segments),
        log=log,
    )
    manifest.write(files, mended)
    sweep(files, mended, mended.segments, keep=1)
