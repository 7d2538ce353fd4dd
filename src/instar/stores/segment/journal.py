"""Group commit: transactions wait here, and one write and one sync make all that wait durable.

The journal owns the log being written and everything that can go wrong with it. A transaction is applied
before it comes here; when its group cannot be written, it and all behind it are rolled back, newest first.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from instar.core.clock import Clock
from instar.core.errors import HomeFull, StorePoisoned
from instar.core.limits import (
    BALLAST_BYTES,
    BUFFERED_LOSS_WINDOW_RECORDS,
    BUFFERED_LOSS_WINDOW_S,
    GROUP_MAX_BYTES,
    KIB,
)
from instar.stores.segment.files import Files
from instar.stores.segment.memtable import Row, Table
from instar.stores.segment.store import Op
from instar.stores.segment.wal import LogWriter, encode_frame, encode_trailer, new_header
from instar.stores.segment.worker import Worker

BALLAST = "ballast"
BALLAST_MIN_BYTES = 128 * KIB  # a store with three messages keeps no more space than this back


class Pending(msgspec.Struct):
    """A transaction that is applied and not yet durable."""

    seq: int
    payload: bytes
    ops: Sequence[Op]
    undo: list[tuple[Table, bytes, Row | None]]
    version_before: int
    version: int
    """Of its last op."""
    may_use_ballast: bool
    """True when it deletes: on a full disk forgetting must still be possible."""
    waiter: asyncio.Future[int] | None = None


class Applier(Protocol):
    """Who applies transactions to the tables."""

    def apply(self, ops: Sequence[Op]) -> Pending:
        """Apply ops as the newest transaction."""

    def roll_back(self, pending: Sequence[Pending]) -> None:
        """Undo transactions, of which the last is the newest."""


class Journal:
    """Writes transactions to the log of one store. Used from one event loop; blocks only its worker."""

    def __init__(
        self, files: Files, applier: Applier, worker: Worker, *, clock: Clock, epoch: int, randomness: random.Random
    ) -> None:
        self._files = files
        self._applier = applier
        self._worker = worker
        self._clock = clock
        self._epoch = epoch
        self._random = randomness
        self._queue: list[Pending] = []
        self._buffered = 0
        self._writing = False
        self._drained: list[asyncio.Future[None]] = []
        self._timer: asyncio.Task[None] | None = None
        self._lost: HomeFull | None = None
        self._ballast_bytes = 0
        self.poison: BaseException | None = None
        self.log: LogWriter | None = None
        self.durable_seq = 0
        self.after_group: Callable[[], None] = lambda: None

    # --- transactions ---------------------------------------------------------------------------

    async def durable(self, pending: Pending) -> int:
        """Return the version when the transaction is durable. Raises `HomeFull` or `StorePoisoned`: then it is undone."""
        pending.waiter = asyncio.get_running_loop().create_future()
        self._queue.append(pending)
        self._start()
        return await pending.waiter

    def buffer(self, pending: Pending) -> None:
        """Take the transaction along with the next group, 50 ms or 100 records from now at the latest."""
        self._queue.append(pending)
        self._buffered += len(pending.ops)
        if self._buffered >= BUFFERED_LOSS_WINDOW_RECORDS:
            self._start()
        elif self._timer is None:
            self._timer = asyncio.ensure_future(self._start_later())

    async def drain(self) -> None:
        """Return when everything that waits is durable. Raises what kept it from that."""
        self.raise_lost()
        while self._queue or self._writing:
            self._start()
            drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drained.append(drained)
            await drained
        self.raise_poison()
        self.raise_lost()

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def raise_poison(self) -> None:
        """Refuse after a failed write or sync."""
        if self.poison is not None:
            raise self._poisoned()

    def raise_lost(self) -> None:
        """Say, once, that buffered transactions found no space."""
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    # --- the log, blocking ----------------------------------------------------------------------

    def new_log(self, first_seq: int) -> LogWriter:
        """Begin a log file behind the others."""
        self._files.make_directory("wal")
        taken = [name for name in self._files.list("wal") if name.startswith(f"{self._epoch:010d}-")]
        number = int(taken[-1][11:17]) + 1 if taken else 0
        path = f"wal/{self._epoch:010d}-{number:06d}.wal"
        return LogWriter.create(self._files, path, new_header(first_seq, self._random))

    def keep_ballast(self, wanted_bytes: int = BALLAST_MIN_BYTES) -> None:
        """Hold space back, as far as there is any, so that forgetting stays possible on a full disk."""
        wanted_bytes = min(BALLAST_BYTES, max(BALLAST_MIN_BYTES, wanted_bytes))
        if self._files.volatile or self._ballast_bytes >= wanted_bytes:
            return
        try:
            there = BALLAST in self._files.list("")
            file = self._files.open(BALLAST) if there else self._files.create(BALLAST)
            try:
                file.resize(wanted_bytes)
                self._ballast_bytes = wanted_bytes
            finally:
                file.close()
        except OSError as error:
            if not is_full(error):
                raise

    def release_ballast(self) -> bool:
        """Give the space back and be frugal with it; False when there was none."""
        if self._files.volatile or BALLAST not in self._files.list(""):
            return False
        self._files.unlink(BALLAST)
        self._ballast_bytes = 0
        if self.log is not None:
            self.log.frugal = True
        return True

    def end_log(self) -> None:
        """Close the log with a trailer that says that all of it is durable."""
        if self.log is None:
            return
        if self.poison is None:
            try:
                self.log.append(encode_trailer(self.log.seed, self.durable_seq))
            except OSError as error:
                if not is_full(error):
                    raise
        self.log.close()

    # --- groups ---------------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin writing with the loop's next turn, so that whoever commits in this one is in the group."""
        if not self._writing:
            self._writing = True
            asyncio.get_running_loop().call_soon(self._next_group)

    async def _start_later(self) -> None:
        await self._clock.sleep(BUFFERED_LOSS_WINDOW_S)
        self._timer = None
        if self._queue:
            self._start()

    def _next_group(self) -> None:
        """Write what waits; with nothing waiting, writing has ended."""
        if self._queue:
            group = self._take_group()
            self._worker.start(lambda: self._write(group), lambda written: self._written(group, written))
            return
        self._writing = False
        drained, self._drained = self._drained, []
        for each in drained:
            if not each.done():
                each.set_result(None)

    def _written(self, group: Sequence[Pending], written: Future[None]) -> None:
        error = written.exception()
        if error is None:
            self.durable_seq = group[-1].seq
            _acknowledge(group)
            self.after_group()
        else:
            waiting, self._queue = [*group, *self._queue], []
            self._fail(waiting, error)
        self._next_group()

    def _take_group(self) -> Sequence[Pending]:
        count = size_bytes = 0
        for pending in self._queue:
            size_bytes += len(pending.payload)
            if size_bytes > GROUP_MAX_BYTES and count:
                break
            count += 1
        group, self._queue = self._queue[:count], self._queue[count:]
        self._buffered = 0 if not self._queue else self._buffered
        return group

    def _write(self, group: Sequence[Pending]) -> None:
        if self.log is None:
            self.log = self.new_log(group[0].seq)
            self.keep_ballast()
        seed = self.log.seed
        frames = [encode_frame(seed, pending.seq, pending.payload) for pending in group]
        self.log.append(b"".join([*frames, encode_trailer(seed, self.durable_seq)]))
        self.log.sync()

    # --- failing --------------------------------------------------------------------------------

    def _fail(self, waiting: Sequence[Pending], error: BaseException) -> None:
        self._applier.roll_back(waiting)
        if not (isinstance(error, OSError) and is_full(error)):
            self.poison = error
            _refuse(waiting, self._poisoned())
            return
        released = any(each.may_use_ballast for each in waiting) and self.release_ballast()
        saved = [each for each in waiting if released and each.may_use_ballast]
        refused = [each for each in waiting if not (released and each.may_use_ballast)]
        for each in saved:
            again = self._applier.apply(each.ops)
            again.waiter = each.waiter
            self._queue.append(again)
        self._refuse_for_space(refused)

    def _refuse_for_space(self, waiting: Sequence[Pending]) -> None:
        if any(each.waiter is None for each in waiting):
            self._lost = full("a buffered write was lost")
        _refuse(waiting, full("a write was refused"))

    def _poisoned(self) -> StorePoisoned:
        return StorePoisoned(
            "a write was refused",
            why=f"an earlier one failed ({self.poison}), so nothing is known of what the disk holds",
            next="see to the disk, then open the home again; `instar doctor` checks it",
        )


def is_full(error: OSError) -> bool:
    """True when it was for want of space."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def full(what: str) -> HomeFull:
    """The error for want of space."""
    return HomeFull(
        what,
        why="there is no space left on the disk; nothing of it was written",
        next="make space; `instar status` says what the home uses, `instar forget` works without more space",
    )


def _acknowledge(group: Sequence[Pending]) -> None:
    for pending in group:
        if pending.waiter is not None and not pending.waiter.done():
            pending.waiter.set_result(pending.version)


def _refuse(waiting: Sequence[Pending], failure: HomeFull | StorePoisoned) -> None:
    for pending in waiting:
        if pending.waiter is not None and not pending.waiter.done():
            pending.waiter.set_exception(failure)
