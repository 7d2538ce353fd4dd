"""What every conversation store promises: the sentences of `port.py`, each as a test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from instar.core.errors import MessageUnknown, RecordInvalid, RecordTooLarge
from instar.core.ids import AGENT, ChannelId, MessageId, PersonId
from instar.core.limits import MESSAGE_TEXT_MAX_BYTES
from instar.core.records import Message, MessageRef, Responder
from instar.stores.conversations.port import ConversationStore, Cursor
from instar.stores.movable_contract import Backend, MovableContract

NOON = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
HALL, YARD = ChannelId("hall"), ChannelId("yard")
ADA, BOB = PersonId("ada"), PersonId("bob")


def message(id_: str, text: str = "hello", **fields: Any) -> Message:
    """A message of Ada's in the hall, unless told otherwise."""
    filled = {"channel": HALL, "author": ADA, "sent_at": NOON, **fields}
    return Message(id=MessageId(id_), text=text, **filled)


def reply(id_: str, text: str = "indeed", **fields: Any) -> Message:
    """A message of the agent's."""
    return message(id_, text, **{"author": AGENT, "role": "agent", **fields})


def cited(channel: ChannelId, *ids: str) -> tuple[MessageRef, ...]:
    """References to messages of a channel."""
    return tuple(MessageRef(channel, MessageId(id_)) for id_ in ids)


def full_message() -> Message:
    """A message with every field set to something its default is not."""
    return Message(
        id=MessageId("9007199254740993"),
        channel=ChannelId("grüße/日本\x00語"),
        author=AGENT,
        author_name="Ζωή 🜂",
        person=ADA,
        role="agent",
        text="naïve 🏳️‍🌈 \u0000 \u202e text\r\n\twith\u2028all",
        sent_at=NOON,
        sent_at_original="1. März 2026, 13:00:00,123457 MEZ",
        edited_at=NOON + timedelta(microseconds=1),
        reply_to=MessageId("q"),
        attachments=("a.png", "b ü.pdf"),
        citations=cited(YARD, "q", "r"),
        responder=Responder(kind="model", name="Ω 8b"),
        selected=False,
        hidden=True,
        variant=3,
        shared=True,
        text_original="<envelope>…</envelope>",
    )


def ids(messages: Sequence[Message]) -> list[str]:
    """The ids, in order."""
    return [each.id for each in messages]


