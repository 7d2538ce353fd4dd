"""How many records 64 tasks get acknowledged that each await durability, beside SQLite.

Every task writes one record of about 180 bytes after the other and goes on when it is durable: ours after
fdatasync, SQLite in WAL mode with `synchronous=FULL`. SQLite stands here three times: with the same queue
that commits what waits in one transaction; with one commit per record on one connection, its best; and with
one commit per record on a connection for each task, as it is mostly used.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers
from benchmarks.timing import Goal, Spread, Work, in_turn, tell, tell_machine

from instar.stores.segment.store import Put

TASKS = 64
ROUNDS = 15
GROUPED_PER_TASK = 100
ALONE_PER_TASK = 6  # commits one by one are that much slower; a round takes about as long
VALUE = peers.value(0)
Write = Callable[[bytes], Awaitable[object]]


class Competitor(NamedTuple):
    """One way to make a record durable, and how many of them a task writes in a round."""

    write: Write
    per_task: int


class GroupedSqlite:
    """SQLite behind a queue: one thread commits whatever waits, and then tells everyone who waited."""

    def __init__(self, file: Path) -> None:
        self._connection = peers.sqlite_opened(file)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, key: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, done))
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            rows = [(key, VALUE) for key, _ in group]
            await loop.run_in_executor(self._thread, peers.sqlite_write, self._connection, rows)
            for _, done in group:
                done.set_result(None)
        self._flushing = None

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()


class AloneSqlite:
    """SQLite with one commit per record, on as many connections as given, each with a thread of its own."""

    def __init__(self, file: Path, connections: int) -> None:
        self._threads = [ThreadPoolExecutor(1) for _ in range(connections)]
        self._connections = [peers.sqlite_opened(file) for _ in range(connections)]
        for connection in self._connections:
            connection.execute("PRAGMA busy_timeout=60000")
        self._writes = 0

    async def write(self, key: bytes) -> None:
        place = self._writes % len(self._threads)
        self._writes += 1
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads[place], peers.sqlite_write, self._connections[place], [(key, VALUE)])

    def close(self) -> None:
        for thread, connection in zip(self._threads, self._connections, strict=True):
            thread.shutdown()
            connection.close()


def rate_of(competitor: Competitor, written: dict[str, int], name: str) -> Work:
    """One round: all tasks write at once; returns records acknowledged per second."""

    async def task(first: int) -> None:
        for number in range(first, first + competitor.per_task):
            await competitor.write(peers.key(number))

    async def one_round() -> Sequence[float]:
        first = written[name]
        started_s = time.perf_counter()
        await asyncio.gather(*(task(first + place * competitor.per_task) for place in range(TASKS)))
        took_s = time.perf_counter() - started_s
        written[name] += TASKS * competitor.per_task
        return [TASKS * competitor.per_task / took_s]

    return one_round


async def measured(directory: Path) -> dict[str, Spread]:
    grouped = GroupedSqlite(directory / "grouped.sqlite")
    alone = AloneSqlite(directory / "alone.sqlite", 1)
    crowd = AloneSqlite(directory / "crowd.sqlite", TASKS)
    async with peers.opened(directory / "ours") as engine:

        async def commit(key: bytes) -> None:
            await engine.commit([Put(collection=peers.COLLECTION, key=key, value=VALUE)])

        competitors = {
            "instar": Competitor(commit, GROUPED_PER_TASK),
            "sqlite, same queue": Competitor(grouped.write, GROUPED_PER_TASK),
            "sqlite, commit each": Competitor(alone.write, ALONE_PER_TASK),
            "sqlite, 64 connections": Competitor(crowd.write, ALONE_PER_TASK),
        }
        written = dict.fromkeys(competitors, 0)
        works = {name: rate_of(each, written, name) for name, each in competitors.items()}
        samples = await in_turn(works, rounds=ROUNDS)
        for number in range(written["instar"]):
            assert engine.get(peers.COLLECTION, peers.key(number)) is not None, (
                f"record {number} was acknowledged and is gone"
            )
    for each in (grouped, alone, crowd):
        each.close()
    for file, name in (("grouped", "sqlite, same queue"), ("alone", "sqlite, commit each")):
        assert rows_in(directory / f"{file}.sqlite") == written[name], f"{name} lost records"
    return {name: Spread.of(each) for name, each in samples.items()}


def rows_in(file: Path) -> int:
    connection = sqlite3.connect(file)
    count: int = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
    connection.close()
    return count


def main() -> int:
    tell_machine()
    with tempfile.TemporaryDirectory() as directory:
        rates = asyncio.run(measured(Path(directory)))
    print(f"{'durable records/s':<24}{'median':>10}{'least':>10}{'most':>10}   {TASKS} tasks, {ROUNDS} rounds")
    for name, rate in rates.items():
        print(f"{name:<24}{rate.p50:>10,.0f}{rate.least:>10,.0f}{rate.most:>10,.0f}")
    ours = rates["instar"].p50
    tell(
        "log-tasks",
        [
            Goal("to sqlite with the same queue", ours / rates["sqlite, same queue"].p50, 2, at_least=True),
            Goal("to sqlite committing each", ours / rates["sqlite, commit each"].p50, 30, at_least=True),
        ],
        tasks=TASKS,
        durability="fdatasync; WAL with synchronous=FULL",
        records_per_s={name: round(rate.p50) for name, rate in rates.items()},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
