"""Workflows on the embedded engine: one record per begun workflow, one per finished step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec

from instar.core.errors import NotFound
from instar.core.ids import PersonId
from instar.stores.embedded import EmbeddedStore, decoded, encoded
from instar.stores.segment.store import Delete, Entry, Op, Put, key_of, prefix_range
from instar.stores.workflows.port import Workflow, WorkflowStore

WORKFLOWS = "workflows"
STEPS = "steps"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step with its result. Key: workflow, step."""

    workflow_id: str
    step: str
    result: bytes


_workflows = msgspec.msgpack.Decoder(Workflow)
_steps = msgspec.msgpack.Decoder(Step)


class EmbeddedWorkflowStore(EmbeddedStore):
    """The embedded backend."""

    collections: ClassVar[dict[str, type[msgspec.Struct]]] = {WORKFLOWS: Workflow, STEPS: Step}

    async def begin(self, workflow: Workflow) -> Workflow:
        return await self._whole(self._begin(workflow))

    async def finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        return await self._whole(self._finish_step(workflow_id, step, result))

    async def load(self, workflow_id: str) -> Workflow | None:
        entry = self.engine.get(WORKFLOWS, key_of(workflow_id))
        return None if entry is None else self._with_steps(entry)

    async def finish(self, workflow_id: str) -> None:
        await self._whole(self._finish(workflow_id))

    async def unfinished(self, name: str) -> Sequence[Workflow]:
        begun = sorted(self.engine.scan(WORKFLOWS), key=lambda entry: entry.version)
        return [self._with_steps(entry) for entry in begun if _workflow(entry).name == name]

    async def erase_person(self, person: PersonId) -> int:
        return await self._whole(self._erase_person(person))

    async def _begin(self, workflow: Workflow) -> Workflow:
        async with self._claims.of(workflow.id):
            begun = await self.load(workflow.id)
            if begun is not None:
                return begun
            steps = [_step_put(workflow, step, result) for step, result in workflow.steps.items()]
            await self._commit([*steps, _workflow_put(workflow)])
            return workflow

    async def _finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        async with self._claims.of(workflow_id):
            finished = self.engine.get(STEPS, key_of(workflow_id, step))
            if finished is not None:
                return _step(finished).result
            entry = self.engine.get(WORKFLOWS, key_of(workflow_id))
            if entry is None:
                raise _not_begun(workflow_id, step)
            await self._commit([_step_put(_workflow(entry), step, result)])
            return result

    async def _finish(self, workflow_id: str) -> None:
        async with self._claims.of(workflow_id):
            entry = self.engine.get(WORKFLOWS, key_of(workflow_id))
            if entry is not None:
                await self._commit(self._gone(_workflow(entry)), durability="buffered")

    async def _erase_person(self, person: PersonId) -> int:
        async with self._claims.of_everything():
            theirs = [w for w in map(_workflow, self.engine.scan(WORKFLOWS)) if w.person == person]
            for workflow in theirs:
                await self._commit(self._gone(workflow))
            return len(theirs)

    def _gone(self, workflow: Workflow) -> list[Op]:
        steps = self._step_entries(workflow.id)
        ops: list[Op] = [Delete(collection=STEPS, key=entry.key, subject=workflow.person) for entry in steps]
        return [*ops, Delete(collection=WORKFLOWS, key=key_of(workflow.id), subject=workflow.person)]

    def _with_steps(self, entry: Entry) -> Workflow:
        workflow = _workflow(entry)
        steps = sorted(self._step_entries(workflow.id), key=lambda entry: entry.version)
        return msgspec.structs.replace(workflow, steps={step.step: step.result for step in map(_step, steps)})

    def _step_entries(self, workflow_id: str) -> list[Entry]:
        start, stop = prefix_range(workflow_id)
        return list(self.engine.scan(STEPS, start=start, stop=stop))


def _workflow_put(workflow: Workflow) -> Put:
    alone = msgspec.structs.replace(workflow, steps={})
    return Put(collection=WORKFLOWS, key=key_of(workflow.id), value=encoded(alone), subject=workflow.person)


def _step_put(workflow: Workflow, step: str, result: bytes) -> Put:
    value = encoded(Step(workflow_id=workflow.id, step=step, result=result))
    return Put(collection=STEPS, key=key_of(workflow.id, step), value=value, subject=workflow.person)


def _workflow(entry: Entry) -> Workflow:
    assert entry.value is not None, "the entry is live"
    return decoded(_workflows, entry.value, "a workflow")


def _step(entry: Entry) -> Step:
    assert entry.value is not None, "the entry is live"
    return decoded(_steps, entry.value, "a workflow's step")


def _not_begun(workflow_id: str, step: str) -> NotFound:
    return NotFound(
        f"the step {step!r} of workflow {workflow_id!r} was not stored",
        why="no such workflow is begun: it has finished, or its person was forgotten",
        next="begin the workflow again; `instar status` counts the unfinished ones",
    )


if TYPE_CHECKING:
    _fulfils: type[WorkflowStore] = EmbeddedWorkflowStore
