"""What a language's table holds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from instar.core.records import EmotionLabel


class FactRule(msgspec.Struct, frozen=True, kw_only=True):
    """One way to state a fact about oneself."""

    attribute: str
    """What the fact is about; `{noun}` stands for the pattern's group of that name."""
    pattern: re.Pattern[str]
    """Searched in one clause; the group `value` is the fact's value."""
    text: str
    """The fact in the first person, with `{value}` and `{noun}`: how it is shown and searched."""
    singular: bool = True
    """True when a newer value replaces the older one."""


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """The table of one language. Patterns are applied to one sentence or clause at a time."""

    rules: tuple[FactRule, ...]
    question: re.Pattern[str]
    """A sentence that asks, with or without its question mark."""
    unreal: re.Pattern[str]
    """A sentence that supposes, wishes, or tells what someone said: it states nothing about the author."""
    clause: re.Pattern[str]
    """Where one clause ends and the next begins."""
    value_end: re.Pattern[str]
    """Where a value ends inside its clause."""
    value_refused: re.Pattern[str]
    """Values that say nothing by themselves: "it", "that one", "fine"."""
    note: re.Pattern[str]
    """A request to remember; the group `value` is what."""
    correction: re.Pattern[str]
    """A correction of what was said last; the group `value` is the right value."""
    instead_of: re.Pattern[str]
    """What a statement says does not hold: ", not walnuts"; the group `value` is that."""
    forget: re.Pattern[str]
    """A request to forget; the group `value` is what, empty for what was said last."""
    own: re.Pattern[str]
    """Words that make a question one about the person who asks."""
    speaker: re.Pattern[str]
    """A question about what someone said; the groups `speaker` and `topic`."""
    asked: Mapping[str, re.Pattern[str]]
    """Questions that ask for an attribute without naming it."""
    overview: re.Pattern[str]
    """A question for all that is known of the one who asks."""
    naming: re.Pattern[str]
    """A fact that gives someone's name: only a question for a name asks for it."""
    asks_name: re.Pattern[str]
    """A question for a name."""
    filler: frozenset[str]
    """Words a question may hold besides the attribute it asks for."""
    chatter: re.Pattern[str]
    """Whole messages not worth finding again: greetings, thanks, "ok"."""
    related: tuple[frozenset[str], ...]
    """Groups of words that stand for each other when something is looked for."""
    feelings: Mapping[EmotionLabel, Mapping[str, float]]
    """Words and phrases per feeling, each with its strength, 0 to 1."""
    negators: frozenset[str]
    intensifiers: Mapping[str, float]
    trust: re.Pattern[str]
    """Signs that the person confides in the agent."""
