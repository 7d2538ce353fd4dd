"""A killed process loses nothing that it acknowledged."""

from __future__ import annotations

import pytest

from instar.testing.log_kills import run_log_kills


@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_lost_in_20_kills() -> None:
    outcome = run_log_kills(11, 20)
    assert outcome.held, outcome.figure
    assert int(outcome.figure.split()[2].replace(",", "")) > 1_000, "the killed processes did write"
