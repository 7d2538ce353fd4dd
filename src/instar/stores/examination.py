"""Examining and mending a home: its own files first, then each store, none of them opened.

A home that does not open can still be examined, without the lease and without the right to write. Mending
needs the lease, tells each thing that it gives up before it does it, and deletes nothing acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import google_crc32c
import msgspec

from instar.core.clock import Clock
from instar.core.errors import HomeError, HomeMissing, HomeOwned, InstarError
from instar.stores import format as formats
from instar.stores.owner import SOCKET_NAME
from instar.stores.registry import PORTS, STRUCTS
from instar.stores.segment import manifest
from instar.stores.segment.check import DOCTOR_REPAIR, Anatomy, Finding, examine, read_anatomy
from instar.stores.segment.files import Files, RealFiles
from instar.stores.segment.lease import BOOT_ID, LOCK_NAME, NETWORK_FILE_SYSTEMS, Holder, Lease, file_system_of
from instar.stores.segment.repair import DAMAGED, Repair, repairs
from instar.stores.segment.seal import SpawnedSealer

RECEIPTS = "receipts"
_OURS = {LOCK_NAME, SOCKET_NAME, formats.NAME, formats.COPY, "instar.toml", RECEIPTS, DAMAGED, *PORTS}
_IN_A_STORE = re.compile(
    r"ballast|manifest/([0-9]{20}\.json|new)|wal/[0-9]{10}-[0-9]{6}\.wal|seg/[^/]+/[^/]+/([0-9a-f]{64}\.parquet|new)"
    r"|cache/([0-9a-f]{64}\.rows|words/.*)|damaged/.*"
)
Tell = Callable[[Repair], None]


def foreign_at_home(path: Path) -> list[str]:
    """Names in a home's directory that are none of instar's; those that begin with a dot are left out."""
    return sorted(entry.name for entry in path.iterdir() if entry.name not in _OURS and not entry.name.startswith("."))


def stores_in(path: Path) -> list[str]:
    """The stores that hold files."""
    return [name for name in PORTS if (path / name).is_dir() and any((path / name).iterdir())]


def is_owned(path: Path) -> bool:
    """True while a process has the home open for writing, as far as this one may find out."""
    try:
        return Lease.holder(path) is not None
    except (HomeError, OSError):
        return False


def examine_home(path: Path) -> list[Finding]:
    """Everything there is to say about a home that nobody has open. Raises `HomeMissing`, `HomeForeign`."""
    refuse_what_is_no_home(path)
    findings = examine_directory(path)
    for name in stores_in(path):
        findings += _of(name, _examined_store(path / name, STRUCTS[name]))
    return findings


def _examined_store(path: Path, structs: Mapping[str, type[msgspec.Struct]]) -> list[Finding]:
    files = RealFiles(path)
    try:
        return examine(files, read_anatomy(files), structs)
    except (HomeError, OSError) as error:
        return [_unreadable(error)]


def _unreadable(error: InstarError | OSError) -> Finding:
    if isinstance(error, InstarError):
        return Finding(check="files", ok=False, detail=f"{error.what}: {error.why}", next=error.next)
    return Finding(
        check="files", ok=False, detail=str(error), next="give yourself the right to read it, or see to the disk"
    )


def examine_opened(name: str) -> Callable[[Files, Anatomy], list[Finding]]:
    """What examines a store that its owner keeps still."""
    return lambda files, anatomy: _of(name, examine(files, anatomy, STRUCTS[name]))


def _of(store: str, findings: Sequence[Finding]) -> list[Finding]:
    return [msgspec.structs.replace(each, check=f"{store}: {each.check}") for each in findings]


def refuse_what_is_no_home(path: Path) -> None:
    """Raise `HomeMissing` where nothing is, and `HomeForeign` where something else is."""
    if not path.is_dir():
        raise HomeMissing(
            f"there is no home at {path}",
            why="nothing was stored there yet",
            next="check --home, or begin one: instar chat --person you",
        )
    if not (path / formats.NAME).exists() and not (path / formats.COPY).exists() and not stores_in(path):
        raise HomeMissing(
            f"there is no home at {path}",
            why="the directory has no FORMAT.json and no store",
            next="check --home, or begin one: instar chat --person you",
        )


# --- the home's own files --------------------------------------------------------------------------


def examine_directory(path: Path) -> list[Finding]:
    """What there is to say about a home's directory, apart from what is in its stores."""
    return [
        _format_finding(path),
        _copy_finding(path),
        _lock_finding(path),
        *_receipt_findings(path),
        *_permission_findings(path),
        _file_system_finding(path),
        *_foreign_findings(path),
    ]


def _format_finding(path: Path) -> Finding:
    problem = _format_problem(path / formats.NAME)
    if problem is not None:
        return _bad("format", problem)
    return _good("format", f"{path / formats.NAME} checks")


