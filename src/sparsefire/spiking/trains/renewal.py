"""Renewal trains: what is known of a train from the law of one interval between its spikes.

With the hazard ρ(s) of the next spike s seconds after the last one: S(s) = exp(−∫₀ˢ ρ), density f = ρ S, mean interval
μ = ∫ S, E X² = 2 ∫ s S, firing rate 1/μ (Cox 1962, Renewal Theory; Gerstner et al. 2014, Neuronal Dynamics, ch. 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, choice, number, whole
from sparsefire.spiking.spikes import Spikes

STARTS = ("equilibrium", "spike")
MOST_DRAWN = 8_000_000  # intervals in memory at a time


class Renewal:
    """What all renewal laws can do; a law brings its hazard, three moments and its draws."""

    def hazard(self, s: Any) -> np.ndarray:
        """Return ρ(s) in Hz at ``s`` seconds after the last spike, float64 of the shape of ``s``."""
        raise NotImplementedError

    def cumulative(self, s: Any) -> np.ndarray:
        """Return ∫₀ˢ ρ, float64 of the shape of ``s``; of an interval that is a standard exponential number."""
        raise NotImplementedError

    @property
    def mean(self) -> float:
        """Mean interval in seconds."""
        raise NotImplementedError

    @property
    def variance(self) -> float:
        """Variance of the intervals, s²."""
        raise NotImplementedError

    @property
    def third(self) -> float:
        """Third central moment of the intervals, s³."""
        raise NotImplementedError

    def intervals(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw intervals in seconds."""
        raise NotImplementedError

    def recurrence(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw the times from an arbitrary moment to the next spike, whose density is S(s)/μ."""
        raise NotImplementedError

    def _excess(self, window: float) -> float:
        """Return Σ_k E (T − S_k)₊ over the sums S_k of k intervals, which is ∫₀ᵀ E N(t) dt after a spike at 0."""
        raise NotImplementedError

    def survival(self, s: Any) -> np.ndarray:
        """Return S(s), the chance of an interval above ``s`` seconds."""
        return np.exp(-self.cumulative(s))

    def density(self, s: Any) -> np.ndarray:
        """Return f(s) = ρ(s) S(s) in Hz."""
        return self.hazard(s) * self.survival(s)

    @property
    def cv(self) -> float:
        """Coefficient of variation of the intervals."""
        return float(np.sqrt(self.variance) / self.mean)

    @property
    def rate(self) -> float:
        """Firing rate in Hz."""
        return 1.0 / self.mean

    def fano(self, window: Any) -> Any:
        """Return variance over mean of the number of spikes in windows of the stationary train.

        Var N = (2/μ) Σ_k E (T − S_k)₊ + T/μ − (T/μ)² (Cox 1962, section 4.5): the sum is closed for
        :class:`PoissonDeadTime` and :class:`GammaRenewal`, where this is exact.

        Args:
            window: seconds, above 0; a number or an array.

        Returns:
            A float, or float64 of the shape of ``window``.
        """
        lengths = array("windows", window)
        if not lengths.size or not np.isfinite(lengths).all() or lengths.min() <= 0:
            raise UserError("a window is a number of seconds.", came=repr(window), expected="above 0")
        found = np.array([self._fano(float(t)) for t in lengths.ravel()]).reshape(lengths.shape)
        return found if found.ndim else float(found)

    def _fano(self, window: float) -> float:
        return 1.0 + 2.0 * self._excess(window) / window - window / self.mean

    def sample(self, duration: float, n_trains: int = 1, *, rng: Any = None, start: str = "equilibrium") -> Spikes:
        """Draw independent trains, one for each unit.

        Args:
            duration: seconds, above 0.
            n_trains: how many.
            rng: see :func:`sparsefire.randomness.entropy`.
            start: ``"equilibrium"``: the recording begins at an arbitrary moment, so that the train is stationary;
                ``"spike"``: just after a spike, which itself is not recorded.

        Returns:
            Spikes of ``n_trains`` units.
        """
        length, trains = number("a duration", duration, unit="seconds"), whole("n_trains", n_trains)
        choice("start", start, STARTS)
        generator = stream(rng, "renewal trains")
        expected = length / self.mean
        columns = int(expected + 6 * self.cv * np.sqrt(expected + 1)) + 8
        at_once = max(1, MOST_DRAWN // columns)
        times, units = [], []
        for lowest in range(0, trains, at_once):
            count = min(at_once, trains - lowest)
            drawn = self.intervals(generator, (count, columns))
            if start == "equilibrium":
                drawn[:, 0] = self.recurrence(generator, count)
            when = np.cumsum(drawn, axis=1)
            who = np.arange(lowest, lowest + count)
            while True:
                kept = when <= length
                times.append(when[kept])
                units.append(np.repeat(who, kept.sum(axis=1)))
                unfinished = kept[:, -1]
                if not unfinished.any():
                    break
                who, last = who[unfinished], when[unfinished, -1:]
                when = last + np.cumsum(self.intervals(generator, (len(who), columns)), axis=1)
        return Spikes.sorted_from(np.concatenate(times), np.concatenate(units), trains, length)


@dataclass(frozen=True)
class PoissonDeadTime(Renewal):
    """A Poisson train with a dead time after each spike: X = t_r + Exp(λ).

    Rate λ/(1 + λ t_r), CV = 1/(1 + λ t_r), Fano factor CV² in long windows.

    Args:
        intensity: λ in Hz outside the dead time, above 0.
        dead_time: t_r in seconds, 0 for a Poisson train.

    >>> law = PoissonDeadTime(intensity=50.0, dead_time=5e-3)
    >>> round(law.rate, 9), round(law.cv, 9), round(law.fano(5.0), 4)
    (40.0, 0.8, 0.6402)
    >>> law.sample(10.0, 3, rng=0).n_units
    3
    """

    intensity: float
    dead_time: float = 0.0

    def __post_init__(self) -> None:
        number("an intensity", self.intensity, unit="Hz")
        number("a dead time", self.dead_time, zero=True, unit="seconds")

    def hazard(self, s: Any) -> np.ndarray:
        """Return λ after the dead time, 0 within it."""
        return np.where(array("times", s) >= self.dead_time, self.intensity, 0.0)

    def cumulative(self, s: Any) -> np.ndarray:
        """Return λ (s − t_r)₊."""
        return self.intensity * np.maximum(array("times", s) - self.dead_time, 0.0)

    @property
    def mean(self) -> float:
        """t_r + 1/λ."""
        return self.dead_time + 1.0 / self.intensity

    @property
    def variance(self) -> float:
        """1/λ²."""
        return self.intensity**-2.0

    @property
    def third(self) -> float:
        """2/λ³."""
        return 2.0 * self.intensity**-3.0

    def intervals(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw t_r + Exp(λ)."""
        drawn = generator.standard_exponential(shape)
        drawn /= self.intensity
        drawn += self.dead_time
        return drawn

    def recurrence(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw from S(s)/μ: uniform on the dead time with chance t_r/μ, else t_r + Exp(λ)."""
        within = generator.random(count) < self.dead_time / self.mean
        later = self.dead_time + generator.standard_exponential(count) / self.intensity
        return np.where(within, self.dead_time * generator.random(count), later)

    def _excess(self, window: float) -> float:
        k = np.arange(1, _terms(self, window) + 1)
        left = self.intensity * (window - k * self.dead_time)
        k, left = k[left > 0], left[left > 0]
        return float(np.sum(left * special.gammainc(k, left) - k * special.gammainc(k + 1, left))) / self.intensity


@dataclass(frozen=True)
class GammaRenewal(Renewal):
    """A train whose intervals have the gamma law of mean 1/rate and CV = shape^(−1/2).

    Fano factor CV² + (1 − CV⁴)/(6 rate T) + … in long windows T.

    Args:
        shape: g above 0; 1 is Poisson, above 1 regular, below 1 bursts.
        firing_rate: in Hz.

    >>> law = GammaRenewal(shape=4.0, firing_rate=20.0)
    >>> law.cv, round(law.fano(5.0), 5)  # 100 spikes in the mean
    (0.5, 0.25156)
    """

    shape: float
    firing_rate: float

    def __post_init__(self) -> None:
        number("a shape", self.shape)
        number("a firing rate", self.firing_rate, unit="Hz")

    @property
    def _scale(self) -> float:
        return 1.0 / (self.shape * self.firing_rate)

    def hazard(self, s: Any) -> np.ndarray:
        """Return f/S; without cancellation, but infinite at 0 for shapes below 1."""
        x = array("times", s) / self._scale
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            logs = special.xlogy(self.shape - 1, x) - x - special.gammaln(self.shape)
            found = np.exp(logs - np.log(special.gammaincc(self.shape, x))) / self._scale
            # S underflows: the continued fraction S ≈ f (1 + (g−1)/x …) tells the rest
            far = np.minimum(1.0, 1.0 - (self.shape - 1) / np.maximum(x, 1.0)) / self._scale
        return np.where(x > 600 + 4 * self.shape, far, found)

    def cumulative(self, s: Any) -> np.ndarray:
        """Return −log Γ(g, x)/Γ(g)."""
        x = array("times", s) / self._scale
        with np.errstate(divide="ignore"):
            found = -np.log(special.gammaincc(self.shape, x))
            far = x + special.gammaln(self.shape) - special.xlogy(self.shape - 1, np.maximum(x, 1.0))
        return np.where(x > 600 + 4 * self.shape, far, found)

    @property
    def mean(self) -> float:
        """1/rate."""
        return 1.0 / self.firing_rate

    @property
    def variance(self) -> float:
        """g scale²."""
        return self.shape * self._scale**2

    @property
    def third(self) -> float:
        """2 g scale³."""
        return 2.0 * self.shape * self._scale**3

    def intervals(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw gamma numbers."""
        return generator.standard_gamma(self.shape, shape) * self._scale

    def recurrence(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw a uniform share of an interval that was met by its length, gamma of shape g + 1."""
        return generator.random(count) * generator.standard_gamma(self.shape + 1, count) * self._scale

    def _excess(self, window: float) -> float:
        k, x = self.shape * np.arange(1, _terms(self, window) + 1), window / self._scale
        return float(np.sum(x * special.gammainc(k, x) - k * special.gammainc(k + 1, x))) * self._scale


def _terms(law: Renewal, window: float) -> int:
    """Return a k beyond which the chance of k intervals within the window is below rounding."""
    expected = window / law.mean
    return int(expected + 12 * max(law.cv, 0.05) * np.sqrt(expected + 1) + 12 * max(law.cv, 1.0) ** 2 * 10) + 40
