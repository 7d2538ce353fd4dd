# ruff: noqa: RUF001 - curly quotes are what people type
"""Facts a person states about themselves, found by rules; every fact names the message it comes from.

Promises little and keeps it: a sentence that asks, supposes, denies, quotes or reports states no fact.
It does not understand; what the tables of `languages/` do not describe stays an episode that search finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from instar.agent.languages.english import ENGLISH
from instar.agent.languages.table import FactRule, Language
from instar.core.records import Fact, Message
from instar.models.wording import sentences, stem, stems

TALK_MAX_CHARS = 8_000  # what one says of oneself stands in talk; a longer text is a document
CHATTER_MAX_CHARS = 200
VALUE_MAX_CHARS = 120  # a longer value is a story, and the story is kept as an episode

_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|^\s*>.*$|```.*?```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_NEGATED = re.compile(r"\b(?:not|never|no longer|n't|isn't|aren't|wasn't|don't|didn't|hardly|nor)\b", re.IGNORECASE)


class Told(msgspec.Struct, frozen=True):
    """What one message tells: facts about its author, and notes they asked to be kept."""

    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    denied: tuple[Fact, ...] = ()
    """What does not hold, or no longer: "hazelnuts, not walnuts", "I am not allergic to nuts"."""


class ForgetRequest(msgspec.Struct, frozen=True):
    """A request to forget: `about` names what; empty means what was said last."""

    about: str


def told_in(message: Message, *, topic: str | None = None, language: Language = ENGLISH) -> Told:
    """Return what `message` tells. `topic` is the attribute talked about last, which a correction may mean."""
    if message.role != "person" or message.hidden or not message.selected or asks_to_forget(message.text):
        return Told()
    facts: dict[tuple[str, str], Fact] = {}
    denied: list[Fact] = []
    notes: list[str] = []
    for part in sentences(_QUOTED.sub(" ", message.text[:TALK_MAX_CHARS])):
        sentence = " ".join(part.split())
        note = language.note.search(sentence)
        if note and not sentence.rstrip().endswith(("?", "？")):
            notes.append(note["value"].strip().rstrip(".! "))
            sentence = note["value"].strip()
        for fact, holds in _stated(sentence, message, topic, language):
            if holds:
                facts.setdefault((fact.attribute, _same(fact.value)), fact)
            else:
                denied.append(fact)
    return Told(facts=tuple(facts.values()), notes=tuple(notes), denied=tuple(denied))


def is_question(text: str, *, language: Language = ENGLISH) -> bool:
    """True when every sentence of `text` asks: such a message tells nothing that could be found again."""
    parts = [" ".join(part.split()) for part in sentences(text[:TALK_MAX_CHARS])]
    return (
        bool(parts)
        and len(text) <= TALK_MAX_CHARS
        and all(language.question.search(part) or language.chatter.match(part) for part in parts)
    )


def is_chatter(text: str, *, language: Language = ENGLISH) -> bool:
    """True for a greeting, thanks or assent and nothing besides."""
    return len(text) <= CHATTER_MAX_CHARS and language.chatter.match(text) is not None


def asks_to_forget(text: str, *, language: Language = ENGLISH) -> ForgetRequest | None:
    """Return the request to forget that `text` is, or None."""
    match = language.forget.search(text.strip()) if len(text) <= TALK_MAX_CHARS else None
    return None if match is None else ForgetRequest(match["value"] or "")


def asked_facts(question: str, facts: Sequence[Fact], *, language: Language = ENGLISH) -> list[Fact]:
    """Of `facts` about the person who asks, those that `question` asks for and nothing besides."""
    if language.overview.search(question):
        return list(facts)
    if not language.own.search(question):
        return []
    asked = set(stems(_british(question)))
    return [fact for fact in facts if _asks_for(fact, question, asked, language)]


def is_singular(attribute: str, *, language: Language = ENGLISH) -> bool:
    """True when a person has one current value of `attribute`."""
    return any(rule.singular for rule in language.rules if _covers(rule.attribute, attribute, rule))


def _asks_for(fact: Fact, question: str, asked: set[str], language: Language) -> bool:
    phrased = language.asked.get(fact.attribute)
    if phrased is not None:
        return phrased.search(question) is not None
    if language.naming.search(fact.text) and not language.asks_name.search(question):
        return False
    named = set(stems(fact.attribute))
    return bool(named) and named <= asked and (asked - named) <= {stem(word) for word in language.filler}


def _british(text: str) -> str:
    return text.replace("favorite", "favourite").replace("color", "colour")


def _covers(pattern: str, attribute: str, rule: FactRule) -> bool:
    if "{noun}" not in pattern:
        return pattern == attribute
    before, _, after = pattern.partition("{noun}")
    if not (attribute.startswith(before) and attribute.endswith(after)):
        return False
    noun = attribute[len(before) : len(attribute) - len(after) or None]
    return re.search(rf"\b{re.escape(noun)}\b", rule.pattern.pattern) is not None or before != ""


def _stated(sentence: str, message: Message, topic: str | None, language: Language) -> Iterator[tuple[Fact, bool]]:
    """Each fact the sentence speaks of, and whether it holds."""
    if language.question.search(sentence) or language.unreal.search(sentence):
        return
    found = False
    for clause in language.clause.split(sentence.replace("’", "'")):
        for stated in _in_clause(clause, message, language):
            found = True
            yield stated
    if not found and topic is not None:
        yield from ((fact, True) for fact in _corrected(sentence, message, topic, language))


def _in_clause(clause: str, message: Message, language: Language) -> Iterator[tuple[Fact, bool]]:
    for rule in language.rules:
        match = rule.pattern.search(clause)
        if match is None or not (value := _value(match, language)):
            continue
        noun = (match.groupdict().get("noun") or "").lower()
        holds = rule.attribute == "dislikes" or not _NEGATED.search(clause[: _value_start(match)])
        yield _fact(rule.attribute, rule.text, value, noun, message), holds
        instead = language.instead_of.search(clause, _value_start(match))
        if instead and (other := _cleaned(instead["value"], language)):
            yield _fact(rule.attribute, rule.text, other, noun, message), False
        return


def _corrected(sentence: str, message: Message, topic: str, language: Language) -> Iterator[Fact]:
    match = language.correction.search(sentence)
    if match is None:
        return
    value = _cleaned(match["value"], language)
    if not value or len(value.split()) > 6:
        return
    for rule in language.rules:
        if rule.singular and _covers(rule.attribute, topic, rule):
            noun = topic.removeprefix("favourite ").removesuffix("'s birthday")
            yield _fact(topic, rule.text, value, noun, message)
            return


def _fact(attribute: str, text: str, value: str, noun: str, message: Message) -> Fact:
    return Fact(
        attribute=_british(attribute.format(noun=noun)),
        value=value,
        text=text.format(value=value, noun=noun),
        source_message_id=message.id,
        source_channel=message.channel,
        learned_at=message.sent_at,
    )


def _value(match: re.Match[str], language: Language) -> str:
    groups = match.groupdict()
    return _cleaned(groups.get("value") or groups.get("value_2") or "", language)


def _value_start(match: re.Match[str]) -> int:
    return max(match.start(name) for name in ("value", "value_2") if name in match.re.groupindex)


def _cleaned(value: str, language: Language) -> str:
    end = language.value_end.search(value)
    cut = value[: end.start()] if end else value
    cut = cut.strip().strip("\"'“”.,;:!").strip()
    if not cut or len(cut) > VALUE_MAX_CHARS or language.value_refused.search(cut):
        return ""
    return cut


def _same(value: str) -> str:
    return value.casefold().strip()
