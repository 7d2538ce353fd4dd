"""How long it takes to open a store again whose writer was killed with 64 MiB of log, and whether anything is lost.

A process writes records in transactions of 100, several at a time, and says how many are acknowledged; the
sealing process of its engine hangs, so that nothing shortens the log. It is killed (SIGKILL) while it
writes, close to the bound of the log. Then the store is opened here, and every acknowledged record is read
back and compared. Acknowledged means: after fdatasync.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple, Never

import msgspec
from benchmarks import peers
from benchmarks.timing import Goal, Spread, tell, tell_machine

from instar.core.clock import SystemClock
from instar.core.limits import MIB, WAL_UNSEALED_MAX_BYTES
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import RealFiles
from instar.stores.segment.seal import Job

KILLS = 5
LOG_BYTES = int(os.environ.get("INSTAR_BENCH_LOG_BYTES", str(WAL_UNSEALED_MAX_BYTES)))
TRANSACTION_RECORDS = 100
WRITERS = 4


class Reopened(NamedTuple):
    """One kill and what came after."""

    open_s: float
    cpu_s: float
    """What opening took of a processor, whatever else the machine did."""
    log_bytes: int
    acknowledged: int
    lost: int
    beyond: int
    """Records written and not acknowledged that are there all the same; a store may keep those."""


class HangingSealer:
    """A sealing process that never answers."""

    def do(self, job: Job) -> Never:
        threading.Event().wait()
        raise AssertionError("nothing ends this wait")

    def close(self) -> None:
        """There is no process."""


# --- the writer --------------------------------------------------------------------------------


async def write_until_killed(directory: Path) -> None:
    """Write without end; each line on stdout is the number of a transaction that is durable."""
    engine = await open_engine(
        RealFiles(directory),
        collections={peers.COLLECTION: peers.Note},
        clock=SystemClock(),
        epoch=1,
        sealer=HangingSealer,
    )
    numbers = count()
    await asyncio.gather(*(write(engine, numbers) for _ in range(WRITERS)))


async def write(engine: SegmentEngine, numbers: Iterator[int]) -> None:
    for transaction in numbers:
        first = transaction * TRANSACTION_RECORDS
        await engine.commit([peers.put(number) for number in range(first, first + TRANSACTION_RECORDS)])
        os.write(1, f"{transaction}\n".encode())


# --- the killer --------------------------------------------------------------------------------


def transactions_of(log_bytes: int) -> int:
    """How many transactions make a log that long."""
    size_bytes = sum(len(msgspec.msgpack.encode(peers.put(number))) for number in range(1_000)) / 1_000
    return int(log_bytes / (size_bytes * TRANSACTION_RECORDS))


def killed_while_writing(directory: Path, at_least: int) -> set[int]:
    """Transactions that were acknowledged before the writer was killed."""
    acknowledged: set[int] = set()
    command = [sys.executable, "-m", "benchmarks.reopen", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None, "asked for a pipe"
        for line in writer.stdout:
            acknowledged.add(int(line))
            if len(acknowledged) == at_least:
                break
        writer.kill()
        # a line cut by the kill has no newline and may lack digits
        acknowledged.update(int(line) for line in writer.stdout if line.endswith("\n"))
    return acknowledged


async def reopened(directory: Path, acknowledged: set[int]) -> Reopened:
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    engine = await open_engine(
        RealFiles(directory), collections={peers.COLLECTION: peers.Note}, clock=SystemClock(), epoch=2
    )
    open_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    log_bytes = engine.stats().log_bytes
    there = {entry.key: entry.value for entry in engine.scan(peers.COLLECTION)}
    await engine.close()
    numbers = [number for transaction in acknowledged for number in range(transaction * 100, transaction * 100 + 100)]
    lost = sum(there.get(peers.key(number)) != peers.value(number) for number in numbers)
    return Reopened(open_s, cpu_s, log_bytes, len(numbers), lost, len(there) - len(numbers) + lost)


def main() -> int:
    tell_machine()
    transactions = transactions_of(LOG_BYTES)
    results = []
    for number in range(KILLS):
        with tempfile.TemporaryDirectory() as directory:
            store = Path(directory) / "ours"
            acknowledged = killed_while_writing(store, transactions * (88 + number) // 100)
            results.append(asyncio.run(reopened(store, acknowledged)))
    print(f"{'kill':<6}{'log MiB':>10}{'open s':>10}{'CPU s':>10}{'acknowledged':>15}{'lost':>8}{'beyond':>8}")
    for number, each in enumerate(results, start=1):
        print(
            f"{number:<6}{each.log_bytes / MIB:>10.1f}{each.open_s:>10.2f}{each.cpu_s:>10.2f}"
            f"{each.acknowledged:>15,}{each.lost:>8}{each.beyond:>8}"
        )
    spread = Spread.of([each.open_s for each in results])
    lost = sum(each.lost for each in results)
    tell(
        "reopen",
        [Goal("seconds to open", spread.p50, 1.0), Goal("acknowledged records lost", lost, 0)],
        durability="fdatasync before each acknowledgement; SIGKILL while writing",
        open_s={"median": round(spread.p50, 3), "least": round(spread.least, 3), "most": round(spread.most, 3)},
        cpu_s=round(Spread.of([each.cpu_s for each in results]).p50, 3),
        log_mib=round(min(each.log_bytes for each in results) / MIB, 1),
        acknowledged=sum(each.acknowledged for each in results),
    )
    return 1 if lost else 0


if __name__ == "__main__":
    if len(sys.argv) == 2:
        asyncio.run(write_until_killed(Path(sys.argv[1])))
    raise SystemExit(main())
