"""Nobody reaches a page but the browser that opened the one-time link, on this machine, from our own pages."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from instar.channels.web import web_app
from instar.core.limits import WEB_BODY_MAX_BYTES
from instar.core.settings import ServerSettings, Settings

ORIGIN = "http://127.0.0.1:8427"
TOKEN = "a-token-for-tests"

PAGES = ["/", "/welcome", "/memories", "/conversations", "/conversations/web", "/people", "/status", "/message"]


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_session_every_page_is_refused_with_the_next_step(
    stranger: httpx.AsyncClient, path: str
) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 401
    assert "open the link that <code>instar serve</code> printed" in answer.text


async def test_without_a_session_the_api_is_refused_as_json(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post("/api/chat", json={"text": "hello"})
    assert answer.status_code == 401
    assert answer.json()["error"].keys() == {"code", "what", "why", "next"}


async def test_the_link_opens_a_session_that_scripts_and_other_sites_cannot_use(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert (await stranger.get("/status")).status_code == 200


async def test_the_link_works_once_and_says_so_the_second_time(stranger: httpx.AsyncClient) -> None:
    await stranger.get("/", params={"token": TOKEN})
    stranger.cookies.clear()
    answer = await stranger.get("/", params={"token": TOKEN})
    assert answer.status_code == 401
    assert "This link was used already" in answer.text
    assert "restart <code>instar serve</code> to get a new link" in answer.text
    assert "set-cookie" not in answer.headers


async def test_opening_the_link_again_in_the_signed_in_browser_goes_on(stranger: httpx.AsyncClient) -> None:
    await stranger.get("/", params={"token": TOKEN})
    assert (await stranger.get("/", params={"token": TOKEN})).status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x"])
async def test_another_token_opens_nothing(stranger: httpx.AsyncClient, token: str) -> None:
    answer = await stranger.get("/", params={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_a_made_up_cookie_opens_nothing(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/", headers={"cookie": "instar_session_8427=made-up"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8427",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:x",
        "127.0.0.1.evil.example:8427",
        "",
    ],
)
async def test_a_host_that_is_not_this_machine_is_refused(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"host": host})).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8427", "localhost:8427", "[::1]:8427", "LOCALHOST:8427"])
async def test_the_names_of_this_machine_are_served(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8427", "http://127.0.0.1:9000"])
@pytest.mark.parametrize("path", ["/api/chat", "/memories/forget", "/people/Ada/forget", "/welcome"])
async def test_a_post_from_another_origin_is_refused(client: httpx.AsyncClient, origin: str, path: str) -> None:
    answer = await client.post(path, headers={"origin": origin}, content=b"{}")
    assert answer.status_code == 403


async def test_every_answer_forbids_foreign_content_and_inline_scripts(stranger: httpx.AsyncClient) -> None:
    for path in ("/", "/healthz", "/static/chat.js", "/nowhere"):
        policy = (await stranger.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_pages_are_not_kept_by_caches(client: httpx.AsyncClient) -> None:
    assert (await client.get("/memories")).headers["cache-control"] == "no-store"


async def test_health_is_told_without_a_session(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/healthz")).json() == {"ok": True}


async def test_a_body_said_to_be_over_the_bound_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/chat", headers={"content-length": str(WEB_BODY_MAX_BYTES + 1)}, content=b"{}")
    assert answer.status_code == 413


async def test_a_body_over_the_bound_is_refused_whatever_its_length_was_said_to_be(client: httpx.AsyncClient) -> None:
    async def endless() -> object:
        for _ in range(WEB_BODY_MAX_BYTES // 65_536 + 1):
            yield b" " * 65_536

    answer = await client.post("/api/chat", content=endless())
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "record-too-large"


async def test_a_new_link_opens_one_more_browser(client: httpx.AsyncClient, app: Starlette) -> None:
    page = (await client.post("/status/link", headers={"origin": ORIGIN})).text
    link = page.partition('class="link" href="')[2].partition('"')[0]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as other:
        assert (await other.get(link)).status_code == 303
        assert (await other.get(f"{ORIGIN}/status")).status_code == 200


async def test_signing_out_ends_the_session(client: httpx.AsyncClient) -> None:
    cookies = dict(client.cookies)
    await client.post("/sign-out", headers={"origin": ORIGIN})
    client.cookies.update(cookies)
    assert (await client.get("/status")).status_code == 401


async def test_an_address_that_leads_nowhere_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


async def test_a_server_told_to_listen_everywhere_takes_addresses_but_no_names(home, talker) -> None:
    settings = Settings(server=ServerSettings(host="0.0.0.0"))
    app = web_app(home, talker, settings=settings, token=TOKEN)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        assert (await client.get("/healthz", headers={"host": "192.168.1.7:8427"})).status_code == 200
        assert (await client.get("/healthz", headers={"host": "evil.example:8427"})).status_code == 421
