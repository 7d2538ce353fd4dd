"""Keys of the embedded engine: their byte order is the order of the texts they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.stores.segment.store import key_of, parts_of, prefix_range

part = st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\x01\xff"), max_size=6)
parts = st.lists(part, min_size=1, max_size=4).map(tuple)


def by_code_points(key):
    return tuple(text.encode() for text in key)


@given(parts)
def test_a_key_gives_back_its_parts(key):
    assert parts_of(key_of(*key)) == key


@given(parts, parts)
def test_bytes_sort_as_the_texts_do(one, other):
    assert (key_of(*one) < key_of(*other)) == (by_code_points(one) < by_code_points(other))


@given(parts, parts)
def test_a_prefix_range_holds_what_lies_under_it_and_nothing_else(prefix, key):
    start, stop = prefix_range(*prefix)
    under = len(key) > len(prefix) and key[: len(prefix)] == prefix
    assert (start <= key_of(*key) < stop) == under


@given(parts, st.lists(part, min_size=1, max_size=2).map(tuple))
def test_a_prefix_range_holds_every_key_made_under_it(prefix, rest):
    start, stop = prefix_range(*prefix)
    assert start <= key_of(*prefix, *rest) < stop


@pytest.mark.parametrize(
    ("key", "expected"),
    [(("a",), b"a"), (("a", "b"), b"a\x00\x00b"), (("a\x00", ""), b"a\x00\xff\x00\x00"), (("",), b"")],
)
def test_the_encoding_of_known_keys_never_changes(key, expected):
    assert key_of(*key) == expected
