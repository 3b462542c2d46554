"""What learning curves say, in words and in rows: the sentence of the page, its table, and its cautions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsefire.data import figures
from sparsefire.data.words import plural
from sparsefire.report.convergence_figures import risk, short, superscripts, times

RARE = 3.0  # a mean so many times the median is carried by few runs


@dataclass(frozen=True)
class Exponent:
    """An exponent fitted to runs, with its interval, beside what is known.

    Attributes:
        value: of risk ~ k^−value, or of risk ~ d^value.
        low, high: 95% interval.
        exact: the same fit to the exact risk at the same points, or None where there is no recursion.
        theory: the limit that theory names, or None.
        first, last: the first and last k (or d) that the fit used.
    """

    value: float
    low: float
    high: float
    exact: float | None = None
    theory: float | None = None
    first: int = 1
    last: int = 1


@dataclass(frozen=True, eq=False)
class Curve:
    """The risk of one dimension.

    Attributes:
        dimension: d.
        steps: recorded k [p], ascending, from 0.
        mean, low, high: mean over runs with its 95% interval [p].
        median, q10, q90: of the runs [p].
        exact: E‖θ_k − θ*‖² [p], or None where there is no recursion.
        exponent: in k, or None where none could be fitted.
        limit: what k · risk tends to, or None.
        floor: what the risk tends to where step sizes do not fall, or None.
        step_size: the schedule in words.
        largest: the largest step size.
        stable: the largest constant step at which the mean risk stays bounded, or None.
    """

    dimension: int
    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median: np.ndarray
    q10: np.ndarray
    q90: np.ndarray
    exact: np.ndarray | None = None
    exponent: Exponent | None = None
    limit: float | None = None
    floor: float | None = None
    step_size: str = ""
    largest: float = 0.0
    stable: float | None = None

    @property
    def of_limit(self) -> float | None:
        """k · risk at the end over its limit."""
        return float(self.steps[-1] * self.mean[-1] / self.limit) if self.limit else None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Learning curves of a rule, one per dimension.

    Attributes:
        rule: its name.
        settings: the rest of the rule and the problem, as a reader says it.
        runs: independent runs per dimension.
        noise: σ.
        curves: by ascending dimension, one or more.
        in_dimension: the exponent of the risk in d after all samples, or None.
        queries: losses or slopes that are read per sample.
        size: power of d in the number of samples after which theory speaks: 2 where risk grows as d² / k.
        heavy: whether the risk has no variance over runs, as with Student inputs.
    """

    rule: str
    settings: str
    runs: int
    noise: float
    curves: Sequence[Curve]
    in_dimension: Exponent | None = None
    queries: int = 1
    size: int = 2
    heavy: bool = False

    @property
    def samples(self) -> int:
        """The last k."""
        return int(self.curves[-1].steps[-1])


def headline(outcome: Outcome) -> str:
    """Return the one sentence: how the risk falls in samples, how it rises in dimension, what that costs.

    Powers are written as ``k^−1.02``; see :func:`terminal_powers`.

    >>> import textwrap
    >>> print(textwrap.fill(headline(example()), 80))
    With sgd, risk rises as d^0.98 [0.96, 1.01] and falls as k^−1.01 [−1.02, −1.00]
    at d = 20, where it is 1.0 times σ²d/k.
    """
    last, rises = outcome.curves[-1], outcome.in_dimension
    at = f"at d = {figures.count(last.dimension)}"
    if grew(last):
        return f"With {outcome.rule}, risk grew instead of falling {at}."
    grows = f"rises as d^{_power(rises.value)} {_limits(rises.low, rises.high)} and " if rises is not None else ""
    ratio = over_first_order(outcome, last)
    where = f", where it is {times(ratio)} times σ²d/k" if ratio is not None else ""
    return f"With {outcome.rule}, risk {grows}{_falls(last)} {at}{where}."


def grew(curve: Curve) -> bool:
    """Return whether the mean risk ends above its start, or beyond all numbers.

    >>> grew(example().curves[0])
    False
    """
    end = float(curve.mean[-1])
    return not math.isfinite(end) or 0 < float(curve.mean[0]) < end


def _falls(curve: Curve) -> str:
    """How the risk of a curve went down."""
    found, end = curve.exponent, float(curve.mean[-1])
    if curve.floor is not None and end < 2 * curve.floor:
        return f"stops falling near {risk(curve.floor)}"
    if found is None:
        return f"ends at {risk(end)}"
    return f"falls as k^{_power(-found.value)} {_limits(-found.high, -found.low)}"


