"""Import: a file of another program, or our own export, into an open home.

The file is read to its end before anything is written, so an unreadable one changes nothing. Messages go in
batches, each one durable transaction; a message is known by channel, id and variant, so an import that was
killed is finished by running it again, and nothing is doubled. What is read is written, was there already,
or is listed with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from instar.core.errors import RecordError
from instar.core.limits import FRAME_MAX_BYTES, IMPORT_BATCH_MESSAGES, SKIPPED_LISTED_MAX
from instar.core.records import Memory, Message, checked_memory, checked_message
from instar.migrate.attribution import Attribution
from instar.migrate.exporting import BATCH_BYTES, Ports, check_export, read_records
from instar.migrate.report import ImportReport, Left, Progress
from instar.migrate.restoring import Restoring
from instar.migrate.sources.detect import OWN_EXPORT, READERS, agreed_kind, kind_of
from instar.migrate.sources.field import place
from instar.migrate.sources.item import Item, NotCarried, Skipped

_MESSAGE_PARTS_MAX_BYTES = FRAME_MAX_BYTES // 2  # text and original together

Learn = Callable[[Sequence[Message]], Awaitable[object]]
Tell = Callable[[Progress], None]
Result = TypeVar("Result")


class Worker:
    """Where blocking work runs: one named thread, for as long as the context lasts."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="instar-import")

    async def __call__(self, work: Callable[[], Result]) -> Result:
        """Run `work` off the event loop and give its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()


async def import_file(
    home: Ports,
    path: Path,
    *,
    kind: str | None = None,
    person: str | None = None,
    dry_run: bool = False,
    progress: Tell | None = None,
    learn: Learn | None = None,
) -> ImportReport:
    """Import a file and report what became of everything in it; durable when it returns.

    `person` names the human side in formats that know only one. `learn` is called with every batch of shown
    messages that is in the home afterwards, new or not, and must be idempotent. Raises `ImportUnreadable`,
    `ImportKindUnknown` or `ExportCorrupt` before anything is written.
    """
    with Worker() as worker:
        found = await worker(lambda: kind_of(path) if kind is None else agreed_kind(path, kind))
        run = _Import(home, found, dry_run=dry_run, tell=progress or _tell_nobody, worker=worker)
        if found == OWN_EXPORT:
            await run.records(path)
        else:
            await run.items(path, person, learn)
        return run.report()


def _tell_nobody(progress: Progress) -> None:
    """Nobody asked for progress."""


class _Import:
    """One import under way: the home it writes to and the counts of its report."""

    def __init__(self, home: Ports, kind: str, *, dry_run: bool, tell: Tell, worker: Worker) -> None:
        self._home = home
        self._kind = kind
        self._dry_run = dry_run
        self._tell = tell
        self._worker = worker
        self._read = 0
        self._written = 0
        self._already_there = 0
        self._memories = 0
        self._skipped: list[Skipped] = []
        self._skipped_total = 0
        self._left: dict[str, Left] = {}
        self._total: int | None = None

    def report(self) -> ImportReport:
        return ImportReport(
            kind=self._kind,
            read=self._read,
            written=0 if self._dry_run else self._written,
            already_there=self._already_there,
            skipped=tuple(self._skipped),
            skipped_total=self._skipped_total,
            memories=self._memories,
            not_carried=tuple(self._left.values()),
            dry_run=self._dry_run,
            would_write=self._written if self._dry_run else 0,
        )

    async def items(self, path: Path, person: str | None, learn: Learn | None) -> None:
        """Read a foreign file twice: to know its channels, then to write."""
        read = READERS[self._kind]
        attribution = Attribution()
        self._total = await self._worker(lambda: self._survey(read(path, person=person), attribution))
        async for batch in self._batches(read(path, person=person)):
            messages = [attribution.attributed(item) for item in batch if isinstance(item, Message)]
            await self._store_messages(messages, learn)
            await self._store_memories([item for item in batch if isinstance(item, Memory)])
            for item in batch:
                if isinstance(item, Skipped):
                    self._read += 1
                    self._skip(item)
                elif isinstance(item, NotCarried):
                    self._leave(item)
            self._tell(Progress(phase="writing", done=self._read, total=self._total))

    def _survey(self, items: Iterator[Item], attribution: Attribution) -> int:
        count = 0
        for item in items:
            if isinstance(item, Message):
                attribution.meet(item)
            count += not isinstance(item, NotCarried)
            if count % IMPORT_BATCH_MESSAGES == 0:
                self._tell(Progress(phase="reading", done=count, total=None))
        return count

    async def _batches(self, items: Iterator[Item]) -> AsyncIterator[Sequence[Item]]:
        while batch := await self._worker(lambda: _next_batch(items)):
            yield batch

    async def _store_messages(self, messages: Sequence[Message], learn: Learn | None) -> None:
        self._read += len(messages)
        fit = [message for message in messages if self._fits(message)]
        if self._dry_run:
            await self._look_for(fit)
            return
        stored = await self._home.conversations.append_many(fit)
        present: list[Message] = []
        for message, appended in zip(fit, stored, strict=True):
            if not appended.already_there:
                self._written += 1
                present.append(appended.message)
            elif await self._count_met(message):
                present.append(message)
        shown = [message for message in present if message.selected and not message.hidden]
        if learn is not None and shown:
            await learn(shown)

    async def _look_for(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if await self._home.conversations.get(message.channel, message.id, variant=message.variant) is None:
                self._written += 1
            else:
                await self._count_met(message)

    async def _count_met(self, message: Message) -> bool:
        """Count a message whose identity is taken; True when it is this message that is there."""
        there = await self._home.conversations.get(message.channel, message.id, variant=message.variant)
        if there is not None and _same(there, message):
            self._already_there += 1
            return True
        gone = "it was deleted or forgotten here; an import does not bring it back"
        taken = "another message with this id is there already; that one was kept"
        self._skip(Skipped(where=place(message), why=gone if there is None else taken))
        return False

    async def _store_memories(self, memories: Sequence[Memory]) -> None:
        self._read += len(memories)
        self._memories += len(memories)
        fit = [memory for memory in memories if self._fits(memory)]
        if self._dry_run:
            known = [await self._home.memories.get(memory.id) for memory in fit]
            new = known.count(None)
        else:
            new = await self._home.memories.remember(fit) if fit else 0
        self._written += new
        self._already_there += len(fit) - new

    def _fits(self, value: Message | Memory) -> bool:
        """True when the store will take it; else it is listed with the rule it breaks."""
        try:
            if isinstance(value, Message):
                checked_message(value)
            else:
                checked_memory(value)
        except RecordError as refused:
            where = place(value) if isinstance(value, Message) else f"memory {value.attribute or value.id}"
            self._skip(Skipped(where=_shortened(where), why=f"{_shortened(refused.what)}: {refused.why}"))
            return False
        return self._fits_a_transaction(value)

    def _fits_a_transaction(self, value: Message | Memory) -> bool:
        size_bytes = _size_bytes(value)
        if size_bytes <= _MESSAGE_PARTS_MAX_BYTES:
            return True
        where = place(value) if isinstance(value, Message) else f"memory {value.id}"
        why = f"all its parts have {size_bytes:,} bytes; the bound is {_MESSAGE_PARTS_MAX_BYTES:,}"
        self._skip(Skipped(where=_shortened(where), why=why))
        return False

    def _skip(self, skipped: Skipped) -> None:
        self._skipped_total += 1
        if len(self._skipped) < SKIPPED_LISTED_MAX:
            self._skipped.append(skipped)

    def _leave(self, left: NotCarried) -> None:
        known = self._left.get(left.what)
        if known is not None:
            self._left[left.what] = msgspec.structs.replace(known, count=known.count + 1)
        elif len(self._left) < SKIPPED_LISTED_MAX:
            self._left[left.what] = Left(what=left.what, count=1, where=left.where)

    async def records(self, path: Path) -> None:
        """Check our own export to its last byte, then write its records as they are."""
        self._total = await self._worker(lambda: check_export(path))
        restoring = await Restoring.into(self._home, dry_run=self._dry_run)
        batches = read_records(path)
        while (batch := await self._worker(lambda: next(batches, None))) is not None:
            restored = await restoring.restore(batch)
            self._read += len(batch.records)
            self._memories += len(batch.records) if batch.port == "memories" else 0
            self._written += restored.written
            self._already_there += len(batch.records) - restored.written - len(restored.skipped)
            for skipped in restored.skipped:
                self._skip(skipped)
            self._tell(Progress(phase="writing", done=self._read, total=self._total))


def _next_batch(items: Iterator[Item]) -> Sequence[Item]:
    """The next items, as many as fit into one transaction."""
    batch: list[Item] = []
    size_bytes = 0
    while len(batch) < IMPORT_BATCH_MESSAGES and size_bytes < BATCH_BYTES:
        item = next(items, None)
        if item is None:
            break
        batch.append(item)
        size_bytes += _size_bytes(item)
    return batch


def _size_bytes(value: Item) -> int:
    try:
        return len(msgspec.msgpack.encode(value))
    except UnicodeEncodeError:
        return 0


def _same(there: Message, message: Message) -> bool:
    return (there.text, there.author, there.sent_at, there.role) == (
        message.text,
        message.author,
        message.sent_at,
        message.role,
    )


def _shortened(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
