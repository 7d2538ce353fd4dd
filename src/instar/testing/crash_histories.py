"""Random lives of a store on a disk that loses power: nothing acknowledged may be lost, nothing undone come back.

A history is a few lives of one store. Each life commits, buffers, deletes, seals, purges, is closed, killed, or
ends in a power loss at a random call; the disk may run full or fail a sync. After every life the store must
open without complaint and hold exactly what some prefix of the commits gives, in their order, that
includes every acknowledged one.

The machine of a history is drawn with it: how long records are, how often what happens, how the crash falls.
(Groce et al. 2012, "Swarm testing": histories that leave things out find more than those that do everything.)
"""

from __future__ import annotations

import asyncio
import errno
import random
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from instar.core.clock import ManualClock
from instar.core.errors import HomeError, HomeFull, StoreCorrupt, StorePoisoned
from instar.stores.segment import upkeep
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import Files
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Delete, Op, Put
from instar.testing.outcome import Outcome
from instar.testing.simulated_files import PowerLoss, SimulatedFiles

Result = TypeVar("Result")
State = Mapping[bytes, bytes]
Wrap = Callable[[SimulatedFiles], Files]
STEPS_MAX = 30
UNFORESEEN = (HomeError, OSError, ValueError, LookupError, TypeError, AssertionError, msgspec.MsgspecError, zlib.error)
"""What a store raises that took damaged bytes for good ones."""
KEYS = [f"key {number:02d}".encode() for number in range(12)]


Draw = Callable[[random.Random], "Machine"]


class Note(msgspec.Struct, kw_only=True):
    """What a history stores."""

    text: str


class Broken(Exception):
    """A history in which a promise did not hold."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn for one history: its shape, and how the world treats it."""

    lives: int
    weights: Sequence[int]
    text_bytes: int
    same_length: bool
    deletes: float
    ops_max: int
    together: Sequence[int]
    calls_max: int
    counted: str | None
    failing_syncs: float
    capacity_bytes: int | None
    power: float


def drawn(randomness: random.Random) -> Machine:
    """Anything."""
    capacity_bytes = randomness.choice((None, None, None, None, 200_000, 400_000))
    return Machine(
        lives=randomness.randint(2, 6),
        weights=[
            randomness.choice((1, 8)),  # durable commits, one or several at once
            randomness.choice((0, 0, 4)) if capacity_bytes is None else 0,  # buffered: a full disk may take them
            randomness.choice((0, 1)),  # sync
            randomness.choice((0, 0, 1)),  # seal
            randomness.choice((0, 0, 1)),  # purge
        ],
        text_bytes=randomness.choice((1, 40, 40, 400, 700, 3_000)),
        same_length=randomness.random() < 0.7,
        deletes=randomness.choice((0.0, 0.2, 0.2)),
        ops_max=randomness.choice((1, 1, 3)),
        together=randomness.choice(((1,), (2,), (1, 2), (1, 2, 3, 4))),
        calls_max=randomness.choice((12, 40, 150)),
        counted=None,
        failing_syncs=randomness.choice((0.0, 0.0, 0.0, 0.05)),
        capacity_bytes=capacity_bytes,
        power=randomness.choice((0.9, 0.9, 0.2)),
    )


def restless(randomness: random.Random) -> Machine:
    """Many short lives, each losing power at one of its first syncs, with records of one length.

    Finds what shows only when an unfinished write lies where the next one goes.
    """
    return Machine(
        lives=8,
        weights=(1, 0, 0, 0, 0),
        text_bytes=randomness.choice((500, 700, 1_000)),
        same_length=True,
        deletes=0.0,
        ops_max=1,
        together=(2,),
        calls_max=2,
        counted="sync",
        failing_syncs=0.0,
        capacity_bytes=None,
        power=1.0,
    )


def sealing(randomness: random.Random) -> Machine:
    """Stores that are sealed often and lose power some time later."""
    return Machine(
        lives=6,
        weights=(2, 0, 0, 1, 0),
        text_bytes=randomness.choice((700, 3_000)),
        same_length=False,
        deletes=0.2,
        ops_max=3,
        together=(1, 2),
        calls_max=150,
        counted=None,
        failing_syncs=0.0,
        capacity_bytes=None,
        power=1.0,
    )


def mixed(randomness: random.Random) -> Machine:
    """One history in eight is restless, the others are drawn from everything."""
    return restless(randomness) if randomness.random() < 1 / 8 else drawn(randomness)


class _Transaction(msgspec.Struct):
    ops: Sequence[Op]
    acknowledged: bool = False
    refused: bool = False


