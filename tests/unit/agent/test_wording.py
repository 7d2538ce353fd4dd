from __future__ import annotations

import pytest

from instar.models.wording import sentences, stem, stems, words


@pytest.mark.parametrize(
    "forms",
    [
        ("bake", "bakes", "baked", "baking"),
        ("leave", "left", "leaves", "leaving"),
        ("city", "cities"),
        ("stop", "stopped", "stopping"),
        ("child", "children", "kids"),
        ("allergy", "allergies"),
        ("dish", "dishes"),
    ],
)
def test_forms_of_a_word_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_function_words_accents_and_possessives_are_left_out() -> None:
    assert stems("What is my sister's favourite Café?") == ["sister", "favourit", "caf"]


def test_words_of_chinese_and_japanese_are_pairs() -> None:
    assert words("東京駅") == ["東京", "京駅"]


def test_sentences_end_where_a_reader_would_end_them() -> None:
    text = "Dr. Lee came on 3. May. She said hi! Then?\nA line\n\nAnother line."
    assert sentences(text) == ["Dr. Lee came on 3. May.", "She said hi!", "Then?", "A line", "Another line."]
    assert sentences("雨です。行きます。") == ["雨です。", "行きます。"]
