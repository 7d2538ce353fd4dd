from __future__ import annotations

from typing import get_args

import pytest

from instar.agent.emotion import estimate
from instar.core.records import EmotionLabel, EmotionSample, Message


def felt(text: str) -> EmotionSample:
    return estimate(Message(id="m1", channel="cli", author="ada", text=text))


CASES = {
    "neutral": "The table is made of oak.",
    "happy": "I am so happy with the garden.",
    "excited": "I can't wait, this is thrilling, I'm thrilled!",
    "frustrated": "Ugh, I am fed up, the printer keeps failing.",
    "angry": "I am furious about the bill.",
    "sad": "I cried all night, I feel lonely.",
    "disappointed": "I'm disappointed, I expected more.",
    "curious": "I wonder how owls sleep, fascinating.",
    "worried": "I'm worried and anxious about Monday.",
    "grateful": "Thank you, I really appreciate it.",
}


@pytest.mark.parametrize(("label", "text"), CASES.items())
def test_each_label_is_reached(label: str, text: str) -> None:
    assert felt(text).label == label


def test_the_cases_above_cover_every_label() -> None:
    assert set(CASES) == set(get_args(EmotionLabel))


def test_negation_turns_a_feeling_away() -> None:
    assert felt("I am not angry.").label == "neutral"
    assert felt("I'm not happy.").label == "sad"


def test_intensifiers_weigh_and_the_words_are_named() -> None:
    weak, strong = felt("I am a bit sad."), felt("I am extremely sad.")
    assert weak.intensity < strong.intensity <= 1.0
    assert strong.triggers == ("sad",)


def test_confidence_is_the_share_of_the_evidence() -> None:
    mixed = felt("I am angry and sad.")
    assert 0.5 <= mixed.confidence < 1.0
    assert felt("I am angry.").confidence == 1.0


def test_words_inside_words_do_not_count() -> None:
    assert felt("The sadhu drove a nomad.").label == "neutral"
