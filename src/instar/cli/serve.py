"""`instar serve`: the agent in the browser, on loopback, behind a one-time link."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Iterator

import click

from instar.cli.frame import Frame, command
from instar.stores.home import Home

EXAMPLE = "examples/ada.jsonl"


@click.command(epilog="Example: instar serve --port 0 --json")
@click.option("--port", "set_server__port", metavar="N", help="Port to listen on; 0 takes a free one. [default: 8427]")
@command
async def serve(frame: Frame) -> None:
    """Serve the web chat and the memory inspector, and own the home for other commands."""
    from instar.app import agent_for
    from instar.channels.web import serve as serve_web
    from instar.channels.web import web_app

    token = secrets.token_urlsafe(24)
    async with frame.open_home() as home, agent_for(home, frame.settings) as agent:
        hint = await _hint(home)
        app = web_app(home, agent, settings=frame.settings, token=token)
        server = frame.settings.server

        def ready(url: str) -> None:
            link = f"{url}/?token={token}"
            frame.document({"url": link}, ready_text(link, home, hint))

        serving = asyncio.create_task(serve_web(app, host=server.host, port=server.port, ready=ready))
        renewing = asyncio.create_task(_renew_vectors(home))
        try:
            with _stopped_by_signal(serving), contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


async def _renew_vectors(home: Home) -> None:
    """Bring memories of an earlier embedder over while the server runs; until then words find them."""
    left = True
    while left:
        left = await home.memories.reembed() > 0


def ready_text(link: str, home: Home, hint: str) -> str:
    """What a newcomer reads when the server is up."""
    return (
        f"instar is ready. Open this link in a browser on this machine (it works once):\n\n  {link}\n\n"
        f"Its state is in {home.location}. Ctrl-C stops the server; the state stays.\n{hint}"
    )


async def _hint(home: Home) -> str:
    if await home.conversations.channels():
        return ""
    return (
        "\nNothing is remembered yet. To see recall at work, bring the example conversation (in another terminal):\n"
        f"  instar import {EXAMPLE}\n"
        '  instar ask "What am I allergic to?" --person ada\n'
    )


@contextlib.contextmanager
def _stopped_by_signal(serving: asyncio.Task[None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
