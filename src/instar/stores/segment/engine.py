"""The embedded engine of one store: a write-ahead log, tables in memory, recovery on open.

A commit is applied to the tables and joins the next group at once; one write and one sync make the whole
group durable, and only then is it acknowledged. Groups end in the order in which they were committed, so
whoever builds on what it read builds on something that is durable first.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from instar.core.clock import Clock
from instar.core.errors import (
    Fenced,
    HomeClosed,
    HomeFull,
    HomeReadOnly,
    RecordTooLarge,
    StoreCorrupt,
    StorePoisoned,
)
from instar.core.limits import (
    BUFFERED_LOSS_WINDOW_RECORDS,
    BUFFERED_LOSS_WINDOW_S,
    FRAME_MAX_BYTES,
    GROUP_MAX_BYTES,
    KEY_MAX_BYTES,
)
from instar.core.records import Durability
from instar.stores.movable import Purged
from instar.stores.segment.files import Files
from instar.stores.segment.memtable import Row, Table
from instar.stores.segment.store import Delete, Entry, Op, Put
from instar.stores.segment.wal import (
    LogContent,
    LogWriter,
    decode_header,
    encode_frame,
    encode_trailer,
    new_header,
    read_log,
)

Result = TypeVar("Result")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, list[Put | Delete]])


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one store."""

    records: Mapping[str, int]
    """Live records by collection."""
    bytes: int
    """On disk, all files."""
    version: int
    log_bytes: int
    """Written to the log and not sealed yet."""


class _Pending(msgspec.Struct):
    """A transaction that is applied and not durable yet."""

    seq: int
    payload: bytes
    records: int
    undo: list[tuple[Table, bytes, Row | None]]
    version_before: int
    waiter: asyncio.Future[None] | None


async def open_engine(
    files: Files,
    *,
    collections: Mapping[str, type[msgspec.Struct]],
    clock: Clock,
    epoch: int,
    read_only: bool = False,
    randomness: random.Random | None = None,
) -> SegmentEngine:
    """Open the store in `files`, or begin one there with the first commit.

    `collections` names every collection with the struct its values are maps of. Raises `StoreCorrupt`
    when acknowledged bytes do not read back; with `read_only` what does is served, and `damage` names
    the rest. Raises `HomeNewer` for a format this version cannot read.
    """
    engine = SegmentEngine(
        files,
        collections=collections,
        clock=clock,
        epoch=epoch,
        read_only=read_only,
        randomness=randomness or random.SystemRandom(),
    )
    await engine.recover()
    return engine


