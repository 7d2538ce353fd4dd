"""The guest's side of a shared home: ports whose store is in the owner's process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import msgspec

from instar.core.errors import HomeReadOnly, OwnerLost
from instar.stores.owner import SOCKET_NAME, short_path
from instar.stores.wire import MethodSpec, Request, Response, error_of, read_frame, write_frame

FOR_WRITING = "open it for writing: instar.open(path) without read_only"
_decoder = msgspec.json.Decoder(Response)


class OwnerConnection:
    """One connection to the owner; calls share it and may be answered in any order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, home: Path) -> None:
        self._reader = reader
        self._writer = writer
        self._home = home
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, home: Path) -> OwnerConnection | None:
        """Reach the owner of `home`; None when nobody listens there."""
        try:
            with short_path(home / SOCKET_NAME) as address:
                reader, writer = await asyncio.open_unix_connection(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        return cls(reader, writer, home)

    async def call(self, port: str, method: MethodSpec, arguments: msgspec.Raw) -> object:
        """Call a method in the owner. Raises what it raised, or `OwnerLost`."""
        if self._listening.done():
            raise self._lost()
        request = Request(id=next(self._ids), port=port, method=method.name, arguments=arguments)
        waiting: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = waiting
        try:
            write_frame(self._writer, request)
            await self._writer.drain()
            response = await waiting
        except ConnectionError as error:
            raise self._lost() from error
        finally:
            self._waiting.pop(request.id, None)
        if response.failure is not None:
            raise error_of(response.failure)
        return method.decode_result(response.value)

    async def close(self) -> None:
        """Hang up. Closing twice is harmless."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        try:
            while True:
                response = _decoder.decode(await read_frame(self._reader))
                waiting = self._waiting.pop(response.id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(response)
        except (asyncio.IncompleteReadError, ConnectionError):
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self._lost())

    def _lost(self) -> OwnerLost:
        return OwnerLost(
            f"the process that owns {self._home} went away",
            why="it was stopped or killed while this one was speaking to it",
            next="run the same command again; what was acknowledged is kept and nothing is done twice",
        )


def guest_port(
    connection: OwnerConnection, name: str, methods: Mapping[str, MethodSpec], *, only: Container[str] | None = None
) -> Any:
    """An object with the port's methods, each carried out by the owner; those not in `only` are refused."""
    return _GuestPort(connection, name, methods, only)


class _GuestPort:
    def __init__(
        self,
        connection: OwnerConnection,
        name: str,
        methods: Mapping[str, MethodSpec],
        only: Container[str] | None,
    ) -> None:
        self._connection = connection
        self._name = name
        self._methods = methods
        self._only = only

    def __getattr__(self, name: str) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise AttributeError(name)

        async def call(*args: object, **kwargs: object) -> object:
            if self._only is not None and name not in self._only:
                raise HomeReadOnly(
                    f"{self._name}.{name} was refused", why="the home was opened for reading", next=FOR_WRITING
                )
            return await self._connection.call(self._name, method, method.encode_arguments(args, kwargs))

        return call
