"""One process at a time owns a home, and each owner has a higher epoch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from instar.core.errors import HomeForeign
from instar.stores.segment import lease as lease_module
from instar.stores.segment.lease import Lease, file_system_of

HOLD = """
import sys; from pathlib import Path
from instar.stores.segment.lease import Lease
lease = Lease.acquire(Path(sys.argv[1])); print(lease.epoch, flush=True); sys.stdin.read()
"""


def test_the_second_asker_gets_nothing_until_the_first_releases(tmp_path: Path) -> None:
    first = Lease.acquire(tmp_path)
    assert first is not None
    assert first.epoch == 1
    assert Lease.acquire(tmp_path) is None
    first.release()
    first.release()
    second = Lease.acquire(tmp_path)
    assert second is not None
    assert second.epoch == 2
    second.release()


def test_closing_another_handle_of_the_file_does_not_lose_the_lease(tmp_path: Path) -> None:
    held = Lease.acquire(tmp_path)
    assert held is not None
    os.close(os.open(tmp_path / "LOCK", os.O_RDWR))
    assert Lease.acquire(tmp_path) is None
    held.release()


def test_the_holder_is_known_and_asking_takes_nothing(tmp_path: Path) -> None:
    assert Lease.holder(tmp_path) is None
    held = Lease.acquire(tmp_path)
    assert held is not None
    holder = Lease.holder(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.epoch) == (os.getpid(), 1)
    held.release()
    assert Lease.holder(tmp_path) is None


def test_a_killed_process_loses_its_lease_and_not_its_epoch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert Lease.acquire(tmp_path) is None
        holder = Lease.holder(tmp_path)
        assert holder is not None
        assert holder.pid == process.pid
        process.kill()
    taken = Lease.acquire(tmp_path)
    assert taken is not None
    assert taken.epoch == 2
    taken.release()


def test_a_lock_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text("pid 17 of another program")
    with pytest.raises(HomeForeign, match="LOCK"):
        Lease.acquire(tmp_path)
    assert (tmp_path / "LOCK").read_text() == "pid 17 of another program"


def test_a_network_file_system_is_refused_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = file_system_of(tmp_path)
    assert here
    monkeypatch.setattr(lease_module, "NETWORK_FILE_SYSTEMS", {here})
    with pytest.raises(HomeForeign, match="network"):
        Lease.acquire(tmp_path)
    told = Lease.acquire(tmp_path, network_allowed=True)
    assert told is not None
    told.release()
