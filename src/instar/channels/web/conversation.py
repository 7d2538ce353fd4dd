"""Messages as the pages show them: who said it, what it rests on, what was recalled for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instar.agent.reply import Citation, Responder
from instar.channels.web.site import Site
from instar.core.ids import ChannelId, MessageId
from instar.core.records import Message
from instar.stores.conversations.port import ChannelSummary
from instar.stores.memories.port import Hit

WINDOW_MESSAGES = 50
_CITED_CHANNELS_MAX = 200  # where a citation of an older reply is looked for


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
    responder: Responder | None = None


def is_visible_to(message: Message, person: str) -> bool:
    """True when `person` may see a message in a chat: their own talk, or said among several people."""
    return message.shared or person in {message.person, message.author}


async def visible_window(site: Site, channel: str, person: str, before: int | None) -> list[Message]:
    """Return the last messages of a channel that `person` may see, oldest first."""
    found: list[Message] = []
    while len(found) < WINDOW_MESSAGES:
        page = await site.home.conversations.window(ChannelId(channel), limit=WINDOW_MESSAGES, before=before)
        found[:0] = [message for message in page if is_visible_to(message, person)]
        if len(page) < WINDOW_MESSAGES:
            break
        before = page[0].position
    return found[-WINDOW_MESSAGES:]


async def channels_of(site: Site, person: str) -> list[ChannelSummary]:
    """Return the conversations `person` takes part in, the newest talk first."""
    summaries = await site.home.conversations.channels()
    own = [summary for summary in summaries if person in summary.people or summary.shared]
    dated = sorted((s for s in own if s.last_at), key=lambda s: s.last_at or site.clock.now(), reverse=True)
    return dated + [summary for summary in own if summary.last_at is None]


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
        who=_who(site, message),
        citations=reply.citations if reply else await _citations(site, message),
        recalled=recalled.hits if recalled else None,
        question=question,
        responder=reply.responder if reply else None,
    )


async def cited_message(site: Site, message_id: MessageId, near: Message) -> Message | None:
    """Find a cited message: in the reply's own channel, else in those its person talked in."""
    here = await site.home.conversations.get(near.channel, message_id)
    if here is not None or near.person is None:
        return here
    for summary in (await channels_of(site, near.person))[:_CITED_CHANNELS_MAX]:
        found = await site.home.conversations.get(summary.channel, message_id)
        if found is not None:
            return found
    return None


async def _citations(site: Site, message: Message) -> list[Citation]:
    found = [await cited_message(site, cited, message) for cited in message.citations]
    return [_citation(cited) for cited in found if cited is not None]


def _citation(message: Message) -> Citation:
    return Citation(
        message_id=message.id,
        channel=message.channel,
        author=message.author_name or message.author,
        sent_at=message.sent_at,
        text=message.text,
    )


def _who(site: Site, message: Message) -> str:
    if message.role == "agent" and message.author_name is None:
        return site.settings.agent.name
    return message.author_name or message.author
