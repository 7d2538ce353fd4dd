"""What remembering and searching cost at 10,000 and 100,000 memories, beside a plain numpy scan.

Vectors are given, so no embedder is measured. Every memory is shared in one of five channels, so the scope of
a search decides how much it may see: one person's own (0.1 %), one channel (20 %), or everything. The peer
holds the vectors alone in one array and answers by a dot product and a partition: no text, no words leg, no
filter by scope but a mask, nothing stored.

Run: `python benchmarks/search.py [--sizes 10000,100000]`. Times are CPU milliseconds of the process, all
threads, p50 of many queries. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from instar.core.clock import SystemClock
from instar.core.ids import ChannelId, MemoryId, PersonId
from instar.core.records import Memory, Scope
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.segment.files import RealFiles

DIMENSIONS = 384
CENTRES = 2_000
CHANNELS = 5
BATCH = 1_000
SEALED_EVERY = 20  # batches; sealing is part of what keeping this much costs
QUERIES = 40
VOCABULARY = 30_000


class Given:
    """An embedder whose queries have the vectors that are set before each search."""

    name = f"given vectors ({DIMENSIONS} dimensions)"
    fingerprint = "given/f32"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.next = bytes(4 * DIMENSIONS)

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [self.next for _ in texts]


class Rows:
    """Clustered unit vectors and texts of about 30 words from a vocabulary as uneven as a language's."""

    def __init__(self, count: int) -> None:
        random_values = np.random.default_rng(1)
        centres = random_values.standard_normal((CENTRES, DIMENSIONS))
        chosen = centres[random_values.integers(CENTRES, size=count)]
        vectors = chosen + 0.6 * random_values.standard_normal((count, DIMENSIONS))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
        self._words = random.Random(1)
        self.people = count // 100
        self.count = count

    def text(self, words: int = 30) -> str:
        return " ".join(f"w{min(int(self._words.paretovariate(0.7)), VOCABULARY)}" for _ in range(words))

    def memory(self, number: int) -> Memory:
        return Memory(
            id=MemoryId(f"{number:07d}"),
            person=PersonId(f"p{number % self.people}"),
            kind="episode",
            text=self.text(),
            channel=ChannelId(f"c{number % CHANNELS}"),
            shared=True,
            vector=self.vectors[number].tobytes(),
            embedder=Given.fingerprint,
        )

    def query(self, number: int) -> np.ndarray:
        return self.vectors[(number * 7919) % self.count]


def scopes() -> dict[str, Scope]:
    """By how much they may see."""
    channels = tuple(ChannelId(f"c{number}") for number in range(CHANNELS))
    nobody = PersonId("somebody")
    return {"own, 100": Scope(PersonId("p3")), "20 %": Scope(nobody, channels[:1]), "all": Scope(nobody, channels)}


async def spent(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """CPU and wall milliseconds of one piece of work."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    return (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


async def measured(size: int, directory: Path) -> dict[str, float]:
    """Every figure for one size."""
    rows, embedder = Rows(size), Given()
    figures: dict[str, float] = {}

    async def opened() -> EmbeddedMemoryStore:
        return await EmbeddedMemoryStore.open(
            RealFiles(directory), clock=SystemClock(), epoch=1, forget_key=bytes(32), embedder=embedder
        )

    store = await opened()
    batches = [[rows.memory(n) for n in range(start, min(start + BATCH, size))] for start in range(0, size, BATCH)]

    async def ingest() -> None:
        for number, batch in enumerate(batches, 1):
            await store.remember(batch)
            if number % SEALED_EVERY == 0:
                await store.engine.seal()

    async def search(scope: Scope, number: int) -> None:
        embedder.next = rows.query(number).tobytes()
        await store.search(rows.text(3), scope=scope)

    figures["ingest cpu s"], figures["ingest wall s"] = (value / 1e3 for value in await spent(ingest))
    figures["first search cpu s"] = (await spent(lambda: search(scopes()["all"], 0)))[0] / 1e3
    for name, scope in scopes().items():
        times = [await spent(lambda n=n, scope=scope: search(scope, n)) for n in range(1, QUERIES + 1)]  # type: ignore[misc]
        figures[f"{name} cpu ms"] = median(cpu for cpu, _ in times)
        figures[f"{name} wall worst ms"] = max(wall for _, wall in times)
    await store.close()
    store = await opened()
    figures["search after reopening cpu s"] = (await spent(lambda: search(scopes()["all"], 0)))[0] / 1e3
    await store.close()
    return figures | peer(rows)


def megabytes(directory: Path) -> float:
    """The size of every file below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def peer(rows: Rows) -> dict[str, float]:
    """The plain scan: exact dot products with every vector, masked to the scope, the best ten."""
    people = np.arange(rows.count) % rows.people
    channels = np.arange(rows.count) % CHANNELS
    masks = {"own, 100": people == 3, "20 %": channels == 0, "all": np.ones(rows.count, dtype=bool)}
    figures = {}
    for name, mask in masks.items():
        times = []
        for number in range(1, QUERIES + 1):
            started = time.process_time()
            found = rows.vectors @ rows.query(number)
            found[~mask] = -2.0
            np.argpartition(found, -10)[-10:]
            times.append((time.process_time() - started) * 1e3)
        figures[f"{name} numpy cpu ms"] = median(times)
    return figures


def main(arguments: Sequence[str] = ()) -> int:
    """Print a table for each size and the JSON line; 1 when a search of one person's own memories is no faster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default="10000,100000")
    given = parser.parse_args(arguments)
    figures = {}
    for size in map(int, given.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="instar-search-") as directory:
            figures[size] = asyncio.run(measured(size, Path(directory)))
            figures[size]["disk MB"] = megabytes(Path(directory))
        print(f"{size:,} memories of {DIMENSIONS} dimensions and 30 words")
        for name, value in figures[size].items():
            print(f"  {name:<30}{value:>10.2f}")
    ratios = {size: round(each["own, 100 numpy cpu ms"] / each["own, 100 cpu ms"], 2) for size, each in figures.items()}
    held = ratios[max(ratios)] > 1
    rounded = {size: {name: round(value, 3) for name, value in each.items()} for size, each in figures.items()}
    print(json.dumps({"benchmark": "search", "sizes": rounded, "numpy_by_own_scope": ratios, "held": held}))
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
