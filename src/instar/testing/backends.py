"""Embedded backends for the contracts: over files in memory or in a directory."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from instar.core.clock import Clock, ManualClock
from instar.core.records import Durability
from instar.stores import forgotten
from instar.stores.embedded import EmbeddedStore
from instar.stores.segment.engine import open_engine
from instar.stores.segment.files import Files, MemoryFiles, RealFiles
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Engine, Op

FORGET_KEY = bytes(range(32))

Open = Callable[..., Awaitable[Any]]
"""The `open` of an embedded backend, with what only it needs already given."""


class EmbeddedBackend:
    """Fulfils `Backend` for one embedded backend. Its clock stands still, so nothing happens by waiting."""

    def __init__(self, open_store: Open, new_files: Callable[[], Files] = MemoryFiles) -> None:
        self._open_store = open_store
        self._new_files = new_files
        self._files = new_files()
        self._clock: Clock = ManualClock()
        self._epoch = 0
        self._opened: list[Any] = []

    async def open(self) -> Any:
        return await self._over(self._files)

    async def open_killed(self) -> Any:
        copy = self._new_files()
        for path, data in file_contents(self._files):
            _write(copy, path, data)
        return await self._over(copy)

    async def open_other(self) -> Any:
        return await self._over(self._new_files())

    def raw(self) -> bytes:
        return b"".join(data for _, data in file_contents(self._files))

    async def close(self) -> None:
        while self._opened:
            await self._opened.pop().close()

    async def _over(self, files: Files) -> Any:
        self._epoch += 1
        store = await self._open_store(files, clock=self._clock, epoch=self._epoch, forget_key=FORGET_KEY)
        self._opened.append(store)
        return store


def sealed(store: type[EmbeddedStore]) -> type[EmbeddedStore]:
    """The backend with every durable commit sealed at once, so that all it reads comes from Parquet segments."""
    return type(f"Sealed{store.__name__}", (_SealedStore, store), {})


class _SealedStore(EmbeddedStore):
    @classmethod
    async def _open_engine(cls, files: Files, *, clock: Clock, epoch: int, read_only: bool) -> Engine:
        collections: dict[str, type[msgspec.Struct]] = {**cls.collections, forgotten.COLLECTION: forgotten.Mark}
        return await open_engine(
            files, collections=collections, clock=clock, epoch=epoch, read_only=read_only, sealer=InlineSealer
        )

    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        version = await super()._commit(ops, durability=durability)
        if durability == "durable":
            await self.engine.seal()
        return version


def real_files(directory: Path) -> Callable[[], Files]:
    """Makes files in a new directory below this one at each call."""
    numbers = itertools.count(1)

    def new_files() -> Files:
        below = directory / str(next(numbers))
        below.mkdir()
        return RealFiles(below)

    return new_files


def file_contents(files: Files, directory: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file below a directory with its bytes."""
    for name in files.list(directory):
        path = f"{directory}/{name}" if directory else name
        below = list(file_contents(files, path)) if _is_directory(files, path) else [(path, bytes(files.read(path)))]
        yield from below


def _is_directory(files: Files, path: str) -> bool:
    try:
        if files.list(path):
            return True
        files.read(path)
    except NotADirectoryError:
        return False
    except IsADirectoryError:
        return True
    return False


def _write(files: Files, path: str, data: bytes) -> None:
    directory, _, _ = path.rpartition("/")
    if directory:
        files.make_directory(directory)
    file = files.create(path)
    try:
        file.write(0, data)
    finally:
        file.close()
