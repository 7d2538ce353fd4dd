"""What a fresh process loads: heavy packages wait until they are used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "httpx",
    "langgraph",
    "libcst",
    "numpy",
    "onnxruntime",
    "polars",
    "psycopg",
    "pyarrow",
    "ray",
    "redis",
    "scipy",
    "starlette",
    "tantivy",
    "temporalio",
    "tokenizers",
    "uvicorn",
}


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Names of all top-level modules in a fresh process after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["instar", "instar.testing.outcome", "instar.cli"])
def test_importing_loads_nothing_heavy(module):
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_a_heavy_module_would_be_seen():
    assert "numpy" in loaded_by("import numpy") & HEAVY


FIRST_WRITE = """
import asyncio, sys
import instar

async def main():
    async with instar.open(sys.argv[1]) as home:
        await home.conversations.append(instar.Message(id="m1", channel="c", author="ada", text="hello"))

asyncio.run(main())
"""


def test_the_first_durable_write_loads_nothing_heavy(tmp_path):
    assert loaded_by(FIRST_WRITE, str(tmp_path / "home")) & HEAVY == set()
