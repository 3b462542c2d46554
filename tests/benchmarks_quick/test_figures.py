"""Oracles: SciPy's t tests; Fieller's interval by its definition and by coverage."""

import math

import numpy as np
import pytest
from figures import difference, mean, share
from scipy import stats


def test_the_mean_is_that_of_scipy():
    values = np.random.default_rng(3).normal(1, 1, 7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean(values, level=0.9) == pytest.approx((values.mean(), low, high))


def test_the_difference_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert difference(a, b) == pytest.approx(((a - b).mean(), low, high))


def test_one_value_shows_nothing():
    assert mean([0.5]) == (0.5, -math.inf, math.inf)
    assert difference([0.5], [0.25]) == (0.25, -math.inf, math.inf)


def test_the_ends_of_the_share_are_where_a_t_test_just_rejects():
    rng = np.random.default_rng(1)
    base, gap = rng.normal(95, 0.1, 10), rng.normal(0.7, 0.1, 10)
    ours = base + rng.normal(0.5, 0.1, 10)
    middle, low, high = share(ours, base + gap, base)
    assert low < middle < high
    for end in (low, high):
        assert stats.ttest_1samp(ours - base - end * gap, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_the_share_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    held = []
    for _ in range(2000):
        base = rng.normal(0, 1, 10)
        found = share(base + rng.normal(0.6, 0.3, 10), base + rng.normal(1.0, 0.3, 10), base)
        held.append(found is not None and found[1] <= 0.6 <= found[2])
    assert abs(np.mean(held) - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_no_share_where_no_gap_is_shown():
    assert share([1.0, 2.0, 3.0], [0.0, 1.1, -1.2], [0.0, 0.0, 0.0]) is None
    assert share([1.0, 2.0, 3.0], [-1.0, -1.1, -1.2], [0.0, 0.0, 0.0]) is None
