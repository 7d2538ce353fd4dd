"""Bodies of requests: forms from the pages, JSON from scripts."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from instar.core.errors import RecordInvalid

Body = TypeVar("Body", bound=msgspec.Struct)
_FIELDS_MAX = 50


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises `RecordInvalid` when the body is not one."""
    body = await request.body()
    try:
        return dict(
            parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                max_num_fields=_FIELDS_MAX,
                errors="strict",
            )
        )
    except ValueError as error:
        raise RecordInvalid(
            "the form cannot be read", why=str(error), next="reload the page and send the form again"
        ) from error


async def json_of(request: Request, kind: type[Body]) -> Body:
    """Return a JSON body as `kind`. Raises `RecordInvalid` naming the field at fault."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise RecordInvalid(
            "the request body cannot be read", why=str(error), next=f"send one JSON object with the keys {fields}"
        ) from error
