"""Deleting a message takes with it the answer to it and everything that was learned from either."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from instar.agent.remember import save_profile
from instar.channels.web.ports import WebHome
from instar.core.records import Message, Profile


async def delete_exchange(home: WebHome, message: Message, answer: Message | None) -> None:
    """Delete a message and the answer to it: first what was learned, so that a failure can be tried again."""
    gone = [message, *([answer] if answer else [])]
    await home.memories.forget_message([(each.channel, each.id) for each in gone])
    person = message.person or message.author
    if await home.profiles.load(person) is not None:
        await save_profile(home, person, lambda profile: _without(profile, gone))
    for each in gone:
        await home.conversations.delete(each.channel, each.id)


def _without(profile: Profile, gone: Sequence[Message]) -> Profile:
    places = {(message.channel, message.id) for message in gone}
    ids = {message.id for message in gone}
    dropped = [fact for fact in profile.facts if (fact.source_channel, fact.source_message_id) in places]
    unsaid = {(fact.attribute, fact.value) for fact in dropped}
    return replace(
        profile,
        name=None if ("name", profile.name) in unsaid else profile.name,
        preferences={key: value for key, value in profile.preferences.items() if (key, value) not in unsaid},
        facts=tuple(fact for fact in profile.facts if fact not in dropped),
        emotion_samples=tuple(s for s in profile.emotion_samples if s.source_message_id not in ids),
    )
