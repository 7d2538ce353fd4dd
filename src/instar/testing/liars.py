"""Liars: embedded backends that each break one promise. A contract that lets one pass proves nothing.

Each entry names the clause that must catch it. A promise without a liar is not yet a promise.
"""

# ruff: noqa: D101  the name says the lie, and the clause beside it in the tables below the promise it breaks

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from instar.core.canonical import Digest
from instar.core.errors import Fenced, InstarError, MessageUnknown
from instar.core.ids import AGENT, ChannelId, MessageId, PersonId
from instar.core.records import Durability, Message, Profile, Record
from instar.stores.conversations.embedded import MESSAGES, EmbeddedConversationStore
from instar.stores.conversations.port import (
    Appended,
    ChannelSummary,
    Cursor,
    ErasedMessages,
    PersonCount,
)
from instar.stores.embedded import EmbeddedMovable, EmbeddedStore
from instar.stores.movable import Purged
from instar.stores.movable_contract import Backend
from instar.stores.profiles.embedded import EmbeddedProfileStore
from instar.stores.profiles.port import StoredProfile
from instar.stores.segment.files import Files
from instar.stores.segment.store import Op, key_of
from instar.stores.workflows.embedded import STEPS, EmbeddedWorkflowStore, _step
from instar.stores.workflows.port import Workflow
from instar.testing.backends import EmbeddedBackend

Liar = tuple[type[Any], str]
"""A backend, and the clause that must notice what it does."""


async def clauses_without_a_liar(contract: type, liars: Mapping[str, Liar]) -> list[str]:
    """The clauses of a contract that catch none of the liars: promises nobody was seen to break."""
    return [clause for clause in clauses_of(contract) if not await _catches_one(contract, clause, liars)]


async def _catches_one(contract: type, clause: str, liars: Mapping[str, Liar]) -> bool:
    # Those named for the clause first; of the others the port's own, which stand last.
    own_first = list(liars.values())
    own_first.reverse()
    likely = sorted(own_first, key=lambda liar: liar[1] != clause)
    for liar, _ in likely:
        if await broken_by(contract, clause, EmbeddedBackend(liar.open)):
            return True
    return False


async def broken_by(contract: type, clause: str, backend: Backend[Any]) -> BaseException | None:
    """Hold a backend to one clause; None when it keeps it. Closes the backend."""
    try:
        method = getattr(contract(), clause)
        wanted = inspect.signature(method).parameters
        given = {"backend": backend, "store": await backend.open()}
        await method(**{name: given[name] for name in wanted})
    except (AssertionError, InstarError, LookupError, TypeError, ValueError, pytest.fail.Exception) as broken:
        return broken
    finally:
        await backend.close()
    return None


def clauses_of(contract: type) -> list[str]:
    """The names of a contract's clauses."""
    return sorted(name for name, _ in inspect.getmembers(contract, inspect.isfunction) if name.startswith("test_"))


# --- of every store that purges ---------------------------------------------------------------------


class PurgeKeepsTheBytes(EmbeddedStore):
    async def purge(self, needles: Sequence[bytes]) -> Purged:
        return Purged(bytes_scanned=1 << 20, found=0)


class PurgeDoesNotSearch(EmbeddedStore):
    async def purge(self, needles: Sequence[bytes]) -> Purged:
        return await super().purge([])


class CommitsAreBuffered(EmbeddedStore):
    async def _commit(self, ops: Sequence[Op], *, durability: Durability = "durable") -> int:
        return await super()._commit(ops, durability="buffered")


# --- of every store that moves ----------------------------------------------------------------------


class ScanIgnoresLimit(EmbeddedMovable[Any]):
    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return await super().scan(after)


class ScanRepeatsAfter(EmbeddedMovable[Any]):
    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        records = await super().scan()
        return [record for record in records if after is None or record.key >= after][:limit]


class ScanIsInOrderOfWriting(EmbeddedMovable[Any]):
    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return sorted(await super().scan(after, limit=limit), key=lambda record: record.version)


class ScanLeavesTombstonesOut(EmbeddedMovable[Any]):
    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return [record for record in await super().scan(after, limit=limit) if record.value is not None]


class MarksStayBehind(EmbeddedMovable[Any]):
    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return [record for record in await super().scan(after, limit=limit) if record.key[0]]


class ChangesIncludeSince(EmbeddedMovable[Any]):
    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return await super().changes(since - 1, limit=limit)


class ChangesAreInOrderOfKeys(EmbeddedMovable[Any]):
    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return sorted(await super().changes(since, limit=limit), key=lambda record: record.key)


class ChangesLeaveTombstonesOut(EmbeddedMovable[Any]):
    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return [record for record in await super().changes(since, limit=limit) if record.value is not None]


