"""States written by earlier formats open today and hold what they held.

Each directory beside this file is a store as some version left it: `format-1` has sealed and merged segments, a log
with records behind them, an overwritten and a deleted record, and a field no struct of today names. To add one
for a new format, run `python -m tests.upgrade.test_stored_formats DIRECTORY` with the code that writes it,
from the root of the repository, and never change the old ones.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from instar.core.clock import ManualClock
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.files import RealFiles
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Delete, Put, key_of

HERE = Path(__file__).parent
STORED = sorted(path.name for path in HERE.glob("format-*"))


class Note(msgspec.Struct, kw_only=True):
    text: str
    tags: tuple[str, ...] = ()


async def opened(path: Path) -> SegmentEngine:
    return await open_engine(
        RealFiles(path),
        collections={"notes": Note},
        clock=ManualClock(),
        epoch=7,
        randomness=random.Random(1),
        sealer=InlineSealer,
    )


def put(number: int, text: str) -> Put:
    value = msgspec.msgpack.encode({"text": text, "tags": ["a", "b"], "mood": "a field that is no longer named"})
    return Put(collection="notes", key=key_of("notes", f"{number:03d}"), value=value, subject=f"person {number % 3}")


async def write(path: Path) -> None:
    """Write the store that is kept."""
    engine = await opened(path)
    for turn in range(5):
        await engine.commit([put(turn * 10 + number, f"sealed {turn}") for number in range(10)])
        await engine.seal()
    await engine.commit([put(3, "overwritten"), Delete(collection="notes", key=key_of("notes", "004"))])
    await engine.commit([put(50, "only in the log")])
    await engine.close()


def expected() -> dict[str, str]:
    texts = {f"{number:03d}": f"sealed {number // 10}" for number in range(50) if number != 4}
    return texts | {"003": "overwritten", "050": "only in the log"}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("with_cache", [True, False])
async def test_a_store_of_an_earlier_format_opens_and_holds_what_it_held(
    name: str, with_cache: bool, tmp_path: Path
) -> None:
    shutil.copytree(HERE / name, tmp_path / name)
    if not with_cache:
        shutil.rmtree(tmp_path / name / "cache")
    for _ in ("as it was written", "as it is written today"):
        engine = await opened(tmp_path / name)
        entries = list(engine.scan("notes"))
        assert {
            e.key[-3:].decode(): msgspec.msgpack.decode(e.value or b"", type=Note).text for e in entries
        } == expected()
        assert msgspec.msgpack.decode(entries[0].value or b"")["mood"] == "a field that is no longer named"
        assert engine.version() == 53
        assert [e.version for e in engine.changes("notes", 50, limit=9)] == [51, 52, 53]
        await engine.seal()
        await engine.close()


def test_there_is_a_stored_state_of_every_format_so_far() -> None:
    assert STORED == ["format-1"]


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
