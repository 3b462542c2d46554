"""Quantiles of samples, with intervals that assume nothing about the law."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from sparsefire.errors import UserError


def chances(q: Any) -> np.ndarray:
    """Return q as float64, checked to lie in [0, 1]."""
    q = np.asarray(q, dtype=np.float64)
    if not ((q >= 0) & (q <= 1)).all():
        raise UserError("quantiles are asked for by chances.", came=repr(q.tolist()), expected="numbers in [0, 1]")
    return q


def quantile(ordered: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the sample quantiles of rows in rising order, [*q.shape, ...]; -inf among the samples is fine.

    >>> quantile(np.array([-np.inf, 1.0, 2.0, 3.0]), np.array([0.25, 0.5, 1.0])).tolist()
    [-inf, 1.0, 3.0]
    """
    runs = ordered.shape[-1]
    at = np.clip(np.ceil(q * runs - 1e-9).astype(np.int64) - 1, 0, runs - 1)
    return np.moveaxis(ordered[..., at], range(-at.ndim, 0), range(at.ndim)) if at.ndim else ordered[..., int(at)]


def interval(ordered: np.ndarray, q: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the order statistics between which the quantile lies with confidence ``level`` or more.

    The number of samples below the quantile is Bin(runs, q). -inf and inf stand where there are too few samples.

    >>> ends = interval(np.arange(1.0, 101.0), 0.5, 0.95)
    >>> [float(end) for end in ends]
    [40.0, 61.0]
    """
    if not (0 < q < 1 and 0 < level < 1):
        raise UserError("an interval needs chances.", came=f"q={q!r}, level={level!r}", expected="both in (0, 1)")
    runs = ordered.shape[-1]
    low = int(stats.binom.ppf((1 - level) / 2, runs, q))  # P(count < low) is at most half of 1 - level
    high = int(stats.binom.isf((1 - level) / 2, runs, q)) + 1
    below = ordered[..., low - 1] if low >= 1 else np.full(ordered.shape[:-1], -np.inf)
    above = ordered[..., high - 1] if high <= runs else np.full(ordered.shape[:-1], np.inf)
    return below, above
