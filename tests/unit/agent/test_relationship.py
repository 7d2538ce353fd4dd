from __future__ import annotations

import msgspec

from instar.agent.relationship import with_level, with_sample, with_samples, with_trust
from instar.core.limits import EMOTION_SAMPLES_KEPT
from instar.core.records import EmotionSample, Fact, Profile


def known(interactions: int, *, name: str | None = None, facts: int = 0, trust: int = 0) -> Profile:
    told = tuple(Fact(attribute=f"thing {number}", value="v", text="t") for number in range(facts))
    signs = tuple(f"sign {number}" for number in range(trust))
    return Profile(person="ada", name=name, interaction_count=interactions, facts=told, trust_indicators=signs)


def level(profile: Profile) -> str:
    return with_level(profile).relationship_level


def sample(label: str, source: str = "m") -> EmotionSample:
    return EmotionSample(label=label, confidence=1.0, intensity=1.0, source_message_id=source)


def test_two_interactions_leave_a_stranger_and_three_make_an_acquaintance() -> None:
    assert (level(known(2)), level(known(3))) == ("stranger", "acquaintance")


def test_a_friend_needs_ten_interactions_a_name_and_two_facts() -> None:
    assert level(known(10, name="Ada", facts=2)) == "friend"
    assert level(known(9, name="Ada", facts=2)) == "acquaintance"
    assert level(known(10, facts=2)) == "acquaintance"
    assert level(known(10, name="Ada", facts=1)) == "acquaintance"


def test_a_close_friend_needs_twenty_five_and_two_signs_of_trust() -> None:
    assert level(known(25, name="Ada", facts=2, trust=2)) == "close_friend"
    assert level(known(24, name="Ada", facts=2, trust=2)) == "friend"
    assert level(known(25, name="Ada", facts=2, trust=1)) == "friend"


def test_the_name_is_not_one_of_the_two_facts() -> None:
    name = Fact(attribute="name", value="Ada", text="My name is Ada")
    profile = known(10, name="Ada", facts=1)
    assert level(msgspec.structs.replace(profile, facts=(*profile.facts, name))) == "acquaintance"


def test_a_level_once_reached_stays() -> None:
    assert level(msgspec.structs.replace(known(1), relationship_level="friend")) == "friend"


def test_bad_turns_count_up_good_ones_down_and_never_below_zero() -> None:
    counts, profile = [], known(0)
    for label in (
        "happy",
        "frustrated",
        "angry",
        "sad",
        "disappointed",
        "curious",
        "worried",
        "neutral",
        "grateful",
        "excited",
    ):
        profile = with_sample(profile, sample(label))
        counts.append(profile.escalation_count)
    assert counts == [0, 1, 2, 3, 4, 4, 4, 4, 3, 2]


def test_the_last_fifty_estimates_are_kept() -> None:
    profile = known(0)
    for number in range(EMOTION_SAMPLES_KEPT + 10):
        profile = with_sample(profile, sample("sad", str(number)))
    kept = [each.source_message_id for each in profile.emotion_samples]
    assert kept == [str(number) for number in range(10, EMOTION_SAMPLES_KEPT + 10)]


def test_estimates_of_a_history_are_put_in_once() -> None:
    once = with_samples(known(0), [sample("sad", "a"), sample("happy", "b")])
    assert with_samples(once, [sample("sad", "a")]) == once
    assert once.escalation_count == 0


def test_the_same_sign_of_trust_counts_once() -> None:
    assert with_trust(with_trust(known(0), "i trust you"), "i trust you").trust_indicators == ("i trust you",)
