"""Time expressions in a question: "last week", "two days ago", "in May 2024", "on 3 March", "2024-03-03".

`spans` gives the half-open ranges of time that a question names, seen from `now`. English, UTC, weeks from
Monday. A month or a day without a year is the latest one that has begun. It lifts memories and hides none:
a wrong guess costs order, never a memory. It does not know holidays, seasons or other languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import msgspec


class Span(msgspec.Struct, frozen=True):
    """A range of time and the words that named it; `stop` is not part of it."""

    start: datetime
    stop: datetime
    words: str

    def holds(self, at: datetime) -> bool:
        """True when `at` lies inside."""
        return self.start <= at < self.stop


_MONTHS = "january february march april may june july august september october november december".split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_NUMBERS = {
    word: number
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"a": 1, "an": 1, "couple": 2, "few": 3}

_MONTH = "(?P<month>" + "|".join([*_MONTHS, "sept", *(name[:3] for name in _MONTHS)]) + r")\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_NUMBER = r"(?P<number>\d{1,4}|" + "|".join(_NUMBERS) + ")(?: of)?"
_UNIT = "(?P<unit>day|week|month|year)s?"

Reader = Callable[[re.Match[str], date], tuple[date, date] | None]


def spans(query: str, now: datetime) -> list[Span]:
    """Every range the query names, in the order of the patterns; words once read are not read again."""
    left = " ".join(query.casefold().split())
    found = []
    for pattern, reader in _PATTERNS:
        for match in pattern.finditer(left):
            days = reader(match, now.date())
            if days is not None:
                found.append(Span(_midnight(days[0]), _midnight(days[1]), match.group()))
        left = pattern.sub(" | ", left)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _next_day(day: date) -> date:
    return day + timedelta(days=1)


def _iso_day(match: re.Match[str], _today: date) -> tuple[date, date] | None:
    return _one_day(int(match["year"]), int(match["number"]), int(match["day"]))


def _one_day(year: int, month: int, day: int) -> tuple[date, date] | None:
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found, _next_day(found)


def _month_number(match: re.Match[str]) -> int:
    return next(number for number, name in enumerate(_MONTHS, 1) if name.startswith(match["month"][:3]))


def _day_of_month(match: re.Match[str], today: date) -> tuple[date, date] | None:
    month, day = _month_number(match), int(match["day"])
    if match["year"]:
        return _one_day(int(match["year"]), month, day)
    candidates = [_one_day(year, month, day) for year in range(today.year, today.year - 5, -1)]  # 29 February
    return next((days for days in candidates if days is not None and days[0] <= today), None)


def _month_span(match: re.Match[str], today: date) -> tuple[date, date] | None:
    month = _month_number(match)
    named = match.groupdict().get("year")
    year = int(named) if named else today.year - (month > today.month)
    return _from_month(year, month)


def _from_month(year: int, month: int) -> tuple[date, date]:
    return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)


def _named_year(match: re.Match[str], _today: date) -> tuple[date, date] | None:
    year = int(match["year"])
    return date(year, 1, 1), date(year + 1, 1, 1)


def _near_day(match: re.Match[str], today: date) -> tuple[date, date] | None:
    back = {"today": 0, "tonight": 0, "yesterday": 1, "last night": 1, "day before yesterday": 2}
    text = match.group()
    days = next(back[name] for name in sorted(back, key=len, reverse=True) if name in text)
    return today - timedelta(days=days), today - timedelta(days=days - 1)


def _this_day(_match: re.Match[str], today: date) -> tuple[date, date] | None:
    return today, _next_day(today)


def _last_weekday(match: re.Match[str], today: date) -> tuple[date, date] | None:
    back = (today.weekday() - _DAYS.index(match["weekday"])) % 7 or 7
    day = today - timedelta(days=back)
    return day, _next_day(day)


def _weekend(match: re.Match[str], today: date) -> tuple[date, date] | None:
    saturday = today - timedelta(days=(today.weekday() - 5) % 7)
    if match["which"] != "this" and saturday >= today - timedelta(days=1):
        saturday -= timedelta(days=7)
    return saturday, saturday + timedelta(days=2)


def _whole_unit(match: re.Match[str], today: date) -> tuple[date, date] | None:
    back = 0 if match["which"] in ("this", "earlier this") else 1
    return _unit_span(match["unit"], today, back)


def _unit_span(unit: str, today: date, back: int) -> tuple[date, date] | None:
    """The calendar day, week, month or year that lies `back` of them in the past; None before year 1."""
    if unit == "day":
        return _clipped(today.toordinal() - back, 1)
    if unit == "week":
        return _clipped(today.toordinal() - today.weekday() - 7 * back, 7)
    if unit == "month":
        index = today.year * 12 + today.month - 1 - back
        return _from_month(index // 12, index % 12 + 1) if index >= 12 else None
    year = today.year - back
    return (date(year, 1, 1), date(year + 1, 1, 1)) if year >= 1 else None


def _clipped(first_ordinal: int, days: int) -> tuple[date, date] | None:
    if first_ordinal < 1:
        return None
    first = date.fromordinal(first_ordinal)
    return first, first + timedelta(days=days)


def _count(match: re.Match[str]) -> int:
    number = match["number"]
    return _NUMBERS[number] if number in _NUMBERS else int(number)


def _ago(match: re.Match[str], today: date) -> tuple[date, date] | None:
    return _unit_span(match["unit"], today, _count(match))


def _in_the_last(match: re.Match[str], today: date) -> tuple[date, date] | None:
    first = _unit_span(match["unit"], today, _count(match))
    if first is None:
        return None
    # "the last two weeks" begin on this weekday two weeks ago, "the last two months" on the first of that month.
    start = today - timedelta(days=7 * _count(match)) if match["unit"] == "week" else first[0]
    return start, _next_day(today)


_PATTERNS: list[tuple[re.Pattern[str], Reader]] = [
    (re.compile(pattern), reader)
    for pattern, reader in (
        (rf"\b{_YEAR}-(?P<number>[01]\d)-(?P<day>[0-3]\d)\b", _iso_day),
        (rf"\b{_DAY} (?:of )?{_MONTH}(?:,? {_YEAR})?\b", _day_of_month),
        (rf"\b{_MONTH} {_DAY}(?:,? {_YEAR})?\b", _day_of_month),
        (rf"\b{_MONTH},? (?:of )?{_YEAR}\b", _month_span),
        (rf"\b(?:in|during|last|this) {_MONTH}(?! \d)\b", _month_span),
        (rf"\b(?:in|during|of) {_YEAR}\b", _named_year),
        (r"\b(?:the )?day before yesterday\b|\byesterday\b|\blast night\b|\btoday\b|\btonight\b", _near_day),
        (r"\bthis (?:morning|afternoon|evening)\b|\bearlier today\b", _this_day),
        (rf"\b(?:in |over |during |within )?the (?:last|past|previous) {_NUMBER} {_UNIT}\b", _in_the_last),
        (rf"\b(?:last|past) {_NUMBER} {_UNIT}\b", _in_the_last),
        (rf"\b{_NUMBER} {_UNIT} (?:ago|back)\b", _ago),
        (r"\b(?P<which>last|past|this|on the|over the)? ?weekend\b", _weekend),
        (r"\b(?P<which>last|past|previous|this|earlier this) (?P<unit>week|month|year)\b", _whole_unit),
        (rf"\b(?:last|on|this past) (?P<weekday>{'|'.join(_DAYS)})\b", _last_weekday),
    )
]
