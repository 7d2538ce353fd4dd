"""Backups: a directory that holds one verified state of a home, brought up to date by each further backup.

    BACKUP.json              which files the state consists of, with their hashes; the last line is its CRC32C
    objects/<ab>/<blake3>    their contents, each once

A segment never changes, so what was copied once is not copied again. `BACKUP.json` is replaced whole when
everything it names is there, synced and verified; only then are objects it does not name taken away. So a
backup that was killed leaves the state before it, and one that follows an erasure holds nothing of the erased.
For several states keep several directories.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import blake3
import msgspec

from instar.core.clock import Clock
from instar.core.errors import ExportCorrupt, HomeForeign, HomeNewer, ImportUnreadable, StoreCorrupt
from instar.stores import format as formats
from instar.stores.examination import RECEIPTS, checked_line, with_checksum
from instar.stores.segment.check import Anatomy, gaps, read_anatomy, segment_problem
from instar.stores.segment.files import Files
from instar.stores.segment.worker import Worker

FORMAT = 1
LIST = "BACKUP.json"
OBJECTS = "objects"
STORES_IN_ORDER = ("workflows", "memories", "profiles", "conversations")
"""What is derived from messages is copied before them, so that it finds its sources in the backup."""


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the home."""

    path: str
    """Below the home."""
    digest: str
    bytes: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`BACKUP.json`: one state of one home."""

    format: int
    home_id: str
    origin: str
    """Where the home was."""
    epoch: int
    taken_at: datetime
    files: Sequence[BackedUp]


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup did."""

    to: str
    files: int
    """Of the home, all verified in the backup."""
    bytes: int
    copied: int
    """Contents that were not there yet."""
    copied_bytes: int
    dropped: int
    """Contents of older states that were taken away."""


async def take_backup(to: Path, home: Path, ports: Mapping[str, Any], *, epoch: int, clock: Clock) -> BackupReport:
    """Bring the backup in `to` up to the state of an open home. Nobody may be forgotten meanwhile."""
    worker = Worker("instar-backup", inline=False)
    try:
        home_format = formats.decode_format(home / formats.NAME, (home / formats.NAME).read_bytes())
        vault = await worker.run(Vault, to, home, home_format.id)
        files: list[BackedUp] = []
        for name in STORES_IN_ORDER:
            files += await ports[name].engine.undisturbed(_sound_anatomy, partial(_keep_store, vault, name))
        for file in [home / formats.NAME, *sorted((home / RECEIPTS).glob("*.json"))]:
            files.append(await worker.run(vault.keep, str(file.relative_to(home)), file.read_bytes()))
        snapshot = Snapshot(
            format=FORMAT,
            home_id=home_format.id,
            origin=str(home),
            epoch=epoch,
            taken_at=clock.now(),
            files=files,
        )
        return await worker.run(vault.finish, snapshot)
    finally:
        worker.close()


def _sound_anatomy(files: Files) -> Anatomy:
    """What the log holds now. Raises `StoreCorrupt` for one that does not read back."""
    anatomy = read_anatomy(files)
    for gap in gaps(anatomy):
        raise _damaged(gap.path, gap.what)
    return anatomy


def _keep_store(vault: Vault, store: str, files: Files, anatomy: Anatomy) -> list[BackedUp]:
    kept = [
        vault.keep(f"{store}/{log.path}", log.data[: log.content.stop])
        for log in anatomy.logs
        if log.content is not None
    ]
    sound = [path for path, found in anatomy.manifests.items() if found is not None]
    kept += [vault.keep(f"{store}/{path}", bytes(files.read(path))) for path in sound[-1:]]
    for info in anatomy.state.segments:
        problem = segment_problem(files, info)
        if problem is not None:
            raise _damaged(f"{store}/{info.path}", problem)
        kept.append(vault.keep(f"{store}/{info.path}", bytes(files.read(info.path))))
    return kept


def _damaged(path: str, why: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path} does not go into a backup",
        why=why,
        next=f"run `instar doctor`, then `{formats.REPAIR}`; the backup there is keeps its state",
    )


