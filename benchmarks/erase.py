"""What it takes to make a person's records disappear from a store of a million, and to keep such a store tidy.

Ours: 50 tombstones, then `purge`, which rewrites the segments that hold any of the person's records and
searches every file for their texts. SQLite, twice: `DELETE` with `secure_delete` and the log taken in; and the same with
`VACUUM`, which also takes away what earlier versions left; both are followed by the same search of the file.
All of it is durable when it returns.

Then: how long a sealing takes, with and without merging, and how much memory that costs the process that
owns the store, and the process that does the work. `INSTAR_BENCH_RECORDS=50000` makes it quick.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks import peers
from benchmarks.timing import Spread, tell, tell_machine

from instar.core.limits import MIB
from instar.stores.segment.engine import SegmentEngine
from instar.stores.segment.store import Delete

SEALED = 50_000  # less than the log that the engine seals by itself
ERASED = (3, 8_111, 15_007)
"""The people who are erased, one after the other."""


class Sealed(NamedTuple):
    """One sealing."""

    records: int
    took_s: float
    merged: bool


class Owner(NamedTuple):
    """What the process that owns our store tells."""

    load_s: float
    seals: list[Sealed]
    rss_open_mib: float
    """With everything loaded and nothing going on."""
    rss_seal_max_mib: float
    rss_worker_max_mib: float
    purges_s: list[float]
    rss_purge_max_mib: float
    bytes_scanned: int


class Memory:
    """The most that this process, and each of its children, held while the context was open."""

    def __init__(self) -> None:
        self.own_mib = self.children_mib = 0.0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._watching)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    def _watching(self) -> None:
        while True:
            self.own_mib = max(self.own_mib, rss_mib("self"))
            for child in children():
                self.children_mib = max(self.children_mib, rss_mib(child))
            if self._ended.wait(0.02):
                return


def rss_mib(process: str) -> float:
    """Resident and not backed by a file: mapped files give their memory back when it is wanted."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    kib = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
    return int(kib[0]) / 1024 if kib else 0.0


def children() -> list[str]:
    return [child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()]


# --- ours, in a process of its own ----------------------------------------------------------------


async def own(directory: Path) -> Owner:
    async with peers.opened(directory) as engine:
        started_s = time.perf_counter()
        await peers.load(engine, peers.RECORDS)
        load_s = time.perf_counter() - started_s
        rss_open_mib = rss_mib("self")
        with Memory() as sealing:
            seals = await sealed(engine)
        purges_s, scanned = [], 0
        with Memory() as purging:
            for person in ERASED:
                took_s, scanned = await purged(engine, person)
                purges_s.append(took_s)
    return Owner(
        load_s,
        seals,
        rss_open_mib,
        sealing.own_mib,
        max(sealing.children_mib, purging.children_mib),
        purges_s,
        purging.own_mib,
        scanned,
    )


async def sealed(engine: SegmentEngine) -> list[Sealed]:
    """Fill the log and seal it, until that has led to a merge."""
    seals: list[Sealed] = []
    first = peers.RECORDS
    while not seals or not seals[-1].merged:
        before = {listing.path for listing in engine.files(peers.COLLECTION)}
        stop = first + SEALED
        for batch in peers.batches(first, stop):
            await engine.commit([peers.put(number) for number, _, _ in batch])
        started_s = time.perf_counter()
        await engine.seal()
        merged = not before <= {listing.path for listing in engine.files(peers.COLLECTION)}
        seals.append(Sealed(SEALED, time.perf_counter() - started_s, merged))
        first = stop
    return seals


async def purged(engine: SegmentEngine, person: int) -> tuple[float, int]:
    """Seconds from the first tombstone to the proof, and the bytes that were searched."""
    numbers = range(person, peers.RECORDS, peers.PEOPLE)
    needles = needles_of(numbers)
    started_s = time.perf_counter()
    await engine.commit(
        [
            Delete(collection=peers.COLLECTION, key=peers.key(number), subject=peers.person_of(number))
            for number in numbers
        ]
    )
    answer = await engine.purge(needles)
    took_s = time.perf_counter() - started_s
    assert answer.found == 0, "something of the erased is still there"
    assert all(engine.get(peers.COLLECTION, peers.key(number)) is None for number in numbers), "a record is still there"
    assert engine.get(peers.COLLECTION, peers.key(person + 1)) is not None, "another person's record is gone"
    return took_s, answer.bytes_scanned


