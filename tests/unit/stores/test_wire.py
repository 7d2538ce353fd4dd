"""Calls of store ports cross the owner's socket without losing anything."""

from datetime import UTC, datetime

import msgspec
import pytest

from instar.core.canonical import Digest
from instar.core.errors import InstarError, RecordTooLarge, VersionConflict
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.limits import SOCKET_FRAME_MAX_BYTES
from instar.core.records import Memory, Message, Record, Scope
from instar.stores.conversations.port import ConversationStore
from instar.stores.memories.port import MemoryStore
from instar.stores.movable import Value
from instar.stores.registry import PORTS
from instar.stores.wire import _check_size, error_of, failure_of, methods_of

MESSAGE = Message(
    id=MessageId("m1"),
    channel=ChannelId("c"),
    author=PersonId("ada"),
    text="naïve \U0001f331 \u2028 \x00",
    sent_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
)


def test_every_method_of_every_port_has_a_wire_form():
    for port, value in PORTS.values():
        assert methods_of(port, {Value: value})


def test_arguments_come_out_as_they_went_in():
    method = methods_of(ConversationStore, {Value: Message})["append"]
    decoded = method.decode_arguments(method.encode_arguments((MESSAGE,), {"durability": "buffered"}))
    assert method.call_arguments(decoded) == ([MESSAGE], {"durability": "buffered"})


def test_defaults_are_filled_in_by_the_caller():
    method = methods_of(ConversationStore, {Value: Message})["page"]
    decoded = method.decode_arguments(method.encode_arguments((), {}))
    assert decoded == {"channel": None, "person": None, "after": None, "limit": 1_000}


def test_records_carry_the_value_type_of_their_port():
    memory = Memory(id="k", person=PersonId("ada"), kind="fact", text="x", vector=b"\x00\x01\xff")
    record = Record(key=("k",), version=1 << 60, value=memory)
    method = methods_of(MemoryStore, {Value: Memory})["apply"]
    assert method.decode_arguments(method.encode_arguments(([record],), {}))["records"] == [record]


def test_a_digest_keeps_its_128_bits():
    method = methods_of(ConversationStore, {Value: Message})["digest"]
    digest = Digest(3, (1 << 128) - 1)
    assert method.decode_result(method.encode_result(digest)) == digest


def test_a_scope_without_a_person_is_refused_on_the_owners_side_too():
    method = methods_of(MemoryStore, {Value: Memory})["search"]
    raw = method.encode_arguments(("q",), {"scope": Scope(PersonId("ada"))})
    forged = msgspec.Raw(bytes(raw).replace(b'"ada"', b'""'))
    with pytest.raises((InstarError, msgspec.ValidationError)):
        method.decode_arguments(forged)


def test_an_error_arrives_as_the_same_class_with_the_same_words():
    error = VersionConflict("a", why="b", next="c")
    arrived = error_of(failure_of(error))
    assert (type(arrived), arrived.what, arrived.why, arrived.next) == (VersionConflict, "a", "b", "c")


def test_a_frame_over_the_bound_is_refused():
    with pytest.raises(RecordTooLarge, match="does not fit the owner's socket"):
        _check_size(SOCKET_FRAME_MAX_BYTES + 1)