class ChangesIgnoreLimit(EmbeddedMovable[Any]):
    async def changes(self, since: int, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        return await super().changes(since)


class ApplyOverwritesNewer(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        above = await self.version()
        raised = [msgspec.structs.replace(record, version=above + record.version) for record in records]
        return await super().apply(raised)


class ApplyDropsTombstones(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        return await super().apply([record for record in records if record.value is not None])


class ApplyCountsEverything(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        await super().apply(records)
        return len(records)


class ApplyLosesValues(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        return await super().apply(records[:-1])


class ApplyLetsTheLastOfAKeyWin(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        last = {record.key: record for record in records}
        return await super().apply(list(last.values()))


class ApplyBringsBackTheForgotten(EmbeddedMovable[Any]):
    def _barred(self, value: Any, version: int) -> bool:
        return False


class MarksEndNothingElsewhere(EmbeddedMovable[Any]):
    async def apply(self, records: Sequence[Record[Any]]) -> int:
        return await super().apply([record for record in records if record.key[0]])


class DigestIgnoresValues(EmbeddedMovable[Any]):
    async def digest(self, bucket: int | None = None) -> Digest:
        whole = await super().digest(bucket)
        return Digest(whole.count, whole.count)


class DigestIgnoresBuckets(EmbeddedMovable[Any]):
    async def digest(self, bucket: int | None = None) -> Digest:
        return await super().digest()


class DigestIsOfTheFirstReading(EmbeddedMovable[Any]):
    async def digest(self, bucket: int | None = None) -> Digest:
        first: Digest = self.__dict__.setdefault("first_digest", await super().digest())
        return first


class DigestCountsTombstones(EmbeddedMovable[Any]):
    async def digest(self, bucket: int | None = None) -> Digest:
        tombstones = sum(record.value is None for record in await self.scan())
        return await super().digest(bucket) + Digest(tombstones, 0)


class DigestCountsTheStore(EmbeddedMovable[Any]):
    async def digest(self, bucket: int | None = None) -> Digest:
        return await super().digest(bucket) + Digest(0, 1)


class ReopeningRenumbers(EmbeddedMovable[Any]):
    @classmethod
    async def open(cls, files: Files, **given: Any) -> Any:
        store = await super().open(files, **given)
        if records := [record for record in await store.scan() if record.value is not None]:
            above = await store.version()
            await store.apply([msgspec.structs.replace(r, version=above + n) for n, r in enumerate(records, start=1)])
        return store


class VersionCountsRecords(EmbeddedMovable[Any]):
    async def version(self) -> int:
        return len(list(self.engine.scan(self.collection))) - 1


class FenceIsIgnored(EmbeddedMovable[Any]):
    async def fence(self, epoch: int) -> None:
        return None


class FenceHoldsForAnyEpoch(EmbeddedMovable[Any]):
    async def fence(self, epoch: int) -> None:
        await super().fence(1 << 60)


class FenceStopsReads(EmbeddedMovable[Any]):
    async def fence(self, epoch: int) -> None:
        await super().fence(epoch)
        self.__dict__["fenced"] = epoch > 0

    async def scan(self, after: tuple[str, ...] | None = None, *, limit: int = 1_000) -> Sequence[Record[Any]]:
        if self.__dict__.get("fenced"):
            raise Fenced("a read was refused", why="another epoch has taken over", next="instar status")
        return await super().scan(after, limit=limit)


PURGING_LIES: Mapping[type, str] = {
    PurgeKeepsTheBytes: "test_purge_takes_the_bytes_of_the_tombstoned_off_the_disk",
    PurgeDoesNotSearch: "test_purge_searches_all_the_bytes_for_the_needles",
}

MOVING_LIES: Mapping[type, str] = {
    CommitsAreBuffered: "test_apply_is_durable_when_it_returns",
    ScanIgnoresLimit: "test_scan_starts_behind_after_and_returns_at_most_limit",
    ScanRepeatsAfter: "test_scan_starts_behind_after_and_returns_at_most_limit",
    ScanIsInOrderOfWriting: "test_scan_returns_live_records_in_key_order_with_their_value",
    ScanLeavesTombstonesOut: "test_scan_includes_tombstones_without_a_value",
    MarksStayBehind: "test_what_was_removed_stays_removed_in_the_next_home",
    ChangesIncludeSince: "test_changes_are_above_since_and_oldest_first",
    ChangesAreInOrderOfKeys: "test_changes_are_above_since_and_oldest_first",
    ChangesLeaveTombstonesOut: "test_changes_include_tombstones",
    ChangesIgnoreLimit: "test_changes_return_at_most_limit",
    ApplyOverwritesNewer: "test_apply_leaves_out_a_record_older_than_the_stored_one",
    ApplyDropsTombstones: "test_apply_takes_tombstones_over",
    ApplyCountsEverything: "test_apply_returns_how_many_were_newer",
    ApplyLosesValues: "test_applied_records_are_found_by_the_ports_own_reads",
    ApplyLetsTheLastOfAKeyWin: "test_apply_of_one_key_twice_keeps_the_newer_in_either_order",
    ApplyBringsBackTheForgotten: ("test_an_older_record_applied_after_the_purge_does_not_bring_back_what_was_removed"),
    MarksEndNothingElsewhere: "test_what_is_removed_and_purged_here_is_removed_where_it_was_copied_to",
    DigestIgnoresValues: "test_digest_tells_values_apart_that_share_key_and_version",
    DigestIgnoresBuckets: "test_digest_of_one_bucket_holds_the_records_whose_keys_fall_into_it",
    DigestIsOfTheFirstReading: "test_digest_follows_every_write",
    DigestCountsTombstones: "test_digest_is_over_every_live_record_and_no_tombstone",
    DigestCountsTheStore: "test_digest_of_an_empty_store_is_empty",
    ReopeningRenumbers: "test_records_and_versions_are_the_same_after_reopening",
    VersionCountsRecords: "test_version_is_the_highest_in_the_store_and_0_when_it_is_empty",
    FenceIsIgnored: "test_a_fenced_handle_refuses_every_later_write",
    FenceHoldsForAnyEpoch: "test_a_fence_not_above_the_handles_own_epoch_refuses_nothing",
    FenceStopsReads: "test_a_fence_leaves_acknowledged_writes_and_reads",
}


def told_by(lies: Mapping[type, str], store: type) -> dict[str, Liar]:
    """Backends that are `store` but for one lie each."""
    return {lie.__name__: (type(lie.__name__, (lie, store), {}), clause) for lie, clause in lies.items()}


# --- of conversations -------------------------------------------------------------------------------


class _Conversations(EmbeddedConversationStore):
    """What the liars below share: nothing is told but by the method they replace."""


class DropsTheLastOfABatch(_Conversations):
    async def _append(self, messages: Sequence[Message], durability: Durability) -> Sequence[Appended]:
        kept = messages[:-1] if len(messages) > 1 else messages
        answers = list(await super()._append(kept, durability))
        return [*answers, *(Appended(message=lost, already_there=False) for lost in messages[len(kept) :])]


class BatchIsNotAtomic(_Conversations):
    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        return [(await super(BatchIsNotAtomic, self).append_many([each]))[0] for each in messages]


class BatchStoresRepeatsTwice(_Conversations):
    def _planned(self, messages: Sequence[Message]) -> list[Appended]:
        return [answer for message in messages for answer in super(BatchStoresRepeatsTwice, self)._planned([message])]


class EmptyBatchLeavesATrace(_Conversations):
    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        if not messages:
            await self._commit([self._forgotten.mark("nothing")])
        return await super().append_many(messages, durability=durability)


class LosesMicroseconds(_Conversations):
    def _placed(self, message: Message) -> Message:
        at = message.sent_at and message.sent_at.replace(microsecond=message.sent_at.microsecond // 1_000 * 1_000)
        return super()._placed(msgspec.structs.replace(message, sent_at=at))


class ForgetsWhatIsNotAscii(_Conversations):
    def _placed(self, message: Message) -> Message:
        plain = message.text.encode("ascii", "replace").decode()
        return super()._placed(msgspec.structs.replace(message, text=plain))


class ForgetsCitations(_Conversations):
    def _placed(self, message: Message) -> Message:
        return super()._placed(msgspec.structs.replace(message, citations=()))


class CutsLongTexts(_Conversations):
    def _placed(self, message: Message) -> Message:
        return super()._placed(msgspec.structs.replace(message, text=message.text[: 1 << 20]))


class DeduplicatesByIdAlone(_Conversations):
    def _standing_or_gone(self, message: Message) -> Message | None:
        stored = map(self._value, self.engine.scan(MESSAGES))
        return next((each for each in stored if each.id == message.id), None)


class IgnoresVariants(_Conversations):
    def _found(self, channel: ChannelId, message_id: MessageId, variant: int) -> Message | None:
        return super()._found(channel, message_id, 0)


class StoresDeliveriesAgain(_Conversations):
    def _standing_or_gone(self, message: Message) -> Message | None:
        return None


class DoesNotReportRedelivery(_Conversations):
    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        answers = await super().append_many(messages, durability=durability)
        return [msgspec.structs.replace(answer, already_there=False) for answer in answers]


class ReturnsTheRedelivered(_Conversations):
    def _planned(self, messages: Sequence[Message]) -> list[Appended]:
        answers = super()._planned(messages)
        return [
            msgspec.structs.replace(answer, message=message) if answer.already_there else answer
            for answer, message in zip(answers, messages, strict=True)
        ]


class RedeliveryStaysBuffered(_Conversations):
    async def _synced(self) -> None:
        return None


class SharesPositions(_Conversations):
    async def _append(self, messages: Sequence[Message], durability: Durability) -> Sequence[Appended]:
        last = {message.channel: self._stored_last(message.channel) for message in messages}
        await asyncio.sleep(0)
        self._last.update(last)
        return await super()._append(messages, durability)


class ChecksNothing(_Conversations):
    async def append_many(
        self, messages: Sequence[Message], *, durability: Durability = "durable"
    ) -> Sequence[Appended]:
        return await self._whole(self._append(messages, durability))


class WindowIsNewestFirst(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return (await super().window(channel, limit=limit, before=before))[::-1]


class WindowIgnoresLimit(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return await super().window(channel, limit=1_000, before=before)


class WindowIgnoresBefore(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return await super().window(channel, limit=limit)


class WindowStartsAtTheOldest(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return (await super().window(channel, limit=1_000, before=before))[:limit]


class _WindowOfAll(_Conversations):
    def _shown(self, message: Message) -> bool:
        return True

    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        messages = await self.page(channel=channel)
        return [message for message in messages if self._shown(message)][-limit:]


class WindowHoldsTheUnselected(_WindowOfAll):
    def _shown(self, message: Message) -> bool:
        return not message.hidden


class WindowHoldsTheHidden(_WindowOfAll):
    def _shown(self, message: Message) -> bool:
        return message.selected


class WindowCountsWhatItLeavesOut(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        last = (await self.page(channel=channel))[-limit:] if limit else []
        return [message for message in last if message.selected and not message.hidden]


class WindowReadsNeighbours(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        near = [message for message in await self.page() if message.channel.startswith(channel)]
        return [message for message in near if message.selected and not message.hidden][-limit:]


class WindowIsOrderedAsText(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return sorted(
            await super().window(channel, limit=limit, before=before), key=lambda message: str(message.position)
        )


class WindowOfNobodyIsEveryones(_Conversations):
    async def window(self, channel: ChannelId, *, limit: int, before: int | None = None) -> Sequence[Message]:
        return await super().window(channel, limit=limit, before=before) or await self.page(limit=limit)


class AppendReturnsWhatItWasGiven(_Conversations):
    async def append(self, message: Message, *, durability: Durability = "durable") -> Appended:
        answer = await super().append(message, durability=durability)
        return answer if answer.already_there else msgspec.structs.replace(answer, message=message)


class BufferedIsNeverStored(_Conversations):
    async def append(self, message: Message, *, durability: Durability = "durable") -> Appended:
        if durability == "buffered":
            return Appended(message=msgspec.structs.replace(message, position=1), already_there=False)
        return await super().append(message)


class GetFindsTheDeleted(_Conversations):
    async def _delete(self, channel: ChannelId, message_id: MessageId) -> bool:
        self.__dict__.setdefault("kept", {})[channel, message_id] = self._found(channel, message_id, 0)
        return await super()._delete(channel, message_id)

    async def get(self, channel: ChannelId, message_id: MessageId, *, variant: int = 0) -> Message | None:
        kept: dict[Any, Message] = self.__dict__.get("kept", {})
        return await super().get(channel, message_id, variant=variant) or kept.get((channel, message_id))


class GetFindsTheIdAnywhere(_Conversations):
    async def get(self, channel: ChannelId, message_id: MessageId, *, variant: int = 0) -> Message | None:
        same = (message for message in self._all(None, None) if message.id == message_id)
        return await super().get(channel, message_id, variant=variant) or next(same, None)


class EditChecksNothing(_Conversations):
    async def _edit(self, channel: ChannelId, message_id: MessageId, text: str, edited_at: Any) -> Message:
        stored = self._found(channel, message_id, 0)
        assert stored is not None, "the clause stored it"
        edited = msgspec.structs.replace(stored, text=text, edited_at=edited_at)
        await self._commit(self._written(stored, edited))
        return edited


class EditKeepsWhatTheSourceWrote(_Conversations):
    async def _edit(self, channel: ChannelId, message_id: MessageId, text: str, edited_at: Any) -> Message:
        before = self._found(channel, message_id, 0)
        edited = await super()._edit(channel, message_id, text, edited_at)
        return msgspec.structs.replace(edited, text_original=before and before.text_original)


class PageLeavesOutTheHidden(_Conversations):
    def _all(self, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        return (message for message in super()._all(channel, after) if not message.hidden)


class PageIgnoresAfter(_Conversations):
    def _all(self, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        return super()._all(channel, None)


class PageIgnoresTheChannel(_Conversations):
    def _all(self, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        return super()._all(None, after)


class PageOfAPersonIsWhatTheyWrote(_Conversations):
    def _of_person(self, person: PersonId, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        theirs = super()._of_person(person, channel, after)
        return (message for message in theirs if message.author == person)


class PageOfAPersonIsEveryones(_Conversations):
    def _of_person(self, person: PersonId, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        return self._all(channel, after)


class EditMovesTheMessage(_Conversations):
    async def _edit(self, channel: ChannelId, message_id: MessageId, text: str, edited_at: Any) -> Message:
        edited = await super()._edit(channel, message_id, text, edited_at)
        self._last[channel] = self._stored_last(channel)
        moved = self._placed(edited)
        await self._commit([op for op in self._written(edited, moved) if op.collection != "forgotten"])
        return moved


class EditInventsMessages(_Conversations):
    async def edit(self, channel: ChannelId, message_id: MessageId, *, text: str, edited_at: Any) -> Message:
        try:
            return await super().edit(channel, message_id, text=text, edited_at=edited_at)
        except MessageUnknown:
            new = Message(id=message_id, channel=channel, author=AGENT, text=text)
            return (await self.append(new)).message


class EditIsForgotten(_Conversations):
    async def _edit(self, channel: ChannelId, message_id: MessageId, text: str, edited_at: Any) -> Message:
        before = self._found(channel, message_id, 0)
        edited = await super()._edit(channel, message_id, text, edited_at)
        if before is not None:
            await self._commit(self._written(edited, before))
        return edited


class DeleteLeavesVariants(_Conversations):
    def _variants(self, channel: ChannelId, message_id: MessageId) -> list[Message]:
        return super()._variants(channel, message_id)[:1]


class DeleteAlwaysSucceeds(_Conversations):
    async def delete(self, channel: ChannelId, message_id: MessageId) -> bool:
        await super().delete(channel, message_id)
        return True


class LateDeliveriesComeBack(_Conversations):
    def _is_gone(self, message: Message) -> bool:
        return False


class PositionsAreGivenTwice(_Conversations):
    def _top_left(self, channel: ChannelId) -> int:
        return 0


class ChannelsAreOfTheFirstReading(_Conversations):
    async def channels(self) -> Sequence[ChannelSummary]:
        first: Sequence[ChannelSummary] = self.__dict__.setdefault("first_channels", await super().channels())
        return first


class ChannelsNameNobody(_Conversations):
    async def channels(self) -> Sequence[ChannelSummary]:
        return [msgspec.structs.replace(summary, people=()) for summary in await super().channels()]


class PeopleIncludeTheAgent(_Conversations):
    async def people(self) -> Sequence[PersonCount]:
        authors = [message.author for message in await self.page()]
        return [PersonCount(person=person, messages=authors.count(person)) for person in sorted(set(authors))]


class ErasureLeavesReplies(_Conversations):
    def _of_person(self, person: PersonId, channel: ChannelId | None, after: Cursor | None) -> Iterator[Message]:
        theirs = super()._of_person(person, channel, after)
        return (message for message in theirs if message.author == person)

    def _with_what_rests_on(self, messages: list[Message]) -> list[Message]:
        return messages


class ErasureLeavesCitingReplies(_Conversations):
    def _with_what_rests_on(self, messages: list[Message]) -> list[Message]:
        return messages


class ErasureDoesNotFollowCitations(_Conversations):
    def _with_what_rests_on(self, messages: list[Message]) -> list[Message]:
        resting = [each for message in messages for each in self._resting_on(message) if each not in messages]
        return [*messages, *resting]


class ErasureTakesTheWholeChannel(_Conversations):
    def _with_what_rests_on(self, messages: list[Message]) -> list[Message]:
        channels = {message.channel for message in messages}
        return [message for channel in sorted(channels) for message in self._all(channel, None)]


class ErasureTakesSameIdsElsewhere(_Conversations):
    def _resting_on(self, message: Message) -> Iterator[Message]:
        yield from super()._resting_on(message)
        for other in self._all(None, None):
            if other.role == "agent" and message.id in (other.reply_to, *(each.id for each in other.citations)):
                yield other


class ErasureNamesOnlyTheirOwn(_Conversations):
    async def _erase_person(self, person: PersonId) -> ErasedMessages:
        own = [(message.channel, message.id) for message in self._of_person(person, None, None)]
        await super()._erase_person(person)
        return ErasedMessages(messages=own)


class ErasureLeavesTheIndex(_Conversations):
    def _companions(self, old: Message | None, new: Message | None) -> Sequence[Op]:
        return [op for op in super()._companions(old, new) if new is not None or op.collection != "message_people"]


class ErasureBarsThePerson(_Conversations):
    def _farewell(self, message: Message) -> list[Op]:
        return [*super()._farewell(message), self._forgotten.mark("person", message.author)]

    def _is_gone(self, message: Message) -> bool:
        return super()._is_gone(message) or self._forgotten.holds("person", message.author)


CONVERSATION_LIARS: dict[str, Liar] = {
    **told_by(PURGING_LIES, EmbeddedConversationStore),
    **told_by(MOVING_LIES, EmbeddedConversationStore),
    **told_by({CommitsAreBuffered: "test_append_is_durable_when_it_returns"}, EmbeddedConversationStore),
    **{
        liar.__name__: (liar, clause)
        for liar, clause in {
            DropsTheLastOfABatch: "test_append_many_stores_in_the_order_given_and_says_what_became_of_each",
            BatchIsNotAtomic: "test_append_many_stores_all_or_none",
            BatchStoresRepeatsTwice: "test_a_message_repeated_within_the_batch_is_stored_once",
            EmptyBatchLeavesATrace: "test_an_empty_batch_changes_nothing",
            LosesMicroseconds: "test_times_keep_their_microseconds",
            ForgetsWhatIsNotAscii: "test_every_field_comes_back_as_it_was_given",
            ForgetsCitations: "test_every_field_comes_back_as_it_was_given",
            CutsLongTexts: "test_a_message_of_the_largest_size_is_kept",
            DeduplicatesByIdAlone: "test_the_same_id_in_another_channel_is_another_message",
            IgnoresVariants: "test_another_variant_of_an_id_is_another_message",
            StoresDeliveriesAgain: "test_a_message_delivered_again_changes_nothing_and_is_reported_with_the_first",
            DoesNotReportRedelivery: "test_a_message_delivered_again_changes_nothing_and_is_reported_with_the_first",
            ReturnsTheRedelivered: "test_a_message_delivered_again_changes_nothing_and_is_reported_with_the_first",
            RedeliveryStaysBuffered: "test_a_durable_redelivery_makes_the_buffered_first_durable",
            SharesPositions: "test_appends_at_the_same_time_get_positions_of_their_own",
            ChecksNothing: "test_an_invalid_message_is_refused_before_anything_is_written",
            WindowIsNewestFirst: "test_window_returns_the_last_ones_oldest_first",
            WindowIgnoresLimit: "test_window_returns_the_last_ones_oldest_first",
            WindowStartsAtTheOldest: "test_window_returns_the_last_ones_oldest_first",
            WindowIgnoresBefore: "test_window_before_a_position_returns_those_in_front_of_it",
            WindowHoldsTheUnselected: (
                "test_window_leaves_out_the_hidden_and_the_unselected_and_fills_up_to_its_limit"
            ),
            WindowHoldsTheHidden: "test_window_leaves_out_the_hidden_and_the_unselected_and_fills_up_to_its_limit",
            WindowCountsWhatItLeavesOut: (
                "test_window_leaves_out_the_hidden_and_the_unselected_and_fills_up_to_its_limit"
            ),
            WindowReadsNeighbours: "test_window_holds_messages_of_its_channel_only",
            WindowIsOrderedAsText: "test_window_is_in_order_behind_the_ninth_and_the_hundredth_message",
            WindowOfNobodyIsEveryones: "test_a_channel_nobody_wrote_in_is_an_empty_window",
            AppendReturnsWhatItWasGiven: "test_append_returns_the_message_as_stored",
            BufferedIsNeverStored: "test_buffered_append_is_read_at_once_and_durable_after_close",
            GetFindsTheDeleted: "test_get_returns_none_for_a_deleted_message",
            GetFindsTheIdAnywhere: "test_get_returns_none_for_a_message_that_was_never_there",
            EditChecksNothing: "test_an_edit_that_breaks_a_rule_is_refused_and_changes_nothing",
            EditKeepsWhatTheSourceWrote: "test_an_edited_message_no_longer_holds_what_its_source_wrote",
            PageLeavesOutTheHidden: ("test_page_returns_by_channel_and_position_the_hidden_and_unselected_included"),
            PageIgnoresAfter: "test_page_starts_behind_after_and_holds_at_most_limit",
            PageIgnoresTheChannel: "test_page_of_one_channel",
            PageOfAPersonIsWhatTheyWrote: "test_page_of_one_person_holds_what_they_wrote_and_what_is_theirs",
            PageOfAPersonIsEveryones: "test_page_of_one_person_holds_what_they_wrote_and_what_is_theirs",
            EditMovesTheMessage: "test_edit_replaces_the_text_keeps_the_position_and_returns_the_message",
            EditIsForgotten: "test_edit_replaces_the_text_keeps_the_position_and_returns_the_message",
            EditInventsMessages: "test_edit_of_an_unknown_or_deleted_message_raises",
            DeleteLeavesVariants: "test_delete_takes_a_message_with_all_its_variants",
            DeleteAlwaysSucceeds: "test_delete_of_what_is_not_there_is_false",
            LateDeliveriesComeBack: "test_a_late_delivery_of_a_deleted_message_stores_nothing",
            PositionsAreGivenTwice: "test_a_position_is_not_given_twice_though_its_message_is_gone",
            ChannelsAreOfTheFirstReading: "test_channels_follow_every_write",
            ChannelsNameNobody: "test_channels_are_listed_by_id_with_their_counts_people_and_times",
            PeopleIncludeTheAgent: "test_people_are_those_who_wrote_as_persons_by_id_with_their_counts",
            ErasureLeavesReplies: "test_erasing_a_person_takes_the_replies_to_them",
            ErasureLeavesCitingReplies: ("test_erasing_a_person_takes_the_replies_that_cite_them_from_any_channel"),
            ErasureDoesNotFollowCitations: ("test_erasing_a_person_takes_replies_that_cite_replies_that_cite_them"),
            ErasureTakesTheWholeChannel: "test_erasing_a_person_leaves_everything_else",
            ErasureTakesSameIdsElsewhere: "test_a_reply_that_cites_a_message_of_the_same_id_elsewhere_stays",
            ErasureNamesOnlyTheirOwn: "test_erasure_names_every_message_it_took",
            ErasureLeavesTheIndex: "test_the_bytes_of_an_erased_person_leave_at_the_next_purge",
            ErasureBarsThePerson: "test_someone_erased_may_write_again",
        }.items()
    },
}


# --- of profiles ------------------------------------------------------------------------------------


class SaveComparesNothing(EmbeddedProfileStore):
    async def save(
        self, profile: Profile, *, expected_version: int, durability: Durability = "durable"
    ) -> StoredProfile:
        stored = await self.load(profile.person)
        version = 0 if stored is None else stored.version
        return await super().save(profile, expected_version=version, durability=durability)


class SaveComparesTooEarly(EmbeddedProfileStore):
    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        stored = await self.load(profile.person)
        await asyncio.sleep(0)
        if (0 if stored is None else stored.version) == expected_version:
            now = await self.load(profile.person)
            expected_version = 0 if now is None else now.version
        return await super()._save(profile, expected_version, durability)


class SavesOfOthersAreLost(EmbeddedProfileStore):
    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        saving: int = self.__dict__.get("saving", 0)
        self.__dict__["saving"] = saving + 1
        try:
            await asyncio.sleep(0)
            if saving:
                return StoredProfile(profile=profile, version=expected_version + 1)
            return await super()._save(profile, expected_version, durability)
        finally:
            self.__dict__["saving"] -= 1


class SaveReturnsTheOldVersion(EmbeddedProfileStore):
    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        saved = await super()._save(profile, expected_version, durability)
        return msgspec.structs.replace(saved, version=expected_version)


class SaveRoundsNumbers(EmbeddedProfileStore):
    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        samples = tuple(msgspec.structs.replace(s, confidence=round(s.confidence, 6)) for s in profile.emotion_samples)
        rounded = msgspec.structs.replace(profile, emotion_samples=samples)
        return await super()._save(rounded, expected_version, durability)


class SaveKeepsEverySample(EmbeddedProfileStore):
    async def save(
        self, profile: Profile, *, expected_version: int, durability: Durability = "durable"
    ) -> StoredProfile:
        return await self._whole(self._save(self._checked(profile), expected_version, durability))


class SaveKeepsTheOldestSamples(EmbeddedProfileStore):
    async def save(
        self, profile: Profile, *, expected_version: int, durability: Durability = "durable"
    ) -> StoredProfile:
        oldest = msgspec.structs.replace(profile, emotion_samples=profile.emotion_samples[:50])
        return await super().save(oldest, expected_version=expected_version, durability=durability)


class SaveChecksNothing(EmbeddedProfileStore):
    def _checked(self, value: Profile) -> Profile:
        return value


class SaveDropsAFactNowAndThen(EmbeddedProfileStore):
    async def _save(self, profile: Profile, expected_version: int, durability: Durability) -> StoredProfile:
        kept = profile.facts[:-1] if expected_version == 5_000 else profile.facts
        cut = msgspec.structs.replace(profile, facts=kept)
        return await super()._save(cut, expected_version, durability)


class LoadInventsProfiles(EmbeddedProfileStore):
    async def load(self, person: PersonId) -> StoredProfile | None:
        return await super().load(person) or StoredProfile(profile=Profile(person=person), version=0)


class PeopleAreUnsorted(EmbeddedProfileStore):
    async def people(self) -> Sequence[PersonId]:
        by_version = sorted(self.engine.scan("profiles"), key=lambda entry: entry.version)
        return [self._value(entry).person for entry in by_version]


class DeleteIsOnlyHidden(EmbeddedProfileStore):
    async def delete(self, person: PersonId) -> bool:
        stored = self._live(key_of(person))
        hidden: set[PersonId] = self.__dict__.setdefault("hidden", set())
        hidden.add(person)
        return stored is not None

    async def load(self, person: PersonId) -> StoredProfile | None:
        return None if person in self.__dict__.get("hidden", set()) else await super().load(person)


class DeleteNeverFails(EmbeddedProfileStore):
    async def delete(self, person: PersonId) -> bool:
        return await super().delete(person) or True


class DeleteIsForever(EmbeddedProfileStore):
    def _barred(self, value: Profile, version: int) -> bool:
        return self._forgotten.holds(value.person)


PROFILE_LIARS: dict[str, Liar] = {
    **told_by(PURGING_LIES, EmbeddedProfileStore),
    **told_by({**MOVING_LIES, CommitsAreBuffered: "test_save_is_durable_when_it_returns"}, EmbeddedProfileStore),
    **{
        liar.__name__: (liar, clause)
        for liar, clause in {
            SaveComparesNothing: "test_a_stale_save_is_refused_and_changes_nothing",
            SaveComparesTooEarly: "test_of_saves_at_the_same_time_that_expect_one_version_one_wins",
            SavesOfOthersAreLost: "test_saves_of_different_people_at_the_same_time_all_hold",
            SaveReturnsTheOldVersion: "test_load_returns_what_save_returned",
            SaveRoundsNumbers: "test_every_field_comes_back_as_it_was_given",
            SaveKeepsEverySample: "test_the_newest_emotion_samples_are_kept",
            SaveKeepsTheOldestSamples: "test_the_newest_emotion_samples_are_kept",
            SaveChecksNothing: "test_an_invalid_profile_is_refused_before_anything_is_written",
            SaveDropsAFactNowAndThen: "test_ten_thousand_loads_and_saves_lose_nothing",
            LoadInventsProfiles: "test_load_returns_none_when_there_is_no_profile",
            PeopleAreUnsorted: "test_people_are_those_who_have_a_profile_by_id",
            DeleteIsOnlyHidden: "test_delete_tombstones_the_profile_durably",
            DeleteNeverFails: "test_delete_is_false_when_there_was_none",
            DeleteIsForever: "test_a_deleted_profile_may_be_saved_anew_and_has_a_newer_version",
        }.items()
    },
}


# --- of workflows -----------------------------------------------------------------------------------


class BeginReplaces(EmbeddedWorkflowStore):
    async def _begin(self, workflow: Workflow) -> Workflow:
        await self._finish(workflow.id)
        return await super()._begin(workflow)


class BeginKeepsOnlyAscii(EmbeddedWorkflowStore):
    async def _begin(self, workflow: Workflow) -> Workflow:
        plain = workflow.name.encode("ascii", "replace").decode()
        return await super()._begin(msgspec.structs.replace(workflow, name=plain))


class StepsOfNeighboursAreMixed(EmbeddedWorkflowStore):
    async def load(self, workflow_id: str) -> Workflow | None:
        found = await super().load(workflow_id)
        near = [step for step in map(_step, self.engine.scan(STEPS)) if step.workflow_id.startswith(workflow_id)]
        return found and msgspec.structs.replace(found, steps={step.step: step.result for step in near})


class FinishTakesEverything(EmbeddedWorkflowStore):
    async def finish(self, workflow_id: str) -> None:
        for workflow in await self.unfinished("turn"):
            await super().finish(workflow.id)


class OrderIsOfThisProcess(EmbeddedWorkflowStore):
    async def _begin(self, workflow: Workflow) -> Workflow:
        self.__dict__.setdefault("begun", []).append(workflow.id)
        return await super()._begin(workflow)

    async def unfinished(self, name: str) -> Sequence[Workflow]:
        begun: list[str] = self.__dict__.get("begun", [])
        by_id = sorted(await super().unfinished(name), key=lambda workflow: workflow.id)
        return sorted(by_id, key=lambda workflow: begun.index(workflow.id) if workflow.id in begun else 0)


class BeginReturnsWhatItWasGiven(EmbeddedWorkflowStore):
    async def _begin(self, workflow: Workflow) -> Workflow:
        await super()._begin(workflow)
        return workflow


class BeginForgetsSteps(EmbeddedWorkflowStore):
    async def _begin(self, workflow: Workflow) -> Workflow:
        await super()._begin(msgspec.structs.replace(workflow, steps={}))
        return workflow


class TheLastResultWins(EmbeddedWorkflowStore):
    async def _finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        begun = await self.load(workflow_id)
        if begun is not None and step in begun.steps:
            await self._finish(workflow_id)
            await self._begin(msgspec.structs.replace(begun, steps={**begun.steps, step: result}))
            return result
        return await super()._finish_step(workflow_id, step, result)


class EmptyResultsAreNone(EmbeddedWorkflowStore):
    async def _finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        return await super()._finish_step(workflow_id, step, result) if result else result


class ResultsAreText(EmbeddedWorkflowStore):
    async def _finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        return await super()._finish_step(workflow_id, step, result.decode(errors="replace").encode())


class LateStepsAreSwallowed(EmbeddedWorkflowStore):
    async def _finish_step(self, workflow_id: str, step: str, result: bytes) -> bytes:
        if await self.load(workflow_id) is None:
            return result
        return await super()._finish_step(workflow_id, step, result)


class FinishLeavesSteps(EmbeddedWorkflowStore):
    def _gone(self, workflow: Workflow) -> list[Op]:
        return super()._gone(workflow)[-1:]


class FinishDoesNothing(EmbeddedWorkflowStore):
    async def finish(self, workflow_id: str) -> None:
        return None


class FinishTakesNeighbours(EmbeddedWorkflowStore):
    async def finish(self, workflow_id: str) -> None:
        for workflow in await self.unfinished("turn"):
            if workflow.id.startswith(workflow_id):
                await super().finish(workflow.id)


class UnfinishedIsById(EmbeddedWorkflowStore):
    async def unfinished(self, name: str) -> Sequence[Workflow]:
        return sorted(await super().unfinished(name), key=lambda workflow: workflow.id)


class UnfinishedIgnoresTheName(EmbeddedWorkflowStore):
    async def unfinished(self, name: str) -> Sequence[Workflow]:
        return [*await super().unfinished("turn"), *await super().unfinished("move")]


class UnfinishedForgetsSteps(EmbeddedWorkflowStore):
    async def unfinished(self, name: str) -> Sequence[Workflow]:
        return [msgspec.structs.replace(workflow, steps={}) for workflow in await super().unfinished(name)]


class ErasureTakesOneName(EmbeddedWorkflowStore):
    async def erase_person(self, person: PersonId) -> int:
        theirs = [workflow for workflow in await self.unfinished("turn") if workflow.person == person]
        for workflow in theirs:
            await self.finish(workflow.id)
        return len(theirs)


class ErasureTakesEveryone(EmbeddedWorkflowStore):
    async def erase_person(self, person: PersonId) -> int:
        everyone = {workflow.person for workflow in await self.unfinished("turn")}
        return sum([await super(ErasureTakesEveryone, self).erase_person(each) for each in sorted(everyone)])


class ErasureIsForever(EmbeddedWorkflowStore):
    async def erase_person(self, person: PersonId) -> int:
        self.__dict__["erased"] = person
        return await super().erase_person(person)

    async def load(self, workflow_id: str) -> Workflow | None:
        found = await super().load(workflow_id)
        return None if found is None or found.person == self.__dict__.get("erased") else found


WORKFLOW_LIARS: dict[str, Liar] = {
    **told_by({**PURGING_LIES, CommitsAreBuffered: "test_begin_is_durable_when_it_returns"}, EmbeddedWorkflowStore),
    **{
        liar.__name__: (liar, clause)
        for liar, clause in {
            BeginReplaces: "test_a_workflow_already_begun_is_returned_unchanged",
            BeginKeepsOnlyAscii: "test_begin_stores_a_workflow_and_returns_it",
            StepsOfNeighboursAreMixed: "test_steps_belong_to_their_workflow",
            FinishTakesEverything: "test_finishing_what_is_not_there_changes_nothing",
            OrderIsOfThisProcess: "test_unfinished_is_the_same_after_reopening",
            BeginReturnsWhatItWasGiven: "test_a_workflow_already_begun_is_returned_unchanged",
            BeginForgetsSteps: "test_steps_a_workflow_is_begun_with_are_kept",
            TheLastResultWins: "test_the_result_stored_first_wins_and_is_returned",
            EmptyResultsAreNone: "test_an_empty_result_is_a_result",
            ResultsAreText: "test_finish_step_stores_the_result_durably_and_returns_it",
            LateStepsAreSwallowed: "test_a_step_of_a_workflow_that_is_not_begun_is_refused",
            FinishLeavesSteps: "test_finish_takes_the_workflow_and_its_steps_away",
            FinishDoesNothing: "test_load_returns_none_for_what_was_never_begun_or_has_finished",
            FinishTakesNeighbours: "test_finish_leaves_other_workflows",
            UnfinishedIsById: "test_unfinished_lists_every_workflow_of_the_name_oldest_first",
            UnfinishedIgnoresTheName: "test_unfinished_lists_every_workflow_of_the_name_oldest_first",
            UnfinishedForgetsSteps: "test_unfinished_lists_every_workflow_of_the_name_oldest_first",
            ErasureTakesOneName: "test_erasing_a_person_takes_all_their_workflows_durably_and_counts_them",
            ErasureTakesEveryone: "test_erasing_someone_unknown_takes_nothing",
            ErasureIsForever: "test_a_workflow_may_begin_again_after_its_person_was_erased",
        }.items()
    },
}
