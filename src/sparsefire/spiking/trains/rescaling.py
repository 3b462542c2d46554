"""Time rescaling: under the right law ∫ λ between successive spikes is a standard exponential number.

Continuous time: Brown et al. 2002, doi:10.1162/08997660252741149. Steps: Haslinger, Pipa, Brown 2010,
doi:10.1162/NECO_a_00015: without the correction a right model of wide steps is rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special, stats

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, finite, function, whole, yes
from sparsefire.spiking.spikes import Spikes, trains_of
from sparsefire.statistics._check import confidence_checked, level_checked

FEWEST = 5  # intervals below which a train is not tested by itself
SURE = 1e-300


@dataclass(frozen=True, eq=False, repr=False)
class Rescaled:
    """Rescaled intervals of some trains; under the right law all are independent and standard exponential.

    Attributes:
        intervals: of each train, a list of float64 arrays.
        left: ∫ λ of each train after its last spike, float64 [trains].
        impossible: spikes in steps of probability 0, int64 [trains].
        units: which unit each train is of, int64 [trains].
    """

    intervals: list[np.ndarray]
    left: np.ndarray
    impossible: np.ndarray
    units: np.ndarray

    def __len__(self) -> int:
        return sum(map(len, self.intervals))

    @property
    def pooled(self) -> np.ndarray:
        """All intervals, float64: the trains laid end to end in rescaled time, where they are one Poisson train.

        What is left of a train goes to the first interval of the next, so that trains of few spikes bias nothing.
        """
        found, rest = [], 0.0
        for z, left in zip(self.intervals, self.left, strict=True):
            if len(z):
                found.append(np.concatenate([[rest + z[0]], z[1:]]))
                rest = 0.0
            rest += float(left)
        return np.concatenate(found) if found else np.zeros(0)

    def __repr__(self) -> str:
        return f"Rescaled({len(self):,} intervals of {len(self.units):,} units)"


@dataclass(frozen=True)
class UniformTest:
    """Whether numbers are independent and standard exponential. Made by :func:`uniform_test`.

    Attributes:
        statistic: Kolmogorov–Smirnov distance between 1 − e^(−z) and uniform.
        p_value: of the distance.
        correlation: between successive Φ⁻¹(1 − e^(−z)), 0 where they are independent.
        correlation_p: its p-value.
        n: how many intervals.
    """

    statistic: float
    p_value: float
    correlation: float
    correlation_p: float
    n: int

    def band(self, level: float = 0.95) -> float:
        """Return the distance that is exceeded with chance 1 − level in long trains, 1.358/√n at 95%."""
        return float(special.kolmogi(1 - confidence_checked(finite("level", level))) / np.sqrt(self.n))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return an interval of the correlation, on Fisher's scale."""
        half = float(special.ndtri(0.5 + confidence_checked(finite("level", level)) / 2)) / np.sqrt(max(self.n - 4, 1))
        middle = np.arctanh(np.clip(self.correlation, -1 + 1e-12, 1 - 1e-12))
        return float(np.tanh(middle - half)), float(np.tanh(middle + half))

    def passed(self, level: float = 0.05) -> bool:
        """Return whether neither p-value, doubled for there being two, is below ``level``."""
        return 2 * min(self.p_value, self.correlation_p) >= level_checked(finite("level", level))


@dataclass(frozen=True, eq=False, repr=False)
class RescalingTests:
    """Tests of every train and of all together. Made by :func:`rescaling_tests`.

    Attributes:
        units: the tested units, int64 [tests].
        tests: one for each.
        pooled: the test of all trains together.
        adjusted: p-values of the distances by Holm, float64 [tests].
        adjusted_correlation: p-values of the correlations by Holm, float64 [tests].
    """

    units: np.ndarray
    tests: list[UniformTest]
    pooled: UniformTest
    adjusted: np.ndarray
    adjusted_correlation: np.ndarray = field(repr=False)

    def passed(self, level: float = 0.05) -> bool:
        """Return whether the pooled test and all single ones pass, ``level`` shared between the two sorts."""
        level = level_checked(finite("level", level))
        each = np.minimum(self.adjusted, self.adjusted_correlation)
        return self.pooled.passed(level / 2) and bool((2 * each >= level / 2).all())

    def __repr__(self) -> str:
        return f"RescalingTests(pooled p = {self.pooled.p_value:.3g}, {len(self.units)} units, passed {self.passed()})"