class History:
    """One store, its disk, and what it may hold."""

    def __init__(self, seed: int, wrap: Wrap = lambda files: files, draw: Draw = mixed) -> None:
        self._random = random.Random(seed)
        self._machine = draw(self._random)
        self._disk = SimulatedFiles(self._random)
        self._files = wrap(self._disk)
        self._base: dict[bytes, bytes] = {}
        self._transactions: list[_Transaction] = []
        self._count = 0
        self._epoch = 0
        self.acknowledged = 0

    async def run(self) -> None:
        """Live through it. Raises `Broken`."""
        for _ in range(self._machine.lives):
            await self._life()
        self._disk.capacity_bytes = None
        self._disk.fail = lambda _call, _path: None
        engine = await self._opened()
        self._check(engine)
        await engine.close()
        await self._end_tasks()

    async def _life(self) -> None:
        machine = self._machine
        self._disk.capacity_bytes = machine.capacity_bytes
        self._disk.fail = self._failure
        self._disk.counted = machine.counted
        self._disk.calls_left = self._random.randint(0, machine.calls_max)
        try:
            engine = await self._until_off(self._opened())
            if engine is not None:
                self._check(engine)
                await self._work(engine)
        except (HomeFull, StorePoisoned, OSError, PowerLoss):
            self._disk.off = True
        await self._end_tasks()
        if self._random.random() < machine.power:
            self._disk.crash()
        self._disk.restart()

    async def _work(self, engine: SegmentEngine) -> None:
        steps = (self._commit, self._buffer, self._sync, self._seal, self._purge)
        for _ in range(self._random.randint(0, STEPS_MAX)):
            step = self._random.choices(steps, self._machine.weights)[0]
            await self._until_off(step(engine))
            if self._disk.off:
                return
        if self._random.random() < 0.7:
            await self._until_off(self._closed(engine))

    async def _opened(self) -> SegmentEngine:
        self._epoch += 1
        try:
            return await open_engine(
                self._files,
                collections={"notes": Note},
                clock=ManualClock(),
                epoch=self._epoch,
                randomness=self._random,
                sealer=InlineSealer,
                inline=True,
            )
        except StoreCorrupt as error:
            raise Broken(f"the store does not open: {error}") from error

    # --- steps ----------------------------------------------------------------------------------

    async def _commit(self, engine: SegmentEngine) -> None:
        transactions = [self._transaction() for _ in range(self._random.choice(self._machine.together))]
        await asyncio.gather(*(self._acknowledged(engine, each) for each in transactions))

    async def _acknowledged(self, engine: SegmentEngine, transaction: _Transaction) -> None:
        self._transactions.append(transaction)
        try:
            await engine.commit(transaction.ops)
        except HomeFull:
            transaction.refused = True
        else:
            self._acknowledge(transaction)

    async def _buffer(self, engine: SegmentEngine) -> None:
        transaction = self._transaction()
        self._transactions.append(transaction)
        await engine.commit(transaction.ops, durability="buffered")

    async def _sync(self, engine: SegmentEngine) -> None:
        await engine.sync()
        if self._transactions:
            self._acknowledge(self._transactions[-1])

    async def _seal(self, engine: SegmentEngine) -> None:
        await self._as_space_allows(engine.seal())

    async def _purge(self, engine: SegmentEngine) -> None:
        await self._as_space_allows(engine.purge([b"nothing has this"]))
        self._compare("a purge changed what is there", engine)

    async def _closed(self, engine: SegmentEngine) -> None:
        await self._as_space_allows(engine.close())

    async def _as_space_allows(self, work: Awaitable[object]) -> None:
        try:
            await work
        except (HomeFull, OSError) as error:
            if self._machine.capacity_bytes is None and not self._machine.failing_syncs:
                raise Broken(f"an error for no reason: {error}") from error

    def _transaction(self) -> _Transaction:
        return _Transaction([self._op() for _ in range(self._random.randint(1, self._machine.ops_max))])

    def _op(self) -> Op:
        self._count += 1
        key = self._random.choice(KEYS)
        if self._random.random() < self._machine.deletes:
            return Delete(collection="notes", key=key)
        size = (
            self._machine.text_bytes if self._machine.same_length else self._random.randint(1, self._machine.text_bytes)
        )
        text = f"{self._count:06d}".ljust(size, "x")
        return Put(collection="notes", key=key, value=msgspec.msgpack.encode(Note(text=text)))

    # --- checking -------------------------------------------------------------------------------

    def _acknowledge(self, transaction: _Transaction) -> None:
        """Everything up to this one is durable now."""
        transaction.acknowledged = True
        self.acknowledged += 1

    def _check(self, engine: SegmentEngine) -> None:
        """What is there must be what a prefix gives that holds all that was acknowledged; it is what counts from now on."""
        found = _held(engine)
        states = self._allowed()
        if found not in states:
            raise Broken(f"after reopening: {_difference(found, states[0])}")
        self._base = found
        self._transactions = []

    def _compare(self, what: str, engine: SegmentEngine) -> None:
        if not self._disk.off and _held(engine) not in self._allowed():
            raise Broken(what)

    def _allowed(self) -> list[dict[bytes, bytes]]:
        """The state after the last acknowledged transaction, and after each that came behind it."""
        state = dict(self._base)
        done = [each for each in self._transactions if not each.refused]
        last = max((at for at, each in enumerate(done) if each.acknowledged), default=-1)
        for each in done[: last + 1]:
            _change(state, each.ops)
        states = [dict(state)]
        for each in done[last + 1 :]:
            _change(state, each.ops)
            states.append(dict(state))
        return states

    # --- running --------------------------------------------------------------------------------

    async def _until_off(self, work: Awaitable[Result]) -> Result | None:
        """Run until it ends or the power does; nothing ends by itself once the power is gone."""
        task = asyncio.ensure_future(work)
        while not task.done() and not self._disk.off:  # noqa: ASYNC110 - all work is on this loop; nothing waits
            await asyncio.sleep(0)
        if self._disk.off:
            await self._end_tasks()
            return None
        return task.result()

    async def _end_tasks(self) -> None:
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        unforeseen = [r for r in results if isinstance(r, Exception) and not isinstance(r, HomeError | OSError)]
        if unforeseen:
            raise Broken(f"an unforeseen error: {unforeseen[0]!r}") from unforeseen[0]

    def _failure(self, call: str, path: str) -> int | None:
        failing = call == "sync" and self._random.random() < self._machine.failing_syncs
        return errno.EIO if failing else None


