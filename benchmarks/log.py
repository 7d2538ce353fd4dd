"""What one durable append costs, alone and in batches, beside SQLite and beside the disk itself.

Records are about 200 bytes; a batch is one transaction. Ours is durable after fdatasync, SQLite in WAL mode with
`synchronous=FULL`. "raw" is the same bytes appended to a growing file and synced, without frames,
checksums or an index: what the disk alone takes. The competitors take turns within every round.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.timing import Goal, Spread, Work, awaited_us, elapsed_us, in_turn, tell, tell_machine

from instar.stores.segment.engine import SegmentEngine
from instar.stores.segment.store import Put

BATCHES = (1, 10, 100, 1_000)
COMMITS = {1: 100, 10: 60, 100: 30, 1_000: 8}
ROUNDS = 7
VALUE = peers.value(0)


class Numbers:
    """Hands out keys, in the order in which an agent's records come."""

    def __init__(self) -> None:
        self._next = 0

    def keys(self, count: int) -> list[bytes]:
        first, self._next = self._next, self._next + count
        return [peers.key(number) for number in range(first, first + count)]


def ours(engine: SegmentEngine, batch: int) -> Work:
    numbers = Numbers()
    base = b"%d-" % batch

    async def one_round() -> Sequence[float]:
        samples = []
        for _ in range(COMMITS[batch]):
            ops = [Put(collection=peers.COLLECTION, key=base + key, value=VALUE) for key in numbers.keys(batch)]
            samples.append(await awaited_us(engine.commit(ops)))
        return samples

    return one_round


def sqlite(file: Path, batch: int) -> Work:
    connection = peers.sqlite_opened(file)
    numbers = Numbers()
    base = b"%d-" % batch

    async def one_round() -> Sequence[float]:
        samples = []
        for _ in range(COMMITS[batch]):
            rows = [(base + key, VALUE) for key in numbers.keys(batch)]
            samples.append(elapsed_us(lambda rows=rows: peers.sqlite_write(connection, rows)))
        return samples

    return one_round


def raw(file: Path, batch: int) -> Work:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    data = VALUE * batch

    def append() -> None:
        os.write(descriptor, data)
        os.fdatasync(descriptor)

    async def one_round() -> Sequence[float]:
        return [elapsed_us(append) for _ in range(COMMITS[batch])]

    return one_round


async def measured(directory: Path) -> dict[int, dict[str, Spread]]:
    found = {}
    for batch in BATCHES:
        async with peers.opened(directory / f"ours-{batch}") as engine:
            works = {
                "instar": ours(engine, batch),
                "sqlite": sqlite(directory / f"{batch}.sqlite", batch),
                "raw": raw(directory / f"{batch}.raw", batch),
            }
            samples = await in_turn(works, rounds=ROUNDS)
            assert engine.version() == (ROUNDS + 1) * COMMITS[batch] * batch, "every append was acknowledged"
        found[batch] = {name: Spread.of(each) for name, each in samples.items()}
    return found


def main() -> int:
    tell_machine()
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measured(Path(directory)))
    print(f"{'us per commit, p50 (p95)':<26}" + "".join(f"{f'batch {batch:,}':>20}" for batch in BATCHES))
    for name in ("instar", "sqlite", "raw"):
        cells = [f"{found[batch][name].p50:,.0f} ({found[batch][name].p95:,.0f})" for batch in BATCHES]
        print(f"{name:<26}" + "".join(f"{cell:>20}" for cell in cells))
    p50 = {batch: {name: spread.p50 for name, spread in each.items()} for batch, each in found.items()}
    tell(
        "log",
        [
            Goal("to sqlite, batch 1", p50[1]["sqlite"] / p50[1]["instar"], 1.5, at_least=True),
            Goal("to raw, batch 1", p50[1]["instar"] / p50[1]["raw"], 1.15),
            Goal("to sqlite, batch 100", p50[100]["sqlite"] / p50[100]["instar"], 2, at_least=True),
            Goal("to sqlite, batch 1,000", p50[1_000]["sqlite"] / p50[1_000]["instar"], 2, at_least=True),
        ],
        durability="fdatasync; WAL with synchronous=FULL",
        us_per_commit={batch: {name: round(value) for name, value in each.items()} for batch, each in p50.items()},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
