"""Bounds in common use, for comparison: the CV central limit theorem and the corrected resampled t-test."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit


def central_limit(values: np.ndarray, level: float) -> float:
    """Return mean − z·sd/√n of the per-row differences [n] (Bayle, Bayle, Janson, Mackey 2020, arXiv:2007.12671)."""
    return float(values.mean() - ndtri(1 - level) * values.std(ddof=1) / np.sqrt(len(values)))


def nadeau_bengio(differences: np.ndarray, folds: np.ndarray, level: float) -> float:
    """Return the corrected resampled t bound (Nadeau, Bengio 2003, doi:10.1023/A:1024068626366).

    Args:
        differences: per row and round [n, M].
        folds: fold of every row in every round, ints [n, M].
        level: one-sided.

    The J = K·M fold means have variance (1/J + 1/(K − 1))·S², because a test fold is 1/(K − 1) of its training rows.
    """
    count = int(folds.max()) + 1
    means = np.concatenate(
        [
            np.bincount(folds[:, r], differences[:, r], count) / np.bincount(folds[:, r], minlength=count)
            for r in range(differences.shape[1])
        ]
    )
    error = np.sqrt((1 / len(means) + 1 / (count - 1)) * means.var(ddof=1))
    return float(means.mean() - stdtrit(len(means) - 1, 1 - level) * error)
