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
