from __future__ import annotations

import copy

import pytest

from instar.core import errors
from instar.core.errors import Fenced, HomeError, InstarError, error_by_code


def refused():
    return Fenced("epoch 3 was refused", why="the home is at epoch 4", next="open the home again")


def test_an_error_prints_what_why_and_next():
    assert str(refused()) == "epoch 3 was refused: the home is at epoch 4 (next: open the home again)"


def test_an_error_cannot_be_made_without_a_reason_and_a_next_step():
    with pytest.raises(TypeError):
        InstarError("broken")


def test_an_error_is_caught_by_its_group_and_by_the_base():
    assert isinstance(refused(), HomeError)
    assert isinstance(refused(), InstarError)


def test_a_copied_error_says_the_same():
    copied = copy.copy(refused())
    assert type(copied) is Fenced
    assert (copied.what, copied.why, copied.next) == (refused().what, refused().why, refused().next)


def test_a_code_nobody_knows_gives_the_base_so_that_a_newer_owner_can_still_be_understood():
    assert error_by_code("from-the-future") is InstarError


def test_every_class_of_the_file_is_in_the_tree():
    defined = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert all(issubclass(getattr(errors, name), InstarError) for name in defined)
