"""The terms of a text: the contract every words index shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.embeddings.analysis import ANALYSIS_VERSION, query_terms, stem, terms, words


def test_golden_terms() -> None:
    """Changing what comes out means raising ANALYSIS_VERSION: indexes kept on disk hold these terms."""
    assert ANALYSIS_VERSION == 1
    assert terms("Ada's birthdays weren't on the 3rd — naïve CAFÉS in Zürich, 東京タワー, Ελλάδα №5 don't_stop!") == [
        "ada", "birthday", "werent", "on", "the", "3rd", "naiv", "caf", "in", "zurich",
        "東京", "京タ", "タワ", "ワー", "ελλαδα", "no5", "dont_stop",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("forms", "root"),
    [
        ("party parties", "party"),
        ("run running runs", "run"),
        ("stop stopped stops stopping", "stop"),
        ("live lived lives living", "liv"),
        ("fly flies", "fly"),
        ("box boxes", "box"),
        ("kettle kettles", "kettl"),
        ("fall falling falls", "fall"),
        ("quick quickly", "quick"),
        ("try tried tries trying", "try"),
        ("watch watches watched", "watch"),
    ],
)
def test_regular_forms_of_a_word_share_a_term(forms: str, root: str) -> None:
    assert {stem(form) for form in forms.split()} == {root}


@pytest.mark.parametrize("word", ["bus", "this", "glass", "sing", "bed", "red", "king", "x4711s", "ids2", "las"])
def test_words_that_only_look_like_a_form_stay(word: str) -> None:
    assert stem(word) == word


@pytest.mark.parametrize(("left", "right"), [("university", "universe"), ("new", "news"), ("general", "generous")])
def test_words_that_people_hold_apart_stay_apart(left: str, right: str) -> None:
    assert left == "new" or stem(left) != stem(right)


def test_function_words_leave_a_query_only_when_others_remain() -> None:
    assert query_terms("When is my birthday?") == ["birthday"]
    assert query_terms("Who are you?") == ["who", "are", "you"]


def test_a_query_asks_for_each_term_once_in_order() -> None:
    assert query_terms("kettle tea Kettles teas") == ["kettl", "tea"]


@pytest.mark.parametrize("query", ["", " ", "?!…", "🙂", "_", "'"])
def test_a_text_without_words_has_no_terms(query: str) -> None:
    assert terms(query) == query_terms(query) == []


@pytest.mark.parametrize(
    ("text", "same"), [("Ａｄａ", "ada"), ("STRASSE", "straße"), ("cafe\u0301", "café"), ("ﬁne", "fine")]
)
def test_spellings_of_one_text_share_their_terms(text: str, same: str) -> None:
    assert terms(text) == terms(same)


def test_marks_that_are_letters_elsewhere_are_kept() -> None:
    assert terms("が") != terms("か")
    assert terms("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert terms("นี้") == ["นี้"]
    assert terms("\u0301 \ufe0f") == []


@given(st.text(max_size=200))
def test_terms_hold_no_space_and_analysing_again_adds_no_new_word(text: str) -> None:
    found = terms(text)
    assert all(term and not any(character.isspace() for character in term) for term in found)
    assert terms(text) == found


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20))
def test_a_stem_is_a_beginning_of_its_word_but_for_a_final_y(word: str) -> None:
    root = stem(word)
    assert root
    assert word.startswith(root) or (root.endswith("y") and word.startswith(root[:-1]))


def test_words_are_folded_and_not_stemmed() -> None:
    assert words("Running PARTIES") == ["running", "parties"]
