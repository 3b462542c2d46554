"""The variance of a mean, of independent rows or of rows in groups."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsefire.statistics._check import cluster_codes


class MeanVariance(NamedTuple):
    """Variance of a mean; ``parts`` are the centred values per row, or their sums per group."""

    variance: float
    parts: np.ndarray
    units: int
    clusters: int | None


def mean_variance(values: np.ndarray, mean: float, clusters: Any = None) -> MeanVariance:
    """Return the variance of the mean of ``values`` [n].

    Σ(xᵢ − x̄)²/(n(n − 1)), or C/(C − 1)·Σ_c(Σ_{i∈c}(xᵢ − x̄))²/n² where a label per row says which C groups there are.

    >>> mean_variance(np.array([1.0, 3.0]), 2.0).variance
    1.0
    """
    rows = len(values)
    parts: np.ndarray = values - mean
    if clusters is None:
        return MeanVariance(float(np.square(parts).sum()) / (rows * (rows - 1)), parts, rows, None)
    codes, groups = cluster_codes(clusters, rows)
    parts = np.bincount(codes, weights=parts, minlength=groups)
    return MeanVariance(groups / (groups - 1) * float(np.square(parts).sum()) / rows**2, parts, groups, groups)
