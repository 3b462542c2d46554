"""Oracles: mixtures of χ² laws from SciPy, quadrature, closed forms of moments, simulated chains and real networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from sparsefire.errors import UserError
from sparsefire.propagation.laws import finite_width
from sparsefire.propagation.laws.finite_width import norm_law, norm_moments

REJECT = 1e-3  # a KS test below this fails; rng is fixed


def one_layer(n, s, terms=stats.binom):
    """P(S ≤ s) for S = Σ_j Bin(n, 1/2)(j) χ²_j."""
    j = np.arange(1, n + 1)
    return 0.5**n + (terms.pmf(j, n, 0.5) * stats.chi2.cdf(np.asarray(s)[..., None], j)).sum(-1)


def chain(widths, v, b2, runs, rng, start=1.0):
    """Samples of |x_L|² / |x_0|² by the Markov chain."""
    first = y = np.full(runs, widths[0] * start)
    for before, n in pairwise(widths):
        active = rng.binomial(n, 0.5, runs)
        y = (v / before * y + b2) * np.where(active > 0, rng.chisquare(np.maximum(active, 1)), 0)
    return y / first


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 1000])
def test_one_layer_is_a_mixture(n):
    law = norm_law(n, 1)
    ratio = np.array([1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0, 20.0])
    np.testing.assert_allclose(law.cdf(ratio), one_layer(n, ratio * n / 2), atol=2e-12)
    assert law.atom == pytest.approx(0.5**n, rel=1e-12)


def test_figures_of_the_reference():
    assert norm_law(100, 20).second_moment() == pytest.approx(1.05**20, rel=1e-13)
    assert round(norm_law(100, 20).second_moment(), 3) == 2.653
    assert norm_law(10, 1).cdf(1.0) == pytest.approx(0.583575, abs=1e-6)
    assert norm_law(5, 1).atom == pytest.approx(2.0**-5, rel=1e-14)
    assert norm_law(5, 3).atom == pytest.approx(1 - (1 - 2.0**-5) ** 3, rel=1e-14)
    assert norm_law(100, 20).atom == pytest.approx(20 * 2.0**-100, rel=1e-12)
    assert norm_law(2000, 5).atom == 0.0


def test_moments_are_those_of_the_distribution_function():
    for law in (norm_law(30, 4), norm_law([9, 30, 20], bias_variance=0.2, weight_variance=1.3)):
        z = np.linspace(law.low, law.low + law.period, 8_001)
        above = 1 - law.cdf(np.exp(z))
        for power, moment in ((1, law.mean()), (2, law.second_moment())):
            found = integrate.simpson(power * np.exp(power * z) * above, x=z) + np.exp(power * law.low)
            assert found == pytest.approx(moment, rel=1e-6)


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=6),
    st.floats(0.1, 4.0),
    st.sampled_from([0.0, 0.01, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_a_law_for_all_widths(widths, v, b2):
    law = norm_law(widths, weight_variance=v, bias_variance=b2)
    q = np.linspace(law.atom, 1, 9)[1:-1]
    np.testing.assert_allclose(law.cdf(law.quantile(q)), q, atol=1e-9)
    values = law.cdf(np.exp(np.linspace(law.low, law.low + law.period, 300)))
    assert (np.diff(values) >= -1e-9).all()
    assert values[-1] == pytest.approx(1, abs=1e-9)
    assert law.variance() > 0
    assert law.error < 1e-6


@pytest.mark.parametrize(
    ("widths", "v", "b2"),
    [([8] * 6, 2.0, 0.0), ([30, 3, 50, 1], 1.0, 0.0), ([6] * 9, 1.5, 0.3), ([100, 20, 40], 2.0, 1e-6)],
)
def test_against_the_sampled_chain(widths, v, b2):
    rng = np.random.default_rng(3)
    law = norm_law(widths, weight_variance=v, bias_variance=b2, input_square=0.7)
    found = chain(widths, v, b2, 40_000, rng, start=0.7)
    assert abs((found == 0).mean() - law.atom) <= 4 * np.sqrt(law.atom * (1 - law.atom) / len(found)) + 1e-12
    alive = found[found > 0]
    conditional = lambda x: (law.cdf(x) - law.atom) / (1 - law.atom)  # noqa: E731
    assert stats.kstest(alive, conditional).pvalue > REJECT
    assert abs(found.mean() - law.mean()) <= 4 * np.sqrt(law.variance() / len(found))


def test_two_layers_with_bias_by_quadrature():
    n, v, b2 = 6, 1.7, 0.4
    law = norm_law(n, 2, weight_variance=v, bias_variance=b2)
    j = np.arange(1, n + 1)
    density = lambda s: (stats.binom.pmf(j, n, 0.5) * stats.chi2.pdf(s, j)).sum()  # noqa: E731
    for ratio in (0.05, 0.6, 1.0, 3.0):

        def under(log, ratio=ratio):
            s = np.exp(log)
            return density(s) * s * one_layer(n, n * ratio / (v / n * (v + b2) * s + b2))

        found, _ = integrate.quad(under, -60, 6, epsabs=1e-12, limit=400)
        found += 0.5**n * one_layer(n, n * ratio / b2)
        assert law.cdf(ratio) == pytest.approx(found, abs=1e-9)
    assert law.error < 1e-8


def test_a_small_bias_is_none():
    plain, small = norm_law(40, 6), norm_law(40, 6, bias_variance=1e-13)
    q = np.linspace(0.01, 0.99, 21)
    np.testing.assert_allclose(small.quantile(q), plain.quantile(q), rtol=1e-8)


def test_mean_of_the_logarithm_by_digamma():
    n, depth = 20, 4
    law = norm_law(n, depth)
    z = np.linspace(law.low, law.low + law.period, 8_001)
    mean = z[-1] - integrate.simpson((law.cdf(np.exp(z)) - law.atom) / (1 - law.atom), x=z)
    j = np.arange(1, n + 1)
    chances = stats.binom.pmf(j, n, 0.5)
    expected = (chances * (special.digamma(j / 2) + np.log(2))).sum() / chances.sum() + np.log(2 / n)
    assert mean == pytest.approx(depth * expected, abs=1e-8)


def test_real_networks():
    rng, n, depth, nets = np.random.default_rng(5), 24, 6, 600
    found = np.empty(nets)
    x0 = rng.uniform(-1, 2, n)  # any input will do
    for at in range(nets):
        x = x0
        for _ in range(depth):
            x = np.maximum(rng.normal(0, np.sqrt(2 / n), (n, n)) @ x, 0)
        found[at] = x @ x / (x0 @ x0)
    assert stats.kstest(found, norm_law(n, depth).cdf).pvalue > REJECT


def test_the_table():
    table = norm_moments([50, 100, 25], quantiles=(0.1, 0.9))
    assert table.columns.tolist() == ["mean", "second_moment", "median", "q0.1", "q0.9", "atom"]
    assert table.index.tolist() == [1, 2]
    assert table["mean"].tolist() == pytest.approx([2.0, 0.5])
    assert table.loc[2, "median"] == norm_law([50, 100, 25]).median()
    deep = norm_moments(100, 50)
    assert (np.diff(deep["median"]) < 0).all()
    np.testing.assert_allclose(deep["mean"], 1)


def test_far_below_what_a_float_holds():
    law = norm_law(3, 300, weight_variance=0.5)
    assert law.quantile(law.atom + (1 - law.atom) / 2) == 0.0 or law.atom == 1.0
    law = norm_law(60, 800, weight_variance=0.2)
    assert -1900 < law.log_quantile(0.5) < -1800
    assert law.quantile(0.5) == 0.0
    assert law.quantile([0.0, 1.0]).tolist() == [0.0, np.inf]
    low, high = norm_law(60, 3).interval(0.9)
    assert low < norm_law(60, 3).median() < high


@pytest.mark.parametrize(
    "call",
    [
        lambda: norm_law(0, 3),
        lambda: norm_law(3),
        lambda: norm_law(3, 0),
        lambda: norm_law([3]),
        lambda: norm_law([3, 4], 5),
        lambda: norm_law(2.5, 1),
        lambda: norm_law(True, 1),
        lambda: norm_law(3, 1, weight_variance=0.0),
        lambda: norm_law(3, 1, bias_variance=-1.0),
        lambda: norm_law(3, 1, bias_variance=np.nan),
        lambda: norm_law(3, 1, input_square=0.0),
        lambda: norm_law(3, 1).quantile(1.5),
        lambda: norm_law(3, 1).cdf(np.nan),
    ],
)
def test_wrong_use(call):
    with pytest.raises(UserError):
        call()


def test_home_of_the_gram_chain():
    assert "gram_chain" in finite_width.__all__
    assert finite_width.gram_chain(4, 1, runs=2, rng=0).runs == 2