def over_first_order(outcome: Outcome, curve: Curve) -> float | None:
    """Return the mean risk at the end over σ²d/k, the risk of first-order learning with the best step sizes.

    None without noise, where the risk overflowed, and below 10 d samples, where σ²d/k is no bound yet.

    >>> round(over_first_order(example(), example().curves[0]), 6)
    1.01
    """
    if not outcome.noise or not np.isfinite(curve.mean[-1]) or curve.steps[-1] < 10 * curve.dimension:
        return None
    return float(curve.mean[-1] * curve.steps[-1] / (outcome.noise**2 * curve.dimension))


def cautions(outcome: Outcome) -> list[str]:
    """Return what a reader must know before believing the numbers, one sentence each.

    A mean far above the median is carried by few runs; a step size beyond the stability limit lets the mean risk grow;
    samples below about d^size log d are too few for the limit.
    """
    out = []
    steep = [(curve.dimension, curve.largest, curve.stable or 0.0) for curve in outcome.curves if beyond(curve)]
    if steep:
        out.append(steep_text(steep))
    if outcome.heavy:
        out.append("With Student inputs risks have no variance over runs: intervals of means do not hold, medians do.")
    carried = [curve for curve in outcome.curves if rare(curve)[1] > RARE * _mean_over_median(curve.dimension)]
    if carried:
        at, ratio, d = max(((*rare(curve), curve.dimension) for curve in carried), key=lambda found: found[1])
        sure = " Believe the exact curve instead." if all(curve.exact is not None for curve in carried) else ""
        out.append(
            f"At {_listed([c.dimension for c in carried])} few runs carry the mean: at d = {figures.count(d)} and "
            f"k = {figures.count(at)} it is {times(ratio)} times the median.{sure}"
        )
    early = [curve for curve in outcome.curves if curve.limit and outcome.samples < 10 * scale(outcome, curve)]
    if early:
        said = "d log d" if outcome.size == 1 else f"d{superscripts(outcome.size)} log d"
        which = _listed([curve.dimension for curve in early])
        out.append(f"At {which} there are fewer than ten times {said} samples: the limit is still far.")
    return out


def steep_text(found: Sequence[tuple[int, float, float]]) -> str:
    """Return the sentence about steps beyond the stability limit.

    Args:
        found: (dimension, largest step, limit), at least one.

    >>> steep_text([(10, 0.02, 2 / 144)])
    'At d = 10 steps are beyond the stability limit, where the mean risk grows: 0.02 against 0.0139 at d = 10.'
    """
    d, largest, limit = max(found, key=lambda one: one[1] / one[2])
    where = f"At {_listed([d for d, *_ in found])} steps are beyond the stability limit, where the mean risk grows"
    return f"{where}: {short(largest)} against {short(limit)} at d = {figures.count(d)}."


def beyond(curve: Curve) -> bool:
    """Return whether a step size is beyond the stability limit.

    >>> beyond(example().curves[0])
    False
    """
    return curve.stable is not None and curve.largest > curve.stable * (1 + 1e-9)


def apart_from_exact(outcome: Outcome) -> bool | None:
    """Return whether a mean at the end is off the exact risk by more than twice the half width of its interval.

    None where no risk is exact, or all overflowed.

    >>> apart_from_exact(example())
    False
    """
    found = [
        abs(curve.mean[-1] - curve.exact[-1]) > curve.high[-1] - curve.low[-1] + 1e-12 * curve.exact[-1]
        for curve in outcome.curves
        if curve.exact is not None
        and np.isfinite([curve.mean[-1], curve.exact[-1], curve.low[-1], curve.high[-1]]).all()
    ]
    return any(found) if found else None


def rare(curve: Curve) -> tuple[int, float]:
    """Return the k of the last decade at which the mean is most times the median, and how many times.

    >>> rare(example().curves[0])[1]
    1.0
    """
    last = (curve.steps >= curve.steps[-1] / 10) & np.isfinite(curve.mean) & (curve.median > 0)
    if not last.any():
        return int(curve.steps[-1]), 1.0
    ratio = np.where(last, curve.mean, 0.0) / np.where(last, curve.median, 1.0)
    at = int(np.argmax(ratio))
    return int(curve.steps[at]), float(ratio[at])


def _mean_over_median(dimension: int) -> float:
    """Mean over median of χ² with d degrees of freedom, the law of a risk in the end (Wilson and Hilferty's median)."""
    return float((1 - 2 / (9 * dimension)) ** -3)


def _listed(dimensions: Sequence[int]) -> str:
    sizes = [figures.count(d) for d in dimensions]
    return "d = " + (sizes[0] if len(sizes) == 1 else f"{', '.join(sizes[:-1])} and {sizes[-1]}")


