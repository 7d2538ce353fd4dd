"""Chat turns over HTTP: streamed, joined, stopped, retried; and the pages round them."""

from __future__ import annotations

import asyncio
import json

import httpx

from instar.core.errors import ModelUnreachable
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message

ORIGIN = "http://127.0.0.1:8427"


def events_of(body: str) -> list[tuple[str, dict]]:
    blocks = [block.split("\n") for block in body.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def ask(client: httpx.AsyncClient, text: str = "When is my birthday?", **more: str) -> list[tuple[str, dict]]:
    answer = await client.post("/api/chat", json={"text": text, **more}, headers={"origin": ORIGIN})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_of(answer.text)


async def test_a_turn_streams_what_was_recalled_then_pieces_then_the_reply(client: httpx.AsyncClient) -> None:
    events = await ask(client, message_id="m1")
    assert [name for name, _ in events] == ["recalled", "delta", "delta", "replied"]
    assert [data["text"] for name, data in events if name == "delta"] == ["It is ", "on 3 March."]
    assert events[-1][1]["reply"] == "It is on 3 March."
    assert events[-1][1]["message_id"] == "m1"


async def test_the_person_who_talks_is_the_one_chosen_in_this_browser(client: httpx.AsyncClient, home) -> None:
    await ask(client, message_id="m1")
    stored = await home.conversations.get(ChannelId("web"), MessageId("m1"))
    assert stored.person == "Ada"


async def test_the_same_message_sent_twice_at_once_is_one_turn_and_both_get_all_of_it(
    client: httpx.AsyncClient, talker
) -> None:
    talker.gate = asyncio.Event()
    first = asyncio.create_task(ask(client, message_id="m1"))
    second = asyncio.create_task(ask(client, message_id="m1"))
    await talker.at_gate.wait()
    talker.gate.set()
    assert await first == await second
    assert talker.turns == 1


async def test_stopping_keeps_what_was_shown_as_the_reply(client: httpx.AsyncClient, talker, home) -> None:
    talker.gate = asyncio.Event()
    running = asyncio.create_task(ask(client, message_id="m1"))
    await talker.at_gate.wait()
    answer = await client.post("/api/chat/stop", json={"channel": "web", "message_id": "m1"})
    assert answer.json() == {"stopped": True}
    assert (await running)[-1] == ("stopped", {"message_id": "m1"})
    window = await home.conversations.window(ChannelId("web"), limit=5)
    assert [message.text for message in window][1:] == ["It is "]


async def test_stopping_what_does_not_run_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/chat/stop", json={"channel": "web", "message_id": "never"})
    assert answer.json() == {"stopped": False}


async def test_a_failed_model_is_an_event_with_what_why_and_next(client: httpx.AsyncClient, talker) -> None:
    talker.failures = [ModelUnreachable("the model does not answer", why="connection refused", next="start it")]
    name, data = (await ask(client, message_id="m1"))[-1]
    assert name == "error"
    assert data["error"] == {
        "code": "model-unreachable",
        "what": "the model does not answer",
        "why": "connection refused",
        "next": "start it",
    }


async def test_a_failed_message_is_offered_for_retry_and_answered_once(client: httpx.AsyncClient, talker, home) -> None:
    talker.failures = [ModelUnreachable("the model does not answer", why="connection refused", next="start it")]
    await ask(client, message_id="m1")
    assert 'data-retry="m1"' in (await client.get("/")).text
    assert (await ask(client, message_id="m1"))[-1][0] == "replied"
    assert 'data-retry="m1"' not in (await client.get("/")).text
    assert len(await home.conversations.window(ChannelId("web"), limit=9)) == 2


async def test_what_another_person_left_unanswered_is_not_offered_for_retry(client: httpx.AsyncClient, home) -> None:
    person = PersonId("Ben")
    await home.conversations.append(
        Message(id=MessageId("b"), channel=ChannelId("web"), author=person, person=person, text="Hm?", shared=True)
    )
    page = (await client.get("/")).text
    assert "Hm?" in page
    assert "data-retry" not in page


async def test_a_fault_of_ours_is_told_in_the_chat_and_the_server_goes_on(
    client: httpx.AsyncClient, talker, caplog
) -> None:
    talker.pieces = []
    talker.gate = "not an event"
    talker.pieces = ["x"]
    name, data = (await ask(client))[-1]
    assert (name, data["error"]["what"]) == ("error", "this failed")
    assert "a chat turn failed" in caplog.text
    assert (await client.get("/healthz")).status_code == 200


async def test_a_fault_of_ours_in_a_page_is_a_page_with_the_next_step(app, home, client) -> None:
    home.memories.embedder = None
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies=client.cookies) as careful:
        answer = await careful.get("/status")
    assert answer.status_code == 500
    assert "a fault in instar itself" in answer.text


