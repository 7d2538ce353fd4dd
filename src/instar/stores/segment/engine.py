"""The embedded engine of one store: a write-ahead log, sealed segments, and what is read from both.

A commit is applied at once and joins the next group; one write and one sync make the whole group durable,
and only then is it acknowledged. Groups end in the order in which they were committed, so whoever builds on
what it read builds on something that is durable first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from instar.core.clock import Clock
from instar.core.errors import Fenced, HomeClosed, HomeError, HomeFull, HomeReadOnly, RecordTooLarge
from instar.core.limits import (
    FRAME_MAX_BYTES,
    KEY_MAX_BYTES,
    MIB,
    SEAL_IDLE_S,
    WAL_SEGMENT_BYTES,
    WAL_UNSEALED_MAX_BYTES,
)
from instar.core.records import Durability
from instar.stores.movable import Purged
from instar.stores.segment.collection import Collection
from instar.stores.segment.files import Files
from instar.stores.segment.journal import Journal, Pending
from instar.stores.segment.memtable import Row, Table
from instar.stores.segment.recovery import recover
from instar.stores.segment.seal import Sealer, SpawnedSealer
from instar.stores.segment.store import Delete, Engine, Entry, Op, Put
from instar.stores.segment.upkeep import Begun, Result, State, Upkeep, paths_of
from instar.stores.segment.wal import Frame
from instar.stores.segment.worker import Worker

SEAL_ON_CLOSE_BYTES = 2 * MIB  # what the next process would have to replay: a few tens of milliseconds

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, list[Put | Delete]])


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one store."""

    records: dict[str, int]
    """Live records by collection."""
    version: int
    bytes: int
    """On disk, all files."""
    bytes_by_kind: dict[str, int]
    """On disk, by the first part of the path: wal, seg, cache, manifest, ballast."""
    files: int
    segments: int
    log_bytes: int
    """Written to the log and not sealed."""
    seal_failure: str | None
    """Why the last sealing failed; None when it did not."""


