"""Where behaviour changes: stability limits, critical schedules, best perturbation sizes.

An exact indicator (a spectral radius, an exponent from a recursion) is bisected to rounding. An indicator that can only
be simulated is bisected too, but every comparison is a sequential test that may look at the data at any time, so that
the interval for the transition holds its level whatever the budget. A third way needs no threshold: fluctuations are
largest at a transition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import optimize

from sparsefire.convergence._inputs import a_function, above, confidence, entropy, floats, number, row, whole
from sparsefire.errors import UserError
from sparsefire.randomness import stream


@dataclass(frozen=True)
class Transition:
    """A transition point.

    Attributes:
        value: the point, or the middle of the interval.
        low, high: the interval that contains it.
        evaluations: calls of an exact indicator, or outcomes that were simulated.
    """

    value: float
    low: float
    high: float
    evaluations: int


@dataclass(frozen=True)
class Minimum:
    """The argument at which a function is least, and its value there."""

    argument: float
    value: float


@dataclass(frozen=True, eq=False)
class SusceptibilityPeak:
    """Where an order parameter fluctuates most.

    Attributes:
        value: position of the peak, between the points of the grid.
        parameters: the grid, rising, float64 [m].
        susceptibilities: scale · variance at every point, float64 [m].
        resampled: positions of the peak with runs drawn again, float64 [resamples].
    """

    value: float
    parameters: np.ndarray
    susceptibilities: np.ndarray
    resampled: np.ndarray = field(repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of the position. The grid limits it: a peak at an end is no peak."""
        low, high = np.quantile(self.resampled, [(1 - confidence(level)) / 2, (1 + level) / 2])
        return float(low), float(high)


def find_transition(
    indicator: Callable[[float], Any], low: float, high: float, *, target: float = 0.0, tolerance: float | None = None
) -> Transition:
    """Find where an exact indicator crosses a target.

    Args:
        indicator: function of one number; its sign against ``target`` differs between low and high. May jump, and may
            return True or False (with the default target).
        low, high: ends of the search, low < high.
        target: what is crossed, such as 1 for a spectral radius.
        tolerance: width of the interval of the result, by default 10⁻¹² of the largest end.

    Raises:
        UserError: no crossing between the ends, an indicator that is not a number.

    Brent's method; the interval of the result contains a crossing.

    >>> growth = lambda step: 1 - 2 * step + 12**2 * step**2  # forward gradient descent in dimension 10, noise-free
    >>> round(find_transition(growth, 0.01, 1.0, target=1.0).value * 72, 10)
    1.0
    >>> round(find_transition(lambda x: x * x > 2, 0, 2).value, 9)
    1.414213562
    """
    low, high = _ends(low, high)
    a_function(indicator, "indicator", "a function of one number")
    width = 1e-12 * max(abs(low), abs(high)) if tolerance is None else above(tolerance, "tolerance")
    _target(target)
    calls = 0

    def against(x: float) -> float:
        nonlocal calls
        calls += 1
        found = indicator(x)
        gap = (0.5 if found else -0.5) if isinstance(found, bool | np.bool_) else _value(found, x) - target
        if math.isnan(gap):
            raise UserError(
                "the indicator is not a number.", came=f"NaN at {x:g}", expected="a number or True or False"
            )
        return max(min(gap, 1e300), -1e300)

    first, last = against(low), against(high)
    if first * last > 0:
        raise UserError(
            "there is no transition in between.",
            came=f"both ends are {'above' if first > 0 else 'below'} the target",
            expected=f"different sides of {target:g} at {low:g} and {high:g}",
        )
    root = optimize.brentq(against, low, high, xtol=width / 4, rtol=4 * np.finfo(float).eps)
    return Transition(float(root), max(low, float(root) - width / 2), min(high, float(root) + width / 2), calls)


