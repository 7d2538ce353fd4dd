"""What may not stand in any file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from house_figures import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.}~])/(?:root|work|home|Users)/\w")
INDEX_ADDRESS = re.compile(r"py[p]i\.(?:org|python)|python[h]osted|regist[r]y\.npmjs|deb\.de[b]ian|crate[s]\.io")
INDEX_OPTION = re.compile(r"--(?:extra-)?inde[x]-url|--find-link[s]|--truste[d]-host")
KEPT_BYTES_MAX = 2_000_000


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [file for name in listed.stdout.split("\0") if name and (file := ROOT / name).is_file()]


def places(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for file in tracked():
        text = file.read_text(encoding="utf-8", errors="ignore")
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    return found


def test_no_file_names_a_path_of_one_machine():
    assert places(MACHINE_PATH) == []


def test_no_file_names_the_address_of_a_package_index():
    assert places(INDEX_ADDRESS) == []


def test_no_file_points_an_installer_at_another_index():
    assert places(INDEX_OPTION) == []


def test_no_file_is_too_large_to_review():
    assert [str(file.relative_to(ROOT)) for file in tracked() if file.stat().st_size > KEPT_BYTES_MAX] == []


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / "requirements").glob("*.txt")))
def test_every_package_of_a_lock_is_pinned_and_hashed(lock):
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    assert [line for line in packages if "==" not in line or "--hash=sha256:" not in line] == []


def test_the_smaller_locks_agree_with_the_largest():
    largest = pins("bench.txt")
    for lock in ("run.txt", "run-embed.txt", "test.txt"):
        assert pins(lock).items() <= largest.items()


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("script", ["run", "test", "services", "setup", "lock", "bench", "accept"])
def test_scripts_can_be_run_and_parse(script):
    path = ROOT / "script" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
