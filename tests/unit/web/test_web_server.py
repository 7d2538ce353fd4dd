"""The server tells when it is ready, refuses a taken port, and loses no reply when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx
import pytest

from instar.channels.web import serve
from instar.core.errors import SettingInvalid
from instar.core.ids import ChannelId

TOKEN = "a-token-for-tests"


@contextlib.asynccontextmanager
async def served(app):
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, host="127.0.0.1", port=0, ready=url.set_result))
    try:
        yield await url, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_address_given_to_ready_answers(app) -> None:
    async with served(app) as (url, _), httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/healthz")).json() == {"ok": True}


async def test_a_taken_port_is_an_error_that_names_the_way_out(app) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingInvalid) as refused:
            await serve(app, host="127.0.0.1", port=taken.getsockname()[1], ready=lambda _: None)
    assert "another program listens there" in refused.value.why
    assert "--port" in refused.value.next


async def test_an_address_that_is_not_here_is_an_error(app) -> None:
    with pytest.raises(SettingInvalid):
        await serve(app, host="203.0.113.1", port=0, ready=lambda _: None)


async def test_cancelling_keeps_a_running_reply_as_it_stands_and_ends_its_stream(app, talker, home) -> None:
    talker.gate = asyncio.Event()
    async with served(app) as (url, task), httpx.AsyncClient(base_url=url) as client:
        await client.get("/", params={"token": TOKEN})
        async with client.stream("POST", "/api/chat", json={"text": "hi", "message_id": "m1"}) as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                if "It is " in line:
                    break
            task.cancel()
            rest = [line async for line in lines]
        assert "event: stopped" in rest
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
    window = await home.conversations.window(ChannelId("web"), limit=5)
    assert [message.text for message in window] == ["hi", "It is "]
