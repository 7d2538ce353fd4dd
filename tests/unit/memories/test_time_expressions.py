"""What a question says about time, as ranges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.stores.memories.when import spans

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("query", "start", "stop"),
    [
        ("what did I do today", "2026-11-20", "2026-11-21"),
        ("what happened this morning?", "2026-11-20", "2026-11-21"),
        ("Yesterday?", "2026-11-19", "2026-11-20"),
        ("the day before yesterday", "2026-11-18", "2026-11-19"),
        ("last night", "2026-11-19", "2026-11-20"),
        ("What did we say last week?", "2026-11-09", "2026-11-16"),
        ("this week", "2026-11-16", "2026-11-23"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("this year", "2026-01-01", "2027-01-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("three days ago", "2026-11-17", "2026-11-18"),
        ("two weeks ago", "2026-11-02", "2026-11-09"),
        ("a month ago", "2026-10-01", "2026-11-01"),
        ("a couple of months ago", "2026-09-01", "2026-10-01"),
        ("12 months ago", "2025-11-01", "2025-12-01"),
        ("in the last 10 days", "2026-11-10", "2026-11-21"),
        ("over the past two weeks", "2026-11-06", "2026-11-21"),
        ("last Monday", "2026-11-16", "2026-11-17"),
        ("on Friday", "2026-11-13", "2026-11-14"),
        ("last weekend", "2026-11-14", "2026-11-16"),
        ("in May 2024", "2024-05-01", "2024-06-01"),
        ("in May", "2026-05-01", "2026-06-01"),
        ("in december", "2025-12-01", "2026-01-01"),
        ("during Sept. 2022", "2022-09-01", "2022-10-01"),
        ("on 3 March", "2026-03-03", "2026-03-04"),
        ("on the 3rd of March 2023", "2023-03-03", "2023-03-04"),
        ("March 3, 2024", "2024-03-03", "2024-03-04"),
        ("on 24 December", "2025-12-24", "2025-12-25"),
        ("on 29 February", "2024-02-29", "2024-03-01"),
        ("2024-03-03", "2024-03-03", "2024-03-04"),
        ("in 2023", "2023-01-01", "2024-01-01"),
        ("in December 2024", "2024-12-01", "2025-01-01"),
    ],
)
def test_an_expression_names_one_range(query: str, start: str, stop: str) -> None:
    assert [(f"{span.start:%Y-%m-%d}", f"{span.stop:%Y-%m-%d}") for span in spans(query, NOW)] == [(start, stop)]


@pytest.mark.parametrize(
    "query",
    [
        "May I ask you something?",
        "when is my birthday",
        "31 April",
        "2024-13-01",
        "I march on",
        "the last kettle",
        "room 2023",
        "second to last",
        "9999 years ago",
        "",
    ],
)
def test_what_names_no_time_names_none(query: str) -> None:
    assert spans(query, NOW) == []


def test_two_expressions_name_two_ranges() -> None:
    found = spans("was it last week or on 3 March?", NOW)
    assert sorted(f"{span.start:%Y-%m-%d}" for span in found) == ["2026-03-03", "2026-11-09"]


def test_a_range_holds_its_start_and_not_its_end() -> None:
    (span,) = spans("yesterday", NOW)
    assert span.holds(datetime(2026, 11, 19, tzinfo=UTC))
    assert span.holds(datetime(2026, 11, 19, 23, 59, 59, 999999, tzinfo=UTC))
    assert not span.holds(datetime(2026, 11, 20, tzinfo=UTC))


WORDS = st.sampled_from(
    "last week month year ago two 3 99 9999 in on the may march 31 30 february 2024 2024-02-30 day s days past friday this".split()
)


@given(
    st.lists(WORDS, max_size=8),
    st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - made UTC below
)
def test_any_words_at_any_time_give_ranges_that_begin_before_they_end(words: list[str], at: datetime) -> None:
    for span in spans(" ".join(words), at.replace(tzinfo=UTC)):
        assert span.start < span.stop
