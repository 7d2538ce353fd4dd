"""The lease: one process at a time owns a home, and every owner has a higher epoch than the one before.

An open-file-description lock on `LOCK` (fcntl(2), F_OFD_SETLK) is the right itself: the kernel takes it back
when the process ends, however it ends, and an unrelated close() does not lose it, as it does a POSIX lock.
The file's content only says who holds it, and keeps the epoch.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Self

import msgspec

from instar.core.errors import HomeForeign, HomeReadOnly

LOCK_NAME = "LOCK"
F_OFD_GETLK = 36  # Python's fcntl has them only where its C library did; the numbers are those of all of Linux
F_OFD_SETLK = 37
_flock = struct.Struct("hhqqi4x")
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs"}
)
"""Where a lock may be granted twice, or lost with a connection, without anybody being told."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lease, or held it last."""

    pid: int
    boot_id: str
    """Which start of the machine the process belongs to: a pid of another start says nothing."""
    epoch: int


class Lease:
    """The right to write to a home, until `release` or the end of the process."""

    def __init__(self, descriptor: int, epoch: int) -> None:
        self._descriptor: int | None = descriptor
        self.epoch = epoch

    @classmethod
    def acquire(cls, path: Path, *, network_allowed: bool = False) -> Self | None:
        """Take the lease of the home in directory `path`, with the next epoch on disk; None when another has it.

        Raises `HomeReadOnly` where the file may not be written, and `HomeForeign` on a network file system,
        unless `network_allowed`: locks do not hold there.
        """
        if not network_allowed:
            _refuse_network(path, file_system_of(path))
        descriptor = _open_lock(path)
        try:
            if not _locked(descriptor):
                os.close(descriptor)
                return None
            return cls(descriptor, _next_epoch(path, descriptor))
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise

    @staticmethod
    def holder(path: Path) -> Holder | None:
        """Who holds the lease of the home in `path`; None when nobody does."""
        try:
            descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _read(path, descriptor) if _is_held(descriptor) else None
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the lease back. Releasing twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open_lock(path: Path) -> int:
    try:
        return os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise HomeReadOnly(
                f"the home {path} cannot be written to",
                why=str(error),
                next=f"give yourself the right to write there, for example `chmod u+w {path}`",
            ) from error
        raise


def _locked(descriptor: int) -> bool:
    """Try to lock the whole file; False when another open file has it."""
    request = _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        if error.errno == errno.EINVAL:
            return _flocked(descriptor)
        raise
    return True


def _is_held(descriptor: int) -> bool:
    """Ask without taking: a question must not keep anybody from the lease."""
    request = _flock.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, F_OFD_GETLK, request)
    return bool(_flock.unpack(answer)[0] != fcntl.F_UNLCK)


def file_system_of(path: Path) -> str:
    """The kind of file system a path is on, by the longest mount point above it; "" where /proc has no mounts."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    wanted = path.resolve()
    mounts = [(Path(fields[1].replace("\\040", " ")), fields[2]) for line in lines if len(fields := line.split()) > 2]
    above = [(len(mount.parts), kind) for mount, kind in mounts if wanted.is_relative_to(mount)]
    return max(above, key=lambda found: found[0])[1] if above else ""


def _refuse_network(path: Path, kind: str) -> None:
    if kind in NETWORK_FILE_SYSTEMS:
        raise HomeForeign(
            f"the home {path} is on a network file system ({kind})",
            why="locks there may be granted to two processes at once, and both would write",
            next="use a directory on a local disk, and `instar backup --to DIR` for the copy on the network",
        )


def _flocked(descriptor: int) -> bool:
    """Kernels without open-file-description locks have flock(2), which ends with the process as well."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _next_epoch(path: Path, descriptor: int) -> int:
    last = _read(path, descriptor)
    epoch = (last.epoch if last else 0) + 1
    boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    line = msgspec.json.encode(Holder(pid=os.getpid(), boot_id=boot_id, epoch=epoch)).ljust(127) + b"\n"
    os.pwrite(descriptor, line, 0)  # one line, always of one length: below a sector, so it is never half there
    os.fsync(descriptor)
    if last is None:
        _sync_directory(path)
    return epoch


def _read(path: Path, descriptor: int) -> Holder | None:
    content = os.pread(descriptor, 4096, 0).strip()
    if not content:
        return None
    try:
        return msgspec.json.decode(content, type=Holder)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HomeForeign(
            f"{path / LOCK_NAME} is not the lock of a home",
            why=str(error),
            next="if this is a home, `instar doctor --repair` writes it anew; if not, choose another directory: --home DIR",
        ) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
