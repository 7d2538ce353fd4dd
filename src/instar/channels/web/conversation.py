"""Messages as the pages show them: who said it, what it rests on, what was recalled for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from instar.agent.citation import citations_kept
from instar.agent.reply import Citation
from instar.channels.web.site import Site
from instar.core.ids import ChannelId, MessageId
from instar.core.records import Message
from instar.stores.conversations.port import ChannelSummary, Cursor
from instar.stores.memories.port import Hit

WINDOW_MESSAGES = 50
_REPLY_WITHIN = 50  # messages behind the question; a reply is appended right after it
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_WINDOWS_READ_MAX = 20  # of a channel in which others talk; "Earlier messages" goes on from there


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One message in a chat or a history."""

    message: Message
    anchor: str
    who: str
    citations: Sequence[Citation] = ()
    recalled: Sequence[Hit] | None = None
    """What the turn recalled; None when it is no longer known."""
    question: str = ""
    """On a reply: what it answers."""
    responder: str | None = None
    """On an agent's message: who made it, a model or the extractive responder."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a channel, oldest message first."""

    messages: Sequence[Message]
    earlier: int | None
    """The position in front of which there may be more; None at the beginning of the channel."""


def is_visible_to(message: Message, person: str) -> bool:
    """True when `person` may see a message in a chat: their own talk, or said among several people."""
    return message.shared or person in {message.person, message.author}


async def visible_window(site: Site, channel: str, person: str, before: int | None) -> Window:
    """Return the last messages of a channel that `person` may see."""
    found: list[Message] = []
    for _ in range(_WINDOWS_READ_MAX):
        page = await site.home.conversations.window(ChannelId(channel), limit=WINDOW_MESSAGES, before=before)
        found[:0] = [message for message in page if is_visible_to(message, person)]
        if len(page) < WINDOW_MESSAGES:
            return _window(found, earlier=None)
        before = page[0].position
        if len(found) >= WINDOW_MESSAGES:
            break
    return _window(found, earlier=before)


def _window(found: list[Message], *, earlier: int | None) -> Window:
    shown = found[-WINDOW_MESSAGES:]
    return Window(messages=shown, earlier=shown[0].position if len(found) > len(shown) else earlier)


async def channels_of(site: Site, person: str) -> list[ChannelSummary]:
    """Return the conversations `person` takes part in, the newest talk first."""
    summaries = await site.home.conversations.channels()
    return newest_first([summary for summary in summaries if person in summary.people or summary.shared])


def newest_first(summaries: Sequence[ChannelSummary]) -> list[ChannelSummary]:
    """Order conversations by their last message; those without a known time come last."""
    return sorted(summaries, key=lambda summary: summary.last_at or _LONG_AGO, reverse=True)


async def reply_to(site: Site, asked: Message) -> Message | None:
    """Return the agent's reply to a message."""
    behind = Cursor(asked.channel, asked.position)
    later = await site.home.conversations.page(channel=asked.channel, after=behind, limit=_REPLY_WITHIN)
    return next((message for message in later if message.reply_to == asked.id and message.role == "agent"), None)


async def shown_all(site: Site, messages: Sequence[Message]) -> list[Shown]:
    """Return messages with what belongs to them."""
    texts = {message.id: message.text for message in messages}
    return [
        await shown(site, message, question=texts.get(message.reply_to or MessageId(""), "")) for message in messages
    ]


async def shown(site: Site, message: Message, *, question: str = "") -> Shown:
    """Return one message with what belongs to it."""
    answered = message.reply_to or MessageId("")
    reply = site.turns.reply(message.channel, answered)
    recalled = site.turns.recalled(message.channel, answered)
    return Shown(
        message=message,
        anchor=f"m-{message.position}",
        who=_who(message),
        citations=reply.citations if reply else await citations_kept(site.home, message),
        recalled=recalled.hits if recalled else None,
        question=question,
        responder=message.responder.name if message.responder else None,
    )


def _who(message: Message) -> str:
    return message.author if message.role == "agent" else message.author_name or message.author
