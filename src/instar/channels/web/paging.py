"""Long lists in parts: a page never grows with the home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request

Row = TypeVar("Row")
ROWS = 100
_DIGITS_MAX = 18


@dataclass(frozen=True, kw_only=True)
class Part(Generic[Row]):
    """Some rows of a list, and where the parts before and behind it start."""

    rows: Sequence[Row]
    total: int
    previous: int | None
    following: int | None


def part_of(rows: Sequence[Row], request: Request) -> Part[Row]:
    """Return the part of `rows` that the request's `from` asks for."""
    start = number(request.query_params.get("from"))
    return Part(
        rows=rows[start : start + ROWS],
        total=len(rows),
        previous=max(0, start - ROWS) if start else None,
        following=start + ROWS if start + ROWS < len(rows) else None,
    )


def number(text: str | None) -> int:
    """Read a count or position from a query; 0 when there is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else 0
