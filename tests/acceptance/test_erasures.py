from __future__ import annotations

import msgspec
import pytest

import instar
from instar.core.ids import PersonId
from instar.core.records import Message, MessageRef
from instar.stores.erasure import Receipt
from instar.stores.home import Home
from instar.testing.erasures import run_erasures

CLAIM = Receipt(
    receipt_id="r1",
    records={},
    verified_absent=True,
    bytes_scanned=1,
    needles=1,
    forgotten_at=None,
    person_hash="",
)


async def claims_only(home: Home, person: PersonId) -> Receipt:
    return CLAIM


async def hides_but_leaves_the_bytes(home: Home, person: PersonId) -> Receipt:
    erased = await home.conversations.erase_person(person)
    await home.memories.forget_message(erased.messages)
    await home.memories.erase_person(person)
    await home.profiles.delete(person)
    await home.workflows.erase_person(person)
    return CLAIM


async def leaves_the_memories(home: Home, person: PersonId) -> Receipt:
    await home.conversations.erase_person(person)
    await home.conversations.purge([])
    return CLAIM


async def takes_everybody(home: Home, person: PersonId) -> Receipt:
    for count in await home.conversations.people():
        await Home.forget(home, count.person)
    return CLAIM


async def denies(home: Home, person: PersonId) -> Receipt:
    return msgspec.structs.replace(await Home.forget(home, person), verified_absent=False)


def test_forgetting_leaves_no_byte_of_the_forgotten_and_everything_of_the_others():
    outcome = run_erasures(seed=20, rounds=4)
    assert outcome.held, outcome.figure
    assert outcome.rounds == 4


@pytest.mark.parametrize(
    ("liar", "caught"),
    [
        (claims_only, "still recalled"),
        (hides_but_leaves_the_bytes, "still in the files"),
        (leaves_the_memories, "still recalled"),
        (takes_everybody, "of another person is lost"),
        (denies, "the receipt denies"),
    ],
)
def test_the_proof_catches_one_that_does_not_forget(liar, caught):
    outcome = run_erasures(seed=20, rounds=1, forget=liar)
    assert not outcome.held
    assert caught in outcome.figure


async def test_a_dry_run_counts_the_replies_that_would_go_too() -> None:
    async with instar.open("memory:") as home:
        said = Message(id="1", channel="c", author="ada", text="The boat is blue.", shared=True)
        quoting = Message(
            id="r",
            channel="d",
            author="instar",
            role="agent",
            person="bob",
            text="x",
            citations=(MessageRef("c", "1"),),
        )
        on_top = Message(
            id="s",
            channel="d",
            author="instar",
            role="agent",
            person="bob",
            text="y",
            citations=(MessageRef("d", "r"),),
        )
        await home.conversations.append_many([said, quoting, on_top])
        announced = await home.forget("ada", dry_run=True)
        receipt = await home.forget("ada")
    assert announced.records["conversations"] == receipt.records["conversations"] == 3
