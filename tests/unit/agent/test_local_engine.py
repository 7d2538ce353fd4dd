"""Workflows on the local engine: a finished step is not done twice, a finished workflow leaves nothing."""

from __future__ import annotations

import asyncio

import pytest

from instar.core.errors import HomeClosed, ModelFailed, RecordInvalid, StoreCorrupt
from instar.orchestration.engine.local import LocalEngine
from instar.orchestration.step import Run
from instar.stores.home import Home
from instar.stores.workflows.port import Workflow

ORDER = Workflow(id="w1", name="order", person="ada", input=b"")


class Kitchen:
    """Counts what it did."""

    def __init__(self) -> None:
        self.baked = 0

    async def bake(self) -> int:
        self.baked += 1
        return self.baked


async def test_a_step_done_before_a_failure_is_not_done_again(home: Home) -> None:
    engine, kitchen, tries = LocalEngine(home.workflows), Kitchen(), []

    async def order(run: Run) -> int:
        loaf = await run.step("bake", kitchen.bake, int)
        tries.append(loaf)
        if len(tries) == 1:
            raise ModelFailed("the van broke down", why="flat tyre", next="try again")
        return loaf

    with pytest.raises(ModelFailed):
        await engine.run(ORDER, order)
    assert [each.id for each in await engine.unfinished("order")] == ["w1"]
    assert await engine.run(ORDER, order) == 1
    assert (kitchen.baked, tries) == (1, [1, 1])
    assert await engine.unfinished("order") == []


async def test_an_error_that_ends_the_workflow_takes_it_away(home: Home) -> None:
    async def order(run: Run) -> int:
        raise RecordInvalid("no such bread", why="unknown", next="choose another")

    engine = LocalEngine(home.workflows)
    with pytest.raises(RecordInvalid):
        await engine.run(ORDER, order, ends_on=(RecordInvalid,))
    assert await engine.unfinished("order") == []


async def test_two_runs_of_one_workflow_agree_on_the_result_stored_first(home: Home) -> None:
    begun = asyncio.ensure_future(home.workflows.begin(ORDER))
    first, second = Kitchen(), Kitchen()
    second.baked = 10
    assert await Run(home.workflows, begun).step("bake", first.bake, int) == 1
    assert await Run(home.workflows, begun).step("bake", second.bake, int) == 1


async def test_a_result_that_does_not_read_back_is_named(home: Home) -> None:
    begun = asyncio.ensure_future(home.workflows.begin(ORDER))
    await begun
    await home.workflows.finish_step("w1", "bake", b"\xc1")
    with pytest.raises(StoreCorrupt, match="step 'bake' of workflow 'w1'"):
        await Run(home.workflows, begun).step("bake", Kitchen().bake, int)


async def test_a_step_waits_until_its_workflow_is_durable_and_what_comes_before_it_does_not(home: Home) -> None:
    begun: asyncio.Future[Workflow] = asyncio.get_running_loop().create_future()
    kitchen, events = Kitchen(), list[str]()

    async def order() -> None:
        events.append("read")
        await Run(home.workflows, begun).step("bake", kitchen.bake, int)

    ordered = asyncio.create_task(order())
    await asyncio.wait({ordered}, timeout=0)
    await home.workflows.begin(ORDER)
    assert (events, kitchen.baked) == (["read"], 0)
    begun.set_result(ORDER)
    await ordered
    assert kitchen.baked == 1


async def test_a_workflow_that_cannot_begin_does_no_step(home: Home) -> None:
    kitchen = Kitchen()
    await home.close()
    with pytest.raises(HomeClosed):
        await LocalEngine(home.workflows).run(ORDER, lambda run: run.step("bake", kitchen.bake, int))
    assert kitchen.baked == 0
