"""Lines of a JSONL file. Only LF ends a line: U+2028, U+2029, U+0085, VT, FF and CR inside text do not.

Memory is bounded by the longest permitted line, whatever the file holds.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from instar.core.limits import IMPORT_LINE_MAX_BYTES, MIB
from instar.migrate.sources.document import Parsed, encoding_of, opened, parsed_json, unreadable
from instar.migrate.sources.item import Skipped


class Line(msgspec.Struct, frozen=True):
    """One line with something in it."""

    number: int
    """From 1, blank lines counted."""
    offset: int
    """Of its first byte, in the file as UTF-8."""
    content: bytes

    @property
    def where(self) -> str:
        """How a report names it."""
        return f"line {self.number}"


class LineValue(msgspec.Struct, frozen=True):
    """The JSON object of one line."""

    line: Line
    parsed: Parsed


def read_lines(path: Path) -> Iterator[Line | Skipped]:
    """Every line that is not blank; one over `IMPORT_LINE_MAX_BYTES` is skipped without being held."""
    with opened(path) as file:
        offset = 0
        for number, (content, size_bytes) in enumerate(_split(_utf8_chunks(path, file)), start=1):
            if size_bytes > IMPORT_LINE_MAX_BYTES:
                yield Skipped(
                    where=f"line {number}",
                    why=f"it has {size_bytes:,} bytes; the bound is {IMPORT_LINE_MAX_BYTES:,}",
                )
            elif content.strip():
                yield Line(number, offset, content)
            offset += size_bytes + 1


def read_values(path: Path) -> Iterator[LineValue | Skipped]:
    """The object on each line; a line that holds none is skipped with the reason."""
    for line in read_lines(path):
        yield line if isinstance(line, Skipped) else value_of(line)


def value_of(line: Line) -> LineValue | Skipped:
    """The JSON object of a line, or why there is none."""
    try:
        found = parsed_json(line.content)
    except UnicodeDecodeError as error:
        at = line.offset + error.start
        return Skipped(where=line.where, why=f"byte {line.content[error.start]:#04x} at offset {at:,} is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Skipped(where=line.where, why=f"it is not valid JSON: {error}")
    if not isinstance(found.value, dict):
        return Skipped(where=line.where, why=f"it holds a JSON {type(found.value).__name__}, not an object")
    return LineValue(line, found)


def _split(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Each line with its size; the content of a line over the bound is dropped while it is read."""
    kept: list[bytes] = []
    size_bytes = 0
    ended = True
    for chunk in chunks:
        *full, rest = chunk.split(b"\n")
        for piece in full:
            yield b"".join([*kept, piece]), size_bytes + len(piece)
            kept, size_bytes = [], 0
        size_bytes += len(rest)
        kept = [*kept, rest] if size_bytes <= IMPORT_LINE_MAX_BYTES else []
        ended = not size_bytes
    if not ended:
        yield b"".join(kept), size_bytes


def _utf8_chunks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    chunk = file.read(MIB)
    encoding = encoding_of(chunk[:4])
    if encoding in ("utf-8", "utf-8-sig"):
        chunk = chunk.removeprefix(codecs.BOM_UTF8)
        while chunk:
            yield chunk
            chunk = file.read(MIB)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    while chunk:
        yield _transcoded(path, decoder, chunk)
        chunk = file.read(MIB)
    yield _transcoded(path, decoder, b"", final=True)


def _transcoded(path: Path, decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bytes:
    try:
        return decoder.decode(chunk, final).encode()
    except UnicodeError as error:
        raise unreadable(path, f"its byte order mark announces an encoding that it does not keep: {error}") from error
