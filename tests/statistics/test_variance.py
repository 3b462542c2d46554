"""Oracles: NumPy's variance, and a cluster bootstrap."""

import numpy as np
import pytest

from sparsefire.statistics._variance import mean_variance


def test_rows_alone_give_the_usual_squared_standard_error():
    x = np.random.default_rng(0).normal(size=50)
    assert mean_variance(x, x.mean()).variance == pytest.approx(x.var(ddof=1) / 50, rel=1e-12)


def test_groups_of_one_row_are_rows():
    x = np.random.default_rng(1).normal(size=50)
    alone, grouped = mean_variance(x, x.mean()), mean_variance(x, x.mean(), np.arange(50))
    assert grouped.variance == pytest.approx(alone.variance, rel=1e-12)  # C/(C − 1)/n² is 1/(n(n − 1)) where C = n
    assert grouped.clusters == grouped.units == 50


def test_groups_agree_with_a_bootstrap_over_groups():
    rng = np.random.default_rng(2)
    sizes = rng.integers(2, 9, 120)
    labels = np.repeat(np.arange(120), sizes)
    x = rng.normal(size=120)[labels] + rng.normal(size=len(labels))
    sums, counts = np.bincount(labels, x), np.bincount(labels)
    draws = rng.integers(0, 120, (20_000, 120))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    found = mean_variance(x, x.mean(), np.array([f"patient {c}" for c in labels])).variance
    assert found == pytest.approx(means.var(), rel=0.04)
    assert found > 2 * mean_variance(x, x.mean()).variance
