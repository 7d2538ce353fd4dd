"""A home in memory and what tests of a turn say with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from instar.core.clock import ManualClock
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.home import Home, open_home
from instar.stores.registry import locate


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def home(clock: ManualClock) -> AsyncIterator[Home]:
    async with await open_home(locate("memory:"), embedder=HashingEmbedder(), clock=clock) as opened:
        yield opened
