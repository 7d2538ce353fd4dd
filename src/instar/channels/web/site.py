"""What every page shares: the home, the agent, the templates and who is talking."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from instar.channels.web.ports import WebHome
from instar.channels.web.prose import prose
from instar.channels.web.refusal import error_json, status_of
from instar.channels.web.session import Sessions
from instar.channels.web.turns import Turns
from instar.core.clock import Clock, IdSource
from instar.core.errors import InstarError, RecordInvalid
from instar.core.limits import PERSON_ID_MAX_BYTES
from instar.core.records import Responder, plain
from instar.core.settings import Settings

PERSON_COOKIE: Final = "instar_person"
DEFAULT_CHANNEL: Final = "web"
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything a page needs; one per application."""

    home: WebHome
    turns: Turns
    sessions: Sessions
    settings: Settings
    clock: Clock
    ids: IdSource
    responder: Responder
    default_person: str
    version: str
    templates: jinja2.Environment

    def page(self, request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """Render a page."""
        html = self.templates.get_template(template).render(
            path=request.url.path,
            talking_as=person_of(request),
            agent_name=self.settings.agent.name,
            version=self.version,
            done=request.query_params.get("done", ""),
            **values,
        )
        return HTMLResponse(html, status_code=status)


def site_of(request: Request) -> Site:
    """Return the site this request belongs to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


def person_of(request: Request) -> str | None:
    """Return who talks in this browser; None until a name is chosen."""
    return unquote(request.cookies.get(PERSON_COOKIE, "")) or None


def checked_person(text: str) -> str:
    """Return a name that can be a person's id. Raises `RecordInvalid`."""
    name = text.strip()
    if not name or not name.isprintable() or len(name.encode(errors="replace")) > PERSON_ID_MAX_BYTES:
        raise RecordInvalid(
            "the name cannot be used",
            why=f"a name has at least one visible character, no line breaks, and at most {PERSON_ID_MAX_BYTES} bytes",
            next="choose another name",
        )
    return name


def remember_person(response: Response, person: str) -> Response:
    """Keep the chosen name in this browser."""
    value = quote(person, safe="")
    response.set_cookie(PERSON_COOKIE, value, max_age=_YEAR_S, httponly=True, samesite="strict", path="/")
    return response


def wants_json(request: Request) -> bool:
    """True for requests of scripts and programs, which get errors as JSON."""
    return request.url.path.startswith("/api/")


def refusal(request: Request, error: InstarError, status: int) -> Response:
    """Show an error in the form the request asked for."""
    if wants_json(request):
        return JSONResponse(error_json(error), status_code=status)
    return site_of(request).page(request, "error.html", status=status, error=error, code=status)


async def on_error(request: Request, error: Exception) -> Response:
    """Exception handler for every `InstarError`."""
    assert isinstance(error, InstarError)
    return refusal(request, error, status_of(error))


def see_other(path: str, **query: str) -> RedirectResponse:
    """Redirect after a form, so that reloading does not send it again."""
    pairs = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items() if value)
    return RedirectResponse(f"{path}?{pairs}" if pairs else path, status_code=303)


def templates() -> jinja2.Environment:
    """Return the page templates; everything put into them is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("instar.channels.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        prose=prose, segment=_segment, moment=_moment, iso=_iso, bytes=human_bytes, words=_words, tree=_tree
    )
    return environment


def human_bytes(size: int) -> str:
    """Return a size as people read it: 12.3 MiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _segment(text: str) -> str:
    """One path segment, whatever is in it."""
    return quote(text, safe="")


def _moment(at: dt.datetime | None) -> str:
    return at.astimezone(dt.UTC).strftime("%-d %b %Y, %H:%M UTC") if at else "time unknown"


def _iso(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _words(name: str) -> str:
    """A field's name as words."""
    return name.replace("_", " ")


def _tree(value: msgspec.Struct) -> Mapping[str, object]:
    built = plain(value)
    assert isinstance(built, dict)
    return built
