"""What happens to memories when the home gets another embedder."""

from __future__ import annotations

from instar.core.clock import ManualClock
from instar.core.ids import MemoryId, PersonId
from instar.core.records import Memory, Scope
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.segment.files import MemoryFiles
from instar.testing.backends import FORGET_KEY

ADA = PersonId("ada")


class NewerHashing(HashingEmbedder):
    """An embedder whose vectors mean something else."""

    name = "newer hashing"
    fingerprint = "hashing-1/newer"


def memory(number: int) -> Memory:
    return Memory(id=MemoryId(f"{number:03d}"), person=ADA, kind="fact", text=f"Kettle number {number} is green.")


async def opened(files: MemoryFiles, epoch: int, embedder: HashingEmbedder) -> EmbeddedMemoryStore:
    return await EmbeddedMemoryStore.open(
        files, clock=ManualClock(), epoch=epoch, forget_key=FORGET_KEY, embedder=embedder
    )


async def legs(store: EmbeddedMemoryStore) -> set[tuple[bool, bool]]:
    """For each hit whether words and whether meaning found it."""
    hits = await store.search("green kettle", scope=Scope(ADA), limit=100)
    assert hits
    return {(hit.why.word_rank is not None, hit.why.meaning_rank is not None) for hit in hits}


async def test_memories_of_the_earlier_embedder_are_found_by_words_until_they_are_embedded_again() -> None:
    files = MemoryFiles()
    store = await opened(files, 1, HashingEmbedder())
    await store.remember([memory(number) for number in range(7)])
    await store.supersede(MemoryId("000"), memory(7))
    assert await legs(store) == {(True, True)}
    await store.close()

    store = await opened(files, 2, NewerHashing())
    assert await legs(store) == {(True, False)}
    assert await store.embedder() == "newer hashing; 7 memories of another embedder are found by words only"
    assert [await store.reembed(limit=4), await store.reembed(limit=4), await store.reembed(limit=4)] == [4, 3, 0]
    assert await legs(store) == {(True, True)}
    assert await store.embedder() == "newer hashing"
    await store.close()

    store = await opened(files, 3, NewerHashing())
    assert await legs(store) == {(True, True)}
    await store.close()


async def test_embedding_again_changes_nothing_but_the_vector() -> None:
    files = MemoryFiles()
    store = await opened(files, 1, HashingEmbedder())
    await store.remember([memory(1)])
    await store.pin(MemoryId("001"), pinned=True)
    before = await store.get(MemoryId("001"))
    await store.close()
    store = await opened(files, 2, NewerHashing())
    assert await store.reembed() == 1
    after = await store.get(MemoryId("001"))
    assert before is not None
    assert after is not None
    assert (after.text, after.pinned, after.vector) == (before.text, True, before.vector)
    assert after.embedder == NewerHashing.fingerprint
    await store.close()
