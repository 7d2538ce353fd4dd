"""The clauses of `movable.py`, which every store that moves or purges inherits into its own contract.

A contract is a class of async test methods. Whoever writes a backend subclasses it in a test module named
after the port, gives the fixture `backend`, and runs pytest with anyio's plugin. Each method is named after
the promise it holds the backend to; its arguments are `store`, an open and empty one, and `backend`, which
opens further handles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import pytest

from instar.core.canonical import Digest, bucket_of, digest_of
from instar.core.errors import Fenced
from instar.core.limits import DIGEST_BUCKETS
from instar.core.records import Record
from instar.stores.movable import Movable, Purgeable

FAR_EPOCH = 1 << 40
NAMES = ("ada", "bob", "cleo")

Store = TypeVar("Store")
Opened_co = TypeVar("Opened_co", covariant=True)


class Backend(Protocol[Opened_co]):
    """How a contract gets handles of the backend under test."""

    async def open(self) -> Opened_co:
        """Open the state, with an epoch above every earlier one's. Close the handle before first."""

    async def open_killed(self) -> Opened_co:
        """Open what would be found had the process been killed, and the power cut, at this moment."""

    async def open_other(self) -> Opened_co:
        """Open another, empty state, whose forget key is the same."""

    def raw(self) -> bytes:
        """Every byte the state holds at rest."""

    async def close(self) -> None:
        """Close every handle and clean up."""


class StoreContract(Generic[Store]):
    """What all contracts share: the fixtures."""

    @pytest.fixture
    def backend(self) -> Backend[Store]:
        """The backend under test; given by the subclass, which closes it."""
        raise NotImplementedError("the subclass gives the fixture `backend`")

    @pytest.fixture
    async def store(self, backend: Backend[Store]) -> Store:
        """An open and empty store of the backend."""
        return await backend.open()


