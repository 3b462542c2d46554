"""Compiled products of sparse matrices on the same entries (row by row), and with a symmetric matrix.

Symmetric matrices are lower triangles; the columns of a row ascend.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def square(start: np.ndarray, column: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Add WᵀW to ``out`` [columns, columns]."""
    for row in range(len(start) - 1):
        for a in range(start[row], start[row + 1]):
            into = out[column[a]]
            value = w[a]
            for b in range(start[row], a + 1):
                into[column[b]] += value * w[b]


@njit(nogil=True, cache=True)
def cross(start: np.ndarray, column: np.ndarray, w: np.ndarray, d: np.ndarray, out: np.ndarray) -> None:
    """Add WᵀD + DᵀW to ``out`` [columns, columns]."""
    for row in range(len(start) - 1):
        for a in range(start[row], start[row + 1]):
            into = out[column[a]]
            value, other = w[a], d[a]
            for b in range(start[row], a + 1):
                into[column[b]] += value * d[b] + other * w[b]


@njit(nogil=True, cache=True)
def times(start: np.ndarray, column: np.ndarray, w: np.ndarray, symmetric: np.ndarray) -> np.ndarray:
    """Return the entries of W · ``symmetric`` where W has its own."""
    out = np.zeros(len(w))
    for row in range(len(start) - 1):
        for a in range(start[row], start[row + 1]):
            along = symmetric[column[a]]
            value = w[a]
            total = along[column[a]] * value
            for b in range(start[row], a):
                entry = along[column[b]]
                total += entry * w[b]
                out[b] += entry * value
            out[a] += total
    return out
