"""Forgetting on request in a conversation: "forget my birthday", "forget that".

Takes the fact away with every memory of the message that told it. The message stays in its conversation;
erasing a person altogether is the business of the home.
"""

from __future__ import annotations

import msgspec

from instar.agent.facts import ForgetRequest
from instar.agent.remember import episodes, fact_memory_id, save_profile, without_facts
from instar.agent.stores import Stores
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Fact, Message, Scope
from instar.models.wording import stems


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten; `texts` is empty when nothing fitted the request."""

    texts: tuple[str, ...] = ()


async def forget_on_request(
    stores: Stores, message: Message, request: ForgetRequest, *, window: tuple[Message, ...]
) -> Forgotten:
    """Forget what the author of `message` asks to be forgotten, and return what that was."""
    stored = await stores.profiles.load(message.author)
    facts = stored.profile.facts if stored else ()
    places: set[tuple[ChannelId, MessageId]] = set()
    chosen: list[Fact] = []
    if request.about:
        chosen = [fact for fact in facts if _fits(fact, request.about)]
    else:
        last = _last_told(message, window)
        if last is not None:
            places.add((last.channel, last.id))
            chosen = [
                fact for fact in facts if (fact.source_channel, fact.source_message_id) == (last.channel, last.id)
            ]
    places.update(
        (fact.source_channel, fact.source_message_id)
        for fact in chosen
        if fact.source_channel and fact.source_message_id
    )
    texts = tuple(fact.text for fact in chosen) or tuple(
        each.text for each in window if (each.channel, each.id) in places
    )
    places |= await _earlier_places(stores, message.author, {fact.attribute for fact in chosen})
    for fact in chosen:
        if (known := fact_memory_id(fact)) is not None:
            await stores.memories.forget(known)
    await stores.memories.forget_message(sorted(places))
    if chosen:
        await save_profile(stores, message.author, lambda profile: without_facts(profile, chosen))
    return Forgotten(texts=texts)


async def _earlier_places(stores: Stores, person: PersonId, attributes: set[str]) -> set[tuple[ChannelId, MessageId]]:
    """Where values of these attributes were told that newer ones have replaced."""
    places: set[tuple[ChannelId, MessageId]] = set()
    after: MemoryId | None = None
    while attributes and (page := await stores.memories.listing(Scope(person), kinds=("fact",), after=after)):
        after = page[-1].id
        replaced = [each for each in page if each.superseded_by is not None and each.attribute in attributes]
        places |= {
            (each.channel, each.source_message_id) for each in replaced if each.channel and each.source_message_id
        }
    return places


def _fits(fact: Fact, about: str) -> bool:
    asked = set(stems(about))
    return bool(asked) and (set(stems(fact.attribute)) == asked or asked <= set(stems(fact.text)))


def _last_told(message: Message, window: tuple[Message, ...]) -> Message | None:
    own = [each for each in window if each.author == message.author and each.id != message.id]
    return next((each for each in reversed(own) if episodes(each)), None)
