"""What every solver returns: the law of the number of active units at the end of a cascade."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.statistics.intervals import confidence_checked


@dataclass(frozen=True, eq=False, repr=False)
class SizeDistribution:
    """The law of the final size C of a cascade on n units.

    Attributes:
        pmf: P(C = k), float64 [n + 1].
        log_pmf: its natural logarithm [n + 1], -inf where impossible; finite also where ``pmf`` is too small a number.
        method: how it was found.
        samples: how many runs stand behind it, None if it is exact or an approximation without sampling.
        band: lower and upper limits of the cdf by 95% simultaneous confidence [n + 1] each, None without sampling.

    >>> law = SizeDistribution.from_pmf([0.5, 0.25, 0.25], "exact")
    >>> law.mean(), law.quantile(0.5), law.survival.tolist()
    (0.75, 0, [0.5, 0.25, 0.0])
    """

    pmf: np.ndarray
    log_pmf: np.ndarray
    method: str
    samples: int | None = None
    band: tuple[np.ndarray, np.ndarray] | None = None

    @staticmethod
    def from_pmf(pmf: Any, method: str) -> SizeDistribution:
        """Make a law from P(0) … P(n)."""
        values = np.array(pmf, dtype=np.float64)
        wrong = np.flatnonzero(~(values >= 0)) if values.ndim == 1 else np.zeros(1, dtype=np.int64)
        if len(wrong) or not len(values):
            at = int(wrong[0]) if len(wrong) else 0
            raise UserError(
                "a law is a row of probabilities.",
                came=f"{values[at]} in entry {at}" if values.ndim == 1 and len(values) else f"shape {values.shape}",
                expected="numbers of 0 or more [n + 1]",
            )
        if not abs(values.sum() - 1) <= 1e-6:
            raise UserError(
                "a law adds up to 1.", came=f"probabilities that add up to {values.sum():.6g}", expected="1"
            )
        with np.errstate(divide="ignore"):
            return _frozen(values, np.log(values), method)

    @staticmethod
    def from_log_pmf(log_pmf: Any, method: str) -> SizeDistribution:
        """Make a law from log P(0) … log P(n)."""
        values = np.array(log_pmf, dtype=np.float64)
        if values.ndim != 1 or not len(values) or np.isnan(values).any():
            raise UserError(
                "a law is a row of logarithms of probabilities.", came=f"shape {values.shape}, or nan in it"
            )
        return _frozen(np.exp(values), values, method)

    @staticmethod
    def from_samples(sizes: Any, units: int, method: str = "monte-carlo", level: float = 0.95) -> SizeDistribution:
        """Make the empirical law of observed sizes, with a band for its cdf.

        The band is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (doi:10.1214/aop/1176990746):
        cdf ± sqrt(log(2 / (1 - level)) / (2 samples)), valid for all sizes at once.

        Args:
            sizes: whole numbers in 0 … units [samples].
            units: how many units there are.
            method: what to call it.
            level: confidence of the band, in (0, 1).

        Raises:
            UserError: no sizes, or one that is not in 0 … units.

        >>> law = SizeDistribution.from_samples([0, 1, 1, 3], units=3)
        >>> law.pmf.tolist(), law.samples
        ([0.25, 0.5, 0.0, 0.25], 4)
        """
        return SizeDistribution.from_counts(
            np.bincount(checked_sizes(sizes, units), minlength=units + 1), method, level
        )

    @staticmethod
    def from_counts(counts: Any, method: str = "monte-carlo", level: float = 0.95) -> SizeDistribution:
        """Make the empirical law from how many runs ended with 0 … n active units, as :meth:`from_samples`.

        >>> SizeDistribution.from_counts([1, 2, 0, 1]).pmf.tolist()
        [0.25, 0.5, 0.0, 0.25]
        """
        given = np.asarray(counts)
        if given.ndim != 1 or given.dtype.kind not in "iu" or (given < 0).any():
            raise UserError("counts are whole numbers, 0 or more.", came=f"{given.dtype} of shape {given.shape}")
        runs = int(np.sum(given))
        if not runs:
            raise UserError("a law of no samples is unknown.", came="0 sizes", expected="1 or more")
        band = _band(np.cumsum(counts) / runs, runs, level)
        pmf = np.asarray(counts) / runs
        with np.errstate(divide="ignore"):
            return _frozen(pmf, np.log(pmf), method, runs, band)

    def __repr__(self) -> str:
        runs = "" if self.samples is None else f", {self.samples:,} samples"
        return f"SizeDistribution({len(self.pmf) - 1:,} units, mean {self.mean():.6g}, {self.method}{runs})"

    @property
    def support(self) -> np.ndarray:
        """The sizes 0 … n, int64 [n + 1]."""
        return np.arange(len(self.pmf))

    @property
    def cdf(self) -> np.ndarray:
        """P(C ≤ k), float64 [n + 1]."""
        return np.minimum(np.cumsum(self.pmf), 1.0)

    @property
    def survival(self) -> np.ndarray:
        """P(C > k), summed from the far end so that small ones keep their accuracy, float64 [n + 1]."""
        return np.minimum(np.append(np.cumsum(self.pmf[:0:-1])[::-1], 0.0), 1.0)

    def mean(self) -> float:
        """Return E C."""
        return float(self.support @ self.pmf)

    def variance(self) -> float:
        """Return E (C - E C)²."""
        return float((self.support - self.mean()) ** 2 @ self.pmf)

    def quantile(self, q: Any) -> Any:
        """Return the smallest k with P(C ≤ k) ≥ q: an int for a number, an array for an array.

        Args:
            q: in [0, 1].

        >>> SizeDistribution.from_pmf([0.5, 0.3, 0.2], "exact").quantile([0.1, 0.5, 0.51, 1.0]).tolist()
        [0, 0, 1, 2]
        """
        wanted = np.asarray(q, dtype=np.float64)
        wrong = wanted[~((wanted >= 0) & (wanted <= 1))]
        if wrong.size:
            raise UserError("a quantile is asked for by a fraction.", came=str(wrong[0]), expected="numbers in [0, 1]")
        cdf = self.cdf
        last = int(np.flatnonzero(self.log_pmf > -np.inf)[-1])
        cdf[:last], cdf[last:] = np.minimum(cdf[:last], np.nextafter(1.0, 0.0)), 1.0  # only the last size reaches 1
        wanted = np.where(wanted < 1, np.maximum(wanted - 4e-16, np.nextafter(0.0, 1.0)), wanted)  # forgive rounding
        steps = np.searchsorted(cdf, wanted, side="left")
        return int(steps) if wanted.ndim == 0 else steps

    def log_likelihood(self, sizes: Any) -> float:
        """Return Σ log P(C = size) over independent observed sizes; -inf if one is impossible.

        Args:
            sizes: whole numbers in 0 … n [observations].

        >>> round(SizeDistribution.from_pmf([0.5, 0.5], "exact").log_likelihood([0, 1, 1]), 4)
        -2.0794
        """
        return float(self.log_pmf[checked_sizes(sizes, len(self.pmf) - 1)].sum())

    def median(self) -> int:
        """Return the smallest k with P(C ≤ k) ≥ 1/2."""
        return int(self.quantile(0.5))

    def interval(self, level: float = 0.95, *, simultaneous: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
        """Return lower and upper limits of the cdf, [n + 1] each; None for a law that was not sampled.

        Args:
            level: confidence, in (0, 1).
            simultaneous: True for the band that holds for all sizes at once; False for limits of each size by itself
                (Clopper and Pearson), narrower where the cdf is near 0 or 1.
        """
        if self.samples is None:
            return None
        if simultaneous:
            return _band(self.cdf, self.samples, level)
        low, high = clopper_pearson(np.rint(self.cdf * self.samples), self.samples, level)
        low[-1] = 1.0
        return low, high

    def plot(self, ax: Any = None) -> Any:
        """Draw P(C > k - 1), the chance of at least k, on logarithmic axes; return the matplotlib axes.

        Raises:
            UserError: matplotlib is not installed.
        """
        if ax is None:
            try:
                pyplot = importlib.import_module("matplotlib.pyplot")
            except ImportError as error:
                raise UserError(
                    "drawing needs matplotlib.",
                    came="it is not installed",
                    attempt="pip install 'sparsefire[cascades]'",
                ) from error
            ax = pyplot.figure().subplots()
        at_least = np.append(1.0, self.survival[:-1])[1:]
        sizes = self.support[1:]
        ax.step(sizes, at_least, where="mid", label=self.method)
        if self.band is not None:
            ax.fill_between(sizes, 1 - self.band[1][:-1], 1 - self.band[0][:-1], step="mid", alpha=0.3)
        ax.set(xscale="log", yscale="log", xlabel="units", ylabel="probability of at least so many")
        return ax


def clopper_pearson(successes: Any, samples: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return exact limits of proportions (doi:10.1093/biomet/26.4.404), each valid by itself.

    Args:
        successes: whole numbers in 0 … samples, any shape.
        samples: trials behind each.
        level: confidence in (0, 1).

    >>> low, high = clopper_pearson([0, 10], 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.692], [0.308, 1.0])
    """
    tail = (1 - confidence_checked(level)) / 2
    hits = np.asarray(successes, dtype=np.float64)
    misses = samples - hits
    low = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1), misses + 1, tail), 0.0)
    high = np.where(misses > 0, special.betaincinv(hits + 1, np.maximum(misses, 1), 1 - tail), 1.0)
    return low, high


def _band(cdf: np.ndarray, runs: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    width = np.sqrt(np.log(2 / (1 - confidence_checked(level))) / (2 * runs))
    band = np.clip(cdf - width, 0, 1), np.clip(cdf + width, 0, 1)
    band[1][-1] = band[0][-1] = 1.0
    return band


def checked_sizes(sizes: Any, units: int) -> np.ndarray:
    """Return observed sizes as int64 [observations], each in 0 … units."""
    given = np.asarray(sizes)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iuf"):
        raise UserError("sizes are one whole number per run.", came=f"{given.dtype} of shape {given.shape}")
    fits = (given >= 0) & (given <= units)
    whole = np.where(fits, given, 0).astype(np.int64)
    wrong = np.flatnonzero(~fits | (whole != given))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            "a size is a count of active units.", came=f"{given[at]} in entry {at}", expected=f"0 to {units}"
        )
    return whole


def _frozen(
    pmf: np.ndarray,
    log_pmf: np.ndarray,
    method: str,
    samples: int | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
) -> SizeDistribution:
    for values in (pmf, log_pmf, *(band or ())):
        values.setflags(write=False)
    return SizeDistribution(pmf, log_pmf, method, samples, band)