def rescale(spikes: Any, law: Any) -> Rescaled:
    """Return ∫ λ between successive spikes under a law of continuous time.

    Args:
        spikes: Spikes, or a run of a simulation.
        law: a renewal law (the time before the first spike is left out), an
            :class:`InhomogeneousPoisson` law, or a :class:`Hawkes` process; or a function that takes the times of one
            train, with the end of the recording as the last, and the number of its unit and returns ∫₀ᵗ λ at each.

    Raises:
        UserError: for no such law; a function that takes other arguments, or returns what does not rise from 0.

    >>> from sparsefire.spiking.trains.renewal import PoissonDeadTime
    >>> law = PoissonDeadTime(50.0, 5e-3)
    >>> uniform_test(rescale(law.sample(25.0, rng=0), law).pooled).passed()
    True
    """
    given = trains_of(spikes)
    if isinstance(law, type):
        raise UserError(
            "this is a kind of law, not a law.", came=law.__name__, expected="one with its parameters",
            attempt=f"{law.__name__}(…)",
        )  # fmt: skip
    units = np.arange(given.n_units)
    impossible = np.zeros(given.n_units, np.int64)
    if hasattr(law, "compensated"):
        at_spikes, end = law.compensated(given)
        order = np.argsort(given.units, kind="stable")
        rises = np.split(at_spikes[order], np.cumsum(given.counts)[:-1]) if given.n_units else []
        intervals = [np.diff(rise, prepend=0.0) for rise in rises]
        left = np.array([total - (rise[-1] if len(rise) else 0.0) for rise, total in zip(rises, end, strict=True)])
        return Rescaled(intervals, left, impossible, units)
    trains = given.trains()
    if hasattr(law, "survival"):
        intervals = [law.cumulative(np.diff(train)) for train in trains]
        since = np.array([given.duration - train[-1] if len(train) else 0.0 for train in trains])
        return Rescaled(intervals, law.cumulative(since), impossible, units)
    if hasattr(law, "cumulative"):
        end = float(law.cumulative(given.duration))
        intervals = [np.diff(law.cumulative(train), prepend=0.0) for train in trains]
        left = np.array([end - z.sum() for z in intervals])
        return Rescaled(intervals, left, impossible, units)
    if not callable(law):
        raise UserError(
            "this is no law of spike trains.", came=type(law).__name__,
            expected="a renewal law, InhomogeneousPoisson, Hawkes, or a function of times and unit",
        )  # fmt: skip
    function("a law", law, "times", "unit")
    rises = [_risen(law, np.append(train, given.duration), unit) for unit, train in enumerate(trains)]
    return Rescaled([rise[:-1] for rise in rises], np.array([rise[-1] for rise in rises]), impossible, units)


def _risen(law: Callable[[np.ndarray, int], Any], times: np.ndarray, unit: int) -> np.ndarray:
    """Return by how much ∫ λ rises from each time to the next, from 0 on."""
    total = array("what a law returns", law(times, unit))
    if total.shape != times.shape:
        raise UserError("a law has one value for each time.", came=f"shape {total.shape}", expected=f"{times.shape}")
    rise = np.diff(total, prepend=0.0)
    if not (np.isfinite(total).all() and (rise >= -1e-9 * np.abs(total)).all()):
        raise UserError(
            "an integral of a rate rises from 0.", came=f"{np.min(rise):g} from one spike to the next",
            expected="0 or more, finite",
        )  # fmt: skip
    return np.maximum(rise, 0.0)


