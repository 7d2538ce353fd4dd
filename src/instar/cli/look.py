"""`instar messages | memories | profile | people | channels`: what is in a home."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import click
import msgspec

from instar.cli.frame import Frame, command
from instar.cli.printable import printable
from instar.core.errors import ChannelUnknown, PersonUnknown
from instar.core.ids import ChannelId, MemoryId, PersonId
from instar.core.limits import PAGE_MAX_MESSAGES
from instar.core.records import Memory, MemoryKind, Message, MessageRef, Responder, Scope
from instar.stores.conversations.port import Cursor
from instar.stores.home import Home
from instar.stores.memories.port import Why

STATED: tuple[MemoryKind, ...] = ("fact", "note", "block")
HITS_LISTED = 20
EVERYTHING: tuple[MemoryKind, ...] = ("fact", "note", "block", "episode")


class MessageLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `instar messages`: a message without what only the store needs."""

    id: str
    channel: str
    author: str
    role: str
    sent_at: object
    sent_at_original: str | None
    text: str
    reply_to: str | None
    attachments: tuple[str, ...]
    selected: bool
    author_name: str | None
    person: str | None
    edited_at: object
    citations: tuple[MessageRef, ...]
    responder: Responder | None
    hidden: bool
    variant: int
    shared: bool
    text_original: str | None


class MemoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `instar memories`."""

    id: str
    person: str
    kind: str
    text: str
    source_message_id: str | None
    created_at: object
    superseded_by: str | None
    score: float | None
    why: Why | None
    channel: str | None
    attribute: str | None
    pinned: bool


@click.command(epilog="Example: instar messages --channel cli --json | head -3")
@click.option("--channel", metavar="C", help="Only this conversation.")
@click.option("--person", metavar="P", help="Only what this person wrote, and replies to them.")
@command
async def messages(frame: Frame, *, channel: str | None, person: str | None) -> None:
    """List messages in conversation order, branches and hidden ones included."""
    async with frame.open_home(create=False) as home:
        found = False
        async for message in every_message(home, channel=channel, person=person):
            found = True
            frame.line(message_line(message), message_text(message))
        if not found:
            await _refuse_unknown(home, channel=channel, person=person)


async def every_message(home: Home, *, channel: str | None = None, person: str | None = None) -> AsyncIterator[Message]:
    """All messages of a home, page by page."""
    after: Cursor | None = None
    while page := await home.conversations.page(
        channel=ChannelId(channel) if channel else None,
        person=PersonId(person) if person else None,
        after=after,
        limit=PAGE_MAX_MESSAGES,
    ):
        for message in page:
            yield message
        after = Cursor(page[-1].channel, page[-1].position)


async def _refuse_unknown(home: Home, *, channel: str | None, person: str | None) -> None:
    if channel is not None and channel not in {each.channel for each in await home.conversations.channels()}:
        raise ChannelUnknown(
            f"there is no channel {channel!r} in {home.location}",
            why="no message was ever said there",
            next="`instar channels` lists them",
        )
    if person is not None:
        await refuse_stranger(home, PersonId(person))


async def refuse_stranger(home: Home, person: PersonId) -> None:
    """Raise `PersonUnknown` for someone with neither message nor memory nor profile."""
    if await home.profiles.load(person) is not None:
        return
    if await home.memories.listing(Scope(person), kinds=EVERYTHING, limit=1):
        return
    if await home.conversations.page(person=person, limit=1):
        return
    raise PersonUnknown(
        f"nobody called {person!r} is known in {home.location}",
        why="no message, memory or profile has that person",
        next="`instar people` lists everyone",
    )


def message_line(message: Message) -> MessageLine:
    """A message as `instar messages --json` prints it."""
    return MessageLine(**{field: getattr(message, field) for field in MessageLine.__struct_fields__})


def message_text(message: Message) -> str:
    """A message for people, in one or more lines."""
    when = message.sent_at.strftime("%Y-%m-%d %H:%M") if message.sent_at else (message.sent_at_original or "no time")
    marks = "".join(
        f" ({mark})" for mark, on in (("not selected", not message.selected), ("hidden", message.hidden)) if on
    )
    attached = f" [{', '.join(message.attachments)}]" if message.attachments else ""
    head = click.style(printable(f"{message.channel}  {when}  {message.id}{marks}"), dim=True)
    author = click.style(printable(message.author_name or message.author), bold=True)
    return f"{head}\n{author}: {printable(message.text + attached)}"


@click.command(epilog='Example: instar memories --person ada --query "birthday" --why')
@click.option("--person", metavar="P", help="Whose memories. Needed with --query.")
@click.option("--query", metavar="Q", help="Search by words and by meaning, best first.")
@click.option("--why", is_flag=True, help="Say how each hit got its score.")
@click.option(
    "--all", "everything", is_flag=True, help="List remembered messages (episodes) too, not only facts and notes."
)
@command
async def memories(frame: Frame, *, person: str | None, query: str | None, why: bool, everything: bool) -> None:
    """List or search what is remembered."""
    if query is not None and person is None:
        raise click.UsageError("--query needs --person: a search always has a scope")
    async with frame.open_home(create=False) as home:
        if person is not None:
            await refuse_stranger(home, PersonId(person))
        if query is not None and person is not None:
            async for line in search_memories(home, PersonId(person), query, why=why):
                frame.line(line, memory_text(line))
            return
        async for memory in every_memory(home, person=person, kinds=EVERYTHING if everything else STATED):
            line = memory_line(memory)
            frame.line(line, memory_text(line))


async def search_memories(home: Home, person: PersonId, query: str, *, why: bool = False) -> AsyncIterator[MemoryLine]:
    """The best memories a person may see, best first."""
    scope = Scope(person, await shared_channels_of(home, person))
    for hit in await home.memories.search(query, scope=scope, limit=HITS_LISTED):
        yield memory_line(hit.memory, score=hit.score, why=hit.why if why else None)


async def shared_channels_of(home: Home, person: PersonId) -> tuple[ChannelId, ...]:
    """The channels among several people that a person took part in."""
    return tuple(each.channel for each in await home.conversations.channels() if each.shared and person in each.people)


async def every_memory(home: Home, *, person: str | None, kinds: tuple[MemoryKind, ...]) -> AsyncIterator[Memory]:
    """All memories of a person, or of everyone, page by page."""
    scope = Scope(PersonId(person)) if person is not None else None
    after: MemoryId | None = None
    while page := await home.memories.listing(scope, kinds=kinds, after=after, limit=PAGE_MAX_MESSAGES):
        for memory in page:
            yield memory
        after = page[-1].id


def memory_line(memory: Memory, *, score: float | None = None, why: Why | None = None) -> MemoryLine:
    """A memory as `instar memories --json` prints it."""
    fields = [field for field in MemoryLine.__struct_fields__ if field not in ("score", "why")]
    return MemoryLine(**{field: getattr(memory, field) for field in fields}, score=score, why=why)


def memory_text(line: MemoryLine) -> str:
    """A memory for people."""
    marks = "".join(f", {mark}" for mark, on in (("pinned", line.pinned), ("superseded", line.superseded_by)) if on)
    head = printable(line.text) + click.style(printable(f"  ({line.kind}{marks}, {line.person}, {line.id})"), dim=True)
    if line.why is None:
        return head
    return head + "\n" + click.style(f"    {why_text(line.score or 0.0, line.why)}", dim=True)


def why_text(score: float, why: Why) -> str:
    """How a hit got its score, in one line."""
    words = f"words: rank {why.word_rank}" if why.word_rank else "words: not found"
    meaning = f"meaning: rank {why.meaning_rank}" if why.meaning_rank else "meaning: not found"
    if why.meaning_score is not None:
        meaning += f" (cosine {why.meaning_score:.2f})"
    boosts = "".join(f", {boost.name} {boost.amount:+.4f}" for boost in why.boosts)
    return f"score {score:.4f} = {words}, {meaning}{boosts}"


@click.command(epilog="Example: instar profile ada --json")
@click.argument("person")
@command
async def profile(frame: Frame, *, person: str) -> None:
    """Show what is known of a person."""
    async with frame.open_home(create=False) as home:
        await refuse_stranger(home, PersonId(person))
        stored = await home.profiles.load(PersonId(person))
        if stored is None:
            raise PersonUnknown(
                f"{person!r} has no profile yet",
                why="profiles begin with the first message to the agent, or with an import that learns",
                next=f"instar messages --person {person}",
            )
    known = stored.profile
    rows = [
        ("name", known.name or "not known"),
        ("relationship", f"{known.relationship_level.replace('_', ' ')}, {known.interaction_count} interactions"),
        ("seen", f"{known.first_seen or 'never'} to {known.last_seen or 'never'}"),
        *(("fact", f"{fact.text}  (message {fact.source_message_id})") for fact in known.facts),
        *(
            ("feeling", f"{each.label} (an estimate, confidence {each.confidence:.2f}), {each.at}")
            for each in known.emotion_samples[-3:]
        ),
    ]
    frame.document(known, printable("\n".join(f"{label:<14}{value}" for label, value in rows)))


class PersonLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `instar people`."""

    person: str
    messages: int
    memories: int
    name: str | None
    relationship_level: str | None
    last_seen: object


