"""What every workflow store promises: the sentences of `port.py`, each as a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from instar.core.errors import NotFound
from instar.core.ids import PersonId
from instar.stores.movable_contract import Backend, PurgeableContract
from instar.stores.workflows.port import Workflow, WorkflowStore

ADA, BOB = PersonId("ada"), PersonId("bob")
EVERY_BYTE = bytes(range(256))


def workflow(id_: str = "w", **fields: Any) -> Workflow:
    """A turn of Ada's, unless told otherwise."""
    return Workflow(id=id_, **{"name": "turn", "person": ADA, "input": b"question", **fields})


class WorkflowsContract(PurgeableContract[WorkflowStore]):
    """The clauses of `WorkflowStore`. A subclass gives the fixture `backend`."""

    # --- what the clauses of every purgeable store need -----------------------------------------

    async def fill(self, store: WorkflowStore, names: Sequence[str]) -> None:
        for name in names:
            await store.begin(workflow(name, person=PersonId(name), input=self.needle(name)))
            await store.finish_step(name, "recall", b"result: " + self.needle(name))

    async def remove(self, store: WorkflowStore, name: str) -> None:
        await store.erase_person(PersonId(name))

    async def present(self, store: WorkflowStore, name: str) -> bool:
        found = await store.load(name) is not None
        assert found == (name in [each.id for each in await store.unfinished("turn")])
        return found

    def needle(self, name: str) -> bytes:
        return f"what only {name} asked".encode()

    # --- begin ----------------------------------------------------------------------------------

    async def test_begin_stores_a_workflow_and_returns_it(self, store: WorkflowStore) -> None:
        begun = workflow("grüße/日本\x00", name="名前", person=PersonId("ζωή"), input=EVERY_BYTE)
        assert await store.begin(begun) == begun
        assert await store.load(begun.id) == begun

    async def test_begin_is_durable_when_it_returns(self, store: WorkflowStore, backend: Backend[Any]) -> None:
        await store.begin(workflow())
        killed = await backend.open_killed()
        assert await killed.load("w") == workflow()

    async def test_a_workflow_already_begun_is_returned_unchanged(self, store: WorkflowStore) -> None:
        await store.begin(workflow(input=b"first"))
        await store.finish_step("w", "recall", b"1")
        again = await store.begin(workflow(input=b"second", person=BOB))
        assert again == workflow(input=b"first", steps={"recall": b"1"})
        assert await store.load("w") == again

    async def test_a_workflow_begun_twice_at_the_same_time_is_begun_once(self, store: WorkflowStore) -> None:
        answers = await asyncio.gather(*(store.begin(workflow(input=b"%d" % n)) for n in range(8)))
        assert len({answer.input for answer in answers}) == 1
        assert await store.load("w") == answers[0]

    async def test_steps_a_workflow_is_begun_with_are_kept(self, store: WorkflowStore) -> None:
        begun = await store.begin(workflow(steps={"a": b"1", "b": b"2"}))
        assert await store.load("w") == begun
        assert await store.finish_step("w", "a", b"other") == b"1"

    # --- steps ----------------------------------------------------------------------------------

    async def test_finish_step_stores_the_result_durably_and_returns_it(
        self, store: WorkflowStore, backend: Backend[Any]
    ) -> None:
        await store.begin(workflow())
        assert await store.finish_step("w", "respond", EVERY_BYTE) == EVERY_BYTE
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert await handle.load("w") == workflow(steps={"respond": EVERY_BYTE})

    async def test_the_result_stored_first_wins_and_is_returned(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        await store.finish_step("w", "respond", b"first")
        assert await store.finish_step("w", "respond", b"second") == b"first"
        assert await store.load("w") == workflow(steps={"respond": b"first"})

    async def test_of_results_at_the_same_time_one_wins_for_all(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        answers = await asyncio.gather(*(store.finish_step("w", "respond", b"%d" % n) for n in range(8)))
        assert len(set(answers)) == 1
        assert await store.load("w") == workflow(steps={"respond": answers[0]})

    async def test_an_empty_result_is_a_result(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        await store.finish_step("w", "respond", b"")
        assert await store.finish_step("w", "respond", b"late") == b""
        assert await store.load("w") == workflow(steps={"respond": b""})

    async def test_steps_belong_to_their_workflow(self, store: WorkflowStore) -> None:
        for id_ in ("w", "w\x00", "ww"):
            await store.begin(workflow(id_))
            await store.finish_step(id_, "respond", id_.encode())
        for id_ in ("w", "w\x00", "ww"):
            assert await store.load(id_) == workflow(id_, steps={"respond": id_.encode()})

    async def test_a_step_of_a_workflow_that_is_not_begun_is_refused(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        await store.finish("w")
        with pytest.raises(NotFound):
            await store.finish_step("w", "respond", b"late")
        await store.begin(workflow())
        assert await store.load("w") == workflow()

    # --- load, finish, unfinished ---------------------------------------------------------------

    async def test_load_returns_none_for_what_was_never_begun_or_has_finished(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        await store.finish("w")
        assert await store.load("w") is None
        assert await store.load("never") is None

    async def test_finish_takes_the_workflow_and_its_steps_away(self, store: Any, backend: Backend[Any]) -> None:
        await store.begin(workflow())
        await store.finish_step("w", "respond", b"1")
        await store.finish("w")
        assert list(await store.unfinished("turn")) == []
        await store.close()
        later = await backend.open()
        await later.begin(workflow(input=b"again"))
        assert await later.load("w") == workflow(input=b"again")

    async def test_finishing_what_is_not_there_changes_nothing(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        await store.finish("never")
        assert await store.load("w") == workflow()

    async def test_finish_leaves_other_workflows(self, store: WorkflowStore) -> None:
        for id_ in ("w", "w\x00", "ww"):
            await store.begin(workflow(id_, steps={"a": b"1"}))
        await store.finish("w")
        assert [each.id for each in await store.unfinished("turn")] == ["w\x00", "ww"]
        assert await store.load("ww") == workflow("ww", steps={"a": b"1"})

    async def test_a_finished_workflow_leaves_no_bytes_after_a_purge(self, store: Any, backend: Backend[Any]) -> None:
        await self.fill(store, ["ada", "bob"])
        await store.finish("ada")
        assert (await store.purge([self.needle("ada")])).found == 0
        assert self.needle("ada") not in backend.raw()

    async def test_unfinished_lists_every_workflow_of_the_name_oldest_first(self, store: WorkflowStore) -> None:
        for id_ in ("c", "a", "b"):
            await store.begin(workflow(id_))
        await store.begin(workflow("d", name="move"))
        await store.finish_step("c", "recall", b"1")
        unfinished = await store.unfinished("turn")
        assert [each.id for each in unfinished] == ["c", "a", "b"]
        assert unfinished[0] == workflow("c", steps={"recall": b"1"})
        assert [each.id for each in await store.unfinished("move")] == ["d"]
        assert list(await store.unfinished("never")) == []

    async def test_unfinished_is_the_same_after_reopening(self, store: Any, backend: Backend[Any]) -> None:
        for id_ in ("c", "a", "b"):
            await store.begin(workflow(id_))
        before = await store.unfinished("turn")
        await store.close()
        later = await backend.open()
        assert list(await later.unfinished("turn")) == list(before)

    # --- erasure --------------------------------------------------------------------------------

    async def test_erasing_a_person_takes_all_their_workflows_durably_and_counts_them(
        self, store: WorkflowStore, backend: Backend[Any]
    ) -> None:
        await store.begin(workflow("a", steps={"x": b"1"}))
        await store.begin(workflow("b", name="move"))
        await store.begin(workflow("c", person=BOB))
        assert await store.erase_person(ADA) == 2
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert [await handle.load(id_) for id_ in "ab"] == [None, None]
            assert await handle.load("c") == workflow("c", person=BOB)

    async def test_erasing_someone_unknown_takes_nothing(self, store: WorkflowStore) -> None:
        await store.begin(workflow())
        assert await store.erase_person(BOB) == 0
        assert await store.load("w") == workflow()

    async def test_a_workflow_may_begin_again_after_its_person_was_erased(self, store: WorkflowStore) -> None:
        await store.begin(workflow(steps={"a": b"1"}))
        await store.erase_person(ADA)
        anew = msgspec.structs.replace(workflow(), input=b"new")
        assert await store.begin(anew) == anew
        assert await store.load("w") == anew
