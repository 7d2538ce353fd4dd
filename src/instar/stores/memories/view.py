"""What searches look at: the columns and the words index, brought up to date when somebody asks.

A write only notes which keys it changed; the next question reads those again. So a hundred writes cost one
refresh, and a search sees everything acknowledged before it. The words index is written on a thread of its
own, while nobody waits. Everything here can be lost: it is built anew from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from instar.core.errors import StoreCorrupt
from instar.core.ids import MemoryId
from instar.core.records import Memory
from instar.embeddings.port import Embedder
from instar.stores.memories.tail import TAIL_BOUND, TAIL_MAX
from instar.stores.segment.store import Engine, Entry, parts_of

if TYPE_CHECKING:
    from instar.stores.memories.meaning import Columns
    from instar.stores.memories.words import Base, Fold, WordsIndex

Answer = TypeVar("Answer")

WORDS_ON_DISK_MIN = 1_000  # memories; below, building the index in memory is quicker than keeping files
WORDS_FILES_FAILED = (OSError, ValueError)  # what the file system and tantivy raise
_READ_PER_TURN = 500  # entries read before the event loop gets its turn


class Sides(msgspec.Struct, frozen=True):
    """Both derived sides of a store."""

    columns: Columns
    words: WordsIndex

    def agree(self) -> bool:
        """True when both hold equally many memories."""
        return self.words.count == self.columns.current

    def follow(self, memory_id: MemoryId, memory: Memory | None) -> None:
        """Follow a change of the store: the newer form, or None for what is gone."""
        self.words.follow(memory_id, memory)
        if memory is None:
            self.columns.remove(memory_id)
        else:
            self.columns.put(memory)


class Folding(msgspec.Struct, frozen=True):
    """A fold of the words index that is being written."""

    words: WordsIndex
    fold: Fold
    written: asyncio.Future[Base]
    outdated: int
    """How often the files had been outdated when it began."""


class SearchView:
    """The derived side of one store. Questions are answered one at a time, on a thread of their own."""

    def __init__(
        self,
        engine: Engine,
        collection: str,
        *,
        value_of: Callable[[Entry], Memory],
        embedder: Embedder,
        directory: Path | None,
    ) -> None:
        """`directory` is where the words index may be kept; None keeps it in memory."""
        self._engine = engine
        self._collection = collection
        self._value_of = value_of
        self._embedder = embedder
        self._directory = directory
        self._acknowledged = self._opened_at = engine.version()
        self._changed: set[bytes] = set()
        self._sides: Sides | None = None
        self._in_memory = directory is None
        self._turn = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="instar-memories")
        self._folder = ThreadPoolExecutor(1, thread_name_prefix="instar-words")
        self._folding: Folding | None = None
        self._outdated = 0

    def changed(self, keys: Iterable[bytes], *, acknowledged: int) -> None:
        """Note that these keys were written, and that everything up to this version has ended."""
        self._changed.update(keys)
        self._acknowledged = max(self._acknowledged, acknowledged)

    def outdate_files(self) -> None:
        """Let the next process build the words index anew. Called before a write that brings older versions,
        which an index that covers a newer one would never look for.
        """
        self._outdated += 1
        if self._directory is not None:
            from instar.stores.memories.words import unstamp

            unstamp(self._directory)

    async def drop(self) -> None:
        """Let go of everything derived, on disk too; the next question builds it anew."""
        async with self._turn:
            await self._end_fold()
            self._sides = None
            if self._directory is not None:
                from instar.stores.memories.words import discard

                await self._run(partial(discard, self._directory))

    async def ask(self, question: Callable[[Sides], Answer]) -> Answer:
        """Answer from both sides, which then hold everything acknowledged before."""
        async with self._turn:
            try:
                return await self._answer(question)
            except WORDS_FILES_FAILED:
                if self._in_memory:
                    raise
                # Files that cannot be written or read cost speed, not answers: the index goes into memory.
                self._in_memory = True
                self._sides = None
                return await self._answer(question)

    async def _answer(self, question: Callable[[Sides], Answer]) -> Answer:
        sides = self._sides or await self._built()
        self._sides = None  # a refresh that fails half-way leaves nothing to trust
        if self._folding is not None and self._folding.written.done():
            await self._take_fold()
        await self._refresh(sides)
        answer = await self._run(partial(question, sides))
        self._sides = sides
        self._begin_fold(sides.words)
        return answer

    async def close(self) -> None:
        """End the threads once they are done. Nothing is lost."""
        async with self._turn:
            await self._end_fold()
            self._folder.shutdown()
            self._worker.shutdown()

    # --- folding the words' tail into the index ------------------------------------------------------

    def _begin_fold(self, words: WordsIndex) -> None:
        """Have a long tail written behind the answer."""
        if self._folding is None and words.behind > TAIL_MAX:
            fold = words.begun()
            written = asyncio.get_running_loop().run_in_executor(self._folder, words.written, fold)
            self._folding = Folding(words, fold, written, self._outdated)

    async def _take_fold(self) -> None:
        """Answer from the fold that was being written. Raises what kept it from being written."""
        folding, self._folding = self._folding, None
        if folding is None:
            return
        folding.words.adopt(folding.fold, await folding.written)
        if self._directory is not None and folding.outdated != self._outdated:
            from instar.stores.memories.words import unstamp

            unstamp(self._directory)

    async def _end_fold(self) -> None:
        """Wait for the fold under way; one that fails has cost nothing."""
        try:
            await self._take_fold()
        except WORDS_FILES_FAILED:
            self._in_memory, self._sides = True, None

    async def _built(self) -> Sides:
        """Both sides from the store; the words index from its files where they can be trusted."""
        await self._end_fold()
        self._changed.clear()
        live = sum(1 for _ in islice(self._engine.scan(self._collection), WORDS_ON_DISK_MIN))
        for not_above in (self._opened_at, 0):
            sides = await self._run(partial(self._opened, live, not_above))
            await self._fill(sides, newer_than=sides.words.covered)
            if sides.words.behind > TAIL_MAX:
                await self._run(sides.words.fold)
            if await self._run(sides.agree):
                return sides
        raise StoreCorrupt(
            "the search index does not hold what the store holds",
            why="an index built from every record has another number of memories",
            next="run `instar doctor`",
        )

    def _opened(self, live: int, not_above: int) -> Sides:
        """New columns, and the words index that covers no version above `not_above`."""
        from instar.stores.memories.meaning import Columns
        from instar.stores.memories.words import WordsIndex, is_kept

        directory = self._directory
        if directory is not None and (self._in_memory or (live < WORDS_ON_DISK_MIN and not is_kept(directory))):
            directory = None
        words = WordsIndex(directory, not_above=not_above)
        return Sides(Columns(self._embedder.fingerprint, self._embedder.dimensions), words)

    async def _fill(self, sides: Sides, *, newer_than: int) -> None:
        """Read every record once; the words index takes only what it does not cover yet."""
        entries = self._engine.scan(self._collection, tombstones=True)
        while part := list(islice(entries, _READ_PER_TURN)):
            await self._run(partial(self._take_stored, sides, part, newer_than))
        sides.words.covers(self._acknowledged)

    def _take_stored(self, sides: Sides, entries: Sequence[Entry], newer_than: int) -> None:
        for entry in entries:
            memory = None if entry.value is None else self._value_of(entry)
            if memory is not None:
                sides.columns.put(memory)
            if entry.version > newer_than and (memory is not None or newer_than > 0):
                sides.words.follow(_id_of(entry.key), memory)

    async def _refresh(self, sides: Sides) -> None:
        keys, self._changed = sorted(self._changed), set()
        for start in range(0, len(keys), _READ_PER_TURN):
            part = [(key, self._engine.get(self._collection, key)) for key in keys[start : start + _READ_PER_TURN]]
            await self._run(partial(self._take_changed, sides, part))
        sides.words.covers(self._acknowledged)
        if sides.words.behind > TAIL_BOUND:
            await self._take_fold()
            await self._run(sides.words.fold)

    def _take_changed(self, sides: Sides, part: Sequence[tuple[bytes, Entry | None]]) -> None:
        for key, entry in part:
            sides.follow(_id_of(key), self._value_of(entry) if entry else None)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _id_of(key: bytes) -> MemoryId:
    return MemoryId(parts_of(key)[0])
