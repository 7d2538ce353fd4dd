"""What concerns a home as a whole: figures, checks, files, backups. The owner carries it out, guests ask for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from instar.core.clock import Clock
from instar.core.errors import HomeMissing, HomeReadOnly, RecordInvalid
from instar.core.ids import PersonId
from instar.stores import format as formats
from instar.stores.backup import BackupReport, take_backup
from instar.stores.erasure import Erasure, Receipt
from instar.stores.examination import examine_directory, examine_opened
from instar.stores.registry import COLLECTIONS, PORTS, Location
from instar.stores.segment.check import Finding, read_anatomy


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one store."""

    records: dict[str, int]
    """Live records by collection."""
    bytes: int
    """On disk, all files."""
    version: int


class HomeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Health with figures."""

    home: str
    format: int
    epoch: int
    owner_pid: int | None
    """None when no process owns it and this one only reads."""
    people: int
    channels: int
    messages: int
    memories: int
    unfinished_turns: int
    embedder: str
    stores: dict[str, StoreStatus]


class CollectionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file that other programs may read."""

    path: str
    """Absolute."""
    collection: str
    rows: int
    """Older forms and deletions of a record included: of each `_key` the row with the highest `_seq` counts."""
    bytes: int


class HomeControl(Protocol):
    """What concerns a home as a whole; the owner carries it out."""

    async def status(self) -> HomeStatus:
        """Figures of the home."""

    async def forget(self, person: PersonId, *, dry_run: bool = False) -> Receipt:
        """Erase a person from every store, prove it, and return the receipt. Raises `PersonUnknown`."""

    async def check(self) -> Sequence[Finding]:
        """Read every byte of every file that something vouches for, and say what was found."""

    async def files(self, collection: str) -> Sequence[CollectionFile]:
        """The Parquet files that hold what is sealed of a collection. Raises `RecordInvalid` for an unknown one."""

    async def seal(self, collection: str) -> None:
        """Seal the store of a collection, so that its files hold everything acknowledged."""

    async def backup(self, to: str) -> BackupReport:
        """Bring the backup in directory `to` up to the state of now, and verify it."""


class OwnerControl:
    """`HomeControl` in the process that owns the home."""

    def __init__(
        self,
        location: Location,
        ports: Mapping[str, Any],
        *,
        epoch: int,
        erasure: Erasure,
        clock: Clock,
        read_only: bool = False,
    ) -> None:
        self._read_only = read_only
        self._location = location
        self._ports = ports
        self._epoch = epoch
        self._erasure = erasure
        self._clock = clock

    async def status(self) -> HomeStatus:
        channels = await self._ports["conversations"].channels()
        return HomeStatus(
            home=str(self._location),
            format=formats.FORMAT,
            epoch=self._epoch,
            owner_pid=None if self._read_only else os.getpid(),
            people=len(await self._ports["conversations"].people()),
            channels=len(channels),
            messages=sum(channel.messages for channel in channels),
            memories=sum((await self._ports["memories"].counts()).values()),
            unfinished_turns=len(await self._ports["workflows"].unfinished("turn")),
            embedder=await self._ports["memories"].embedder(),
            stores={name: self._store_status(name) for name in PORTS},
        )

    def _store_status(self, name: str) -> StoreStatus:
        stats = self._ports[name].engine.stats()
        return StoreStatus(records=stats.records, bytes=stats.bytes, version=stats.version)

    async def check(self) -> Sequence[Finding]:
        findings = [] if self._location.path is None else examine_directory(self._location.path)
        for name in PORTS:
            findings += await self._ports[name].engine.undisturbed(read_anatomy, examine_opened(name))
        return findings

    async def files(self, collection: str) -> Sequence[CollectionFile]:
        store, name = _collection(collection)
        root = self._path_of("files") / store
        found = self._ports[store].engine.files(name)
        return [
            CollectionFile(path=str(root / each.path), collection=name, rows=each.rows, bytes=each.bytes)
            for each in found
        ]

    async def seal(self, collection: str) -> None:
        await self._ports[_collection(collection)[0]].engine.seal()

    async def backup(self, to: str) -> BackupReport:
        path = self._path_of("a backup")
        async with self._erasure.undisturbed:
            return await take_backup(Path(to), path, self._ports, epoch=self._epoch, clock=self._clock)

    def _path_of(self, wanted: str) -> Path:
        if self._location.path is None:
            raise HomeMissing(
                f"a home in memory has no {wanted.removeprefix('a ')}",
                why="nothing of it is on a disk",
                next="open a home in a directory: --home DIR",
            )
        return self._location.path

    async def forget(self, person: PersonId, *, dry_run: bool = False) -> Receipt:
        if self._read_only and not dry_run:
            raise HomeReadOnly(
                f"nobody can be forgotten in {self._location}, which is open for reading only",
                why="erasing rewrites its files, and this user may not write there",
                next="run `instar forget` as the user who owns the home",
            )
        return await self._erasure.forget(person, dry_run=dry_run)


def _collection(name: str) -> tuple[str, str]:
    """The store and the collection of what users call `name`."""
    if name not in COLLECTIONS:
        raise RecordInvalid(
            f"there is no collection {name!r}",
            why=f"known are {', '.join(COLLECTIONS)}",
            next="instar files messages",
        )
    return COLLECTIONS[name]
