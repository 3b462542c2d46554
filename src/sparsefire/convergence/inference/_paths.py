"""What the fits read: steps with the risks of runs, within a window, thinned evenly in log k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefire.convergence._inputs import floats, number
from sparsefire.convergence.inference._resample import STATISTICS, statistic_of
from sparsefire.convergence.problem import one_of
from sparsefire.errors import UserError

FEWEST_RUNS = 2
_READ = "an estimate, (steps, risks), or a curve"


def read(estimate: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return steps [p] and risks [runs, p], one row for an exact curve."""
    if values is not None:
        steps = estimate
    elif hasattr(estimate, "steps") and hasattr(estimate, "values"):
        steps, values = estimate.steps, estimate.values
    elif isinstance(estimate, tuple) and len(estimate) == 2:
        steps, values = estimate
    else:
        values = floats(estimate, "estimate", _READ)
        steps = np.arange(values.shape[-1] if values.ndim == 1 else 0)
    steps, risks = floats(steps, "steps", _READ), floats(values, "values", _READ)
    if steps.ndim != 1 or risks.ndim not in (1, 2) or risks.shape[-1] != len(steps) or not len(steps):
        raise UserError(
            "steps and risks do not match.",
            came=f"steps of shape {steps.shape}, risks of shape {risks.shape}",
            expected="steps [p] with risks [runs, p], or with an exact curve [p]",
        )
    if not (np.isfinite(steps) & (steps >= 0)).all() or not (np.diff(steps) > 0).all():
        raise UserError("steps must rise from 0 or more.", came="steps that do not", expected="rising steps")
    if risks.ndim == 2 and len(risks) < FEWEST_RUNS:
        raise UserError(
            "one run has no spread.",
            came=f"{len(risks)} runs",
            expected="2 or more runs, or an exact curve of shape [p]",
        )
    return steps, np.atleast_2d(risks)


def prepared(
    steps: np.ndarray, risks: np.ndarray, window: tuple[float, float] | None, statistic: str, per_decade: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and risks within the window, thinned to ``per_decade`` points spread evenly in log k."""
    one_of(statistic, "statistic", STATISTICS)
    if window is None:
        with np.errstate(invalid="ignore"):  # runs may have diverged
            low, high = _window(steps, statistic_of([risks], statistic))
    else:
        if not _window_like(window):
            raise UserError("there is no such window.", came=repr(window), expected="(first, last) step, first < last")
        low, high = float(window[0]), float(window[1])
    inside = np.flatnonzero((steps > 0) & (steps >= low * (1 - 1e-12)) & (steps <= high * (1 + 1e-12)))
    if len(inside) and per_decade is not None:
        logs = np.log(steps[inside])
        points = max(per_decade, int(np.ceil(per_decade * (logs[-1] - logs[0]) / np.log(10) - 1e-9))) + 1
        targets = np.linspace(logs[0], logs[-1], points)
        right = np.clip(np.searchsorted(logs, targets), 1, max(len(logs) - 1, 1)) if len(logs) > 1 else [0]
        nearest = [r - 1 if r and t - logs[r - 1] < logs[r] - t else r for r, t in zip(right, targets, strict=False)]
        inside = inside[np.unique(nearest)]
    if len(inside) < 2:
        raise UserError(
            "too few recorded steps in the window.",
            came=f"{len(inside)} between {low:g} and {high:g}",
            expected="3 or more different steps in the window",
        )
    return steps[inside], _finite(risks[:, inside], statistic)


def _window_like(window: Any) -> bool:
    pair = isinstance(window, Sequence | np.ndarray) and len(window) == 2 and all(number(end) for end in window)
    return pair and bool(0 <= window[0] < window[1])


def _window(steps: np.ndarray, curve: np.ndarray) -> tuple[float, float]:
    last = float(steps[-1])
    start = last / 10
    if steps[0] == 0:
        above = np.flatnonzero(~(curve <= curve[0] / 2))  # NaN counts as above
        settled = steps[above[-1] + 1] if above[-1] + 1 < len(steps) else 0.0
        start = min(max(start, float(settled)), last / 10**0.5)
    return start, last


def _finite(risks: np.ndarray, statistic: str) -> np.ndarray:
    if statistic == "median":
        risks = np.where(np.isnan(risks), np.inf, risks)  # a run that is no number any more has diverged
    elif not np.isfinite(risks).all():
        lost = int((~np.isfinite(risks)).any(1).sum())
        raise UserError(
            "runs diverged.",
            came=f"{lost} of {len(risks)} are not finite",
            expected="finite risks for a mean",
            attempt="statistic='median', or smaller steps",
        )
    return risks


def positive(values: np.ndarray) -> np.ndarray:
    """Return what has a logarithm."""
    if not (np.isfinite(values) & (values > 0)).all():
        raise UserError(
            "a risk has no logarithm.",
            came=f"{values.min():g} among them",
            expected="finite risks above 0 in the window",
        )
    return values
