"""Oracles: scipy.stats for moments, quantiles and limits; the coverage that a band promises."""

import sys

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.errors import UserError


def test_moments_and_quantiles_of_a_binomial():
    law = stats.binom(30, 0.3)
    found = SizeDistribution.from_pmf(law.pmf(np.arange(31)), "exact")
    assert found.mean() == pytest.approx(9.0)
    assert found.variance() == pytest.approx(6.3)
    q = np.linspace(0.001, 0.999, 50)
    assert np.array_equal(found.quantile(q), law.ppf(q))
    assert found.quantile(1.0) == 30
    assert found.quantile(0.0) == 0
    assert np.allclose(found.cdf, law.cdf(np.arange(31)), atol=1e-14)
    assert np.allclose(found.survival, law.sf(np.arange(31)), rtol=1e-11)
    assert found.log_likelihood([3, 9, 30]) == pytest.approx(law.logpmf([3, 9, 30]).sum())
    assert found.interval() is None
    assert found.samples is None
    assert "30 units, mean 9, exact" in repr(found)


def test_far_tail_lives_in_the_logarithms():
    found = SizeDistribution.from_log_pmf([0.0, -5000.0], "exact")
    assert found.pmf.tolist() == [1.0, 0.0]
    assert found.log_likelihood([1]) == -5000.0


def test_band_of_samples_covers():
    law = stats.binom(20, 0.4)
    inside, inside_points = 0, np.zeros(21)
    for seed in range(400):
        sizes = np.random.default_rng(seed).binomial(20, 0.4, 200)
        found = SizeDistribution.from_samples(sizes, 20)
        low, high = found.interval()
        truth = law.cdf(np.arange(21))
        inside += bool(np.all((low <= truth + 1e-12) & (truth <= high + 1e-12)))
        low, high = found.interval(0.95, simultaneous=False)
        inside_points += (low <= truth) & (truth <= high + 1e-12)
    assert inside >= 0.95 * 400 - 4 * np.sqrt(400 * 0.05 * 0.95)
    assert inside_points.min() >= 0.95 * 400 - 4 * np.sqrt(400 * 0.05 * 0.95)


def test_pointwise_limits_are_those_of_clopper_and_pearson():
    found = SizeDistribution.from_samples([0] * 3 + [1] * 7 + [2] * 90, 3)
    low, high = found.interval(0.9, simultaneous=False)
    for k, successes in ((0, 3), (1, 10), (2, 100)):
        exact = stats.binomtest(successes, 100).proportion_ci(0.9, "exact")
        assert (low[k], high[k]) == pytest.approx((exact.low, exact.high))


def test_frozen():
    found = SizeDistribution.from_pmf([0.5, 0.5], "exact")
    with pytest.raises(ValueError, match="read-only"):
        found.pmf[0] = 1.0


def test_wrong_input_names_the_entry():
    with pytest.raises(UserError) as caught:
        SizeDistribution.from_samples([0, 7], 3)
    assert "7 in entry 1" in caught.value.came
    with pytest.raises(UserError) as caught:
        SizeDistribution.from_samples([0.5], 3)
    assert "0.5 in entry 0" in caught.value.came
    with pytest.raises(UserError, match="no samples"):
        SizeDistribution.from_samples([], 3)
    with pytest.raises(UserError) as caught:
        SizeDistribution.from_pmf([0.5, np.nan], "exact")
    assert "nan in entry 1" in caught.value.came
    with pytest.raises(UserError, match="quantile"):
        SizeDistribution.from_pmf([1.0], "exact").quantile(1.5)
    with pytest.raises(UserError, match="level"):
        SizeDistribution.from_samples([1], 3).interval(1.0)


def test_plot_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(UserError, match="matplotlib"):
        SizeDistribution.from_pmf([0.5, 0.5], "exact").plot()


def test_plot_draws_on_given_axes():
    class Axes:
        def __getattr__(self, name):
            return lambda *args, **kwargs: calls.append(name)

    calls = []
    SizeDistribution.from_samples([0, 1, 1], 2).plot(Axes())
    assert calls == ["step", "fill_between", "set"]
