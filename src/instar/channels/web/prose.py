"""Message text as HTML: escaped, with line breaks, code and bold; nothing else is interpreted.

A message never contributes a tag, an attribute or a link of its own: every piece of it passes `escape`.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_FENCE = re.compile(r"^```[^\n`]*\n(.*?)(?:^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`|\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*")
_CODE = Markup("<code>{}</code>")
_BOLD = Markup("<strong>{}</strong>")
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def prose(text: str) -> Markup:
    """Return `text` as safe HTML: paragraphs, line breaks, fenced and inline code, bold."""
    parts: list[Markup] = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts.append(_paragraphs(text[end : fence.start()]))
        parts.append(Markup('<pre tabindex="0"><code>{}</code></pre>').format(fence[1].rstrip("\n")))
        end = fence.end()
    parts.append(_paragraphs(text[end:]))
    return Markup("").join(parts)


def _paragraphs(text: str) -> Markup:
    blocks = [block.strip("\n") for block in _BLANK_LINES.split(text) if block.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(_lines(block)) for block in blocks)


def _lines(block: str) -> Markup:
    return Markup("<br>").join(_inline(line) for line in block.split("\n"))


def _inline(line: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for found in _INLINE.finditer(line):
        parts.append(escape(line[end : found.start()]))
        parts.append((_CODE if found[1] else _BOLD).format(found[1] or found[2]))
        end = found.end()
    parts.append(escape(line[end:]))
    return Markup("").join(parts)