def rescale_steps(
    fired: Any, probability: Any, *, units: Any = None, corrected: bool = True, rng: Any = None
) -> Rescaled:
    """Return rescaled intervals of spikes that were drawn step by step.

    With q = −log(1 − p) of each step, z = Σ q over the steps since the last spike, before the step with the spike, and
    of that one −log(1 − U (1 − e^(−q))) with U uniform; z is standard exponential exactly, for any step.

    Args:
        fired: 0 or 1 [steps, units].
        probability: to fire in each step given the past, 0 to 1 [steps, units].
        units: what the columns are called; None for 0, 1, ….
        corrected: False for the plain test, Σ q up to and with the step of the spike, which rejects right models unless
            steps are short.
        rng: for U.

    Raises:
        UserError: shapes that differ, spikes other than 0 and 1, probabilities outside 0 to 1.

    >>> draws = np.random.default_rng(0).random((20_000, 1)) < 0.2
    >>> uniform_test(rescale_steps(draws, np.full((20_000, 1), 0.2), rng=0).pooled).passed()
    True
    """
    corrected = yes("corrected", corrected)
    spikes, p = array("spikes", fired), array("probabilities", probability)
    if spikes.ndim != 2 or spikes.shape != p.shape:
        raise UserError(
            "spikes and probabilities do not fit.", came=f"shapes {spikes.shape} and {p.shape}",
            expected="[steps, units] both",
        )  # fmt: skip
    if not np.isin(spikes, (0, 1)).all():
        raise UserError("spikes are zeros and ones.", came=f"values up to {spikes.max():g}", expected="0 or 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise UserError("probabilities are out of range.", came=f"{np.min(p):g} to {np.max(p):g}", expected="0 to 1")
    names = np.arange(spikes.shape[1]) if units is None else array("units", units).astype(np.int64)
    if names.shape != spikes.shape[1:]:
        raise UserError("units are the names of columns.", came=f"shape {names.shape}", expected=f"{spikes.shape[1:]}")
    column, step = np.nonzero(spikes.T)
    chance = p[step, column]
    with np.errstate(divide="ignore"):
        q = -np.log1p(-np.minimum(p, 1 - 1e-16))
    rise = np.cumsum(q, axis=0)
    before = rise[step, column] - q[step, column]
    # U (1 − e^(−q)) = U p, which needs no cancellation
    u = 1.0 - stream(rng, "rescaling").random(len(step))
    last = -np.log1p(-u * np.minimum(chance, 1 - 1e-16)) if corrected else q[step, column]
    intervals, left, impossible = [], np.empty(spikes.shape[1]), np.zeros(spikes.shape[1], np.int64)
    ends = np.searchsorted(column, np.arange(spikes.shape[1] + 1))
    for k in range(spikes.shape[1]):
        part = slice(ends[k], ends[k + 1])
        since = np.concatenate([[0.0], rise[step[part], k]])
        intervals.append(before[part] - since[:-1] + last[part])
        total = rise[-1, k] if len(rise) else 0.0
        left[k] = total - since[-1]
        impossible[k] = int((chance[part] == 0).sum())
    return Rescaled(intervals, left, impossible, names)


def uniform_test(z: Any) -> UniformTest:
    """Test whether rescaled intervals are independent and standard exponential.

    Args:
        z: [intervals], 0 or more, in the order of time; 5 or more of them.

    Raises:
        UserError: fewer, or numbers below 0 or nan.

    Kolmogorov–Smirnov of 1 − e^(−z) against uniform, with its exact p-value; and the correlation of
    successive Φ⁻¹(1 − e^(−z)), which √n makes standard normal.

    >>> test = uniform_test(-np.log(1 - (np.arange(100) + 0.5) / 100))
    >>> round(test.statistic, 6), round(test.band(), 4)
    (0.005, 0.1358)
    """
    given = array("rescaled intervals", z)
    if given.ndim != 1 or len(given) < FEWEST or not (given >= -1e-9).all():
        raise UserError(
            "these are no rescaled intervals.", came=f"{given.size} numbers, the least {np.min(given, initial=0.0):g}",
            expected=f"{FEWEST} or more, each 0 or more",
        )  # fmt: skip
    given = np.maximum(given, 0.0)
    u = -np.expm1(-given)
    distance = _distance(u)
    # where z is large u rounds to 1: the upper tail is taken from z itself
    normal = np.where(given < 1, special.ndtri(np.maximum(u, SURE)), -special.ndtri(np.maximum(np.exp(-given), SURE)))
    n = len(given)
    centred = normal - normal.mean()
    spread = float(centred @ centred)
    correlation = float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 1.0
    # the mean's own error lowers a correlation of independent numbers to −1/n
    p = float(2 * special.ndtr(-abs(correlation + 1 / n) * np.sqrt(n)))
    return UniformTest(distance, float(stats.kstwo.sf(distance, n)), correlation, min(p, 1.0), n)


def _distance(u: np.ndarray) -> float:
    """Return the Kolmogorov–Smirnov distance from uniform."""
    rising, n = np.sort(u), len(u)
    return float(max((np.arange(1, n + 1) / n - rising).max(), (rising - np.arange(n) / n).max()))


def rescaling_tests(rescaled: Rescaled, *, least: int = 20) -> RescalingTests:
    """Test every train of ``least`` intervals or more, and all trains together.

    Args:
        rescaled: from :func:`rescale` or :func:`rescale_steps`.
        least: intervals for a test of its own, 5 or more.

    >>> from sparsefire.spiking.trains.renewal import GammaRenewal
    >>> law = GammaRenewal(4.0, 20.0)
    >>> rescaling_tests(rescale(law.sample(20.0, 5, rng=1), law)).passed()
    True
    """
    fewest = whole("least", least, FEWEST)
    if not isinstance(rescaled, Rescaled):
        raise UserError("nothing is rescaled yet.", came=type(rescaled).__name__, expected="rescale(spikes, law)")
    tested = [k for k, z in enumerate(rescaled.intervals) if len(z) >= fewest]
    tests = [uniform_test(rescaled.intervals[k]) for k in tested]
    return RescalingTests(
        rescaled.units[tested] if len(tested) else np.zeros(0, np.int64),
        tests,
        uniform_test(rescaled.pooled),
        holm([test.p_value for test in tests]),
        holm([test.correlation_p for test in tests]),
    )


def holm(p_values: Any) -> np.ndarray:
    """Return p-values that hold jointly (Holm 1979): p_(k) times the number of tests from it on, made monotone.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = array("p-values", p_values)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise UserError("these are no p-values.", came=repr(p_values)[:60], expected="0 to 1")
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(steps, 1.0)
    return found


def fitted_test(
    spikes: Any, fit: Callable[[Spikes], Any], *, resamples: int = 199, rng: Any = None
) -> tuple[UniformTest, float]:
    """Test a law whose parameters were fitted to the same spikes, by a parametric bootstrap.

    The plain p-value of a fitted law is too large. Here trains are drawn from the fitted law, fitted and tested anew.

    Args:
        spikes: Spikes, or a run.
        fit: takes Spikes, returns a law with ``sample(duration, …)`` or what holds one as ``.law``, such as
            :func:`fit_gamma`.
        resamples: of the bootstrap, 19 or more.
        rng: for it.

    Returns:
        The plain test of all trains together, and the p-value (1 + #{D* ≥ D}) / (1 + resamples) of its distance.
    """
    given, draws = trains_of(spikes), whole("resamples", resamples, 19)
    function("a fit", fit, "spikes")
    law = _law_of(fit(given))
    if not hasattr(law, "sample"):
        raise UserError("a fit returns a law.", came=type(law).__name__, expected="one that can be drawn: law.sample")
    test = uniform_test(rescale(given, law).pooled)
    above = 0
    for k in range(draws):
        generator = stream(rng, "fitted test", k)
        if hasattr(law, "compensated"):
            again = law.sample(given.duration, rng=generator)
        else:
            again = law.sample(given.duration, given.n_units, rng=generator)
        above += uniform_test(rescale(again, _law_of(fit(again))).pooled).statistic >= test.statistic
    return test, (1 + above) / (1 + draws)


def _law_of(fitted: Any) -> Any:
    return getattr(fitted, "law", fitted)
