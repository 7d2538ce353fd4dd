"""The engine against a dict: whatever order of commits, seals, purges, reopenings and crashes, both hold the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from instar.core.clock import ManualClock
from instar.stores.segment.engine import SegmentEngine, open_engine
from instar.stores.segment.seal import InlineSealer
from instar.stores.segment.store import Delete, Op, Put
from instar.testing.simulated_files import SimulatedFiles

Result = TypeVar("Result")
KEYS = st.sampled_from([b"", b"a", b"a\x00", b"a\x00\x00b", b"b", b"ba", b"\xff", b"\xff\xff"])
TEXTS = st.text(max_size=30)
SUBJECTS = st.sampled_from(["", "ada", "bob"])


class Note(msgspec.Struct, kw_only=True):
    text: str
    mark: str | None = None


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.disk = SimulatedFiles(random.Random(0))
        self.live: dict[bytes, str] = {}
        self.versions: dict[bytes, int] = {}
        """Of every key written since it was last purged."""
        self.version = 0
        self.buffered = False
        self.epoch = 0
        self.engine: SegmentEngine

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.epoch += 1
        self.engine = self.run(
            open_engine(
                self.disk,
                collections={"notes": Note},
                clock=ManualClock(),
                epoch=self.epoch,
                randomness=random.Random(self.epoch),
                sealer=InlineSealer,
                inline=True,
            )
        )

    @rule(
        ops=st.lists(st.tuples(KEYS, SUBJECTS, st.one_of(st.none(), TEXTS)), min_size=1, max_size=5),
        durable=st.booleans(),
    )
    def commit(self, ops: list[tuple[bytes, str, str | None]], durable: bool) -> None:
        made: list[Op] = []
        for key, subject, text in ops:
            self.version += 1
            self.versions[key] = self.version
            if text is None:
                made.append(Delete(collection="notes", key=key, subject=subject))
                self.live.pop(key, None)
            else:
                value = msgspec.msgpack.encode(Note(text=text))
                made.append(Put(collection="notes", key=key, value=value, subject=subject))
                self.live[key] = text
        assert self.run(self.engine.commit(made, durability="durable" if durable else "buffered")) == self.version
        self.buffered = not durable

    @rule(key=KEYS, text=TEXTS, ahead=st.integers(-3, 3))
    def apply(self, key: bytes, text: str, ahead: int) -> None:
        version = max(1, self.versions.get(key, self.version) + ahead)
        put = Put(collection="notes", key=key, value=msgspec.msgpack.encode(Note(text=text)), version=version)
        self.run(self.engine.commit([put]))
        self.buffered = self.buffered and version <= self.versions.get(key, 0)
        if version > self.versions.get(key, 0):
            self.live[key] = text
            self.versions[key] = version
            self.version = max(self.version, version)

    @rule()
    def sync(self) -> None:
        self.run(self.engine.sync())
        self.buffered = False

    @rule()
    def seal(self) -> None:
        self.run(self.engine.seal())
        assert self.engine.stats().segments <= 20

    @rule()
    def purge(self) -> None:
        self.run(self.engine.purge([]))
        self.versions = {key: version for key, version in self.versions.items() if key in self.live}
        self.buffered = False

    @rule()
    def reopen(self) -> None:
        self.run(self.engine.close())
        self.buffered = False
        self.open()

    @precondition(lambda self: not self.buffered)
    @rule()
    def lose_power(self) -> None:
        self.abandon()
        self.disk.crash()
        self.open()

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "engine"):
            return
        wanted = sorted(self.live.items())
        assert self.read() == wanted
        assert self.read(reverse=True) == wanted[::-1]
        assert self.read(start=b"a\x00", stop=b"b") == [item for item in wanted if b"a\x00" <= item[0] < b"b"]
        assert self.engine.version() == self.version
        assert self.engine.stats().records == {"notes": len(wanted)}
        tombstones = {e.key: e.version for e in self.engine.scan("notes", tombstones=True)}
        assert tombstones == self.versions
        middle = self.version // 2
        changes = [(e.version, e.key) for e in self.engine.changes("notes", middle, limit=99)]
        assert [version for version, _ in changes] == sorted(version for version, _ in changes)
        assert set(changes) == {(version, key) for key, version in self.versions.items() if version > middle}
        assert len(changes) == len(set(changes))

    def read(self, **how: object) -> list[tuple[bytes, str]]:
        found = self.engine.scan("notes", **how)  # type: ignore[arg-type]
        return [(e.key, msgspec.msgpack.decode(e.value or b"", type=Note).text) for e in found]

    def abandon(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.run(self.engine.close())
        self.abandon()
        self.loop.close()


EngineMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
test_the_engine_holds_what_a_dict_holds = EngineMachine.TestCase