class SegmentEngine:
    """One open store. See `store.Engine` for what each method promises."""

    def __init__(
        self,
        files: Files,
        *,
        collections: Mapping[str, type[msgspec.Struct]],
        clock: Clock,
        epoch: int,
        read_only: bool,
        randomness: random.Random,
    ) -> None:
        self._files = files
        self._clock = clock
        self._epoch = epoch
        self._read_only = read_only
        self._random = randomness
        self._tables = {name: Table() for name in collections}
        self._thread = None if files.volatile else ThreadPoolExecutor(1, thread_name_prefix="instar-store")
        self._log: LogWriter | None = None
        self._version = 0
        self._seq = 0
        self._durable_seq = 0
        self._queue: list[_Pending] = []
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._fenced_by: int | None = None
        self._poison: OSError | None = None
        self._lost: HomeFull | None = None
        self._closed = False
        self.damage: str | None = None
        """What does not read back, when the store was opened for reading all the same."""

    # --- reading --------------------------------------------------------------------------------

    def get(self, collection: str, key: bytes) -> Entry | None:
        row = self._table(collection).rows.get(key)
        return None if row is None or row.value is None else Entry(row.key, row.version, row.value)

    def scan(
        self,
        collection: str,
        *,
        start: bytes = b"",
        stop: bytes | None = None,
        reverse: bool = False,
        tombstones: bool = False,
    ) -> Iterator[Entry]:
        rows = self._table(collection).scan(start, stop, reverse=reverse)
        return (Entry(row.key, row.version, row.value) for row in rows if tombstones or row.value is not None)

    def changes(self, collection: str, since: int, *, limit: int) -> Sequence[Entry]:
        found: list[Entry] = []
        for row in self._table(collection).since(since):
            if len(found) >= limit and row.version != found[-1].version:
                break
            found.append(Entry(row.key, row.version, row.value))
        return found

    def version(self) -> int:
        return self._version

    def stats(self) -> Stats:
        """Figures of this store, counted now."""
        live = {name: sum(row.value is not None for row in t.rows.values()) for name, t in self._tables.items()}
        sizes = {path: len(self._files.read(path)) for path in _paths(self._files)}
        log_bytes = self._log.offset if self._log else 0
        return Stats(records=live, bytes=sum(sizes.values()), version=self._version, log_bytes=log_bytes)

    # --- writing --------------------------------------------------------------------------------

    async def commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        self._refuse_writes()
        ops = [op for op in ops if self._is_news(op)]
        if not ops:
            return self._version
        pending = self._apply(ops)
        version = self._version_of_last(ops, pending)
        if durability == "durable":
            pending.waiter = asyncio.get_running_loop().create_future()
        self._queue.append(pending)
        if pending.waiter is not None:
            self._start_flush()
            await pending.waiter
        elif sum(each.records for each in self._queue) >= BUFFERED_LOSS_WINDOW_RECORDS:
            self._start_flush()
        elif self._timer is None:
            self._timer = asyncio.ensure_future(self._flush_later())
        return version

    async def sync(self) -> None:
        self._refuse_closed()
        self._raise_lost()
        while self._queue or self._flushing:
            self._start_flush()
            assert self._flushing is not None, "there is something to flush"
            await asyncio.shield(self._flushing)
            self._raise_poison()
            self._raise_lost()

    def fence(self, epoch: int) -> None:
        if epoch > self._epoch:
            self._fenced_by = max(epoch, self._fenced_by or 0)

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        self._refuse_writes()
        await self.sync()
        for table in self._tables.values():
            for key in [row.key for row in table.rows.values() if row.value is None]:
                table.restore(key, None)
        await self._blocking(self._rewrite_log)
        return await self._blocking(lambda: _searched(self._files, needles))

    async def close(self) -> None:
        if self._closed:
            return
        try:
            if not self._read_only and self._poison is None:
                await self.sync()
        finally:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            if self._log is not None:
                await self._blocking(self._close_log)
            if self._thread is not None:
                self._thread.shutdown()

    # --- opening --------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Read the log back into the tables and take up where it ends."""
        await self._blocking(self._recover)

    def _recover(self) -> None:
        names = [f"wal/{name}" for name in self._files.list("wal")]
        for path in names:
            data = self._files.read(path)
            header = decode_header(data, path)
            if header is None:
                self._drop_unbegun(path, data, last=path == names[-1])
                continue
            content = read_log(data, header)
            self._replay(content)
            last = path == names[-1]
            if content.tail == "corrupt":
                self._corrupt(f"{path}, bytes {content.stop} and on", "frames that were durable do not check")
            if last and not self._read_only:
                self._log = LogWriter.resume(self._files, path, content, data)
        self._durable_seq = self._seq

    def _drop_unbegun(self, path: str, data: memoryview, *, last: bool) -> None:
        """A file whose header never reached the disk holds nothing: the header is synced before any frame."""
        if not last or bytes(data).strip(b"\x00"):
            self._corrupt(path, "its header does not check")
        if not self._read_only:
            self._files.unlink(path)
            self._files.sync_directory("wal")

    def _corrupt(self, where: str, why: str) -> None:
        if not self._read_only:
            raise StoreCorrupt(
                f"the log is damaged at {where}", why=why, next="run `instar doctor`, then `instar doctor --repair`"
            )
        self.damage = f"{where}: {why}"

    def _replay(self, content: LogContent) -> None:
        for frame in content.frames:
            before, ops = _decoder.decode(frame.payload)
            self._version = max(self._version, before)
            for op in ops:
                self._put(op, frame.seq)
            self._seq = max(self._seq, frame.seq)

    # --- applying -------------------------------------------------------------------------------

    def _is_news(self, op: Op) -> bool:
        """False for an op with a given version that is not above what is there."""
        if len(op.key) > KEY_MAX_BYTES:
            raise RecordTooLarge(
                f"a key of {op.collection} has {len(op.key):,} bytes",
                why=f"the bound is {KEY_MAX_BYTES:,} bytes",
                next="use shorter ids",
            )
        if op.version is None:
            return True
        known = self._table(op.collection).rows.get(op.key)
        return known is None or known.version < op.version

    def _apply(self, ops: Sequence[Op]) -> _Pending:
        version_before = self._version
        payload = _encoder.encode((version_before, ops))
        if len(payload) > FRAME_MAX_BYTES:
            raise RecordTooLarge(
                f"a transaction has {len(payload):,} bytes",
                why=f"the bound is {FRAME_MAX_BYTES:,} bytes",
                next="write less at once",
            )
        self._seq += 1
        undo = [self._put(op, self._seq) for op in ops]
        return _Pending(self._seq, payload, len(ops), undo, version_before, None)

    def _put(self, op: Op, seq: int) -> tuple[Table, bytes, Row | None]:
        version = self._version + 1 if op.version is None else op.version
        self._version = max(self._version, version)
        table = self._table(op.collection)
        row = Row(op.key, version, seq, op.subject, op.value if isinstance(op, Put) else None)
        return table, op.key, table.put(row)

    def _version_of_last(self, ops: Sequence[Op], pending: _Pending) -> int:
        table, key, _ = pending.undo[-1]
        return table.rows[key].version

    def _roll_back(self, pending: Sequence[_Pending]) -> None:
        """Undo transactions that did not reach the disk, newest first."""
        for each in reversed(pending):
            for table, key, row in reversed(each.undo):
                table.restore(key, row)
            self._version = each.version_before
            self._seq = each.seq - 1

    # --- groups ---------------------------------------------------------------------------------

    def _start_flush(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush())

    async def _flush_later(self) -> None:
        await self._clock.sleep(BUFFERED_LOSS_WINDOW_S)
        self._timer = None
        if self._queue:
            self._start_flush()

    async def _flush(self) -> None:
        """Write group after group until nothing waits."""
        try:
            while self._queue:
                group = self._take_group()
                try:
                    await self._blocking(lambda group=group: self._write(group))  # type: ignore[misc]
                except OSError as error:
                    self._fail([*group, *self._queue], error)
                    self._queue.clear()
                    continue
                self._durable_seq = group[-1].seq
                for pending in group:
                    if pending.waiter is not None and not pending.waiter.done():
                        pending.waiter.set_result(None)
        finally:
            self._flushing = None

    def _take_group(self) -> list[_Pending]:
        size_bytes = 0
        for count, pending in enumerate(self._queue):
            size_bytes += len(pending.payload)
            if size_bytes > GROUP_MAX_BYTES and count:
                break
        else:
            count = len(self._queue)
        group, self._queue = self._queue[:count], self._queue[count:]
        return group

    def _write(self, group: Sequence[_Pending]) -> None:
        if self._log is None:
            self._log = self._new_log(group[0].seq)
        seed = self._log.seed
        frames = [encode_frame(seed, pending.seq, pending.payload) for pending in group]
        self._log.append(b"".join([*frames, encode_trailer(seed, self._durable_seq)]))
        self._log.sync()

    def _new_log(self, first_seq: int) -> LogWriter:
        self._files.make_directory("wal")
        number = len(self._files.list("wal"))
        path = f"wal/{self._epoch:010d}-{first_seq:016d}-{number:04d}.wal"
        return LogWriter.create(self._files, path, new_header(first_seq, self._random))

    def _fail(self, pending: Sequence[_Pending], error: OSError) -> None:
        self._roll_back(pending)
        failure: HomeFull | StorePoisoned
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            failure = HomeFull(
                "a write was refused",
                why="there is no space left on the disk; nothing of it was written",
                next="make space, or see what uses it with `instar status`",
            )
            if any(each.waiter is None for each in pending):
                self._lost = failure
        else:
            self._poison = error
            failure = self._poisoned()
        for each in pending:
            if each.waiter is not None and not each.waiter.done():
                each.waiter.set_exception(failure)

    # --- purging --------------------------------------------------------------------------------

    def _rewrite_log(self) -> None:
        """Write what is live into a new log, then take the old ones away."""
        old = [f"wal/{name}" for name in self._files.list("wal")]
        if self._log is not None:
            self._log.close()
        self._seq += 1
        log = self._new_log(self._seq)
        ops = [
            Put(collection=name, key=row.key, value=row.value, subject=row.subject, version=row.version)
            for name, table in self._tables.items()
            for row in table.rows.values()
            if row.value is not None
        ]
        frames = []
        for batch in _batches(ops):
            frames.append(encode_frame(log.seed, self._seq, _encoder.encode((self._version, batch))))
            self._seq += 1
        self._seq -= 1
        log.append(b"".join([*frames, encode_trailer(log.seed, self._durable_seq)]))
        log.sync()
        self._durable_seq = self._seq
        self._log = log
        for path in old:
            self._files.unlink(path)
        self._files.sync_directory("wal")

    def _close_log(self) -> None:
        assert self._log is not None, "there is a log"
        if self._poison is None and self._fenced_by is None:
            self._log.append(encode_trailer(self._log.seed, self._durable_seq))
        self._log.close()

    # --- refusing -------------------------------------------------------------------------------

    def _table(self, collection: str) -> Table:
        self._refuse_closed()
        return self._tables[collection]

    def _refuse_closed(self) -> None:
        if self._closed:
            raise HomeClosed("the store is closed", why="its home was closed", next="open the home again")

    def _refuse_writes(self) -> None:
        self._refuse_closed()
        if self._read_only:
            raise HomeReadOnly(
                "a write was refused", why="the store was opened for reading", next="open the home for writing"
            )
        if self._fenced_by is not None:
            raise Fenced(
                f"a write with epoch {self._epoch} was refused",
                why=f"epoch {self._fenced_by} has taken over",
                next="open the home again; `instar status` says where it is now",
            )
        self._raise_poison()
        self._raise_lost()

    def _raise_poison(self) -> None:
        if self._poison is not None:
            raise self._poisoned()

    def _poisoned(self) -> StorePoisoned:
        return StorePoisoned(
            "a write was refused",
            why=f"an earlier one failed ({self._poison}), so nothing is known of what the disk holds",
            next="see to the disk, then open the home again; `instar doctor` checks it",
        )

    def _raise_lost(self) -> None:
        """Say once that buffered writes were lost."""
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def _blocking(self, work: Callable[[], Result]) -> Awaitable[Result]:
        if self._thread is not None:
            return asyncio.get_running_loop().run_in_executor(self._thread, work)
        return _at_once(work)


async def _at_once(work: Callable[[], Result]) -> Result:
    return work()


def _batches(ops: Sequence[Put]) -> Iterator[Sequence[Put]]:
    """At least one batch, each well below a frame."""
    batch: list[Put] = []
    size_bytes = 0
    for op in ops:
        size_bytes += len(op.key) + len(op.value) + 64
        if batch and size_bytes > FRAME_MAX_BYTES // 2:
            yield batch
            batch, size_bytes = [], len(op.key) + len(op.value) + 64
        batch.append(op)
    yield batch


def _paths(files: Files) -> list[str]:
    return [f"wal/{name}" for name in files.list("wal")]


def _searched(files: Files, needles: Sequence[bytes]) -> Purged:
    """Look for every needle in every byte."""
    scanned = found = 0
    for path in _paths(files):
        data = bytes(files.read(path))
        scanned += len(data)
        found += sum(data.count(needle) for needle in needles)
    return Purged(bytes_scanned=scanned, found=found)
