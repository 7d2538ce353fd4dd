"""The chat page, and the endpoints its script talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from instar.agent.reply import Recalled, Replied, ReplyDelta
from instar.channels.web.conversation import channels_of, is_visible_to, reply_to, shown, shown_all, visible_window
from instar.channels.web.form import form_of, json_of
from instar.channels.web.paging import number
from instar.channels.web.refusal import error_json
from instar.channels.web.site import DEFAULT_CHANNEL, checked_person, person_of, remember_person, see_other, site_of
from instar.channels.web.turns import Stopped, Turn, TurnNews
from instar.core.errors import InstarError, MessageUnknown, RecordInvalid
from instar.core.ids import ChannelId, MessageId
from instar.core.limits import CHANNEL_ID_MAX_BYTES
from instar.core.records import Message, plain
from instar.stores.memories.port import Hit

CHANNELS_BESIDE = 40  # conversations listed beside a chat; the history page has all


class ChatBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says. Sending the same message id again gives the same reply, once."""

    text: str
    person: str | None = None
    channel: str = DEFAULT_CHANNEL
    message_id: str | None = None


class StopBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which reply to stop."""

    channel: str
    message_id: str


async def chat_page(request: Request) -> Response:
    """Show a conversation of the person who talks, with the composer."""
    person = person_of(request)
    if person is None:
        return see_other("/welcome")
    site = site_of(request)
    channel = request.query_params.get("channel") or DEFAULT_CHANNEL
    before = number(request.query_params.get("before")) or None
    window = await visible_window(site, channel, person, before)
    channels = await channels_of(site, person)
    running = site.turns.running(channel=channel, person=person)
    return site.page(
        request,
        "chat.html",
        channel=channel,
        channels=channels[:CHANNELS_BESIDE],
        more_channels=len(channels) > CHANNELS_BESIDE,
        messages=await shown_all(site, window.messages),
        earlier=window.earlier,
        is_latest=before is None,
        running=running,
        unanswered=None if before or running else _unanswered(window.messages, person),
        responder=site.responder,
    )


async def new_conversation(request: Request) -> Response:
    """Open a conversation by its name; it is stored with its first message."""
    name = (await form_of(request)).get("channel", "").strip()
    if not name or not name.isprintable() or len(name.encode(errors="replace")) > CHANNEL_ID_MAX_BYTES:
        raise RecordInvalid(
            "the conversation's name cannot be used",
            why=f"a name has at least one visible character, no line breaks, and at most {CHANNEL_ID_MAX_BYTES} bytes",
            next="choose another name",
        )
    return see_other("/", channel=name)


async def welcome_page(request: Request) -> Response:
    """Ask who is talking."""
    site = site_of(request)
    known = [count.person for count in await site.home.conversations.people()]
    return site.page(request, "welcome.html", known=known, suggested=person_of(request) or site.default_person)


async def choose_person(request: Request) -> Response:
    """Keep the chosen name in this browser and go on to the chat."""
    person = checked_person((await form_of(request)).get("person", ""))
    return remember_person(see_other("/"), person)


async def api_chat(request: Request) -> Response:
    """Run one turn and stream its events: recalled, delta, then replied, stopped or error."""
    body = await json_of(request, ChatBody)
    site = site_of(request)
    turn = site.turns.start(
        body.text,
        person=checked_person(body.person or person_of(request) or site.default_person),
        channel=body.channel,
        message_id=body.message_id or site.ids.new(),
    )
    return StreamingResponse(_event_stream(turn), media_type="text/event-stream")


async def api_stop(request: Request) -> Response:
    """Stop a running reply; what was shown of it stays as the reply."""
    body = await json_of(request, StopBody)
    stopped = await site_of(request).turns.stop(channel=body.channel, message_id=body.message_id)
    return JSONResponse({"stopped": stopped})


async def exchange_fragment(request: Request) -> Response:
    """Return a person's message and the reply to it as the page shows them."""
    site = site_of(request)
    channel, message_id = request.query_params.get("channel", ""), request.query_params.get("message", "")
    asked = await site.home.conversations.get(ChannelId(channel), MessageId(message_id))
    if asked is None or not is_visible_to(asked, person_of(request) or ""):
        raise _unknown(message_id, channel)
    messages = [await shown(site, asked)]
    answer = await reply_to(site, asked)
    if answer is not None:
        messages.append(await shown(site, answer, question=asked.text))
    html = site.templates.get_template("exchange.html").render(
        messages=messages, unanswered=asked if answer is None else None
    )
    return HTMLResponse(html)


async def _event_stream(turn: Turn) -> AsyncIterator[bytes]:
    async for news in turn.follow():
        name, data = _wire(news)
        yield b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


def _wire(news: TurnNews) -> tuple[str, object]:
    match news:
        case Recalled():
            return "recalled", {"message_id": news.message_id, "hits": [shown_hit(hit) for hit in news.hits]}
        case ReplyDelta():
            return "delta", {"text": news.text}
        case Replied():
            return "replied", plain(news.reply)
        case Stopped():
            return "stopped", {"message_id": news.message_id}
        case InstarError():
            return "error", error_json(news)


def shown_hit(hit: Hit) -> dict[str, object]:
    """A found memory as JSON, without its vector."""
    memory = msgspec.structs.replace(hit.memory, vector=None)
    return {"memory": plain(memory), "score": hit.score, "why": plain(hit.why)}


def _unanswered(window: Sequence[Message], person: str) -> Message | None:
    """The last message, when it is the person's own and nothing answered it: it can be tried again."""
    last = window[-1] if window else None
    is_open = last and last.role == "person" and last.author == person and last.reply_to is None
    return last if is_open else None


def _unknown(message_id: str, channel: str) -> MessageUnknown:
    return MessageUnknown(
        f"message {message_id!r} is not in conversation {channel!r}",
        why="it was never stored there, was deleted, or belongs to someone else",
        next=f"`instar messages --channel {channel}` lists what is there",
    )