class SegmentListing(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file that other programs may read."""

    path: str
    """Below the store's directory."""
    collection: str
    rows: int
    bytes: int


async def open_engine(
    files: Files,
    *,
    collections: Mapping[str, type[msgspec.Struct]],
    clock: Clock,
    epoch: int,
    read_only: bool = False,
    randomness: random.Random | None = None,
    sealer: Callable[[], Sealer] = SpawnedSealer,
    inline: bool = False,
) -> SegmentEngine:
    """Open the store in `files`, or begin one there with the first commit.

    `collections` names every collection with the struct its values are maps of. Raises `StoreCorrupt`
    when acknowledged bytes do not read back; with `read_only` what does is served, and `damage` names
    the rest. Raises `HomeNewer` for a format this version cannot read, and `Fenced` when a higher epoch
    wrote here. `sealer` makes segments; `inline` runs everything on the event loop, for simulated files.
    """
    state = State(files, collections, epoch=epoch, read_only=read_only)
    engine = SegmentEngine(
        state, clock=clock, randomness=randomness or random.SystemRandom(), sealer=sealer, inline=inline
    )
    await engine.recover()
    return engine


class SegmentEngine:
    """One open store. See `store.Engine` for what each method promises."""

    def __init__(
        self, state: State, *, clock: Clock, randomness: random.Random, sealer: Callable[[], Sealer], inline: bool
    ) -> None:
        self._state = state
        self._clock = clock
        self._worker = Worker("instar-store", inline=inline or state.files.volatile)
        self._journal = Journal(state.files, self, self._worker, clock=clock, epoch=state.epoch, randomness=randomness)
        self._journal.after_group = self._seal_when_long
        background = Worker("instar-seal", inline=inline)
        self._upkeep = Upkeep(state, self._journal, self._worker, background, sealer=sealer, encode_ops=_encode_ops)
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: asyncio.Task[None] | None = None
        self._sealing: asyncio.Task[None] | None = None
        self._commits = 0
        self._seal_failure: HomeError | None = None
        self._closing = False
        self._closed = False
        self.damage: Sequence[str] = ()
        """What does not read back; empty unless the store was opened for reading all the same."""

    # --- reading --------------------------------------------------------------------------------

    def get(self, collection: str, key: bytes) -> Entry | None:
        row = self._collection(collection).newest(key)
        return None if row is None or row.value is None else Entry(row.key, row.version, row.value)

    def newest(self, collection: str, key: bytes) -> Entry | None:
        row = self._collection(collection).newest(key)
        return None if row is None else Entry(row.key, row.version, row.value)

    def scan(
        self,
        collection: str,
        *,
        start: bytes = b"",
        stop: bytes | None = None,
        reverse: bool = False,
        tombstones: bool = False,
    ) -> Iterator[Entry]:
        rows = self._collection(collection).scan(start, stop, reverse=reverse)
        return (Entry(row.key, row.version, row.value) for row in rows if tombstones or row.value is not None)

    def changes(self, collection: str, since: int, *, limit: int) -> Sequence[Entry]:
        found: list[Entry] = []
        for row in self._collection(collection).since(since):
            if len(found) >= limit and row.version != found[-1].version:
                break
            found.append(Entry(row.key, row.version, row.value))
        return found

    def version(self) -> int:
        return self._state.version

    def files(self, collection: str) -> Sequence[SegmentListing]:
        """The Parquet files that hold what is sealed of a collection."""
        return [
            SegmentListing(path=info.path, collection=collection, rows=info.rows, bytes=info.bytes)
            for info in self._state.manifest.segments
            if info.collection == collection
        ]

    def stats(self) -> Stats:
        """Figures of this store, counted now."""
        sizes = {path: len(self._state.files.read(path)) for path in paths_of(self._state.files)}
        kinds = sorted({path.partition("/")[0] for path in sizes})
        return Stats(
            records={name: collection.live() for name, collection in self._state.collections.items()},
            version=self._state.version,
            bytes=sum(sizes.values()),
            bytes_by_kind={kind: sum(n for path, n in sizes.items() if path.startswith(kind)) for kind in kinds},
            files=len(sizes),
            segments=len(self._state.manifest.segments),
            log_bytes=self._upkeep.log_bytes,
            seal_failure=str(self._seal_failure) if self._seal_failure else None,
        )

    async def undisturbed(self, begin: Callable[[Files], Begun], go_on: Callable[[Files, Begun], Result]) -> Result:
        """Run `begin` while everything is durable and no write is under way, then `go_on` while no file is taken away."""
        self._refuse_closed()
        return await self._upkeep.undisturbed(begin, go_on)

    # --- writing --------------------------------------------------------------------------------

    async def commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        await self._admitted()
        while self._upkeep.log_bytes >= WAL_UNSEALED_MAX_BYTES:
            await self._shorter_log()
            await self._admitted()
        ops = [op for op in ops if self._is_news(op)]
        if not ops:
            return self._state.version
        pending = self.apply(ops)
        self._commits += 1
        self._watch_idle()
        if durability == "durable":
            return await self._journal.durable(pending)
        self._journal.buffer(pending)
        return pending.version

    async def sync(self) -> None:
        self._refuse_closed()
        await self._journal.drain()

    def fence(self, epoch: int) -> None:
        if epoch > self._state.epoch:
            self._state.fenced_by = max(epoch, self._state.fenced_by or 0)

    async def seal(self) -> None:
        self._refuse_writes()
        await self._upkeep.seal()
        self._seal_failure = None

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        self._refuse_writes()
        return await self._upkeep.purge(needles)

    async def close(self) -> None:
        if self._closed:
            return
        self._closing = True
        try:
            await self._end()
        finally:
            self._closed = True
            self._journal.stop()
            await self._stop_tasks()
            await self._upkeep.close()
            await self._worker.run(self._journal.end_log)
            self._worker.close()

    # --- applying -------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Read back what the files hold, and take up where the log ends."""
        state = self._state
        found = await self._worker.run(recover, state.files, read_only=state.read_only, replay=self._replay)
        if found.manifest.epoch > state.epoch:
            raise Fenced(
                f"opening with epoch {state.epoch} was refused",
                why=f"epoch {found.manifest.epoch} wrote here",
                next="open the home again; `instar status` says who owns it",
            )
        self.damage = found.damage
        state.version = max(state.version, found.manifest.version)
        state.seq = self._journal.durable_seq = found.last_seq
        self._journal.log = found.log
        self._upkeep.load(found.manifest, found.sealed_log_bytes)
        if state.read_only:
            await self._worker.run(self._upkeep.open_segments)

    def apply(self, ops: Sequence[Op]) -> Pending:
        """Apply ops as the newest transaction."""
        state = self._state
        version_before = state.version
        payload = _encode_ops(version_before, ops)
        if len(payload) > FRAME_MAX_BYTES:
            raise RecordTooLarge(
                f"a transaction has {len(payload):,} bytes",
                why=f"the bound is {FRAME_MAX_BYTES:,} bytes",
                next="write less at once",
            )
        state.seq += 1
        undo = [self._put(op, state.seq) for op in ops]
        last = ops[-1].version
        return Pending(
            seq=state.seq,
            payload=payload,
            ops=ops,
            undo=undo,
            version_before=version_before,
            version=state.version if last is None else last,
            may_use_ballast=any(isinstance(op, Delete) for op in ops),
        )

    def roll_back(self, pending: Sequence[Pending]) -> None:
        """Undo transactions, of which the last is the newest."""
        for each in reversed(pending):
            for table, key, row in reversed(each.undo):
                table.restore(key, row)
            self._state.version = each.version_before
            self._state.seq = each.seq - 1

    def _put(self, op: Op, seq: int) -> tuple[Table, bytes, Row | None]:
        state = self._state
        version = op.version
        if version is None:
            version = state.version = state.version + 1
        elif version > state.version:
            state.version = version
        table = state.collections[op.collection].table
        row = Row(op.key, version, seq, op.subject, op.value if type(op) is Put else None)
        return table, op.key, table.put(row)

    def _replay(self, frame: Frame) -> None:
        before, ops = _decoder.decode(frame.payload)
        self._state.version = max(self._state.version, before)
        for op in ops:
            self._state.collection(op.collection)
            self._put(op, frame.seq)

    def _is_news(self, op: Op) -> bool:
        """False for an op with a given version that is not above what is there."""
        if len(op.key) > KEY_MAX_BYTES:
            raise RecordTooLarge(
                f"a key of {op.collection} has {len(op.key):,} bytes",
                why=f"the bound is {KEY_MAX_BYTES:,} bytes",
                next="use shorter ids",
            )
        assert op.collection in self._state.collections, f"{op.collection} is not a collection of this store"
        if op.version is None:
            return True
        known = self._state.collections[op.collection].newest(op.key)
        return known is None or known.version < op.version

    # --- sealing by itself ----------------------------------------------------------------------

    def _seal_when_long(self) -> None:
        if self._upkeep.log_bytes >= WAL_SEGMENT_BYTES and not self._upkeep.running:
            self._sealed()

    def _sealed(self) -> asyncio.Task[None]:
        """The sealing of a long log that is under way, or a new one."""
        if self._sealing is None or self._sealing.done():
            self._sealing = self._spawn(self._seal_quietly())
        return self._sealing

    def _watch_idle(self) -> None:
        if self._idle is None and not self._state.files.volatile:
            self._idle = self._spawn(self._seal_when_idle())

    async def _seal_when_idle(self) -> None:
        """Seal once nothing has been written for a minute."""
        seen = -1
        while seen != self._commits:
            seen = self._commits
            await self._clock.sleep(SEAL_IDLE_S)
        self._idle = None
        await self._seal_quietly()

    async def _seal_quietly(self) -> None:
        """Seal; a failure is a figure in `stats`, and refuses writes once the log has reached its bound."""
        try:
            await self._upkeep.seal()
            self._seal_failure = None
        except HomeError as error:
            self._seal_failure = error

    async def _admitted(self) -> None:
        await self._upkeep.admitted()
        self._refuse_writes()

    async def _shorter_log(self) -> None:
        """Let a log at its bound be sealed: who writes faster than that waits. Raises `HomeFull` when it fails."""
        sealing = self._sealed()
        await self._upkeep.shorter(sealing)
        self._refuse_writes()
        if not sealing.done():
            return
        sealing.result()
        if self._seal_failure is not None and self._upkeep.log_bytes >= WAL_UNSEALED_MAX_BYTES:
            raise HomeFull(
                "a write was refused",
                why=f"the log has reached {WAL_UNSEALED_MAX_BYTES:,} bytes and sealing it failed: {self._seal_failure}",
                next="`instar doctor` says what keeps it from being sealed",
            ) from self._seal_failure

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- ending and refusing --------------------------------------------------------------------

    async def _end(self) -> None:
        if self._state.read_only or self._journal.poison is not None:
            return
        await self._journal.drain()
        if self._upkeep.log_bytes >= SEAL_ON_CLOSE_BYTES and not self._state.files.volatile:
            await self._seal_quietly()

    async def _stop_tasks(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _collection(self, name: str) -> Collection:
        self._refuse_closed()
        return self._state.collections[name]

    def _refuse_closed(self) -> None:
        if self._closed:
            raise _closed()

    def _refuse_writes(self) -> None:
        if self._closing:
            raise _closed()
        if self._state.read_only:
            raise HomeReadOnly(
                "a write was refused", why="the store was opened for reading", next="open the home for writing"
            )
        if self._state.fenced_by is not None:
            raise Fenced(
                f"a write with epoch {self._state.epoch} was refused",
                why=f"epoch {self._state.fenced_by} has taken over",
                next="open the home again; `instar status` says where it is now",
            )
        self._journal.raise_poison()
        self._journal.raise_lost()


def _closed() -> HomeClosed:
    return HomeClosed("the store is closed", why="its home was closed", next="open the home again")


def _encode_ops(version: int, ops: Sequence[Op]) -> bytes:
    """A transaction as it stands in a frame: the version before it, and its ops."""
    return _encoder.encode((version, ops))


if TYPE_CHECKING:
    _fulfils: type[Engine] = SegmentEngine
