"""Runs workflows in this process; what is begun and not finished is found again after a kill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from instar.orchestration.step import Run
from instar.stores.workflows.port import Workflow, WorkflowStore

Result = TypeVar("Result")


class LocalEngine:
    """Begins workflows on a workflow store, replays their finished steps and takes them away at the end."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store

    async def run(
        self,
        workflow: Workflow,
        body: Callable[[Run], Awaitable[Result]],
        *,
        ends_on: tuple[type[BaseException], ...] = (),
    ) -> Result:
        """Begin `workflow` (or take up the begun one of this id), run `body` and finish it.

        An error of a class in `ends_on` finishes it too and is raised: whoever asked has been told. After
        any other error, and after a kill, it stays begun and `unfinished` returns it.
        """
        begun = await self._store.begin(workflow)
        try:
            result = await body(Run(self._store, begun))
        except ends_on:
            await self._store.finish(workflow.id)
            raise
        await self._store.finish(workflow.id)
        return result

    async def unfinished(self, name: str) -> Sequence[Workflow]:
        """Every begun workflow of this name, oldest first."""
        return await self._store.unfinished(name)
