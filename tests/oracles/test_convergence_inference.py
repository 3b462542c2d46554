"""Oracle: exponents, models, transitions and intervals from one run, against closed forms and plain NumPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import sparsefire as sf
from sparsefire.convergence.inference.online import random_scaling_quantile
from sparsefire.errors import UserError

conv = sf.convergence

# ---------------------------------------------------------------- exponents


@pytest.mark.parametrize("exponent", [-0.5, 0.25, 0.5, 1.0, 1.7])
def test_exact_powers_come_back(exponent: float) -> None:
    k = np.arange(1, 20_001)
    fit = conv.fit_rate(k, 3.0 * k**-exponent)
    assert fit.exponent == pytest.approx(exponent, abs=1e-10)
    assert fit.slope == pytest.approx(-exponent, abs=1e-10)
    assert fit.constant == pytest.approx(3.0, rel=1e-8)
    assert fit.interval() == pytest.approx((exponent, exponent), abs=1e-10)
    assert fit.runs == 0
    if exponent > 0:
        assert fit.window[1] == 20_000
    np.testing.assert_allclose(fit.predict([1, 50]), [3.0, 3.0 * 50**-exponent], rtol=1e-8)
    same, other = fit.compare(exponent, tolerance=1e-8), fit.compare(exponent + 0.1, tolerance=1e-3)
    assert same.compatible
    assert same.equivalent
    assert not other.compatible
    assert not other.equivalent
    pair = conv.fit_rate((k, 3.0 * k**-exponent))
    assert pair.exponent == pytest.approx(exponent, abs=1e-10)
    slopes = conv.local_slopes(k, 3.0 * k**-exponent, per_decade=2)
    np.testing.assert_allclose(slopes.slopes, -exponent, atol=1e-9)


def test_floors_and_logarithms_come_back() -> None:
    k = np.arange(1, 100_001)
    for a, c, f in ((1.0, 5.0, 0.01), (0.5, 2.0, 0.3), (1.5, 100.0, 1e-4), (1.0, 2.0, 0.0)):
        fit = conv.fit_rate(k, c * k**-a + f, model="floor", window=(10, 100_000))
        assert fit.exponent == pytest.approx(a, abs=1e-4)
        assert fit.constant == pytest.approx(c, rel=1e-3)
        assert fit.floor == pytest.approx(f, rel=1e-4, abs=1e-8)
    for a in (0.5, 1.0):
        curve = 7.0 * k.astype(float) ** -a * np.log(np.maximum(k, 2))
        fit = conv.fit_rate(k, curve, model="log", window=(100, 100_000))
        assert (fit.exponent, fit.constant) == pytest.approx((a, 7.0), rel=1e-9)
        assert fit.log_power == 1
        assert conv.choose_model(k, curve, window=(100, 100_000)).best.model == "log"
    assert conv.choose_model(k, 3 / k, window=(100, 100_000)).best.model == "power"
    assert conv.choose_model(k, 3 / k + 0.001, window=(100, 100_000)).best.model == "floor"


def test_the_exact_recursion_has_its_finite_exponent() -> None:
    r = conv.exact_risk("forward-gradient", dimension=10, steps=100_000, step_size=conv.harmonic(0.5, 72))
    assert conv.fit_rate(r, window=(10_000, 100_000)).exponent == pytest.approx(0.901, abs=0.01)
    assert conv.choose_model(r, window=(3000, 100_000)).best.model == "log"
    found = conv.simulate_risk(
        "forward-gradient", dimension=10, steps=20_000, step_size=conv.harmonic(1.0, 144), runs=600, rng=0
    )
    fit = conv.fit_rate(found)
    exact = conv.fit_rate(np.column_stack([found.steps, found.exact]).T[0], found.exact)
    low, high = fit.interval(0.9999)
    assert low < exact.exponent < high
    assert fit.compare(found, level=0.9999).compatible
    assert not fit.compare(exact.exponent + 1.0).compatible
    assert fit.exponent == pytest.approx(exact.exponent, abs=0.1)
    assert high - low < 0.4
    again = conv.fit_rate(found)
    assert again.interval() == fit.interval()


def test_intervals_of_exponents_cover() -> None:
    rng = np.random.default_rng(0)
    k = np.unique(np.geomspace(100, 1000, 12).astype(int))
    hits = short = 0
    for trial in range(150):
        scale = rng.gamma(4.0, 0.25, size=(25, 1))  # mean 1 and common to a path: points depend strongly
        bend = rng.normal(size=(25, 1)) * 0.3
        noise = scale * np.exp(bend * np.log(k / 300) - 0.045 * np.log(k / 300) ** 2)
        fit = conv.fit_rate(k, noise * 4.0 / k, resamples=200, window=(100, 1000), rng=trial)
        low, high = fit.interval(0.9)
        hits += low < 1.0 < high
        short += high - low < 0.02
    assert short == 0
    assert stats.binomtest(int(hits), 150, 0.9).pvalue > 1e-4


def test_exponents_in_other_variables() -> None:
    sizes = [40, 5, 10, 20]
    exact = [conv.asymptotic_constant("forward-gradient", dimension=d) for d in sizes]
    slope = np.polyfit(np.log(sizes), np.log(exact), 1)[0]
    assert conv.fit_powers(sizes, exact).slope == pytest.approx(slope, rel=1e-9)
    rng = np.random.default_rng(1)
    fit = conv.fit_powers([100, 200, 400, 800], [rng.chisquare(5, size=40) / n for n in (100, 200, 400, 800)])
    low, high = fit.interval(0.999)
    assert low < 1 < high
    assert fit.runs == 40


def test_fits_told_of_bad_input() -> None:
    k = np.arange(1, 101)
    noisy = np.abs(np.random.default_rng(0).normal(size=(30, 100))) + 0.1
    good = conv.fit_rate(k, 1 / k)
    for call in (
        lambda: conv.fit_rate([1, 2], [1.0, 2.0]),
        lambda: conv.fit_rate(k, 1 / k, model="cubic"),
        lambda: conv.fit_rate(k, 1 / k, statistic="mode"),
        lambda: conv.fit_rate(k, 1 / k, window=(200, 300)),
        lambda: conv.fit_rate(k, 1 / k, window=(50, 10)),
        lambda: conv.fit_rate(k, np.where(k > 90, 0.0, 1.0)),
        lambda: conv.fit_rate(k, np.where(k > 90, np.nan, 1.0)),
        lambda: conv.fit_rate(k, np.where(k > 90, np.inf, 1.0)),
        lambda: conv.fit_rate(k, noisy[:1]),
        lambda: conv.fit_rate(k, noisy, resamples=10),
        lambda: conv.fit_rate(k, noisy[:, :50]),
        lambda: conv.fit_rate(k[::-1], noisy),
        lambda: conv.fit_rate(k, np.where(noisy > 2, np.inf, noisy)),
        lambda: conv.fit_rate("curve"),
        lambda: conv.fit_rate(None),
        lambda: conv.choose_model(k, 1 / k, models=("cubic",)),
        lambda: conv.choose_model(k, noisy[:10]),
        lambda: conv.fit_powers([1, 2], [1.0, 2.0]),
        lambda: conv.fit_powers([1, 2, -3], [1.0, 2.0, 3.0]),
        lambda: conv.fit_powers([1, 2, 3], [1.0, 2.0]),
        lambda: good.interval(1.0),
        lambda: good.interval(parameter="slope"),
        lambda: good.predict(0.0),
        lambda: good.compare("one"),
    ):
        with pytest.raises(UserError):
            call()


# ---------------------------------------------------------------- transitions


def test_transitions() -> None:
    limit = conv.find_transition(
        lambda a: conv.spectral_radius("forward-gradient", step_size=a, dimension=10), 0.005, 0.1, target=1.0
    )
    assert limit.value == pytest.approx(2 / 144, abs=1e-9)
    assert limit.low <= 2 / 144 * (1 + 1e-9)
    assert limit.high >= 2 / 144 * (1 - 1e-9)
    jump = conv.find_transition(lambda x: x > 0.3, 0.0, 1.0)
    assert jump.low <= 0.3 <= jump.high
    assert jump.high - jump.low < 1e-9
    down = conv.find_transition(lambda x: 2 - x**3, 0.0, 5.0)
    assert down.value == pytest.approx(2 ** (1 / 3), rel=1e-9)
    assert conv.find_transition(lambda x: x - 1, 1.0, 3.0).value == pytest.approx(1.0, abs=1e-9)
    for x in (0.01, 0.1, 1.0, 10.0, 100.0):  # perturbation sizes of one query: risk · k / (σ² d²)
        found = conv.asymptotic_constant("one-query", dimension=5, law="rademacher", radius=math.sqrt(x / 5)) / 25
        assert found == pytest.approx(0.75 * (1 + x) ** 2 / x, rel=1e-8)
    least = conv.find_minimum(
        lambda c: conv.asymptotic_constant("one-query", dimension=5, law="rademacher", radius=c), 0.01, 10.0
    )
    assert least.argument == pytest.approx(1 / math.sqrt(5), rel=1e-5)
    assert least.value == pytest.approx(75.0, rel=1e-9)


def test_searches_in_noise() -> None:
    missed = 0
    for trial in range(12):
        found = conv.search_transition(
            lambda x, g: g.random(200) < 1 / (1 + np.exp(-4 * (x - 0.37))), 0.0, 1.0, width=0.15, rng=trial
        )
        missed += not found.low <= 0.37 <= found.high
        assert found.high - found.low < 0.5
    assert missed <= 3
    down = conv.search_transition(lambda x, g: 5 - x + g.normal(size=100), 0.0, 10.0, target=2.0, width=0.5, rng=1)
    assert down.low <= 3.0 <= down.high
    sure = conv.search_transition(lambda x, g: bool(x > 0.6), 0.0, 1.0, width=0.05, rng=0)
    assert sure.low <= 0.6 <= sure.high
    draws, grid = np.random.default_rng(3), np.linspace(-3, 3, 13)
    samples = [draws.random(3000) < 1 / (1 + np.exp(-2 * (x - 0.4))) for x in grid]
    peak = conv.susceptibility_peak(grid, samples, scale=3.0)
    np.testing.assert_allclose(peak.susceptibilities, [3.0 * np.var(s, ddof=1) for s in samples], rtol=1e-3)
    low, high = peak.interval(0.999)
    assert low < peak.value < high
    assert abs(peak.value - 0.403) < 4 * 0.0146  # delta method on three neighbours of the top; 0.003 from the grid
    for call in (
        lambda: conv.find_transition(lambda x: x, 1.0, 2.0),
        lambda: conv.find_transition(lambda x: float("nan"), -1.0, 2.0),
        lambda: conv.find_transition(lambda x: x, 2.0, -1.0),
        lambda: conv.find_minimum(lambda x: x, -1.0, 1.0),
        lambda: conv.find_minimum(lambda x: x, 2.0, 1.0),
        lambda: conv.search_transition(lambda x, g: g.random(50) < 0.9, 0.0, 1.0, rng=0),
        lambda: conv.susceptibility_peak([1.0, 2.0], [[1.0] * 9] * 2),
        lambda: conv.susceptibility_peak([1.0, 2.0, 3.0], [[1.0] * 9] * 2),
        lambda: conv.susceptibility_peak([3.0, 2.0, 1.0], [[1.0] * 9] * 3),
    ):
        with pytest.raises(UserError):
            call()


# ---------------------------------------------------------------- one long run


def test_batch_means_by_hand() -> None:
    rng = np.random.default_rng(4)
    run = rng.normal(size=(1003, 2)).cumsum(axis=0) * 0.01 + rng.normal(size=(1003, 2))
    found = conv.batch_means(run, length=100, burn_in=50)
    rest = run[50:]
    parts = rest[:900].reshape(9, 100, 2).mean(axis=1)
    np.testing.assert_allclose(found.mean(), rest.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.batches, parts, rtol=1e-12)
    sigma = 100 * np.cov(parts.T, ddof=1)
    np.testing.assert_allclose(found.long_run_covariance(), sigma, rtol=1e-10)
    np.testing.assert_allclose(found.covariance(), sigma / 953, rtol=1e-10)
    np.testing.assert_allclose(found.standard_error(), np.sqrt(np.diag(sigma) / 953), rtol=1e-10)
    low, high = found.interval(0.9)
    half = stats.t.ppf(0.95, 8) * np.sqrt(np.diag(sigma) / 953)
    np.testing.assert_allclose(high - low, 2 * half, rtol=1e-10)
    np.testing.assert_allclose((low + high) / 2, rest.mean(axis=0), rtol=1e-10)
    assert conv.batch_means(run, batches=10).length == 100
    one = conv.batch_means(run[:, 0], length=100)
    assert np.shape(one.mean()) == ()
    np.testing.assert_allclose(one.batches.ravel(), run[:1000, 0].reshape(10, 100).mean(axis=1), rtol=1e-12)


def test_online_batches_by_hand() -> None:
    rng = np.random.default_rng(5)
    for n in (20, 64, 65, 200, 777, 1024):
        run = rng.normal(size=(n, 3))
        online = conv.OnlineInterval(batches=8, burn_in=3)
        for row in run:
            online.update(row)
        rest = run[3:]
        found = online.batch_means()
        length = found.length
        count = len(rest) // length
        assert math.log2(length).is_integer()
        assert 8 <= count <= 16
        assert len(found.batches) == count
        np.testing.assert_allclose(
            found.batches, rest[: count * length].reshape(count, length, 3).mean(axis=1), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(online.mean(), rest.mean(axis=0), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(online.covariance(), found.covariance(), rtol=1e-12)
        for ours, theirs in zip(online.interval(), found.interval(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_random_scaling_by_hand() -> None:
    run = np.random.default_rng(6).normal(size=(300, 2)).cumsum(axis=0)
    found = conv.random_scaling(run, burn_in=20)
    rest = run[20:]
    k = len(rest)
    s = np.arange(1, k + 1)[:, None]
    averages = rest.cumsum(axis=0) / s
    v = (s**2 * (averages - averages[-1]) ** 2).sum(axis=0) / k**2
    np.testing.assert_allclose(found.mean(), rest.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.scale(), np.sqrt(v / k), rtol=1e-8)
    low, high = found.interval(0.9)
    np.testing.assert_allclose(high - low, 2 * random_scaling_quantile(0.95) * np.sqrt(v / k), rtol=1e-8)


@pytest.mark.parametrize("q", [0.6, 0.9, 0.95, 0.975, 0.995])
def test_quantiles_of_random_scaling_by_inversion(q: float) -> None:
    """P(Z² > t² ∫ bridge²) by Gil-Pelaez: E e^(iu(Z² - t²U)) = (1 - 2iu)^(-1/2) (y / sinh y)^(1/2), y = √(2iut²)."""
    t = random_scaling_quantile(q)

    def integrand(log_u: float) -> float:
        u = math.exp(log_u)
        y = np.sqrt(2j * u * t * t)
        log = -0.5 * np.log(1 - 2j * u) + 0.5 * (np.log(2 * y) - y - np.log1p(-np.exp(-2 * y)))
        return float(np.exp(log).imag)

    edges = np.linspace(-40, 12, 105)
    total = sum(integrate.quad(integrand, a, b)[0] for a, b in itertools.pairwise(edges))
    assert 0.5 + total / math.pi == pytest.approx(2 * (1 - q), abs=1e-6)


def test_intervals_from_one_run_cover() -> None:
    rng = np.random.default_rng(7)
    runs, k, rho = 800, 4000, 0.8
    walk = np.zeros((k, runs))
    shocks = rng.normal(size=(k, runs))
    walk[0] = shocks[0] / math.sqrt(1 - rho**2)
    for i in range(1, k):
        walk[i] = rho * walk[i - 1] + shocks[i]
    for found in (conv.batch_means(walk, length=200), conv.random_scaling(walk)):
        low, high = found.interval()
        covered = float(((low < 0) & (high > 0)).mean())
        assert 0.92 < covered < 0.98
    variance = conv.batch_means(walk, length=200).standard_error() ** 2 * k
    assert float(variance.mean()) == pytest.approx(25.0, rel=0.06)


def test_one_run_told_of_bad_input() -> None:
    run = np.arange(20.0)
    hurt: Any = run.copy()
    hurt[3] = np.nan
    for call in (
        lambda: conv.batch_means(run, length=11),
        lambda: conv.batch_means(run, length=0),
        lambda: conv.batch_means(run, batches=1),
        lambda: conv.batch_means(run, batches=21),
        lambda: conv.batch_means(run, length=5, burn_in=20),
        lambda: conv.batch_means(run, length=5, burn_in=-1),
        lambda: conv.batch_means(hurt, length=5),
        lambda: conv.batch_means(3.0, length=5),
        lambda: conv.batch_means(run, length=5).interval(0.0),
        lambda: conv.OnlineInterval(batches=2),
        lambda: conv.OnlineInterval(burn_in=-1),
        lambda: conv.OnlineInterval().interval(),
        lambda: conv.random_scaling(hurt),
        lambda: conv.random_scaling(run, burn_in=20).interval(),
        lambda: random_scaling_quantile(1.0),
    ):
        with pytest.raises(UserError):
            call()
    online = conv.OnlineInterval()
    online.update([1.0, 2.0])
    with pytest.raises(UserError):
        online.update([1.0, 2.0, 3.0])
    online.update([1.0, float("inf")])
    with pytest.raises(UserError):
        online.mean()
