"""Upkeep: sealing, compaction and purging, one at a time, each ending in a new manifest.

The order is the same for all: segments to temporary files, synced; renamed to their hash; directory synced;
the new log begun, synced; manifest synced, linked, directory synced; only then the old files are
unlinked. A crash at any point leaves either the old state whole or the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from instar.core.errors import Fenced
from instar.core.limits import FRAME_MAX_BYTES, MANIFESTS_KEPT, MIB
from instar.stores.movable import Purged
from instar.stores.segment import manifest
from instar.stores.segment.collection import Collection
from instar.stores.segment.files import Files
from instar.stores.segment.journal import BALLAST, Journal, full, is_full
from instar.stores.segment.manifest import Manifest, SegmentFile
from instar.stores.segment.memtable import Row, Table
from instar.stores.segment.rows import BlockCache, hash_of
from instar.stores.segment.schema import Column, columns_of
from instar.stores.segment.seal import (
    ALL,
    BUCKET_NAMES,
    Encode,
    Made,
    Merge,
    Part,
    Parted,
    Sealer,
    Search,
    Searched,
    Segment,
)
from instar.stores.segment.sealed import SealedSegment, read_segment, write_cache
from instar.stores.segment.store import Op, Put
from instar.stores.segment.wal import LogWriter, discard, encode_frame, encode_trailer
from instar.stores.segment.worker import Worker

UNMERGED_MAX = 4  # segments of a collection before they are merged: a key that is absent costs each a probe
MERGE_ALL_SHARE = 4  # the merged segments are rewritten once the others have a quarter of their bytes
PARTED_MIN_BYTES = 8 * MIB  # below this a rewrite of everything takes less than a second
WORDS_DIRECTORY = "cache/words"  # files of a search index that the store's owner keeps beside the row caches
BLOCKS_MAX_BYTES = 16 * MIB  # of unpacked rows; the resident part of sealed state

Begun = TypeVar("Begun")
Result = TypeVar("Result")
Jobs = Callable[[Sealer], Iterator[Merge]]
"""Merges to be done one after the other, each read from the files when it is its turn."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Tables set aside for sealing, and where the log goes on."""

    sealed_seq: int
    version: int
    log: str


class Unknown(msgspec.Struct):
    """The struct of a collection that this version does not name: no field is known."""


class State:
    """What the engine and its upkeep share."""

    def __init__(
        self, files: Files, structs: Mapping[str, type[msgspec.Struct]], *, epoch: int, read_only: bool
    ) -> None:
        self.files = files
        self.structs = dict(structs)
        self.epoch = epoch
        self.read_only = read_only
        self.collections = {name: Collection() for name in structs}
        self.manifest = Manifest()
        self.blocks = BlockCache(BLOCKS_MAX_BYTES)
        self.version = 0
        self.seq = 0
        self.fenced_by: int | None = None

    def collection(self, name: str) -> Collection:
        """A collection; one that only the files know, of another version of instar, is kept as it is."""
        if name not in self.collections:
            self.structs[name] = Unknown
            self.collections[name] = Collection()
        return self.collections[name]