class ConversationsContract(MovableContract[ConversationStore]):
    """The clauses of `ConversationStore`. A subclass gives the fixture `backend`."""

    # --- what the clauses of every movable store need -------------------------------------------

    async def fill(self, store: ConversationStore, names: Sequence[str]) -> None:
        for name in names:
            await store.append(message(name, self.needle(name).decode(), channel=ChannelId(name)))

    async def rewrite(self, store: ConversationStore, name: str) -> None:
        await store.edit(ChannelId(name), MessageId(name), text=f"{name} rewritten", edited_at=NOON)

    async def remove(self, store: ConversationStore, name: str) -> None:
        await store.delete(ChannelId(name), MessageId(name))

    async def present(self, store: ConversationStore, name: str) -> bool:
        found = await store.get(ChannelId(name), MessageId(name)) is not None
        assert found == bool(await store.window(ChannelId(name), limit=1))
        assert found == bool(await store.page(channel=ChannelId(name), person=ADA))
        return found

    def key(self, name: str) -> tuple[str, ...]:
        return name, f"{1:020d}"

    def needle(self, name: str) -> bytes:
        return f"what only {name} said".encode()

    def altered(self, value: Message) -> Message:
        return msgspec.structs.replace(value, text=value.text + "!")

    # --- append ---------------------------------------------------------------------------------

    async def test_append_stores_behind_the_last_of_its_channel_and_returns_the_position(
        self, store: ConversationStore
    ) -> None:
        positions = [(await store.append(message(id_))).message.position for id_ in "abc"]
        elsewhere = await store.append(message("d", channel=YARD))
        assert positions == [1, 2, 3]
        assert elsewhere.message.position == 1
        assert ids(await store.window(HALL, limit=10)) == ["a", "b", "c"]

    async def test_positions_go_on_after_reopening(self, store: ConversationStore, backend: Backend[Any]) -> None:
        await store.append_many([message("a"), message("b")])
        await store.close()  # type: ignore[attr-defined]
        later = await backend.open()
        assert (await later.append(message("c"))).message.position == 3

    async def test_append_returns_the_message_as_stored(self, store: ConversationStore) -> None:
        appended = await store.append(message("a"))
        assert not appended.already_there
        assert appended.message == await store.get(HALL, MessageId("a"))

    async def test_append_is_durable_when_it_returns(self, store: ConversationStore, backend: Backend[Any]) -> None:
        await store.append(message("a"))
        killed = await backend.open_killed()
        assert ids(await killed.window(HALL, limit=10)) == ["a"]

    async def test_buffered_append_is_read_at_once_and_durable_after_close(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        await store.append(message("a"), durability="buffered")
        assert ids(await store.window(HALL, limit=10)) == ["a"]
        await store.close()
        later = await backend.open()
        assert ids(await later.window(HALL, limit=10)) == ["a"]

    async def test_a_durable_redelivery_makes_the_buffered_first_durable(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        await store.append(message("a"), durability="buffered")
        assert (await store.append(message("a"))).already_there
        killed = await backend.open_killed()
        assert ids(await killed.window(HALL, limit=10)) == ["a"]

    async def test_a_message_delivered_again_changes_nothing_and_is_reported_with_the_first(
        self, store: ConversationStore
    ) -> None:
        first = await store.append(message("a", "first"))
        version = await store.version()
        again = await store.append(message("a", "second"))
        assert again.already_there
        assert again.message == first.message
        assert await store.version() == version
        assert [each.text for each in await store.window(HALL, limit=10)] == ["first"]

    async def test_the_same_id_in_another_channel_is_another_message(self, store: ConversationStore) -> None:
        await store.append(message("a", "in the hall"))
        other = await store.append(message("a", "in the yard", channel=YARD))
        assert not other.already_there
        found = await store.get(YARD, MessageId("a"))
        assert found is not None
        assert found.text == "in the yard"

    async def test_another_variant_of_an_id_is_another_message(self, store: ConversationStore) -> None:
        await store.append(reply("a", "shown"))
        swipe = await store.append(reply("a", "swiped away", variant=1, selected=False))
        assert not swipe.already_there
        texts = [getattr(await store.get(HALL, MessageId("a"), variant=n), "text", None) for n in (0, 1, 2)]
        assert texts == ["shown", "swiped away", None]

    async def test_every_field_comes_back_as_it_was_given(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        given = full_message()
        stored = (await store.append(given)).message
        assert msgspec.structs.replace(stored, position=0) == given
        killed = await backend.open_killed()
        assert await killed.get(given.channel, given.id, variant=3) == stored
        assert list(await killed.page(channel=given.channel)) == [stored]

    async def test_times_keep_their_microseconds(self, store: ConversationStore) -> None:
        await store.append(message("a", sent_at=NOON))
        (found,) = await store.window(HALL, limit=1)
        assert found.sent_at == NOON

    async def test_an_invalid_message_is_refused_before_anything_is_written(self, store: ConversationStore) -> None:
        naive = NOON.replace(tzinfo=None)
        for refused in (message(""), message("a", sent_at=naive), message("a", "\ud800"), message("a", author="")):
            with pytest.raises(RecordInvalid):
                await store.append(refused)
        assert await store.version() == 0
        assert list(await store.page()) == []

    async def test_a_message_too_large_is_refused_before_anything_is_written(self, store: ConversationStore) -> None:
        with pytest.raises(RecordTooLarge):
            await store.append(message("a", "x" * (MESSAGE_TEXT_MAX_BYTES + 1)))
        assert await store.version() == 0
        assert list(await store.page()) == []

    async def test_a_message_of_the_largest_size_is_kept(self, store: ConversationStore) -> None:
        text = "x" * MESSAGE_TEXT_MAX_BYTES
        await store.append(message("a", text))
        (found,) = await store.window(HALL, limit=1)
        assert found.text == text

    async def test_appends_at_the_same_time_get_positions_of_their_own(self, store: ConversationStore) -> None:
        answers = await asyncio.gather(*(store.append(message(str(n))) for n in range(40)))
        assert sorted(answer.message.position for answer in answers) == list(range(1, 41))
        assert len(await store.window(HALL, limit=100)) == 40

    async def test_deliveries_of_one_message_at_the_same_time_store_it_once(self, store: ConversationStore) -> None:
        answers = await asyncio.gather(*(store.append(message("a", str(n))) for n in range(10)))
        assert sum(not answer.already_there for answer in answers) == 1
        assert len({answer.message.text for answer in answers}) == 1
        assert len(await store.window(HALL, limit=100)) == 1

    # --- append_many ----------------------------------------------------------------------------

    async def test_append_many_stores_in_the_order_given_and_says_what_became_of_each(
        self, store: ConversationStore
    ) -> None:
        await store.append(message("b", "first"))
        answers = await store.append_many([message("c"), message("b", "again"), message("a")])
        assert [answer.message.id for answer in answers] == ["c", "b", "a"]
        assert [answer.already_there for answer in answers] == [False, True, False]
        assert answers[1].message.text == "first"
        assert ids(await store.window(HALL, limit=10)) == ["b", "c", "a"]

    async def test_append_many_stores_all_or_none(self, store: ConversationStore) -> None:
        with pytest.raises(RecordInvalid):
            await store.append_many([message("a"), message("b"), message("")])
        assert list(await store.page()) == []
        assert await store.version() == 0

    async def test_append_many_is_durable_when_it_returns(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        await store.append_many([message(str(n)) for n in range(256)])
        killed = await backend.open_killed()
        assert ids(await killed.window(HALL, limit=300)) == [str(n) for n in range(256)]

    async def test_a_message_repeated_within_the_batch_is_stored_once(self, store: ConversationStore) -> None:
        answers = await store.append_many([message("a", "first"), message("a", "second")])
        assert [answer.already_there for answer in answers] == [False, True]
        assert answers[1].message == answers[0].message
        assert [each.text for each in await store.window(HALL, limit=10)] == ["first"]

    async def test_an_empty_batch_changes_nothing(self, store: ConversationStore) -> None:
        assert list(await store.append_many([])) == []
        assert await store.version() == 0

    # --- window ---------------------------------------------------------------------------------

    async def test_window_returns_the_last_ones_oldest_first(self, store: ConversationStore) -> None:
        await store.append_many([message(id_) for id_ in "abcde"])
        assert ids(await store.window(HALL, limit=3)) == ["c", "d", "e"]
        assert ids(await store.window(HALL, limit=9)) == ["a", "b", "c", "d", "e"]
        assert ids(await store.window(HALL, limit=0)) == []

    async def test_window_leaves_out_the_hidden_and_the_unselected_and_fills_up_to_its_limit(
        self, store: ConversationStore
    ) -> None:
        await store.append_many(
            [message("a"), message("b"), message("c", hidden=True), reply("d", selected=False), message("e")]
        )
        assert ids(await store.window(HALL, limit=2)) == ["b", "e"]

    async def test_window_before_a_position_returns_those_in_front_of_it(self, store: ConversationStore) -> None:
        await store.append_many([message(id_) for id_ in "abcde"])
        assert ids(await store.window(HALL, limit=2, before=4)) == ["b", "c"]
        assert ids(await store.window(HALL, limit=2, before=1)) == []

    async def test_a_channel_nobody_wrote_in_is_an_empty_window(self, store: ConversationStore) -> None:
        await store.append(message("a"))
        assert list(await store.window(ChannelId("nowhere"), limit=10)) == []

    async def test_window_holds_messages_of_its_channel_only(self, store: ConversationStore) -> None:
        for channel in ("a", "ab", "a\x00", "a\x00b", "a\x01", "A", ""):
            if channel:
                await store.append(message("m", channel, channel=ChannelId(channel)))
        for channel in ("a", "ab", "a\x00", "a\x00b", "a\x01", "A"):
            assert [each.text for each in await store.window(ChannelId(channel), limit=10)] == [channel]

    async def test_window_is_in_order_behind_the_ninth_and_the_hundredth_message(
        self, store: ConversationStore
    ) -> None:
        await store.append_many([message(str(n)) for n in range(1, 121)])
        assert ids(await store.window(HALL, limit=120)) == [str(n) for n in range(1, 121)]

    # --- page -----------------------------------------------------------------------------------

    async def test_page_returns_by_channel_and_position_the_hidden_and_unselected_included(
        self, store: ConversationStore
    ) -> None:
        await store.append_many([message("c", channel=YARD), message("a"), message("b", hidden=True)])
        await store.append(reply("d", selected=False))
        assert ids(await store.page()) == ["a", "b", "d", "c"]

    async def test_page_starts_behind_after_and_holds_at_most_limit(self, store: ConversationStore) -> None:
        await store.append_many([message("a"), message("b"), message("c", channel=YARD), message("d", channel=YARD)])
        assert ids(await store.page(limit=3)) == ["a", "b", "c"]
        assert ids(await store.page(after=Cursor(HALL, 1))) == ["b", "c", "d"]
        assert ids(await store.page(after=Cursor(HALL, 2), limit=1)) == ["c"]
        assert ids(await store.page(after=Cursor(YARD, 2))) == []

    async def test_page_of_one_channel(self, store: ConversationStore) -> None:
        await store.append_many([message("a"), message("b", channel=YARD), message("c")])
        assert ids(await store.page(channel=HALL)) == ["a", "c"]
        assert ids(await store.page(channel=HALL, after=Cursor(HALL, 1))) == ["c"]
        assert ids(await store.page(channel=YARD, after=Cursor(HALL, 1))) == ["b"]
        assert ids(await store.page(channel=HALL, after=Cursor(YARD, 1))) == []

    async def test_page_of_one_person_holds_what_they_wrote_and_what_is_theirs(self, store: ConversationStore) -> None:
        await store.append_many([message("a"), message("b", author=BOB), reply("c", person=ADA)])
        await store.append_many([reply("d", person=BOB), message("e", channel=YARD), reply("f", person=None)])
        assert ids(await store.page(person=ADA)) == ["a", "c", "e"]
        assert ids(await store.page(person=BOB)) == ["b", "d"]
        assert ids(await store.page(person=AGENT)) == ["c", "d", "f"]
        assert ids(await store.page(person=ADA, channel=HALL)) == ["a", "c"]
        assert ids(await store.page(person=ADA, after=Cursor(HALL, 1), limit=1)) == ["c"]
        assert ids(await store.page(person=ADA, channel=HALL, after=Cursor(HALL, 3))) == []
        assert ids(await store.page(person=PersonId("ad"))) == []

    # --- get, edit, delete ----------------------------------------------------------------------

    async def test_get_returns_none_for_a_message_that_was_never_there(self, store: ConversationStore) -> None:
        await store.append(message("a"))
        assert await store.get(HALL, MessageId("b")) is None
        assert await store.get(YARD, MessageId("a")) is None

    async def test_get_returns_none_for_a_deleted_message(self, store: ConversationStore) -> None:
        await store.append(message("a"))
        await store.delete(HALL, MessageId("a"))
        assert await store.get(HALL, MessageId("a")) is None

    async def test_edit_replaces_the_text_keeps_the_position_and_returns_the_message(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        first = (await store.append_many([message("a"), message("b")]))[0].message
        later = NOON + timedelta(minutes=1)
        edited = await store.edit(HALL, MessageId("a"), text="changed", edited_at=later)
        assert edited == msgspec.structs.replace(first, text="changed", edited_at=later)
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert [each.text for each in await handle.window(HALL, limit=10)] == ["changed", "hello"]
            assert await handle.get(HALL, MessageId("a")) == edited

    async def test_an_edited_message_no_longer_holds_what_its_source_wrote(self, store: ConversationStore) -> None:
        await store.append(message("a", "old", text_original="<b>old</b>"))
        edited = await store.edit(HALL, MessageId("a"), text="new", edited_at=NOON)
        assert edited.text_original is None

    async def test_edit_of_an_unknown_or_deleted_message_raises(self, store: ConversationStore) -> None:
        await store.append(message("a"))
        await store.delete(HALL, MessageId("a"))
        for id_ in ("a", "b"):
            with pytest.raises(MessageUnknown):
                await store.edit(HALL, MessageId(id_), text="changed", edited_at=NOON)

    async def test_an_edit_that_breaks_a_rule_is_refused_and_changes_nothing(self, store: ConversationStore) -> None:
        stored = (await store.append(message("a"))).message
        with pytest.raises(RecordTooLarge):
            await store.edit(HALL, MessageId("a"), text="x" * (MESSAGE_TEXT_MAX_BYTES + 1), edited_at=NOON)
        with pytest.raises(RecordInvalid):
            await store.edit(HALL, MessageId("a"), text="x", edited_at=NOON.replace(tzinfo=None))
        assert await store.get(HALL, MessageId("a")) == stored

    async def test_a_redelivery_does_not_undo_an_edit(self, store: ConversationStore) -> None:
        await store.append(message("a", "first"))
        edited = await store.edit(HALL, MessageId("a"), text="changed", edited_at=NOON)
        assert (await store.append(message("a", "first"))).message == edited

    async def test_delete_takes_a_message_with_all_its_variants(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        swipes = [reply("b", str(n), variant=n, selected=n == 0) for n in range(12)]
        await store.append_many([message("a"), *swipes, message("c")])
        assert await store.delete(HALL, MessageId("b"))
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert ids(await handle.page()) == ["a", "c"]
            assert ids(await handle.page(person=AGENT)) == []
            assert ids(await handle.window(HALL, limit=10)) == ["a", "c"]

    async def test_delete_of_what_is_not_there_is_false(self, store: ConversationStore) -> None:
        await store.append(message("a"))
        assert not await store.delete(HALL, MessageId("b"))
        assert await store.delete(HALL, MessageId("a"))
        assert not await store.delete(HALL, MessageId("a"))

    async def test_a_late_delivery_of_a_deleted_message_stores_nothing(self, store: Any, backend: Backend[Any]) -> None:
        await store.append_many([message("a"), message("b")])
        await store.delete(HALL, MessageId("a"))
        await self._late_delivery_stores_nothing(store, message("a"), left=["b"])
        await store.purge([])
        await self._late_delivery_stores_nothing(store, message("a"), left=["b"])
        await self._late_delivery_stores_nothing(store, message("a", variant=1), left=["b"])
        await store.close()
        await self._late_delivery_stores_nothing(await backend.open(), message("a"), left=["b"])

    async def _late_delivery_stores_nothing(self, store: ConversationStore, late: Message, left: list[str]) -> None:
        answers = [await store.append(late), *await store.append_many([late, late])]
        assert [answer.already_there for answer in answers] == [True] * 3
        assert ids(await store.page()) == left

    async def test_a_position_is_not_given_twice_though_its_message_is_gone(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        await store.append_many([message("a"), message("b")])
        await store.delete(HALL, MessageId("b"))
        await store.purge([])
        await store.close()
        later = await backend.open()
        assert (await later.append(message("c"))).message.position == 3

    # --- channels and people --------------------------------------------------------------------

    async def test_channels_are_listed_by_id_with_their_counts_people_and_times(self, store: ConversationStore) -> None:
        early, late = NOON - timedelta(days=1), NOON + timedelta(days=1)
        await store.append_many([message("c", channel=YARD, sent_at=None), message("d", author=BOB, sent_at=late)])
        await store.append_many([message("a", sent_at=early, shared=True), reply("b"), message("e", hidden=True)])
        hall, yard = await store.channels()
        assert (hall.channel, hall.messages, hall.people, hall.shared) == (HALL, 4, (BOB, ADA), True)
        assert (hall.first_at, hall.last_at) == (early, late)
        assert (yard.channel, yard.messages, yard.people, yard.shared) == (YARD, 1, (ADA,), False)
        assert (yard.first_at, yard.last_at) == (None, None)

    async def test_channels_follow_every_write(self, store: ConversationStore) -> None:
        assert list(await store.channels()) == []
        await store.append(message("a"))
        assert [each.messages for each in await store.channels()] == [1]
        await store.append(message("b"))
        assert [each.messages for each in await store.channels()] == [2]
        await store.delete(HALL, MessageId("a"))
        assert [each.messages for each in await store.channels()] == [1]
        await store.delete(HALL, MessageId("b"))
        assert list(await store.channels()) == []

    async def test_a_channel_names_at_most_a_hundred_people(self, store: ConversationStore) -> None:
        await store.append_many([message(str(n), author=PersonId(f"p{n}")) for n in range(120)])
        (hall,) = await store.channels()
        assert list(hall.people) == [f"p{n}" for n in range(100)]

    async def test_people_are_those_who_wrote_as_persons_by_id_with_their_counts(
        self, store: ConversationStore
    ) -> None:
        await store.append_many([message("a", author=BOB), message("b"), message("c", channel=YARD)])
        await store.append_many([reply("d", person=PersonId("cleo")), message("e", role="system", author="host")])
        assert [(each.person, each.messages) for each in await store.people()] == [(ADA, 2), (BOB, 1)]

    # --- erasure --------------------------------------------------------------------------------

    async def test_erasing_a_person_takes_their_messages_in_every_channel(
        self, store: ConversationStore, backend: Backend[Any]
    ) -> None:
        await self._talk(store)
        await store.erase_person(ADA)
        killed = await backend.open_killed()
        for handle in (store, killed):
            assert ids(await handle.page(person=ADA)) == []
            assert ids([each for each in await handle.page() if each.author == ADA]) == []

    async def test_erasing_a_person_takes_the_replies_to_them(self, store: ConversationStore) -> None:
        await self._talk(store)
        await store.append(reply("to-a1", reply_to="a1", person=None))
        await store.erase_person(ADA)
        assert await store.get(HALL, MessageId("r-ada")) is None
        assert await store.get(HALL, MessageId("to-a1")) is None

    async def test_erasing_a_person_takes_the_replies_that_cite_them_from_any_channel(
        self, store: ConversationStore
    ) -> None:
        await self._talk(store)
        await store.erase_person(ADA)
        assert await store.get(YARD, MessageId("r-cites-ada")) is None

    async def test_erasing_a_person_takes_replies_that_cite_replies_that_cite_them(
        self, store: ConversationStore
    ) -> None:
        await self._talk(store)
        await store.erase_person(ADA)
        assert await store.get(YARD, MessageId("r-cites-the-reply")) is None

    async def test_erasing_a_person_leaves_everything_else(self, store: ConversationStore) -> None:
        await self._talk(store)
        await store.append(message("answer", author=BOB, reply_to="a1"))
        await store.append(reply("same-id-elsewhere", channel=YARD, person=BOB, reply_to="a1"))
        await store.erase_person(ADA)
        assert ids(await store.page()) == ["b1", "r-bob", "answer", "b2", "same-id-elsewhere"]

    async def test_erasure_names_every_message_it_took(self, store: ConversationStore) -> None:
        await self._talk(store)
        erased = await store.erase_person(ADA)
        assert set(erased.messages) == {
            (HALL, "a1"),
            (HALL, "r-ada"),
            (YARD, "a2"),
            (YARD, "r-cites-ada"),
            (YARD, "r-cites-the-reply"),
        }
        assert len(erased.messages) == 5

    async def test_erasing_someone_unknown_erases_nothing(self, store: ConversationStore) -> None:
        await self._talk(store)
        digest = await store.digest()
        assert list((await store.erase_person(PersonId("nobody"))).messages) == []
        assert await store.digest() == digest

    async def test_a_reply_that_cites_a_message_of_the_same_id_elsewhere_stays(self, store: ConversationStore) -> None:
        bobs = message("1", "of bob", author=BOB, channel=YARD)
        resting = reply("r", channel=YARD, person=BOB, reply_to="1", citations=cited(YARD, "1"))
        await store.append_many([message("1", "of ada"), bobs, resting])
        assert list((await store.erase_person(ADA)).messages) == [(HALL, "1")]
        assert ids(await store.page(channel=YARD)) == ["1", "r"]

    async def test_the_bytes_of_an_erased_person_leave_at_the_next_purge(
        self, store: Any, backend: Backend[Any]
    ) -> None:
        await self._talk(store)
        await store.edit(HALL, MessageId("a1"), text="canary five", edited_at=NOON)
        await store.erase_person(ADA)
        needles = [b"canary one", b"canary two", b"canary three", b"canary four", b"canary five", b"r-cites-ada"]
        assert (await store.purge([*needles, ADA.encode()])).found == 0
        assert [needle for needle in needles if needle in backend.raw()] == []

    async def test_a_late_delivery_of_an_erased_message_stores_nothing(self, store: Any, backend: Backend[Any]) -> None:
        await self._talk(store)
        await store.erase_person(ADA)
        await store.purge([])
        left = ["b1", "r-bob", "b2"]
        await self._late_delivery_stores_nothing(store, message("a1"), left)
        await self._late_delivery_stores_nothing(store, reply("r-ada"), left)
        await store.close()
        await self._late_delivery_stores_nothing(await backend.open(), message("a1"), left)

    async def test_someone_erased_may_write_again(self, store: ConversationStore) -> None:
        await self._talk(store)
        await store.erase_person(ADA)
        again = await store.append(message("a9", "a new beginning"))
        assert not again.already_there
        assert ids(await store.page(person=ADA)) == ["a9"]

    async def _talk(self, store: ConversationStore) -> None:
        """Ada and Bob in two channels, with replies, and replies that cite across."""
        await store.append_many(
            [
                message("a1", "canary one"),
                reply("r-ada", "canary two", person=ADA, reply_to="a1"),
                message("b1", "of bob", author=BOB),
                reply("r-bob", "to bob", person=BOB, reply_to="b1", citations=cited(HALL, "b1")),
                message("a2", "canary three", channel=YARD),
                message("b2", "bob in the yard", author=BOB, channel=YARD),
                reply(
                    "r-cites-ada",
                    "canary four",
                    channel=YARD,
                    person=BOB,
                    citations=(*cited(YARD, "b2"), *cited(HALL, "a1")),
                ),
                reply(
                    "r-cites-the-reply",
                    "canary four again",
                    channel=YARD,
                    person=BOB,
                    citations=cited(YARD, "r-cites-ada"),
                ),
            ]
        )
