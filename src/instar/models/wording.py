"""Words and sentences of a text, as the extractive responder and the agent's rules see them.

English stems; other languages by whole word, Chinese and Japanese by pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_SENTENCE_END = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])|(?<![^\S\n])[^\S\n]*\n\s*"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|prof|sr|jr|no|vs|etc|e\.g|i\.e|a\.m|p\.m|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
    r"|\b[a-z]|\b\d{1,2})\.$",
    re.IGNORECASE,
)


def word_set(text: str) -> frozenset[str]:
    """The words of a table written as one text."""
    return frozenset(text.split())


FUNCTION_WORDS = word_set(
    """a about after again all also am an and any are aren't as at be been before being but by can can't could
    couldn't did didn't do does doesn't doing don't for from had hadn't has hasn't have haven't having he he'd her
    here hers herself him himself his how i i'd i'll i'm i've if in into is isn't it its itself just let me mine
    might more most must my myself no nor not now of off on once only or other our ours out over own please same
    shall she she'd should so some such than that the their theirs them then there these they they're this those
    through to too under until up us very was wasn't we we're were weren't what what's when where which while who
    whom whose why will with won't would wouldn't you you'd you're you've your yours
    ever tell told know say said says mention mentioned remember remind recall talk talked spoke ask asked answer
    hi hello hey thanks thank ok okay yes yeah well actually really still quite already yet"""
)
"""Words that carry no subject of their own."""

_IRREGULAR = {
    word: base
    for base, forms in {
        "buy": "bought", "go": "went gone goes going", "child": "children kid kids", "meet": "met",
        "teach": "taught", "give": "gave given", "leave": "left", "break": "broke broken", "eat": "ate eaten",
        "drive": "drove driven", "fly": "flew flown flies", "write": "wrote written", "sell": "sold",
        "lose": "lost", "get": "got gotten", "make": "made", "sleep": "slept", "keep": "kept",
        "think": "thought", "feel": "felt", "find": "found", "pay": "paid", "begin": "began begun",
        "choose": "chose chosen", "grow": "grew grown", "see": "saw seen", "sing": "sang sung",
        "swim": "swam swum", "take": "took taken", "wear": "wore worn", "win": "won", "run": "ran",
        "come": "came", "sit": "sat", "stand": "stood", "spend": "spent", "send": "sent", "lend": "lent",
        "build": "built", "wife": "wives", "person": "people", "tooth": "teeth", "foot": "feet",
        "mouse": "mice", "forget": "forgot forgotten", "bring": "brought", "catch": "caught",
        "hold": "held", "hear": "heard", "read": "reading", "steal": "stole stolen", "hide": "hid hidden",
        "fall": "fell fallen", "ride": "rode ridden", "throw": "threw thrown", "bake": "baking baked",
    }.items()
    for word in forms.split()
}  # fmt: skip


def folded(text: str) -> str:
    """`text` without case, accents, width variants and curly apostrophes."""
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'").casefold())
    return unicodedata.normalize("NFKC", "".join(c for c in plain if not unicodedata.combining(c)))


def words(text: str) -> list[str]:
    """The words of a text, folded, in order, possessive endings taken off."""
    return [word.removesuffix("'s") for word in _split(folded(text))]


def stems(text: str) -> list[str]:
    """The words that carry meaning, as stems, in order; function words are left out."""
    return [stem(word) for word in words(text) if word not in FUNCTION_WORDS]


def stem(word: str) -> str:
    """A common form for the inflections of one English word; words of other scripts stay as they are."""
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    return _without_e(_without_ending(word))


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, in order; "Dr. Lee" and "on 3. May" stay whole."""
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if "\n" not in end.group() and _ABBREVIATION.search(text[start : end.start()]):
            continue
        found.append(text[start : end.end()].strip())
        start = end.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _split(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match.group()
        if _CJK.fullmatch(word) and len(word) > 1:
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word


def _without_ending(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            return _undoubled(rest)
    return word


def _undoubled(rest: str) -> str:
    return rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest


def _without_e(word: str) -> str:
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
