"""The proof that damage is seen: one bit of one file of a home is turned over, and nothing wrong is ever read.

For each flip: the doctor or the opening names it, or it did no harm, which is shown by reading everything back
and finding what was stored. No record ever comes back different. Afterwards a repair gives a home that opens and
that the doctor calls well; only where it said that it gives something up is a record gone, or older.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import instar
from instar.core.clock import ManualClock
from instar.core.errors import InstarError
from instar.core.ids import ChannelId, MemoryId, MessageId, PersonId
from instar.core.records import Memory, Message, Profile
from instar.core.settings import EmbeddingSettings, Settings
from instar.stores.examination import examine_home, repair_home
from instar.stores.home import Home
from instar.stores.owner import SOCKET_NAME
from instar.testing.outcome import Outcome

SETTINGS = Settings(embeddings=EmbeddingSettings(kind="hashing"))
MOVABLE = ("conversations", "profiles", "memories")
KILLED_SHARE = 0.25  # of the flips are in a home whose owner was killed
PEOPLE = ("ada", "bob", "cyd")

Records = Mapping[str, object]
"""Every live record of a home by port and key."""
History = Sequence[Records]
"""What a home held after each step, the newest last."""


class BrokenPromiseError(Exception):
    """What a flip should not have brought about."""


class Seen(msgspec.Struct, kw_only=True):
    """What became of one flip."""

    file: str
    bit: int
    found: bool = False
    """False for one that did no harm."""
    lost: int = 0
    """Records, or their newest form, given up by the repair."""


def run_byte_flips(seed: int, rounds: int) -> Outcome:
    """Turn one bit over, `rounds` times, each in a copy of one home."""
    randomness = random.Random(seed)
    found = lost = 0
    with tempfile.TemporaryDirectory(prefix="instar-flips-") as directory:
        home = Path(directory) / "home"
        killed = Path(directory) / "killed"
        history = asyncio.run(begun(home, randomness, killed=killed))
        for number in range(rounds):
            copy = Path(directory) / f"copy-{number}"
            was_killed = randomness.random() < KILLED_SHARE
            shutil.copytree(killed if was_killed else home, copy)
            try:
                seen = asyncio.run(flipped(copy, history, randomness, was_killed=was_killed))
            except (BrokenPromiseError, InstarError) as broken:
                figure = f"seed {seed}, flip {number}: {broken}"
                return Outcome(name="byte-flips", rounds=number + 1, figure=figure, held=False)
            found += seen.found
            lost += seen.lost
            shutil.rmtree(copy)
    figure = f"{found:,} flips named, {rounds - found:,} harmless, {lost:,} records given up, 0 read wrong"
    return Outcome(name="byte-flips", rounds=rounds, figure=figure, held=True)


async def begun(path: Path, randomness: random.Random, *, killed: Path | None = None) -> History:
    """Begin a home with sealed and unsealed records, deletions, a forgotten person, caches and receipts.

    `killed` becomes what a kill at the end would leave: the same, without the marks of a clean close.
    """
    history: list[Records] = []
    async with opening(path) as home:
        await _forget_dan(home)
        for number in range(36):
            await _say(home, number, randomness)
            if number == 20:
                await home.memories.forget_message([("c1", MessageId("m3"))])
            if number in {11, 23}:
                await _seal(home)
            history.append(await records(home))
        if killed is not None:
            shutil.copytree(path, killed, ignore=shutil.ignore_patterns(SOCKET_NAME))
    return history


def opening(path: Path) -> Any:
    """The home at `path`, about to be opened."""
    return instar.open(path, settings=SETTINGS, clock=ManualClock())


async def _say(home: Home, number: int, randomness: random.Random) -> None:
    person = PersonId(PEOPLE[number % len(PEOPLE)])
    text = " ".join("".join(randomness.choices("abcdefgh", k=7)) for _ in range(9))
    await home.conversations.append(
        Message(id=_message_id(number), channel=ChannelId(f"c{number % 2}"), author=person, text=text)
    )
    source = _message_id(number)
    memory = Memory(id=MemoryId(f"n{number}"), person=person, kind="note", text=text, source_message_id=source)
    await home.memories.remember([memory])
    known = await home.profiles.load(person)
    version = 0 if known is None else known.version
    await home.profiles.save(Profile(person=person, interaction_count=number), expected_version=version)


def _message_id(number: int) -> MessageId:
    return MessageId(f"m{number}")


async def _forget_dan(home: Home) -> None:
    dan = PersonId("dan")
    secret = Message(id=MessageId("d1"), channel=ChannelId("c0"), author=dan, text="a secret that goes with him")
    await home.conversations.append(secret)
    await home.forget(dan)


async def _seal(home: Home) -> None:
    ports: tuple[Any, ...] = (home.conversations, home.profiles, home.memories, home.workflows)
    for port in ports:
        await port.engine.seal()


async def records(home: Home) -> Records:
    """What a home holds."""
    found: dict[str, object] = {}
    for name in MOVABLE:
        after: tuple[str, ...] | None = None
        while page := await getattr(home, name).scan(after):
            for record in page:
                found["\0".join((name, *record.key))] = record.value
            after = page[-1].key
    return {key: value for key, value in found.items() if value is not None}


async def flipped(path: Path, history: History, randomness: random.Random, *, was_killed: bool = False) -> Seen:
    """Turn one bit over in a home that had this history, and see what comes of it.

    After a kill nothing says that the last group of writes had ended, so damage in it looks like a write that
    did not end: the step that made it may be missing, and nothing older.
    """
    file, bit = _flip(path, randomness)
    seen = Seen(file=file.relative_to(path).as_posix(), bit=bit)
    unsaid = history[-2:] if was_killed else history[-1:]
    seen.found = not all(each.ok for each in examine_home(path))
    read = await read_back(path, unsaid)
    seen.found = seen.found or read is None
    gives_up = _mended(path)
    left = await read_back(path, history if gives_up else unsaid)
    if left is None:
        raise BrokenPromiseError("it does not open after the repair")
    seen.lost = sum(all(left.get(key) != held.get(key) for held in unsaid) for key in history[-1])
    if seen.lost and not (seen.found and gives_up):
        raise BrokenPromiseError(f"{seen.lost} records are gone and nobody said so")
    return seen


def _flip(path: Path, randomness: random.Random) -> tuple[Path, int]:
    """One bit of any file; small files as likely as large ones, and zeros less likely than what is written."""
    file = randomness.choice(sorted(each for each in path.rglob("*") if each.is_file()))
    data = bytearray(file.read_bytes())
    written = len(data.rstrip(b"\0")) or len(data)
    offset = randomness.randrange(8 * (len(data) if randomness.random() < 0.1 else written))
    data[offset // 8] ^= 1 << (offset % 8)
    file.write_bytes(data)
    return file, offset


async def read_back(path: Path, history: History) -> Records | None:
    """What a home holds; None when it refuses to be opened or read. Each record is as it was at a time of `history`."""
    try:
        async with opening(path) as home:
            found = await records(home)
    except InstarError:
        return None
    wrong = [key for key, value in found.items() if all(stored.get(key) != value for stored in history)]
    if wrong:
        raise BrokenPromiseError(f"{wrong[0]!r} is not what was stored")
    return found


def _mended(path: Path) -> bool:
    """Repair a home that the doctor then calls well; True when something was given up."""
    done = repair_home(path, clock=ManualClock(), tell=lambda _: None)
    left = [each for each in examine_home(path) if not each.ok]
    if left:
        raise BrokenPromiseError(f"after the repair the doctor finds: {left[0].detail}")
    return any(repair.gives_up for repair in done)
