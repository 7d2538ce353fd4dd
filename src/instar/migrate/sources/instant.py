"""Times as chat programs write them. UTC when the source says a zone, None when it does not: no guess."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = 1_000_000
_MILLISECONDS_FROM = 100_000_000_000
"""As seconds this is the year 5138, as milliseconds 1973: nobody chatted with a program at either."""
_RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|\+00:00)")
_DISCORD_EPOCH_MS = 1_420_070_400_000
"""1 January 2015, https://discord.com/developers/docs/reference#snowflakes."""
_DIGITS_MAX = 20
_ORIGINAL_MAX_CHARS = 200  # the longest date forms seen have under 60


def zoned(written: str | None) -> datetime | None:
    """The instant of an ISO 8601 text that names its zone; None for every other text."""
    parsed = _parsed(written)
    return None if parsed is None or parsed.tzinfo is None else _utc(parsed)


def zoneless_as_utc(written: str | None) -> datetime | None:
    """The instant of an ISO 8601 text from a program that writes UTC without saying so."""
    parsed = _parsed(written)
    if parsed is None:
        return None
    return _utc(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))


def since_epoch(written: str | None) -> datetime | None:
    """Seconds or milliseconds since 1970, told apart by their size: no chat has both readings.

    Seconds are rounded to the microsecond as a binary float times a million: programs that write such numbers
    hold them as floats, whose steps today are a quarter of a microsecond.
    """
    try:
        count = float(written or "")
        microseconds = count * (1_000 if count >= _MILLISECONDS_FROM else _MICROSECONDS)
        return _EPOCH + timedelta(microseconds=round(microseconds))
    except (OverflowError, ValueError):
        return None


def snowflake(identifier: str) -> datetime | None:
    """The millisecond a Discord id was made in; None when it is no such id."""
    if not (identifier.isascii() and identifier.isdigit() and len(identifier) <= _DIGITS_MAX):
        return None
    milliseconds = int(identifier) >> 22
    return _EPOCH + timedelta(milliseconds=milliseconds + _DISCORD_EPOCH_MS) if milliseconds else None


def as_written(written: str | None) -> str | None:
    """What to keep as the source's own text: nothing when it is RFC 3339 UTC already."""
    if not written or _RFC_3339_UTC.fullmatch(written):
        return None
    return written[:_ORIGINAL_MAX_CHARS]


def _parsed(written: str | None) -> datetime | None:
    if not written:
        return None
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None


def _utc(parsed: datetime) -> datetime | None:
    try:
        return parsed.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
