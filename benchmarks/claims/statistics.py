"""Intervals and tests over paired replicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def same(differences: np.ndarray, margin: float) -> float:
    """Return the p-value of two one-sided t tests (TOST) of |mean| ≥ margin: small says that the arms are the same.

    D. J. Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657. doi:10.1007/BF01068419

    >>> same(np.array([0.1, -0.1, 0.0, 0.05]), 1.0) < 0.001
    True
    """
    return max(not_worse(differences, margin), not_worse(-differences, margin))


def not_worse(differences: np.ndarray, margin: float) -> float:
    """Return the p-value of the one-sided t test of mean ≤ −margin: small says that the mean is above −margin."""
    return float(stats.ttest_1samp(differences, -margin, alternative="greater").pvalue)


def share_interval(part: np.ndarray, whole: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return Fieller's interval of mean(part) / mean(whole), pairs; without end if the whole may be zero.

    It is the set of θ at which the t test of mean(part − θ · whole) = 0 does not reject.
    E. C. Fieller, J. R. Stat. Soc. B 16 (1954) 175. doi:10.1111/j.2517-6161.1954.tb00159.x

    >>> share_interval(np.array([1.0, 1.1, 0.9]), np.array([2.0, 2.0, 2.0]))
    (0.376, 0.624)
    """
    count = len(part)
    t = float(stats.t.ppf(0.5 + level / 2, count - 1)) ** 2 / count
    (aa, ab), (_, bb) = np.cov(part, whole)
    a, b = part.mean(), whole.mean()
    square, linear, constant = b * b - t * bb, a * b - t * ab, a * a - t * aa
    root = linear**2 - square * constant
    if square <= 0 or root < 0:
        return -np.inf, np.inf
    low, high = (linear - root**0.5) / square, (linear + root**0.5) / square
    return round(float(low), 3), round(float(high), 3)


def spearman_interval(
    x: Sequence[Sequence[float]], y: Sequence[Sequence[float]], draws: int = 500
) -> tuple[float, float, float]:
    """Return Spearman's ρ of the means of arms, and its 95% bootstrap interval over replicates.

    Args:
        x, y: by arm and replicate, [arms, replicates].
        draws: of replicates, the same for all arms.

    >>> spearman_interval([[1, 1], [2, 2], [3, 3]], [[1, 2], [3, 4], [5, 6]])
    (1.0, 1.0, 1.0)
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    rng = np.random.default_rng(0)
    found = [
        stats.spearmanr(a[:, pick].mean(1), b[:, pick].mean(1)).statistic
        for pick in rng.integers(a.shape[1], size=(draws, a.shape[1]))
    ]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(stats.spearmanr(a.mean(1), b.mean(1)).statistic), float(low), float(high)