def _format_problem(path: Path) -> str | None:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=formats.HomeFormat)
    except FileNotFoundError:
        return f"{path} is not there"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{path}: {error}"
    if found.crc32c and found.crc32c != formats.checksum(found):
        return f"{path}: its checksum is wrong"
    try:
        formats.decode_format(path, path.read_bytes())
    except HomeError as error:
        return f"{error.what}: {error.why}"
    return None


def _copy_finding(path: Path) -> Finding:
    if not (path / formats.COPY).exists():
        return _good("format copy", "there is none yet; the next owner of the home makes it")
    problem = _format_problem(path / formats.COPY)
    return _bad("format copy", problem) if problem else _good("format copy", f"{path / formats.COPY} checks")


def _lock_finding(path: Path) -> Finding:
    problem = lock_problem(path)
    if problem is not None:
        return _bad("lock", problem)
    return _good("lock", "the epoch in it is as high as any that wrote here")


def lock_problem(path: Path) -> str | None:
    """What is wrong with LOCK; None when its epoch is one that may go on."""
    try:
        content = (path / LOCK_NAME).read_bytes().strip()
        epoch = msgspec.json.decode(content, type=Holder).epoch if content else 0
    except FileNotFoundError:
        epoch = 0
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        return f"{path / LOCK_NAME}: {error}"
    highest = highest_epoch(path)
    if epoch < highest:
        return f"{path / LOCK_NAME} says epoch {epoch}, and epoch {highest} wrote here"
    return None


def highest_epoch(path: Path) -> int:
    """The highest epoch that any store names; 0 for none."""
    highest = 0
    for name in stores_in(path):
        files = RealFiles(path / name)
        logs = [int(found[:10]) for found in files.list("wal") if _IN_A_STORE.fullmatch(f"wal/{found}")]
        highest = max([highest, manifest.newest(files).manifest.epoch, *logs])
    return highest


def _receipt_findings(path: Path) -> Iterator[Finding]:
    receipts = sorted((path / RECEIPTS).glob("*.json")) if (path / RECEIPTS).is_dir() else []
    bad = [file for file in receipts if checked_line(file.read_bytes()) is None]
    for file in bad:
        yield Finding(
            check="receipts",
            ok=False,
            detail=f"{file}: its checksum is wrong; what it proves is done, only its words are damaged",
            next=DOCTOR_REPAIR,
        )
    if receipts and not bad:
        yield _good("receipts", f"{len(receipts)} check")


def checked_line(content: bytes) -> bytes | None:
    """The line of a file whose second line is the CRC32C of its first; None when it does not check."""
    line, _, rest = content.partition(b"\n")
    return line if rest == b'{"crc32c":"%08x"}\n' % google_crc32c.value(line) else None


def with_checksum(line: bytes) -> bytes:
    """A line, and a line with its CRC32C."""
    return line + b'\n{"crc32c":"%08x"}\n' % google_crc32c.value(line)


def _permission_findings(path: Path) -> Iterator[Finding]:
    others = [file for file in [path, *path.rglob("*")] if file.lstat().st_uid != path.stat().st_uid]
    mine = os.geteuid()
    if mine not in {0, path.stat().st_uid}:
        yield Finding(
            check="permissions",
            ok=False,
            detail=f"{path} belongs to user {path.stat().st_uid}, and this is user {mine}",
            next=f"run instar as that user, or give the home to yourself: chown -R {mine} {path}",
        )
    elif others:
        yield Finding(
            check="permissions",
            ok=False,
            detail=f"{others[0]} belongs to user {others[0].lstat().st_uid}, and the home to {path.stat().st_uid}",
            next=f"chown -R {path.stat().st_uid} {path}",
        )
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding(
            check="permissions",
            ok=True,
            detail=f"others on this machine may list {path}; the files in it are for its user alone",
            next=f"chmod 700 {path}",
        )
    else:
        yield _good("permissions", "only its user may read the home")


def _file_system_finding(path: Path) -> Finding:
    kind = file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            check="file system",
            ok=False,
            detail=f"{path} is on a network file system ({kind}), where two processes may hold one lock",
            next="keep the home on a local disk and `instar backup --to DIR` the copy on the network",
        )
    return _good("file system", kind or "of unknown kind")


def _foreign_findings(path: Path) -> Iterator[Finding]:
    beside = foreign_at_home(path)
    if beside:
        yield _good("other files", f"{beside[0]} and {len(beside) - 1} more are not instar's; they do no harm here")
    for file in foreign_in_stores(path):
        yield Finding(
            check="other files",
            ok=False,
            detail=f"{file} is not a file of a store, and stands in the directory of one",
            next=f"move it away, or let `{DOCTOR_REPAIR}` set it aside",
        )


def foreign_in_stores(path: Path) -> list[Path]:
    """Files in the stores' directories whose names no store gives."""
    found = [(name, file) for name in PORTS for file in sorted((path / name).rglob("*")) if file.is_file()]
    return [file for name, file in found if not _IN_A_STORE.fullmatch(file.relative_to(path / name).as_posix())]


def _good(check: str, detail: str) -> Finding:
    return Finding(check=check, ok=True, detail=detail)


