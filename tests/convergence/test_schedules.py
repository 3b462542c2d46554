"""Step sizes as numbers, arrays and functions, and the ones that are none."""

import math

import numpy as np
import pytest

from sparsefire.convergence.schedules import harmonic, step_sizes
from sparsefire.errors import UserError


def test_numbers_arrays_and_functions_agree():
    expected = np.array([1 / 3, 1 / 4, 1 / 5])
    for given in (
        expected,
        expected.tolist(),
        lambda k: 1 / (k + 2),
        lambda k: 1 / math.sqrt((k + 2) ** 2),  # takes one number only
        lambda k: 1 / (k + 2) if k > 0 else 0.0,  # the truth of an array is no number
        harmonic(offset=2),
    ):
        np.testing.assert_allclose(step_sizes(given, 3), expected, rtol=1e-15)
    assert step_sizes(0.5, 2).tolist() == [0.5, 0.5]
    assert step_sizes(lambda k: 0.5, 2).tolist() == [0.5, 0.5]  # constant, whatever k is
    assert step_sizes(np.float32(0.5), np.int64(2)).dtype == np.float64


def test_tables_are_schedules_until_they_end():
    table = np.array([0.3, 0.2, 0.1])  # an array of numbers as an index is an IndexError
    assert step_sizes(lambda k: table[k - 1], 3).tolist() == [0.3, 0.2, 0.1]
    for schedule in (lambda k: table[k - 1], lambda k: table.tolist()[k - 1]):
        with pytest.raises(UserError, match=r"IndexError: .*, at step 4") as error:
            step_sizes(schedule, 5)
        assert isinstance(error.value.__cause__, IndexError)


def test_whatever_a_schedule_raises_is_named():
    def broken(k):
        raise RuntimeError("no battery")

    for schedule, said in ((broken, "RuntimeError: no battery, at step 1"), (lambda k: {}[k], "KeyError: 1, at step")):
        with pytest.raises(UserError, match=said):
            step_sizes(schedule, 5)

    def stopped(k):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step_sizes(stopped, 5)


def test_functions_see_the_first_step_as_one_and_once_where_they_can():
    seen = []
    step_sizes(lambda k: seen.append(np.array(k)) or 0 * k, 4)
    assert len(seen) == 1
    assert seen[0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("step_size", "steps", "message"),
    [
        (0.1, 0, "no steps"),
        (0.1, -3, "no steps"),
        (0.1, 2.0, "no steps"),
        (0.1, True, "no steps"),
        (0.1, None, "no steps"),
        ([0.1, 0.2], 3, "not one step size per step"),
        (-0.1, 3, "at step 1"),
        (np.nan, 3, "nan at step 1"),
        (lambda k: np.where(k > 2, np.inf, 0.1), 4, "inf at step 3"),
        (lambda k: np.log(k - 2), 4, "at step 1"),
        (lambda: 0.1, 4, "schedule gives no step size"),
        (lambda k: "fast", 4, "schedule gives no step size"),
        (lambda k: None, 4, "schedule gives no step size"),
        ("fast", 4, "schedule gives no step size"),
        (None, 4, "schedule gives no step size"),
        (lambda k: 1 / (k - 2) if isinstance(k, float | int) else math.sin(k), 4, "schedule gives no step size"),
    ],
)
def test_bad_schedules_are_named(step_size, steps, message):
    with pytest.raises(UserError, match=message):
        step_sizes(step_size, steps)


@pytest.mark.parametrize("wrong", ["a", None, True, np.nan, [1.0]])
def test_what_makes_no_harmonic_schedule(wrong):
    for name in ("factor", "offset"):
        with pytest.raises(UserError, match=f"{name} is no such number"):
            harmonic(**{name: wrong})
