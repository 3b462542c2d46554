"""The law of a pre-activation on a grid of log |h|: what density evolution returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import interpolate

from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False, repr=False)
class SignalLaw:
    """The law of a pre-activation h, symmetric around 0.

    Attributes:
        grid: |h| > 0 in equal steps of its logarithm, float64 [N].
        mass: P(|h| near each of them), float64 [N]; with the atom it adds up to 1.
        below: P(0 < |h| ≤ each of them), float64 [N].
        atom: P(h = 0), without grid.
        moments: E h² and E h⁴, by recursion and not from the grid.
        beyond: bound of P(|h| > last of the grid), which is counted to it.
        error: largest difference of the distribution function from that with half as many points, whose error it is.
    """

    grid: np.ndarray
    mass: np.ndarray
    below: np.ndarray
    atom: float
    moments: tuple[float, float]
    beyond: float
    error: float = 0.0

    def __repr__(self) -> str:
        return f"SignalLaw(variance {self.variance():.6g}, kurtosis {self.kurtosis():.6g}, dead {self.atom:.6g})"

    def mean(self) -> float:
        """Return E h = 0."""
        return 0.0

    def variance(self) -> float:
        """Return E h²."""
        return self.moments[0]

    def kurtosis(self) -> float:
        """Return E h⁴ / (E h²)²; nan if all is dead."""
        second, fourth = self.moments
        return fourth / second**2 if second > 0 else float("nan")

    def dead(self) -> float:
        """Return P(h = 0): the share of units that no live input reaches."""
        return self.atom

    def median(self) -> float:
        """Return the median, 0."""
        return 0.0

    def cdf(self, x: Any) -> np.ndarray:
        """Return P(h ≤ x), of the shape of ``x``."""
        x = np.asarray(x, dtype=np.float64)
        half = (self.atom + self.within(np.abs(x))) / 2
        return np.where(x < 0, 0.5 - half, 0.5 + half)[()]

    def density(self, x: Any) -> np.ndarray:
        """Return the density at x ≠ 0, of the shape of ``x``; 0 beyond the grid."""
        size = np.abs(np.asarray(x, dtype=np.float64))
        if len(self.grid) < 2:
            return np.zeros(size.shape)[()]
        logs = np.clip(self._logs(size), *self._ends)
        found = self._slope(logs) / (2 * np.exp(logs))  # constant below the grid
        return np.where(size > self.grid[-1], 0.0, np.maximum(found, 0.0))[()]

    def quantile(self, q: Any) -> np.ndarray:
        """Return the smallest x with P(h ≤ x) ≥ q, of the shape of ``q``.

        Args:
            q: in [0, 1].
        """
        q = np.asarray(q, dtype=np.float64)
        if not ((q >= 0) & (q <= 1)).all():
            raise UserError("a quantile is asked for by a fraction.", came=repr(q)[:80], expected="numbers in [0, 1]")
        wanted = np.maximum(abs(2 * q - 1) - self.atom, 0.0)
        if len(self.grid) < 2:
            return np.zeros(q.shape)[()]
        low, high = np.full(q.shape, self._ends[0]), np.full(q.shape, self._ends[1])
        for _ in range(60):
            middle = (low + high) / 2
            enough = self._spline(middle) >= wanted
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        first = self.below[0]
        size = np.where(wanted <= first, self.grid[0] * wanted / max(first, 1e-300), np.exp(high))
        size = np.where(abs(2 * q - 1) >= 1, np.inf, size)
        return (np.sign(2 * q - 1) * size)[()]

    def expectation(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return E f(h) over the grid; f should not grow faster than the tail allows, see ``beyond``."""
        both = np.asarray(function(self.grid)) + np.asarray(function(-self.grid))
        return float(self.mass @ both / 2 + self.atom * np.asarray(function(np.zeros(1)))[0])

    def within(self, size: Any) -> np.ndarray:
        """Return P(0 < |h| ≤ size)."""
        size = np.asarray(size, dtype=np.float64)
        if len(self.grid) < 2:
            return np.zeros(size.shape)
        found = np.clip(self._spline(np.clip(self._logs(size), *self._ends)), 0.0, 1 - self.atom)
        found = np.where(size < self.grid[0], self.below[0] * size / self.grid[0], found)
        return np.where(size > self.grid[-1], 1 - self.atom, found)

    @staticmethod
    def _logs(size: np.ndarray) -> np.ndarray:
        return np.log(np.clip(size, 1e-308, 1e308))

    @property
    def _ends(self) -> tuple[float, float]:
        return float(np.log(self.grid[0])), float(np.log(self.grid[-1]))

    @cached_property
    def _spline(self) -> interpolate.CubicHermiteSpline:
        logs = np.log(self.grid)
        return interpolate.CubicHermiteSpline(logs, self.below, self.mass / (logs[1] - logs[0]))

    @cached_property
    def _slope(self) -> Any:
        return self._spline.derivative()
