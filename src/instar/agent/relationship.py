"""How well the agent knows a person, and how often things went badly lately.

Levels: acquaintance from 3 interactions; friend from 10 with a name and 2 facts besides it; close_friend
from 25 with what a friend needs and 2 signs of trust. A level once reached stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import get_args

import msgspec

from instar.core.limits import EMOTION_SAMPLES_KEPT
from instar.core.records import EmotionSample, Profile, RelationshipLevel

ACQUAINTANCE_INTERACTIONS = 3
FRIEND_INTERACTIONS = 10
FRIEND_FACTS = 2
CLOSE_FRIEND_INTERACTIONS = 25
CLOSE_FRIEND_TRUST_INDICATORS = 2

NEGATIVE = frozenset({"frustrated", "angry", "sad", "disappointed"})
POSITIVE = frozenset({"happy", "excited", "grateful"})

_UNDATED = datetime.min.replace(tzinfo=UTC)
_LEVELS: tuple[RelationshipLevel, ...] = get_args(RelationshipLevel)


def with_level(profile: Profile) -> Profile:
    """Return `profile` at the level its counts give, or at its own when that is higher."""
    level = max(profile.relationship_level, _earned(profile), key=_LEVELS.index)
    return msgspec.structs.replace(profile, relationship_level=level)


def with_sample(profile: Profile, sample: EmotionSample) -> Profile:
    """Return `profile` with one more estimate, the newest kept, and the escalation count moved by it."""
    step = (sample.label in NEGATIVE) - (sample.label in POSITIVE)
    return msgspec.structs.replace(
        profile,
        emotion_samples=(*profile.emotion_samples, sample)[-EMOTION_SAMPLES_KEPT:],
        escalation_count=max(0, profile.escalation_count + step),
    )


def with_samples(profile: Profile, samples: Sequence[EmotionSample]) -> Profile:
    """Return `profile` with estimates of earlier messages put in by their time; the escalation count stays."""
    known: dict[str | None, EmotionSample] = {sample.source_message_id: sample for sample in samples}
    known |= {sample.source_message_id or str(place): sample for place, sample in enumerate(profile.emotion_samples)}
    if len(known) == len(profile.emotion_samples):
        return profile
    ordered = sorted(known.values(), key=lambda sample: sample.at or _UNDATED)
    return msgspec.structs.replace(profile, emotion_samples=tuple(ordered[-EMOTION_SAMPLES_KEPT:]))


def with_trust(profile: Profile, sign: str) -> Profile:
    """Return `profile` with one more sign of trust; the same words count once."""
    if sign in profile.trust_indicators:
        return profile
    return msgspec.structs.replace(profile, trust_indicators=(*profile.trust_indicators, sign))


def _earned(profile: Profile) -> RelationshipLevel:
    facts = sum(fact.attribute != "name" for fact in profile.facts)
    known = profile.name is not None and facts >= FRIEND_FACTS
    trusted = len(profile.trust_indicators) >= CLOSE_FRIEND_TRUST_INDICATORS
    if profile.interaction_count >= CLOSE_FRIEND_INTERACTIONS and known and trusted:
        return "close_friend"
    if profile.interaction_count >= FRIEND_INTERACTIONS and known:
        return "friend"
    return "acquaintance" if profile.interaction_count >= ACQUAINTANCE_INTERACTIONS else "stranger"
