"""The one analysis contract: how text becomes the terms that every words index stores and looks up.

Backends do not analyse; they get these terms ready made, so all of them rank alike. The steps: NFKC and
case folding; words are runs of letters, digits and combining marks; accents of Latin, Greek and Cyrillic
letters are dropped; possessive 's goes; English words of four letters and more lose regular endings;
runs of Chinese, Japanese and Korean letters become overlapping pairs of characters.

It does not correct spelling and knows no dictionary: "ran" stays apart from "run", and Thai, which is
written without spaces, is found by whole phrases only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

ANALYSIS_VERSION = 1
"""Goes up whenever the same text gives other terms; derived indexes are then built anew."""

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be been before being both but by can could did do does
    doing done for from had has have having he her here hers him his how i if in into is it its just let
    may me might mine more most must my no nor not of off on once only or other our ours out over own
    shall she should so some such than that the their theirs them then there these they this those
    through to too under until up us very was we were what when where which while who whom whose why will with
    would you your yours ever really tell know please""".split()
)
"""English function words. They are left out of a query when other words remain, never out of an index."""

_CJK = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003fffd"
)
_APOSTROPHES = str.maketrans("", "", "'\u2019\u02bc")
_WORD = re.compile(r"\w+(?:['\u2019\u02bc]\w+)*")
_MARKED_WORD = re.compile(r"\w[\w\uffff]*(?:['\u2019\u02bc]\w[\w\uffff]*)*")
_CJK_RUN = re.compile(f"[{_CJK}]+")
_FOLDED_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")
_VOWEL = re.compile("[aeiouy]")


def terms(text: str) -> list[str]:
    """The terms of a text, in order, repeated ones included."""
    return [term for word in _words(text) for term in _terms_of_word(word)]


def query_terms(query: str) -> list[str]:
    """The terms to look up: each once, in order, function words only when there is nothing else."""
    words = list(_words(query))
    telling = [word for word in words if word not in STOP_WORDS]
    return list(dict.fromkeys(term for word in telling or words for term in _terms_of_word(word)))


def words(text: str) -> list[str]:
    """The folded words of a text before stemming, for what counts letters instead of looking terms up."""
    return list(_words(text))


def _words(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    matches = _WORD.finditer(folded) if folded.isascii() else _MARKED_WORD.finditer(_marks_replaced(folded))
    for match in matches:
        word = folded[match.start() : match.end()].strip("_")
        if word:
            yield word


def _marks_replaced(text: str) -> str:
    """The text with every combining mark as U+FFFF: `re` takes vowel signs of Indic and Thai for word ends."""
    return "".join("\uffff" if unicodedata.category(character)[0] == "M" else character for character in text)


@lru_cache(maxsize=65_536)
def _terms_of_word(word: str) -> tuple[str, ...]:
    if word.isascii():
        return (stem(_without_apostrophe(word)),)
    found: list[str] = []
    start = 0
    for run in _CJK_RUN.finditer(word):
        found += _plain_part(word[start : run.start()])
        found += _pairs(run.group())
        start = run.end()
    found += _plain_part(word[start:])
    return tuple(found)


def _plain_part(part: str) -> list[str]:
    plain = _without_apostrophe(_without_accents(part))
    return [stem(plain)] if plain else []


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [run[index : index + 2] for index in range(len(run) - 1)]


def _without_apostrophe(word: str) -> str:
    for ending in ("'s", "\u2019s", "\u02bcs"):
        word = word.removesuffix(ending)
    return word.translate(_APOSTROPHES)


def _without_accents(word: str) -> str:
    folded: list[str] = []
    for character in unicodedata.normalize("NFD", word):
        if unicodedata.combining(character) and folded and _is_folded(folded[-1]):
            continue
        folded.append(character)
    return unicodedata.normalize("NFC", "".join(folded))


def _is_folded(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_FOLDED_SCRIPTS)


def stem(word: str) -> str:
    """Take regular English endings off: plural, -ed, -ing, -ly. Words with digits or other letters stay.

    Rules after Harman's S-stemmer (1991) and step 1 of Porter (1980), without their later steps: those join
    words that people hold apart (university and universe).
    """
    if len(word) < 4 or not (word.isascii() and word.isalpha()):
        return word
    return _without_final_e(_without_verb_ending(_without_plural(word)))


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_verb_ending(word: str) -> str:
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("edly", "ingly", "ed", "ing", "ly"):
        root = word.removesuffix(ending)
        if root != word:
            return _undoubled(root) if len(root) > 2 and _VOWEL.search(root) else word
    return word


def _undoubled(root: str) -> str:
    if root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    return root


def _without_final_e(word: str) -> str:
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
