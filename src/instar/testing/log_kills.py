"""Kill -9 on the real disk: a process commits and says what was acknowledged, is killed, and another opens its store.

Proves what a killed process leaves, not what a power loss leaves: the system's page cache survives the kill.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from instar.core.clock import SystemClock
from instar.stores.segment.engine import open_engine
from instar.stores.segment.files import RealFiles
from instar.stores.segment.lease import Lease
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Put
from instar.testing.outcome import Outcome

TOGETHER = 8


class Line(msgspec.Struct):
    """What the process stores."""

    number: int


async def _write(path: Path) -> None:
    """Commit numbers upwards for ever, eight at once, sealing now and then; print each when it is acknowledged."""
    lease = Lease.acquire(path)
    assert lease is not None, "the kernel takes the lease of a killed process back"
    engine = await open_engine(
        RealFiles(path / "store"),
        collections={"lines": Line},
        clock=SystemClock(),
        epoch=lease.epoch,
        sealer=InlineSealer,
    )
    number = _last(list(engine.scan("lines")))
    print("open", flush=True)  # noqa: T201 - the pipe to the killer
    while True:
        numbers = range(number + 1, number + 1 + TOGETHER)
        await asyncio.gather(*(engine.commit([_put(each)]) for each in numbers))
        number += TOGETHER
        print(number, flush=True)  # noqa: T201 - the pipe to the killer
        if number % (TOGETHER * 64) == 0:
            await engine.seal()


def _put(number: int) -> Put:
    return Put(collection="lines", key=b"%012d" % number, value=msgspec.msgpack.encode(Line(number)))


def _last(entries: list[object]) -> int:
    """How many there are, from 1, without a gap; a committed group may be there in part after a kill."""
    numbers = [int(getattr(entry, "key", b"0")) for entry in entries]
    assert numbers == list(range(1, len(numbers) + 1)), f"a gap: {numbers[-20:]}"
    return len(numbers)


def _round(path: Path, randomness: random.Random) -> int:
    """Let a process write, kill it after a while, and return the last number it said was acknowledged."""
    command = [sys.executable, "-m", "instar.testing.log_kills", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None, "asked for a pipe"
        lines = iter(process.stdout)
        assert next(lines).strip() == "open", "the store opens after a kill"
        acknowledged = 0
        for _ in range(randomness.randint(0, 90)):
            acknowledged = int(next(lines))
        process.kill()
        return max([acknowledged, *(int(line) for line in lines if line.endswith("\n"))])


async def _count(path: Path) -> int:
    engine = await open_engine(
        RealFiles(path / "store"), collections={"lines": Line}, clock=SystemClock(), epoch=1 << 30, read_only=True
    )
    try:
        return _last(list(engine.scan("lines")))
    finally:
        await engine.close()


def run_log_kills(seed: int, rounds: int) -> Outcome:
    """Kill a writing process `rounds` times; every number it had acknowledged must be there each time."""
    randomness = random.Random(seed)
    acknowledged = 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        for number in range(rounds):
            acknowledged = max(acknowledged, _round(path, randomness))
            found = asyncio.run(_count(path))
            if found < acknowledged:
                figure = f"round {number + 1}: {acknowledged:,} acknowledged, {found:,} there"
                return Outcome(name="log-kills", rounds=number + 1, figure=figure, held=False)
    figure = f"0 of {acknowledged:,} acknowledged commits lost"
    return Outcome(name="log-kills", rounds=rounds, figure=figure, held=True)


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1])))