class Vault:
    """A backup directory being written. Blocking."""

    def __init__(self, path: Path, home: Path, home_id: str) -> None:
        """Raises `HomeForeign` for a directory that is not a backup of this home, or lies inside it."""
        self._path = path
        self._copied: list[int] = []
        if path.resolve().is_relative_to(home.resolve()):
            raise HomeForeign(
                f"{path} cannot take the backup of {home}",
                why="it is inside the home itself, and would be lost with it",
                next="choose a directory elsewhere, best on another disk: instar backup --to DIR",
            )
        _refuse_other(path, home_id)
        (path / OBJECTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        formats.sync_directory(path)

    def keep(self, path: str, content: bytes) -> BackedUp:
        """Hold the content of one file; durable and verified when this returns."""
        digest = blake3.blake3(content).hexdigest()
        target = object_path(self._path, digest)
        if not (target.is_file() and blake3.blake3(target.read_bytes()).hexdigest() == digest):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            formats.sync_directory(target.parent.parent)
            formats.write_durably(target, content)
            self._copied.append(len(content))
        return BackedUp(path=path, digest=digest, bytes=len(content))

    def finish(self, snapshot: Snapshot) -> BackupReport:
        """Make `snapshot` the state of the backup, and take away what it does not need."""
        formats.write_durably(self._path / LIST, with_checksum(msgspec.json.encode(snapshot)))
        verify(self._path, snapshot)
        return BackupReport(
            to=str(self._path),
            files=len(snapshot.files),
            bytes=sum(file.bytes for file in snapshot.files),
            copied=len(self._copied),
            copied_bytes=sum(self._copied),
            dropped=self._drop_others({file.digest for file in snapshot.files}),
        )

    def _drop_others(self, needed: set[str]) -> int:
        others = [file for file in (self._path / OBJECTS).rglob("*") if file.is_file() and file.name not in needed]
        for file in [*others, *self._path.glob(f".{LIST}.*")]:
            file.unlink()
        for directory in {file.parent for file in others}:
            formats.sync_directory(directory)
        return len(others)


def _refuse_other(path: Path, home_id: str) -> None:
    if (path / LIST).exists():
        try:
            of = read_snapshot(path).home_id
        except ExportCorrupt:
            return  # the list is written anew; the objects are verified one by one
        if of != home_id:
            raise HomeForeign(
                f"{path} is the backup of another home",
                why=f"it holds home {of}, and this is {home_id}",
                next="choose another directory: instar backup --to DIR",
            )
    elif path.is_dir() and {entry.name for entry in path.iterdir()} - {OBJECTS}:
        raise HomeForeign(
            f"{path} is not a backup",
            why=f"it holds other things and no {LIST}",
            next="choose an empty directory: instar backup --to DIR",
        )


def object_path(path: Path, digest: str) -> Path:
    """Where a content is."""
    return path / OBJECTS / digest[:2] / digest


def read_snapshot(path: Path) -> Snapshot:
    """The state a backup holds. Raises `ImportUnreadable` where there is none, `ExportCorrupt`, `HomeNewer`."""
    try:
        content = (path / LIST).read_bytes()
    except FileNotFoundError as error:
        raise ImportUnreadable(
            f"{path} holds no backup",
            why=f"there is no {LIST} in it; a backup that was interrupted has none before it ends once",
            next="name the directory that `instar backup --to DIR` was given",
        ) from error
    line = checked_line(content)
    if line is None:
        raise _unsound(path / LIST, "its checksum is wrong")
    snapshot = msgspec.json.decode(line, type=Snapshot)
    if snapshot.format > FORMAT:
        raise HomeNewer(
            f"{path} has backup format {snapshot.format}",
            why=f"this instar reads format {FORMAT}",
            next="install the instar that wrote it, or a later one",
        )
    return snapshot


def verify(path: Path, snapshot: Snapshot) -> None:
    """Read every content of a backup. Raises `ExportCorrupt` naming the first that is not what its name says."""
    for file in snapshot.files:
        read_object(path, file)


def read_object(path: Path, file: BackedUp) -> bytes:
    """The content of one file. Raises `ExportCorrupt`."""
    stored = object_path(path, file.digest)
    try:
        content = stored.read_bytes()
    except OSError as error:
        raise _unsound(stored, f"it holds {file.path} of the home, and {os.strerror(error.errno or 0)}") from error
    if blake3.blake3(content).hexdigest() != file.digest:
        raise _unsound(stored, f"it holds {file.path} of the home, and its content is not what its name says")
    return content


def _unsound(path: Path, why: str) -> ExportCorrupt:
    return ExportCorrupt(
        f"the backup is damaged at {path}",
        why=why,
        next="take the backup again with `instar backup --to DIR` while the home is there, or restore another one",
    )
