"""A process killed in the middle of an import loses nothing that a second run does not bring, and doubles nothing."""

import signal
import sys

import pytest
from anyio import run_process

from instar.core.settings import Settings
from instar.embeddings.hashing import HashingEmbedder
from instar.migrate.exporting import export_home
from instar.migrate.importing import import_file
from instar.stores.home import open_home
from instar.stores.registry import locate

MESSAGES = 600
KILLED_WHILE_WRITING = """
import asyncio, os, signal, sys
from functools import partial
from pathlib import Path
from instar.agent.remember import learn
from instar.core.settings import Settings
from instar.embeddings.hashing import HashingEmbedder
from instar.migrate.importing import import_file
from instar.stores.home import open_home
from instar.stores.registry import locate

batches = int(sys.argv[3])
moment = sys.argv[4]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def tell(progress):
    global batches
    if progress.phase == "writing":
        batches -= 1
        if batches == 0 and moment == "between":
            die()

async def main():
    async with await open_home(locate(sys.argv[2]), embedder=HashingEmbedder()) as home:
        async def learning(messages):
            if batches == 1 and moment == "before learning":
                die()
            await learn(home, messages, settings=Settings().agent)
        await import_file(home, Path(sys.argv[1]), progress=tell, learn=learning)

asyncio.run(main())
"""


async def opened(path):
    return await open_home(locate(str(path)), embedder=HashingEmbedder())


async def brought_in(home, path):
    from instar.agent.remember import learn

    async def learning(messages):
        await learn(home, messages, settings=Settings().agent)

    return await import_file(home, path, learn=learning)


@pytest.fixture
def talk(written, plain_line):
    lines = [plain_line(f"I keep key number {n} in drawer {n}.", id=str(n)) for n in range(MESSAGES)]
    return written("talk.jsonl", lines=lines)


@pytest.mark.parametrize(("batches", "moment"), [(1, "between"), (2, "before learning")])
async def test_a_second_run_completes_what_was_killed(talk, tmp_path, batches, moment):
    killed = await run_process(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(talk), str(tmp_path / "home"), str(batches), moment],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    async with await opened(tmp_path / "home") as home:
        report = await brought_in(home, talk)
        assert 0 < report.already_there < MESSAGES
        assert report.written + report.already_there == MESSAGES
        found = await home.conversations.page(limit=10_000)
        assert [message.id for message in found] == [str(number) for number in range(MESSAGES)]
        interrupted = await export_home(home, tmp_path / "interrupted.jsonl")
    async with await opened(tmp_path / "straight") as home:
        await brought_in(home, talk)
        straight = await export_home(home, tmp_path / "straight.jsonl")
    assert interrupted.records == straight.records
