"""What instar costs a fresh process: `import instar`, and one durable write, beside bare Python and httpx.

Every figure is a whole process, started anew and interleaved with the others; the smallest of all rounds is
shown, because everything else on the machine can only add to it. The durable write opens a home in a new
directory, appends one message and closes; it is acknowledged after fdatasync.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROUNDS = 15
FIRST_WRITE = """
import asyncio, instar
async def main():
    async with instar.open("file:home") as home:
        await home.conversations.append(instar.Message(id="m1", channel="c", author="ada", text="hello"))
asyncio.run(main())
"""
OPEN_ASYNCIO = "import asyncio\nasync def main(): pass\nasyncio.run(main())"
WORKS = {
    "python": "pass",
    "python with asyncio": OPEN_ASYNCIO,
    "import httpx": "import httpx",
    "import instar": "import instar",
    "first durable write": FIRST_WRITE,
}


class Cost(NamedTuple):
    """One process: how long it took and how much memory it held at most."""

    ms: float
    rss_max_mib: float


def run(code: str) -> Cost:
    """Run `code` in a fresh interpreter, in an empty directory that goes away afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        started_s = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code], cwd=directory)
        _, status, usage = os.wait4(process.pid, 0)
        ms = (time.perf_counter() - started_s) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the process exited with {process.returncode}: {code}")
    return Cost(ms, usage.ru_maxrss / 1024)


def measured() -> dict[str, Cost]:
    """The least of each figure over all rounds; one round before them fills the caches and counts for nothing."""
    for code in WORKS.values():
        run(code)
    rounds = [{name: run(code) for name, code in WORKS.items()} for _ in range(ROUNDS)]
    return {name: least([costs[name] for costs in rounds]) for name in WORKS}


def least(costs: list[Cost]) -> Cost:
    return Cost(min(cost.ms for cost in costs), min(cost.rss_max_mib for cost in costs))


def main() -> int:
    costs = measured()
    print(f"{'work':<22}{'ms':>8}{'MiB':>8}   whole process, least of {ROUNDS}")
    for name, cost in costs.items():
        print(f"{name:<22}{cost.ms:>8.1f}{cost.rss_max_mib:>8.1f}")
    bare, loop, httpx, ours, first = (costs[name] for name in WORKS)
    figures = {
        "bench": "import",
        "import_ms": round(ours.ms - bare.ms, 1),
        "import_to_httpx": round((ours.ms - bare.ms) / (httpx.ms - bare.ms), 3),
        "first_write_over_asyncio_ms": round(first.ms - loop.ms, 1),
        "first_write_over_asyncio_mib": round(first.rss_max_mib - loop.rss_max_mib, 1),
        "first_write_over_bare_ms": round(first.ms - bare.ms, 1),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
