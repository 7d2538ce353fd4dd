"""The owner's side of a shared home: other processes' calls, answered from this one.

One process owns an embedded home. It listens on a Unix socket in the home's directory (mode 0600, so the
file system decides who may speak), runs each call as a task, and so lets calls of many processes share one
group commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from instar.core.errors import InstarError, RecordInvalid
from instar.stores.wire import MethodSpec, Request, Response, failure_of, read_frame, write_frame

SOCKET_NAME = "instar.sock"
_decoder = msgspec.json.Decoder(Request)


class Served(msgspec.Struct, frozen=True):
    """One object whose methods guests may call."""

    target: object
    methods: Mapping[str, MethodSpec]


class OwnerSocket:
    """Listens for guests until closed."""

    def __init__(self, path: Path, served: Mapping[str, Served]) -> None:
        self._path = path
        self._served = served
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take the place of a socket a dead owner left, and listen. The caller holds the lease."""
        self._path.unlink(missing_ok=True)
        with short_path(self._path) as address:
            self._server = await asyncio.start_unix_server(self._welcome, address)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening, let calls under way finish, and take the socket away."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)
        self._server = None

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        calls: set[asyncio.Task[None]] = set()
        try:
            while True:
                request = _decoder.decode(await read_frame(reader))
                call = asyncio.create_task(self._answer(request, writer))
                calls.add(call)
                call.add_done_callback(calls.discard)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            await asyncio.gather(*calls, return_exceptions=True)
        finally:
            self._guests.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # the guest is gone; what it asked for is done
            try:
                write_frame(writer, Response(id=request.id, value=await self._call(request)))
            except InstarError as error:
                write_frame(writer, Response(id=request.id, failure=failure_of(error)))
            await writer.drain()

    async def _call(self, request: Request) -> msgspec.Raw:
        served = self._served.get(request.port)
        method = served.methods.get(request.method) if served else None
        if served is None or method is None:
            raise RecordInvalid(
                f"the owner of this home does not know {request.port}.{request.method}",
                why="the two processes run different versions of instar",
                next="restart the owner, so that both run the newer one",
            )
        try:
            positional, keyword = method.call_arguments(method.decode_arguments(request.arguments))
        except msgspec.ValidationError as error:
            raise RecordInvalid(
                f"a call of {request.port}.{request.method} has arguments that do not fit",
                why=str(error),
                next="pass values of the types the port names",
            ) from error
        return method.encode_result(await getattr(served.target, method.name)(*positional, **keyword))


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits the 108 bytes of a socket address, however deep the directory lies. See unix(7)."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
