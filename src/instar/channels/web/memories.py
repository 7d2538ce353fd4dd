"""The memory inspector: see what is remembered and why it is found; correct, pin and forget it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from instar.channels.web.facts import correct_profile, fact_id, forget_as_said, value_in
from instar.channels.web.form import form_of
from instar.channels.web.paging import part_of
from instar.channels.web.site import DEFAULT_CHANNEL, Site, person_of, see_other, site_of
from instar.core.errors import MemoryUnknown
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.limits import PAGE_MAX_MESSAGES
from instar.core.records import Memory, Message, Scope, checked_memory, checked_message
from instar.stores.memories.port import Hit

HITS_SHOWN = 20


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A memory in the list, with what it replaced."""

    memory: Memory
    earlier: tuple[Memory, ...] = ()
    hit: Hit | None = None


async def memories_page(request: Request) -> Response:
    """List what is remembered of a person, or what a search finds and why."""
    site = site_of(request)
    person = request.query_params.get("person") or person_of(request) or site.default_person
    query = request.query_params.get("query", "").strip()
    listed = await _found(site, person, query) if query else _newest_first(await _listing(site, person))
    return site.page(
        request,
        "memories.html",
        person=person,
        people=await _people(site, person),
        query=query,
        part=part_of(listed, request),
        embedder=await site.home.memories.embedder(),
    )


async def edit_memory(request: Request) -> Response:
    """Correct a memory: the correction is said in its conversation, and supersedes the old, which stays readable."""
    site = site_of(request)
    form = await form_of(request)
    old = await _memory(site, form)
    text = form.get("text", "").strip()
    if text == old.text:
        return _back(form, old, "unchanged")
    said = _correction(old, text, by=person_of(request) or old.person, site=site)
    new = _corrected(old, text, said)
    await site.home.conversations.append(said)
    await site.home.memories.supersede(old.id, new)
    await correct_profile(site.home, old, new)
    await forget_as_said(site.home, old)
    return _back(form, new, "corrected")


async def pin_memory(request: Request) -> Response:
    """Set or clear a memory's pin."""
    form = await form_of(request)
    pinned = form.get("pinned") == "yes"
    memory = await site_of(request).home.memories.pin(MemoryId(form.get("id", "")), pinned=pinned)
    return _back(form, memory, "pinned" if pinned else "unpinned")


async def forget_memory(request: Request) -> Response:
    """Forget one memory and what it superseded, in the profile too, and their messages as memories of their own."""
    site = site_of(request)
    form = await form_of(request)
    memory = await _memory(site, form)
    earlier = _chain(memory, _replaced(await _listing(site, memory.person)))
    await site.home.memories.forget(memory.id)
    for each in (memory, *earlier):
        await correct_profile(site.home, each, None)
        await forget_as_said(site.home, each)
    site.turns.drop_explanations()
    return _back(form, memory, "forgotten")


async def _listing(site: Site, person: str) -> Sequence[Memory]:
    scope = Scope(PersonId(person))
    found: list[Memory] = []
    while page := await site.home.memories.listing(
        scope, after=found[-1].id if found else None, limit=PAGE_MAX_MESSAGES
    ):
        found.extend(page)
    return found


async def _found(site: Site, person: str, query: str) -> list[Listed]:
    summaries = await site.home.conversations.channels()
    channels = tuple(s.channel for s in summaries if s.shared and person in s.people)
    scope = Scope(PersonId(person), channels)
    hits = await site.home.memories.search(query, scope=scope, limit=HITS_SHOWN, now=site.clock.now())
    return [Listed(memory=hit.memory, hit=hit) for hit in hits]


async def _people(site: Site, person: str) -> list[str]:
    return sorted({*await site.home.memories.counts(), PersonId(person)})


async def _memory(site: Site, form: dict[str, str]) -> Memory:
    found = await site.home.memories.get(MemoryId(form.get("id", "")))
    if found is None:
        raise MemoryUnknown(
            "this memory is not there",
            why="it was forgotten, perhaps in another window",
            next="reload the memories page",
        )
    return found


def _newest_first(memories: Sequence[Memory]) -> list[Listed]:
    replaced = _replaced(memories)
    current = [memory for memory in memories if memory.superseded_by is None]
    current.sort(key=lambda memory: (memory.pinned, memory.created_at or _LONG_AGO, memory.id), reverse=True)
    return [Listed(memory=memory, earlier=tuple(_chain(memory, replaced))) for memory in current]


def _replaced(memories: Sequence[Memory]) -> Mapping[MemoryId, Sequence[Memory]]:
    """What each memory superseded."""
    replaced: dict[MemoryId, list[Memory]] = {}
    for memory in memories:
        if memory.superseded_by is not None:
            replaced.setdefault(memory.superseded_by, []).append(memory)
    return replaced


def _chain(memory: Memory, replaced: Mapping[MemoryId, Sequence[Memory]]) -> list[Memory]:
    """What led to a memory, the newest first."""
    chain: list[Memory] = []
    pending = [memory.id]
    while pending:
        older = replaced.get(pending.pop(), ())
        chain.extend(older)
        pending.extend(each.id for each in older)
    return chain


def _correction(old: Memory, text: str, *, by: str, site: Site) -> Message:
    """What the correction says, as a message in the conversation of the memory: later answers quote this one."""
    return checked_message(
        Message(
            id=MessageId(site.ids.new()),
            channel=old.channel or ChannelId(DEFAULT_CHANNEL),
            author=PersonId(by),
            person=old.person,
            text=f"Correction: {text}",
            sent_at=site.clock.now(),
            reply_to=old.source_message_id,
            shared=old.shared,
        )
    )


def _corrected(old: Memory, text: str, said: Message) -> Memory:
    new = msgspec.structs.replace(
        old,
        id=MemoryId(said.id),
        text=text,
        value=value_in(text, like=old),
        created_at=said.sent_at,
        channel=said.channel,
        source_message_id=said.id,
        superseded_by=None,
        embedder=None,
        vector=None,
    )
    return checked_memory(msgspec.structs.replace(new, id=fact_id(new) or new.id))


def _back(form: dict[str, str], memory: Memory, done: str) -> Response:
    return see_other("/memories", person=form.get("person", memory.person), query=form.get("query", ""), done=done)


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
