"""Listening, and stopping without losing a reply."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from instar.core.errors import SettingInvalid

_BACKLOG = 128
_CLOSING_S = 5  # for requests under way; replies are stopped at once
_PORT_IN_REASONS = {
    errno.EADDRINUSE: "another program listens there, perhaps another `instar serve`",
    errno.EACCES: "the system keeps ports below 1024 for privileged programs",
}


async def serve(app: Starlette, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until cancelled; `port` 0 takes a free one.

    `ready` is called once with the address, when requests are answered. Cancelling stops running replies,
    which are kept as they stand, lets their streams end, and returns when every connection is closed. The
    caller turns signals into cancellation. Raises `SettingInvalid` when the address cannot be listened on.
    """
    listening = _bound(host, port)
    server = _Server(app, lambda: ready(_address(listening)))
    running = asyncio.create_task(server.serve([listening]), name="web server")
    try:
        await asyncio.shield(running)
    finally:
        await server.end()
        await running
        listening.close()


class _Server(uvicorn.Server):
    """uvicorn, telling when it is ready, and leaving signals to the process that runs it."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws="none",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_CLOSING_S,
            )
        )
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def end(self) -> None:
        """Stop running replies, so that their streams end, then let the server finish."""
        self.should_exit = True
        await self._app.state.site.turns.stop_all()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingInvalid(
            f"{host} port {port} cannot be listened on",
            why=_PORT_IN_REASONS.get(error.errno or 0, error.strerror or str(error)),
            next="choose another port with `instar serve --port N`; 0 takes a free one",
        ) from error
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
