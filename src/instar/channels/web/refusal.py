"""Errors as the browser sees them: a page, or JSON under `/api/`, always with what, why and next."""

from __future__ import annotations

from instar.core.errors import (
    HomeError,
    InstarError,
    ModelError,
    NotFound,
    RecordError,
    RecordTooLarge,
    SettingInvalid,
    VersionConflict,
)

_STATUS: tuple[tuple[type[InstarError], int], ...] = (
    (NotFound, 404),
    (VersionConflict, 409),
    (RecordTooLarge, 413),
    (RecordError, 400),
    (SettingInvalid, 400),
    (ModelError, 502),
    (HomeError, 503),
)


def status_of(error: InstarError) -> int:
    """Return the HTTP status that fits an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_json(error: InstarError) -> dict[str, dict[str, str]]:
    """Return the one JSON form of an error."""
    return {"error": {"code": error.code, "what": error.what, "why": error.why, "next": error.next}}
