"""Risks of many simulated runs: mean and median side by side, with intervals, and a control variate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from sparsefire.convergence._inputs import instance, number
from sparsefire.convergence.inference._resample import STATISTICS, Resampled, quantile_of, resample
from sparsefire.convergence.problem import LinearRegression, one_of
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError

_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class RiskEstimate:
    """Risks of independent runs at some steps.

    The mean can be carried by few runs: the median tells of the typical one.

    Args:
        steps: recorded steps [p], ascending from 0.
        values: risk of each run at each of them [runs, p]; ∞ where a run has diverged.
        problem, update: what was simulated.
        exact: the exact risk at these steps [p], where there is one.
        key: of the random numbers: estimates with the same key and method have seen the same ones.

    >>> values = np.array([[1.0, 0.5], [1.0, 0.1], [1.0, 0.3]])
    >>> found = RiskEstimate(np.array([0, 9]), values, LinearRegression(2), Update("sgd"))
    >>> found.mean().round(2).tolist(), found.median().tolist()
    ([1.0, 0.3], [1.0, 0.3])
    >>> [end.round(2).tolist() for end in found.interval()]
    [[1.0, -0.2], [1.0, 0.8]]
    """

    steps: np.ndarray
    values: np.ndarray = field(repr=False)
    problem: LinearRegression
    update: Update
    exact: np.ndarray | None = field(default=None, repr=False)
    key: int | None = field(default=None, repr=False)

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.values)

    def mean(self) -> np.ndarray:
        """Return the mean risk [p], ∞ where a run has diverged."""
        return self.values.mean(axis=0)

    def median(self) -> np.ndarray:
        """Return the risk that half of the runs stay below [p]."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> np.ndarray:
        """Return a quantile of the risks [p], q in [0, 1], interpolated between runs: ∞ beside one that diverged."""
        return quantile_of(self.values, q)

    def standard_error(self) -> np.ndarray:
        """Return the standard error of the mean [p], ∞ where a run has diverged."""
        return _standard_error(self.values, 1)

    def interval(
        self, level: float = 0.95, *, method: str = "t", statistic: str = "mean"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends (low [p], high [p]) of an interval at each step.

        Args:
            level: confidence in (0, 1), at each step on its own.
            method: for the mean: ``"t"``, Student's, or ``"bootstrap"``, which resamples whole runs and studentises the
                logarithm of the mean (Hall 1988, doi:10.1214/aos/1176350933), better where few runs carry the mean;
                with fewer than 5 runs, which say too little to be resampled, it is Student's of that logarithm.
            statistic: ``"mean"``, or ``"median"``: order statistics, valid for any law, at least ``level``.

        Both intervals of the mean presume that the risk has a variance over runs: with ``design="student"`` and no
        ``reward`` it has none, neither covers as it says, and medians and quantiles are what can be told.

        Where a run has diverged the mean is ∞ and its interval (−∞, ∞), by either method. The interval of the median
        counts diverged runs as the largest: its ends are finite as long as the runs of that order are.

        Raises:
            UserError: for what is no level, fewer than two runs, or too few for a median at this level.
        """
        _checked(level, self.runs)
        one_of(method, "method", ("t", "bootstrap"))
        one_of(statistic, "statistic", STATISTICS)
        if statistic == "median":
            return _median_interval(self.values, level)
        if method == "bootstrap":
            return _bootstrap(self.values, level, self.key)
        return _student(self.mean(), self.standard_error(), self.runs - 1, level)

    def controlled(self, other: RiskEstimate) -> ControlledEstimate:
        """Return the mean with a control variate: an estimate whose exact mean tells how lucky the draw was.

        Args:
            other: an estimate with ``exact`` from the same random numbers (the same ``rng``, runs and steps, and
                ``method="vectors"``), such as ``sgd`` beside ``one-query``, or this one itself.

        Raises:
            UserError: when the random numbers, runs or steps differ, or no exact mean is known.
        """
        if instance(other, "other", RiskEstimate).exact is None:
            raise UserError(
                "the exact mean of the control is not known.", came=other.update.rule, expected="one with exact"
            )
        same = self.key is not None and self.key == other.key and self.values.shape == other.values.shape
        if not same or not np.array_equal(self.steps, other.steps):
            raise UserError(
                "the control has not seen the same random numbers.",
                came="another rng, method, number of runs, or other steps",
                expected='the same rng (a number), runs, record, and method="vectors"',
            )
        if self.runs < 4:
            raise UserError("so few runs give no slope.", came=f"{self.runs} runs", expected="at least 4")
        return ControlledEstimate(self, other)


@dataclass(frozen=True, eq=False)
class ControlledEstimate:
    """The mean of an estimate after regression on a control whose mean is known: r̂ − b (ĉ − c).

    b is the slope of runs on runs at each step (Lavenberg and Welch 1981, doi:10.1287/mnsc.27.3.322). That it is
    estimated brings a bias of order 1/runs, below the standard error, which is of order 1/√runs.
    """

    estimate: RiskEstimate
    control: RiskEstimate

    @property
    def steps(self) -> np.ndarray:
        """Recorded steps [p]."""
        return self.estimate.steps

    @property
    def coefficient(self) -> np.ndarray:
        """The slope b [p], 0 where the control does not vary."""
        y, x = _finite(self.estimate.values), _finite(self.control.values)
        x = x - x.mean(axis=0)
        square = (x**2).sum(axis=0)
        return np.divide((x * y).sum(axis=0), square, out=np.zeros(len(square)), where=square > 0)

    def _adjusted(self) -> np.ndarray:
        assert self.control.exact is not None
        shift = self.coefficient * (_finite(self.control.values) - self.control.exact)
        return np.where(np.isfinite(self.estimate.values).all(axis=0), self.estimate.values - shift, np.inf)

    def mean(self) -> np.ndarray:
        """Return the mean risk [p]."""
        return self._adjusted().mean(axis=0)

    def median(self) -> np.ndarray:
        """Return the median of the estimate's own runs [p]: the regression corrects the mean, not single runs."""
        return self.estimate.median()

    def quantile(self, q: float) -> np.ndarray:
        """Return a quantile of the estimate's own runs [p], as :meth:`RiskEstimate.quantile` does."""
        return self.estimate.quantile(q)

    def standard_error(self) -> np.ndarray:
        """Return the standard error of that mean [p]."""
        return _standard_error(self._adjusted(), 2)

    @property
    def reduction(self) -> np.ndarray:
        """By which factor the variance of the mean has fallen [p]: as if so many times more runs had been made."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.estimate.standard_error() / self.standard_error()) ** 2
        return np.where(np.isnan(found), 1.0, found)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends (low [p], high [p]) of Student's interval, runs − 2 degrees of freedom.

        (−∞, ∞) where a run of the estimate has diverged; where one of the control has, it is not used.
        """
        _checked(level, self.estimate.runs)
        return _student(self.mean(), self.standard_error(), self.estimate.runs - 2, level)


def _checked(level: float, runs: int) -> None:
    if not number(level) or not 0 < level < 1:
        raise UserError("there is no such level.", came=repr(level), expected="a number between 0 and 1")
    if runs < 2:
        raise UserError("one run has no interval.", came=f"{runs} run", expected="at least 2 runs")


def _finite(values: np.ndarray) -> np.ndarray:
    """Values [runs, p] with 0 in the columns that hold something infinite."""
    return np.where(np.isfinite(values).all(axis=0), values, 0.0)


def _standard_error(values: np.ndarray, lost: int) -> np.ndarray:
    if len(values) <= lost:
        return np.full(values.shape[1], np.inf)
    there = np.isfinite(values).all(axis=0)
    centred = np.where(there, values, 0.0)
    centred = centred - centred.mean(axis=0)
    found = np.sqrt((centred**2).sum(axis=0) / (len(values) - lost) / len(values))
    return np.where(there, found, np.inf)


def _student(mean: np.ndarray, error: np.ndarray, degrees: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    half = stats.t.ppf(0.5 + level / 2, degrees) * error
    there = np.isfinite(error)
    middle = np.where(there, mean, 0.0)
    return middle - half, middle + half


def _median_interval(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends x₍ᵢ₎, x₍ₙ₊₁₋ᵢ₎ with the largest i such that P(B < i) ≤ (1 − level)/2, B binomial(n, ½)."""
    runs = len(values)
    place = int(stats.binom.ppf((1 - level) / 2, runs, 0.5))
    if place == 0:
        needed = int(np.ceil(1 - np.log2(1 - level)))
        raise UserError("so few runs give no such interval.", came=f"{runs} runs", expected=f"at least {needed}")
    ordered = np.sort(values, axis=0)
    return ordered[place - 1], ordered[runs - place]


def _bootstrap(values: np.ndarray, level: float, key: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of the mean; the resampling of this room is of logarithms, so that no end is below 0."""
    mean, error = values.mean(axis=0), _standard_error(values, 1)
    there = np.isfinite(error)
    low, high = np.where(there, mean, -np.inf), np.where(there, mean, np.inf)
    varies = there & (error > 1e-12 * np.where(there, mean, 1.0))
    if varies.any():
        again = _studentised(values[:, varies] / mean[varies], _RESAMPLES, key or 0)
        with np.errstate(over="ignore"):
            low[varies], high[varies] = mean[varies] * np.exp(again.studentised(np.zeros(varies.sum()), level))
    return low, high


def _studentised(values: np.ndarray, resamples: int, rng: int) -> Resampled:
    """Return what ``resample`` finds of the logarithm of each mean, which is 1 here, from moments of all at once.

    The squares are columns of their own: spreads then are sums that are drawn together with the means, some hundred
    times faster for many columns than residuals of each.
    """
    runs, columns = values.shape
    squares = (values - 1) ** 2
    logs = resample([np.hstack([values, squares])], np.empty((0, 2 * columns)), "mean", resamples, rng).logs
    second, logs = np.exp(logs[:, columns:]), logs[:, :columns]
    spreads = second - np.expm1(logs) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = logs * np.exp(logs) / np.sqrt(spreads / (runs - 1))
    deviations[~(spreads > 1e-9 * second)] = np.nan  # the same run again and again
    degrees = np.full(columns, runs - 1.0)
    return Resampled(logs, np.sqrt(squares.sum(axis=0) / (runs * degrees)), degrees, deviations, runs)
