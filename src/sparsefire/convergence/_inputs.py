"""Checks of arguments that the simplex, dropout and sharpness share."""

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


def finite(values: Any, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return finite float64 values, of this shape where one is given (a number fills it)."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} holds no numbers.", came=type(values).__name__, expected="an array") from None
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
