"""Step sizes: a number, a function of the step, or an array, checked once and turned into an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefire.convergence._inputs import within
from sparsefire.errors import UserError

StepSize = float | np.ndarray | Callable[[Any], Any]


def step_sizes(step_size: StepSize, steps: int) -> np.ndarray:
    """Return α_1 … α_steps [steps] as float64.

    Args:
        step_size: a number for all steps, an array [steps], or a function of k = 1 … steps; the function is called once
            with all k as a float array when it takes that, else once for each.
        steps: at least 1.

    Raises:
        UserError: when there are no steps, or a step size is missing, negative, NaN or infinite (the first k is named),
            or the function raises an error of its own (which is named, with k).

    >>> step_sizes(lambda k: 1 / (k + 1), 3)
    array([0.5       , 0.33333333, 0.25      ])
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise UserError("there are no steps to make.", came=f"steps={steps!r}", expected="a whole number, 1 or more")
    if callable(step_size):
        found = _called(step_size, int(steps))
    else:
        try:
            found = np.asarray(step_size, dtype=float)
        except (TypeError, ValueError):
            raise UserError(
                "the schedule gives no step size.", came=repr(step_size), expected="a number, numbers or a function"
            ) from None
        found = np.full(steps, float(found)) if found.ndim == 0 else found
    if found.shape != (steps,):
        raise UserError("there is not one step size per step.", came=f"shape {found.shape}", expected=f"({steps},)")
    wrong = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if len(wrong):
        raise UserError(
            "the schedule gives no step size.",
            came=f"{found[wrong[0]]:g} at step {wrong[0] + 1}",
            expected="finite numbers, 0 or more, at every step from 1",
        )
    return found


def harmonic(factor: float = 1.0, offset: float = 0.0) -> Callable[[Any], Any]:
    """Return α_k = c / (k + k₀).

    Raises:
        UserError: when c or k₀ is no finite number.

    >>> harmonic(2.0, offset=3)(1)
    0.5
    """
    for value, name in ((factor, "factor"), (offset, "offset")):
        within(value, name, -np.inf, np.inf, "a finite number")
    return lambda k: factor / (k + offset)


def _called(step_size: Callable[[Any], Any], steps: int) -> np.ndarray:
    ks = np.arange(1, steps + 1, dtype=float)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(step_size(ks), dtype=float)
        if found.shape == (steps,):
            return found
    except Exception:  # noqa: BLE001, S110: whatever a function of one number raises at an array
        pass
    found = np.empty(steps)
    for k in range(1, steps + 1):
        try:
            found[k - 1] = float(step_size(k))
        except Exception as error:
            raise UserError(
                "the schedule gives no step size.",
                came=f"{type(error).__name__}: {error}, at step {k}",
                expected="a function of k = 1, 2, …",
            ) from error
    return found
