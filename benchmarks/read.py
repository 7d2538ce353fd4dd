"""What reading one record by its key costs among a million, beside SQLite and LMDB.

The page cache is warm. `anywhere` draws keys from all records, `recent` from the newest two in a hundred.
`INSTAR_BENCH_RECORDS=10000` makes it quick.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.timing import Goal, Spread, Work, elapsed_us, in_turn, tell, tell_machine

ROUNDS = 9
READS = 3_000
Read = Callable[[bytes], object]


async def measured(directory: Path) -> dict[str, dict[str, Spread]]:
    """Per place the keys are drawn from: microseconds per read, by store."""
    sqlite = peers.sqlite_opened(directory / "notes.sqlite")
    peers.sqlite_load(sqlite, peers.RECORDS)
    lmdb = peers.lmdb_opened(directory / "lmdb")
    async with peers.opened(directory / "ours") as engine:
        await peers.load(engine, peers.RECORDS)
        reads: dict[str, Read] = {
            "instar": lambda key: engine.get(peers.COLLECTION, key),
            "sqlite": lambda key: peers.sqlite_read(sqlite, key),
        }
        if lmdb is not None:
            peers.lmdb_load(lmdb, peers.RECORDS)
            transaction = lmdb.begin(buffers=False)
            reads["lmdb"] = transaction.get
        agree(reads)
        spreads = {
            "anywhere": await compared(reads, 0),
            "recent": await compared(reads, peers.RECORDS * 98 // 100),
        }
    sqlite.close()
    return spreads


def agree(reads: dict[str, Read]) -> None:
    """Every store returns the same bytes."""
    for number in random.Random(3).sample(range(peers.RECORDS), 200):
        for name, read in reads.items():
            found = read(peers.key(number))
            found = getattr(found, "value", found)
            assert found == peers.value(number), f"{name} returns something else for record {number}"


async def compared(reads: dict[str, Read], first: int) -> dict[str, Spread]:
    """Read keys of the records from `first` on; in each round every store reads the same ones."""
    rounds = {
        name: drawn(random.Random(11), first) for name in reads
    }  # equal sources, so that equal rounds draw equal keys

    def work(name: str, read: Read) -> Work:
        async def one_round() -> Sequence[float]:
            return [elapsed_us(read, key) for key in next(rounds[name])]

        return one_round

    samples = await in_turn({name: work(name, read) for name, read in reads.items()}, rounds=ROUNDS)
    return {name: Spread.of(each) for name, each in samples.items()}


def drawn(draw: random.Random, first: int) -> Iterator[list[bytes]]:
    """Keys of records from `first` on, a round at a time, without end."""
    while True:
        yield [peers.key(draw.randrange(first, peers.RECORDS)) for _ in range(READS)]


def main() -> int:
    tell_machine()
    with peers.workplace(peers.RECORDS) as directory:
        spreads = asyncio.run(measured(directory))
    print(f"{'us per read':<12}{'store':<10}{'p50':>9}{'p95':>9}{'least':>9}   {peers.RECORDS:,} records, warm")
    for place, by_store in spreads.items():
        for name, spread in by_store.items():
            print(f"{place:<12}{name:<10}{spread.p50:>9.2f}{spread.p95:>9.2f}{spread.least:>9.2f}")
    anywhere, recent = spreads["anywhere"], spreads["recent"]
    tell(
        "read",
        [Goal("p50 to sqlite", anywhere["instar"].p50 / anywhere["sqlite"].p50, 0.4)],
        records=peers.RECORDS,
        p50_us={name: round(spread.p50, 2) for name, spread in anywhere.items()},
        recent_p50_us={name: round(spread.p50, 2) for name, spread in recent.items()},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
