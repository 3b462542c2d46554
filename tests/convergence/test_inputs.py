"""Every checker lets through what it says, as the type it says, and nothing else."""

import numpy as np
import pytest

from sparsefire.convergence import _inputs
from sparsefire.errors import UserError

NO_NUMBERS = ("a", None, True, np.nan, [1.0], 1j)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, np.inf])
def test_above(value) -> None:
    with pytest.raises(UserError, match="size is no such number"):
        _inputs.above(value, "size")
    assert _inputs.above(np.float32(0.5), "size") == 0.5
    assert type(_inputs.above(3, "size")) is float


@pytest.mark.parametrize("value", [*NO_NUMBERS, -1e-300, np.inf])
def test_from_zero(value) -> None:
    with pytest.raises(UserError, match="noise is no such number"):
        _inputs.from_zero(value, "noise")
    assert _inputs.from_zero(0, "noise") == 0.0
    assert _inputs.from_zero(np.int64(2), "noise") == 2.0


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 1, 95])
def test_confidence(value) -> None:
    with pytest.raises(UserError, match="level"):
        _inputs.confidence(value)
    assert _inputs.confidence(0.9) == 0.9


@pytest.mark.parametrize("value", [*NO_NUMBERS, 1.0, 0, 6])
def test_whole(value) -> None:
    with pytest.raises(UserError, match="count is no such number"):
        _inputs.whole(value, "count", 1, 5)
    assert _inputs.whole(np.int32(5), "count", 1, 5) == 5


@pytest.mark.parametrize("record", [0, True, 1.5, [1.5], [-1], [11], [], ["a"], "12", [True], [[1], [2, 3]], {3}])
def test_recorded_steps_that_are_none(record) -> None:
    with pytest.raises(UserError, match="record"):
        _inputs.recorded_steps(record, 10)


@pytest.mark.parametrize("record", [np.array([7, 3, 7]), [7.0, 3.0], (7, 3), range(3, 8, 4)])
def test_recorded_steps(record) -> None:
    found = _inputs.recorded_steps(record, 10, 5)
    assert found.tolist() == [0, 3, 5, 7, 10]
    assert found.dtype == np.int64


@pytest.mark.parametrize("rng", ["x", 1.5, True, -1, [1], object()])
def test_what_is_no_source_of_random_numbers(rng) -> None:
    with pytest.raises(UserError, match="rng"):
        _inputs.entropy(rng)
    assert _inputs.entropy(3) == 3


def test_kinds_of_things() -> None:
    assert _inputs.instance(3, "it", int) == 3
    with pytest.raises(UserError, match="it is no int"):
        _inputs.instance("3", "it", int)
    assert _inputs.row((1, 2), "it", "numbers") == [1, 2]
    with pytest.raises(UserError, match="it is no row"):
        _inputs.row(3, "it", "numbers")
    assert _inputs.a_function(abs, "it") is abs
    with pytest.raises(UserError, match="it is no function"):
        _inputs.a_function(3, "it")


@pytest.mark.parametrize("values", ["a", [[1.0], [1.0, 2.0]], [object()]])
def test_arrays_that_are_none(values) -> None:
    for read in (_inputs.floats, _inputs.finite):
        with pytest.raises(UserError, match="x holds no numbers"):
            read(values, "x")
    assert np.isnan(_inputs.floats([np.nan], "x")).all()
    with pytest.raises(UserError, match="not finite"):
        _inputs.finite([np.nan], "x")
    assert _inputs.finite(2, "x", (2, 3)).shape == (2, 3)
