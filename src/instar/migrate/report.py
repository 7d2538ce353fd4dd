"""What a transfer reports: how much was read, what was written, and every thing left out with its reason."""

from __future__ import annotations

from typing import Literal

import msgspec

from instar.migrate.sources.item import NotCarried, Skipped


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is."""

    phase: Literal["reading", "writing"]
    """`reading` goes through the whole file before anything is written."""
    done: int
    total: int | None
    """None while reading: the file has not been seen to its end yet."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the source that has no place here, counted over the whole file."""

    what: str
    count: int
    where: str
    """The first place it was met."""


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of everything in an imported file: `read` = `written` + `already_there` + `skipped_total`.

    On a dry run nothing is written, `would_write` says how much would be, and stands in for `written`.
    """

    kind: str
    read: int
    written: int
    already_there: int
    skipped: tuple[Skipped, ...]
    """At most `SKIPPED_LISTED_MAX`, in the order of the source."""
    skipped_total: int
    memories: int = 0
    """How many of `read` were memories; the rest were messages."""
    not_carried: tuple[Left, ...] = ()
    """Parts of messages that were left behind while the message itself came over."""
    dry_run: bool = False
    would_write: int = 0


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds."""

    records: dict[str, int]
    digest: str
    """Over the exported records; two homes with equal records have equal digests."""


__all__ = ["ExportReport", "ImportReport", "Left", "NotCarried", "Progress", "Skipped"]
