"""What stays of a message: an episode to find again, the facts and notes it tells, the person's profile.

Everything has an id made of the message it comes from, so learning a message twice changes nothing, and
what was forgotten is not learned again from an older copy. Agents state no facts, and a reply that a turn
gave is not learned at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import blake3
import msgspec

from instar.agent.emotion import estimate
from instar.agent.facts import TALK_MAX_CHARS, Told, asks_to_forget, is_chatter, is_question, is_singular, told_in
from instar.agent.languages.english import ENGLISH
from instar.agent.relationship import with_level, with_sample, with_samples, with_trust
from instar.agent.reply import made_by_a_turn
from instar.agent.stores import Stores
from instar.core.errors import VersionConflict
from instar.core.ids import MemoryId, PersonId
from instar.core.limits import FACTS_PER_PROFILE_MAX
from instar.core.records import Fact, Memory, MemoryKind, Message, Profile
from instar.core.settings import AgentSettings
from instar.models.wording import sentences
from instar.telemetry.log import find_secrets, redact

EPISODE_MAX_CHARS = 1_000  # about what the embedder reads of a text
EPISODES_PER_MESSAGE_MAX = 64  # the rest of a pasted book stays in its message
_SAVE_ATTEMPTS_MAX = 20  # each lost race means that another save succeeded
_CONTRARY = {"likes": "dislikes", "dislikes": "likes"}


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What learning added; 0 where everything was known."""

    memories: int
    """Episodes, notes and facts that were new."""
    people: int
    """Profiles that were looked at."""


async def learn(
    stores: Stores, messages: Sequence[Message], *, settings: AgentSettings, counted: bool = True
) -> Learned:
    """Learn from a history, oldest first: episodes of people and agents, facts and profiles of people.

    Hidden, unselected and system messages are not learned. Learning the same messages again changes nothing.
    With `counted`, a person's interactions become at least the number of messages they wrote in this home,
    and feelings are estimated where the settings want it.
    """
    shown = [message for message in messages if _worth_learning(message)]
    told = _told_in_order(shown)
    said = [memory for message in shown for memory in [*episodes(message), *_notes(message, told[_place(message)])]]
    added = await stores.memories.remember(said)
    people = list(dict.fromkeys(message.author for message in shown if message.role == "person"))
    written = {each.person: each.messages for each in await stores.conversations.people()} if counted else {}
    for person in people:
        theirs = [message for message in shown if message.author == person and message.role == "person"]
        added += await _learn_facts(stores, told, theirs)
        if counted:
            await save_profile(stores, person, _history_counted(theirs, written.get(person, 0), settings))
    return Learned(memories=added, people=len(people))


async def remember(stores: Stores, message: Message, told: Told, *, settings: AgentSettings) -> Learned:
    """Keep what one message of a turn tells, and count it once in its author's profile."""
    added = await stores.memories.remember([*episodes(message), *_notes(message, told)])
    added += await _learn_facts(stores, {_place(message): told}, [message])
    await save_profile(stores, message.author, _turn_counted(message, settings))
    return Learned(memories=added, people=1)


async def save_profile(stores: Stores, person: PersonId, change: Callable[[Profile], Profile]) -> Profile:
    """Apply `change` to the person's profile by compare-and-set, again after each lost race."""
    attempts = 0
    while True:
        stored = await stores.profiles.load(person)
        before = stored.profile if stored else Profile(person=person)
        after = change(before)
        if stored is not None and after == before:
            return before
        try:
            return (await stores.profiles.save(after, expected_version=stored.version if stored else 0)).profile
        except VersionConflict:
            attempts += 1
            if attempts == _SAVE_ATTEMPTS_MAX:
                raise


def episodes(message: Message) -> list[Memory]:
    """The memories that hold `message` as it was said; none for questions, greetings, and what is out of sight."""
    text = message.text
    if not _worth_learning(message) or is_chatter(text) or is_question(text) or asks_to_forget(text):
        return []
    return [_memory(message, "episode", part, str(number)) for number, part in enumerate(_parts(text)) if part.strip()]


def memory_id(kind: MemoryKind, channel: str, message_id: str, detail: str) -> MemoryId:
    """The id of what was learned from a message: the same in every process and on every repetition."""
    key = f"{kind}\x00{channel}\x00{message_id}\x00{detail}"
    return MemoryId(f"{kind[0]}{blake3.blake3(key.encode()).hexdigest(length=16)}")


def fact_memory_id(fact: Fact) -> MemoryId | None:
    """The id of the memory of a fact; None for a fact that names no message."""
    if fact.source_message_id is None or fact.source_channel is None:
        return None
    detail = f"{fact.attribute}\x00{fact.value.casefold()}"
    return memory_id("fact", fact.source_channel, fact.source_message_id, detail)


def _worth_learning(message: Message) -> bool:
    said = message.role == "person" or (message.role == "agent" and message.person and not made_by_a_turn(message))
    return bool(said) and message.selected and not message.hidden and bool(message.text.strip())