@click.command(epilog="Example: instar people --json")
@command
async def people(frame: Frame) -> None:
    """List everyone who is known, with figures."""
    async with frame.open_home(create=False) as home:
        written = {each.person: each.messages for each in await home.conversations.people()}
        remembered = await home.memories.counts()
        profiled = set(await home.profiles.people())
        for person in sorted({*written, *remembered, *profiled}):
            stored = await home.profiles.load(person)
            known = stored.profile if stored else None
            line = PersonLine(
                person=person,
                messages=written.get(person, 0),
                memories=remembered.get(person, 0),
                name=known.name if known else None,
                relationship_level=known.relationship_level if known else None,
                last_seen=known.last_seen if known else None,
            )
            frame.line(
                line,
                printable(
                    f"{line.person:<24}{line.messages:>8} messages{line.memories:>8} memories  {line.name or ''}"
                ),
            )


class ChannelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `instar channels`."""

    channel: str
    messages: int
    memories: int
    people: tuple[str, ...]
    shared: bool
    first_at: object
    last_at: object


@click.command(epilog="Example: instar channels --json")
@command
async def channels(frame: Frame) -> None:
    """List every conversation, with figures."""
    async with frame.open_home(create=False) as home:
        remembered: Counter[str | None] = Counter()
        async for memory in every_memory(home, person=None, kinds=STATED):
            remembered[memory.channel] += 1
        for each in await home.conversations.channels():
            line = ChannelLine(
                channel=each.channel,
                messages=each.messages,
                memories=remembered[each.channel],
                people=each.people,
                shared=each.shared,
                first_at=each.first_at,
                last_at=each.last_at,
            )
            who = ", ".join(each.people[:4]) + (" and others" if len(each.people) > 4 else "")
            figures = f"{line.channel:<40}{line.messages:>8} messages{line.memories:>8} memories  {who}"
            frame.line(line, printable(figures))
