"""The composition root: from settings to an open home, an embedder, a model and an agent. The only file that wires."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from instar.core.clock import Clock, SystemClock
from instar.core.settings import Settings
from instar.embeddings.choose import choose_embedder
from instar.stores.home import Home, open_home
from instar.stores.registry import locate

if TYPE_CHECKING:
    from instar.agent.turn import Agent

Result = TypeVar("Result")


class Opening(AbstractAsyncContextManager[Home]):
    """A home about to be opened: `async with instar.open(...) as home`, or `home = await instar.open(...)`."""

    def __init__(self, location: str, settings: Settings, clock: Clock, *, create: bool, read_only: bool) -> None:
        self._location = location
        self._settings = settings
        self._clock = clock
        self._create = create
        self._read_only = read_only
        self._home: Home | None = None

    def __await__(self) -> Generator[Any, None, Home]:
        return self._open().__await__()

    async def _open(self) -> Home:
        return await open_home(
            locate(self._location),
            embedder=choose_embedder(self._settings.embeddings.kind),
            clock=self._clock,
            create=self._create,
            read_only=self._read_only,
        )

    async def __aenter__(self) -> Home:
        self._home = await self._open()
        return self._home

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._home is not None, "entered before it is left"
        await self._home.close()


def open(  # noqa: A001 - `instar.open` reads like the built-in it resembles
    location: str | Path = "",
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    create: bool = True,
    read_only: bool = False,
) -> Opening:
    """Open a home: a directory, `file:DIR`, `memory:`, or "" for the one in the settings or the platform's place.

    The first process to open a home on files owns it; later ones speak to the owner through its socket and
    get the same ports. Writes are durable when they return. Raises a `HomeError`; see `core/errors.py`.

    With `read_only` every write is refused with `HomeReadOnly` and no byte on the disk changes. Beside an
    owner records are read through it; without one they are read from the files, as they were on opening.
    """
    settings = settings or Settings()
    return Opening(
        str(location) or settings.home.path, settings, clock or SystemClock(), create=create, read_only=read_only
    )


class SyncPort:
    """A store port for scripts and notebooks: the same methods, each returning its result directly."""

    def __init__(self, port: object, run: Any) -> None:
        self._port = port
        self._run = run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: object, **kwargs: object) -> Any:
            return self._run(method(*args, **kwargs))

        return call


class SyncHome:
    """An open home for scripts and notebooks. Its event loop runs on a thread of its own."""

    def __init__(self, opening: Opening) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="instar-home", daemon=True)
        self._thread.start()
        try:
            self._home: Home = self.run(opening._open())  # noqa: SLF001 - two halves of one door
        except BaseException:
            self._stop()
            raise
        self.location = self._home.location
        self.conversations = SyncPort(self._home.conversations, self.run)
        self.profiles = SyncPort(self._home.profiles, self.run)
        self.memories = SyncPort(self._home.memories, self.run)
        self.workflows = SyncPort(self._home.workflows, self.run)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Carry out async work on the home's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Make everything durable and let go of the home. Closing twice is harmless."""
        if self._loop.is_closed():
            return
        self.run(self._home.close())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(SyncPort(self.__dict__["_home"], self.run), name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_sync(
    location: str | Path = "",
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    create: bool = True,
    read_only: bool = False,
) -> SyncHome:
    """`open` without async: `with instar.open_sync("file:./state") as home: home.conversations.window(...)`."""
    return SyncHome(open(location, settings=settings, clock=clock, create=create, read_only=read_only))


def agent_for(home: Home, settings: Settings, *, clock: Clock | None = None) -> Agent:
    """The agent of a home, with the model the settings name, or the extractive responder without one."""
    from instar.agent.turn import Agent
    from instar.models.choose import choose_model

    clock = clock or SystemClock()
    return Agent(home, model=choose_model(settings.model, clock=clock), settings=settings.agent, clock=clock)
