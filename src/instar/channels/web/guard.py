"""What every request passes before a page sees it.

In order: the Host header must name this machine (a page elsewhere that rebinds its name to 127.0.0.1 is
refused), a POST must come from our own pages, the body must be within its bound, and the browser must hold
a session. `/healthz`, `/metrics` and the style sheet need no session. Every answer carries the security headers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from instar.channels.web.session import Sessions
from instar.core.errors import InstarError, RecordTooLarge
from instar.core.limits import WEB_BODY_MAX_BYTES

Refuse = Callable[[Request, InstarError, int], Response]
"""Turns an error into the page or the JSON the request asked for."""

_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_OPEN_PATHS = ("/healthz", "/metrics", "/static/")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Guard:
    """Middleware. `host` is the address the server was told to listen on."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions, host: str, refuse: Refuse) -> None:
        self._app = app
        self._sessions = sessions
        self._host = host
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        early = self._early_answer(request)
        if early is not None:
            await early(scope, receive, _with_security(send))
            return
        await self._app(scope, _Bounded(receive), _with_security(send))

    def _early_answer(self, request: Request) -> Response | None:
        if not self._is_own_host(request):
            return self._refuse(request, _HOST_FOREIGN, 421)
        if request.method not in {"GET", "HEAD"} and not _is_own_origin(request):
            return self._refuse(request, _ORIGIN_FOREIGN, 403)
        if _declared_bytes(request.headers) > WEB_BODY_MAX_BYTES:
            return self._refuse(request, BODY_TOO_LARGE, 413)
        if request.url.path.startswith(_OPEN_PATHS):
            return None
        return self._unless_signed_in(request)

    def _unless_signed_in(self, request: Request) -> Response | None:
        signed_in = self._sessions.is_open(request.cookies.get(cookie_name(request), ""))
        tokens = parse_qs(request.url.query).get("token", []) if request.url.path == "/" else []
        if signed_in:
            return RedirectResponse("/", status_code=303) if tokens else None
        if not tokens:
            return self._refuse(request, _NOT_SIGNED_IN, 401)
        return self._opened(request, tokens[0])

    def _opened(self, request: Request, token: str) -> Response:
        state = self._sessions.link_state(token)
        cookie = self._sessions.redeem(token)
        if cookie is None:
            return self._refuse(request, _LINK_USED if state == "used" else _LINK_UNKNOWN, 401)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(cookie_name(request), cookie, httponly=True, samesite="strict", path="/")
        return answer

    def _is_own_host(self, request: Request) -> bool:
        name, port = _split_host(request.headers.get("host", ""))
        return port == _own_port(request) and self._is_own_name(name)

    def _is_own_name(self, name: str) -> bool:
        if name in _LOOPBACK_NAMES or name == self._host.lower():
            return True
        return self._host in {"0.0.0.0", "::"} and _is_address(name)  # noqa: S104 - compared, not bound


class _Bounded:
    """A receive that stops reading a body over its bound, whatever its length was said to be."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > WEB_BODY_MAX_BYTES:
            raise BODY_TOO_LARGE
        return message


def cookie_name(request: Request) -> str:
    """Return the session cookie's name. Browsers share cookies between ports, so the port is part of it."""
    return f"instar_session_{_own_port(request)}"


def _own_port(request: Request) -> int:
    server: tuple[str, int] = request.scope["server"]
    return server[1]


def _split_host(host: str) -> tuple[str, int]:
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        return host.lower(), 80
    return name, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_own_origin(request: Request) -> bool:
    """Browsers name the origin of every POST; a program that sends none holds the cookie on its own account."""
    origin = request.headers.get("origin")
    return origin is None or origin.lower() == f"http://{request.headers.get('host', '').lower()}"


def _declared_bytes(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _with_security(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(SECURITY_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


_HOST_FOREIGN = InstarError(
    "this address is not served here",
    why="the request names another host than this machine, as a page that redirects its own name would",
    next="open the link that `instar serve` printed",
)
_ORIGIN_FOREIGN = InstarError(
    "the request was refused",
    why="it was sent by a page of another site",
    next="open the link that `instar serve` printed, and send it from there",
)
_NOT_SIGNED_IN = InstarError(
    "this browser is not signed in",
    why="the pages show everything the agent remembers, so they open only through a one-time link",
    next="open the link that `instar serve` printed; restart `instar serve` to get a new one",
)
_LINK_USED = InstarError(
    "this link was used already",
    why="a link opens one browser, once; a copy of it found later opens nothing",
    next="go on in the browser that opened it, or restart `instar serve` to get a new link",
)
_LINK_UNKNOWN = InstarError(
    "this link is not valid here",
    why="it was made by an earlier start of `instar serve`, or was cut short when copied",
    next="open the newest link that `instar serve` printed",
)
BODY_TOO_LARGE = RecordTooLarge(
    "the request is too large",
    why=f"the bound is {WEB_BODY_MAX_BYTES:,} bytes",
    next="send the text in several messages, or bring a file in with `instar import FILE`",
)