def search_transition(
    trial: Callable[[float, np.random.Generator], Any],
    low: float,
    high: float,
    *,
    target: float | None = None,
    width: float | None = None,
    level: float = 0.95,
    most: int = 20_000,
    rng: Any = None,
) -> Transition:
    """Find where the mean of simulated outcomes crosses a target, with an interval for the crossing.

    Args:
        trial: ``trial(x, generator)`` returns one or more new independent outcomes at x: True or False, or numbers.
        low, high: ends of the search; the mean rises or falls through the target once between them.
        target: what the mean crosses; by default 1/2 for True and False, 0 for numbers.
        width: stop when the interval is as short as this; by default 1 % of high - low.
        level: confidence of the interval, simultaneously over all points looked at.
        most: outcomes per point; a point that is still undecided then is passed over.
        rng: see :mod:`sparsefire.randomness`.

    Returns:
        The interval outside of which the mean is known to be on one side or the other. It is wider than ``width`` where
        the budget did not decide more. ``evaluations`` counts outcomes.

    Raises:
        UserError: the ends are on the same side, or not decided within ``most``.

    The j-th point is tested with error (1 - level) / (j (j + 1)): the mean is decided when |S_n - n target| exceeds
    the boundary σ √((n + m) log((n + m) / (m error²))) of Robbins' normal mixture, which holds for all n at once
    (Howard et al. 2021, arXiv:1810.08240). For True and False σ = 1/2 is a bound and the confidence is guaranteed. For
    numbers σ is their standard deviation over at least 50 outcomes, which is right in the limit of many (Waudby-Smith
    et al. 2021, arXiv:2103.06476). If a midpoint is undecided, the middles of both halves are tried.

    >>> coin = lambda x, generator: generator.random(100) < x
    >>> found = search_transition(coin, 0.0, 1.0, width=0.1, rng=0)
    >>> found.low <= 0.5 <= found.high, found.high - found.low <= 0.1 + 1e-12
    (True, True)
    """
    low, high = _ends(low, high)
    a_function(trial, "trial", "a function of a number and a generator")
    width = (high - low) / 100 if width is None else above(width, "width")
    if target is not None:
        _target(target)
    most = whole(most, "most", 50)
    error, source = 1 - confidence(level), entropy(rng)
    points = used = 0

    def side(x: float) -> int:
        """Return 1 above the target, -1 below, 0 undecided."""
        nonlocal points, used
        points += 1
        found, outcomes = _decide(
            trial, x, target, error / (points * (points + 1)), most, stream(source, "trial", points)
        )
        used += outcomes
        return found

    left, right = side(low), side(high)
    if left * right >= 0:
        raise UserError(
            "there is no transition between the ends, or too few outcomes to see it.",
            came=f"{_SIDES[left]} at {low:g}, {_SIDES[right]} at {high:g}",
            expected="below at one end and above at the other",
            attempt="other ends, or a larger most=",
        )
    while high - low > width:
        middle, before = (low + high) / 2, (low, high)
        for x in (middle, (low + middle) / 2, (middle + high) / 2):
            found = side(x) if low < x < high else 0
            low, high = (x if found == left else low), (x if found == right else high)
            if found and x == middle:
                break
        if (low, high) == before:
            break
    return Transition((low + high) / 2, low, high, used)


def susceptibility_peak(
    parameters: Any, samples: Sequence[Any], *, scale: float = 1.0, resamples: int = 1000, rng: Any = 0
) -> SusceptibilityPeak:
    """Return where the variance of an order parameter over independent runs is largest.

    Args:
        parameters: grid of the control parameter [m], rising, m ≥ 3.
        samples: order parameter of the runs at every point: m arrays [n_j], n_j ≥ 8.
        scale: factor of the variance, such as the size of the system.
        resamples: how often the runs are drawn again at every point, 100 or more.
        rng: see :mod:`sparsefire.randomness`.

    Position: the top of the parabola through the logarithms of the largest variance and its two neighbours. In a finite
    system the peak is off the transition of the infinite one by a power of the size: compare sizes.

    >>> draws, x = np.random.default_rng(0), np.linspace(-2, 2, 9)
    >>> peak = susceptibility_peak(x, [draws.random(4000) < 1 / (1 + np.exp(-3 * at)) for at in x])
    >>> low, high = peak.interval()
    >>> bool(low < 0 < high), bool(high - low < 0.3)  # p (1 - p) is largest at 0
    (True, True)
    """
    grid, scale = floats(parameters, "parameters"), above(scale, "scale")
    runs = [floats(sample, "samples") for sample in row(samples, "samples", "one array of runs per parameter")]
    if grid.ndim != 1 or len(grid) < 3 or not (np.diff(grid) > 0).all() or len(runs) != len(grid):
        raise UserError(
            "the grid is no grid.",
            came=f"{grid.size} parameters, {len(runs)} samples",
            expected="3 or more rising parameters, one sample each",
        )
    if any(sample.ndim != 1 or len(sample) < 8 or not np.isfinite(sample).all() for sample in runs):
        raise UserError(
            "samples are runs.", came=str([s.shape for s in runs]), expected="8 or more finite numbers each"
        )
    resamples = whole(resamples, "resamples", 100)
    variances = np.array([sample.var(ddof=1) for sample in runs])
    source = entropy(rng)
    again = np.empty((resamples, len(grid)))
    for at, sample in enumerate(runs):
        draws = stream(source, "susceptibility", at)
        for place in range(resamples):
            again[place, at] = sample[draws.integers(0, len(sample), len(sample))].var(ddof=1)
    position = _tops(grid, variances[None])[0]
    return SusceptibilityPeak(float(position), grid, scale * variances, _tops(grid, again))


