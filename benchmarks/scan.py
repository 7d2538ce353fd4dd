"""What it takes to hand a million sealed records to polars, and what a record takes on disk, beside SQLite.

Ours are the Parquet files as they lie; SQLite holds the same fields in typed columns, freshly vacuumed, and
is read through polars' own reader. Both are warm. The row caches that make our reads by key fast are
counted in the second figure of bytes. `INSTAR_BENCH_RECORDS=10000` makes it quick.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
from benchmarks import peers
from benchmarks.timing import Goal, Spread, Work, in_turn, tell, tell_machine

ROUNDS = 5
FIELDS = tuple(field.name for field in msgspec.structs.fields(peers.Note))


class Figures(NamedTuple):
    """Milliseconds of a scan and bytes on disk, by store."""

    scan_ms: dict[str, Spread]
    size_bytes: dict[str, int]


async def measured(directory: Path) -> Figures:
    connection = typed_sqlite(directory / "typed.sqlite")
    async with peers.opened(directory / "ours") as engine:
        await peers.load(engine, peers.RECORDS)
        paths = [directory / "ours" / listing.path for listing in engine.files(peers.COLLECTION)]
        reads: dict[str, Callable[[], pl.DataFrame]] = {
            "instar": lambda: pl.read_parquet(paths),
            "sqlite": lambda: pl.read_database("SELECT * FROM notes", connection),
        }
        agree(reads)
        samples = await in_turn({name: timed(read) for name, read in reads.items()}, rounds=ROUNDS)
        sizes = {
            "instar, segments": sum(path.stat().st_size for path in paths),
            "instar, with row caches": sum(peers.bytes_below(directory / "ours" / part) for part in ("seg", "cache")),
            "sqlite": (directory / "typed.sqlite").stat().st_size,
        }
    connection.close()
    return Figures({name: Spread.of(each) for name, each in samples.items()}, sizes)


def typed_sqlite(file: Path) -> sqlite3.Connection:
    """The fields in columns of their types, as small as SQLite makes them."""
    file.unlink(missing_ok=True)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(
        "CREATE TABLE notes (key BLOB PRIMARY KEY, person TEXT, channel TEXT, number INTEGER, at_ms INTEGER,"
        " score REAL, text TEXT) WITHOUT ROWID"
    )
    connection.execute("BEGIN")
    for batch in peers.batches(0, peers.RECORDS):
        rows = [(key, *msgspec.structs.astuple(peers.note(number))) for number, key, _ in batch]
        connection.executemany("INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    return connection


def agree(reads: dict[str, Callable[[], pl.DataFrame]]) -> None:
    """Every store holds the same records."""
    frames = [read().select(FIELDS).sort("number") for read in reads.values()]
    assert frames[0].equals(frames[1]), "the stores hold different records"
    assert len(frames[0]) == peers.RECORDS, "records are missing"


def timed(read: Callable[[], pl.DataFrame]) -> Work:
    async def one_round() -> Sequence[float]:
        started_s = time.perf_counter()
        frame = read()
        took_ms = (time.perf_counter() - started_s) * 1000
        assert len(frame) == peers.RECORDS, "records are missing"
        return [took_ms]

    return one_round


def main() -> int:
    tell_machine()
    with peers.workplace(peers.RECORDS) as directory:
        figures = asyncio.run(measured(directory))
    print(f"{'ms into polars':<26}{'median':>10}{'least':>10}{'most':>10}   {peers.RECORDS:,} records, warm")
    for name, scan in figures.scan_ms.items():
        print(f"{name:<26}{scan.p50:>10.0f}{scan.least:>10.0f}{scan.most:>10.0f}")
    print(f"{'bytes per record':<26}")
    per_record = {name: size / peers.RECORDS for name, size in figures.size_bytes.items()}
    for name, size in per_record.items():
        print(f"{name:<26}{size:>10.1f}")
    tell(
        "scan",
        [
            Goal("time to sqlite", figures.scan_ms["instar"].p50 / figures.scan_ms["sqlite"].p50, 0.1),
            Goal("bytes to sqlite", per_record["instar, segments"] / per_record["sqlite"], 0.3),
        ],
        records=peers.RECORDS,
        scan_ms={name: round(scan.p50) for name, scan in figures.scan_ms.items()},
        bytes_per_record={name: round(size, 1) for name, size in per_record.items()},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
