"""Writers of an embedded store: who waits for whom, and what becomes of one whose caller goes away."""

from __future__ import annotations

import asyncio

import pytest

from instar.core.errors import HomeClosed
from instar.core.records import Message, Profile
from instar.stores.claims import Claims
from instar.stores.conversations.embedded import EmbeddedConversationStore
from instar.stores.profiles.embedded import EmbeddedProfileStore
from instar.testing.backends import EmbeddedBackend


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_writers_of_different_keys_go_side_by_side_and_of_one_key_take_turns() -> None:
    claims, order = Claims(), []
    release = asyncio.Event()

    async def write(name: str, *keys: str) -> None:
        async with claims.of(*keys):
            order.append(name)
            await release.wait()

    tasks = [asyncio.create_task(write(*each)) for each in (("one", "a"), ("two", "b"), ("three", "a", "c"))]
    await settled()
    assert order == ["one", "two"]
    release.set()
    await asyncio.gather(*tasks)
    assert order == ["one", "two", "three"]


async def test_a_claim_of_everything_waits_for_all_and_lets_nobody_in_meanwhile() -> None:
    claims, order = Claims(), []
    first, alone = asyncio.Event(), asyncio.Event()

    async def write(name: str, key: str, until: asyncio.Event) -> None:
        async with claims.of(key):
            order.append(name)
            await until.wait()

    async def change() -> None:
        async with claims.of_everything():
            order.append("everything")
            await alone.wait()

    tasks = [asyncio.create_task(write("before", "a", first))]
    await settled()
    tasks += [asyncio.create_task(change()), asyncio.create_task(write("behind", "b", alone))]
    await settled()
    assert order == ["before"]
    first.set()
    await settled()
    assert order == ["before", "everything"]
    alone.set()
    await asyncio.gather(*tasks)
    assert order == ["before", "everything", "behind"]


async def test_a_cancelled_wait_for_everything_leaves_nobody_waiting() -> None:
    claims = Claims()
    async with claims.of("a"):
        waiting = asyncio.create_task(claims.of_everything().__aenter__())
        behind = asyncio.create_task(claims.of("b").__aenter__())
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await behind


async def test_an_append_whose_caller_went_away_is_stored_once() -> None:
    backend = EmbeddedBackend(EmbeddedConversationStore.open)
    store = await backend.open()
    message = Message(id="a", channel="hall", author="ada", text="hello")
    first = asyncio.create_task(store.append(message))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await store.append(message)
    assert [each.position for each in await store.page()] == [1]
    await backend.close()


async def test_close_waits_for_writes_whose_caller_went_away() -> None:
    backend = EmbeddedBackend(EmbeddedProfileStore.open)
    store = await backend.open()
    saving = asyncio.create_task(store.save(Profile(person="ada"), expected_version=0))
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    await store.close()
    later = await backend.open()
    assert await later.people() == ["ada"]
    await backend.close()


async def test_a_write_to_a_closed_store_is_refused() -> None:
    backend = EmbeddedBackend(EmbeddedProfileStore.open)
    store = await backend.open()
    await store.close()
    await store.close()
    with pytest.raises(HomeClosed):
        await store.save(Profile(person="ada"), expected_version=0)
    await backend.close()
