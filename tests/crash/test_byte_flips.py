"""One bit turned over anywhere in a home: it is named or harmless, and a repair gives a home that opens."""

from __future__ import annotations

import random

import pytest

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message
from instar.testing.byte_flips import BrokenPromiseError, begun, opening, read_back, records, run_byte_flips

FLIPS = 150


def test_every_flip_is_named_or_harmless_and_mended():
    outcome = run_byte_flips(20_261, FLIPS)
    assert outcome.held, outcome.figure


async def test_the_proof_sees_a_record_that_comes_back_different(tmp_path):
    history = await begun(tmp_path / "home", random.Random(1))
    key = next(iter(history[-1]))
    with pytest.raises(BrokenPromiseError, match="is not what was stored"):
        await read_back(tmp_path / "home", [{**history[-1], key: "something else"}])


async def test_the_proof_sees_a_record_that_comes_back_from_the_dead(tmp_path):
    history = await begun(tmp_path / "home", random.Random(1))
    async with opening(tmp_path / "home") as home:
        risen = Message(id=MessageId("d1"), channel=ChannelId("c9"), author=PersonId("eve"), text="back again")
        await home.conversations.append(risen)
        assert len(await records(home)) == len(history[-1]) + 1
    with pytest.raises(BrokenPromiseError):
        await read_back(tmp_path / "home", history)
