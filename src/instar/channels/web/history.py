"""Every conversation as it is stored: all people, branches and hidden messages included."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from instar.channels.web.conversation import newest_first, reply_to, shown_all
from instar.channels.web.deletion import delete_exchange
from instar.channels.web.form import form_of
from instar.channels.web.paging import number, part_of
from instar.channels.web.site import Site, see_other, site_of
from instar.core.errors import ChannelUnknown, MessageUnknown
from instar.core.ids import ChannelId, MessageId
from instar.core.records import Message
from instar.stores.conversations.port import Cursor

PAGE_MESSAGES = 100


async def conversations_page(request: Request) -> Response:
    """List every conversation, the newest talk first."""
    site = site_of(request)
    return site.page(
        request, "conversations.html", part=part_of(newest_first(await site.home.conversations.channels()), request)
    )


async def conversation_page(request: Request) -> Response:
    """Show one page of a conversation's messages."""
    site = site_of(request)
    channel = ChannelId(request.path_params["channel"])
    summaries = {summary.channel: summary for summary in await site.home.conversations.channels()}
    if channel not in summaries:
        raise _unknown_channel(channel)
    marked = number(request.query_params.get("at"))
    after = max(0, marked - PAGE_MESSAGES // 2) if marked else number(request.query_params.get("after"))
    page = await site.home.conversations.page(channel=channel, after=Cursor(channel, after), limit=PAGE_MESSAGES + 1)
    return site.page(
        request,
        "conversation.html",
        summary=summaries[channel],
        messages=await shown_all(site, page[:PAGE_MESSAGES]),
        marked=marked,
        previous=max(0, after - PAGE_MESSAGES) if after else None,
        following=page[PAGE_MESSAGES - 1].position if len(page) > PAGE_MESSAGES else None,
    )


async def find_message(request: Request) -> Response:
    """Go to a message in its conversation."""
    message = await _message(site_of(request), request.query_params)
    return _at(message.channel, message.position)


async def delete_message(request: Request) -> Response:
    """Delete a message, the answer to it, and what was learned from them."""
    site = site_of(request)
    message = await _message(site, await form_of(request))
    await site.turns.stop(channel=message.channel, message_id=message.id)
    await delete_exchange(site.home, message, await reply_to(site, message) if message.role == "person" else None)
    site.turns.drop_explanations()
    left = await site.home.conversations.page(channel=message.channel, limit=1)
    return see_other(conversation_path(message.channel) if left else "/conversations", done="deleted")


async def _message(site: Site, named: Mapping[str, str]) -> Message:
    channel, message_id = named.get("channel", ""), named.get("id", "")
    message = await site.home.conversations.get(ChannelId(channel), MessageId(message_id))
    if message is None:
        raise MessageUnknown(
            f"message {message_id!r} is not in conversation {channel!r}",
            why="it was deleted or forgotten, or the link is older than an erasure",
            next=f"`instar messages --channel {channel}` lists what is there",
        )
    return message


def _at(channel: str, position: int) -> Response:
    answer = see_other(conversation_path(channel), at=str(position))
    answer.headers["location"] += f"#m-{position}"
    return answer


def conversation_path(channel: str) -> str:
    """Return the path of a conversation's page."""
    return f"/conversations/{quote(channel, safe='')}"


def _unknown_channel(channel: str) -> ChannelUnknown:
    return ChannelUnknown(
        f"there is no conversation {channel!r}",
        why="nothing was ever said in it, or all of it was forgotten",
        next="`instar channels` lists every conversation",
    )
