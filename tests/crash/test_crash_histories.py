"""Nothing acknowledged is lost when the power goes; and the histories that say so are not blind."""

from __future__ import annotations

import random

import pytest

from instar.testing.crash_histories import run_histories
from instar.testing.crash_mutants import MUTANTS, Mutant, killed_after
from instar.testing.simulated_files import SimulatedFiles

SEED = 20_260


def test_no_acknowledged_commit_is_lost_in_1500_histories() -> None:
    outcome = run_histories(SEED, 1_500)
    assert outcome.held, outcome.figure
    assert outcome.rounds == 1_500


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_store_that_leaves_something_out_is_found_within_its_budget(mutant: Mutant) -> None:
    ran, broken = killed_after(mutant, SEED)
    assert broken is not None, f"survived {ran} histories"


def test_the_same_seed_gives_the_same_histories() -> None:
    assert str(run_histories(5, 40)) == str(run_histories(5, 40))


def _disk(seed: int) -> SimulatedFiles:
    return SimulatedFiles(random.Random(seed))


def test_what_is_not_synced_may_be_kept_dropped_or_torn() -> None:
    seen = set()
    for seed in range(60):
        disk = _disk(seed)
        file = disk.create("a")
        disk.sync_directory("")
        file.write(0, b"x" * 2048)
        disk.crash()
        content = bytes(disk.read("a"))
        seen.add("kept" if content == b"x" * 2048 else "dropped" if not content else "torn")
    assert seen == {"kept", "dropped", "torn"}


def test_what_is_synced_is_kept_if_its_name_is() -> None:
    named = set()
    for seed in range(40):
        disk = _disk(seed)
        file = disk.create("a")
        file.write(0, b"x" * 2048)
        file.sync()
        if seed % 2:
            disk.sync_directory("")
        disk.crash()
        assert seed % 2 == 0 or disk.list("") == ["a"]
        if disk.list(""):
            assert bytes(disk.read("a")) == b"x" * 2048
        named.add(tuple(disk.list("")))
    assert named == {(), ("a",)}, "without a directory sync a name may be lost"


def test_after_a_failed_sync_no_later_one_brings_the_bytes_back() -> None:
    lost = 0
    for seed in range(40):
        disk = _disk(seed)
        file = disk.create("a")
        disk.sync_directory("")
        file.write(0, b"x" * 2048)
        disk.fail = lambda call, _path: 5 if call == "sync" else None
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        disk.fail = lambda _call, _path: None
        file.sync()
        assert bytes(disk.read("a")) == b"x" * 2048, "visible until the power goes"
        disk.crash()
        lost += bytes(disk.read("a")) != b"x" * 2048
    assert lost > 0
