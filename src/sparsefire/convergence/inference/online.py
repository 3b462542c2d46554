"""Intervals from one long run: averages of dependent iterates, by batch means or by random scaling.

With a constant step size the iterates θ_1, θ_2, … of stochastic gradient descent or of dropout forget their start
geometrically and settle in a stationary law; their Ruppert-Polyak average is asymptotically normal with the long-run
covariance Σ = Σ_h Cov(θ_0, θ_h) over K, from any start (Li, Schmidt-Hieber, Wu 2024, arXiv:2409.07434, for dropout).
Here Σ is estimated from the run itself:

- batch means: means of long batches that do not overlap are nearly independent and normal; Student's t;
- random scaling (Lee, Liao, Seo, Shin 2022, arXiv:2106.03156): the fluctuation of the running average scales the error
  away, so that no batch length has to be chosen; wider intervals, from the law of :func:`random_scaling_quantile`.

What is covered is the mean of the stationary law, which differs from a minimum by a bias of the order of the step size
unless the problem is linear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from scipy import integrate, optimize, special

from sparsefire.convergence._inputs import confidence, floats, whole, within
from sparsefire.errors import Diverged, UserError

BATCHES = 32


@dataclass(frozen=True, eq=False)
class BatchMeans:
    """The average of a run with the means of its batches.

    Attributes:
        average: of all iterates after the burn-in, float64 [...].
        batches: means of batches of ``length`` iterates, in order, float64 [m, ...].
        length: iterates per batch.
        steps: iterates in the average.
    """

    average: np.ndarray
    batches: np.ndarray = field(repr=False)
    length: int
    steps: int

    def mean(self) -> np.ndarray:
        """Return the average, float64 [...]."""
        return self.average

    def long_run_covariance(self) -> np.ndarray:
        """Return the estimate of Σ, float64 [..., d, d] over the last axis: length · covariance of the batch means.

        Its rank is at most m - 1.
        """
        rest = self.batches - self.batches.mean(0)
        if rest.ndim == 1:
            rest = rest[:, None]
        return self.length * np.einsum("m...i,m...j->...ij", rest, rest) / (len(rest) - 1)

    def covariance(self) -> np.ndarray:
        """Return the covariance of the average, Σ over the number of iterates, float64 [..., d, d]."""
        return self.long_run_covariance() / self.steps

    def standard_error(self) -> np.ndarray:
        """Return the standard error of the average by coordinate, float64 [...]."""
        return np.sqrt(self.length * self.batches.var(0, ddof=1) / self.steps)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) by coordinate, float64 [...]: Student's t with m - 1 degrees of freedom."""
        half = special.stdtrit(len(self.batches) - 1, (1 + confidence(level)) / 2) * self.standard_error()
        return self.average - half, self.average + half


def batch_means(iterates: Any, *, length: int | None = None, batches: int = BATCHES, burn_in: int = 0) -> BatchMeans:
    """Return the average of a run and its interval from batches that do not overlap.

    Args:
        iterates: float64 [K, ...], one row per step: a number, a vector of parameters, or many runs at once.
        length: iterates per batch, far more than it takes to forget (correlations below a few per cent); by default
            what divides the run into ``batches`` parts. Iterates after the last full batch count in the average only.
        batches: number of batches when no length is given, 2 or more.
        burn_in: iterates to leave out at the beginning.

    Raises:
        Diverged: iterates that are not finite; UserError: fewer than 2 batches.

    >>> draws = np.random.default_rng(0).normal(size=20_000)
    >>> walk = np.zeros(20_000)
    >>> for k in range(1, 20_000):
    ...     walk[k] = 0.9 * walk[k - 1] + draws[k]
    >>> found = batch_means(walk, length=500)
    >>> low, high = found.interval()
    >>> bool(low < 0 < high), 60 < found.long_run_covariance().item() < 160  # exact: 1 / (1 - 0.9)² = 100
    (True, True)
    """
    theta = _iterates(iterates, burn_in)
    length = len(theta) // whole(batches, "batches", 2) if length is None else whole(length, "length", 1)
    count = len(theta) // length if length else 0
    if count < 2:
        raise UserError(
            "one batch has no spread.",
            came=f"{len(theta)} iterates, {count} batches of {length}",
            expected="2 batches or more, better 20",
        )
    parts = theta[: count * length].reshape(count, length, *theta.shape[1:]).mean(1)
    return BatchMeans(theta.mean(0), parts, length, len(theta))


