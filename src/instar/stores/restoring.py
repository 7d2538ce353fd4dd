"""Restoring a backup: verified first, made beside the place it goes to, and put there whole.

Who was forgotten stays forgotten. A home that still exists and is the one the backup was taken of keeps a
ledger: its receipts, and the marks of what was deleted there. Whatever it forgot after the backup is
forgotten in the restored home too, and gone from its files, before the restored home is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import blake3
import msgspec

from instar.core.clock import Clock
from instar.core.errors import ExportCorrupt, HomeError, HomeForeign, PersonUnknown
from instar.core.ids import PersonId
from instar.core.records import Record
from instar.embeddings.port import Embedder
from instar.stores import format as formats
from instar.stores.backup import LIST, Snapshot, read_object, read_snapshot, verify
from instar.stores.erasure import Receipt
from instar.stores.examination import RECEIPTS, begin_epoch, checked_line, examine_home, with_checksum
from instar.stores.forgotten import is_mark
from instar.stores.home import Home, open_home
from instar.stores.registry import Location

MOVABLE = ("conversations", "profiles", "memories")


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    home: str
    taken_at: str
    files: int
    bytes: int
    heeded: Sequence[str]
    """Homes whose ledger was heeded."""
    forgotten: int
    """People the backup still held, forgotten again."""
    deleted: int
    """Marks of deletions, and records they ended, that were newer than the backup."""
    unread: Sequence[str]
    """Ledgers whose stores do not read: their receipts were heeded, single deletions in them could not be."""


async def restore_backup(
    source: Path, home: Path, *, beside: Sequence[Path], clock: Clock, embedder: Embedder
) -> RestoreReport:
    """Make the home of a backup at `home`, which must be empty or not there.

    `beside` names homes that may be the one the backup was taken of; so may the place it was taken at. Raises
    `HomeForeign`, `ImportUnreadable`, `HomeNewer`, and `ExportCorrupt` naming the damaged file: then nothing
    was made.
    """
    snapshot = read_snapshot(source)
    _refuse_taken(home)
    verify(source, snapshot)
    ledgers = _ledgers(snapshot, [*beside, Path(snapshot.origin)])
    making = home.with_name(f".{home.name}.restoring")
    if making.exists():
        shutil.rmtree(making)
    try:
        _write_files(source, snapshot, making)
        heeded = await _heed(making, ledgers, clock=clock, embedder=embedder)
        _put(making, home)
    finally:
        if making.exists():
            shutil.rmtree(making)
    return RestoreReport(
        home=str(home),
        taken_at=snapshot.taken_at.isoformat(),
        files=len(snapshot.files),
        bytes=sum(file.bytes for file in snapshot.files),
        heeded=[str(ledger) for ledger in ledgers],
        forgotten=heeded.forgotten,
        deleted=heeded.deleted,
        unread=heeded.unread,
    )


def _refuse_taken(home: Path) -> None:
    if home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise HomeForeign(
            f"{home} is not empty",
            why="a restore replaces nothing",
            next="restore beside it: instar restore --from DIR --home NEW; what was forgotten here stays forgotten there",
        )


def _ledgers(snapshot: Snapshot, candidates: Sequence[Path]) -> list[Path]:
    """Homes that are the one the backup was taken of."""
    return [path for path in dict.fromkeys(each.absolute() for each in candidates) if _id_of(path) == snapshot.home_id]


def _id_of(path: Path) -> str | None:
    """The id of the home at `path`, by its format or the copy of it; None where there is no home to be read."""
    for name in (formats.NAME, formats.COPY):
        try:
            return formats.decode_format(path / name, (path / name).read_bytes()).id
        except (HomeError, FileNotFoundError, NotADirectoryError):
            continue
    return None


def _write_files(source: Path, snapshot: Snapshot, making: Path) -> None:
    making.mkdir(mode=0o700, parents=True)
    for file in snapshot.files:
        target = making / _inside(source, file.path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        formats.write_durably(target, read_object(source, file))
    formats.write_durably(making / formats.COPY, (making / formats.NAME).read_bytes())
    begin_epoch(making, snapshot.epoch)
    wrong = next((finding for finding in examine_home(making) if not finding.ok), None)
    if wrong is not None:
        raise ExportCorrupt(
            f"the backup {source} does not give a sound home",
            why=wrong.detail,
            next="restore another backup; `instar backup --to DIR` takes a new one while the home is there",
        )


def _inside(source: Path, path: str) -> PurePosixPath:
    """The path, if it stays below the home."""
    inside = PurePosixPath(path)
    if inside.is_absolute() or ".." in inside.parts:
        raise ExportCorrupt(
            f"the backup {source} names a file outside of a home",
            why=f"{LIST} has {path!r}",
            next="do not trust this backup; restore another one",
        )
    return inside


def _put(making: Path, home: Path) -> None:
    os.replace(making, home)  # noqa: PTH105 - onto an empty directory as well; see rename(2)
    formats.sync_directory(home.parent)


# --- the ledger ------------------------------------------------------------------------------------


class _Heeded(msgspec.Struct):
    """What came of the ledgers."""

    forgotten: int = 0
    deleted: int = 0
    unread: list[str] = []


async def _heed(making: Path, ledgers: Sequence[Path], *, clock: Clock, embedder: Embedder) -> _Heeded:
    """Forget in the home being made what the ledgers forgot later."""
    heeded = _Heeded()
    if not ledgers:
        return heeded
    async with await open_home(Location(making), embedder=embedder, clock=clock, create=False) as home:
        heeded.forgotten = await _forget_again(home, making, ledgers)
        for ledger in ledgers:
            try:
                heeded.deleted += await _apply_marks(home, ledger, clock=clock, embedder=embedder)
            except HomeError as error:
                heeded.unread.append(f"{ledger}: {error.what}: {error.why}")
        if heeded.deleted:
            for name in (*MOVABLE, "workflows"):
                await getattr(home, name).purge([])
    return heeded


async def _forget_again(home: Home, making: Path, ledgers: Sequence[Path]) -> int:
    known = {receipt.receipt_id for receipt in _receipts(making)}
    newer = [receipt for ledger in ledgers for receipt in _receipts(ledger) if receipt.receipt_id not in known]
    key = bytes.fromhex(formats.decode_format(making / formats.NAME, (making / formats.NAME).read_bytes()).forget_key)
    hashes = {receipt.person_hash for receipt in newer}
    forgotten = 0
    for person in await _people(home):
        if blake3.blake3(person.encode(), key=key).hexdigest(16) in hashes:
            forgotten += await _forgotten(home, person)
    for receipt in newer:
        (making / RECEIPTS).mkdir(mode=0o700, exist_ok=True)
        _copy_receipt(receipt, making / RECEIPTS)
    return forgotten


async def _forgotten(home: Home, person: PersonId) -> int:
    try:
        await home.forget(person)
    except PersonUnknown:  # what was known of them stood in what others' erasure took along
        return 0
    return 1


async def _people(home: Home) -> list[PersonId]:
    wrote = [each.person for each in await home.conversations.people()]
    return sorted({*wrote, *await home.profiles.people(), *await home.memories.counts()})


def _receipts(path: Path) -> list[Receipt]:
    files = sorted((path / RECEIPTS).glob("*.json"))
    lines = [checked_line(file.read_bytes()) for file in files]
    return [msgspec.json.decode(line, type=Receipt) for line in lines if line is not None]


def _copy_receipt(receipt: Receipt, directory: Path) -> None:
    formats.write_durably(directory / f"{receipt.receipt_id}.json", with_checksum(msgspec.json.encode(receipt)))


async def _apply_marks(home: Home, ledger: Path, *, clock: Clock, embedder: Embedder) -> int:
    """Bring the marks of single deletions over, which also ends what they mark. Returns how many were new."""
    async with await open_home(Location(ledger), embedder=embedder, clock=clock, read_only=True) as kept:
        return sum(
            [await getattr(home, name).apply([m async for m in _marks(getattr(kept, name))]) for name in MOVABLE]
        )


async def _marks(store: Any) -> AsyncIterator[Record[Any]]:
    """The marks of a store: they come before every record."""
    after: tuple[str, ...] | None = None
    while page := await store.scan(after):
        for record in page:
            if not is_mark(record.key):
                return
            yield record
        after = page[-1].key