async def test_a_body_that_is_no_chat_message_is_refused_with_the_fields(client: httpx.AsyncClient) -> None:
    for body in (b"", b"{}", b"[]", b'{"text": 3}', b'{"text": "a", "colour": "red"}', b"\xff"):
        answer = await client.post("/api/chat", content=body)
        assert answer.status_code == 400
        assert "text, person, channel, message_id" in answer.json()["error"]["next"]


async def test_a_first_visit_asks_for_a_name(client: httpx.AsyncClient) -> None:
    client.cookies.delete("instar_person")
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
    assert 'value="you"' in (await client.get("/welcome")).text


async def test_any_printable_name_can_be_chosen(client: httpx.AsyncClient) -> None:
    client.cookies.delete("instar_person")
    for name in ("Zoë; path=/", "李雷", 'a"b<c>'):
        answer = await client.post("/welcome", data={"person": name}, headers={"origin": ORIGIN})
        assert answer.status_code == 303
        page = (await client.get("/")).text
        assert name.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in page


async def test_a_name_with_a_line_break_is_refused(client: httpx.AsyncClient) -> None:
    for name in ("", "  ", "a\nb", "x" * 300):
        answer = await client.post("/welcome", data={"person": name}, headers={"origin": ORIGIN})
        assert answer.status_code == 400


async def test_a_chat_shows_own_talk_and_shared_talk_but_not_what_another_said_alone(
    client: httpx.AsyncClient, home
) -> None:
    for number, (author, shared) in enumerate([("Ada", False), ("Ben", False), ("Cleo", True)]):
        person = PersonId(author)
        await home.conversations.append(
            Message(
                id=MessageId(str(number)),
                channel=ChannelId("web"),
                author=person,
                person=person,
                text=f"{author} was here",
                shared=shared,
            )
        )
    page = (await client.get("/")).text
    assert "Ada was here" in page
    assert "Cleo was here" in page
    assert "Ben was here" not in page
    fragment = await client.get("/fragments/exchange", params={"channel": "web", "message": "1"})
    assert fragment.status_code == 404


async def test_own_messages_far_back_are_reached_past_those_of_others(client: httpx.AsyncClient, home) -> None:
    own = [_said("Ada", f"own {number}", number) for number in range(60)]
    others = [_said("Ben", "other", 100 + number) for number in range(120)]
    await home.conversations.append_many([*own, *others])
    page = (await client.get("/")).text
    assert "own 59" in page
    assert "own 9<" not in page
    assert "before=11" in page
    assert "own 9<" in (await client.get("/", params={"before": "11"})).text


def _said(author: str, text: str, number: int) -> Message:
    person = PersonId(author)
    return Message(
        id=MessageId(f"{author}-{number}"), channel=ChannelId("web"), author=person, person=person, text=text
    )


async def test_a_reload_in_the_middle_of_a_reply_can_follow_it_again(client: httpx.AsyncClient, talker) -> None:
    talker.gate = asyncio.Event()
    first = asyncio.create_task(ask(client, message_id="m1"))
    await talker.at_gate.wait()
    assert 'data-running="m1"' in (await client.get("/")).text
    again = asyncio.create_task(ask(client, message_id="m1"))
    talker.gate.set()
    assert await again == await first
    assert 'data-running="m1"' not in (await client.get("/")).text


async def test_a_conversation_of_any_name_opens(client: httpx.AsyncClient) -> None:
    answer = await client.post("/conversations/new", data={"channel": "a/b?c&d é"}, headers={"origin": ORIGIN})
    assert answer.status_code == 303
    assert "a/b?c&amp;d é" in (await client.get(answer.headers["location"])).text


async def test_history_shows_everything_and_marks_the_cited_message(client: httpx.AsyncClient, home) -> None:
    await home.conversations.append_many([_said("Ben", f"line {number}", number) for number in range(250)])
    answer = await client.get("/message", params={"channel": "web", "id": "Ben-200"})
    assert answer.headers["location"] == "/conversations/web?at=201#m-201"
    page = (await client.get(answer.headers["location"])).text
    assert 'class="message person marked" id="m-201"' in page
    assert "line 200" in page
    first = (await client.get("/conversations/web")).text
    assert "line 99" in first
    assert "line 100<" not in first
    assert "?after=100" in first


async def test_history_marks_branches_and_hidden_messages(client: httpx.AsyncClient, home) -> None:
    person = PersonId("Ada")
    kept = {"channel": ChannelId("old"), "author": person, "person": person}
    await home.conversations.append_many(
        [
            Message(id=MessageId("1"), text="the other way", selected=False, variant=1, **kept),
            Message(id=MessageId("2"), text="a system prompt", hidden=True, role="system", **kept),
        ]
    )
    page = (await client.get("/conversations/old")).text
    assert "branch 1" in page
    assert ">hidden<" in page


async def test_a_missing_message_or_conversation_is_told_with_the_next_step(client: httpx.AsyncClient) -> None:
    for path in ("/conversations/none", "/message?channel=none&id=1", "/people/nobody"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "<code>instar " in answer.text
