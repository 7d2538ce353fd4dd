"""Runs workflows in this process; what is begun and not finished is found again after a kill."""

from __future__ import annotations

import asyncio
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

        `body` starts while the beginning is made durable; its first step waits for that. An error of a class
        in `ends_on` finishes the workflow too and is raised: whoever asked has been told. After any other
        error, and after a kill, it stays begun and `unfinished` returns it.
        """
        beginning = asyncio.ensure_future(self._store.begin(workflow))
        try:
            result = await body(Run(self._store, beginning))
        except ends_on:
            await self._finished(workflow, beginning)
            raise
        finally:
            await asyncio.wait({beginning})
            _ = beginning.cancelled() or beginning.exception()  # an error of `body` goes before it
        await self._finished(workflow, beginning)
        return result

    async def _finished(self, workflow: Workflow, beginning: Awaitable[Workflow]) -> None:
        await beginning
        await self._store.finish(workflow.id)

    async def unfinished(self, name: str) -> Sequence[Workflow]:
        """Every begun workflow of this name, oldest first."""
        return await self._store.unfinished(name)
