"""The proof that forgetting forgets: talk, forget one person, then read every byte that is left.

Each person says words that occur nowhere else. After the erasure none of the forgotten person's words stands
in any file of the home, as raw bytes or in what a Parquet file holds once read, and everybody else's words
still do. Before the erasure the same search finds them all, so a blind search cannot pass.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import instar
from instar.app import agent_for
from instar.core.clock import ManualClock
from instar.core.ids import ChannelId, PersonId
from instar.core.records import Scope
from instar.core.settings import EmbeddingSettings, Settings
from instar.stores.erasure import Receipt
from instar.stores.home import Home
from instar.testing.outcome import Outcome

SETTINGS = Settings(embeddings=EmbeddingSettings(kind="hashing"))
SEALING_EVERY = 4  # sealing starts a process for each store; one home in four shows what it must
LETTERS = "bcdfghjklmnpqrstvwxz"
SENTENCES = (
    "Remember that the code of my locker is {}.",
    "My name is {}.",
    "I live in {}.",
    "My cat is called {}, and I am so happy with her.",
    "I am worried about {} and what comes after it.",
    "Yesterday I met {} at the station.",
)
QUESTIONS = ("What is the code of my locker?", "What is my cat called?", "Whom did I meet at the station?")


class Story:
    """Who says what in one round. The same seed tells the same story."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words: dict[str, list[str]] = {self._word(): [] for _ in range(self.random.randint(2, 4))}
        self.forgotten = self.random.choice(list(self.words))

    def _word(self) -> str:
        return "".join(self.random.choices(LETTERS, k=14))

    def line(self, person: str) -> str:
        """The next thing `person` says: something new, or a question that makes the agent repeat it."""
        if self.words[person] and self.random.random() < 0.3:
            return self.random.choice(QUESTIONS)
        self.words[person].append(self._word())
        return self.random.choice(SENTENCES).format(self.words[person][-1])

    def secrets(self) -> list[str]:
        """What must be gone: the words of the forgotten, and their id."""
        return [self.forgotten, *self.words[self.forgotten]]

    def kept(self) -> list[str]:
        """What must still be there."""
        return [word for person, words in self.words.items() if person != self.forgotten for word in [person, *words]]


Forget = Callable[[Home, PersonId], Awaitable[Receipt]]
"""How a person is forgotten: `Home.forget`, or a liar that the proof must catch."""


def run_erasures(seed: int, rounds: int, *, forget: Forget = Home.forget) -> Outcome:
    """Forget one person in each of `rounds` homes and search what is left."""
    words = 0
    for number in range(rounds):
        story = Story(seed + number)
        with tempfile.TemporaryDirectory(prefix="instar-forget-") as directory:
            broken = asyncio.run(broken_promise(story, Path(directory), forget, sealing=number % SEALING_EVERY == 3))
        words += len(story.secrets())
        if broken:
            return Outcome(name="forget", rounds=number + 1, figure=f"seed {seed + number}: {broken}", held=False)
    return Outcome(name="forget", rounds=rounds, figure=f"0 of {words:,} forgotten words found", held=True)


async def broken_promise(story: Story, directory: Path, forget: Forget, *, sealing: bool) -> str | None:
    """Live through `story` in `directory`; None when every promise held, else what did not."""
    async with instar.open(directory / "home", settings=SETTINGS, clock=ManualClock()) as home:
        await _talk(story, home)
        if sealing:
            await _seal(home)
            await _talk(story, home)
    unseen = [word for word in story.secrets() if word not in _found(directory, story.secrets())]
    if unseen:
        return f"the search is blind: {unseen[0]} was said and not found before the erasure"
    async with instar.open(directory / "home", settings=SETTINGS, clock=ManualClock()) as home:
        receipt = await forget(home, PersonId(story.forgotten))
        if recalled := await _recalled(home, story):
            return f"{recalled} is still recalled"
    if left := _found(directory, story.secrets()):
        return f"{left[0]} is still in the files"
    lost = [word for word in story.kept() if word not in _found(directory, story.kept())]
    if lost:
        return f"{lost[0]} of another person is lost"
    return None if receipt.verified_absent else "the receipt denies what the files show: that all is gone"


async def _talk(story: Story, home: Home) -> None:
    async with agent_for(home, SETTINGS, clock=ManualClock()) as agent:
        for turn in range(story.random.randint(8, 20)):
            person = list(story.words)[turn % len(story.words)]
            shared = story.random.random() < 0.3
            channel = "kitchen" if shared else f"room {person}"
            await agent.ask(story.line(person), person=person, channel=channel, shared=shared)


async def _seal(home: Home) -> None:
    ports: tuple[Any, ...] = (home.conversations, home.profiles, home.memories, home.workflows)
    for port in ports:
        await port.engine.seal()


async def _recalled(home: Home, story: Story) -> str | None:
    """A secret that a search still brings up for someone, if there is one."""
    scopes = [Scope(PersonId(person), (ChannelId("kitchen"),)) for person in story.words]
    for scope in scopes:
        for word in story.secrets():
            hits = await home.memories.search(word, scope=scope)
            if any(word in hit.memory.text for hit in hits):
                return word
    return None


def _found(directory: Path, words: Sequence[str]) -> list[str]:
    """Which of `words` stand in any file below `directory`, or in its name."""
    contents = list(_contents(directory))
    return [word for word in words if any(word.encode() in content for content in contents)]


def _contents(directory: Path) -> Iterator[bytes]:
    for file in sorted(directory.rglob("*")):
        yield str(file.relative_to(directory)).encode()
        if file.is_file():
            yield file.read_bytes()
        if file.suffix == ".parquet":
            yield _read_segment(file)


def _read_segment(file: Path) -> bytes:
    from pyarrow import parquet

    return repr(parquet.read_table(file).to_pylist()).encode()