class OnlineInterval:
    """The average of a run and its interval while it runs, in memory that does not depend on its length.

    Args:
        batches: half of the most batches kept, 8 or more.
        burn_in: iterates to leave out at the beginning.

    Batches grow: they begin with 1 iterate each, and whenever there are 2 · ``batches`` of them, neighbours are merged
    in pairs and the length doubles. So there are between ``batches`` and 2 · ``batches`` batches of equal length, about
    K / (1.5 · ``batches``) iterates, and memory for that many iterates. With a number of batches that stays bounded the
    interval needs only that long batches become normal and independent, not that Σ is estimated consistently.

    An iterate that is not finite is told when a mean or an interval is asked for, by ``Diverged``.

    >>> running = OnlineInterval()
    >>> for theta in np.random.default_rng(0).normal(size=(1000, 2)):
    ...     running.update(theta)
    >>> low, high = running.interval()
    >>> running.batch_means().length, bool((low < 0).all() and (high > 0).all())
    (16, True)
    """

    def __init__(self, batches: int = BATCHES, *, burn_in: int = 0) -> None:
        self._most = 2 * whole(batches, "batches", 8)
        self._skip = whole(burn_in, "burn_in", 0)
        self.steps = 0  # iterates in the average
        self._length = 1
        self._full = 0
        self._in_part = 0
        self._sums = np.empty(0)
        self._part = np.empty(0)
        self._total = np.empty(0)
        self._origin = np.empty(0)

    def update(self, theta: Any) -> None:
        """Take the next iterate, float64 [...], always of the same shape."""
        if self._skip:
            self._skip -= 1
            return
        theta = floats(theta, "theta")
        if not self.steps:
            self._origin = theta.copy()  # sums of differences from here lose no digits to a large mean
            self._sums = np.zeros((self._most, *theta.shape))
            self._part, self._total = np.zeros_like(theta), np.zeros_like(theta)
        elif theta.shape != self._origin.shape:
            raise UserError("iterates change shape.", came=str(theta.shape), expected=str(self._origin.shape))
        self.steps += 1
        self._part += theta - self._origin
        self._in_part += 1
        if self._in_part == self._length:
            self._close()

    def _close(self) -> None:
        self._sums[self._full] = self._part
        self._total += self._part
        self._part = np.zeros_like(self._part)
        self._full, self._in_part = self._full + 1, 0
        if self._full == self._most:
            half = self._most // 2
            self._sums[:half] = self._sums[0::2] + self._sums[1::2]
            self._full, self._length = half, 2 * self._length

    def batch_means(self) -> BatchMeans:
        """Return what is known so far; a batch that has only begun counts in the average, not in the spread."""
        if self._full < 2:
            raise UserError(
                "there is no interval yet.",
                came=f"{self.steps} iterates after the burn-in",
                expected="2 or more",
            )
        means = _converged(self._origin + self._sums[: self._full] / self._length)
        return BatchMeans(self.mean(), means, self._length, self.steps)

    def mean(self) -> np.ndarray:
        """Return the Ruppert-Polyak average so far, float64 [...]."""
        if not self.steps:
            raise UserError("there is no average yet.", came="no iterates after the burn-in", expected="1 or more")
        return _converged(self._origin + (self._total + self._part) / self.steps)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) by coordinate, float64 [...]; see :meth:`BatchMeans.interval`."""
        return self.batch_means().interval(level)

    def covariance(self) -> np.ndarray:
        """Return the covariance of the average, float64 [..., d, d]."""
        return self.batch_means().covariance()


class RandomScaling:
    """The average of a run with the self-normalised interval, in memory of three iterates.

    V = K⁻² Σ_s s² (θ̄_s - θ̄_K)² over running averages; the interval is θ̄_K ± q √(V / K) with q from
    :func:`random_scaling_quantile` (Lee, Liao, Seo, Shin 2022, arXiv:2106.03156). Begin after the transient: a start
    far away enters V for a long time, and makes the interval longer. An iterate that is not finite is told when a mean
    or an interval is asked for, by ``Diverged``.

    Args:
        burn_in: iterates to leave out at the beginning.

    >>> running = RandomScaling()
    >>> for theta in np.random.default_rng(0).normal(size=500):
    ...     running.update(theta)
    >>> low, high = running.interval()
    >>> bool(low < 0 < high)
    True
    """

    def __init__(self, *, burn_in: int = 0) -> None:
        self._skip = whole(burn_in, "burn_in", 0)
        self.steps = 0
        self._sum = np.empty(0)
        self._cross = np.empty(0)
        self._square = np.empty(0)
        self._origin = np.empty(0)

    def update(self, theta: Any) -> None:
        """Take the next iterate, float64 [...], always of the same shape."""
        if self._skip:
            self._skip -= 1
            return
        theta = floats(theta, "theta")
        if not self.steps:
            self._origin = theta.copy()
            self._sum, self._cross, self._square = (np.zeros_like(theta) for _ in range(3))
        elif theta.shape != self._origin.shape:
            raise UserError("iterates change shape.", came=str(theta.shape), expected=str(self._origin.shape))
        self.steps += 1
        self._sum += theta - self._origin  # s θ̄_s
        self._cross += self.steps * self._sum
        self._square += self._sum**2

    def mean(self) -> np.ndarray:
        """Return the Ruppert-Polyak average so far, float64 [...]."""
        if not self.steps:
            raise UserError("there is no average yet.", came="no iterates after the burn-in", expected="1 or more")
        return _converged(self._origin + self._sum / self.steps)

    def scale(self) -> np.ndarray:
        """Return √(V / K) by coordinate, float64 [...]. It is no standard error: its law does not concentrate."""
        if self.steps < 2:
            raise UserError("there is no interval yet.", came=f"{self.steps} iterates", expected="2 or more")
        n = float(self.steps)
        mean = self._sum / n
        squares = self._square - 2 * mean * self._cross + mean**2 * (n * (n + 1) * (2 * n + 1) / 6)
        return np.sqrt(np.maximum(_converged(squares), 0.0) / n**3)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) by coordinate, float64 [...]."""
        half = random_scaling_quantile((1 + confidence(level)) / 2) * self.scale()
        return self.mean() - half, self.mean() + half


