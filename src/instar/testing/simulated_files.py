"""A file system that loses power, runs full and fails, as a seed says.

What it takes from real ones: written bytes are visible at once and on the disk after `sync`; without one,
any subset of their 512-byte sectors is; a new size without a sync may or may not be. Names are on the disk
after `sync_directory`; without one, the changes up to any point are. A failed sync leaves the pages clean:
what they hold is visible until the power goes, and no later sync brings it to the disk.

A simulation of what POSIX allows, not of one file system: ext4 keeps more than this does.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator, Sequence

from instar.stores.segment.files import Bytes, File

SECTOR_BYTES = 512


class PowerLoss(BaseException):
    """The process ends here. Not an `Exception`, so that nothing takes it for an error it could handle."""


class SimulatedFiles:
    """Files with a disk behind them. `crash` gives what a reboot would find."""

    volatile = False

    def __init__(
        self,
        randomness: random.Random,
        *,
        capacity_bytes: int | None = None,
        fail: Callable[[str, str], int | None] = lambda _call, _path: None,
    ) -> None:
        """`fail` is asked before every call, by its name and path, for an errno to fail with."""
        self._random = randomness
        self._names: dict[str, _Inode] = {}
        self._on_disk: dict[str, _Inode] = {}
        self._unsynced: dict[str, list[tuple[str, _Inode | None]]] = {}
        self.capacity_bytes = capacity_bytes
        self.fail = fail
        self.calls_left: int | None = None
        """Power is lost at the call that finds 0 here."""
        self.counted: str | None = None
        """The name of the calls that count; None: all of them."""
        self.off = False

    # --- the port -------------------------------------------------------------------------------

    def list(self, directory: str) -> Sequence[str]:
        self.call("list", directory)
        prefix = directory + "/" if directory else ""
        return sorted({path[len(prefix) :].split("/")[0] for path in self._names if path.startswith(prefix)})

    def read(self, path: str) -> memoryview:
        self.call("read", path)
        return memoryview(bytes(self._found(path).data))

    def create(self, path: str) -> File:
        self.call("create", path)
        self._refuse_taken(path)
        inode = _Inode()
        self._name(path, inode)
        return _SimulatedFile(self, path, inode)

    def open(self, path: str) -> File:
        self.call("open", path)
        return _SimulatedFile(self, path, self._found(path))

    def link(self, source: str, target: str) -> None:
        self.call("link", target)
        self._refuse_taken(target)
        self._name(target, self._found(source))

    def rename(self, source: str, target: str) -> None:
        self.call("rename", target)
        assert os.path.dirname(source) == os.path.dirname(target), "a rename within one directory"  # noqa: PTH120
        inode = self._found(source)
        del self._names[source]
        self._names[target] = inode
        # One entry: a rename is on the disk whole or not at all.
        self._unsynced.setdefault(_directory(target), []).append((f"{source}\n{target}", inode))

    def unlink(self, path: str) -> None:
        self.call("unlink", path)
        self._found(path)
        self._name(path, None)

    def make_directory(self, directory: str) -> None:
        self.call("make_directory", directory)

    def sync_directory(self, directory: str) -> None:
        self.call("sync_directory", directory)
        for change in self._unsynced.pop(directory, []):
            _apply(self._on_disk, change)

    # --- the disk -------------------------------------------------------------------------------

    def crash(self) -> None:
        """Lose power: what was not synced is kept, dropped or torn, and the files are there again."""
        for changes in self._unsynced.values():
            kept = self._random.choice((0, len(changes), self._random.randint(0, len(changes))))
            for change in changes[:kept]:
                _apply(self._on_disk, change)
        self._unsynced = {}
        for inode in {id(inode): inode for inode in self._on_disk.values()}.values():
            inode.lose_power(self.kept())
        self._names = dict(self._on_disk)
        self.restart()

    def kept(self) -> Callable[[float], bool]:
        """Which unsynced sectors reach the disk: none, all, the first or last of them, or any."""
        kind = self._random.choice(("none", "all", "first", "last", "any"))
        cut = self._random.random()
        if kind == "any":
            return lambda _place: self._random.random() < cut
        return {
            "none": lambda _place: False,
            "all": lambda _place: True,
            "first": lambda place: place < cut,
            "last": lambda place: place >= cut,
        }[kind]

    def restart(self) -> None:
        """Be there for a new process: after `crash`, or after a kill, which loses nothing that was written."""
        self.off = False
        self.calls_left = None

    def damage(self, path: str, offset: int) -> None:
        """Turn one bit over, on the disk and in what is read."""
        inode = self._found(path)
        inode.data[offset] ^= 1
        inode.disk[offset] ^= 1

    def used_bytes(self) -> int:
        """How much of the capacity is taken."""
        return sum(len(inode.data) for inode in {id(inode): inode for inode in self._names.values()}.values())

    def call(self, call: str, path: str) -> None:
        """Count a call; lose power or fail where it is time to."""
        if self.calls_left is not None and self.counted in {None, call}:
            self.off = self.off or self.calls_left <= 0
            self.calls_left -= 1
        if self.off:
            raise PowerLoss(f"{call} {path}")
        number = self.fail(call, path)
        if number is not None:
            raise OSError(number, os.strerror(number), path)

    def take_space(self, more_bytes: int, path: str) -> None:
        """Refuse with `ENOSPC` what is over the capacity."""
        if self.capacity_bytes is not None and more_bytes > 0 and self.used_bytes() + more_bytes > self.capacity_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _name(self, path: str, inode: _Inode | None) -> None:
        change = (path, inode)
        _apply(self._names, change)
        self._unsynced.setdefault(_directory(path), []).append(change)

    def _found(self, path: str) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._names[path]

    def _refuse_taken(self, path: str) -> None:
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


class _Inode:
    def __init__(self) -> None:
        self.data = bytearray()
        self.disk = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []
        """Writes at an offset; None for a resize to it."""

    def write(self, offset: int, data: bytes) -> None:
        _write(self.data, offset, data)
        self.unsynced.append((offset, data))

    def resize(self, size_bytes: int) -> None:
        _resize(self.data, size_bytes)
        self.unsynced.append((size_bytes, None))

    def sync(self) -> None:
        for offset, data in self.unsynced:
            if data is None:
                _resize(self.disk, offset)
            else:
                _write(self.disk, offset, data)
        self.unsynced = []

    def fail_sync(self, kept: Callable[[float], bool]) -> None:
        """Some sectors reached the disk; the rest never will, and counts as clean.

        `kept` says which, by their place between the first (0) and the last (1).
        """
        sectors = [sector for change in self.unsynced for sector in _sectors(*change)]
        for number, (offset, data) in enumerate(sectors):
            if not kept(number / len(sectors)):
                continue
            if data is None:
                _resize(self.disk, offset)
            else:
                _write(self.disk, offset, data)
        self.unsynced = []

    def lose_power(self, kept: Callable[[float], bool]) -> None:
        self.fail_sync(kept)
        self.data = bytearray(self.disk)


class _SimulatedFile:
    def __init__(self, files: SimulatedFiles, path: str, inode: _Inode) -> None:
        self._files = files
        self._path = path
        self._inode = inode

    def write(self, offset: int, data: Bytes) -> None:
        self._files.call("write", self._path)
        self._files.take_space(offset + len(data) - len(self._inode.data), self._path)
        self._inode.write(offset, bytes(data))

    def resize(self, size_bytes: int) -> None:
        self._files.call("resize", self._path)
        self._files.take_space(size_bytes - len(self._inode.data), self._path)
        self._inode.resize(size_bytes)

    def sync(self) -> None:
        try:
            self._files.call("sync", self._path)
        except OSError:
            self._inode.fail_sync(self._files.kept())
            raise
        self._inode.sync()

    def close(self) -> None:
        """Neither a sync nor a call that power is lost at."""


def _sectors(offset: int, data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    """A write, parted where sectors begin; a resize as it is."""
    if data is None:
        yield offset, None
        return
    at = offset
    while at < offset + len(data):
        stop = min(offset + len(data), (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield at, data[at - offset : stop - offset]
        at = stop


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _apply(names: dict[str, _Inode], change: tuple[str, _Inode | None]) -> None:
    path, inode = change
    source, renamed, target = path.partition("\n")
    if renamed:
        names.pop(source, None)
    if inode is None:
        names.pop(path, None)
    else:
        names[target or path] = inode


def _write(data: bytearray, offset: int, written: bytes) -> None:
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(written)] = written


def _resize(data: bytearray, size_bytes: int) -> None:
    if size_bytes < len(data):
        del data[size_bytes:]
    else:
        data.extend(bytes(size_bytes - len(data)))
