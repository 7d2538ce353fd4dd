"""A home in memory, and files in the formats of other programs."""

import json

import pytest

from instar.core.clock import ManualClock
from instar.embeddings.hashing import HashingEmbedder
from instar.stores.home import open_home
from instar.stores.registry import locate


@pytest.fixture
async def home():
    async with await open_home(locate("memory:"), embedder=HashingEmbedder(), clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
async def other_home():
    async with await open_home(locate("memory:"), embedder=HashingEmbedder(), clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def written(tmp_path):
    """Write values as JSON Lines, one document, or bytes; give the path."""

    def write(name, *, lines=None, document=None, content=None):
        path = tmp_path / name
        if lines is not None:
            content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
        elif document is not None:
            content = json.dumps(document).encode()
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def plain_line():
    def line(text, *, author="ada", channel="cli", role="person", **more):
        return {"channel": channel, "author": author, "role": role, "sent_at": None, "text": text, **more}

    return line
