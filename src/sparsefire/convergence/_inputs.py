"""Checks of arguments that the files of this room share, each ending in one readable error."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.errors import UserError

_POINTS = 200  # recorded steps of a long path


def number(value: Any) -> bool:
    """Return whether this is one real number, no truth value."""
    return not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)


def whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number in [least, most], or raise with its name."""
    fits = not isinstance(value, bool) and isinstance(value, int | np.integer) and value >= least
    if not fits or (most is not None and value > most):
        raise UserError(
            f"{name} is no such number.",
            came=repr(value),
            expected=f"a whole number, {least} or more" if most is None else f"a whole number from {least} to {most}",
        )
    return int(value)


def within(value: Any, name: str, low: float, high: float, expected: str) -> float:
    """Return a number in the open interval, or raise with what was expected."""
    if not number(value) or not low < value < high:
        raise UserError(f"{name} is no such number.", came=repr(value), expected=expected)
    return float(value)


def above(value: Any, name: str, expected: str = "a finite number above 0") -> float:
    """Return a finite number above 0, or raise with its name."""
    return within(value, name, 0.0, np.inf, expected)


def from_zero(value: Any, name: str) -> float:
    """Return a finite number of 0 or more, or raise with its name."""
    if not number(value) or not 0 <= value < np.inf:
        raise UserError(f"{name} is no such number.", came=repr(value), expected="a finite number, 0 or more")
    return float(value)


def confidence(level: Any) -> float:
    """Return a two-sided confidence in (0, 1)."""
    return within(level, "level", 0.0, 1.0, "a confidence in (0, 1), such as 0.95")


def instance(given: Any, name: str, kind: type) -> Any:
    """Return what is of this kind, or raise with its name."""
    if not isinstance(given, kind):
        raise UserError(f"{name} is no {kind.__name__}.", came=repr(given), expected=f"a {kind.__name__}")
    return given


def a_function(given: Any, name: str, expected: str = "a function") -> Any:
    """Return what can be called, or raise with its name."""
    if not callable(given):
        raise UserError(f"{name} is no function.", came=repr(given), expected=expected)
    return given


def row(given: Any, name: str, expected: str) -> list[Any]:
    """Return the entries of what can be gone through, or raise with its name."""
    try:
        return list(given)
    except TypeError:
        raise UserError(f"{name} is no row.", came=repr(given), expected=expected) from None


def entropy(rng: Any) -> int:
    """Return :func:`sparsefire.randomness.entropy`, or raise where nothing random can come from it."""
    try:
        return randomness.entropy(rng)
    except TypeError:
        raise UserError(
            "rng is no source of random numbers.",
            came=repr(rng),
            expected="None, a whole number, 0 or more, or a generator of NumPy or torch",
        ) from None


def recorded_steps(record: Any, steps: int, *always: int) -> np.ndarray:
    """Return the steps at which something is kept, ascending, with 0, the last and those that always are, int64.

    Args:
        record: ``None``: all up to 1000 steps, else about 200 on a geometric grid; a whole number n: about n on that
            grid; or the steps themselves, whole numbers from 0 to ``steps``.
        steps: number of steps.
        always: other steps that are kept.

    >>> recorded_steps([5], 10).tolist(), recorded_steps(2, 100).tolist()
    ([0, 5, 10], [0, 1, 100])
    """
    if record is None and steps <= 1000:
        return np.arange(steps + 1)
    if record is None or (isinstance(record, int | np.integer) and not isinstance(record, bool)):
        points = _POINTS if record is None else whole(record, "record", 1)
        asked = np.round(np.geomspace(1, steps, min(points, steps + 1)))
    else:
        try:
            asked = np.asarray(record).reshape(-1)
        except ValueError:
            asked = np.zeros(0)
        whole_steps = asked.dtype.kind in "iuf" and np.all((asked >= 0) & (asked <= steps) & (asked == np.floor(asked)))
        if not len(asked) or not whole_steps:
            raise UserError(
                "these are no steps to record.", came=f"record={record!r}", expected=f"whole numbers from 0 to {steps}"
            )
    return np.unique([0, *always, *asked, steps]).astype(np.int64)


def floats(values: Any, name: str, expected: str = "an array") -> np.ndarray:
    """Return float64 values, finite or not, or raise where they are none."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} holds no numbers.", came=type(values).__name__, expected=expected) from None


def finite(values: Any, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return finite float64 values, of this shape where one is given (a number fills it)."""
    found = floats(values, name)
    if not np.isfinite(found).all():
        raise UserError(f"{name} holds a number that is not finite.", came="NaN or ∞", expected="finite numbers")
    if shape is None:
        return found
    if found.ndim == 0:
        found = np.full(shape, float(found))
    if found.shape != shape:
        raise UserError(f"{name} does not fit.", came=f"shape {found.shape}", expected=f"{shape}")
    return found


def regression(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the sufficient statistics X′X [d, d] and X′Y [d] of a table [n, d] and its answers [n]."""
    table, answers = finite(x, "x"), finite(y, "y")
    if table.ndim != 2 or not table.size:
        raise UserError("x is no table.", came=f"shape {table.shape}", expected="[n, d] with n, d ≥ 1")
    if answers.shape != (len(table),):
        raise UserError("y does not fit x.", came=f"shape {answers.shape}", expected=f"({len(table)},)")
    empty = np.flatnonzero(~table.any(axis=0))
    if len(empty):
        raise UserError(
            "a column of x is zero.",
            came=f"column {empty[0]}",
            expected="columns that differ from 0",
            attempt="drop it",
        )
    return table.T @ table, table.T @ answers
