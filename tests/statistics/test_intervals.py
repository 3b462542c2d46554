"""Oracles: SciPy's Wilson and t intervals, closed forms, coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.statistics import accuracy_interval, auc_interval, mean_interval, r2_interval, score_interval, wilson


@given(st.integers(1, 5000), st.data())
def test_wilson_is_scipys(n, data):
    k = data.draw(st.integers(0, n))
    value, low, high = wilson(k, n)
    other = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert value == k / n
    assert (low, high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_mean_is_scipys_t_interval():
    x = np.random.default_rng(0).normal(size=40)
    value, low, high = mean_interval(x, level=0.9)
    assert value == pytest.approx(x.mean())
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 39, x.mean(), stats.sem(x)))
    assert mean_interval(x, np.arange(40), 0.9) == pytest.approx((value, low, high))


def test_grouped_accuracy_counts_groups_where_rows_repeat():
    right = np.repeat(np.arange(40) % 4 > 0, 10)
    value, low, high = accuracy_interval(right, clusters=np.repeat(np.arange(40), 10))
    assert value == 0.75
    _, group_low, group_high = wilson(30, 40)
    assert low == pytest.approx(group_low, abs=0.01)
    assert high == pytest.approx(group_high, abs=0.01)
    assert accuracy_interval(np.ones(400), clusters=np.repeat(np.arange(40), 10))[1] < wilson(40, 40)[1] + 1e-9


def test_auc_of_a_perfect_ranking_is_not_certain():
    value, low, high = auc_interval([0] * 50 + [1] * 10, np.arange(60))
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(wilson(10, 10)[1])
    assert auc_interval([0, 0, 1], [1, 3, 2])[1] < 0.5 < auc_interval([0, 0, 1], [1, 3, 2])[2]


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.5])
def test_auc_interval_covers(strength):
    rng, sets = np.random.default_rng(1), 800
    truth = stats.norm.cdf(strength / np.sqrt(2))
    y = np.array([1] * 30 + [0] * 70)
    hits = 0
    for _ in range(sets):
        _, low, high = auc_interval(y, rng.normal(size=100) + strength * y)
        hits += low <= truth <= high
    assert 0.95 - 3 * np.sqrt(0.05 * 0.95 / sets) <= hits / sets


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_r2_interval_covers(noise):
    rng, sets = np.random.default_rng(2), 800
    truth = 1 - noise**2  # prediction = target + noise, variance of the target 1
    hits = 0
    for _ in range(sets):
        y = rng.normal(size=150)
        _, low, high = r2_interval(y, y + noise * rng.normal(size=150))
        hits += low <= truth <= high
    assert abs(hits / sets - 0.95) <= 3 * np.sqrt(0.05 * 0.95 / sets) + 0.01


def test_r2_does_not_depend_on_units_and_stays_below_one():
    rng = np.random.default_rng(3)
    y = rng.normal(size=60)
    guess = y + 0.01 * rng.normal(size=60)
    value, low, high = r2_interval(y, guess)
    assert low < value < high < 1
    assert r2_interval(5 - 100 * y, 5 - 100 * guess) == pytest.approx((value, low, high))
    assert r2_interval(y, y) == (1.0, 1.0, 1.0)


def test_by_name():
    rng = np.random.default_rng(4)
    y, p = rng.integers(0, 2, 80), rng.random(80)
    assert score_interval("auc", y, p) == auc_interval(y, p)
    assert score_interval("accuracy", y, p > 0.5)[0] == ((p > 0.5) == y).mean()
    assert score_interval("r2", p, p**2) == r2_interval(p, p**2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: wilson(0, 0),
        lambda: wilson(1, 2, level=1.0),
        lambda: mean_interval([1.0]),
        lambda: auc_interval([1, 1], [1, 2]),
        lambda: r2_interval([2.0, 2.0], [1.0, 2.0]),
        lambda: score_interval("f1", [0, 1], [0, 1]),
    ],
)
def test_wrong_input_is_refused(call):
    with pytest.raises(UserError):
        call()
