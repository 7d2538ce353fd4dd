"""The named thread on which a store's blocking work runs, so that no sync ever holds the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Result = TypeVar("Result")
Given = ParamSpec("Given")


class Worker:
    """One thread, started with the first work. `inline` work runs where it is asked for: files in memory do not block."""

    def __init__(self, name: str, *, inline: bool) -> None:
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
        """Run `work` and return what it returns."""
        if self._thread is None:
            return work(*given, **named)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*given, **named))

    def start(self, work: Callable[[], Result], done: Callable[[Future[Result]], None]) -> None:
        """Run `work` and then, on the event loop, `done`. Half the cost of `run`, for the path of every commit."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            done(_at_once(work))
            return
        self._thread.submit(work).add_done_callback(lambda done_: loop.call_soon_threadsafe(done, done_))

    def close(self) -> None:
        """End the thread when its work is done."""
        if self._thread is not None:
            self._thread.shutdown()


def _at_once(work: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(work())
    except OSError as error:
        future.set_exception(error)
    return future
