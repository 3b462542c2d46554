"""The law of S = Σ E_n (1+α)^(-n), E_n independent Exp(1): what neurons race with when spikes strengthen the trigger.

With q = 1/(1+α), E e^(-zS) = Π 1/(1 + z qⁿ), analytic off (-∞, -1]. Densities and tails are contour integrals

    f(s) = (1/2πi) ∫ e^(zs) E e^(-zS) dz,     P(S ≤ s): over z, right of 0,     P(S > s): over -z, left of 0,

along parabolas through the saddle point that bend left, where the integrand falls like a Gaussian: the trapezoidal rule
with 120 points is then exact to rounding, in relative terms, far into both tails. (The partial fractions of the
hypoexponential law alternate with terms of size e^(π²/6α), and are useless below α = 0.1.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import Chebyshev
from scipy import optimize, special

_FACTORS = 40  # taken one by one; the rest of the product by Euler–Maclaurin
_POINTS = 120
_DEPTH = 300.0  # tails are tabled down to e^(-300)


def _log_transform(z: np.ndarray, log_gain: float) -> np.ndarray:
    """Return log E e^(-zS), up to multiples of 2πi."""
    total: np.ndarray = np.zeros_like(z)
    for first in range(0, _FACTORS, 4):  # products of four: fewer logarithms, and no overflow for |z| < 1e77
        part: np.ndarray = np.ones_like(z)
        for n in range(first, first + 4):
            part = part * (1 + z * np.exp(-log_gain * n))
        total = total + np.log(part)
    rest = z * np.exp(-log_gain * _FACTORS)
    w = rest / (1 + rest)
    v = w - w * w
    return -(
        total
        - special.spence(1 + rest) / log_gain
        + np.log(1 + rest) / 2
        + log_gain * w / 12
        - log_gain**3 * (1 - 2 * w) * v / 720
        + log_gain**5 * (1 - 14 * w + 36 * w**2 - 24 * w**3) * v / 30240
    )


def _tilted_mean(z: np.ndarray, log_gain: float) -> np.ndarray:
    """Return Σ qⁿ / (1 + z qⁿ) for real z > -1, the mean of S under e^(-zS)."""
    q = np.exp(-log_gain * np.arange(_FACTORS))
    last = np.exp(-log_gain * _FACTORS)
    rest = z * last
    small = np.abs(rest) < 1e-8
    integral = np.where(small, 1.0, np.log1p(rest) / np.where(small, 1.0, rest)) / log_gain
    with np.errstate(over="ignore"):
        return (q / (1 + z[..., None] * q)).sum(-1) + last * (
            integral + 0.5 / (1 + rest) + log_gain / 12 / (1 + rest) ** 2
        )


def _inverted(s: np.ndarray, log_gain: float, side: int) -> np.ndarray:
    """Return log f(s) for side 0, log P(S ≤ s) for side 1, log P(S > s) for side -1."""
    to_z: Callable[[np.ndarray], np.ndarray] = (np.expm1, np.exp, lambda x: -1 / (1 + np.exp(x)))[side]
    low, high = np.full(s.shape, -36.0), np.full(s.shape, 170.0)
    for _ in range(60):  # the exponent zs + log E e^(-zS) - log ±z has one saddle, and its slope rises
        middle = (low + high) / 2
        z = to_z(middle)
        slope = s - _tilted_mean(z, log_gain) - (1 / z if side else 0.0)
        high, low = np.where(slope > 0, middle, high), np.where(slope > 0, low, middle)
    z = to_z((low + high) / 2)
    near = 1e-2 * (1 + z)  # curvatures only shape the contour: differences do
    before, here, after = (_tilted_mean(z + by * near, log_gain) for by in (-1, 0, 1))
    second = (before - after) / (2 * near)
    bend = -(after - 2 * here + before) / near**2 / (6 * second)
    width = 1 / np.sqrt(second + (1 / z**2 if side else 0.0))
    reach = np.maximum(9 * width, np.sqrt(-41 / (bend * s)))
    y = reach[:, None] * np.arange(_POINTS + 1) / _POINTS
    path = z[:, None] + 1j * y + bend[:, None] * y**2
    exponent = path * s[:, None] + _log_transform(path, log_gain)
    if side:
        exponent -= np.log(side * path)
    peak = exponent[:, 0].real
    values = (np.exp(exponent - peak[:, None]) * (1 - 2j * bend[:, None] * y)).real
    return peak + np.log((values.sum(1) - values[:, 0] / 2) * reach / _POINTS / np.pi)


@dataclass(frozen=True, eq=False)
class Race:
    """Smooth tables of the law of S over u = log s.

    Attributes:
        log_density: of u.
        log_hazard: log(-log P(S > e^u)).
        nodes: evenly spaced u that cover all but e^(-300) on either side.
    """

    log_density: Chebyshev
    log_hazard: Chebyshev
    nodes: np.ndarray

    def winner(self, logs: np.ndarray, who: int) -> float:
        """Return P(T_who < all other T), T_i = S_i / p_i, from log p."""
        return self._integral(logs, who, lambda hazard: np.exp(-hazard))

    def loser(self, logs: np.ndarray, who: int) -> float:
        """Return one minus :meth:`winner`, with relative accuracy."""
        return self._integral(logs, who, lambda hazard: -np.expm1(-hazard))

    def _integral(self, logs: np.ndarray, who: int, chance: Callable[[np.ndarray], np.ndarray]) -> float:
        shifts, times = np.unique(np.delete(logs, who) - logs[who], return_counts=True)
        low, high = self.nodes[0], self.nodes[-1]
        hazard = np.zeros(len(self.nodes))
        for shift, count in zip(shifts, times, strict=True):
            at = self.nodes + shift
            within = np.exp(self.log_hazard(np.clip(at, low, high)))
            hazard += count * np.where(at < low, 0.0, np.where(at > high, np.inf, within))
        density = np.exp(self.log_density(self.nodes))
        return float(density @ chance(hazard) * (self.nodes[1] - self.nodes[0]))


@lru_cache(maxsize=8)
def race(alpha: float) -> Race:
    """Return the tables for one α in [1e-6, 1e6]; the error of a probability is below 1e-10."""
    log_gain = float(np.log1p(alpha))
    mean = 1 + 1 / alpha

    def depth(x: float, to_z: Callable[[float], float]) -> float:
        z = np.array([to_z(x)])
        return float((z * _tilted_mean(z, log_gain) + _log_transform(z.astype(complex), log_gain).real)[0] + _DEPTH)

    left = np.exp(optimize.brentq(depth, -30.0, 150.0, args=(np.exp,)))
    right = -1 / (1 + np.exp(optimize.brentq(depth, -36.0, 30.0, args=(lambda x: -1 / (1 + np.exp(x)),))))
    domain = np.log(_tilted_mean(np.array([left, right]), log_gain))

    def log_density(u: np.ndarray) -> np.ndarray:
        return u + _inverted(np.exp(u), log_gain, 0)

    def log_hazard(u: np.ndarray) -> np.ndarray:
        s = np.exp(u)
        early = s < mean
        found = np.empty_like(s)
        found[early] = np.log(-np.log1p(-np.exp(_inverted(s[early], log_gain, 1))))
        found[~early] = np.log(-_inverted(s[~early], log_gain, -1))
        return found

    nodes = np.linspace(domain[0], domain[1], 800)
    return Race(_table(log_density, domain), _table(log_hazard, domain), nodes)


def _table(function: Callable[[np.ndarray], np.ndarray], domain: np.ndarray) -> Chebyshev:
    for degree in (64, 128, 256, 512, 1024):
        found = Chebyshev.interpolate(function, degree, domain=list(domain))
        if np.abs(found.coef[-5:]).max() < 1e-13 * np.abs(found.coef).max():
            break
    return found


def two_lose(mine: float, other: float, alpha: float) -> float:
    """Return P(the first of two loses): φ over k ≥ 0 against φ over all whole numbers."""
    log_gain, log_odds = float(np.log1p(alpha)), float(np.log(other) - np.log(mine))
    peak = log_odds / log_gain - 0.5
    reach = np.ceil(np.sqrt(1600 / log_gain)) + 2

    def log_sum(low: float, high: float) -> float:
        k = np.arange(max(low, np.floor(max(low, min(peak, high)) - reach)), min(high, max(low, peak) + reach) + 1)
        return float(special.logsumexp(k * log_odds - log_gain * k * (k + 1) / 2))

    loses, wins = log_sum(0.0, np.inf), log_sum(-np.inf, -1.0)
    return float(special.expit(loses - wins))


def exact_loss(p: np.ndarray, alpha: float, who: int) -> float:
    """Return the chance that a neuron does not win, from p [d] that adds up to 1."""
    live = np.flatnonzero(p)
    if p[who] == 0:
        return 1.0
    if len(live) == 1:
        return 0.0
    if len(live) == 2:
        return two_lose(p[who], p[live[live != who][0]], alpha)
    return race(alpha).loser(np.log(p[live]), int(np.searchsorted(live, who)))


def normal_loss(p: np.ndarray, alpha: float, who: int) -> float:
    """Return the same with T_i normal, mean over deviation √(2/α)."""
    root = np.sqrt(2 / alpha)
    others = np.delete(p, who)
    others = others[others > 0]
    if p[who] == 0 or not len(others):
        return float(p[who] == 0)
    if len(others) == 1:
        return float(special.ndtr(-(p[who] - others[0]) * root / np.hypot(p[who], others[0])))
    x = np.linspace(-38, 38, 3001)
    late = special.log_ndtr(root - others[:, None] / p[who] * (root + x)).sum(0)
    return float((x[1] - x[0]) / np.sqrt(2 * np.pi) * (np.exp(-(x**2) / 2) @ -np.expm1(late)))
