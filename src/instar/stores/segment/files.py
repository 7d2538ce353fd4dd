"""The file system as the engine sees it: nine calls on paths below one directory, and a file to write into.

Nothing here is durable by itself: bytes are once their file is synced, names once their directory is. The
engine asks for both where its promises need them, so that a simulated file system can show what happens
where it forgets.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

Bytes = bytes | bytearray | memoryview
MAPPED_MIN_BYTES = 1 << 18  # below this a copy costs less than a mapping


class File(Protocol):
    """A file open for writing."""

    def write(self, offset: int, data: Bytes) -> None:
        """Write all of `data` at `offset`; not durable before `sync`."""

    def resize(self, size_bytes: int) -> None:
        """Grow with zeros whose space is taken at once (`ENOSPC` if there is none), or cut."""

    def sync(self) -> None:
        """Make everything written durable. After a failure nothing is known of what was written."""

    def close(self) -> None:
        """Give the file back; not a sync."""


class Files(Protocol):
    """The port. Paths are relative, with slashes; "" is the directory itself. Errors are `OSError`."""

    volatile: bool
    """True when nothing here outlives the process, so that no work need be put into durability."""

    def list(self, directory: str) -> Sequence[str]:
        """Names in a directory, sorted; none when it is not there."""

    def read(self, path: str) -> memoryview:
        """All bytes of a file, as they were when it was read or mapped."""

    def create(self, path: str) -> File:
        """Create a file; `FileExistsError` when there is one."""

    def open(self, path: str) -> File:
        """Open a file that is there for writing."""

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; `FileExistsError` when it is taken."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, which replaces what had it."""

    def unlink(self, path: str) -> None:
        """Take a name away; a file without names is gone."""

    def make_directory(self, directory: str) -> None:
        """Make a directory and those above it, durably; one that is there is left as it is."""

    def sync_directory(self, directory: str) -> None:
        """Make the names in a directory durable."""


class RealFiles:
    """The operating system's files below `root`."""

    volatile = False

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)

    def path(self, path: str) -> Path:
        """Where the operating system has it."""
        return self._root / path

    def list(self, directory: str) -> Sequence[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._root / directory))
        except FileNotFoundError:
            return []

    def read(self, path: str) -> memoryview:
        with (self._root / path).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < MAPPED_MIN_BYTES:
                return memoryview(file.readall())
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def create(self, path: str) -> File:
        return _RealFile(os.open(self._root / path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, path: str) -> File:
        return _RealFile(os.open(self._root / path, os.O_RDWR | os.O_CLOEXEC))

    def link(self, source: str, target: str) -> None:
        (self._root / target).hardlink_to(self._root / source)

    def rename(self, source: str, target: str) -> None:
        (self._root / source).rename(self._root / target)

    def unlink(self, path: str) -> None:
        (self._root / path).unlink()

    def make_directory(self, directory: str) -> None:
        missing = []
        at = self._root / directory
        while not at.is_dir():
            missing.append(at)
            at = at.parent
        for made in reversed(missing):
            with contextlib.suppress(FileExistsError):
                made.mkdir(mode=0o700)
            _sync_path(made.parent)

    def sync_directory(self, directory: str) -> None:
        _sync_path(self._root / directory)


class _RealFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, offset: int, data: Bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view = view[written:]
            offset += written

    def resize(self, size_bytes: int) -> None:
        now = os.fstat(self._descriptor).st_size
        if size_bytes < now:
            os.ftruncate(self._descriptor, size_bytes)
        elif size_bytes > now:
            os.posix_fallocate(self._descriptor, now, size_bytes - now)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)
        if os.fstat(self._descriptor).st_nlink == 0:  # on the disk, and nobody will ever find it there again
            raise FileNotFoundError(errno.ENOENT, "the file was deleted while it was being written")

    def close(self) -> None:
        os.close(self._descriptor)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MemoryFiles:
    """Files in memory: what `memory:` homes and most tests stand on."""

    volatile = True

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}

    def list(self, directory: str) -> Sequence[str]:
        prefix = directory + "/" if directory else ""
        return sorted({path[len(prefix) :].split("/")[0] for path in self._files if path.startswith(prefix)})

    def read(self, path: str) -> memoryview:
        return memoryview(bytes(self._found(path)))

    def create(self, path: str) -> File:
        self._refuse_taken(path)
        self._files[path] = bytearray()
        return _MemoryFile(self._files[path])

    def open(self, path: str) -> File:
        return _MemoryFile(self._found(path))

    def link(self, source: str, target: str) -> None:
        self._refuse_taken(target)
        self._files[target] = self._found(source)

    def rename(self, source: str, target: str) -> None:
        self._files[target] = self._found(source)
        del self._files[source]

    def unlink(self, path: str) -> None:
        self._found(path)
        del self._files[path]

    def make_directory(self, directory: str) -> None:
        """Directories are there as soon as a name in them is."""

    def sync_directory(self, directory: str) -> None:
        """There is nothing to outlive."""

    def _found(self, path: str) -> bytearray:
        if path not in self._files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self._files[path]

    def _refuse_taken(self, path: str) -> None:
        if path in self._files:
            raise FileExistsError(17, "File exists", path)


class _MemoryFile:
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, offset: int, data: Bytes) -> None:
        view = memoryview(data)
        if offset > len(self._data):
            self._data.extend(bytes(offset - len(self._data)))
        self._data[offset : offset + len(view)] = view

    def resize(self, size_bytes: int) -> None:
        if size_bytes < len(self._data):
            del self._data[size_bytes:]
        else:
            self._data.extend(bytes(size_bytes - len(self._data)))

    def sync(self) -> None:
        """There is nothing to outlive."""

    def close(self) -> None:
        """There is nothing to give back."""


if TYPE_CHECKING:
    _fulfil: tuple[type[Files], ...] = (RealFiles, MemoryFiles)