def _told_in_order(messages: Sequence[Message]) -> dict[tuple[str, str], Told]:
    told: dict[tuple[str, str], Told] = {}
    topics: dict[tuple[str, str], str | None] = {}
    for message in messages:
        talk = (message.channel, message.author)
        told[_place(message)] = found = told_in(message, topic=topics.get(talk))
        topics[talk] = found.facts[-1].attribute if found.facts else None
    return told


def _place(message: Message) -> tuple[str, str]:
    return (message.channel, message.id)


def _notes(message: Message, told: Told) -> list[Memory]:
    return [_memory(message, "note", note, str(number)) for number, note in enumerate(told.notes)]


async def _learn_facts(stores: Stores, told: Mapping[tuple[str, str], Told], messages: Sequence[Message]) -> int:
    """Store each fact one person tells, supersede what it replaces or denies, and only then change the profile."""
    stated = [(message, fact) for message in messages for fact in told[_place(message)].facts]
    denied = [(message, fact) for message in messages for fact in told[_place(message)].denied]
    if not stated and not denied:
        return 0
    person = messages[0].author
    stored = await stores.profiles.load(person)
    known = stored.profile.facts if stored else ()
    fresh = await _fresh(stores, stated, known)
    added = await stores.memories.remember([memory for _, memory in fresh])
    kept = [(fact, memory) for fact, memory in fresh if await stores.memories.get(memory.id) is not None]
    await _supersede(stores, known, kept)
    profile = await save_profile(stores, person, lambda profile: _with_facts(profile, [fact for fact, _ in kept]))
    gone = [(message, fact) for message, denial in denied for fact in profile.facts if _denies(denial, fact)]
    for message, fact in gone:
        await _mark_denied(stores, message, fact, kept)
    await save_profile(stores, person, lambda profile: without_facts(profile, [fact for _, fact in gone]))
    return added


async def _fresh(
    stores: Stores, stated: Sequence[tuple[Message, Fact]], known: Sequence[Fact]
) -> list[tuple[Fact, Memory]]:
    """The facts not known yet and not overtaken since, with their memories; none that holds a secret."""
    fresh: dict[MemoryId, tuple[Fact, Memory]] = {}
    for message, fact in stated:
        if find_secrets(fact.text) or any(_same(fact, other) for other in known):
            continue
        memory = _fact_memory(message, fact)
        earlier = await stores.memories.get(memory.id)
        if earlier is None or earlier.superseded_by is None:
            fresh[memory.id] = (fact, memory)
            known = _merged(known, fact)
    return list(fresh.values())


async def _mark_denied(stores: Stores, message: Message, fact: Fact, kept: Sequence[tuple[Fact, Memory]]) -> None:
    """Let what `message` says take the place of `fact`: the fact it states instead, or the message itself."""
    instead = [
        memory for other, memory in kept if other.attribute == fact.attribute and memory.source_message_id == message.id
    ]
    known_id = fact_memory_id(fact)
    old = await stores.memories.get(known_id) if known_id else None
    for memory in [*instead, *episodes(message)][:1]:
        if old is not None:
            await _mark(stores, old=old, new_id=memory.id, memories={})


async def _supersede(stores: Stores, known: Sequence[Fact], fresh: Sequence[tuple[Fact, Memory]]) -> None:
    current = list(known)
    memories = {memory.id: memory for _, memory in fresh}
    for fact, memory in fresh:
        newer = next((other for other in current if _outdates(other, fact)), None)
        if newer is not None:
            await _mark(stores, old=memory, new_id=fact_memory_id(newer), memories=memories)
            continue
        for old in [other for other in current if _replaces(fact, other)]:
            old_id = fact_memory_id(old)
            old_memory = await stores.memories.get(old_id) if old_id else None
            if old_memory is not None:
                await _mark(stores, old=old_memory, new_id=memory.id, memories=memories)
        current = list(_merged(current, fact))


async def _mark(stores: Stores, *, old: Memory, new_id: MemoryId | None, memories: Mapping[MemoryId, Memory]) -> None:
    new = memories.get(new_id) or await stores.memories.get(new_id) if new_id else None
    if new is not None and old.superseded_by is None and old.id != new.id:
        await stores.memories.supersede(old.id, new)


def _with_facts(profile: Profile, facts: Sequence[Fact]) -> Profile:
    for fact in facts:
        merged = _merged(profile.facts, fact)
        profile = msgspec.structs.replace(profile, facts=merged[-FACTS_PER_PROFILE_MAX:])
    names = [fact.value for fact in profile.facts if fact.attribute == "name"]
    preferences = {fact.attribute: fact.value for fact in profile.facts if fact.attribute.startswith("favourite ")}
    return with_level(
        msgspec.structs.replace(
            profile,
            name=names[-1] if names else profile.name,
            preferences={**profile.preferences, **preferences},
        )
    )