def random_scaling(iterates: Any, *, burn_in: int = 0) -> RandomScaling:
    """Return the average of a run and its self-normalised interval; see :class:`RandomScaling`.

    Args:
        iterates: float64 [K, ...], one row per step.
        burn_in: iterates to leave out at the beginning.

    >>> found = random_scaling([[1.0], [3.0], [2.0], [2.0]])
    >>> found.mean().tolist(), found.scale().round(6).tolist()
    ([2.0], [0.125])
    """
    theta = _iterates(iterates, burn_in)
    found = RandomScaling()
    if len(theta):
        n = np.arange(1.0, len(theta) + 1).reshape(-1, *[1] * (theta.ndim - 1))
        sums = np.cumsum(theta - theta[0], axis=0)
        found.steps, found._origin, found._sum = len(theta), theta[0].copy(), sums[-1]
        found._cross, found._square = (n * sums).sum(0), (sums**2).sum(0)
    return found


@cache
def random_scaling_quantile(q: float) -> float:
    """Return the quantile of B(1) / √∫(B(t) - t B(1))² dt, B a Brownian motion, for q in (1/2, 1).

    B(1) is independent of the bridge, ∫ bridge² has the transform E e^(-sU) = (√(2s) / sinh √(2s))^(1/2), and the
    tail of a square of a normal variable is an integral of exponentials, so that

        P(|T| > t) = (2/π) ∫_0^(π/2) (y / sinh y)^(1/2) dφ,   y = t / sin φ,

    which is solved for t. Tabulated by simulation in Lee et al. 2022.

    >>> round(random_scaling_quantile(0.975), 3), round(random_scaling_quantile(0.95), 3)
    (6.747, 5.323)
    """
    within(q, "the quantile", 0.5, 1.0, "a number in (1/2, 1)")
    return float(optimize.brentq(lambda t: _tail(t) - 2 * (1 - q), 0.0, 1e4, xtol=1e-12, rtol=1e-13))


def _tail(t: float) -> float:
    if t == 0:
        return 1.0

    def share(phi: float) -> float:
        y = t / np.sin(phi)
        return float(np.exp(0.5 * (np.log(2 * y) - y - np.log1p(-np.exp(-2 * y)))))  # (y / sinh y)^(1/2), no overflow

    return 2 / np.pi * integrate.quad(share, 0.0, np.pi / 2, epsabs=1e-13, epsrel=1e-11, limit=200)[0]


def _iterates(iterates: Any, burn_in: int) -> np.ndarray:
    theta = floats(iterates, "the run")
    if theta.ndim < 1:
        raise UserError("a run is a row of iterates.", came=f"shape {theta.shape}", expected="[steps, ...]")
    return _converged(theta[whole(burn_in, "burn_in", 0) :])


def _converged(values: np.ndarray) -> np.ndarray:
    """Return values that are all finite, as those of one run that has diverged are not."""
    if not np.isfinite(values).all():
        raise Diverged("the run diverged.", came="iterates that are not finite", expected="finite numbers")
    return values
