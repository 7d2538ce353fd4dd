"""The state of the home and of this server."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from instar.channels.web.guard import cookie_name
from instar.channels.web.site import site_of
from instar.telemetry.metrics import exposition


async def status_page(request: Request) -> Response:
    """Show where the state is kept, its figures, and who answers."""
    return await _shown(request)


async def new_link(request: Request) -> Response:
    """Make a one-time link for another browser and show it once."""
    token = site_of(request).sessions.new_link()
    return await _shown(request, link=f"http://{request.headers['host']}/?token={token}")


async def _shown(request: Request, *, link: str = "") -> Response:
    site = site_of(request)
    return site.page(
        request,
        "status.html",
        figures=await site.home.status(),
        responder=site.responder,
        embedder=await site.home.memories.embedder(),
        link=link,
    )


async def sign_out(request: Request) -> Response:
    """End this browser's session."""
    name = cookie_name(request)
    site_of(request).sessions.close(request.cookies.get(name, ""))
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(name, path="/")
    return answer


async def healthz(_: Request) -> Response:
    """Say that the server answers. It needs no session, so it says nothing else."""
    return JSONResponse({"ok": True})


async def metrics(_: Request) -> Response:
    """Every metric as Prometheus text. It needs no session: no label names a person, a channel or a text."""
    return PlainTextResponse(exposition(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})