def scale(outcome: Outcome, curve: Curve) -> float:
    """Return d^size log d, the samples after which theory speaks (log 2 for d = 1).

    >>> round(scale(example(), example().curves[0]))
    23
    """
    return float(curve.dimension**outcome.size * math.log(max(curve.dimension, 2)))


@dataclass(frozen=True)
class Row:
    """One line of the table, written out; an empty text where there is nothing to say."""

    dimension: str
    mean: str
    half_width: str
    median: str
    exact: str
    of_limit: str
    exponent: str
    exponent_limits: str
    exponent_exact: str
    over_first_order: str


def rows(outcome: Outcome) -> list[Row]:
    """Return one row per dimension: the risk at the end and how fast it fell.

    >>> row = rows(example())[0]
    >>> row.mean, row.half_width, row.exponent, row.exponent_limits, row.of_limit
    ('0.001010', '2%', '1.01', '[1.00, 1.02]', '1.01')
    """
    out = []
    for curve in outcome.curves:
        mean, found = float(curve.mean[-1]), curve.exponent
        half = (float(curve.high[-1]) - float(curve.low[-1])) / 2
        ratio, of_limit = over_first_order(outcome, curve), curve.of_limit
        out.append(
            Row(
                dimension=figures.count(curve.dimension),
                mean=risk(mean),
                half_width=figures.significant(100 * half / mean) + "%"
                if 0 < mean < math.inf and half < math.inf
                else "",
                median=risk(float(curve.median[-1])),
                exact=risk(float(curve.exact[-1])) if curve.exact is not None else "",
                of_limit=figures.fixed(of_limit, 2) if of_limit is not None and math.isfinite(of_limit) else "",
                exponent=_power(found.value) if found is not None else "",
                exponent_limits=_limits(found.low, found.high) if found is not None else "",
                exponent_exact=_power(found.exact) if found is not None and found.exact is not None else "",
                over_first_order=times(ratio) if ratio is not None else "",
            )
        )
    return out


def window(outcome: Outcome) -> str:
    """Return over which samples the exponents in k were fitted, or ``""``.

    >>> window(example())
    'k = 1,000 to 10,000'
    """
    found = [curve.exponent for curve in outcome.curves if curve.exponent is not None]
    if not found:
        return ""
    return f"k = {figures.count(min(e.first for e in found))} to {figures.count(max(e.last for e in found))}"


def known_text(outcome: Outcome) -> list[str]:
    """Return what the fitted exponents should be: of the exact risk at the same points, and by theory in the limit.

    >>> known_text(example())
    ['Exact risk, fitted likewise: k^−1.00 and d^0.99.', 'Theory, in the limit: k^−1 and d^1.']
    """
    falls, rises = outcome.curves[-1].exponent, outcome.in_dimension
    exact = [f"k^{_power(-falls.exact)}"] if falls is not None and falls.exact is not None else []
    exact += [f"d^{_power(rises.exact)}"] if rises is not None and rises.exact is not None else []
    theory = [f"k^−{falls.theory:g}"] if falls is not None and falls.theory else []
    theory += [f"d^{rises.theory:g}"] if rises is not None and rises.theory is not None else []
    out = [f"Exact risk, fitted likewise: {' and '.join(exact)}."] if exact else []
    out += [f"Theory, in the limit: {' and '.join(theory)}."] if theory else []
    if any(curve.floor is not None for curve in outcome.curves):
        out.append("Theory: the risk stops at a floor, because step sizes do not fall.")
    return out


def runs_text(outcome: Outcome) -> str:
    """Return how much was simulated."""
    return f"{plural(outcome.runs, 'run')} of {plural(outcome.samples, 'sample')} per dimension"


def example() -> Outcome:
    """Return a small outcome for the examples of this module: first-order learning, risk 1.01 d/k."""
    steps = np.unique(np.geomspace(1, 10_000, 41).astype(int))
    steps = np.append(0, steps)

    def curve(d: int) -> Curve:
        mean = 1.01 * d / np.maximum(steps, 1.0)
        found = Exponent(1.01, 1.0, 1.02, 1.005, 1.0, 1000, 10_000)
        return Curve(
            d, steps, mean, 0.98 * mean, 1.02 * mean, mean, 0.6 * mean, 1.5 * mean, mean / 1.01, found, float(d),
            None, "1/(k + 12)", 1 / 13, 2 / 12,
        )  # fmt: skip

    rising = Exponent(0.98, 0.96, 1.01, 0.99, 1.0, 10, 20)
    return Outcome("sgd", "normal inputs, σ = 1", 100, 1.0, (curve(10), curve(20)), rising, 1, 1)


def _power(value: float) -> str:
    return figures.fixed(value, 2)


def _limits(low: float, high: float) -> str:
    return f"[{_power(low)}, {_power(high)}]"
