"""Checks of arguments that the files of this room share, each ending in one readable error."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError


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


def recorded(record: Any, steps: int, *always: int) -> np.ndarray:
    """Return the steps that are asked for, ascending, with those that are always recorded, int64."""
    try:
        asked = {*always, *(whole(step, "a recorded step", 0, steps) for step in record)}
    except TypeError:
        raise UserError(
            "record is no row of steps.", came=repr(record), expected=f"whole numbers from 0 to {steps}"
        ) from None
    return np.array(sorted(asked), dtype=np.int64)


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
