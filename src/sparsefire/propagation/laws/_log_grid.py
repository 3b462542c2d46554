"""Sums over equal steps of a logarithm: convolutions with kernels of t x, and masses between the steps.

A grid with ``points`` steps per e-fold holds exp(j / points) for whole numbers j.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft, special

MOST_CELLS = 2**19
FADE_ORDER = 8  # 2 · 8 - 1 moments of the blur vanish
FADE_PLACE = 2.0  # z₀ in points per e-fold
FADED = 5.4  # the same where nothing is left

_AROUND = np.arange(-3, 5)
_OTHERS = [[m for m in _AROUND if m != n] for n in _AROUND]


def steps(lowest: int, count: int, points: int, shift: float = 0.0) -> np.ndarray:
    """Return exp((lowest + i) / points + shift), i = 0 … count - 1; inf where it is too large.

    >>> steps(0, 2, 1).round(3).tolist()
    [1.0, 2.718]
    """
    with np.errstate(over="ignore"):
        return np.exp((lowest + np.arange(count)) / points + shift)


def fade(z: np.ndarray, points: int) -> np.ndarray:
    """Return how much of an oscillation in z is kept: 1 while steps are short against it, then smoothly less, then 0.

    Q(8, 8 (z/z₀)²), the regularised incomplete gamma function, is a normal density times a polynomial: its transform is
    negligible, so that it keeps mass, and 1 - Q ~ (z/z₀)¹⁶.

    >>> fade(np.array([1.0, 64.0, 200.0]), 32).round(3).tolist()
    [1.0, 0.453, 0.0]
    """
    return special.gammaincc(FADE_ORDER, FADE_ORDER * (np.minimum(z, 1e9) / (FADE_PLACE * points)) ** 2)


def faded(function: Callable[[np.ndarray], np.ndarray], z: np.ndarray, points: int) -> np.ndarray:
    """Return function(z) fade(z), 0 where nothing is left.

    >>> faded(np.cos, np.array([0.0, np.inf]), 32).tolist()
    [1.0, 0.0]
    """
    kept = z < FADED * points
    found = np.zeros(z.shape)
    found[kept] = function(z[kept]) * fade(z[kept], points)
    return found


def correlate(values: np.ndarray, kernels: list[np.ndarray]) -> list[np.ndarray]:
    """Return Σ_i values_i kernel_{i + j} for each kernel, j = 0 … len(kernel) - len(values).

    >>> [row.round(12).tolist() for row in correlate(np.array([1.0, 2.0]), [np.array([1.0, 0.0, 1.0])])]
    [[1.0, 2.0]]
    """
    size = fft.next_fast_len(max(map(len, kernels)), real=True)
    backwards = fft.rfft(values[::-1], size)
    first = len(values) - 1
    return [fft.irfft(backwards * fft.rfft(kernel, size), size)[first : len(kernel)] for kernel in kernels]


def share_out(logs: np.ndarray, masses: np.ndarray, points: int) -> tuple[np.ndarray, int]:
    """Return masses on a grid, and its first step, that stand for masses at any logarithms.

    Each is shared by eight steps around it with the weights of Lagrange's interpolation: sums with smooth functions
    keep their value up to an error of eighth order. Some are below 0.

    >>> masses, lowest = share_out(np.array([0.5]), np.array([1.0]), 4)
    >>> lowest, masses.tolist()
    (-1, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    """
    place = logs * points
    base = np.floor(place).astype(np.int64)
    part = place - base
    lowest = int(base.min()) + int(_AROUND[0])
    count = int(base.max()) + int(_AROUND[-1]) - lowest + 1
    found = np.zeros(count)
    for n, others in zip(_AROUND, _OTHERS, strict=True):
        weight = np.prod([(part - m) / (n - m) for m in others], axis=0)
        found += np.bincount(base + n - lowest, masses * weight, count)
    return found, lowest
