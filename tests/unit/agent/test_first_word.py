"""What a person waits for before the first word: two syncs, no index written. Counted, not timed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instar.agent.reply import Recalled, ReplyDelta
from instar.agent.turn import Agent
from instar.core.clock import ManualClock
from instar.core.records import Memory, Message
from instar.embeddings.hashing import HashingEmbedder
from instar.models.scripted import ScriptedModel
from instar.stores.home import Home, open_home
from instar.stores.registry import locate

TURNS = ["The spare key hangs behind the meter.", "Where is the spare key?", "The oak is old.", "How old is the oak?"]


class Waited:
    """The syncs until now, and the state of the words index's files."""

    def __init__(self, home: Path) -> None:
        self._index = home / "memories" / "cache" / "words"
        self.syncs = 0

    def index(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self._index.iterdir()}


@pytest.fixture
def waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Waited:
    waited, really = Waited(tmp_path / "home"), (os.fsync, os.fdatasync)

    def fsync(descriptor: int) -> None:
        waited.syncs += 1
        really[0](descriptor)

    def fdatasync(descriptor: int) -> None:
        waited.syncs += 1
        really[1](descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return waited


@pytest.fixture
async def filed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Home]:
    """A home on files whose words index is on disk."""
    where = locate(f"file:{tmp_path / 'home'}")
    async with await open_home(where, embedder=HashingEmbedder(), clock=clock) as opened:
        told = [
            Memory(id=f"{number:05d}", person="ada", kind="note", text=f"Tree {number} is old.")  # type: ignore[arg-type]
            for number in range(1_200)
        ]
        await opened.memories.remember(told)
        yield opened


async def test_a_turn_waits_for_two_syncs_and_no_index_before_its_first_word(
    filed: Home, waited: Waited, clock: ManualClock
) -> None:
    async with Agent(filed, model=ScriptedModel(lambda _: "Noted."), clock=clock) as agent:
        await agent.ask("Hello there, old oak.", person="ada")
        before, found = waited.index(), []
        for text in TURNS:
            waited.syncs = 0
            async for event in agent.stream(text, person="ada"):
                if isinstance(event, Recalled):
                    found.append(len(event.hits))
                if isinstance(event, ReplyDelta):
                    assert 1 <= waited.syncs <= 2
                    assert waited.index() == before
        assert found[1] > 0
        assert found[3] > 0
        assert waited.syncs > 2, "the last turn went on to store its reply"


async def test_what_was_said_in_the_turn_before_is_found_though_no_index_has_it(
    filed: Home, waited: Waited, clock: ManualClock
) -> None:
    async with Agent(filed, clock=clock) as agent:
        await agent.ask("Hello there, old oak.", person="ada")
        before = waited.index()
        await agent.ask("The spare key hangs behind the meter.", person="ada", message_id="m1")
        reply = await agent.ask("Where is the spare key?", person="ada")
        assert [each.message_id for each in reply.citations] == ["m1"]
        assert waited.index() == before


async def test_a_message_kept_without_its_turn_is_answered_when_it_is_delivered_again(
    home: Home, clock: ManualClock
) -> None:
    async with Agent(home, model=ScriptedModel(["First."]), clock=clock) as agent:
        await agent.ask("The oak is old.", person="ada", message_id="m1")
    left = Message(id="m2", channel="cli", author="ada", person="ada", text="The elm is young.", sent_at=clock.now())  # type: ignore[arg-type]
    await home.conversations.append(left)
    async with Agent(home, model=ScriptedModel(["Second."]), clock=clock) as agent:
        assert len(await home.conversations.window("cli", limit=9)) == 3  # type: ignore[arg-type]
        assert (await agent.ask("The elm is young.", person="ada", message_id="m2")).reply == "Second."
    window = await home.conversations.window("cli", limit=9)  # type: ignore[arg-type]
    assert [each.text for each in window] == ["The oak is old.", "First.", "The elm is young.", "Second."]
