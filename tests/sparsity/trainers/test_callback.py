"""Oracles: classes of the standard library in place of a trainer's, and the table of methods."""

from __future__ import annotations

from typing import Any

import pytest

from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS
from sparsefire.sparsity.trainers.callback import check_processes, made_late


class Hooks:
    """What it does."""


def room() -> dict[str, Any]:
    return {"__name__": "a.room", "Hooks": Hooks}


def test_the_class_is_made_once_of_the_hooks_and_the_base() -> None:
    module = room()
    made = made_late("SparsityCallback", module, "string.Formatter", "the library", "x")
    assert module["SparsityCallback"] is made
    assert [one.__name__ for one in made.__mro__] == ["SparsityCallback", "Hooks", "Formatter", "object"]
    assert (made.__module__, made.__doc__) == ("a.room", "What it does.")


def test_other_names_and_absent_packages_are_told() -> None:
    with pytest.raises(AttributeError, match=r"module 'a.room' has no attribute 'Callback'"):
        made_late("Callback", room(), "string.Formatter", "the library", "x")
    module = room()
    with pytest.raises(UserError, match="works inside Trains, which is not installed") as caught:
        made_late("SparsityCallback", module, "no_such_package.Base", "Trains", "trains")
    assert caught.value.attempt == "pip install 'sparsefire[trains]'"
    assert "SparsityCallback" not in module


@pytest.mark.parametrize("method", METHODS)
def test_several_processes_are_for_methods_that_add_no_parameters(method: str) -> None:
    assert check_processes(method, 1) is METHODS[method]
    if METHODS[method].parameterisation is None:
        assert check_processes(method, 2) is METHODS[method]
    else:
        with pytest.raises(UserError, match="adds parameters"):
            check_processes(method, 2)
