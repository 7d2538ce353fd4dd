"""A step: an effect whose result is kept, so that a workflow begun again does not do it twice.

The effect itself runs at least once: a process killed between the effect and the record of its result
repeats it. Effects with an identity of their own (a message appended under its id) need no step, and may
run while the beginning of the workflow is still being made durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from instar.core.errors import StoreCorrupt
from instar.stores.workflows.port import Workflow, WorkflowStore

Result = TypeVar("Result")


class Run:
    """One run of a workflow: knows which of its steps are done once its beginning is durable."""

    def __init__(self, store: WorkflowStore, beginning: Awaitable[Workflow]) -> None:
        """`beginning` may be awaited several times."""
        self._store = store
        self._beginning = beginning

    async def begun(self) -> Workflow:
        """The workflow with its steps, durable: from here on a kill does not forget it.

        What others see of a run (a word of a reply) leaves after this. Raises what kept it from beginning.
        """
        return await self._beginning

    async def step(self, name: str, effect: Callable[[], Awaitable[Result]], kind: type[Result]) -> Result:
        """Return the result of step `name`: the kept one, or that of running `effect` now, durable on return.

        The effect runs after `begun`. When two runs of one workflow reach the step together, the result stored
        first is both's result.
        """
        workflow = await self.begun()
        kept = workflow.steps.get(name)
        if kept is None:
            fresh = msgspec.msgpack.encode(await effect())
            kept = await self._store.finish_step(workflow.id, name, fresh)
        return self._decoded(workflow.id, name, kept, kind)

    def _decoded(self, workflow_id: str, name: str, kept: bytes, kind: type[Result]) -> Result:
        try:
            return msgspec.msgpack.decode(kept, type=kind)
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"step {name!r} of workflow {workflow_id!r} does not read back as {kind.__name__}",
                why=str(error),
                next="instar doctor",
            ) from error