class Upkeep:
    """Keeps one store's log short, its segments few and its deleted records gone."""

    def __init__(
        self,
        state: State,
        journal: Journal,
        worker: Worker,
        background: Worker,
        *,
        sealer: Callable[[], Sealer],
        encode_ops: Callable[[int, Sequence[Op]], bytes],
    ) -> None:
        self._state = state
        self._files = state.files
        self._journal = journal
        self._worker = worker
        self._background = background
        self._new_sealer = sealer
        self._encode_ops = encode_ops
        self._one_at_a_time = asyncio.Lock()
        self._frozen: Frozen | None = None
        self._held: asyncio.Event | None = None
        self._shorter: asyncio.Future[None] | None = None
        self._frozen_bytes = 0

    @property
    def running(self) -> bool:
        """True while anything is sealed, merged or purged."""
        return self._one_at_a_time.locked()

    @property
    def log_bytes(self) -> int:
        """Written to the log and not sealed."""
        log = self._journal.log
        return self._frozen_bytes + (log.offset if log is not None else 0)

    def load(self, state: Manifest, earlier_log_bytes: int) -> None:
        """Take up the segments of a manifest."""
        self._state.manifest = state
        self._frozen_bytes = earlier_log_bytes
        self._show(state.segments)

    def open_segments(self) -> None:
        """Map every segment now, so that a reader keeps them whatever an owner takes away later."""
        for collection in self._state.collections.values():
            for segment in collection.segments:
                segment.open()

    async def admitted(self) -> None:
        """Return when writes may go on."""
        while self._held is not None:
            await self._held.wait()

    async def shorter(self, sealing: asyncio.Task[None]) -> None:
        """Return when the log has become shorter, or `sealing` has ended. Merging may go on after the first."""
        if self._shorter is None:
            self._shorter = asyncio.get_running_loop().create_future()
        await asyncio.wait([sealing, self._shorter], return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Let running work end."""
        async with self._one_at_a_time:
            self._background.close()

    async def undisturbed(self, begin: Callable[[Files], Begun], go_on: Callable[[Files, Begun], Result]) -> Result:
        """Run `begin` while everything is durable and no write is under way, then `go_on` while no file is taken away."""
        async with self._one_at_a_time:
            async with self._hold():
                begun = await self._background.run(begin, self._files)
            return await self._background.run(go_on, self._files, begun)

    # --- sealing --------------------------------------------------------------------------------

    async def seal(self) -> None:
        """Turn the log into segments."""
        async with self._one_at_a_time:
            with self._failing("the log could not be sealed"):
                await self._seal()
                await self._compact()
                await self._worker.run(self._journal.keep_ballast, self._sealed_bytes())

    def _sealed_bytes(self) -> int:
        return sum(segment.bytes for segment in self._state.manifest.segments)

    async def _seal(self) -> None:
        if self._frozen is None:
            if not any(collection.table.rows for collection in self._state.collections.values()):
                return
            await self._freeze()
        assert self._frozen is not None, "there is something to seal"
        frozen = self._frozen
        fields = self._columns()
        jobs = {
            name: Encode(columns, _rows_of(collection.frozen))
            for name, columns in fields.items()
            if (collection := self._state.collections[name]).frozen is not None and collection.frozen.rows
        }
        added = await self._background.run(self._make, jobs)
        await self._install(
            [*self._state.manifest.segments, *added],
            sealed_seq=frozen.sealed_seq,
            version=frozen.version,
            log=frozen.log,
            fields=_ids(fields, self._state.manifest),
        )
        for collection in self._state.collections.values():
            collection.frozen = None
        self._frozen = None
        self._shorten()

    def _shorten(self) -> None:
        """Nothing is frozen any more; who waited for that may write on."""
        self._frozen_bytes = 0
        shorter, self._shorter = self._shorter, None
        if shorter is not None:
            shorter.set_result(None)

    async def _freeze(self) -> None:
        async with self._hold():
            log = await self._rotate()
            state = self._state
            self._frozen = Frozen(sealed_seq=state.seq, version=state.version, log=log.path)
            self._frozen_bytes = self.log_bytes
            self._journal.log = log
            for collection in state.collections.values():
                collection.freeze()

    async def _rotate(self) -> LogWriter:
        """Begin the next log; the one before is whole and closed."""
        log = await self._worker.run(self._journal.new_log, self._state.seq + 1)
        await self._worker.run(self._journal.end_log)
        return log

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn a full disk into `HomeFull`; any other failure poisons the store, as it does for a commit."""
        try:
            yield
        except OSError as error:
            if is_full(error):
                raise full(what) from error
            self._journal.poison = error
            self._journal.raise_poison()

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[None]:
        """Keep new writes waiting, with all earlier ones durable."""
        self._held = asyncio.Event()
        try:
            await self._journal.drain()
            yield
        finally:
            self._held.set()
            self._held = None

    def _columns(self) -> dict[str, Sequence[Column]]:
        known = self._state.manifest.fields
        return {name: columns_of(struct, known.get(name, {})) for name, struct in self._state.structs.items()}

    # --- compaction -----------------------------------------------------------------------------

    async def _compact(self) -> None:
        """Merge the segments of collections that have gathered too many."""
        for name, collection in self._state.collections.items():
            merged, unmerged = _parted(collection)
            if len(unmerged) < UNMERGED_MAX:
                continue
            if sum(s.bytes for s in unmerged) * MERGE_ALL_SHARE < sum(s.bytes for s in merged):
                replaced, jobs = unmerged, self._merge(name, unmerged, ALL)
            else:
                replaced, jobs = [*merged, *unmerged], self._merges(name, merged, unmerged)
            made = await self._background.run(self._make_each, name, jobs, merged=replaced is not unmerged)
            kept = [segment for segment in self._state.manifest.segments if segment not in replaced]
            await self._install([*made, *kept])

    def _merges(
        self,
        name: str,
        merged: Sequence[SegmentFile],
        unmerged: Sequence[SegmentFile],
        drop: Sequence[bytes] = (),
        *,
        purge: bool = False,
    ) -> Jobs:
        """One merge of everything while that is small; then one per bucket, so that memory stays bounded."""
        whole = [*merged, *unmerged]
        large = sum(segment.bytes for segment in whole) >= PARTED_MIN_BYTES
        if not large or any(segment.bucket == ALL for segment in merged):
            return self._merge(name, whole, None if large else ALL, drop, purge=purge)
        return self._merge_by_bucket(name, merged, unmerged, drop, purge=purge)

    def _merge(
        self,
        name: str,
        inputs: Sequence[SegmentFile],
        bucket: str | None,
        drop: Sequence[bytes] = (),
        *,
        purge: bool = False,
    ) -> Jobs:
        columns = self._columns()[name]

        def jobs(_sealer: Sealer) -> Iterator[Merge]:
            yield Merge(columns, self._read(inputs), [], [], bucket, list(drop), purge)

        return jobs

    def _merge_by_bucket(
        self,
        name: str,
        merged: Sequence[SegmentFile],
        unmerged: Sequence[SegmentFile],
        drop: Sequence[bytes],
        *,
        purge: bool,
    ) -> Jobs:
        """Each unmerged segment is parted once; then each bucket takes its part of all of them."""
        columns = self._columns()[name]

        def jobs(sealer: Sealer) -> Iterator[Merge]:
            parted = [_parts(sealer, read_segment(self._files, segment)) for segment in unmerged]
            for number, bucket in enumerate(BUCKET_NAMES):
                inputs = self._read([segment for segment in merged if segment.bucket == bucket])
                own = [parts.buckets[number] for parts in parted]
                yield Merge(columns, inputs, own, [parts.versions for parts in parted], bucket, list(drop), purge)

        return jobs

    def _read(self, segments: Sequence[SegmentFile]) -> list[bytes]:
        return [read_segment(self._files, segment) for segment in segments]

    # --- purging --------------------------------------------------------------------------------

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        """Rewrite what holds tombstoned bytes, drop tombstones, and search every file for the needles."""
        async with self._one_at_a_time:
            with self._failing("erased bytes could not be taken off the disk"):
                if self._frozen is not None:
                    await self._seal()
                async with self._hold():
                    await self._worker.run(self._journal.release_ballast)
                    await self._purge()
                    await self._worker.run(self._journal.keep_ballast, self._sealed_bytes())
            return await self._background.run(self._searched, list(needles))

    async def _purge(self) -> None:
        state = self._state
        segments: list[SegmentFile] = []
        for name, collection in state.collections.items():
            segments += await self._background.run(self._without_deleted, name, collection)
        tables = {name: _live(collection.table) for name, collection in state.collections.items()}
        first_seq = state.seq + 1
        log, last_seq = await self._worker.run(self._rewritten, tables, first_seq)
        await self._worker.run(self._journal.end_log)
        self._journal.log = log
        self._journal.durable_seq = state.seq = last_seq
        await self._install(segments, sealed_seq=first_seq - 1, version=state.version, log=log.path, keep=1)
        for name, collection in state.collections.items():
            collection.table = tables[name]
        state.blocks.clear()
        self._shorten()

    def _without_deleted(self, name: str, collection: Collection) -> Sequence[SegmentFile]:
        """The segments of a collection, those rewritten that hold anything but live rows."""
        merged, unmerged = _parted(collection)
        newer = {key: hash_of(key) for key in collection.overlay()}
        drop = list(collection.table.rows)
        touched = [
            segment.info
            for segment in collection.segments
            if segment.info.merged and (segment.info.tombstones or _holds_any(segment, newer))
        ]
        if not touched and not unmerged:
            return merged
        kept = [segment for segment in merged if segment not in touched]
        if any(segment.bucket == ALL for segment in merged):
            touched, kept = list(merged), []
        if not kept:
            jobs = self._merges(name, touched, unmerged, drop, purge=True)
        else:
            jobs = self._merge(name, [*touched, *unmerged], None, drop, purge=True)
        return [*kept, *self._make_each(name, jobs, merged=True)]

    def _rewritten(self, tables: Mapping[str, Table], first_seq: int) -> tuple[LogWriter, int]:
        """A new log that holds the rows of tables, and its last sequence number."""
        log = self._journal.new_log(first_seq)
        seq = first_seq - 1
        frames = []
        for ops in _batches(tables):
            seq += 1
            frames.append(encode_frame(log.seed, seq, self._encode_ops(self._state.version, ops)))
        try:
            log.frugal = True
            log.append(b"".join(frames))
            log.sync()
            log.append(encode_trailer(log.seed, seq))
            log.frugal = False
        except OSError:
            log.close()
            discard(self._files, log.path)
            raise
        return log, seq

    def _searched(self, needles: list[bytes]) -> Purged:
        scanned = found = 0
        for path in paths_of(self._files):
            data = bytes(self._files.read(path))
            scanned += len(data)
            found += sum(data.count(needle) for needle in needles)
        sealed = [segment for collection in self._state.collections.values() for segment in collection.segments]
        with _open(self._new_sealer()) as sealer:
            for segment in sealed:
                answer = sealer.do(Search(read_segment(self._files, segment.info), needles))
                assert isinstance(answer, Searched), "a search is answered with a count"
                scanned += answer.bytes_scanned
                found += answer.found
        return Purged(bytes_scanned=scanned, found=found)

    # --- files ----------------------------------------------------------------------------------

    def _make(self, jobs: Mapping[str, Encode]) -> Sequence[SegmentFile]:
        with _open(self._new_sealer()) as sealer:
            return [
                store_segment(self._files, name, segment, merged=False)
                for name, job in jobs.items()
                for segment in _made(sealer, job)
            ]

    def _make_each(self, name: str, jobs: Jobs, *, merged: bool) -> Sequence[SegmentFile]:
        with _open(self._new_sealer()) as sealer:
            return [
                store_segment(self._files, name, segment, merged=merged)
                for job in jobs(sealer)
                for segment in _made(sealer, job)
            ]

    async def _install(
        self,
        segments: Sequence[SegmentFile],
        *,
        sealed_seq: int | None = None,
        version: int | None = None,
        log: str | None = None,
        fields: Mapping[str, Mapping[str, int]] | None = None,
        keep: int = MANIFESTS_KEPT,
    ) -> None:
        """Make these the segments of the store, durably; then take away what nothing needs any more."""
        before = self._state.manifest
        taken = manifest.paths(self._files)
        state = msgspec.structs.replace(
            before,
            generation=1 + (int(taken[-1][-25:-5]) if taken else 0),
            epoch=self._state.epoch,
            segments=list(segments),
            sealed_seq=before.sealed_seq if sealed_seq is None else sealed_seq,
            version=before.version if version is None else version,
            log=before.log if log is None else log,
            fields=before.fields if fields is None else fields,
        )
        try:
            await self._background.run(manifest.write, self._files, state)
        except FileExistsError as error:
            self._state.fenced_by = self._state.epoch + 1
            raise Fenced(
                f"manifest {state.generation} was refused",
                why="another writer has made one with this number",
                next="open the home again; `instar status` says who owns it",
            ) from error
        self._state.manifest = state
        self._show(state.segments)
        purged = keep == 1
        needed = state.segments if purged else [*state.segments, *before.segments]
        await self._background.run(sweep, self._files, state, needed, keep=keep, forget_damaged=purged)

    def _show(self, segments: Sequence[SegmentFile]) -> None:
        """Let reads see these segments, newest first."""
        for segment in segments:
            self._state.collection(segment.collection)
        known = {s.info: s for collection in self._state.collections.values() for s in collection.segments}
        for name, collection in self._state.collections.items():
            own = [segment for segment in segments if segment.collection == name]
            ordered = [*(s for s in reversed(own) if not s.merged), *(s for s in own if s.merged)]
            collection.segments = [known.get(info) or self._reader(info) for info in ordered]

    def _reader(self, info: SegmentFile) -> SealedSegment:
        return SealedSegment(info, self._files, self._state.blocks, self._new_sealer, read_only=self._state.read_only)


def store_segment(files: Files, name: str, segment: Segment, *, merged: bool) -> SegmentFile:
    """Put a segment where its hash says; durable, with its name, when this returns."""
    info = SegmentFile(
        collection=name,
        bucket=segment.bucket,
        merged=merged,
        digest=segment.digest,
        rows=segment.rows,
        tombstones=segment.tombstones,
        bytes=len(segment.parquet),
    )
    files.make_directory(info.directory)
    temporary = f"{info.directory}/new"
    with contextlib.suppress(FileNotFoundError):
        files.unlink(temporary)
    file = files.create(temporary)
    try:
        file.write(0, segment.parquet)
        file.sync()
    finally:
        file.close()
    files.rename(temporary, info.path)
    files.sync_directory(info.directory)
    write_cache(files, info, segment.cache)
    return info


def sweep(
    files: Files, state: Manifest, needed: Sequence[SegmentFile], *, keep: int, forget_damaged: bool = False
) -> None:
    """Unlink logs that are sealed, segments and caches that are not `needed`, and manifests beyond `keep`."""
    digests = {segment.digest for segment in needed}
    doomed = [path for path in paths_of(files) if path.startswith("wal/") and path < state.log]
    doomed += [
        path
        for path in paths_of(files)
        if path.endswith((".parquet", ".rows", "/new")) and path.rpartition("/")[2].partition(".")[0] not in digests
    ]
    doomed += manifest.paths(files)[:-keep]
    if forget_damaged:
        doomed += [f"damaged/{name}" for name in files.list("damaged")]
    for path in doomed:
        files.unlink(path)
    for directory in sorted({path.rpartition("/")[0] for path in doomed}):
        files.sync_directory(directory)


def paths_of(files: Files) -> Sequence[str]:
    """Every file of a store."""
    found = [name for name in files.list("") if name == BALLAST]
    directories = ("wal", manifest.DIRECTORY, "cache", WORDS_DIRECTORY)
    found += [f"{directory}/{name}" for directory in directories for name in files.list(directory)]
    found = [path for path in found if path != WORDS_DIRECTORY]
    for collection in files.list("seg"):
        for bucket in files.list(f"seg/{collection}"):
            found += [f"seg/{collection}/{bucket}/{name}" for name in files.list(f"seg/{collection}/{bucket}")]
    return found


@contextlib.contextmanager
def _open(sealer: Sealer) -> Iterator[Sealer]:
    try:
        yield sealer
    finally:
        sealer.close()


def _made(sealer: Sealer, job: Encode | Merge) -> Sequence[Segment]:
    made = sealer.do(job)
    assert isinstance(made, Made), "the answer to a job that makes segments"
    return made.segments


def _parts(sealer: Sealer, parquet: bytes) -> Parted:
    answer = sealer.do(Part(parquet))
    assert isinstance(answer, Parted), "the answer to a job that parts rows"
    return answer


def _parted(collection: Collection) -> tuple[list[SegmentFile], list[SegmentFile]]:
    """The merged segments of a collection and the others, oldest first."""
    infos = [segment.info for segment in collection.segments]
    return [info for info in infos if info.merged], [info for info in reversed(infos) if not info.merged]


def _holds_any(segment: SealedSegment, hashes: Mapping[bytes, int]) -> bool:
    return any(segment.get(key, hashed) is not None for key, hashed in hashes.items())


def _rows_of(table: Table | None) -> list[Row]:
    assert table is not None, "it was frozen"
    return list(table.scan(b"", None, reverse=False))


def _ids(fields: Mapping[str, Sequence[Column]], before: Manifest) -> dict[str, dict[str, int]]:
    ids = {name: dict(known) for name, known in before.fields.items()}
    for name, columns in fields.items():
        ids.setdefault(name, {}).update({column.name: column.id for column in columns})
    return ids


def _live(table: Table) -> Table:
    """A table without the tombstones of another."""
    live = Table()
    for row in table.scan(b"", None, reverse=False):
        if row.value is not None:
            live.put(row)
    return live


def _batches(tables: Mapping[str, Table]) -> Iterator[list[Op]]:
    """Puts of every row, in transactions well below a frame; at least one, to carry the store's version."""
    batch: list[Op] = []
    size_bytes = 0
    for name, table in tables.items():
        for row in table.rows.values():
            assert row.value is not None, "only live rows are kept"
            batch.append(Put(collection=name, key=row.key, value=row.value, subject=row.subject, version=row.version))
            size_bytes += len(row.key) + len(row.value) + 64
            if size_bytes > FRAME_MAX_BYTES // 4:
                yield batch
                batch, size_bytes = [], 0
    yield batch
