# Oracle: the lines written out by hand, and Python's own pickling and copying.
from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from sparsefire import UserError
from sparsefire.errors import Diverged


def test_render_shows_only_what_was_given():
    assert UserError("wrong.").render() == "wrong."
    assert UserError("wrong.", attempt="do this").render() == "wrong.\n  try       do this"
    assert UserError("wrong.", came="a", expected="b", attempt="c").render().splitlines() == [
        "wrong.", "  came      a", "  expected  b", "  try       c"
    ]  # fmt: skip


def test_str_says_all_of_it_and_it_is_a_value_error():
    error = UserError("wrong.", came="a")
    assert str(error) == error.render()
    assert error.message == "wrong."
    assert isinstance(error, ValueError)
    with pytest.raises(ValueError, match="wrong"):
        raise error


@pytest.mark.parametrize("kind", [UserError, Diverged])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_every_line(protocol, kind):
    error = kind("wrong.", came="a\nb", expected="ü", attempt="c")
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (again.message, again.came, again.expected, again.attempt) == ("wrong.", "a\nb", "ü", "c")
        assert again.render() == error.render()


def test_lines_are_named_so_that_none_is_mistaken():
    with pytest.raises(TypeError):
        UserError("wrong.", "a")


def test_traceback_ends_with_all_of_it():
    last = "".join(traceback.format_exception_only(UserError("wrong.", came="a")))
    assert last.rstrip().endswith("UserError: wrong.\n  came      a")
