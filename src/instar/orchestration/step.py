"""A step: an effect whose result is kept, so that a workflow begun again does not do it twice.

The effect itself runs at least once: a process killed between the effect and the record of its result
repeats it. Effects with an identity of their own (a message appended under its id) need no step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from instar.core.errors import StoreCorrupt
from instar.stores.workflows.port import Workflow, WorkflowStore

Result = TypeVar("Result")


class Run:
    """One run of a begun workflow: knows which of its steps are done."""

    def __init__(self, store: WorkflowStore, workflow: Workflow) -> None:
        self._store = store
        self._workflow = workflow

    async def step(self, name: str, effect: Callable[[], Awaitable[Result]], kind: type[Result]) -> Result:
        """Return the result of step `name`: the kept one, or that of running `effect` now, durable on return.

        When two runs of one workflow reach the step together, the result stored first is both's result.
        """
        kept = self._workflow.steps.get(name)
        if kept is None:
            fresh = msgspec.msgpack.encode(await effect())
            kept = await self._store.finish_step(self._workflow.id, name, fresh)
        return self._decoded(name, kept, kind)

    def _decoded(self, name: str, kept: bytes, kind: type[Result]) -> Result:
        try:
            return msgspec.msgpack.decode(kept, type=kind)
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"step {name!r} of workflow {self._workflow.id!r} does not read back as {kind.__name__}",
                why=str(error),
                next="instar doctor",
            ) from error
