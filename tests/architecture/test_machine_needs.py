"""What becomes of a test when the machine lacks what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from house_figures import ROOT

NEEDY_TEST = "import pytest\n\n@pytest.mark.browser\ndef test_page(chromium):\n    assert chromium\n"


@pytest.fixture
def run_without_browser(tmp_path):
    """Runs a test that needs a browser, under our conftest, where no program can be found."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    browser:\n    embed:\n")
    (tmp_path / "test_page.py").write_text(NEEDY_TEST)
    (tmp_path / "bin").mkdir()

    def run(required: str) -> subprocess.CompletedProcess[str]:
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": str(tmp_path / "bin")}
        environment = os.environ | alone | {"INSTAR_REQUIRE": required}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", tmp_path],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=tmp_path,
        )

    return run


def test_a_missing_browser_skips_with_the_way_to_get_it(run_without_browser):
    done = run_without_browser("")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
    assert "no Chromium on this machine; script/services installs it" in done.stdout


def test_a_missing_browser_fails_where_it_is_required(run_without_browser):
    done = run_without_browser("embed,browser")
    assert done.returncode == 1
    assert "browser is required: no Chromium" in done.stdout


def test_a_misspelt_requirement_is_refused(run_without_browser):
    done = run_without_browser("brwoser")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "cannot require brwoser: known are browser, embed" in done.stderr


@pytest.mark.parametrize(
    ("script", "argument", "said"),
    [("services", "chromiun", "known are: chromium"), ("setup", "tset", "known are tools, light, run, test, bench")],
)
def test_a_misspelt_name_is_wrong_usage(script, argument, said):
    done = subprocess.run([ROOT / "script" / script, argument], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
