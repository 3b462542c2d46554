"""One layer of a mean field: the arithmetic behind :mod:`~sparsefire.propagation.laws.mean_field`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from sparsefire.errors import UserError
from sparsefire.propagation.laws.activations import Activation, activation, homogeneous
from sparsefire.propagation.laws.closure import (
    Mixture,
    Sums,
    average,
    homogeneous_fourth,
    layer_moments,
    mixture,
    number,
    pair_average,
    sums,
)
from sparsefire.propagation.laws.gain import gain
from sparsefire.propagation.laws.gaussian import expectation
from sparsefire.propagation.laws.moments import fan_in_law

CRITICAL = 1e-9  # how far from 1 a slope counts as 1
MOST_KURTOSIS = 1e6  # more than that is without end


class Layer(NamedTuple):
    """What a layer does to a law that is told by variance q, kurtosis k and, for two inputs, correlation c.

    ``law`` of fan-ins is None for dense layers; ``by``: see :func:`~sparsefire.propagation.laws.closure.sums`.
    """

    phi: Activation
    by: Sums
    bias: float
    law: np.ndarray | None
    weight_variance: float
    weights: Any
    scaled: str

    @staticmethod
    def of(
        phi: Any, weight_variance: float, bias_variance: Any, fan_in: Any, weights: Any = "normal", scaled: str = "mean"
    ) -> Layer:
        """Return a layer, checked."""
        bias = number(bias_variance, "bias variance")
        law = None if fan_in is None else fan_in_law(fan_in)
        by = sums(weight_variance, law, weights, scaled)
        return Layer(activation(phi), by, bias, law, float(weight_variance), weights, scaled)

    def at(self, q: float) -> tuple[Layer, float]:
        """Return a layer and a variance that stand for q, also if that is 0 or inf."""
        if 0 < q < np.inf:
            return self, q
        if self.phi.homogeneous:
            return self._replace(bias=0.0), 1.0
        if q == 0:
            return self._replace(bias=0.0), 1e-12
        return self._replace(phi=homogeneous(*self.phi.slopes)).at(q)

    def mixture(self, q: float, k: float) -> Mixture:
        return mixture(q, k, min(self.bias, q))

    def variances(self, q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Return the variances after the layer, of arrays of one shape."""
        if self.phi.homogeneous:
            return self.by.single * self.phi.squares * q + self.bias
        if (k == 3).all():
            second = expectation(lambda x: self.phi.function(x) ** 2, q, kinks=self.phi.kinks)
            return self.by.single * second + self.bias
        return np.vectorize(self.variance, otypes=[np.float64])(q, k)

    def second(self, q: float, k: float) -> float:
        """Return E φ²."""
        if self.phi.homogeneous:
            return self.phi.squares * q
        return average(lambda x: self.phi.function(x) ** 2, self.mixture(q, k), self.phi.kinks)

    def fourth(self, q: float, k: float) -> float:
        """Return E φ⁴."""
        if self.phi.homogeneous:
            return homogeneous_fourth(self.phi) * k * q * q
        return average(lambda x: self.phi.function(x) ** 4, self.mixture(q, k), self.phi.kinks)

    def variance(self, q: float, k: float) -> float:
        """Return the variance after the layer."""
        return self.by.single * self.second(q, k) + self.bias

    def step(self, q: float, k: float) -> tuple[float, float]:
        """Return variance and kurtosis after the layer."""
        if self.law is None:
            return self.variance(q, k), 3.0
        after, fourth = layer_moments(self.by, self.second(q, k), self.fourth(q, k), self.bias)
        return float(after), float(fourth / after**2) if after > 0 else np.nan

    def correlation(self, q: float, k: float, c: float) -> float:
        """Return the correlation after the layer."""
        after = self.variance(q, k)
        return float((self.by.single * self.product(q, k, c) + self.bias) / after) if after > 0 else np.nan

    def product(self, q: float, k: float, c: float) -> float:
        """Return E φ(x) φ(y)."""
        if c >= 1:
            return self.second(q, k)
        if self.phi.homogeneous:
            even, odd = self._parts
            return float(q * (odd**2 * c + even**2 * 2 / np.pi * (np.sqrt(1 - c * c) + c * np.arcsin(c))))
        return pair_average(self.phi.function, self.mixture(q, k), c, self.phi.kinks)

    def slope(self, q: float, k: float, c: float) -> float:
        """Return what differences of inputs with this correlation, squared, are multiplied by."""
        if self.phi.homogeneous:
            even, odd = self._parts
            return float(self.by.single * (odd**2 + even**2 * 2 / np.pi * np.arcsin(min(c, 1.0))))
        if c >= 1 and self.law is not None:
            moments = self.second(q, k), self.fourth(q, k)
            return gain(
                self.phi, q, *moments, self.law, self.weight_variance, self.bias, self.weights, self.scaled
            )  # fmt: skip
        if c >= 1:
            return self.by.single * average(lambda x: self.phi.derivative(x) ** 2, self.mixture(q, k), self.phi.kinks)
        return self.by.single * pair_average(self.phi.derivative, self.mixture(q, k), c, self.phi.kinks)

    def variance_slope(self, q: float, k: float) -> float:
        """Return dq′/dq = E[K v] E h φ(h) φ′(h) / q: the law of h is stretched."""
        phi = self.phi
        if phi.homogeneous:
            return self.by.single * phi.squares
        found = average(lambda x: x * phi.function(x) * phi.derivative(x), self.mixture(q, k), phi.kinks)
        return self.by.single * found / q

    def start(self, q: float, k: float = 3.0) -> float:
        """Return the fixed point of the variance that q leads to, kurtosis held."""
        return reached(lambda x: self.variance(x, k) - x, max(q, 1e-13))

    def fixed(self, q: float) -> tuple[float, float]:
        """Return the fixed point of variance and kurtosis that q leads to."""
        q = self.start(q)
        if self.law is None:
            return q, 3.0
        if self.phi.homogeneous:
            near, at = self.at(q)
            if near.by.single == 0:
                return q, np.nan if q == 0 else 3.0
            base, more = (near.step(at, k)[1] for k in (0.0, 1.0))  # K′ = base + (more - base) K
            return q, base / (1 - more + base) if more - base < 1 - CRITICAL else np.inf
        k = 3.0
        for _ in range(500):
            near, at = self.at(q)
            after = near.step(at, k)[1]
            if not after < MOST_KURTOSIS:
                return q, np.inf
            done, k = abs(after - k) <= 1e-12 * k, after
            q = self.start(q if 0 < q < np.inf else 1.0, k)
            if done:
                break
        return q, k

    def fixed_correlation(self, q: float, k: float, steep: float) -> float:
        """Return the fixed point of the correlation, given the slope of its map at 1."""
        if steep <= 1 + CRITICAL:
            return 1.0
        if self.correlation(q, k, 0.0) <= 1e-15:
            return 0.0

        def gap(apart: float) -> float:
            return self.correlation(q, k, 1 - apart) - 1 + apart

        low = 1e-2
        while gap(low) >= 0:
            low /= 8
            if low < 1e-12:
                return 1.0
        return 1 - float(optimize.brentq(gap, low, 1.0, xtol=1e-14, rtol=1e-13))

    @property
    def _parts(self) -> tuple[float, float]:
        """The slopes of |x| and of x in φ."""
        below, above = self.phi.slopes
        return (above - below) / 2, (above + below) / 2


