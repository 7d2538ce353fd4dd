from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from instar.testing.outcome import Outcome

PROOFS = Path(__file__).parents[1] / "acceptance" / "proofs.py"


def accept(*arguments):
    return subprocess.run([sys.executable, PROOFS, *arguments], capture_output=True, text=True, check=False)


def test_the_list_names_every_proof_with_its_promise():
    assert [line.split()[0] for line in accept("--list").stdout.splitlines()] == [
        "crash-sim",
        "log-kills",
        "turn-kills",
        "isolation",
        "forget",
        "byte-flips",
    ]


def test_a_name_nobody_knows_is_wrong_usage():
    done = accept("crash-simm")
    assert done.returncode == 2
    assert "no proof crash-simm; known are crash-sim" in done.stderr


@pytest.mark.parametrize("rounds", ["0", "-5", "many"])
def test_a_count_that_proves_nothing_is_wrong_usage(rounds):
    assert accept("isolation", "--rounds", rounds).returncode == 2


def test_an_outcome_is_one_line_with_its_verdict():
    held = Outcome(name="isolation", rounds=1_000, figure="0 of 4,000 answers crossed", held=True)
    assert str(held) == "isolation  1,000 rounds  0 of 4,000 answers crossed  held"


def test_a_broken_promise_cannot_be_overlooked():
    assert str(Outcome(name="forget", rounds=1, figure="2 needles found", held=False)).endswith("BROKEN")