def needles_of(numbers: Sequence[int]) -> list[bytes]:
    return [peers.note(number).text.encode() for number in numbers]


# --- SQLite -------------------------------------------------------------------------------------


def sqlite_erased(connection: sqlite3.Connection, file: Path, person: int, *, vacuum: bool) -> float:
    """Seconds for the same in SQLite, with the same search of its file."""
    numbers = range(person, peers.RECORDS, peers.PEOPLE)
    needles = needles_of(numbers)
    started_s = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("DELETE FROM notes WHERE key = ?", [(peers.key(number),) for number in numbers])
    connection.execute("COMMIT")
    if vacuum:
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = file.read_bytes()
    found = sum(data.count(needle) for needle in needles)
    took_s = time.perf_counter() - started_s
    assert found == 0, "something of the erased is still in the file"
    return took_s


def sqlite_measured(directory: Path) -> dict[str, list[float]]:
    file = directory / "notes.sqlite"
    connection = peers.sqlite_opened(file)
    connection.execute("PRAGMA secure_delete=ON")
    peers.sqlite_load(connection, peers.RECORDS)
    took = {
        "sqlite, secure_delete": [sqlite_erased(connection, file, person, vacuum=False) for person in ERASED],
        "sqlite, vacuum": [sqlite_erased(connection, file, person + 1, vacuum=True) for person in ERASED],
    }
    connection.close()
    return took


# --- telling ------------------------------------------------------------------------------------


def owner_of(directory: Path) -> Owner:
    command = [sys.executable, "-m", "benchmarks.erase", str(directory)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    owner = Owner(**json.loads(told.stdout))
    return owner._replace(seals=[Sealed(*seal) for seal in owner.seals])


def main() -> int:
    tell_machine()
    with peers.workplace(peers.RECORDS, changes=True) as directory:
        took = sqlite_measured(directory)
        owner = owner_of(directory / "ours")
    took = {"instar": owner.purges_s, **took}
    print(
        f"{'erase one person, s':<28}{'median':>9}{'least':>9}{'most':>9}   of {peers.RECORDS:,} records, with the search"
    )
    for name, each in took.items():
        spread = Spread.of(each)
        print(f"{name:<28}{spread.p50:>9.2f}{spread.least:>9.2f}{spread.most:>9.2f}")
    print(f"searched by instar: {owner.bytes_scanned / MIB:,.0f} MiB")
    print(f"load and seal everything: {owner.load_s:.1f} s")
    for seal in owner.seals:
        print(f"seal {seal.records:,} records{' and merge' if seal.merged else ''}: {seal.took_s:.2f} s")
    print(
        f"private memory, MiB: owner {owner.rss_open_mib:.0f} at rest, {owner.rss_seal_max_mib:.0f} while sealing, "
        f"{owner.rss_purge_max_mib:.0f} while purging; worker {owner.rss_worker_max_mib:.0f}"
    )
    tell(
        "erase",
        [],
        records=peers.RECORDS,
        durability="all of it on disk when it returns",
        erase_s={name: round(Spread.of(each).p50, 3) for name, each in took.items()},
        seal_s=[round(each.took_s, 2) for each in owner.seals],
        load_s=round(owner.load_s, 1),
        owner_mib={
            "rest": round(owner.rss_open_mib),
            "seal": round(owner.rss_seal_max_mib),
            "purge": round(owner.rss_purge_max_mib),
        },
        worker_mib=round(owner.rss_worker_max_mib),
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(asyncio.run(own(Path(sys.argv[1])))._asdict()))
        raise SystemExit
    raise SystemExit(main())
