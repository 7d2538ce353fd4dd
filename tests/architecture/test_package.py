"""What a built instar holds: all of the source, its pages and types, and nothing beside them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile

import pytest
from house_figures import ROOT, SOURCE

pytest.importorskip("hatchling", reason="script/setup test installs the build backend")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", target], cwd=ROOT, check=True)
    return target


def test_the_wheel_holds_every_file_of_the_source_and_no_other(built):
    (wheel,) = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("instar/")}
    source = {
        f"instar/{file.relative_to(SOURCE).as_posix()}"
        for file in SOURCE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert packed == source
    assert "instar/py.typed" in packed


def test_the_wheel_brings_the_command_and_the_licence(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        entry_points = next(name for name in package.namelist() if name.endswith("entry_points.txt"))
        assert "instar = instar.cli:main" in package.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in package.namelist())


def test_the_source_distribution_can_be_built_and_tested_from(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        packed = {name.partition("/")[2] for name in package.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "script/test", "requirements/test.txt"} <= packed
