"""Tango's score for the difference of two paired proportions: the statistic and the interval it leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from sparsefire.statistics._check import level_checked


def tango_z(only_dense: ArrayLike, only_chosen: ArrayLike, rows: ArrayLike, difference: ArrayLike) -> np.ndarray:
    """Return Tango's score statistic for P(only chosen right) − P(only dense right) = difference (arrays broadcast).

    Args:
        only_dense: rows that only the dense one gets right, b.
        only_chosen: rows that only the chosen one gets right, c.
        rows: all rows, n ≥ b + c.
        difference: hypothesis θ in (−1, 1).

    Returns:
        (c − b − nθ)/√(n(2q + θ(1 − θ))), where q is the restricted maximum likelihood estimate of P(only dense right):
        q = (√(B² − 8nC) − B)/(4n), B = −(b + c) + (2n + b − c)θ, C = −bθ(1 − θ). Tango 1998,
        doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    >>> round(float(tango_z(0, 0, 268, -0.01)), 3)
    1.645
    """
    b, c, n, theta = (np.asarray(value, dtype=np.float64) for value in (only_dense, only_chosen, rows, difference))
    linear = -(b + c) + (2 * n + b - c) * theta
    constant = -b * theta * (1 - theta)
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = np.maximum(n * (2 * q + theta * (1 - theta)), 0.0)
    top = c - b - n * theta
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, top / np.sqrt(variance), np.where(top == 0, 0.0, np.sign(top) * np.inf))


def tango_interval(only_dense: int, only_chosen: int, rows: int, level: float = 0.05) -> tuple[float, float]:
    """Return the differences that Tango's score test does not reject, each end at one-sided ``level``.

    Args:
        only_dense: rows that only the dense one gets right.
        only_chosen: rows that only the chosen one gets right.
        rows: all rows.
        level: one-sided error level of each end.

    >>> low, high = tango_interval(0, 0, 360)
    >>> round(low, 4), round(high, 4)
    (-0.0075, 0.0075)
    """
    critical = float(ndtri(1 - level_checked(level)))
    low = _tango_lower(only_dense, only_chosen, rows, critical)
    return low, -_tango_lower(only_chosen, only_dense, rows, critical)


def _tango_lower(b: int, c: int, n: int, critical: float) -> float:
    estimate = (c - b) / n
    start = -1.0 + 1e-9
    if b == n or float(tango_z(b, c, n, start)) <= critical:
        return -1.0

    def excess(theta: float) -> float:
        return float(tango_z(b, c, n, theta)) - critical

    end = estimate if estimate < 1 else 1 - 1e-15
    return float(brentq(excess, start, end, xtol=1e-15, rtol=8.9e-16))
