"""Who may use the pages: whoever opened a one-time link in this browser.

A link carries a token and works once. Opening it makes a session, known by a random value in a cookie that
scripts cannot read and other sites cannot send. Sessions live in this process: a restart ends them all.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Literal

LinkState = Literal["fresh", "used", "unknown"]


def random_secret() -> str:
    """256 random bits as text for a URL or a cookie."""
    return secrets.token_urlsafe(32)


class Sessions:
    """One-time links and the sessions they opened. Only digests are kept, never the secrets."""

    def __init__(self, token: str, *, secret: Callable[[], str] = random_secret) -> None:
        self._secret = secret
        self._fresh = {_digest(token)}
        self._used: set[bytes] = set()
        self._open: set[bytes] = set()

    def link_state(self, token: str) -> LinkState:
        """Say whether a link's token may still be redeemed."""
        digest = _digest(token)
        if digest in self._fresh:
            return "fresh"
        return "used" if digest in self._used else "unknown"

    def redeem(self, token: str) -> str | None:
        """Use a link up and return the cookie value of the session it opens; None when it is not fresh."""
        if self.link_state(token) != "fresh":
            return None
        self._fresh.discard(_digest(token))
        self._used.add(_digest(token))
        cookie = self._secret()
        self._open.add(_digest(cookie))
        return cookie

    def new_link(self) -> str:
        """Make a token for one more browser and return it. Earlier links that nobody opened stop working."""
        token = self._secret()
        self._fresh = {_digest(token)}
        return token

    def is_open(self, cookie: str) -> bool:
        """True when the cookie value belongs to a session of this process."""
        return _digest(cookie) in self._open

    def close(self, cookie: str) -> None:
        """End a session; ending one that is not open changes nothing."""
        self._open.discard(_digest(cookie))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
