"""A home: the backends that hold an agent's state now, with the epoch every writer carries.

Whoever opens a home on files first owns it: it holds the lease and listens on a socket in the directory.
Whoever opens it later gets the same ports, carried out by the owner. Neither needs to know which it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from instar.core.clock import Clock, IdSource, SystemClock, UlidSource
from instar.core.errors import (
    Fenced,
    HomeForeign,
    HomeMissing,
    HomeOwned,
    HomeReadOnly,
    StoreCorrupt,
)
from instar.core.ids import PersonId
from instar.core.limits import OWNER_WAIT_S
from instar.core.records import MemoryKind
from instar.embeddings.port import Embedder
from instar.stores import format as formats
from instar.stores.backup import BackupReport
from instar.stores.control import CollectionFile, HomeControl, HomeStatus, OwnerControl
from instar.stores.conversations.port import ConversationStore
from instar.stores.erasure import Erasure, Receipt
from instar.stores.examination import (
    begin_epoch,
    foreign_at_home,
    highest_epoch,
    refuse_what_is_no_home,
    stores_in,
)
from instar.stores.format import HomeFormat, sync_directory
from instar.stores.guest import OwnerConnection, guest_port
from instar.stores.memories.port import MemoryStore
from instar.stores.movable import Value
from instar.stores.owner import SOCKET_NAME, OwnerSocket, Served
from instar.stores.profiles.port import ProfileStore
from instar.stores.registry import PORTS, READS, Location, open_embedded
from instar.stores.segment.check import Finding
from instar.stores.segment.lease import LOCK_NAME, Lease
from instar.stores.wire import methods_of
from instar.stores.workflows.port import WorkflowStore

NEEDLES_MAX = 256  # texts of the forgotten that a receipt's byte search looks for
NEEDLE_MIN_BYTES = 16  # shorter texts ("yes") stand in other people's messages too
EVERY_KIND: tuple[MemoryKind, ...] = ("fact", "note", "block", "episode")
_OWNER_POLL_S = 0.02
_READ_TRIES = 5  # a sealing that comes between the manifest and the log is over long before


class Home:
    """An open home. Use it as an async context manager, or close it."""

    def __init__(
        self, location: Location, ports: Mapping[str, Any], control: HomeControl, *, closing: Sequence[Any]
    ) -> None:
        self.location = str(location)
        self.conversations: ConversationStore = ports["conversations"]
        self.profiles: ProfileStore = ports["profiles"]
        self.memories: MemoryStore = ports["memories"]
        self.workflows: WorkflowStore = ports["workflows"]
        self._control = control
        self._closing = list(closing)

    @property
    def owned(self) -> bool:
        """True when this process owns the home; False when it speaks to the owner."""
        return isinstance(self._control, OwnerControl)

    async def status(self) -> HomeStatus:
        """Figures of the home."""
        return await self._control.status()

    async def forget(self, person: PersonId, *, dry_run: bool = False) -> Receipt:
        """Erase a person from every store, prove it, and return the receipt. Raises `PersonUnknown`.

        With `dry_run` only count what would go.
        """
        return await self._control.forget(person, dry_run=dry_run)

    async def check(self) -> Sequence[Finding]:
        """Read every byte of every file that something vouches for, and say what was found."""
        return await self._control.check()

    async def files(self, collection: str, *, seal: bool = False) -> Sequence[CollectionFile]:
        """The Parquet files that hold what is sealed of a collection: messages, profiles, memories or workflows.

        With `seal` they hold everything acknowledged before. Raises `RecordInvalid` for an unknown collection.
        """
        if seal:
            await self._control.seal(collection)
        return await self._control.files(collection)

    async def backup(self, to: Path | str) -> BackupReport:
        """Bring the backup in directory `to` up to the state of now: what is new is copied, what is gone dropped.

        Everything in it is verified when this returns. Writes go on meanwhile. Raises `HomeForeign` for a
        directory with other things in it, and `StoreCorrupt` for a home that `instar doctor` finds damaged.
        """
        return await self._control.backup(_absolute(to))

    async def close(self) -> None:
        """Make everything durable and let go of the home. Closing twice is harmless."""
        while self._closing:
            await self._closing.pop().close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_home(
    location: Location,
    *,
    embedder: Embedder,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    create: bool = True,
    read_only: bool = False,
) -> Home:
    """Open a home as its owner, or as a guest of whoever owns it.

    With `read_only` nothing is written and no lease is taken: beside an owner its records are read through
    it, without one from the files, as they are now. Raises `HomeMissing` (nothing there and `create` is False), `HomeForeign`, `HomeNewer`, `HomeReadOnly`,
    `HomeOwned` (an owner that holds the lease does not answer), `StoreCorrupt`.
    """
    clock = clock or SystemClock()
    ids = ids or UlidSource(clock)
    if read_only and location.path is not None:
        return await _open_reader(location, location.path, embedder=embedder, clock=clock, ids=ids)
    if location.path is None:
        if read_only:
            raise HomeMissing(
                "a home in memory cannot be opened for reading only",
                why="it begins empty, and would stay so",
                next="open a home in a directory: --home DIR",
            )
        return await _open_owned(
            location, formats.new_format(), epoch=1, lease=None, embedder=embedder, clock=clock, ids=ids
        )
    home_format = _prepare_directory(location.path, create=create)
    _begin_lost_lock(location.path)
    give_up_at = clock.monotonic() + OWNER_WAIT_S
    while clock.monotonic() < give_up_at:
        lease = Lease.acquire(location.path)
        if lease is not None:
            try:
                _refuse_low_epoch(location.path, lease.epoch)
                _keep_copy(location.path, home_format)
                return await _open_owned(
                    location, home_format, epoch=lease.epoch, lease=lease, embedder=embedder, clock=clock, ids=ids
                )
            except BaseException:
                lease.release()
                raise
        connection = await OwnerConnection.connect(location.path)
        if connection is not None:
            return _open_guest(location, connection)
        await clock.sleep(_OWNER_POLL_S)
    raise HomeOwned(
        f"the home {location.path} is owned by process {_holder(location.path)}, which does not answer",
        why=f"it holds the lease, and its socket {SOCKET_NAME} gave no answer for {OWNER_WAIT_S:g} s",
        next="stop that process (the lease ends with it), or wait until it is done starting",
    )


async def _open_reader(location: Location, path: Path, *, embedder: Embedder, clock: Clock, ids: IdSource) -> Home:
    try:
        refuse_what_is_no_home(path)
        connection = await _reach(path)
        if connection is not None:
            return _open_guest(location, connection, read_only=True)
        return await _open_files(location, path, embedder=embedder, clock=clock, ids=ids)
    except PermissionError as error:
        raise HomeReadOnly(f"the home {path} cannot be read", why=str(error), next=_whose(path)) from error


async def _reach(path: Path) -> OwnerConnection | None:
    """The owner, if there is one that this user may speak to."""
    try:
        return await OwnerConnection.connect(path)
    except PermissionError:
        return None


def _whose(path: Path) -> str:
    """The next step where the file system refuses."""
    # os.path.exists answers where Path.exists raises: below a directory that may not be entered.
    there = next(each for each in (path, *path.parents) if os.path.exists(each))  # noqa: PTH110
    owner = there.stat().st_uid
    if owner == os.geteuid():
        return f"give yourself the right to it: `chmod u+rwx {there}`; or choose another directory: --home DIR"
    return f"{there} belongs to user {owner}: run instar as that user, or choose another directory: --home DIR"


async def _open_files(location: Location, path: Path, *, embedder: Embedder, clock: Clock, ids: IdSource) -> Home:
    """Open the files for reading; once more where an owner that cannot be reached changed them meanwhile."""
    home_format = formats.decode_format(path / formats.NAME, (path / formats.NAME).read_bytes())
    forget_key = bytes.fromhex(home_format.forget_key)
    for left in range(_READ_TRIES, 0, -1):
        epoch = highest_epoch(path)
        try:
            ports = await open_embedded(
                location, epoch=epoch, forget_key=forget_key, clock=clock, embedder=embedder, read_only=True
            )
        except (StoreCorrupt, Fenced):
            if left == 1:
                raise
        else:
            await _refuse_damaged(ports)
            erasure = Erasure(ports, path, forget_key=forget_key, clock=clock, ids=ids)
            control = OwnerControl(location, ports, epoch=epoch, erasure=erasure, clock=clock, read_only=True)
            return Home(location, ports, control, closing=list(ports.values()))
        await clock.sleep(_OWNER_POLL_S)
    raise AssertionError("the last try returns or raises")


async def _refuse_damaged(ports: Mapping[str, Any]) -> None:
    """A reader of what is left would take it for everything."""
    damage = [f"{name}: {each}" for name, store in ports.items() for each in store.engine.damage]
    if damage:
        for store in ports.values():
            await store.close()
        raise StoreCorrupt("the home is damaged", why=damage[0], next=f"run `instar doctor`, then `{formats.REPAIR}`")


def _holder(path: Path) -> str:
    holder = Lease.holder(path)
    return str(holder.pid) if holder else "unknown"


def _prepare_directory(path: Path, *, create: bool) -> HomeFormat:
    try:
        if (path / formats.NAME).exists():
            return formats.decode_format(path / formats.NAME, (path / formats.NAME).read_bytes())
        if path.is_dir():
            _refuse_foreign(path)
            _refuse_without_format(path)
        if not create:
            raise HomeMissing(
                f"there is no home at {path}",
                why="nothing was stored there yet",
                next="check --home, or begin one: instar chat --person you",
            )
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _write_format(path)
    except PermissionError as error:
        raise HomeReadOnly(f"the home {path} cannot be prepared", why=str(error), next=_whose(path)) from error
    except OSError as error:
        raise HomeReadOnly(
            f"the home {path} cannot be prepared",
            why=str(error),
            next="choose a directory you may write to: --home DIR",
        ) from error


def _refuse_foreign(path: Path) -> None:
    foreign = foreign_at_home(path)
    if foreign:
        raise HomeForeign(
            f"{path} is not an instar home",
            why=f"it holds {foreign[0]!r}"
            + (f" and {len(foreign) - 1} more entries" if foreign[1:] else "")
            + " and no FORMAT.json",
            next="choose an empty directory: --home DIR",
        )


def _refuse_without_format(path: Path) -> None:
    """Stores without FORMAT.json have lost the key of what was forgotten: a new one must not take its place unasked."""
    there = [*stores_in(path), *([formats.COPY] if (path / formats.COPY).exists() else [])]
    if there:
        raise StoreCorrupt(
            f"{path / formats.NAME} is not there",
            why=f"the directory is a home: it holds {there[0]}",
            next=f"`{formats.REPAIR}` makes it again from its copy, or restore it from a backup",
        )


def _write_format(path: Path) -> HomeFormat:
    """Create FORMAT.json durably, unless another process was first; then take theirs."""
    created = formats.new_format()
    temporary = path / f".FORMAT.{os.getpid()}.{secrets.token_hex(4)}"
    formats.write_durably(temporary, formats.encode_format(created))
    try:
        os.link(temporary, path / formats.NAME)
    except FileExistsError:
        return formats.decode_format(path / formats.NAME, (path / formats.NAME).read_bytes())
    finally:
        temporary.unlink()
        sync_directory(path)
    return created


def _refuse_low_epoch(path: Path, epoch: int) -> None:
    """A log named by a lower epoch than those before it would be read in the wrong order."""
    highest = highest_epoch(path)
    if epoch <= highest:
        raise StoreCorrupt(
            f"{path / LOCK_NAME} is damaged",
            why=f"it gives epoch {epoch}, and epoch {highest} wrote here",
            next=f"`{formats.REPAIR}` writes it anew",
        )


def _begin_lost_lock(path: Path) -> None:
    """Go on behind the epochs that wrote here when someone took LOCK for a leftover and deleted it."""
    if not (path / LOCK_NAME).exists() and (highest := highest_epoch(path)):
        with contextlib.suppress(FileExistsError, PermissionError):  # another was first, or the lease will say it
            begin_epoch(path, highest, exclusive=True)


def _keep_copy(path: Path, home_format: HomeFormat) -> None:
    if not (path / formats.COPY).exists():
        formats.write_durably(path / formats.COPY, formats.encode_format(home_format))


def _methods() -> dict[str, dict[str, Any]]:
    methods: dict[str, dict[str, Any]] = {
        name: methods_of(port, {Value: value}) for name, (port, value) in PORTS.items()
    }
    return methods | {"home": methods_of(HomeControl, {})}


async def _open_owned(
    location: Location,
    home_format: HomeFormat,
    *,
    epoch: int,
    lease: Lease | None,
    embedder: Embedder,
    clock: Clock,
    ids: IdSource,
) -> Home:
    forget_key = bytes.fromhex(home_format.forget_key)
    ports = await open_embedded(location, epoch=epoch, forget_key=forget_key, clock=clock, embedder=embedder)
    erasure = Erasure(ports, location.path, forget_key=forget_key, clock=clock, ids=ids)
    control = OwnerControl(location, ports, epoch=epoch, erasure=erasure, clock=clock)
    closing = [*([_Released(lease)] if lease else []), *ports.values()]
    if location.path is not None:
        served = {name: Served(ports.get(name, control), methods) for name, methods in _methods().items()}
        listener = OwnerSocket(location.path / SOCKET_NAME, served)
        await listener.open()
        closing.append(listener)
    return Home(location, ports, control, closing=closing)


class _Released:
    """Gives the lease back as the last act of closing."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def close(self) -> None:
        self._lease.release()


def _open_guest(location: Location, connection: OwnerConnection, *, read_only: bool = False) -> Home:
    ports = {
        name: guest_port(connection, name, methods, only=READS[name] if read_only else None)
        for name, methods in _methods().items()
    }
    return Home(location, ports, ports["home"], closing=[connection])


def _absolute(path: Path | str) -> str:
    """The same place for the owner, whose working directory is another."""
    return str(Path(path).expanduser().absolute())
