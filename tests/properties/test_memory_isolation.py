"""Nobody is shown a memory that their scope does not allow: a crowd of a thousand, asked at random."""

from __future__ import annotations

import pytest

from instar.testing.isolation import run_isolation
from instar.testing.memory_liars import IgnoresScope, SearchesAnOldIndex, TakesAChannelsNameForLeave


def test_two_thousand_random_questions_show_nothing_foreign() -> None:
    outcome = run_isolation(20_260_101, 2_000)
    assert outcome.held, outcome.figure
    assert outcome.rounds == 2_000


@pytest.mark.parametrize("liar", [IgnoresScope, TakesAChannelsNameForLeave, SearchesAnOldIndex])
def test_the_proof_breaks_for_a_store_that_lies(liar: type) -> None:
    outcome = run_isolation(20_260_101, 200, backend=liar)
    assert not outcome.held
    assert outcome.rounds < 200
