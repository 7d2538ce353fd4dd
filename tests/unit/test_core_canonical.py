from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from instar.core.canonical import Digest, bucket_of, canonical_bytes, digest_of, record_digest
from instar.core.limits import DIGEST_BUCKETS
from instar.core.records import EmotionSample, Fact, Memory, Message, Profile, Record

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

GOLDEN = {
    "message": Record(
        key=("kitchen", "m1"),
        version=3,
        value=Message(id="m1", channel="kitchen", author="ada", text="Käse, bitte 🧀", sent_at=AT, reply_to="m0"),
    ),
    "profile": Record(
        key=("ada",),
        version=9,
        value=Profile(
            person="ada",
            name="Ada",
            emotion_samples=(EmotionSample(label="happy", confidence=0.75, intensity=0.5, at=AT),),
            preferences={"b": "2", "a": "1"},
            facts=(Fact(attribute="name", value="Ada", text="My name is Ada."),),
        ),
    ),
    "memory": Record(
        key=("ada", "x"),
        version=1,
        value=Memory(id="x", person="ada", kind="note", text="likes tea", vector=b"\x00\x00\x80?"),
    ),
}

# A change here changes every digest of every home: it needs a new format version and a line in CHANGELOG.
GOLDEN_DIGESTS = {
    "message": "ee1d3ecf5fde8e4838e276dae2c70e9b-1",
    "profile": "2bcc5909f0b1efd06059f69c6f26d286-1",
    "memory": "15fad4be6948f92d95a88dcb5e94736f-1",
}

records = st.builds(
    lambda key, version, text: Record(
        key=("c", key), version=version, value=Message(id=key, channel="c", author="p", text=text)
    ),
    st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable()),
    st.integers(min_value=1, max_value=1 << 60),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
)


def test_digests_of_known_records_never_change():
    assert {name: record_digest(record).hex() for name, record in GOLDEN.items()} == GOLDEN_DIGESTS


def test_the_byte_form_is_sorted_json_with_every_field():
    decoded = msgspec.json.decode(canonical_bytes(GOLDEN["profile"]))
    assert decoded[:2] == [["ada"], 9]
    assert list(decoded[2]) == sorted(field.name for field in msgspec.structs.fields(Profile))
    assert list(decoded[2]["preferences"]) == ["a", "b"]


def test_the_order_of_a_mapping_does_not_change_the_digest():
    profile = GOLDEN["profile"].value
    turned = msgspec.structs.replace(profile, preferences={"a": "1", "b": "2"})
    assert record_digest(Record(key=("ada",), version=9, value=turned)) == record_digest(GOLDEN["profile"])


def test_a_tombstone_has_the_empty_digest():
    assert record_digest(Record(key=("a",), version=5, value=None)) == Digest()


def test_an_empty_set_has_the_digest_of_zeros():
    assert digest_of([]).hex() == "0" * 32 + "-0"


@given(st.lists(records, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_change_the_digest(items, randomness):
    shuffled = list(items)
    randomness.shuffle(shuffled)
    assert digest_of(items) == digest_of(shuffled)


@given(st.lists(records, max_size=4), st.lists(records, max_size=4))
def test_digests_of_parts_add_up_to_the_digest_of_the_whole(left, right):
    assert digest_of(left) + digest_of(right) == digest_of(left + right)


@given(records, records)
def test_different_records_have_different_digests(one, other):
    assert (record_digest(one) == record_digest(other)) == (one == other)


def test_every_part_of_a_record_counts():
    base = GOLDEN["message"]
    changed = [
        Record(key=("kitchen", "m2"), version=3, value=base.value),
        Record(key=base.key, version=4, value=base.value),
        Record(key=base.key, version=3, value=msgspec.structs.replace(base.value, hidden=True)),
    ]
    assert len({record_digest(record) for record in [base, *changed]}) == 4


@given(st.lists(st.text(max_size=5), max_size=3).map(tuple))
def test_a_key_always_falls_into_the_same_bucket_in_range(key):
    assert 0 <= bucket_of(key) < DIGEST_BUCKETS
    assert bucket_of(key) == bucket_of(tuple(key))


def test_keys_spread_over_the_buckets():
    assert len({bucket_of(("channel", str(number))) for number in range(DIGEST_BUCKETS * 8)}) == DIGEST_BUCKETS


def test_buckets_of_known_keys_never_change():
    assert [bucket_of(key) for key in [(), ("ada",), ("kitchen", "m1")]] == [2489, 1263, 440]
