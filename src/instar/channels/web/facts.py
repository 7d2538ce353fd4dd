"""A profile repeats a person's facts; a correction on a page reaches it too."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from instar.core.errors import VersionConflict
from instar.core.ids import PersonId
from instar.core.records import Fact, Memory, Profile
from instar.stores.profiles.port import ProfileStore

_ATTEMPTS_MAX = 5  # a turn may save the same profile at this moment


async def correct_fact(profiles: ProfileStore, old: Memory, new: Memory | None) -> None:
    """Put `new` where the profile says `old`; None takes the statement away."""
    await change_profile(profiles, old.person, lambda profile: _corrected(profile, old, new))


async def change_profile(profiles: ProfileStore, person: PersonId, change: Callable[[Profile], Profile]) -> None:
    """Apply `change` to the stored profile, again if someone saved in between; no profile, no change."""
    for attempt in range(_ATTEMPTS_MAX):
        stored = await profiles.load(person)
        if stored is None or (changed := change(stored.profile)) == stored.profile:
            return
        try:
            await profiles.save(changed, expected_version=stored.version)
        except VersionConflict:
            if attempt == _ATTEMPTS_MAX - 1:
                raise
        else:
            return


def value_in(text: str, *, like: Memory) -> str | None:
    """Return the value a corrected sentence states, where it keeps the form of the old one."""
    if like.value is None or like.value not in like.text:
        return None
    before, _, after = like.text.partition(like.value)
    inner = text[len(before) : len(text) - len(after)]
    return inner if inner and text == before + inner + after else None


def _corrected(profile: Profile, old: Memory, new: Memory | None) -> Profile:
    facts = [_instead(fact, new) if _states(fact, old) else fact for fact in profile.facts]
    name = profile.name
    if old.attribute == "name" and name is not None and name == old.value:
        name = new.value if new else None
    return replace(profile, name=name, facts=tuple(fact for fact in facts if fact is not None))


def _states(fact: Fact, memory: Memory) -> bool:
    same_value = memory.attribute is not None and (fact.attribute, fact.value) == (memory.attribute, memory.value)
    return fact.text == memory.text or same_value


def _instead(fact: Fact, new: Memory | None) -> Fact | None:
    if new is None:
        return None
    return replace(fact, text=new.text, value=new.value or new.text, learned_at=new.created_at)
