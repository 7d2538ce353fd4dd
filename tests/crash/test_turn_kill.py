from __future__ import annotations

from instar.testing.turn_kills import run_turn_kills


def test_a_talking_agent_killed_twenty_times_loses_and_doubles_nothing() -> None:
    outcome = run_turn_kills(seed=7, rounds=20)
    assert outcome.held, str(outcome)
    assert outcome.figure.startswith(("20 kills", "19 kills", "18 kills", "17 kills")), "the kills did not happen"
