"""What an operation costs in a store of ten thousand, a hundred thousand and a million records, beside SQLite.

At each size everything is sealed and warm; then records are appended durably, read by key, and read in pages
of key order. `load` is the mean over all records, in durable transactions of 500, with sealing and merging. `--largest 10000000` adds a size;
`INSTAR_BENCH_RECORDS=10000` leaves sizes out.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count, islice

from benchmarks import peers
from benchmarks.timing import Goal, Spread, Work, awaited_us, elapsed_us, in_turn, tell, tell_machine

from instar.stores.segment.engine import SegmentEngine

FIRST = 10_000
STORES = ("instar", "sqlite")
READS = 500
APPENDS = 40
PAGES = 40
PAGE = 50
ROUNDS = 5
Costs = dict[tuple[str, str], dict[int, float]]
"""Median microseconds by operation and store, by size."""


async def measured(size: int, costs: Costs) -> None:
    """Fill two stores with `size` records and add to `costs` what they cost."""
    with peers.workplace(size, changes=True) as directory:
        sqlite = peers.sqlite_opened(directory / "notes.sqlite")
        async with peers.opened(directory / "ours") as engine:
            loaded = engine.version()
            started_s = time.perf_counter()
            await peers.load(engine, size)
            ours_s = time.perf_counter()
            peers.sqlite_load(sqlite, size)
            if not loaded:
                costs["load", "instar"][size] = (ours_s - started_s) / size * 1e6
                costs["load", "sqlite"][size] = (time.perf_counter() - ours_s) / size * 1e6
            for operation, works in operations(engine, sqlite, size).items():
                samples = await in_turn(works, rounds=ROUNDS)
                for store, each in samples.items():
                    costs[operation, store][size] = Spread.of(each).p50
        sqlite.close()


def operations(engine: SegmentEngine, sqlite: sqlite3.Connection, size: int) -> dict[str, dict[str, Work]]:
    """What is measured, by operation and store. In each round both stores get the same keys."""
    fresh = {store: count(size) for store in STORES}

    def reads(read: Callable[[bytes], object]) -> Work:
        draw = random.Random(size)

        async def one_round() -> Sequence[float]:
            keys = [peers.key(draw.randrange(size)) for _ in range(READS)]
            return [elapsed_us(read, key) for key in keys]

        return one_round

    def pages(page: Callable[[bytes], list[object]]) -> Work:
        draw = random.Random(size + 1)

        async def one_round() -> Sequence[float]:
            keys = [peers.key(draw.randrange(size)) for _ in range(PAGES)]
            return [elapsed_us(page, key) for key in keys]

        return one_round

    async def ours_appended() -> Sequence[float]:
        return [await awaited_us(engine.commit([peers.put(next(fresh["instar"]))])) for _ in range(APPENDS)]

    async def sqlite_appended() -> Sequence[float]:
        rows = [(peers.key(number), peers.value(number)) for number in islice(fresh["sqlite"], APPENDS)]
        return [elapsed_us(peers.sqlite_write, sqlite, [row]) for row in rows]

    return {
        "append, durable": {"instar": ours_appended, "sqlite": sqlite_appended},
        "read": {
            "instar": reads(lambda key: engine.get(peers.COLLECTION, key)),
            "sqlite": reads(lambda key: peers.sqlite_read(sqlite, key)),
        },
        f"page of {PAGE}": {
            "instar": pages(lambda key: list(islice(engine.scan(peers.COLLECTION, start=key), PAGE))),
            "sqlite": pages(
                lambda key: sqlite.execute(
                    "SELECT key, value FROM notes WHERE key >= ? ORDER BY key LIMIT ?", (key, PAGE)
                ).fetchall()
            ),
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--largest", type=int, default=max(peers.RECORDS, FIRST))
    largest = parser.parse_args().largest
    sizes = [FIRST * 10**power for power in range(4) if FIRST * 10**power <= largest]
    tell_machine()
    costs: Costs = defaultdict(dict)
    for size in sizes:
        asyncio.run(measured(size, costs))
    whole = {by: each for by, each in costs.items() if len(each) == len(sizes)}  # what was kept is not loaded again
    growth = {by: each[sizes[-1]] / each[sizes[0]] for by, each in whole.items()}
    header = "".join(f"{size:>12,}" for size in sizes)
    print(f"{'us':<18}{'store':<9}{header}{'growth':>9}   durable: fdatasync; WAL with synchronous=FULL")
    for (operation, store), by_size in whole.items():
        cells = "".join(f"{by_size[size]:>12.1f}" for size in sizes)
        print(f"{operation:<18}{store:<9}{cells}{growth[operation, store]:>8.2f}x")
    tell(
        "scale",
        [Goal(f"growth of {by[0]}", grown, 1.5) for by, grown in growth.items() if by[1] == "instar"],
        sizes=sizes,
        us={" ".join(by): [round(each[size], 1) for size in sizes] for by, each in whole.items()},
        sqlite_growth={by[0]: round(grown, 2) for by, grown in growth.items() if by[1] == "sqlite"},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
