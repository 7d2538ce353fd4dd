"""The records that are measured, and the stores they are measured in: ours, SQLite, LMDB.

All keep the same keys and the same value bytes, and all are durable when a write returns: ours after
fdatasync, SQLite in WAL mode with `synchronous=FULL`, LMDB with its sync.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from instar.core.clock import SystemClock
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import RealFiles
from instar.stores.segment.store import Put, key_of

RECORDS = int(os.environ.get("INSTAR_BENCH_RECORDS", "1_000_000"))
CHANNELS = 1_000
PEOPLE = 20_000
COLLECTION = "notes"
BATCH = 500
SEAL_EVERY = 62_500  # about 16 MiB of log, the length at which the engine seals by itself
LMDB_MAP_BYTES = 1 << 33


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A record of about 180 bytes, of the kinds of fields an agent keeps."""

    person: str
    channel: str
    number: int
    at_ms: int
    score: float
    text: str


def _words(count: int) -> list[str]:
    draw = random.Random(7)
    return ["".join(draw.choices("aeinrstlodumkgp", k=draw.randrange(3, 9))) for _ in range(count)]


WORDS = _words(3_000)


def person_of(number: int) -> str:
    """Who the record is about. Every person has as many."""
    return f"person-{number % PEOPLE:05d}"


def key(number: int) -> bytes:
    """Records come in channel by channel, in turn, as messages do; so keys do not come in order."""
    return key_of(f"channel-{number * 7 % CHANNELS:03d}", f"{number:09d}")


def note(number: int) -> Note:
    """The record of a number; the same in every process."""
    draw = random.Random(number)
    return Note(
        person=person_of(number),
        channel=f"channel-{number * 7 % CHANNELS:03d}",
        number=number,
        at_ms=1_770_000_000_000 + 977 * number,
        score=draw.random(),
        text=" ".join(draw.choices(WORDS, k=13)),
    )


def value(number: int) -> bytes:
    """The record as MessagePack."""
    return msgspec.msgpack.encode(note(number))


def batches(start: int, stop: int, size: int = BATCH) -> Iterator[Sequence[tuple[int, bytes, bytes]]]:
    """Numbers, keys and values of the records from `start` to before `stop`."""
    for first in range(start, stop, size):
        yield [(number, key(number), value(number)) for number in range(first, min(stop, first + size))]


@contextmanager
def workplace(records: int, *, changes: bool = False) -> Iterator[Path]:
    """A directory for stores of so many records, gone afterwards.

    `INSTAR_BENCH_KEEP=DIR` keeps what was loaded for the next run; who `changes` it gets a copy.
    """
    kept = Path(os.environ["INSTAR_BENCH_KEEP"]) / str(records) if "INSTAR_BENCH_KEEP" in os.environ else None
    if kept is not None and not changes:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as directory:
        if kept is not None and kept.is_dir():
            shutil.copytree(kept, directory, dirs_exist_ok=True)
        yield Path(directory)


# --- ours --------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[SegmentEngine]:
    """Our engine on the files of `directory`."""
    engine = await open_engine(RealFiles(directory), collections={COLLECTION: Note}, clock=SystemClock(), epoch=1)
    try:
        yield engine
    finally:
        await engine.close()


def put(number: int) -> Put:
    """The write of one record."""
    return Put(collection=COLLECTION, key=key(number), value=value(number), subject=person_of(number))


async def load(engine: SegmentEngine, stop: int) -> None:
    """Commit the records up to `stop` that an earlier load did not, and leave them all sealed."""
    for batch in batches(engine.version(), stop):
        await engine.commit([Put(collection=COLLECTION, key=k, value=v, subject=person_of(n)) for n, k, v in batch])
        if (batch[-1][0] + 1) % SEAL_EVERY == 0 or batch[-1][0] + 1 == stop:
            await engine.seal()


def bytes_below(directory: Path) -> int:
    """What the files of a directory hold."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


# --- SQLite ------------------------------------------------------------------------------------


def sqlite_opened(file: Path) -> sqlite3.Connection:
    """One table of keys and values; one person's records are found by an index."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS notes (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    return connection


def sqlite_write(connection: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """One transaction, durable when this returns."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def sqlite_load(connection: sqlite3.Connection, stop: int) -> None:
    """The same records in the same batches, with the log taken into the table at the end."""
    there = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
    for batch in batches(there, stop):
        sqlite_write(connection, [(k, v) for _, k, v in batch])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def sqlite_read(connection: sqlite3.Connection, wanted: bytes) -> bytes:
    found = connection.execute("SELECT value FROM notes WHERE key = ?", (wanted,)).fetchone()
    return bytes(found[0])


# --- LMDB --------------------------------------------------------------------------------------


def lmdb_opened(directory: Path) -> Any | None:
    """An LMDB environment; None where the package is not installed."""
    try:
        import lmdb
    except ModuleNotFoundError:
        print("lmdb is not installed, so its column is missing")
        return None
    return lmdb.open(str(directory), map_size=LMDB_MAP_BYTES)


def lmdb_load(environment: Any, stop: int) -> None:
    for batch in batches(environment.stat()["entries"], stop):
        with environment.begin(write=True) as transaction:
            for _, k, v in batch:
                transaction.put(k, v)
