"""Means over replicates, paired differences, and the share of a gap that is closed, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

Interval = tuple[float, float, float]
"""A value and the ends of its interval."""


def mean(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean with its t interval, which has no ends for one value.

    >>> [round(v, 3) for v in mean([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    >>> mean([1.0])
    (1.0, -inf, inf)
    """
    x = np.asarray(values, float)
    middle, half = float(x.mean()), float("inf")
    if len(x) > 1:
        half = float(stats.t.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return middle, middle - half, middle + half


def difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of a − b over replicates with its t interval.

    >>> [round(v, 3) for v in difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])]
    [2.0, -0.484, 4.484]
    """
    return mean(np.asarray(a, float) - np.asarray(b, float), level)


def share(ours: Sequence[float], best: Sequence[float], base: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return (E ours − E base) / (E best − E base) with Fieller's interval, or None where no gap is shown.

    With a_r = ours_r − base_r and b_r = best_r − base_r over n replicates the interval holds the ratios ρ with

        (ā − ρ b̄)² ≤ t² (s_aa − 2 ρ s_ab + ρ² s_bb) / n

    (Fieller 1954, doi:10.1111/j.2517-6161.1954.tb00159.x). It is bounded if and only if the t interval of the gap b̄
    lies on one side of 0; the gap has to lie above.

    >>> share([2.0, 3.1], [3.0, 5.0], [1.0, 1.0]) is None
    True
    """
    a, b = (np.asarray(one, float) - np.asarray(base, float) for one in (ours, best))
    n = len(a)
    if n < 3:
        return None
    t2 = float(stats.t.ppf(0.5 + level / 2, n - 1)) ** 2 / n
    (saa, sab), (_, sbb) = np.cov(a, b)
    second = b.mean() ** 2 - t2 * sbb
    if second <= 0 or b.mean() <= 0:
        return None
    middle = a.mean() * b.mean() - t2 * sab
    root = np.sqrt(max(middle**2 - second * (a.mean() ** 2 - t2 * saa), 0.0))
    return float(a.mean() / b.mean()), float((middle - root) / second), float((middle + root) / second)
