"""Kills a talking agent again and again, and counts what was lost or doubled.

A child process asks its questions, tells each reply as soon as it has it, and kills itself with SIGKILL at
a call drawn from the seed; its worker threads stop wherever they are. The next child repeats what was not
acknowledged and asks more. Children are forked from one process that has everything imported and no threads,
so that a round costs what a turn costs. At the end the home is read: every message once, every reply once, every
acknowledged reply as it was told, every interaction counted once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from types import FrameType
from typing import Any, Self

from instar.core.ids import ChannelId, PersonId
from instar.testing.outcome import Outcome

MESSAGES_PER_ROUND = 4
NURSERY_TIMEOUT_S = 60
_SAID = (
    "My favourite tree of year {n} is the oak number {n}.",
    "What is my favourite tree of year {n}?",
    "The boat of summer {n} was painted in shade {n}.",
    "Which shade was the boat of summer {n}?",
    "I like fruit number {n}.",
    "What do I like?",
)


class Children:
    """The process that children are forked from."""

    def __init__(self, directory: str) -> None:
        command = [sys.executable, "-m", "instar.testing.turn_kills", directory]
        single = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._nursery = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=single
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._nursery.communicate(timeout=NURSERY_TIMEOUT_S)

    def run(self, kill_at: int, first: int, last: int) -> tuple[dict[str, str], int]:
        """Run one child; return what it acknowledged, and how many calls it made (0: it was killed)."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{kill_at} {first} {last}\n")
        self._nursery.stdin.flush()
        acknowledged: dict[str, str] = {}
        calls = 0
        for line in map(json.loads, iter(self._nursery.stdout.readline, "")):
            if "ended" in line:
                assert line["ended"] in {0, -signal.SIGKILL}, f"the child failed by itself: {line}"
                return acknowledged, calls
            if "calls" in line:
                calls = line["calls"]
            else:
                acknowledged[line["id"]] = line["reply"]
        raise AssertionError("the process that children are forked from ended")


def run_turn_kills(seed: int, rounds: int) -> Outcome:
    """Kill a child `rounds` times at points drawn from `seed`, then judge what the home holds."""
    with tempfile.TemporaryDirectory(prefix="turn-kills-") as directory:
        with Children(directory) as children:
            acknowledged, told, killed, broken = _killed(children, random.Random(seed), rounds)
        broken = broken or asyncio.run(_judged(directory, acknowledged, told))
    figure = broken or f"{killed} kills, {told} messages, each answered once, {len(acknowledged)} acknowledged"
    return Outcome(name="turn-kills", rounds=rounds, figure=figure, held=not broken)


def _killed(children: Children, rng: random.Random, rounds: int) -> tuple[dict[str, str], int, int, str]:
    """What all children acknowledged, how many messages there are, how many were killed, and what went wrong."""
    acknowledged, span = children.run(0, 0, MESSAGES_PER_ROUND)
    killed, told = 0, MESSAGES_PER_ROUND
    for _ in range(rounds):
        first = len(acknowledged)
        told = max(told, first + MESSAGES_PER_ROUND)
        fresh, calls = children.run(rng.randrange(1, span), first, told)
        killed += calls == 0
        if broken := _contradictions(acknowledged, fresh):
            return acknowledged, told, killed, broken
        acknowledged |= fresh
    rest, _ = children.run(0, len(acknowledged), told)
    return acknowledged | rest, told, killed, ""


def _contradictions(acknowledged: dict[str, str], fresh: dict[str, str]) -> str:
    changed = [each for each in fresh if acknowledged.get(each, fresh[each]) != fresh[each]]
    return f"message {changed[0]} was answered twice, in two ways" if changed else ""


async def _judged(directory: str, acknowledged: dict[str, str], told: int) -> str:
    """What is wrong with the home, or nothing."""
    from instar.core.records import Scope
    from instar.embeddings.hashing import HashingEmbedder
    from instar.stores.home import open_home
    from instar.stores.registry import locate

    async with await open_home(locate(directory), embedder=HashingEmbedder()) as home:
        messages = await home.conversations.page(channel=ChannelId("cli"), limit=1_000_000)
        asked = Counter(each.id for each in messages if each.role == "person")
        answered = Counter(each.reply_to for each in messages if each.role == "agent")
        replies = {str(each.reply_to): each.text for each in messages if each.role == "agent"}
        facts = await home.memories.listing(Scope(PersonId("ada")), kinds=("fact",))
        stored = await home.profiles.load(PersonId("ada"))
        left = await home.workflows.unfinished("turn")
    wanted = {f"m{number}" for number in range(told)}
    doubled = [fact for fact, times in Counter((each.attribute, each.value) for each in facts).items() if times > 1]
    findings = (
        (set(asked) != wanted or set(asked.values()) != {1}, "a message is missing or doubled"),
        (set(answered) != wanted or set(answered.values()) != {1}, "a reply is missing or doubled"),
        (any(replies[each] != text for each, text in acknowledged.items()), "an acknowledged reply changed"),
        (set(acknowledged) != wanted, "a question was never acknowledged"),
        (bool(doubled), f"a fact is there twice: {doubled[:1]}"),
        (stored is None or stored.profile.interaction_count != told, "an interaction was not counted once"),
        (bool(left), f"{len(left)} turns are unfinished"),
    )
    return "; ".join(text for wrong, text in findings if wrong)


async def _talk(directory: str, kill_at: int, first: int, last: int) -> int:
    """Talk, and return how many calls that took; the imports in front of it are not counted."""
    from instar.agent.turn import Agent
    from instar.embeddings.hashing import HashingEmbedder
    from instar.stores.home import open_home
    from instar.stores.registry import locate

    calls = _kill_at(kill_at)
    async with await open_home(locate(directory), embedder=HashingEmbedder()) as home, Agent(home) as agent:
        for number in range(first, last):
            text = _SAID[number % len(_SAID)].format(n=number // 2)
            reply = await agent.ask(text, person="ada", message_id=f"m{number}")
            _tell({"id": reply.message_id, "reply": reply.reply})
    sys.setprofile(None)
    return next(calls)


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _kill_at(call: int) -> itertools.count[int]:
    """Count the calls of every thread from here on, and die at number `call`; 0 only counts."""
    calls = itertools.count(1)

    def counted(_frame: FrameType, _event: str, _argument: object) -> None:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(counted)
    sys.setprofile(counted)
    return calls


def main(directory: str) -> None:
    """Fork a child for each line of stdin, and tell how it ended."""
    import numpy as np  # noqa: F401 - what the first search of every child would load
    import tantivy  # noqa: F401

    import instar.agent.turn
    import instar.embeddings.hashing
    import instar.stores.memories.embedded  # noqa: F401

    for line in sys.stdin:
        kill_at, first, last = map(int, line.split())
        if (child := os.fork()) == 0:
            _tell({"calls": asyncio.run(_talk(directory, kill_at, first, last))})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _tell({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main(sys.argv[1])
