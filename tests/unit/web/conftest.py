"""A signed-in client over the real application and real embedded stores; only the agent is a small script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette

from instar.agent.reply import Recalled, Replied, Reply, ReplyDelta, TurnEvent
from instar.channels.web import web_app
from instar.core.clock import ManualClock, UlidSource
from instar.core.errors import ModelError
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, Responder
from instar.core.settings import Settings
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.home import Home, open_home
from instar.stores.registry import Location

ORIGIN = "http://127.0.0.1:8427"
TOKEN = "a-token-for-tests"


@dataclass
class ScriptedTalker:
    """Says its pieces one by one; `gate` holds it in front of the last piece until set."""

    home: Home
    pieces: list[str] = field(default_factory=lambda: ["It is ", "on 3 March."])
    failures: list[ModelError] = field(default_factory=list)
    gate: asyncio.Event | None = None
    at_gate: asyncio.Event = field(default_factory=asyncio.Event)
    turns: int = 0

    async def stream(
        self, text: str, *, person: str, channel: str = "cli", message_id: str | None = None, shared: bool = False
    ) -> AsyncIterator[TurnEvent]:
        self.turns += 1
        asked = MessageId(message_id or "made-here")
        await self.home.conversations.append(
            Message(id=asked, channel=ChannelId(channel), author=PersonId(person), person=PersonId(person), text=text)
        )
        yield Recalled(message_id=asked, hits=())
        if self.failures:
            raise self.failures.pop(0)
        said = ""
        try:
            for piece in self.pieces:
                if self.gate and piece is self.pieces[-1]:
                    self.at_gate.set()
                    await self.gate.wait()
                said += piece
                yield ReplyDelta(text=piece)
        finally:
            await self._keep(asked, channel, person, said)
        yield Replied(reply=_reply(asked, said))

    async def _keep(self, asked: MessageId, channel: str, person: str, said: str) -> None:
        await self.home.conversations.append(
            Message(
                id=MessageId(f"{asked}-reply"),
                channel=ChannelId(channel),
                author=PersonId("instar"),
                person=PersonId(person),
                role="agent",
                text=said,
                reply_to=asked,
            )
        )


def _reply(asked: MessageId, said: str) -> Reply:
    return Reply(
        reply=said,
        reply_id=MessageId(f"{asked}-reply"),
        message_id=asked,
        responder=Responder(kind="scripted", name="script"),
    )


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with await open_home(Location(None), embedder=HashingEmbedder(), clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def talker(home: Home) -> ScriptedTalker:
    return ScriptedTalker(home)


@pytest.fixture
def app(home: Home, talker: ScriptedTalker) -> Starlette:
    clock = ManualClock()
    return web_app(home, talker, settings=Settings(), token=TOKEN, clock=clock, ids=UlidSource(clock))


@pytest.fixture
async def stranger(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that opened no link."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def client(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """A signed-in browser whose person is Ada."""
    await stranger.get("/", params={"token": TOKEN})
    await stranger.post("/welcome", data={"person": "Ada"}, headers={"origin": ORIGIN})
    return stranger
