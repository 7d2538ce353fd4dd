"""Logs to stderr, and the one place that knows what a secret looks like.

Every line passes `redact` after it is formatted, tracebacks and other libraries' lines included.
`find_secrets` tells where secrets stand, for those who must not store them either.
Patterns are bounded, so that a text of megabytes costs time in proportion to its length.
A secret that looks like an ordinary word and stands in an ordinary sentence is not found.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TextIO

import msgspec

KNOWN_SECRET_MIN_CHARS = 4  # a shorter key would blank out ordinary letters and protects nothing

_KEY_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?key)?|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|(?:access|auth|refresh|bot|session|id)?[_-]?token|client[_-]?secret|credential)"
)

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private key",
        re.compile(
            r"(?P<secret>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
            r"(?:[^-]|-(?!----)){0,16384}+(?:-----END [A-Z0-9 ]{0,40}-----)?)"
        ),
    ),
    (
        "API key",
        re.compile(
            r"(?<![A-Za-z0-9])(?P<secret>"
            r"sk-[A-Za-z0-9_-]{12,512}|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{12,256}|gsk_[A-Za-z0-9]{16,256}"
            r"|xai-[A-Za-z0-9]{20,256}|hf_[A-Za-z0-9]{16,256}|gh[pousr]_[A-Za-z0-9]{20,256}"
            r"|github_pat_[A-Za-z0-9_]{20,256}|glpat-[A-Za-z0-9_-]{16,256}|xox[abprs]-[A-Za-z0-9-]{10,256}"
            r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,64}|pypi-[A-Za-z0-9_-]{16,512}"
            r")"
        ),
    ),
    ("web token", re.compile(r"(?<![\w-])(?P<secret>eyJ[\w-]{8,4096}\.[\w-]{4,8192}\.[\w-]{0,1024})")),
    (
        "authorization",
        re.compile(
            r"(?i)\b(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
            r"(?P<secret>(?:[a-z]{1,20} )?(?!\[)[^\s\"',;]{1,4096})"
        ),
    ),
    ("bearer token", re.compile(r"(?i)\bbearer\s{1,4}(?P<secret>(?=[^\s]{0,64}[\d._~+/=-])[\w.~+/=-]{8,4096})")),
    (
        "cookie",
        re.compile(r"(?i)\b(?:set-)?cookie[\"']?\s{0,4}:\s{0,4}[\"']?(?P<secret>[\w.-]{1,64}=[^\r\n\"']{1,4096})"),
    ),
    (
        "password",
        re.compile(r"://[^\s:/@\[]{0,256}:(?!\d{1,5}(?:[/?#\s]|$))(?P<secret>[^\s\"'<>]{1,512})@(?=[\w.\[-])"),
    ),
    (
        "secret",
        re.compile(rf"(?i)(?<![A-Za-z0-9]){_KEY_NAMES}[\"']?\s{{0,4}}[:=]\s{{0,4}}\"(?P<secret>[^\"\r\n]{{1,4096}})\""),
    ),
    (
        "secret",
        re.compile(rf"(?i)(?<![A-Za-z0-9]){_KEY_NAMES}[\"']?\s{{0,4}}[:=]\s{{0,4}}'(?P<secret>[^'\r\n]{{1,4096}})'"),
    ),
    (
        "secret",
        re.compile(
            rf"(?i)(?<![A-Za-z0-9]){_KEY_NAMES}(?:=|:(?=\S))(?!none\b|null\b|true\b|false\b)(?P<secret>[^\s\"'&,;()\[\]]{{1,4096}})"
        ),
    ),
    (
        "secret",  # after "name: " a plain word counts only where nothing follows it, so that sentences stay whole
        re.compile(
            rf"(?im)(?<![A-Za-z0-9]){_KEY_NAMES}(?:[ \t]{{0,4}}[:=][ \t]{{1,4}}|[ \t]{{1,4}}is:?[ \t]{{1,4}})"
            r"(?!none\b|null\b|true\b|false\b)"
            r"(?P<secret>(?=[^\s]{0,64}[\d!@#$%^&*+/=_~])[^\s\"'&,;()\[\]]{4,4096}|(?<!is )[^\s\"'&,;()\[\]]{4,4096}(?=[ \t]{0,4}$))"
        ),
    ),
)


class Secret(msgspec.Struct, frozen=True, order=True):
    """Where a secret stands in a text: characters `start` to `end`, without its context."""

    start: int
    end: int
    kind: str


def find_secrets(text: str) -> list[Secret]:
    """Return every secret found in `text`, in order, none overlapping another."""
    found = sorted(_matches(text), key=lambda secret: (secret.start, -secret.end))
    kept: list[Secret] = []
    for secret in found:
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
        elif secret.end > kept[-1].end:
            kept[-1] = msgspec.structs.replace(kept[-1], end=secret.end)
    return kept


def redact(text: str, *, known: Iterable[str] = ()) -> str:
    """Return `text` with every secret replaced by its kind in brackets.

    `known` are secrets the caller holds; they are hidden wherever they stand, whatever they look like.
    """
    for secret in known:
        if len(secret) >= KNOWN_SECRET_MIN_CHARS:
            text = text.replace(secret, "[secret hidden]")
    pieces, end = [], 0
    for found in find_secrets(text):
        pieces += [text[end : found.start], f"[{found.kind} hidden]"]
        end = found.end
    return "".join(pieces) + text[end:]


def configure(level: str = "warning", *, json: bool = False, stream: TextIO | None = None) -> None:
    """Send every logger's lines of `level` and above to stderr, as text or as JSON Lines.

    Calling it again replaces what it set up before and leaves other handlers alone.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if json else _Lines())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _matches(text: str) -> Iterator[Secret]:
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            yield Secret(match.start("secret"), match.end("secret"), kind)


class _Handler(logging.StreamHandler[TextIO]):
    """Marks the handler that `configure` may replace."""


class _Lines(logging.Formatter):
    """One line: time, level, logger, message; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{_time(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        return redact("\n".join([head, *_traceback(self, record)]))


class _JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, and traceback when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if lines := _traceback(self, record):
            fields["traceback"] = redact("\n".join(lines))
        return msgspec.json.encode(fields).decode()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
