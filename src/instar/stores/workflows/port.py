"""The workflow store: what was begun and not finished, and the results of finished steps.

It is what makes a killed process go on where it was: `orchestration/engine/local.py` replays a workflow
from here. A finished workflow leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from instar.core.ids import PersonId
from instar.stores.movable import Purgeable


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A begun workflow."""

    id: str
    name: str
    person: PersonId
    input: bytes
    """The argument it was begun with, encoded by its owner."""
    steps: dict[str, bytes] = {}
    """Result of each finished step, by name."""


class WorkflowStore(Purgeable, Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    async def begin(self, workflow: Workflow) -> Workflow:
        """Store a workflow and return it; durable when it returns. One with this id already begun is returned unchanged."""

    async def finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        """Store a step's result, durably, and return it. A result stored earlier for this step wins and is returned."""

    async def load(self, workflow_id: str) -> Workflow | None:
        """Return a begun workflow with its steps, or None when it was never begun or has finished."""

    async def finish(self, workflow_id: str) -> None:
        """Take the workflow and its steps away. Not durable by itself: a workflow finished just before a power
        loss may be seen as unfinished once more. Finishing one that is not there changes nothing.
        """

    async def unfinished(self, name: str) -> Sequence[Workflow]:
        """Return every begun workflow of this name, oldest first."""

    async def erase_person(self, person: PersonId) -> int:
        """Take away every workflow of a person, durably, and return how many."""
