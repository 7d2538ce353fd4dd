"""Stores that leave out one thing the engine does for safety. The crash histories must break every one of them.

A mutant that survives says that the histories are blind there, so each has a budget: how many histories may
run before one breaks. Most stand between engine and disk and do not carry out a call; the two without
checksums replace the checksum.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

from instar.stores.segment import rows, wal
from instar.stores.segment.files import Bytes, File, Files
from instar.testing.crash_histories import Draw, first_broken, mixed, restless, sealing
from instar.testing.simulated_files import SimulatedFiles


class Call(NamedTuple):
    """One call on its way to the disk."""

    name: str
    path: str
    changes: bool = True
    """False for a write of what is there already."""
    shrinks: bool = False
    first_sync: bool = False
    """True for the first sync of a file this process made."""


class Mutant(NamedTuple):
    """What is left out, and how many histories may run until that shows."""

    name: str
    budget: int
    wrap: Callable[[SimulatedFiles], Files]
    unchecked: ModuleType | None = None
    """The module that computes no checksums."""
    draw: Draw = mixed
    """What its histories are like."""


class Leaving:
    """Files that do not carry out the calls `out` is true for."""

    volatile = False

    def __init__(self, disk: SimulatedFiles, out: Callable[[Call], bool]) -> None:
        self._disk = disk
        self.out = out

    def list(self, directory: str) -> Sequence[str]:
        return self._disk.list(directory)

    def read(self, path: str) -> memoryview:
        return self._disk.read(path)

    def create(self, path: str) -> File:
        return _LeavingFile(self, self._disk, path, self._disk.create(path), made=True)

    def open(self, path: str) -> File:
        return _LeavingFile(self, self._disk, path, self._disk.open(path), made=False)

    def link(self, source: str, target: str) -> None:
        self._disk.link(source, target)

    def rename(self, source: str, target: str) -> None:
        self._disk.rename(source, target)

    def unlink(self, path: str) -> None:
        self._disk.unlink(path)

    def make_directory(self, directory: str) -> None:
        self._disk.make_directory(directory)

    def sync_directory(self, directory: str) -> None:
        if not self.out(Call("sync_directory", directory)):
            self._disk.sync_directory(directory)


class _LeavingFile:
    def __init__(self, files: Leaving, disk: SimulatedFiles, path: str, file: File, *, made: bool) -> None:
        self._files = files
        self._disk = disk
        self._path = path
        self._file = file
        self._made = made

    def write(self, offset: int, data: Bytes) -> None:
        changes = bytes(self._disk.read(self._path)[offset : offset + len(data)]) != bytes(data)
        if not self._files.out(Call("write", self._path, changes=changes)):
            self._file.write(offset, data)

    def resize(self, size_bytes: int) -> None:
        shrinks = size_bytes < len(self._disk.read(self._path))
        if not self._files.out(Call("resize", self._path, shrinks=shrinks)):
            self._file.resize(size_bytes)

    def sync(self) -> None:
        first, self._made = self._made, False
        if not self._files.out(Call("sync", self._path, first_sync=first)):
            self._file.sync()

    def close(self) -> None:
        self._file.close()


class _Retrying(Leaving):
    """Calls sync again when it fails, as if that helped."""

    def create(self, path: str) -> File:
        return _RetryingFile(super().create(path))

    def open(self, path: str) -> File:
        return _RetryingFile(super().open(path))


class _RetryingFile:
    def __init__(self, file: File) -> None:
        self._file = file
        self.write = file.write
        self.resize = file.resize
        self.close = file.close

    def sync(self) -> None:
        try:
            self._file.sync()
        except OSError:
            self._file.sync()


class _UnlinkingEarly(Leaving):
    """Takes the sealed logs away before the manifest that says they are sealed is there."""

    def create(self, path: str) -> File:
        if path == "manifest/new":
            for name in self._disk.list("wal")[:-1]:
                self._disk.unlink(f"wal/{name}")
            self._disk.sync_directory("wal")
        return super().create(path)


def _leaving(out: Callable[[Call], bool]) -> Callable[[SimulatedFiles], Files]:
    return lambda disk: Leaving(disk, out)


def _syncs_of(prefix: str) -> Callable[[SimulatedFiles], Files]:
    return _leaving(lambda call: call.name == "sync" and call.path.startswith(prefix))


def _directory_syncs_of(prefix: str) -> Callable[[SimulatedFiles], Files]:
    return _leaving(lambda call: call.name == "sync_directory" and call.path.startswith(prefix))


MUTANTS = (
    Mutant("commits are not synced", 50, _syncs_of("wal/")),
    Mutant(
        "the header of a log is not synced",
        1_500,
        _leaving(lambda call: call.first_sync and call.path.startswith("wal/")),
    ),
    Mutant("segments are not synced", 300, _syncs_of("seg/")),
    Mutant("manifests are not synced", 300, _syncs_of("manifest/")),
    Mutant("the directory of the logs is not synced", 50, _directory_syncs_of("wal")),
    Mutant("the directory of the segments is not synced", 500, _directory_syncs_of("seg/")),
    Mutant("the directory of the manifests is not synced", 1_500, _directory_syncs_of("manifest")),
    Mutant(
        "the sealed log is unlinked before the manifest is there", 500, lambda disk: _UnlinkingEarly(disk, _nothing)
    ),
    Mutant("a failed sync is called again", 1_000, lambda disk: _Retrying(disk, _nothing)),
    Mutant(
        "the stale tail of a log is kept",
        3_000,
        _leaving(lambda call: call.shrinks and call.path.startswith("wal/")),
        draw=restless,
    ),
    Mutant(
        "what may not be durable is not written again on opening",
        3_000,
        _leaving(lambda call: call.name == "write" and call.path.startswith("wal/") and not call.changes),
    ),
    Mutant("frames are not checked", 300, lambda disk: disk, wal),
    Mutant("row caches are not checked", 1_500, lambda disk: disk, rows, sealing),
)


def _nothing(_call: Call) -> bool:
    return False


class _NoChecksum:
    @staticmethod
    def value(_data: bytes) -> int:
        return 0

    @staticmethod
    def extend(_crc: int, _data: bytes) -> int:
        return 0


@contextlib.contextmanager
def _unchecked(module: ModuleType | None) -> Iterator[None]:
    if module is None:
        yield
        return
    checksum = vars(module)["google_crc32c"]
    vars(module)["google_crc32c"] = _NoChecksum
    try:
        yield
    finally:
        vars(module)["google_crc32c"] = checksum


def killed_after(mutant: Mutant, seed: int) -> tuple[int, str | None]:
    """How many histories ran until one broke the mutant, and how; None when it survived its budget."""
    with _unchecked(mutant.unchecked):
        ran, broken, _ = first_broken(seed, mutant.budget, mutant.wrap, mutant.draw)
    return ran, broken
