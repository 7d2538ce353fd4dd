"""The real agent over real embedded stores, served on a free port, seen through a headless Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from instar.agent.turn import Agent
from instar.channels.web import serve, web_app
from instar.core.clock import SystemClock
from instar.core.records import Responder
from instar.core.settings import Settings
from instar.embeddings.hashing import HashingEmbedder
from instar.models.port import ChatModel
from instar.stores.home import Home, open_home
from instar.stores.registry import Location

TOKEN = "a-token-for-tests"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@dataclass
class Site:
    """A served home and the browser windows that look at it."""

    url: str
    home: Home
    agent: Agent
    browser: Browser
    troubles: list[str] = field(default_factory=list)
    """Console errors, page errors, and requests that left the origin."""

    async def window(self, *, person: str = "Ada", **options: object) -> Page:
        """A signed-in browser window, on the chat of `person`."""
        context = await self.browser.new_context(**{"viewport": DESK, **options})
        await self._sign_in(context, person)
        page = await context.new_page()
        page.set_default_timeout(30_000)  # a loaded machine is slow, not broken
        page.on("console", lambda said: self._note(said.type == "error", f"console: {said.text}"))
        page.on("pageerror", lambda error: self._note(True, f"page error: {error}"))
        page.on("request", lambda sent: self._note(not sent.url.startswith(self.url), f"left the origin: {sent.url}"))
        await page.goto(self.url)
        return page

    async def _sign_in(self, context: BrowserContext, person: str) -> None:
        cookie = {"name": "instar_person", "value": person, "url": self.url}
        await context.add_cookies([cookie, {**cookie, "name": self._session_name(), "value": self._session}])

    def _session_name(self) -> str:
        return f"instar_session_{self.url.rpartition(':')[2]}"

    def open_session(self, cookie: str) -> None:
        self._session = cookie

    def _note(self, is_trouble: bool, what: str) -> None:
        if is_trouble:
            self.troubles.append(what)


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield launched
        await launched.close()


@pytest.fixture
async def site(browser: Browser) -> AsyncIterator[Serve]:
    """Serve a home with `model` (none: the extractive responder); every trouble of a window fails the test."""
    opened: list[Site] = []
    async with contextlib.AsyncExitStack() as stack:

        async def start(model: ChatModel | None = None) -> Site:
            made = await stack.enter_async_context(_served(browser, model))
            opened.append(made)
            return made

        yield start
        for each in opened:
            for context in each.browser.contexts:
                await context.close()
    assert [trouble for each in opened for trouble in each.troubles] == []


@contextlib.asynccontextmanager
async def _served(browser: Browser, model: ChatModel | None) -> AsyncIterator[Site]:
    clock = SystemClock()
    async with (
        await open_home(Location(None), embedder=HashingEmbedder(), clock=clock) as home,
        Agent(home, model=model, clock=clock) as agent,
    ):
        responder = Responder(kind=model.kind, name=model.name) if model else None
        app = web_app(home, agent, settings=Settings(), token=TOKEN, responder=responder)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(app, host="127.0.0.1", port=0, ready=ready.set_result))
        made = Site(url=await ready, home=home, agent=agent, browser=browser)
        made.open_session(app.state.site.sessions.redeem(TOKEN))
        try:
            yield made
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: `INSTAR_PICTURES=docs/images` renews those of the documentation."""
    return Path(os.environ.get("INSTAR_PICTURES", tmp_path))
