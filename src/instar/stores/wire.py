"""How a call of a store port crosses the owner's socket.

The ports themselves are the protocol: each public async method of a port's Protocol becomes a request, its
parameters and result are encoded by their own type hints. A new port method needs no line here. Frames are
a 4-byte big-endian length and JSON; times, bytes and 128-bit numbers keep their exact value in it.
"""

from __future__ import annotations

import inspect
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from instar.core.errors import InstarError, RecordTooLarge, error_by_code
from instar.core.limits import SOCKET_FRAME_MAX_BYTES

_HEADER = struct.Struct(">I")
_encoder = msgspec.json.Encoder()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call on its way to the owner."""

    id: int
    port: str
    method: str
    arguments: msgspec.Raw


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An `InstarError` on its way back."""

    code: str
    what: str
    why: str
    next: str


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the request with this id: a value or a failure."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


class MethodSpec:
    """One method of a port: how its arguments and its result are encoded."""

    def __init__(self, function: Any, bindings: Mapping[Any, Any]) -> None:
        hints = get_type_hints(function)
        self.name: str = function.__name__
        self.signature = inspect.signature(function)
        result = _bound(hints.pop("return"), bindings)
        self._result = msgspec.json.Decoder(result) if result is not type(None) else None
        fields = [(name, _bound(hint, bindings)) for name, hint in hints.items()]
        self._arguments = msgspec.json.Decoder(msgspec.defstruct(f"{self.name}_arguments", fields, kw_only=True))

    def encode_arguments(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> msgspec.Raw:
        """Bind a call to the method's parameters, defaults filled in, and encode it."""
        bound = self.signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        arguments.pop("self")
        return msgspec.Raw(_encoder.encode(arguments))

    def decode_arguments(self, raw: msgspec.Raw) -> dict[str, object]:
        """The keyword arguments of a request, checked against the port's type hints."""
        decoded = self._arguments.decode(raw)
        return {field: getattr(decoded, field) for field in decoded.__struct_fields__}

    def call_arguments(self, decoded: Mapping[str, object]) -> tuple[list[object], dict[str, object]]:
        """The same arguments, placed as the signature wants them."""
        positional, keyword = [], {}
        for name, parameter in self.signature.parameters.items():
            if name == "self":
                continue
            if parameter.kind is parameter.KEYWORD_ONLY:
                keyword[name] = decoded[name]
            else:
                positional.append(decoded[name])
        return positional, keyword

    def encode_result(self, value: object) -> msgspec.Raw:
        """Encode what the method returned."""
        return msgspec.Raw(_encoder.encode(value))

    def decode_result(self, raw: msgspec.Raw) -> object:
        """What the method returned, as its type hint says."""
        return None if self._result is None else self._result.decode(raw)


def methods_of(port: type, bindings: Mapping[Any, Any]) -> dict[str, MethodSpec]:
    """Every public async method of a port. `bindings` gives the value type its records carry."""
    return {
        name: MethodSpec(function, bindings)
        for name, function in inspect.getmembers(port, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }


def _bound(hint: Any, bindings: Mapping[Any, Any]) -> Any:
    """`hint` with its type variables replaced: Sequence[Record[Value]] becomes Sequence[Record[Message]]."""
    if isinstance(hint, TypeVar):
        return bindings[hint]
    arguments = get_args(hint)
    if not arguments or get_origin(hint) is None or not _open(hint):
        return hint
    return hint.__origin__[tuple(_bound(argument, bindings) for argument in arguments)]


def _open(hint: Any) -> bool:
    return isinstance(hint, TypeVar) or any(_open(argument) for argument in get_args(hint))


async def read_frame(reader: StreamReader) -> bytes:
    """The next frame. Raises `asyncio.IncompleteReadError` at the end of the stream, `RecordTooLarge` beyond the bound."""
    (size,) = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    _check_size(size)
    return await reader.readexactly(size)


def write_frame(writer: StreamWriter, message: msgspec.Struct) -> None:
    """Queue one frame. Raises `RecordTooLarge` before anything is sent."""
    payload = _encoder.encode(message)
    _check_size(len(payload))
    writer.write(_HEADER.pack(len(payload)) + payload)


def failure_of(error: InstarError) -> Failure:
    """The error as it travels."""
    return Failure(code=error.code, what=error.what, why=error.why, next=error.next)


def error_of(failure: Failure) -> InstarError:
    """The error as the caller meets it: the same class, the same words."""
    return error_by_code(failure.code)(failure.what, why=failure.why, next=failure.next)


def _check_size(size: int) -> None:
    if size > SOCKET_FRAME_MAX_BYTES:
        raise RecordTooLarge(
            f"a call of {size:,} bytes does not fit the owner's socket",
            why=f"one frame holds at most {SOCKET_FRAME_MAX_BYTES:,} bytes",
            next="pass fewer records in one call",
        )