class PurgeableContract(StoreContract[Store]):
    """The clauses of `Purgeable`, told in names: each stands for one record."""

    async def fill(self, store: Any, names: Sequence[str]) -> None:
        """Store one record for each name, through the port. Keys sort as the names do."""
        raise NotImplementedError

    async def remove(self, store: Any, name: str) -> None:
        """Tombstone the record of a name, through the port."""
        raise NotImplementedError

    async def present(self, store: Any, name: str) -> bool:
        """True when the port's own reads find the record of a name."""
        raise NotImplementedError

    def needle(self, name: str) -> bytes:
        """Bytes that the record of this name holds, and nothing else."""
        raise NotImplementedError

    async def test_purge_takes_the_bytes_of_the_tombstoned_off_the_disk(
        self, store: Purgeable, backend: Backend[Store]
    ) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        purged = await store.purge([self.needle("bob")])
        assert purged.found == 0
        assert self.needle("bob") not in backend.raw()

    async def test_purge_takes_the_bytes_off_when_they_were_written_by_an_earlier_process(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        await self.fill(store, NAMES)
        await store.close()
        later = await backend.open()
        await self.remove(later, "bob")
        assert (await later.purge([self.needle("bob")])).found == 0
        assert self.needle("bob") not in backend.raw()

    async def test_purge_searches_all_the_bytes_for_the_needles(self, store: Purgeable) -> None:
        await self.fill(store, NAMES)
        purged = await store.purge([self.needle("ada"), b"nobody ever wrote this"])
        assert purged.found >= 1
        assert purged.bytes_scanned >= len(self.needle("ada"))

    async def test_purge_is_durable_when_it_returns(self, store: Purgeable, backend: Backend[Store]) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        await store.purge([])
        killed = await backend.open_killed()
        assert not await self.present(killed, "bob")
        assert await self.present(killed, "ada")

    async def test_purge_keeps_what_is_not_tombstoned(self, store: Purgeable) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        await store.purge([])
        assert [name for name in NAMES if await self.present(store, name)] == ["ada", "cleo"]


class MovableContract(PurgeableContract[Store]):
    """The clauses of `Movable`."""

    def key(self, name: str) -> tuple[str, ...]:
        """The key of the record of a name."""
        raise NotImplementedError

    async def rewrite(self, store: Any, name: str) -> None:
        """Store the record of a name again, changed, through the port."""
        raise NotImplementedError

    def altered(self, value: Any) -> Any:
        """The value with another content and the same key."""
        raise NotImplementedError

    # --- scan -----------------------------------------------------------------------------------

    async def test_scan_returns_live_records_in_key_order_with_their_value(self, store: Movable[Any]) -> None:
        await self.fill(store, ["cleo", "ada", "bob"])
        records = await store.scan()
        assert [record.key for record in records] == [self.key(name) for name in NAMES]
        assert all(record.value is not None for record in records)
        assert all(record.version > 0 for record in records)

    async def test_scan_starts_behind_after_and_returns_at_most_limit(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        whole = await store.scan()
        assert await store.scan(limit=2) == whole[:2]
        assert await store.scan(whole[0].key, limit=1) == whole[1:2]
        assert await store.scan(whole[1].key) == whole[2:]

    async def test_an_empty_scan_is_the_end(self, store: Movable[Any]) -> None:
        assert list(await store.scan()) == []
        await self.fill(store, NAMES)
        assert list(await store.scan(self.key("cleo"))) == []

    async def test_scan_includes_tombstones_without_a_value(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        values = {record.key: record.value for record in await store.scan()}
        assert values[self.key("bob")] is None
        assert values[self.key("ada")] is not None

    async def test_paging_through_a_scan_meets_every_record_once(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        assert await everything(store, page=1) == list(await store.scan())

    # --- changes --------------------------------------------------------------------------------

    async def test_changes_are_above_since_and_oldest_first(self, store: Movable[Any]) -> None:
        await self.fill(store, ["cleo", "ada", "bob"])
        changes = await store.changes(0)
        assert [record.key for record in changes] == [self.key(name) for name in ("cleo", "ada", "bob")]
        assert sorted(record.version for record in changes) == [record.version for record in changes]
        assert await store.changes(changes[0].version) == changes[1:]
        assert list(await store.changes(await store.version())) == []

    async def test_changes_return_at_most_limit(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        changes = await store.changes(0)
        assert await store.changes(0, limit=1) == changes[:1]

    async def test_changes_hold_a_record_written_twice_once_with_its_newest_version(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        before = {record.key: record for record in await store.changes(0)}
        await self.rewrite(store, "ada")
        changes = await store.changes(0)
        assert [record.key for record in changes] == [self.key(name) for name in ("bob", "cleo", "ada")]
        assert changes[-1].version > max(record.version for record in before.values())
        assert changes[-1].value != before[self.key("ada")].value

    async def test_changes_include_tombstones(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        since = await store.version()
        await self.remove(store, "bob")
        changes = {record.key: record for record in await store.changes(since)}
        assert changes[self.key("bob")].value is None

    # --- apply ----------------------------------------------------------------------------------

    async def test_apply_keeps_keys_versions_and_values(self, store: Movable[Any], backend: Backend[Any]) -> None:
        await self.fill(store, NAMES)
        await self.rewrite(store, "ada")
        target = await backend.open_other()
        await target.apply(await store.scan())
        assert list(await target.scan()) == list(await store.scan())
        assert await target.digest() == await store.digest()

    async def test_applied_records_are_found_by_the_ports_own_reads(
        self, store: Movable[Any], backend: Backend[Any]
    ) -> None:
        await self.fill(store, NAMES)
        target = await backend.open_other()
        await target.apply(await store.scan())
        assert [name for name in NAMES if await self.present(target, name)] == list(NAMES)

    async def test_apply_returns_how_many_were_newer(self, store: Movable[Any], backend: Backend[Any]) -> None:
        await self.fill(store, NAMES)
        target = await backend.open_other()
        assert await target.apply(await store.scan()) == len(NAMES)
        await self.rewrite(store, "bob")
        assert await target.apply(await store.scan()) == 1

    async def test_apply_is_durable_when_it_returns(self, store: Movable[Any], backend: Backend[Any]) -> None:
        source = await backend.open_other()
        await self.fill(source, NAMES)
        await store.apply(await source.scan())
        killed = await backend.open_killed()
        assert list(await killed.scan()) == list(await source.scan())

    async def test_applying_the_same_records_again_changes_nothing(
        self, store: Movable[Any], backend: Backend[Any]
    ) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        records = await store.scan()
        target = await backend.open_other()
        await target.apply(records)
        version = await target.version()
        assert await target.apply(records) == 0
        assert await target.version() == version
        assert list(await target.scan()) == list(records)

    async def test_apply_leaves_out_a_record_older_than_the_stored_one(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        older = await store.scan()
        await self.rewrite(store, "ada")
        digest = await store.digest()
        assert await store.apply(older) == 0
        assert await store.digest() == digest

    async def test_apply_of_one_key_twice_keeps_the_newer_in_either_order(
        self, store: Movable[Any], backend: Backend[Any]
    ) -> None:
        await self.fill(store, ["ada"])
        older = list(await store.scan())
        await self.rewrite(store, "ada")
        newer = list(await store.scan())
        for records in (older + newer, newer + older):
            target = await backend.open_other()
            await target.apply(records)
            assert list(await target.scan()) == newer

    async def test_apply_takes_tombstones_over(self, store: Movable[Any], backend: Backend[Any]) -> None:
        await self.fill(store, NAMES)
        target = await backend.open_other()
        await target.apply(await store.scan())
        await self.remove(store, "bob")
        assert await target.apply(await store.changes(0)) >= 1
        assert not await self.present(target, "bob")
        assert await target.digest() == await store.digest()

    async def test_an_older_record_does_not_replace_a_tombstone(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        older = await store.scan()
        await self.remove(store, "bob")
        assert await store.apply(older) == 0
        assert not await self.present(store, "bob")

    async def test_an_older_record_applied_after_the_purge_does_not_bring_back_what_was_removed(
        self, store: Any
    ) -> None:
        await self.fill(store, NAMES)
        older = await store.scan()
        await self.remove(store, "bob")
        await store.purge([])
        assert await store.apply(older) == 0
        assert not await self.present(store, "bob")

    async def test_what_was_removed_stays_removed_in_the_next_home(self, store: Any, backend: Backend[Any]) -> None:
        await self.fill(store, NAMES)
        older = await store.scan()
        await self.remove(store, "bob")
        await store.purge([])
        target = await backend.open_other()
        await target.apply(await everything(store))
        await target.apply(older)
        assert [name for name in NAMES if await self.present(target, name)] == ["ada", "cleo"]

    async def test_what_is_removed_and_purged_here_is_removed_where_it_was_copied_to(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        await self.fill(store, NAMES)
        target = await backend.open_other()
        await target.apply(await store.scan())
        since = await store.version()
        await self.remove(store, "bob")
        await store.purge([])
        await target.apply(await store.changes(since))
        assert [name for name in NAMES if await self.present(target, name)] == ["ada", "cleo"]
        assert await target.digest() == await store.digest()

    async def test_own_writes_get_versions_above_every_applied_one(
        self, store: Movable[Any], backend: Backend[Any]
    ) -> None:
        await self.fill(store, ["ada"])
        far = [msgspec.structs.replace(record, version=1_000_000) for record in await store.scan()]
        target = await backend.open_other()
        await target.apply(far)
        await self.fill(target, ["bob"])
        changes = await target.changes(1_000_000)
        assert [record.key for record in changes] == [self.key("bob")]

    # --- digest and version ---------------------------------------------------------------------

    async def test_digest_is_over_every_live_record_and_no_tombstone(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        await self.remove(store, "bob")
        assert await store.digest() == digest_of(await store.scan())
        assert (await store.digest()).count == len(NAMES) - 1

    async def test_digest_of_an_empty_store_is_empty(self, store: Movable[Any]) -> None:
        assert await store.digest() == Digest()

    async def test_digest_tells_values_apart_that_share_key_and_version(
        self, store: Movable[Any], backend: Backend[Any]
    ) -> None:
        await self.fill(store, NAMES)
        records = await store.scan()
        target = await backend.open_other()
        await target.apply([msgspec.structs.replace(r, value=self.altered(r.value)) for r in records])
        assert (await target.digest()).count == (await store.digest()).count
        assert await target.digest() != await store.digest()

    async def test_digest_of_one_bucket_holds_the_records_whose_keys_fall_into_it(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        bucket = bucket_of(self.key("bob"))
        there = [record for record in await store.scan() if bucket_of(record.key) == bucket]
        assert await store.digest(bucket) == digest_of(there)
        assert await store.digest((bucket + 1) % DIGEST_BUCKETS) != await store.digest(bucket)

    async def test_digest_follows_every_write(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        seen = {await store.digest()}
        await self.rewrite(store, "ada")
        seen.add(await store.digest())
        await self.remove(store, "bob")
        seen.add(await store.digest())
        assert len(seen) == 3

    async def test_version_is_the_highest_in_the_store_and_0_when_it_is_empty(self, store: Movable[Any]) -> None:
        assert await store.version() == 0
        await self.fill(store, NAMES)
        assert await store.version() >= max(record.version for record in await store.scan())

    async def test_records_and_versions_are_the_same_after_reopening(self, store: Any, backend: Backend[Any]) -> None:
        await self.fill(store, NAMES)
        await self.rewrite(store, "ada")
        await self.remove(store, "bob")
        records, version, digest = await store.scan(), await store.version(), await store.digest()
        await store.close()
        later = await backend.open()
        assert list(await later.scan()) == list(records)
        assert await later.version() == version
        assert await later.digest() == digest

    # --- fence ----------------------------------------------------------------------------------

    async def test_a_fenced_handle_refuses_every_later_write(self, store: Movable[Any]) -> None:
        await self.fill(store, ["ada"])
        records = [msgspec.structs.replace(record, version=1_000_000) for record in await store.scan()]
        await store.fence(FAR_EPOCH)
        with pytest.raises(Fenced):
            await self.fill(store, ["bob"])
        with pytest.raises(Fenced):
            await self.remove(store, "ada")
        with pytest.raises(Fenced):
            await store.apply(records)
        assert not await self.present(store, "bob")

    async def test_a_fence_leaves_acknowledged_writes_and_reads(self, store: Movable[Any]) -> None:
        await self.fill(store, NAMES)
        records = await store.scan()
        await store.fence(FAR_EPOCH)
        assert await store.scan() == records
        assert await self.present(store, "ada")

    async def test_a_fence_not_above_the_handles_own_epoch_refuses_nothing(self, store: Movable[Any]) -> None:
        await store.fence(0)
        await self.fill(store, NAMES)
        assert await self.present(store, "cleo")


async def everything(store: Movable[Any], *, page: int = 1_000) -> list[Record[Any]]:
    """All a scan returns, page by page. A page that does not go on behind the last would never end."""
    records: list[Record[Any]] = []
    while found := await store.scan(records[-1].key if records else None, limit=page):
        assert not records or found[0].key > records[-1].key, "a scan starts behind `after`"
        records += found
    return records
