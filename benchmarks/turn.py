"""How long a turn takes to its first word, without the model, beside the least that bare Python would do.

A home on files holds 5,000 remembered messages of one person; the model answers at once. Each message goes
through a whole turn: stored durably (fdatasync), recalled for, answered, remembered. Beside it, for the same
message: append it to a JSON file with fsync, and look for its words in the same 5,000 messages.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.recall import NOW, Corpus
from benchmarks.timing import Goal, Spread, elapsed_us, tell, tell_machine

from instar.agent.remember import learn
from instar.agent.reply import ReplyDelta
from instar.agent.turn import Agent
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.limits import IMPORT_BATCH_MESSAGES, RECALLED_MAX
from instar.core.records import Message
from instar.core.settings import AgentSettings
from instar.embeddings.choose import choose_embedder
from instar.embeddings.minilm import missing_parts
from instar.models.scripted import ScriptedModel
from instar.stores.home import Home, open_home
from instar.stores.registry import locate

PERSON = PersonId("ada")
WARM_UP = 10


class Said(NamedTuple):
    """One message and what it is."""

    kind: str
    text: str


class Took(NamedTuple):
    """Milliseconds of one message."""

    kind: str
    first_word: float
    whole_turn: float
    bare_python: float


class BarePython:
    """A log of JSON lines and a search for words: no ranking by meaning, no promises about crashes in between."""

    def __init__(self, file: Path, texts: Sequence[str]) -> None:
        self._file = file.open("a", encoding="utf-8")
        self._texts = [text.lower() for text in texts]

    def receive(self, text: str) -> list[str]:
        """Keep the message and find what it may be about."""
        self._file.write(json.dumps({"author": PERSON, "text": text}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        words = [word for word in text.lower().strip("?.!").split() if len(word) > 2]
        found = heapq.nlargest(RECALLED_MAX, self._texts, key=lambda each: sum(word in each for word in words))
        self._texts.append(text.lower())
        return found

    def close(self) -> None:
        self._file.close()


def corpus_of(count: int, seed: int) -> Corpus:
    """What a person told, in `count` messages."""
    told = len(Corpus(PERSON, seed, 0).memories)
    return Corpus(PERSON, seed, count - told)


def messages_of(corpus: Corpus) -> list[Message]:
    ordered = sorted(corpus.memories, key=lambda memory: memory.created_at or NOW)
    return [
        Message(
            id=MessageId(f"m{number:05d}"),
            channel=ChannelId("diary"),
            author=PERSON,
            person=PERSON,
            text=memory.text,
            sent_at=memory.created_at,
        )
        for number, memory in enumerate(ordered)
    ]


def turns_of(corpus: Corpus, count: int) -> Iterator[Said]:
    """Questions about what was told and new statements, in turn."""
    questions = (Said("question", question.text) for question in cycle(corpus.questions))
    statements = (Said("statement", memory.text) for memory in Corpus("new", 2, count).memories)
    return islice((said for pair in zip(questions, statements, strict=False) for said in pair), count)


async def told(home: Home, messages: Sequence[Message]) -> None:
    for start in range(0, len(messages), IMPORT_BATCH_MESSAGES):
        batch = messages[start : start + IMPORT_BATCH_MESSAGES]
        await home.conversations.append_many(batch)
        await learn(home, batch, settings=AgentSettings())


async def turn_ms(agent: Agent, text: str) -> tuple[float, float]:
    """Milliseconds from the message to the first word, and to the end of the turn."""
    started_s = time.perf_counter()
    first_s: float | None = None
    async for event in agent.stream(text, person=PERSON):
        if first_s is None and isinstance(event, ReplyDelta):
            first_s = time.perf_counter()
    assert first_s is not None, "a turn shows its reply"
    return (first_s - started_s) * 1000, (time.perf_counter() - started_s) * 1000


async def measured(kind: str, directory: Path, *, messages: int, turns: int) -> list[Took]:
    corpus = corpus_of(messages, 1)
    history = messages_of(corpus)
    home = await open_home(locate(f"file:{directory / 'home'}"), embedder=choose_embedder(kind))
    bare = BarePython(directory / "messages.jsonl", [message.text for message in history])
    took = []
    async with home, Agent(home, model=ScriptedModel(lambda _: "Noted, thank you.")) as agent:
        await told(home, history)
        for number, said in enumerate(turns_of(corpus, WARM_UP + turns)):
            first_word, whole_turn = await turn_ms(agent, said.text)
            bare_ms = elapsed_us(bare.receive, said.text) / 1000
            if number >= WARM_UP:
                took.append(Took(said.kind, first_word, whole_turn, bare_ms))
    bare.close()
    return took


def row(label: str, samples: Sequence[float]) -> Spread:
    spread = Spread.of(samples)
    print(f"{label:<44}{spread.p50:>9.2f}{spread.p95:>9.2f}{spread.least:>9.2f}")
    return spread


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--embedder", action="append", choices=("hashing", "minilm"))
    given = parser.parse_args()
    tell_machine()
    kinds = given.embedder or ["hashing", *([] if missing_parts() else ["minilm"])]
    print(
        f"{'ms, durable by fdatasync':<44}{'p50':>9}{'p95':>9}{'least':>9}   {given.turns} turns, {given.messages:,} messages"
    )
    goals, figures = [], {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as directory:
            took = asyncio.run(measured(kind, Path(directory), messages=given.messages, turns=given.turns))
        first = row(f"{kind}: first word", [each.first_word for each in took])
        for said in ("question", "statement"):
            row(f"{kind}: first word after a {said}", [each.first_word for each in took if each.kind == said])
        row(f"{kind}: whole turn", [each.whole_turn for each in took])
        bare = row("bare Python: append, fsync, find words", [each.bare_python for each in took])
        goals.append(Goal(f"{kind}: p50 ms to the first word", first.p50, 10))
        figures[kind] = {
            "p50_ms": round(first.p50, 2),
            "p95_ms": round(first.p95, 2),
            "bare_p50_ms": round(bare.p50, 2),
            "to_bare": round(first.p50 / bare.p50, 2),
        }
    tell("turn", goals, durability="fdatasync", first_word=figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
