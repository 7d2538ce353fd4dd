"""Corrections on a page reach everything that repeats the statement: profile, and the message's own memories."""

from __future__ import annotations

from msgspec.structs import replace

from instar.agent.remember import episodes, fact_memory_id, save_profile
from instar.channels.web.ports import WebHome
from instar.core.ids import ChannelId, MemoryId
from instar.core.records import Fact, Memory, Profile


async def correct_profile(home: WebHome, old: Memory, new: Memory | None) -> None:
    """Put `new` where the profile says `old`; None takes the statement away."""
    if await home.profiles.load(old.person) is not None:
        await save_profile(home, old.person, lambda profile: _corrected(profile, old, new))


async def forget_as_said(home: WebHome, memory: Memory) -> None:
    """Forget the message a memory came from as a memory of its own; it stays in its conversation."""
    if memory.source_message_id is None:
        return
    said = await home.conversations.get(memory.channel or ChannelId(""), memory.source_message_id)
    for episode in episodes(said) if said else ():
        await home.memories.forget(episode.id)


def value_in(text: str, *, like: Memory) -> str | None:
    """Return the value a corrected sentence states, where it keeps the form of the old one."""
    if like.value is None or like.value not in like.text:
        return None
    before, _, after = like.text.partition(like.value)
    inner = text[len(before) : len(text) - len(after)]
    return inner if inner and text == before + inner + after else None


def fact_id(memory: Memory) -> MemoryId | None:
    """Return the id the agent would give this fact; None for what is no fact with a value and a source."""
    if memory.attribute is None or memory.value is None:
        return None
    return fact_memory_id(
        Fact(
            attribute=memory.attribute,
            value=memory.value,
            text=memory.text,
            source_message_id=memory.source_message_id,
            source_channel=memory.channel,
        )
    )


def _corrected(profile: Profile, old: Memory, new: Memory | None) -> Profile:
    facts = [_instead(fact, new) if _states(fact, old) else fact for fact in profile.facts]
    value = new.value if new else None
    return replace(
        profile,
        name=value if old.attribute == "name" and profile.name == old.value else profile.name,
        preferences=_preferring(profile.preferences, old, value),
        facts=tuple(fact for fact in facts if fact is not None),
    )


def _preferring(preferences: dict[str, str], old: Memory, value: str | None) -> dict[str, str]:
    if old.attribute is None or preferences.get(old.attribute) != old.value:
        return preferences
    others = {key: kept for key, kept in preferences.items() if key != old.attribute}
    return others if value is None else {**others, old.attribute: value}


def _states(fact: Fact, memory: Memory) -> bool:
    same_value = memory.attribute is not None and (fact.attribute, fact.value) == (memory.attribute, memory.value)
    return fact.text == memory.text or same_value


def _instead(fact: Fact, new: Memory | None) -> Fact | None:
    if new is None:
        return None
    return replace(
        fact,
        text=new.text,
        value=new.value or new.text,
        learned_at=new.created_at,
        source_message_id=new.source_message_id,
        source_channel=new.channel,
    )
