"""Oracles: real sparse networks in NumPy, the exact law of dense layers, simulated moments of one layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sparsefire.errors import UserError
from sparsefire.propagation.laws.finite_width import norm_law
from sparsefire.propagation.laws.log_norm import log_norm
from sparsefire.propagation.laws.sparse import active_law, dead_law, kurtosis

REJECT = 0.01


def places(cells, count, rng):
    """A uniformly random set of cells."""
    drawn = rng.integers(cells, size=count + count // 4 + 200)
    first = np.unique(drawn, return_index=True)[1]
    return drawn[np.sort(first)[:count]]


def network(n, density, depth, rng, weights="normal"):
    """log |x_L|² / |x_0|² and the number of dead units of the last layer; masks have exact counts."""
    count = round(density * n * n)
    x = rng.standard_normal(n)
    first = x @ x
    for _ in range(depth):
        row, column = np.divmod(places(n * n, count, rng), n)
        w = rng.standard_normal(count) if weights == "normal" else rng.choice([-1.0, 1.0], count)
        h = np.bincount(row, w * np.sqrt(2 / (density * n)) * x[column], minlength=n)
        x = np.maximum(h, 0)
    with np.errstate(divide="ignore"):
        return np.log(x @ x / first), int((h == 0).sum())


def fan_ins(n, density):
    return stats.hypergeom(n * n, round(density * n * n), n)


def compare(n, density, depth, nets, runs, weights="normal"):
    rng = np.random.default_rng(1000 * n + round(1e5 * density))
    found = np.array([network(n, density, depth, rng, weights) for _ in range(nets)])
    law = fan_ins(n, density)
    predicted = log_norm(law, depth, n, weights, runs=runs, rng=0)
    if predicted.runs:
        assert stats.ks_2samp(found[:, 0], predicted.samples[-1]).pvalue > REJECT
    else:
        assert stats.kstest(found[:, 0], lambda v: predicted.cdf(v)[..., -1]).pvalue > REJECT
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        low, high = (end[-1] for end in predicted.interval(q, 0.999))
        tail = stats.binom(nets, q).interval(0.9999)
        assert tail[0] <= (found[:, 0] <= high).sum()
        assert (found[:, 0] < low).sum() <= tail[1]
    dead = dead_law(law, depth, n, distinct=True, inputs="plain")[-1]
    counts = found[:, 1].astype(int)
    ranks = np.cumsum(dead)[counts] - dead[counts] * rng.random(nets)  # uniform if the law is right
    assert stats.kstest(ranks, "uniform").pvalue > REJECT
    return predicted


@pytest.mark.parametrize(("density", "method"), [(0.02, "population"), (0.06, "normal")])
def test_real_networks(density, method):
    assert compare(256, density, 30, 240, 4_000).method == method


def test_real_networks_with_signs():
    assert compare(128, 0.04, 15, 240, 4_000, "sign").method == "population"


@pytest.mark.slow
@pytest.mark.parametrize("density", [0.01, 0.03])
def test_real_networks_400(density):
    compare(512, density, 50, 400, 8_000)


def test_the_population_of_dense_layers_is_exact():
    exact = norm_law([10, 6, 9, 9])
    found = log_norm([10, 6, 9], width=[10, 6, 9, 9], runs=40_000, method="population", rng=1)
    assert abs(found.dead[-1] - exact.atom) <= 4 * np.sqrt(exact.atom / found.runs)
    alive = np.exp(found.samples[-1][found.samples[-1] > -np.inf])
    assert stats.kstest(alive, lambda r: (exact.cdf(r) - exact.atom) / (1 - exact.atom)).pvalue > REJECT
    low, high = found.interval(0.3, 0.999)
    assert low[-1] < exact.log_quantile(0.3) < high[-1]


@pytest.mark.parametrize("n", [128, 512])
def test_the_normal_law_of_dense_layers(n):
    found, exact = log_norm(n, 30, n, method="normal"), norm_law(n, 30)
    z = np.linspace(-6, 4, 101)
    gap = np.abs(found.cdf(z)[:, -1] - exact.cdf(np.exp(z))).max()
    assert gap <= found.error <= 0.035
    assert found.drift() == pytest.approx(-np.log1p(5 / n) / 2)
    assert found.spread() == pytest.approx(np.sqrt(np.log1p(5 / n)))


@pytest.mark.parametrize("k", [12, 24])
def test_the_normal_law_against_the_population(k):
    normal, sampled = (log_norm(k, 20, 256, method=m, runs=6_000, rng=2) for m in ("normal", "population"))
    gap = stats.kstest(sampled.samples[-1], lambda v: normal.cdf(v)[..., -1]).statistic
    assert gap <= normal.error + 1.63 / np.sqrt(6_000)
    np.testing.assert_allclose(normal.participation, sampled.participation, rtol=0.08)
    low, high = sampled.drift_interval(0.9999)
    assert low - 0.01 * normal.spread() <= normal.drift() <= high + 0.01 * normal.spread()
    np.testing.assert_allclose(normal.deviations, sampled.deviations, rtol=0.05)


@pytest.mark.parametrize("weights", ["normal", "uniform", "sign"])
@pytest.mark.parametrize("scaled", ["mean", "actual"])
@pytest.mark.parametrize("k", [3, [0.1, 0.2, 0.3, 0.1, 0.3], 7])
def test_one_layer_has_the_stated_moments(weights, scaled, k):
    n, units = 8, 5
    x = np.array([3.0, -1, 1, 0.5, 0, 0, 0.2, 1])
    args = {"weights": weights, "scaled": scaled, "x": x}
    found = log_norm(k, 1, [n, units], method="population", runs=60_000, rng=3, **args)
    ratio = np.exp(found.samples[0])
    law = log_norm(k, 1, [n, units], method="normal", **args)
    spread = np.expm1(law.deviations[0] ** 2)
    mean = np.exp(law.means[0] + np.log1p(spread) / 2)
    assert abs(ratio.mean() - mean) <= 4 * ratio.std() / np.sqrt(len(ratio))
    square = (ratio - mean) ** 2
    assert abs(square.mean() - spread * mean**2) <= 4 * square.std() / np.sqrt(len(ratio))


def test_dead_signals_are_counted():
    found = log_norm(2, 30, 20, runs=20_000, rng=4)
    exact = active_law(2, 30, 20, distinct=True, inputs="plain")[:, 0]
    assert (np.abs(found.dead - exact) <= 4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-12).all()
    assert found.quantile(exact[-1] / 2)[-1] == -np.inf
    assert found.quantile(0.999)[-1] > -np.inf
    told = log_norm(4, 30, 8, "sign", method="normal").dead
    np.testing.assert_allclose(told, active_law(4, 30, 8, distinct=True, inputs="plain")[:, 0])


def test_participation_follows_the_kurtosis():
    n, k = 2048, 16
    found = log_norm(k, 8, n, runs=100, method="population", rng=5)
    expected = 2 * kurtosis(k, 8, start=1.5) / n
    np.testing.assert_allclose(found.participation, expected, rtol=0.08)


def test_localisation_widens_the_gap():
    drifts = [log_norm(k, 20, 128, runs=1_500, rng=6).drift() for k in (24, 6, 3)]
    assert drifts[0] > drifts[1] > drifts[2]
    assert drifts[1] < log_norm(6, 20, 128, "sign", runs=1_500, rng=6).drift()


def test_scales():
    plain, louder = (log_norm(4, 5, 64, weight_variance=v, runs=200, rng=7) for v in (2.0, 3.0))
    np.testing.assert_allclose(louder.samples - plain.samples, np.log(1.5) * np.arange(1, 6)[:, None] + np.zeros(200))
    np.testing.assert_allclose(
        log_norm(16, 3, 400, weight_variance=3.0).means - log_norm(16, 3, 400).means, np.log(1.5) * np.arange(1, 4)
    )
    fixed = [log_norm(4, 5, 64, scaled=scaled, runs=50, rng=8).samples for scaled in ("mean", "actual")]
    np.testing.assert_allclose(*fixed)


def test_summaries():
    law = log_norm(16, 10, 512)
    assert law.method == "normal"
    np.testing.assert_allclose(law.quantile(0.5), law.means)
    assert law.quantile([[0.1, 0.2, 0.3]]).shape == (1, 3, 10)
    assert law.cdf([0.0, 1.0]).shape == (2, 10)
    low, high = law.interval(0.5)
    assert (low < law.means).all()
    assert (law.means < high).all()
    assert law.drift_interval() == (law.drift(), law.drift())
    sampled = log_norm(4, 10, 100, runs=300, rng=9)
    assert sampled.quantile([0.1, 0.2]).shape == (2, 10)
    np.testing.assert_allclose(sampled.cdf(sampled.quantile(0.5)[-1])[-1], 0.5)
    half = special.ndtri(0.975) * sampled.deviations[-1] / np.sqrt(300) / 10
    assert sampled.drift_interval()[1] == pytest.approx(sampled.drift() + half)
    assert (log_norm(4, 10, 100, runs=300, rng=9).samples == sampled.samples).all()
    assert (log_norm(4, 10, 100, runs=300, rng=10).samples != sampled.samples).any()
    assert np.isnan(log_norm(4, 10, 100, method="normal").error)


def test_all_is_dead():
    law = log_norm(0, 3, 10, runs=10, rng=0)
    assert law.dead.tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(law.drift())
    assert law.quantile(0.5).tolist() == [-np.inf] * 3


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(0, 5), st.sampled_from(["normal", "sign"]))
@settings(max_examples=30, deadline=None)
def test_any_widths(widths, k, weights):
    k = min(k, *widths)
    law = log_norm(k, None, widths, weights, runs=40, method="population", rng=0)
    assert (np.diff(law.dead) >= 0).all()
    assert (law.samples[:, 1:] >= law.samples[:, :-1]).all()
    alive = law.dead < 1
    assert (law.participation[alive] <= 1 + 1e-12).all()
    assert (law.participation[alive] >= 1 / np.array(widths[1:])[alive] - 1e-12).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_norm(3, 5),
        lambda: log_norm(3, 5, 0),
        lambda: log_norm(6, 5, 5),
        lambda: log_norm(3, 5, 8, "cauchy"),
        lambda: log_norm(3, 5, 8, 2.0, method="population"),
        lambda: log_norm(3, 5, 8, method="exact"),
        lambda: log_norm(3, 5, 8, scaled="own"),
        lambda: log_norm(3, 5, 8, runs=1),
        lambda: log_norm(3, 5, 8, weight_variance=0.0),
        lambda: log_norm(3, 5, 8, x=np.zeros(8)),
        lambda: log_norm(3, 5, 8, x=np.ones(7)),
        lambda: log_norm(0, 5, 8, method="normal"),
        lambda: log_norm(3, 5, 8, runs=5).quantile(-0.1),
        lambda: log_norm(3, 5, 8, runs=5).interval(0.5, 1.0),
        lambda: log_norm(3, 5, 8, runs=5).drift_interval(1.0),
    ],
)
def test_wrong_use(call):
    with pytest.raises(UserError):
        call()