def reached(gap: Callable[[float], float], start: float) -> float:
    """Return the first root from a start in the direction of ``gap``; 0.0 or inf if there is none.

    >>> round(reached(lambda x: 2 - x, 10.0), 9), reached(lambda x: x, 1.0)
    (2.0, inf)
    """
    at, here = start, gap(start)
    if abs(here) <= 1e-14 * start:
        return float(start)
    factor = 1.25 if here > 0 else 0.8
    while True:
        after = at * factor
        if not 1e-14 < after < 1e14:
            return np.inf if factor > 1 else 0.0
        if (gap(after) > 0) != (here > 0):
            return float(optimize.brentq(gap, at, after, xtol=1e-300, rtol=1e-14))
        at = after


def critical(phi: Any, bias: float, fan_in: Any, weights: Any, scaled: str) -> tuple[float, float]:
    """Return σ_w² and q* where χ₁ = 1, nan where there is no such place."""
    unit = Layer.of(phi, 1.0, bias, fan_in, weights, scaled)
    phi = unit.phi
    if unit.by.single == 0:
        return np.nan, np.nan
    if phi.homogeneous:
        return 1 / (unit.by.single * phi.squares), np.inf if bias else np.nan
    wide = Layer.of(phi, 1.0, bias, None)

    def gap(q: float) -> float:
        return q - wide.second(q, 3.0) / wide.slope(q, 3.0, 1.0) - bias

    if bias == 0 and abs(float(phi(0.0))) == 0:
        return 1 / (unit.by.single * wide.slope(1e-12, 3.0, 1.0)), 0.0
    at = max(bias, 1e-6)
    if gap(at) > 0:
        return np.nan, np.nan
    while gap(at * 1.5) < 0:
        at *= 1.5
        if at > 1e8:
            return np.nan, np.nan
    q = float(optimize.brentq(gap, at, at * 1.5, rtol=1e-14))
    total = 1 / wide.slope(q, 3.0, 1.0)
    return (total, q) if unit.law is None else _critical_sparse(unit, total / unit.by.single, q)


def _critical_sparse(unit: Layer, total: float, q: float) -> tuple[float, float]:
    """Look around the weight variance of dense layers."""
    place = (q, 3.0)

    def excess(weight_variance: float) -> float:
        layer = Layer.of(unit.phi, weight_variance, unit.bias, unit.law, unit.weights, unit.scaled)
        nonlocal place
        place = layer.fixed(q)
        steady = 0 < place[0] < np.inf and np.isfinite(place[1])
        return layer.slope(place[0], place[1], 1.0) - 1 if steady else np.nan

    here, factor = excess(total), 1.1
    if not here < 0:
        factor = 1 / factor
    for _ in range(30):
        there = excess(total * factor)
        if np.isnan(there) or np.isnan(here):
            return np.nan, np.nan
        if (there > 0) != (here > 0):
            found = float(optimize.brentq(excess, *sorted((total, total * factor)), xtol=1e-12, rtol=1e-11))
            excess(found)
            return found, place[0]
        total *= factor
    return np.nan, np.nan


def checked_variances(values: Any, name: str = "variance") -> np.ndarray:
    """Return numbers of 0 or more as float64, or say which is not."""
    found = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~(found >= 0).ravel())
    if len(wrong):
        raise UserError(f"a {name} is 0 or more.", came=repr(float(found.ravel()[wrong[0]])), expected="0 or more")
    return found
