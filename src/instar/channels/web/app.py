"""The web application: routes, and what they share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from instar.channels.web import chat, history, memories, people, status
from instar.channels.web.guard import Guard
from instar.channels.web.ports import Talker, WebHome
from instar.channels.web.session import Sessions
from instar.channels.web.site import Site, on_error, refusal, templates
from instar.channels.web.turns import FAULT, Turns
from instar.core.clock import Clock, IdSource, SystemClock, UlidSource
from instar.core.errors import InstarError
from instar.core.records import Responder
from instar.core.settings import Settings
from instar.models.extractive import ExtractiveResponder

_STATIC = Path(__file__).parent / "static"


def web_app(
    home: WebHome,
    agent: Talker,
    *,
    settings: Settings,
    token: str,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    responder: Responder | None = None,
    default_person: str = "you",
) -> Starlette:
    """Return the application. `token` is the one of the one-time link `/?token=...`.

    `responder` says who answers; without it the settings do. `default_person` is offered where a person's name is asked for. Running
    replies are stopped, and kept as they stand, when the application shuts down.
    """
    clock = clock or SystemClock()
    sessions = Sessions(token)
    site = Site(
        home=home,
        turns=Turns(agent),
        sessions=sessions,
        settings=settings,
        clock=clock,
        ids=ids or UlidSource(clock),
        responder=responder or _configured(settings),
        default_person=default_person,
        version=version("instar"),
        templates=templates(),
    )
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Guard, sessions=sessions, host=settings.server.host, refuse=refusal)],
        exception_handlers={InstarError: on_error, 404: _no_such_page, 405: _no_such_page, Exception: _on_fault},
        lifespan=_lifespan,
    )
    app.state.site = site
    return app


def _configured(settings: Settings) -> Responder:
    if settings.model.url:
        return Responder(kind="model", name=settings.model.name or settings.model.url)
    return Responder(kind=ExtractiveResponder.kind, name=ExtractiveResponder.name)


def _routes() -> list[Route | Mount]:
    return [
        Route("/", chat.chat_page),
        Route("/welcome", chat.welcome_page),
        Route("/welcome", chat.choose_person, methods=["POST"]),
        Route("/conversations/new", chat.new_conversation, methods=["POST"]),
        Route("/fragments/exchange", chat.exchange_fragment),
        Route("/api/chat", chat.api_chat, methods=["POST"]),
        Route("/api/chat/stop", chat.api_stop, methods=["POST"]),
        Route("/memories", memories.memories_page),
        Route("/memories/edit", memories.edit_memory, methods=["POST"]),
        Route("/memories/pin", memories.pin_memory, methods=["POST"]),
        Route("/memories/forget", memories.forget_memory, methods=["POST"]),
        Route("/conversations", history.conversations_page),
        Route("/conversations/{channel:path}", history.conversation_page),
        Route("/message", history.find_message),
        Route("/message/delete", history.delete_message, methods=["POST"]),
        Route("/people", people.people_page),
        Route("/people/{person:path}/forget", people.forget_person, methods=["POST"]),
        Route("/people/{person:path}/emotions", people.delete_emotion, methods=["POST"]),
        Route("/people/{person:path}", people.person_page),
        Route("/status", status.status_page),
        Route("/status/link", status.new_link, methods=["POST"]),
        Route("/sign-out", status.sign_out, methods=["POST"]),
        Route("/healthz", status.healthz),
        Route("/metrics", status.metrics),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.site.turns.stop_all()


async def _no_such_page(request: Request, _: Exception) -> Response:
    return refusal(request, _NO_SUCH_PAGE, 404)


async def _on_fault(request: Request, _: Exception) -> Response:
    return refusal(request, FAULT, 500)


_NO_SUCH_PAGE = InstarError(
    "there is no such page", why="the address leads nowhere here", next="choose a page from the menu"
)