def _held(engine: SegmentEngine) -> dict[bytes, bytes]:
    """The live texts; read forwards and backwards, which must agree."""
    up = [(entry.key, entry.value or b"") for entry in engine.scan("notes")]
    if up != [(entry.key, entry.value or b"") for entry in engine.scan("notes", reverse=True)][::-1]:
        raise Broken("a scan backwards is not the scan forwards turned round")
    return dict(up)


def _change(state: dict[bytes, bytes], ops: Sequence[Op]) -> None:
    for op in ops:
        if isinstance(op, Put):
            state[op.key] = op.value
        else:
            state.pop(op.key, None)


def _difference(found: State, wanted: State) -> str:
    keys = sorted(found.keys() | wanted.keys())
    different = [key.decode() for key in keys if found.get(key) != wanted.get(key)]
    return (
        f"{len(different)} keys are not what was acknowledged last, among them {different[0]!r}" if different else "-"
    )


def _quietly(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What is left of a life that ended is no news."""
    if not isinstance(context.get("exception"), PowerLoss | HomeError | OSError):
        loop.default_exception_handler(context)


async def _first_broken(seed: int, count: int, wrap: Wrap, draw: Draw) -> tuple[int, str | None, int]:
    asyncio.get_running_loop().set_exception_handler(_quietly)
    acknowledged = 0
    for number in range(count):
        history = History(seed + number, wrap, draw)
        try:
            await history.run()
        except Broken as broken:
            return number + 1, f"seed {seed + number}: {broken}", acknowledged
        except UNFORESEEN as error:
            return number + 1, f"seed {seed + number}: {error!r}", acknowledged
        finally:
            acknowledged += history.acknowledged
    return count, None, acknowledged


def first_broken(
    seed: int, count: int, wrap: Wrap = lambda files: files, draw: Draw = mixed
) -> tuple[int, str | None, int]:
    """Run histories until one breaks: how many ran, how it broke (None: not one did), commits acknowledged.

    `wrap` stands between store and disk; a mutant leaves something out there that the store asked for.
    """
    parted, upkeep.PARTED_MIN_BYTES = upkeep.PARTED_MIN_BYTES, 2_000
    try:
        return asyncio.run(_first_broken(seed, count, wrap, draw))
    finally:
        upkeep.PARTED_MIN_BYTES = parted


def run_histories(seed: int, rounds: int) -> Outcome:
    """`rounds` histories, from `seed` on; the first broken one is named by its own seed."""
    ran, broken, acknowledged = first_broken(seed, rounds)
    figure = broken or f"0 of {acknowledged:,} acknowledged commits lost"
    return Outcome(name="crash-sim", rounds=ran, figure=figure, held=broken is None)


__all__ = ["Broken", "History", "PowerLoss", "first_broken", "run_histories"]
