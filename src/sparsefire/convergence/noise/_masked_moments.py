"""Expectations of products with one random 0/1 diagonal D, each entry 1 with chance p, in O(d³).

E D_i D_j D_k D_l is p to the number of distinct indices. K is a symmetric matrix with a zero diagonal, so that only the
coincidences between the pairs (i, j) and (k, l) have to be counted.
"""

from __future__ import annotations

import numpy as np


def two(inner: np.ndarray, p: float) -> np.ndarray:
    """Return E D Q D."""
    found = p**2 * inner
    np.fill_diagonal(found, p * np.diagonal(inner))
    return found


def three(hollow: np.ndarray, inner: np.ndarray, p: float) -> np.ndarray:
    """Return E D K D R D."""
    product = hollow @ inner
    return p**3 * product + (p**2 - p**3) * (np.diag(np.diagonal(product)) + hollow * np.diagonal(inner))


def four(hollow: np.ndarray, inner: np.ndarray, p: float) -> np.ndarray:
    """Return E D K D S D K D."""
    left, right = hollow @ inner, inner @ hollow
    both = left @ hollow
    one = (  # i = k, j = l, j = k, i = l
        hollow * np.diagonal(left)[:, None]
        + hollow * np.diagonal(right)
        + (hollow * np.diagonal(inner)) @ hollow
        + np.diag(np.diagonal(both))
    )
    squares = hollow**2
    pairs = squares * inner.T + np.diag(squares @ np.diagonal(inner))
    return p**4 * both + (p**3 - p**4) * one + (p**2 - 2 * p**3 + p**4) * pairs
