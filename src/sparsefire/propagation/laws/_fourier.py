"""The law of log |x_l|² of dense ReLU layers by its Fourier transform.

A unit that sees y = |x|² gets h ~ N(0, σ² y + b²), so with S = Σ max(g_i, 0)² over n standard normal g_i

    |x'|² = (σ² y + b²) S,    S = Σ_j Bin(n, 1/2)(j) χ²_j,    E S^s = Σ_j Bin(n, 1/2)(j) 2^s Γ(j/2 + s) / Γ(j/2)

(Burkholz & Dubatovka 2019, arXiv:1806.06362). S = 0 with chance 2⁻ⁿ, which is kept apart; what is left has a smooth
law of log S whose transform, s = it, falls off at least as fast as exp(-π|t| / 2). A Fourier series over a window that
holds all but ``TAIL`` of the mass then gives the distribution function with an error of that size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

TAIL = 1e-13  # mass outside the window, on each side
SMALL = 1e-16  # where a transform is cut off
BLOCK = 64  # frequencies looked at at once
CELLS = 2**16  # waves that are summed at once


@dataclass(frozen=True, eq=False)
class Window:
    """Where log |x_l|² lies, given that it is not zero.

    Attributes:
        lows: float64 [depth], lower ends.
        period: width of all windows.
    """

    lows: np.ndarray
    period: float


def terms(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many units can be active, and with which chance given that it is not zero; less than 1e-17 is cut.

    >>> [array.round(4).tolist() for array in terms(2)]
    [[1.0, 2.0], [0.6667, 0.3333]]
    """
    reach = 5.0 * np.sqrt(width) + 40
    j = np.arange(max(1, int(width / 2 - reach)), min(width, int(width / 2 + reach)) + 1, dtype=np.float64)
    logs = (
        special.gammaln(width + 1.0) - special.gammaln(j + 1) - special.gammaln(width - j + 1.0) - width * np.log(2.0)
    )
    kept = logs > -46.0 - np.log(len(j))
    chances = np.exp(logs[kept])
    return j[kept], chances / chances.sum()


def log_power(width: int, s: np.ndarray) -> np.ndarray:
    """Return log E S^s given S > 0, for real s; inf where it does not exist."""
    j, chances = terms(width)
    order = s[:, None] + j / 2
    found = special.gammaln(np.where(order > 0, order, 1.0)) - special.gammaln(j / 2) + np.log(chances)
    return special.logsumexp(np.where(order > 0, found, np.inf), axis=1) + s * np.log(2.0)


def transform(width: int, t: np.ndarray) -> np.ndarray:
    """Return E S^(it) given S > 0, complex128 of the shape of ``t``."""
    j, chances = terms(width)
    found = np.empty(len(t), dtype=np.complex128)
    for at in range(0, len(t), BLOCK):
        part = t[at : at + BLOCK]
        found[at : at + BLOCK] = np.exp(special.loggamma(j / 2 + 1j * part[:, None]) - special.gammaln(j / 2)) @ chances
    return found * np.exp(1j * t * np.log(2.0))


def frequencies(widths: list[int], period: float) -> np.ndarray:
    """Return the frequencies 2π m / period, m = 1, 2, …, until the transforms of all widths are negligible."""
    first = 1
    while True:
        t = 2 * np.pi / period * np.arange(first, first + BLOCK)
        if all(np.abs(transform(width, t[-8:])).max() < SMALL for width in set(widths)):
            return 2 * np.pi / period * np.arange(1, first + BLOCK)
        first += BLOCK


def window(widths: list[int], factors: np.ndarray, floor: np.ndarray, start: float) -> Window:
    """Return windows for y' = (factor y + floor) S by moments: Chernoff's bound below, Markov's above.

    Args:
        widths: of layers 1 … depth.
        factors, floor: float64 [depth].
        start: log of the first y.
    """
    s = np.geomspace(1e-2, 100 * np.sqrt(max(widths)) + 100, 200)
    below, above = np.zeros(len(s)), np.zeros(len(s))  # log E (y / start)^(-s) without floor, log of the norm of y
    lows, highs = np.empty(len(widths)), np.empty(len(widths))
    floors = np.log(floor, where=floor > 0, out=np.full(len(floor), -np.inf))
    shift = start
    above += start
    powers = {width: (log_power(width, -s), log_power(width, s)) for width in set(widths)}
    for at, width in enumerate(widths):
        down, up = powers[width]
        below += down
        shift += np.log(factors[at])
        low = shift + ((np.log(TAIL) - below) / s).max()
        if floor[at] > 0:  # y' ≥ floor S as well
            low = max(low, floors[at] + ((np.log(TAIL) - down) / s).max())
        # the s-norm of a sum is at most the sum of the s-norms, for s of 1 or more; without floor s is free
        above = np.logaddexp(np.log(factors[at]) + above, floors[at]) + up / s
        bounds = above - np.log(TAIL) / s
        lows[at], highs[at] = low, bounds[s >= 1].min() if floor[: at + 1].any() else bounds.min()
    return Window(lows, float((highs - lows).max()))


def on_grid(coefficients: np.ndarray, points: int, period: float) -> np.ndarray:
    """Return the density at ``points`` equal steps over the window; coefficients are relative to its lower end."""
    row = np.zeros(points // 2 + 1, dtype=np.complex128)
    row[0] = 1.0
    row[1 : len(coefficients) + 1] = np.conj(coefficients)
    return np.fft.irfft(row, points) * points / period


def series(values: np.ndarray, step: float, masses: np.ndarray, count: int) -> np.ndarray:
    """Return Σ_i masses_i exp(i m step values_i), m = 1 … count, as a product of high and low digits of m."""
    digits = int(np.ceil(np.sqrt(count + 1)))
    low = np.exp(1j * step * np.arange(digits)[:, None] * values)
    high = np.exp(1j * step * digits * np.arange(digits)[:, None] * values)
    return ((high * masses) @ low.T).ravel()[1 : count + 1]


def distribution(coefficients: np.ndarray, t: np.ndarray, period: float, z: np.ndarray) -> np.ndarray:
    """Return P(Z ≤ z) from the coefficients E exp(it (Z - low)) and z relative to the lower end of the window."""
    inside = np.clip(z, 0.0, period)
    flat, weights = inside.ravel(), coefficients / (1j * t)
    found = np.empty(len(flat))
    rows = max(1, CELLS // len(t))
    for at in range(0, len(flat), rows):
        part = flat[at : at + rows]
        found[at : at + rows] = part + 2 * ((1 - np.exp(-1j * np.multiply.outer(part, t))) @ weights).real
    return np.clip(found / period, 0.0, 1.0).reshape(inside.shape)