def _bad(check: str, detail: str) -> Finding:
    return Finding(check=check, ok=False, detail=detail, next=DOCTOR_REPAIR)


# --- mending ---------------------------------------------------------------------------------------


def repair_home(path: Path, *, clock: Clock, tell: Tell) -> list[Repair]:
    """Mend a home that nobody has open. `tell` is called with each repair before it is done.

    Raises `HomeOwned` when a process has the home open.
    """
    refuse_what_is_no_home(path)
    aside = clock.now().strftime("%Y%m%dT%H%M%S")
    done: list[Repair] = []

    def mend(repair: Repair) -> None:
        tell(repair)
        repair.mend()
        done.append(repair)

    for repair in _lock_repairs(path):
        mend(repair)
    with _owned(path), SpawnedSealer() as sealer:
        for repair in [*_format_repairs(path, aside), *_receipt_repairs(path, aside), *_foreign_repairs(path, aside)]:
            mend(repair)
        for name in stores_in(path):
            for repair in repairs(RealFiles(path / name), STRUCTS[name], sealer, aside=aside):
                mend(msgspec.structs.replace(repair, file=f"{name}/{repair.file}"))
        for repair in _lock_repairs(path):
            mend(repair)
    return done


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[None]:
    lease = Lease.acquire(path, network_allowed=True)
    if lease is None:
        raise HomeOwned(
            f"the home {path} cannot be mended now",
            why="a process has it open",
            next="stop that process first; `instar status` says which it is",
        )
    try:
        yield
    finally:
        lease.release()


def _lock_repairs(path: Path) -> Iterator[Repair]:
    if lock_problem(path) is not None:
        yield Repair(
            file=LOCK_NAME,
            does="write it anew with the highest epoch that any store names",
            gives_up="",
            mend=lambda: begin_epoch(path, highest_epoch(path)),
        )


def begin_epoch(path: Path, epoch: int, *, exclusive: bool = False) -> None:
    """Let the next owner's epoch be above `epoch`. Nobody may hold the lease under a lower one.

    With `exclusive` raises `FileExistsError` when there is a LOCK already.
    """
    boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    line = msgspec.json.encode(Holder(pid=os.getpid(), boot_id=boot_id, epoch=epoch)).ljust(127) + b"\n"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    descriptor = os.open(path / LOCK_NAME, flags, 0o600)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, line, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    formats.sync_directory(path)


def _format_repairs(path: Path, aside: str) -> Iterator[Repair]:
    problems = {name: _format_problem(path / name) for name in (formats.NAME, formats.COPY)}
    if problems[formats.NAME] is not None:
        yield _format_repair(path, aside, copied=problems[formats.COPY] is None)
    if problems[formats.COPY] is not None:
        yield Repair(
            file=formats.COPY,
            does=f"write it anew from {formats.NAME}",
            gives_up="",
            mend=lambda: _put_format(path, aside, formats.COPY, (path / formats.NAME).read_bytes()),
        )


def _format_repair(path: Path, aside: str, *, copied: bool) -> Repair:
    if copied:
        return Repair(
            file=formats.NAME,
            does=f"write it anew from {formats.COPY}",
            gives_up="",
            mend=lambda: _put_format(path, aside, formats.NAME, (path / formats.COPY).read_bytes()),
        )
    return Repair(
        file=formats.NAME,
        does="begin a new one with a new key",
        gives_up="the key of what was forgotten here: an import of older data may bring the forgotten back",
        mend=lambda: _put_format(path, aside, formats.NAME, formats.encode_format(formats.new_format())),
    )


def _put_format(path: Path, aside: str, name: str, content: bytes) -> None:
    if (path / name).exists():
        _move_aside(path, path / name, aside)
    formats.write_durably(path / name, content)


def _receipt_repairs(path: Path, aside: str) -> Iterator[Repair]:
    for file in sorted((path / RECEIPTS).glob("*.json")):
        if checked_line(file.read_bytes()) is None:
            yield Repair(
                file=f"{RECEIPTS}/{file.name}",
                does=f"set it aside in {DAMAGED}/{aside}",
                gives_up="the words of this receipt; what it proves is done",
                mend=partial(_move_aside, path, file, aside),
            )


def _foreign_repairs(path: Path, aside: str) -> Iterator[Repair]:
    for file in foreign_in_stores(path):
        yield Repair(
            file=str(file.relative_to(path)),
            does=f"set it aside in {DAMAGED}/{aside}",
            gives_up="",
            mend=partial(_move_aside, path, file, aside),
        )


def discard_set_aside(path: Path) -> None:
    """Delete what repairs set aside. It is not read as records, so nobody can be forgotten in it otherwise."""
    for directory in (path / DAMAGED, *(path / name / DAMAGED for name in PORTS)):
        if directory.exists():
            shutil.rmtree(directory)
            formats.sync_directory(directory.parent)


def _move_aside(path: Path, file: Path, aside: str) -> None:
    target = path / DAMAGED / aside / file.relative_to(path)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.rename(target)
    formats.sync_directory(target.parent)
    formats.sync_directory(file.parent)
