"""The README's first minute works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def environment(tmp_path):
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "INSTAR_EMBEDDINGS_KIND": "hashing",
    }


def test_the_first_code_runs_and_answers(tmp_path):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 May" in done.stdout


def test_the_first_minute_shows_what_it_says(tmp_path):
    block = next(each for each in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "instar import" in each)
    commands = [shlex.split(line, comments=True) for line in block.split("\n") if line.startswith("instar ")]
    said = []
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command
        said.append(done.stdout)
    imported, answered, searched, refused, forgotten = said
    assert "362 written" in imported
    assert "blue hiking pack" in answered
    assert "words: rank" in searched
    assert "hiking pack" not in refused
    assert "none of it is left" in forgotten
