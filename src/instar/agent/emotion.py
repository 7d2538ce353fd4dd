# ruff: noqa: RUF001 - curly apostrophes are what people type
"""An estimate of feeling from the words of one message. An estimate, not a diagnosis.

Words and phrases of the language's table vote for a label; negation turns a vote away, intensifiers
strengthen or weaken it. Irony and anything between the lines are beyond it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from instar.agent.facts import TALK_MAX_CHARS
from instar.agent.languages.english import ENGLISH
from instar.agent.languages.table import Language
from instar.core.records import EmotionLabel, EmotionSample, Message

_NEGATION_REACH_WORDS = 3  # "not at all happy"
_CONTRARY: dict[EmotionLabel, EmotionLabel] = {
    "happy": "sad",
    "excited": "disappointed",
    "grateful": "disappointed",
}


def estimate(message: Message, *, language: Language = ENGLISH) -> EmotionSample:
    """Return the feeling the words of `message` point to; `neutral` when they point to none."""
    strengths: dict[EmotionLabel, float] = {}
    triggers: dict[EmotionLabel, list[str]] = {}
    text = message.text[:TALK_MAX_CHARS].replace("’", "'").casefold()
    for label, phrase, strength in _votes(text, language):
        strengths[label] = strengths.get(label, 0.0) + strength
        triggers.setdefault(label, []).append(phrase)
    if not strengths:
        return _sample(message, "neutral", confidence=0.5, intensity=0.0)
    label = max(strengths, key=lambda each: strengths[each])
    return _sample(
        message,
        label,
        confidence=strengths[label] / sum(strengths.values()),
        intensity=_emphasised(min(strengths[label], 1.0), message.text[:TALK_MAX_CHARS]),
        triggers=tuple(dict.fromkeys(triggers[label])),
    )


def _votes(text: str, language: Language) -> list[tuple[EmotionLabel, str, float]]:
    votes: list[tuple[EmotionLabel, str, float]] = []
    for match in _phrases(language).finditer(text):
        phrase = match.group()
        label, strength = _meaning(language)[phrase]
        before = re.findall(r"[\w']+", text[: match.start()])[-_NEGATION_REACH_WORDS:]
        strength *= _intensity(before, language)
        if not language.negators.intersection(before):
            votes.append((label, phrase, strength))
        elif label in _CONTRARY:
            votes.append((_CONTRARY[label], f"not {phrase}", strength * 0.6))
    return votes


def _intensity(before: list[str], language: Language) -> float:
    pairs = {" ".join(before[-2:]), *before[-1:]}
    found = [factor for phrase, factor in language.intensifiers.items() if phrase in pairs]
    return found[0] if found else 1.0


def _emphasised(intensity: float, text: str) -> float:
    shouted = text.count("!") >= 2 or (len(text) > 8 and text.isupper())
    return round(min(1.0, intensity * (1.3 if shouted else 1.0)), 3)


def _sample(
    message: Message, label: EmotionLabel, *, confidence: float, intensity: float, triggers: tuple[str, ...] = ()
) -> EmotionSample:
    return EmotionSample(
        label=label,
        confidence=round(confidence, 3),
        intensity=intensity,
        triggers=triggers,
        at=message.sent_at,
        source_message_id=message.id,
    )


@lru_cache(maxsize=8)
def _phrases_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile("|".join(_bounded(phrase) for phrase in longest_first))


def _phrases(language: Language) -> re.Pattern[str]:
    return _phrases_of(tuple(_meaning(language)))


def _meaning(language: Language) -> dict[str, tuple[EmotionLabel, float]]:
    return {
        phrase: (label, strength) for label, table in language.feelings.items() for phrase, strength in table.items()
    }


def _bounded(phrase: str) -> str:
    start = r"\b" if phrase[0].isalnum() else ""
    end = r"\b" if phrase[-1].isalnum() else ""
    return start + re.escape(phrase) + end