def without_facts(profile: Profile, facts: Sequence[Fact]) -> Profile:
    """`profile` without these facts, and without a name or preference that came from them."""
    gone = {(fact.attribute, fact.value) for fact in facts}
    return msgspec.structs.replace(
        profile,
        facts=tuple(fact for fact in profile.facts if (fact.attribute, fact.value) not in gone),
        name=None if any(fact.attribute == "name" for fact in facts) else profile.name,
        preferences={key: value for key, value in profile.preferences.items() if (key, value) not in gone},
    )


def _denies(denial: Fact, fact: Fact) -> bool:
    return _same(denial, fact) and denial.source_message_id != fact.source_message_id and not _later(fact, denial)


def _merged(known: Sequence[Fact], fact: Fact) -> tuple[Fact, ...]:
    if any(_same(fact, other) or _outdates(other, fact) for other in known):
        return tuple(known)
    return (*(other for other in known if not _replaces(fact, other)), fact)


def _same(fact: Fact, other: Fact) -> bool:
    return fact.attribute == other.attribute and fact.value.casefold() == other.value.casefold()


def _replaces(fact: Fact, other: Fact) -> bool:
    """True when `fact`, told now, stands in the place of `other`: another word on the same matter."""
    contrary = _CONTRARY.get(fact.attribute) == other.attribute and fact.value.casefold() == other.value.casefold()
    alternative = fact.attribute == other.attribute and is_singular(fact.attribute) and not _same(fact, other)
    return (contrary or alternative) and not _later(other, fact)


def _outdates(other: Fact, fact: Fact) -> bool:
    """True when `other` is known already and was told after `fact`, on the same matter."""
    return _later(other, fact) and _replaces(other, fact)


def _later(fact: Fact, other: Fact) -> bool:
    return fact.learned_at is not None and other.learned_at is not None and fact.learned_at > other.learned_at


def _turn_counted(message: Message, settings: AgentSettings) -> Callable[[Profile], Profile]:
    def counted(profile: Profile) -> Profile:
        samples = {sample.source_message_id for sample in profile.emotion_samples}
        if message.id == profile.last_message_id or message.id in samples:
            return profile
        profile = _seen(profile, message, interactions=profile.interaction_count + 1)
        if _feels(message, settings):
            profile = with_sample(profile, estimate(message))
        return with_level(_trusting(profile, message))

    return counted


def _history_counted(
    messages: Sequence[Message], written: int, settings: AgentSettings
) -> Callable[[Profile], Profile]:
    felt = [message for message in messages if message.sent_at is not None and _feels(message, settings)]
    samples = [sample for sample in map(estimate, felt) if sample.label != "neutral"]

    def counted(profile: Profile) -> Profile:
        for message in messages:
            profile = _trusting(_seen(profile, message, interactions=max(profile.interaction_count, written)), message)
        return with_level(with_samples(profile, samples))

    return counted


def _feels(message: Message, settings: AgentSettings) -> bool:
    return settings.emotion_in_groups if message.shared else settings.emotion


def _seen(profile: Profile, message: Message, *, interactions: int) -> Profile:
    times = [at for at in (profile.first_seen, profile.last_seen, message.sent_at) if at is not None]
    newest = message.sent_at is None or profile.last_seen is None or message.sent_at >= profile.last_seen
    return msgspec.structs.replace(
        profile,
        interaction_count=interactions,
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
        last_message_id=message.id if newest else profile.last_message_id,
    )


def _trusting(profile: Profile, message: Message) -> Profile:
    sign = ENGLISH.trust.search(message.text[:TALK_MAX_CHARS])
    return with_trust(profile, sign.group().casefold()) if sign else profile


def _fact_memory(message: Message, fact: Fact) -> Memory:
    return msgspec.structs.replace(
        _memory(message, "fact", fact.text, f"{fact.attribute}\x00{fact.value.casefold()}"),
        attribute=fact.attribute,
        value=fact.value,
    )


def _memory(message: Message, kind: MemoryKind, text: str, detail: str) -> Memory:
    return Memory(
        id=memory_id(kind, message.channel, message.id, detail),
        person=message.author if message.role == "person" else message.person or message.author,
        kind=kind,
        text=redact(text),
        created_at=message.sent_at,
        channel=message.channel,
        shared=message.shared,
        source_message_id=message.id,
        author_name=message.author_name or (message.author if message.role == "agent" else None),
    )


def _parts(text: str) -> Iterator[str]:
    if len(text) <= EPISODE_MAX_CHARS:
        yield text
        return
    part, parts = "", 0
    for sentence in sentences(text[: EPISODE_MAX_CHARS * EPISODES_PER_MESSAGE_MAX]):
        for piece in (sentence[i : i + EPISODE_MAX_CHARS] for i in range(0, len(sentence), EPISODE_MAX_CHARS)):
            if part and len(part) + len(piece) >= EPISODE_MAX_CHARS:
                yield part
                part, parts = "", parts + 1
                if parts == EPISODES_PER_MESSAGE_MAX:
                    return
            part = f"{part} {piece}" if part else piece
    yield part
