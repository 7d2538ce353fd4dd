"""What a turn knows before it answers: the window of the conversation, the profile, and memories.

Everything read here is something the author of the message may see: their own, and what was said among
several people in this channel (or, when they talk to the agent alone, in channels they took part in).
What was told to the agent alone is not brought up among several people.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import msgspec

from instar.agent.facts import asked_facts, is_question
from instar.agent.languages.english import ENGLISH
from instar.agent.remember import episodes, learn
from instar.agent.stores import Stores
from instar.core.ids import ChannelId, PersonId
from instar.core.limits import RECALLED_MAX
from instar.core.records import Fact, Message, Profile, Scope
from instar.core.settings import AgentSettings
from instar.models.extractive import ASKED_SCORE
from instar.models.port import Evidence
from instar.models.wording import stem, stems
from instar.stores.memories.port import Hit

CANDIDATES = 40  # what a responder without a language model chooses from; a prompt gets RECALLED_MAX of them
QUERY_MAX_CHARS = 2_000  # a longer text names everything and so asks for nothing
_WINDOW_PAGES_MAX = 5  # how far back to look for this person's words in a channel others use too
_EXPANDED_WORDS_MAX = 24


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """What was recalled for one message."""

    window: tuple[Message, ...]
    """The conversation as the author may see it, oldest first, the newest message not included."""
    profile: Profile
    hits: tuple[Hit, ...]
    """The memories found, best first: at most RECALLED_MAX."""
    evidence: tuple[Evidence, ...]
    """The same and more, with authors and dates, as responders get it; best first.

    The score is the cosine between message and memory, 0 where none was compared, and ASKED_SCORE for a fact
    that the question asks for by name.
    """


async def recall(stores: Stores, message: Message, *, settings: AgentSettings, now: datetime) -> Recall:
    """Bring together what is known that may bear on `message`."""
    window = await visible_window(stores, message, limit=settings.window)
    await _catch_up(stores, window, settings)
    stored = await stores.profiles.load(message.author)
    profile = stored.profile if stored else Profile(person=message.author)
    scope = await _scope(stores, message)
    hits = await _search(stores, message, scope, now)
    evidence = await _evidence(stores, message, scope, profile, hits)
    return Recall(window=window, profile=profile, hits=tuple(hits[:RECALLED_MAX]), evidence=tuple(evidence))


async def visible_window(stores: Stores, message: Message, *, limit: int) -> tuple[Message, ...]:
    """The last `limit` messages in front of `message` that its author may see, oldest first."""
    found: list[Message] = []
    before: int | None = message.position or None
    for _ in range(_WINDOW_PAGES_MAX):
        page = await stores.conversations.window(message.channel, limit=limit, before=before)
        found = [each for each in page if _visible(each, message) and each.id != message.id] + found
        if len(found) >= limit or len(page) < limit:
            break
        before = page[0].position
    return tuple(found[-limit:])


def last_topic(window: Sequence[Message], person: PersonId, facts: Sequence[Fact]) -> str | None:
    """The attribute this person spoke of last: told, or asked for. A correction means this one."""
    for each in reversed([each for each in window if each.author == person][-2:]):
        told = [fact for fact in facts if (fact.source_channel, fact.source_message_id) == (each.channel, each.id)]
        asked = told or asked_facts(each.text[:QUERY_MAX_CHARS], facts)
        if asked:
            return asked[-1].attribute
    return None


async def _catch_up(stores: Stores, window: Sequence[Message], settings: AgentSettings) -> None:
    """Learn what stands in the window and was stored without a turn; what was forgotten stays forgotten."""
    unlearned = [
        each
        for each in window
        if each.role == "person" and (known := episodes(each)) and await stores.memories.get(known[0].id) is None
    ]
    if unlearned:
        await learn(stores, unlearned, settings=settings, counted=False)


async def _scope(stores: Stores, message: Message) -> Scope:
    if message.shared:
        return Scope(message.author, (message.channel,))
    if is_question(message.text) and _about_oneself(message.text):
        return Scope(message.author)
    taken_part = [
        each.channel
        for each in await stores.conversations.channels()
        if each.shared and (message.author in each.people or each.channel == message.channel)
    ]
    return Scope(message.author, tuple(taken_part))


def _about_oneself(text: str) -> bool:
    return ENGLISH.own.search(text) is not None and ENGLISH.speaker.search(text[:QUERY_MAX_CHARS]) is None


async def _search(stores: Stores, message: Message, scope: Scope, now: datetime) -> list[Hit]:
    best: dict[str, Hit] = {}
    for query in _queries(message.text):
        for hit in await stores.memories.search(query, scope=scope, limit=CANDIDATES, now=now):
            known = best.get(hit.memory.id)
            if _may_recall(hit, message) and (known is None or known.score < hit.score):
                best[hit.memory.id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.memory.id))


def _queries(text: str) -> list[str]:
    """The text itself, what it asks about, and the same with related words."""
    text = text[:QUERY_MAX_CHARS]
    queries = [text]
    speaker = ENGLISH.speaker.search(text)
    if speaker is not None and stems(speaker["topic"]):
        queries.append(speaker["topic"].strip(" ?!."))
    if is_question(text) and (related := _related(text)):
        queries.append(" ".join(related))
    return queries


def _related(text: str) -> list[str]:
    asked = set(stems(text))
    found = [word for words, stemmed in _related_groups() if asked & stemmed for word in words]
    fresh = [word for word in dict.fromkeys(found) if stem(word) not in asked]
    return [*sorted(asked), *fresh][:_EXPANDED_WORDS_MAX] if fresh else []


@cache
def _related_groups() -> list[tuple[list[str], set[str]]]:
    """Each group of related words in order, with their stems."""
    return [(sorted(group), {stem(each) for each in group}) for group in ENGLISH.related]


def _may_recall(hit: Hit, message: Message) -> bool:
    memory = hit.memory
    if (memory.channel, memory.source_message_id) == (message.channel, message.id):
        return False
    return not message.shared or (memory.shared and memory.channel == message.channel)


def _visible(each: Message, message: Message) -> bool:
    own = message.author in (each.author, each.person)
    if message.shared:
        return each.shared
    return own or each.shared


async def _evidence(
    stores: Stores, message: Message, scope: Scope, profile: Profile, hits: Sequence[Hit]
) -> list[Evidence]:
    found: list[Evidence] = []
    for fact in asked_facts(message.text[:QUERY_MAX_CHARS], _tellable(profile, message))[-CANDIDATES:]:
        found += await _asked(stores, fact, message)
    for hit in hits:
        source = await _source(stores, hit.memory.channel, hit.memory.source_message_id)
        if source is None or _allowed(source, scope):
            found.append(_from_hit(hit, source, message.author))
    return list({(each.kind, each.message_id, each.channel, each.text): each for each in reversed(found)}.values())[
        ::-1
    ]


def _tellable(profile: Profile, message: Message) -> list[Fact]:
    return [fact for fact in profile.facts if not message.shared or fact.source_channel == message.channel]


async def _asked(stores: Stores, fact: Fact, message: Message) -> list[Evidence]:
    source = await _source(stores, fact.source_channel, fact.source_message_id)
    if message.shared and (source is None or not source.shared):
        return []
    evidence = Evidence(
        text=fact.text,
        score=ASKED_SCORE,
        kind="fact",
        message_id=fact.source_message_id,
        channel=fact.source_channel,
        author=message.author,
        author_name=message.author_name,
        said_at=fact.learned_at,
        attribute=fact.attribute,
        value=fact.value,
    )
    if source is None:
        return [evidence]
    said = msgspec.structs.replace(evidence, text=source.text, kind="episode", attribute=None, value=None)
    return [evidence, said]


async def _source(stores: Stores, channel: str | None, message_id: str | None) -> Message | None:
    if channel is None or message_id is None:
        return None
    return await stores.conversations.get(ChannelId(channel), message_id)  # type: ignore[arg-type]


def _allowed(source: Message, scope: Scope) -> bool:
    return scope.person in (source.author, source.person) or (source.shared and source.channel in scope.channels)


def _from_hit(hit: Hit, source: Message | None, person: PersonId) -> Evidence:
    memory = hit.memory
    author = source.author if source else memory.person
    return Evidence(
        text=memory.text,
        score=hit.why.meaning_score or 0.0,
        kind=memory.kind,
        memory_id=memory.id,
        message_id=memory.source_message_id,
        channel=memory.channel,
        author=author,
        author_name=(source.author_name if source else None) or memory.author_name,
        said_at=memory.created_at,
        own=memory.person == person and (source is None or source.role == "person"),
        attribute=memory.attribute,
        value=memory.value,
    )
