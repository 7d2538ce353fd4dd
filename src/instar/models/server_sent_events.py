"""Server-sent events: bytes in, the data of each event out.

Source of the form: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
Lines end with LF, CR or CRLF; comments and fields other than `data` are skipped. Unlike a browser, `end` gives
the last event even when the server forgot the blank line behind it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from instar.core.errors import ModelReplyInvalid


class EventParser:
    """Feed it what arrives, cut anywhere. An event over `event_max_bytes` raises `ModelReplyInvalid`."""

    def __init__(self, *, event_max_bytes: int) -> None:
        self._event_max_bytes = event_max_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._at_start = True

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of every event that `chunk` completes."""
        *lines, self._rest = _split(self._without_mark(self._rest + chunk))
        self._check(len(self._rest))
        for line in lines:
            yield from self._take(line)

    def end(self) -> Iterator[str]:
        """Yield the event that was begun and not ended, if there is one."""
        for line in (*self._rest.splitlines(), b""):
            yield from self._take(line)
        self._rest = b""

    def _without_mark(self, text: bytes) -> bytes:
        if self._at_start and len(text) >= len(codecs.BOM_UTF8):
            self._at_start = False
            return text.removeprefix(codecs.BOM_UTF8)
        return text

    def _take(self, line: bytes) -> Iterator[str]:
        if not line:
            if self._data:
                yield b"\n".join(self._data).decode(errors="replace")
            self._data, self._data_bytes = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value)
            self._check(self._data_bytes)

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._event_max_bytes:
            raise ModelReplyInvalid(
                "the model's server sent an event without an end",
                why=f"it has passed {self._event_max_bytes:,} bytes",
                next="check that model.url names an OpenAI-compatible API: `instar config show`",
            )


def _split(text: bytes) -> list[bytes]:
    """Split at LF, CR and CRLF; a CR at the very end may be half of a CRLF and stays with the rest."""
    held = b"\r" if text.endswith(b"\r") else b""
    lines = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    lines[-1] += held
    return lines
