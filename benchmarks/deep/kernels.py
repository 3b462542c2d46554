"""Numba kernels of a network that is stored as its existing weights alone; units × rows, a block of rows at a time."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def forward(
    first: int, outputs: int, ends: np.ndarray, source: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray
) -> None:
    """Fill ``a`` [units, rows] below its first ``first`` units, the inputs; the last ``outputs`` units have no ReLU."""
    units, rows = a.shape
    for unit in range(first, units):
        for i in range(rows):
            a[unit, i] = bias[unit - first]
        for edge in range(ends[unit - first], ends[unit - first + 1]):
            at, w = source[edge], weight[edge]
            for i in range(rows):
                a[unit, i] += w * a[at, i]
        if unit < units - outputs:
            for i in range(rows):
                a[unit, i] = max(a[unit, i], np.float32(0))


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def backward(
    first: int, outputs: int, ends: np.ndarray, source: np.ndarray, weight: np.ndarray, a: np.ndarray, g: np.ndarray,
    weight_slope: np.ndarray, bias_slope: np.ndarray,
) -> None:  # fmt: skip
    """Write the slopes of a loss, given its slope in the outputs: ``g`` [units, rows], zero in all other units."""
    units, rows = a.shape
    for unit in range(units - 1, first - 1, -1):
        if unit < units - outputs:
            for i in range(rows):
                g[unit, i] = g[unit, i] if a[unit, i] > 0 else np.float32(0)
        total = np.float32(0)
        for i in range(rows):
            total += g[unit, i]
        bias_slope[unit - first] = total
        for edge in range(ends[unit - first], ends[unit - first + 1]):
            at, w = source[edge], weight[edge]
            slope = np.float32(0)
            for i in range(rows):
                slope += g[unit, i] * a[at, i]
            weight_slope[edge] = slope
            if at >= first:
                for i in range(rows):
                    g[at, i] += w * g[unit, i]


@numba.njit(nogil=True, cache=True)
def adam(values: np.ndarray, slope: np.ndarray, mean: np.ndarray, square: np.ndarray, rate: float, step: int) -> None:
    """Clip a slope at norm 1 and make a step of Adam (decay 0.9 and 0.999, eps 1e-8); a slope that is not finite is 0.

    ``step`` counts from 1; ``values``, ``mean`` and ``square`` are changed.
    """
    total = 0.0
    for i in range(len(slope)):
        total += np.float64(slope[i]) * np.float64(slope[i])
    shrink = np.float32(1 / max(1.0, np.sqrt(total))) if np.isfinite(total) else np.float32(0)
    far, wide = np.float32(rate / (1 - 0.9**step)), np.float32(1 / (1 - 0.999**step))
    for i in range(len(slope)):
        one = slope[i] * shrink if shrink > 0 else np.float32(0)
        mean[i] += np.float32(0.1) * (one - mean[i])
        square[i] += np.float32(0.001) * (one * one - square[i])
        values[i] -= far * mean[i] / (np.sqrt(square[i] * wide) + np.float32(1e-8))
