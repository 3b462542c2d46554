"""Checks of arguments that files of this room share: numbers, arrays, functions. Each ends in a UserError."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from sparsefire.errors import UserError


def finite(name: str, value: Any, expected: str = "a finite number") -> float:
    """Return a finite number of either sign."""
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(float(value)):
        raise UserError(f"{name} is out of range.", came=repr(value)[:60], expected=expected)
    return float(value)


def number(name: str, value: Any, *, zero: bool = False, unit: str = "") -> float:
    """Return a finite number above 0 (or from 0 on)."""
    expected = f"{'0 or more' if zero else 'above 0'} {unit}".strip()
    found = finite(name, value, expected)
    if found < 0 or (found == 0 and not zero):
        raise UserError(f"{name} is out of range.", came=repr(value), expected=expected)
    return found


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of ``least`` or more."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is a whole number.", came=repr(value)[:60], expected=f"{least} or more")
    return int(value)


def array(name: str, values: Any, kinds: str = "buif") -> np.ndarray:
    """Return numbers of any shape, float64, of these kinds; whether they are finite is not asked."""
    try:
        found = np.asarray(values)
        if found.size and found.dtype.kind not in kinds:
            raise TypeError
        return found.astype(float)
    except (TypeError, ValueError, RuntimeError):  # the last of tensors that need a gradient
        raise UserError(f"{name}: these are no numbers.", came=repr(values)[:60], expected="an array") from None


def finite_array(name: str, values: Any) -> np.ndarray:
    """Return finite numbers of any shape, float64."""
    found = array(name, values.detach().cpu() if hasattr(values, "detach") else values)
    wrong = ~np.isfinite(found)
    if wrong.any():
        raise UserError(f"{name} must be finite.", came=f"{found[wrong][0]}", expected="finite numbers")
    return found


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"no such {name}.", came=repr(value)[:60], expected=", ".join(choices))
    return value


def yes(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} is yes or no.", came=repr(value)[:60], expected="True or False")
    return bool(value)


def function(name: str, value: Any, *arguments: str) -> Any:
    """Return a function that can be called with so many arguments."""
    if not callable(value):
        raise UserError(f"{name} is a function.", came=type(value).__name__, expected=f"of {', '.join(arguments)}")
    try:
        inspect.signature(value).bind(*arguments)
    except TypeError:
        raise UserError(
            f"{name} takes other arguments.", came=str(inspect.signature(value)), expected=", ".join(arguments)
        ) from None
    except ValueError:
        pass  # compiled, without a signature
    return value