def find_minimum(function: Callable[[float], Any], low: float, high: float, *, tolerance: float = 1e-9) -> Minimum:
    """Find where a function with one minimum is least, on the scale of log x: perturbation sizes, step sizes.

    Args:
        function: of one number above 0.
        low, high: ends of the search, 0 < low < high.
        tolerance: of log x, not below 10⁻⁸ in effect, where a flat minimum is lost in rounding.

    >>> one_query = lambda x: 0.75 * (1 + x) ** 2 / x  # risk · k / (σ² d²) of one query without baseline, x = c² d / σ²
    >>> found = find_minimum(one_query, 0.01, 100.0)
    >>> round(found.argument, 6), round(found.value, 12)
    (1.0, 3.0)
    """
    a_function(function, "function", "a function of one number")
    low, high = _ends(low, high)
    tolerance = above(tolerance, "tolerance")
    if low <= 0:
        raise UserError("a search over scales begins above 0.", came=f"low={low:g}", expected="low above 0")
    found = optimize.minimize_scalar(
        lambda u: _value(function(math.exp(u)), math.exp(u)),
        bounds=(math.log(low), math.log(high)),
        method="bounded",
        options={"xatol": tolerance},
    )
    if not found.success or not math.isfinite(found.fun):
        raise UserError("no minimum was found.", came=str(found.message), expected="a function that is finite between")
    return Minimum(math.exp(float(found.x)), float(found.fun))


_SIDES = {1: "above the target", -1: "below the target", 0: "undecided"}
LEAST = 50  # outcomes before a standard deviation is believed


def _decide(
    trial: Callable[[float, np.random.Generator], Any],
    x: float,
    target: float | None,
    error: float,
    most: int,
    draws: np.random.Generator,
) -> tuple[int, int]:
    count, total, squares = 0, 0.0, 0.0
    binary = True
    while count < most:
        outcomes = np.atleast_1d(np.asarray(trial(x, draws)))
        binary &= outcomes.dtype == bool
        numbers = floats(outcomes, "an outcome", "numbers, or bools")
        if not numbers.size or not np.isfinite(numbers).all():
            raise UserError(
                "an outcome is not a number.", came=f"{numbers} at {x:g}", expected="finite numbers, or bools"
            )
        aim = target if target is not None else 0.5 if binary else 0.0
        count, total = count + numbers.size, total + float(numbers.sum())
        squares += float((numbers**2).sum())
        if not binary and count < LEAST:
            continue
        spread = 0.5 if binary else math.sqrt(max(squares / count - (total / count) ** 2, 0.0))
        mixture = most / 50  # the boundary is tightest near most / 6 outcomes
        boundary = spread * math.sqrt((count + mixture) * math.log((count + mixture) / (mixture * error**2)))
        if abs(total - count * aim) > boundary:
            return (1 if total > count * aim else -1), count
    return 0, count


def _tops(grid: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return the top of the parabola through the largest entry and its neighbours, per row."""
    with np.errstate(divide="ignore"):
        logs = np.log(variances)
    at = np.clip(logs.argmax(1), 1, len(grid) - 2)
    rows = np.arange(len(logs))
    x0, x1, x2 = (grid[at + shift] for shift in (-1, 0, 1))
    y0, y1, y2 = (logs[rows, at + shift] for shift in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = (y1 - y0) / (x1 - x0), (y1 - y2) / (x2 - x1)
        top = (x0 + x1) / 2 + (x2 - x0) / 2 * up / (up + down)
    return np.where(np.isfinite(top), np.clip(top, x0, x2), grid[logs.argmax(1)])


def _value(found: Any, x: float) -> float:
    value = floats(found, f"the value at {x:g}", "a number")
    if value.size != 1:
        raise UserError("the value of the function is no number.", came=f"shape {value.shape}", expected="a number")
    return float(value.item())


def _target(target: Any) -> None:
    if not number(target) or not math.isfinite(target):
        raise UserError("a target is a number.", came=repr(target), expected="a finite number")


def _ends(low: Any, high: Any) -> tuple[float, float]:
    if not (number(low) and number(high) and math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError("a search needs two ends.", came=f"{low!r}, {high!r}", expected="finite numbers, low < high")
    return float(low), float(high)
