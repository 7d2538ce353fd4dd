"""One JSON document read whole: decoded, checked to its last byte, and split without building all of it.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one. A document that cannot be read is an
`ImportUnreadable` with the byte offset, never a shorter document.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from instar.core.errors import ImportUnreadable
from instar.core.limits import IMPORT_DOCUMENT_MAX_BYTES, MIB
from instar.migrate.sources.field import Number, items, whole

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP_MAGIC = b"\x1f\x8b"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Parsed(msgspec.Struct, frozen=True):
    """A piece as Python values. Numbers with a fraction keep their digits."""

    value: object
    mended: bool = False
    """True when half a character (a lone surrogate) was replaced by U+FFFD."""


Piece = msgspec.Raw | Parsed
"""A part of a document: still text, or parsed because the strict splitter could not take it apart."""


def unreadable(path: Path, why: str, *, next: str = "check the file, or export it again") -> ImportUnreadable:
    """The error for a file that cannot be read as what it is."""
    return ImportUnreadable(f"{path} cannot be imported", why=why, next=next)


def opened(path: Path) -> BinaryIO:
    """The file, open for reading bytes. Raises `ImportUnreadable` for what is no readable, filled file."""
    try:
        if path.is_dir():
            raise unreadable(path, "it is a directory", next="name a file, or a folder with a conversations.json")
        if path.exists() and not path.is_file():
            raise unreadable(path, "it is not a regular file", next="copy its content into a file first")
        return path.open("rb")
    except OSError as error:
        why = error.strerror or str(error)
        raise unreadable(path, why, next="check the path and its permissions") from error


def encoding_of(start: bytes) -> str:
    """The encoding a file's first bytes announce; UTF-8 without an announcement."""
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), "utf-8")


def read_document(path: Path) -> bytes:
    """The whole file as UTF-8 without a byte order mark."""
    with opened(path) as file:
        return utf8_of(path, bounded(path, file))


def bounded(path: Path, file: BinaryIO) -> bytes:
    """Everything in `file`. Raises `ImportUnreadable` above the bound for one document."""
    content = file.read(IMPORT_DOCUMENT_MAX_BYTES + 1)
    if len(content) > IMPORT_DOCUMENT_MAX_BYTES:
        raise unreadable(
            path,
            f"it is one JSON document over the bound of {IMPORT_DOCUMENT_MAX_BYTES // MIB} MiB",
            next="split the export into several files",
        )
    return content


def utf8_of(path: Path, content: bytes) -> bytes:
    """The content as checked UTF-8. Raises `ImportUnreadable` with the byte offset of what is not text."""
    encoding = encoding_of(content[:4])
    if encoding not in ("utf-8", "utf-8-sig"):
        try:
            return content.decode(encoding).encode()
        except UnicodeError as error:
            raise unreadable(path, f"it is not valid {encoding.upper()} {_at(error)}") from error
    _check_utf8(path, content)
    return content.removeprefix(codecs.BOM_UTF8)


def _check_utf8(path: Path, content: bytes) -> None:
    if content.startswith(_GZIP_MAGIC):
        raise unreadable(path, "it is packed with gzip", next=f"unpack it first: gunzip -c {path} > unpacked")
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(content)
    for start in range(0, len(content), MIB):
        try:
            decoder.decode(view[start : start + MIB], final=start + MIB >= len(content))
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(view[start : start + MIB])
            offset = start - pending + error.start
            raise unreadable(
                path,
                f"byte {content[offset]:#04x} at offset {offset:,} is not UTF-8",
                next="convert the file to UTF-8 first, for example with `iconv -f LATIN1 -t UTF-8`",
            ) from error


def _at(error: UnicodeError) -> str:
    return f"at byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else ""


def top_level(path: Path, content: bytes) -> Mapping[str, Piece] | Sequence[Piece]:
    """The members of the document's object or array, unparsed where that is possible.

    The whole document is checked on the way. Raises `ImportUnreadable` with the byte offset of the fault.
    """
    start = content[:MIB].lstrip()[:1] or content.lstrip()[:1]
    if not start:
        raise unreadable(path, "it is empty", next="export it again, or check that the copy is complete")
    try:
        if start == b"{":
            return _decode_object(content)
        if start == b"[":
            return _decode_array(content)
    except (msgspec.DecodeError, RecursionError):
        return _parsed_members(path, content)
    raise unreadable(path, f"it starts with {start!r}, which begins no JSON object or array")


def _parsed_members(path: Path, content: bytes) -> Mapping[str, Piece] | Sequence[Piece]:
    """What Python's own parser makes of it: it takes NaN, which some programs write; or it says what is wrong."""
    try:
        whole_document = parsed_json(content)
    except json.JSONDecodeError as error:
        offset = len(error.doc[: error.pos].encode())
        ends_open = error.msg.startswith("Unterminated") or not error.doc[error.pos :].strip()
        cut = "; it ends in the middle" if ends_open else ""
        raise unreadable(
            path, f"it is not valid JSON at byte {offset:,} of {len(content):,}: {error.msg}{cut}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _unbuildable(path, error) from error
    if isinstance(whole_document.value, dict):
        return {key: Parsed(member, whole_document.mended) for key, member in whole_document.value.items()}
    return [Parsed(member, whole_document.mended) for member in items(whole_document.value)]


def _unbuildable(path: Path, error: Exception) -> ImportUnreadable:
    why = "it is nested deeper than any chat export" if isinstance(error, RecursionError) else str(error)
    return unreadable(path, f"its JSON cannot be built: {why}")


def members(piece: Piece | None) -> Iterator[Piece]:
    """The elements of an array, still unparsed; nothing for what is no array."""
    if isinstance(piece, msgspec.Raw):
        if memoryview(piece)[:1].tobytes() == b"[":
            yield from _decode_array(piece)
    elif piece is not None and isinstance(piece.value, list):
        yield from (Parsed(member, piece.mended) for member in piece.value)


def parsed(piece: Piece) -> Parsed:
    """The piece as Python values. Raises `ValueError` or `RecursionError` for what cannot be built."""
    if isinstance(piece, Parsed):
        return piece
    return parsed_json(bytes(piece))


def parsed_member(path: Path, piece: Piece) -> Parsed:
    """A piece that the rest of the document cannot be read without. Raises `ImportUnreadable`."""
    try:
        return parsed(piece)
    except (ValueError, RecursionError) as error:
        raise _unbuildable(path, error) from error


def parsed_json(content: bytes) -> Parsed:
    """A JSON text as Python values. Raises `ValueError` or `RecursionError`.

    Control characters inside strings are taken as they are: a vertical tab ends no line and no message.
    """
    value = json.loads(content.decode(), parse_float=Number, strict=False)
    if not _SURROGATE_ESCAPE.search(content):
        return Parsed(value)
    repaired = whole(value)
    return Parsed(repaired, repaired != value)
