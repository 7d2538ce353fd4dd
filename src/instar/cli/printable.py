"""Texts of others on a terminal: shown, never obeyed."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"


def printable(text: str) -> str:
    """`text` with each control character but newline and tab as U+FFFD: an imported message moves no cursor."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(each) == "Cc" and each not in _KEPT else each for each in text)
