"""What every embedded backend shares: one engine, and the part of each port that moves and purges use.

`EmbeddedStore` opens, commits and closes. `EmbeddedMovable` adds scan, changes, apply, digest and fence over
one collection, the store's records; a backend says how its values are named, checked and indexed. Other
collections are indexes, rebuilt by `apply` in the same transaction as the record they belong to.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import msgspec

from instar.core.canonical import Digest, bucket_of, record_digest
from instar.core.clock import Clock
from instar.core.errors import HomeClosed, RecordInvalid, StoreCorrupt
from instar.core.limits import FRAME_MAX_BYTES
from instar.core.records import Durability, Record
from instar.stores import forgotten
from instar.stores.claims import Claims
from instar.stores.forgotten import Forgotten, is_mark, mark_of
from instar.stores.movable import Purged
from instar.stores.segment.engine import open_engine
from instar.stores.segment.files import Files
from instar.stores.segment.store import Delete, Engine, Entry, Op, Put, key_of, parts_of

Value = TypeVar("Value", bound=msgspec.Struct)
Result = TypeVar("Result")

APPLY_COMMIT_MAX_BYTES = FRAME_MAX_BYTES // 2  # one transaction of `apply`; a record beside it still fits a frame
READ_PER_TURN = 500  # records read through before the event loop gets its turn

_encoder = msgspec.msgpack.Encoder()


class EmbeddedStore:
    """An embedded backend: its engine, its writers, and its end."""

    collections: ClassVar[Mapping[str, type[msgspec.Struct]]]
    """Every collection of the backend with the struct its values are maps of."""

    def __init__(self, engine: Engine, *, forget_key: bytes) -> None:
        self.engine = engine
        self._forgotten = Forgotten(engine, forget_key)
        self._claims = Claims()
        self._running: set[asyncio.Future[Any]] = set()
        self._closed = False

    @classmethod
    async def open(cls, files: Files, *, clock: Clock, epoch: int, forget_key: bytes, read_only: bool = False) -> Self:
        """Open the store in `files`, or begin one there. `forget_key` has 32 bytes and never changes."""
        engine = await cls._open_engine(files, clock=clock, epoch=epoch, read_only=read_only)
        return cls(engine, forget_key=forget_key)

    @classmethod
    async def _open_engine(cls, files: Files, *, clock: Clock, epoch: int, read_only: bool) -> Engine:
        collections: dict[str, type[msgspec.Struct]] = {**cls.collections, forgotten.COLLECTION: forgotten.Mark}
        return await open_engine(files, collections=collections, clock=clock, epoch=epoch, read_only=read_only)

    async def purge(self, needles: Sequence[bytes]) -> Purged:
        return await self._whole(self._purge(needles))

    async def _purge(self, needles: Sequence[bytes]) -> Purged:
        async with self._claims.of_everything():
            return await self.engine.purge(needles)

    async def close(self) -> None:
        """Let running writes end, make everything durable and release the files. Closing twice is harmless."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        await self.engine.close()

    async def _whole(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a write to its end even when its caller is cancelled, so that no claim ends before its commit."""
        if self._closed:
            work.close()
            raise HomeClosed(
                "a write to a closed store was refused", why="its home was closed", next="open the home again"
            )
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        return await self.engine.commit(ops, durability=durability)


class EmbeddedMovable(EmbeddedStore, Generic[Value]):
    """An embedded backend whose records move. Its records are the values of `collection`."""

    collection: ClassVar[str]
    kind: ClassVar[type[msgspec.Struct]]

    def __init__(self, engine: Engine, *, forget_key: bytes) -> None:
        super().__init__(engine, forget_key=forget_key)
        self._decoder: msgspec.msgpack.Decoder[Value] = msgspec.msgpack.Decoder(self.kind)
        self._digests: Mapping[int, Digest] | None = None
        self._commits = 0

    # --- what a backend says of its values -----------------------------------------------------

    def _key(self, value: Value) -> tuple[str, ...]:
        """The key of a value; its first part is never empty."""
        raise NotImplementedError

    def _subject(self, value: Value) -> str:
        """The person a value is about."""
        raise NotImplementedError

    def _checked(self, value: Value) -> Value:
        """Return `value` if it keeps every rule; raise a `RecordError` if not."""
        raise NotImplementedError

    def _companions(self, old: Value | None, new: Value | None) -> Sequence[Op]:
        """What goes with the write of one record: its indexes, and the marks of what ends for good."""
        return ()

    def _barred(self, value: Value, version: int) -> bool:
        """True when `apply` leaves this record out, because it was forgotten here."""
        return False

    # --- reading --------------------------------------------------------------------------------

    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Value]]:
        start = b"" if after is None else key_of(*after) + b"\x00"
        marks = self.engine.scan(forgotten.COLLECTION, start=start)
        entries = self.engine.scan(self.collection, start=start, tombstones=True)
        return list(islice(chain(map(_mark_record, marks), map(self._record, entries)), limit))

    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Value]]:
        marks = self.engine.changes(forgotten.COLLECTION, since, limit=limit)
        entries = self.engine.changes(self.collection, since, limit=limit)
        merged = heapq.merge(map(_mark_record, marks), map(self._record, entries), key=_version)
        return _first_by_version(list(merged), limit)

    async def digest(self, bucket: int | None = None) -> Digest:
        digests = self._digests if self._digests is not None else await self._digested()
        return sum(digests.values(), Digest()) if bucket is None else digests.get(bucket, Digest())

    async def version(self) -> int:
        return self.engine.version()

    async def _digested(self) -> Mapping[int, Digest]:
        """The digest of every bucket that holds a record, kept until the next write."""
        digests: dict[int, Digest] = {}
        commits = self._commits
        for count, entry in enumerate(self.engine.scan(self.collection), start=1):
            record = self._record(entry)
            bucket = bucket_of(record.key)
            digests[bucket] = digests.get(bucket, Digest()) + record_digest(cast("Record[msgspec.Struct]", record))
            if count % READ_PER_TURN == 0:
                await asyncio.sleep(0)
        if commits == self._commits:
            self._digests = digests
        return digests

    def _live(self, key: bytes) -> Value | None:
        entry = self.engine.get(self.collection, key)
        return None if entry is None else self._value(entry)

    def _record(self, entry: Entry) -> Record[Value]:
        value = None if entry.value is None else self._value(entry)
        return Record(key=parts_of(entry.key), version=entry.version, value=value)

    def _value(self, entry: Entry) -> Value:
        assert entry.value is not None, "the entry is live"
        return decoded(self._decoder, entry.value, f"the record {parts_of(entry.key)} of {self.collection}")

    # --- writing --------------------------------------------------------------------------------

    async def apply(self, records: Sequence[Record[Value]]) -> int:
        return await self._whole(self._apply(records))

    async def fence(self, epoch: int) -> None:
        self.engine.fence(epoch)

    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        version = await super()._commit(ops, durability=durability)
        self._commits += 1
        self._digests = None
        return version

    def _written(self, old: Value | None, new: Value, *, version: int | None = None) -> list[Op]:
        """The ops that write one value, its record last."""
        put = Put(
            collection=self.collection,
            key=key_of(*self._key(new)),
            value=encoded(new),
            subject=self._subject(new),
            version=version,
        )
        return [*self._companions(old, new), put]

    def _ended(self, old: Value, *, version: int | None = None) -> list[Op]:
        """The ops that tombstone one value, its record last."""
        delete = Delete(
            collection=self.collection, key=key_of(*self._key(old)), subject=self._subject(old), version=version
        )
        return [*self._companions(old, None), delete]

    async def _apply(self, records: Sequence[Record[Value]]) -> int:
        for record in records:
            self._check_record(record)
        newest = _newest(records)
        marks = [record for record in newest if is_mark(record.key)]
        others = [record for record in newest if not is_mark(record.key)]
        async with self._claims.of_everything():
            marked = await self._commit_all(map(self._applied, marks))
            newer = await self._commit_all(map(self._applied, others))
            if marked:
                await self._commit_all([ops async for ops in self._overtaken()])
        return marked + newer

    async def _commit_all(self, writes: Iterable[list[Op]]) -> int:
        """Commit writes, each whole, and return how many there were. A write is planned when those before are in."""
        count = 0
        for transaction in _transactions(writes):
            await self._commit(list(chain.from_iterable(transaction)))
            count += len(transaction)
        return count

    async def _overtaken(self) -> AsyncIterator[list[Op]]:
        """What ends the records here that marks from elsewhere bar: there the tombstones may be purged already."""
        for count, entry in enumerate(self.engine.scan(self.collection), start=1):
            value = self._value(entry)
            if self._barred(value, entry.version):
                yield self._ended(value)
            if count % READ_PER_TURN == 0:
                await asyncio.sleep(0)

    def _check_record(self, record: Record[Value]) -> None:
        if record.value is None:
            return
        if self._key(self._checked(record.value)) != record.key:
            raise RecordInvalid(
                f"the record {record.key} of {self.collection} holds {self._key(record.value)}",
                why="a record is stored under the key of its value, or it could not be found again",
                next="read the record again from its home",
            )

    def _applied(self, record: Record[Value]) -> list[Op]:
        """The ops of one record of another home; none when what is here is as new."""
        if is_mark(record.key):
            known = self.engine.get(forgotten.COLLECTION, key_of(*record.key))
            as_new = known is not None and known.version >= record.version
            return [] if as_new else [mark_of(record.key[1], version=record.version)]
        entry = self.engine.newest(self.collection, key_of(*record.key))
        if entry is not None and entry.version >= record.version:
            return []
        old = None if entry is None or entry.value is None else self._value(entry)
        if record.value is not None:
            barred = self._barred(record.value, record.version)
            return [] if barred else self._written(old, record.value, version=record.version)
        if old is not None:
            return self._ended(old, version=record.version)
        return [Delete(collection=self.collection, key=key_of(*record.key), version=record.version)]


def encoded(value: msgspec.Struct) -> bytes:
    """A value as the engine keeps it. Raises `RecordInvalid` for what cannot be written."""
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError) as error:
        raise RecordInvalid(
            f"a {type(value).__name__.lower()} cannot be written",
            why=str(error),
            next="replace lone surrogates with U+FFFD and keep whole numbers within 64 bits",
        ) from error


def decoded(decoder: msgspec.msgpack.Decoder[Result], data: bytes, what: str) -> Result:
    """A value as it was written. Raises `StoreCorrupt` naming `what` does not read back."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"{what} does not read back", why=str(error), next="run `instar doctor`") from error


def _mark_record(entry: Entry) -> Record[Any]:
    return Record(key=parts_of(entry.key), version=entry.version, value=None)


def _version(record: Record[Any]) -> int:
    return record.version


def _first_by_version(records: list[Record[Value]], limit: int) -> list[Record[Value]]:
    """The first `limit` records, cut between two versions: records that share one are read together.

    Only where more than `limit` share the first version there are more: reading on would leave them out.
    """
    end = min(limit, len(records))
    while 0 < end < len(records) and records[end - 1].version == records[end].version:
        end -= 1
    if end == 0 < min(limit, len(records)):
        return [record for record in records if record.version == records[0].version]
    return records[:end]


def _newest(records: Iterable[Record[Value]]) -> Sequence[Record[Value]]:
    """Each key once, with its newest record."""
    newest: dict[tuple[str, ...], Record[Value]] = {}
    for record in records:
        known = newest.get(record.key)
        if known is None or known.version < record.version:
            newest[record.key] = record
    return list(newest.values())


def _transactions(writes: Iterable[list[Op]]) -> Iterator[list[list[Op]]]:
    """Writes in transactions that fit one frame; what belongs to one record stays together."""
    transaction: list[list[Op]] = []
    size_bytes = 0
    for ops in filter(None, writes):
        transaction.append(ops)
        size_bytes += sum(len(op.key) + (len(op.value) if isinstance(op, Put) else 0) for op in ops)
        if size_bytes >= APPLY_COMMIT_MAX_BYTES:
            yield transaction
            transaction, size_bytes = [], 0
    if transaction:
        yield transaction
