"""A breaker: keeps requests away from a model that fails, and lets one through now and then to see.

closed -> open after `failures_max` failures in a row; open -> half-open after `rest_s`; half-open lets one
request through: its success closes the breaker, its failure opens it again.
Source of the pattern: M. Nygard, Release It!, 2nd edition, chapter 5.
"""

from __future__ import annotations

from typing import Literal

from instar.core.clock import Clock

BREAKER_FAILURES_MAX = 3  # one failure is chance, three in a row are a state
BREAKER_REST_S = 30.0  # a restarted server is back within this; a person waits no longer for the better model

BreakerState = Literal["closed", "open", "half-open"]


class Breaker:
    """The guard of one model. Ask `lets_through` before a request and report how it ended, exactly once."""

    def __init__(
        self, *, clock: Clock, failures_max: int = BREAKER_FAILURES_MAX, rest_s: float = BREAKER_REST_S
    ) -> None:
        self._clock = clock
        self._failures_max = failures_max
        self._rest_s = rest_s
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def state(self) -> BreakerState:
        if self._opened_at is None:
            return "closed"
        return "half-open" if self.rest_left_s <= 0 else "open"

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def rest_left_s(self) -> float:
        """Seconds until a request is let through again; 0 when one is now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._rest_s - self._clock.monotonic())

    def lets_through(self) -> bool:
        """True when a request may go; while half-open, only to the first who asks."""
        if self.state == "half-open" and not self._trying:
            self._trying = True
            return True
        return self.state == "closed"

    def succeeded(self) -> None:
        """The model answered."""
        self._failures, self._opened_at, self._trying = 0, None, False

    def failed(self) -> None:
        """The model failed."""
        self._failures += 1
        self._trying = False
        if self._failures >= self._failures_max:
            self._opened_at = self._clock.monotonic()

    def abandoned(self) -> None:
        """The request was given up before the model showed how it is."""
        self._trying = False
