"""Oracle: laws and statistics of spike trains against quadrature, matrix formulas and loops over all spikes.

Cox 1962, Renewal Theory; Hawkes 1971 (doi:10.1093/biomet/58.1.83); Brown et al. 2002 (doi:10.1162/08997660252741149);
Haslinger, Pipa, Brown 2010 (doi:10.1162/NECO_a_00015); Shinomoto et al. 2003 (doi:10.1162/089976603322518759).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, special, stats

from sparsefire import spiking as sp
from sparsefire.errors import UserError

HAZARDS = {
    "exponential": lambda x: 100 * np.exp(x / 2),
    "linear": lambda x: 100 * np.maximum(x, 0) / 2,
    "erf": lambda x: 100 * (1 + special.erf(x / 2)),
}


@pytest.mark.parametrize("form", list(HAZARDS))
def test_escape_law_by_quadrature(form: str) -> None:
    tau, drive, top, dead = 20e-3, 20.0, 15.0, 3e-3
    law = sp.EscapeLIF(tau, drive, top, escape=sp.Escape(100.0, 2.0, form), refractory=dead)
    s = np.linspace(0, 1.0, 400_001)
    hazard = HAZARDS[form](drive * (1 - np.exp(-s / tau)) - top)
    total = np.concatenate([[0.0], integrate.cumulative_trapezoid(hazard, s)])
    alive = np.exp(-total)
    first = integrate.simpson(alive, x=s)
    second = 2 * integrate.simpson(s * alive, x=s)
    cv = math.sqrt(second - first**2) / (dead + first)
    assert law.mean == pytest.approx(dead + first, rel=1e-6)
    assert law.rate == pytest.approx(1 / (dead + first), rel=1e-6)
    assert law.cv == pytest.approx(cv, rel=1e-5)
    at = np.array([1e-3, 2e-3, 10e-3, 30e-3, 60e-3])
    np.testing.assert_allclose(law.survival(at), np.interp(at - dead, s, alive, left=1.0), atol=1e-7)
    np.testing.assert_allclose(law.density(at), law.hazard(at) * law.survival(at), rtol=1e-6, atol=1e-9)
    spikes = law.sample(60.0, 40, rng=1)
    gaps = np.concatenate([np.diff(train) for train in spikes.trains()])
    assert abs(gaps.mean() - law.mean) < 4 * gaps.std() / math.sqrt(len(gaps)) + 1e-3 * law.mean
    assert stats.kstest(1 - law.survival(gaps), "uniform").pvalue > 1e-4
    assert abs(spikes.counts.mean() - 60.0 * law.rate) < 4 * math.sqrt(60 * law.rate * law.cv**2 / 40)


def test_published_escape_values() -> None:
    law = sp.EscapeLIF(20e-3, 20.0, 15.0, escape=sp.Escape(rate=100.0, width=2.0))
    assert law.mean == pytest.approx(28.327e-3, abs=5e-7)
    assert law.cv == pytest.approx(0.25547, abs=5e-6)


@pytest.mark.parametrize(
    "law", [sp.PoissonDeadTime(50.0, 5e-3), sp.GammaRenewal(4.0, 20.0), sp.GammaRenewal(0.5, 30.0), sp.EscapeLIF()]
)
def test_renewal_identities_and_stationary_counts(law: Any) -> None:
    mean = integrate.quad(lambda s: float(law.survival(s)), 0, 2, limit=400, points=[5e-3])[0]
    second = 2 * integrate.quad(lambda s: s * float(law.survival(s)), 0, 2, limit=400, points=[5e-3])[0]
    assert law.mean == pytest.approx(mean, rel=1e-6)
    assert law.cv == pytest.approx(math.sqrt(second - mean**2) / mean, rel=1e-5)
    trains, window = 4000, 0.3
    counts = law.sample(window, trains, rng=3).counts
    assert abs(counts.mean() - window * law.rate) < 4 * counts.std() / math.sqrt(trains), "the train is stationary"
    kurtosis = stats.kurtosis(counts)
    error = counts.var() / counts.mean() * math.sqrt((kurtosis + 2) / trains)
    assert abs(counts.var() / counts.mean() - law.fano(window)) < 4.5 * error + 2e-3
    assert law.fano(2000.0) == pytest.approx(law.cv**2, rel=1e-2)
    z = sp.rescale(law.sample(40.0, 1, rng=4), law).pooled
    assert stats.kstest(z, "expon").pvalue > 1e-4


def test_closed_forms() -> None:
    law = sp.PoissonDeadTime(50.0, 5e-3)
    assert (law.rate, law.cv) == (pytest.approx(40.0), pytest.approx(0.8))
    assert law.fano(5e3) == pytest.approx(0.64, rel=1e-3)
    gamma = sp.GammaRenewal(4.0, 20.0)
    assert gamma.cv == 0.5
    assert gamma.fano(5.0) == pytest.approx(0.25156, abs=1e-5)
    free = sp.HazardRenewal(lambda s: 3000.0 * s)  # Rayleigh
    assert free.mean == pytest.approx(math.sqrt(math.pi / 6000), rel=1e-7)
    assert free.cv == pytest.approx(math.sqrt(4 / math.pi - 1), rel=1e-7)


# ---------------------------------------------------------------- Hawkes

MU, N, BETA = np.array([2.0, 1.0]), np.array([[0.3, 0.4], [0.1, 0.5]]), 8.0


def test_hawkes_moments() -> None:
    law = sp.Hawkes(1.0, 0.5, 2.0)
    assert law.rates[0] == 2.0
    assert law.fano(40.0)[0] == pytest.approx(3.925, abs=5e-4)
    law = sp.Hawkes(MU, N, BETA)
    inverse = np.linalg.inv(np.eye(2) - N)
    np.testing.assert_allclose(law.rates, inverse @ MU)
    d = np.diag(inverse @ MU)
    np.testing.assert_allclose(law.count_covariance(1e5) / 1e5, inverse @ d @ inverse.T, rtol=1e-3)
    sigma = linalg.solve_continuous_lyapunov(BETA * (np.eye(2) - N), BETA**2 * N @ d @ N.T)
    lag = 0.13
    wanted = linalg.expm(-BETA * (np.eye(2) - N) * lag) @ (sigma + BETA * N @ d)
    np.testing.assert_allclose(law.covariance_density(lag), wanted, rtol=1e-9)
    window = 0.7
    parts = [
        integrate.quad(lambda u, i=i, j=j: (window - u) * law.covariance_density(u)[i, j], 0, window)[0]
        for i, j in np.ndindex(2, 2)
    ]
    m = np.reshape(parts, (2, 2))
    np.testing.assert_allclose(law.count_covariance(window), window * d + m + m.T, rtol=1e-7)


def test_hawkes_samples_and_fit() -> None:
    law = sp.Hawkes(MU, N, BETA)
    spikes = law.sample(800.0, rng=2)
    error = np.sqrt(np.diag(law.count_covariance(800.0)))
    assert (np.abs(spikes.counts - 800 * law.rates) < 4 * error).all()
    counts = spikes.counts_in(2.0)
    found, wanted = np.cov(counts.T), law.count_covariance(2.0)
    spread = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / len(counts))
    assert (np.abs(found - wanted) < 5 * spread).all()
    at, ends = law.compensated(spikes)
    few = slice(200, 215)
    for k in range(*few.indices(len(spikes.times))):
        t, unit = spikes.times[k], spikes.units[k]
        past = spikes.times < t
        kernels = N[unit, spikes.units[past]] * -np.expm1(-BETA * (t - spikes.times[past]))
        assert at[k] == pytest.approx(MU[unit] * t + kernels.sum(), rel=1e-9)
    assert ends.shape == (2,)
    fit = sp.fit_hawkes(spikes)
    for name, truth in (("baseline", MU), ("branching", N), ("decay", BETA)):
        assert (np.abs(getattr(fit, name) - truth) < 4 * fit.errors[name]).all(), name

    def likelihood(mu: np.ndarray, n: np.ndarray, beta: float) -> float:
        state, last, total = np.zeros(2), 0.0, 0.0
        for t, unit in zip(spikes.times, spikes.units, strict=True):
            state *= math.exp(-beta * (t - last))
            total += math.log(mu[unit] + beta * n[unit] @ state)
            state[unit] += 1
            last = t
        left = -np.expm1(-beta * (spikes.duration - spikes.times))
        return total - mu.sum() * spikes.duration - (n[:, spikes.units].sum(0) * left).sum()

    best = likelihood(fit.baseline, fit.branching, fit.decay)
    assert fit.log_likelihood == pytest.approx(best, abs=1e-5)
    for k in range(6):
        rng = np.random.default_rng(k)
        near = likelihood(
            fit.baseline * rng.uniform(0.97, 1.03, 2),
            fit.branching * rng.uniform(0.95, 1.05, (2, 2)),
            fit.decay * rng.uniform(0.95, 1.05),
        )
        assert near < best


# ---------------------------------------------------------------- time rescaling


def test_steps_need_the_correction() -> None:
    p, trains, intervals = 40.0 * 5e-3, 150, 1000
    rejected = np.zeros(2, int)
    for number in range(trains):
        fired = np.random.default_rng(number).random((intervals * 5, 1)) < p
        for row, corrected in enumerate((False, True)):
            z = sp.rescale_steps(fired, np.full(fired.shape, p), corrected=corrected, rng=number).pooled
            rejected[row] += sp.uniform_test(z).p_value < 0.05
    assert rejected[0] == trains
    assert rejected[1] <= stats.binom.ppf(0.9999, trains, 0.05)


def test_corrected_intervals_are_exponential_for_any_chances() -> None:
    rng = np.random.default_rng(5)
    p = rng.uniform(0, 0.9, (200_000, 1)) ** 2
    fired = rng.random(p.shape) < p
    z = sp.rescale_steps(fired, p, rng=1).pooled
    assert stats.kstest(z, "expon").pvalue > 1e-3
    assert abs(z.mean() - 1) < 4 / math.sqrt(len(z))
    plain = sp.rescale_steps(fired, p, corrected=False).intervals[0]
    q, ends = np.cumsum(-np.log1p(-p[:, 0])), np.flatnonzero(fired[:, 0])
    np.testing.assert_allclose(plain[-50:], np.diff(q[ends])[-50:], rtol=1e-9)


def test_rescaling_level_and_power() -> None:
    law = sp.PoissonDeadTime(50.0, 5e-3)
    values, caught = [], 0
    for number in range(200):
        spikes = law.sample(15.0, rng=number)
        values.append(sp.uniform_test(sp.rescale(spikes, law).pooled).p_value)
        if number < 20:
            caught += (
                sp.uniform_test(sp.rescale(law.sample(25.0, rng=number), sp.PoissonDeadTime(40.0)).pooled).p_value
                < 0.05
            )
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert caught == 20
    assert sp.check(law.sample(20.0, 3, rng=1), law).passed
    assert sp.check(law.sample(20.0, 3, rng=1), sp.GammaRenewal(1.5625, 40.0)).passed is False


# ---------------------------------------------------------------- statistics


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_interval_statistics_are_loops(number: int) -> None:
    rng = np.random.default_rng(number)
    units = rng.integers(0, 3, 200)
    spikes = sp.Spikes.sorted_from(rng.uniform(0, 10, 200), units, 3, 10.0)
    for unit in range(3):
        x = np.diff(np.sort(spikes.train(unit)))
        a, b = x[:-1], x[1:]
        assert sp.interval_cv(spikes).value[unit] == pytest.approx(x.std(ddof=1) / x.mean())
        assert sp.interval_cv2(spikes).value[unit] == pytest.approx((2 * np.abs(b - a) / (a + b)).mean())
        assert sp.local_variation(spikes).value[unit] == pytest.approx((3 * ((b - a) / (a + b)) ** 2).mean())
        assert abs(sp.serial_correlation(spikes, 2).value[unit] - np.corrcoef(x[:-2], x[2:])[0, 1]) < 0.02
    counts = np.array(
        [
            [((spikes.train(u) > k * 0.5) & (spikes.train(u) <= k * 0.5 + 0.5)).sum() for u in range(3)]
            for k in range(20)
        ]
    )
    np.testing.assert_array_equal(spikes.counts_in(0.5), counts)
    np.testing.assert_allclose(sp.fano_factor(spikes, 0.5).value, counts.var(0, ddof=1) / counts.mean(0))
    np.testing.assert_allclose(sp.count_correlation(spikes, 0.5).value, np.corrcoef(counts.T), atol=1e-9)
    found = sp.cross_correlogram(spikes, 0, 1, width=0.02, span=0.1)
    gaps = (spikes.train(1)[None] - spikes.train(0)[:, None]).ravel()
    wanted = [(np.abs(gaps - lag) < 0.01).sum() for lag in found.lags]
    np.testing.assert_array_equal(found.counts, wanted)


def test_correlogram_of_hawkes() -> None:
    law, width = sp.Hawkes(MU, N, BETA), 0.02
    found = sp.cross_correlogram(law.sample(3000.0, rng=6), 0, 1, width=width, span=0.3)
    r = law.rates
    density = [
        law.covariance_density(t)[1, 0] if t > 0 else law.covariance_density(-t)[0, 1]
        for t in found.lags
        if abs(t) > 0.015
    ]
    ratio = 1 + np.array(density) / (r[0] * r[1])
    away = np.abs(found.lags) > 0.015
    assert (np.abs(found.ratio.value[away] - ratio) < 4.5 * found.ratio.error[away]).all()
    assert np.median(found.ratio.error[away]) < 0.1


def test_poisson_trains() -> None:
    law = sp.InhomogeneousPoisson(lambda t: 40 * np.sin(math.pi * t) ** 2, most=40.0)
    spikes = law.sample(2.0, 500, rng=1)
    assert abs(spikes.counts.sum() - 500 * 40) < 4 * math.sqrt(500 * 40)
    grid = np.linspace(0, 2, 4001)
    cdf = np.concatenate([[0.0], integrate.cumulative_trapezoid(np.sin(math.pi * grid) ** 2, grid)])
    assert stats.kstest(np.interp(spikes.times, grid, cdf), "uniform").pvalue > 1e-3
    np.testing.assert_allclose(law.cumulative([0.5, 2.0]), [10.0, 40.0], rtol=1e-5)
    assert sp.branching_of_timescale(1 / (3.0 * 0.2), 3.0) == pytest.approx(0.8)


def test_spikes_hold_events(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((50, 4)) < 0.2) * 1.0
    spikes = sp.Spikes.from_dense(torch.from_numpy(dense), 0.002)
    assert np.array_equal(spikes.dense(0.002), dense)
    assert spikes.duration == pytest.approx(0.1)
    spikes.save(tmp_path / "a.npz")
    again = sp.Spikes.load(tmp_path / "a.npz")
    assert np.array_equal(again.times, spikes.times)
    assert again.n_units == 4
    assert again.duration == spikes.duration


ONE = sp.Spikes([0.1, 0.2], [0, 0], 1, 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sp.Spikes([0.2, 0.1], [0, 0]),
        lambda: sp.Spikes([0.1, math.nan], [0, 0]),
        lambda: sp.Spikes([-0.1], [0]),
        lambda: sp.Spikes([0.1], [0, 1]),
        lambda: sp.Spikes([0.1], [3], n_units=2),
        lambda: sp.Spikes([0.1], [-1]),
        lambda: sp.Spikes([0.1], [0.5]),
        lambda: sp.Spikes([2.0], [0], duration=1.0),
        lambda: sp.Spikes("ab", [0, 1]),
        lambda: sp.Spikes([[0.1]], [[0]]),
        lambda: sp.Spikes.from_dense([[0.5]], 0.1),
        lambda: sp.Spikes.from_dense([[1.0]], 0.0),
        lambda: sp.Spikes.from_dense([1.0], 0.1),
        lambda: sp.Spikes([0.1, 0.11], [0, 0], duration=1.0).dense(0.5),
        lambda: sp.Spikes.load("/nowhere/at/all.npz"),
        lambda: ONE.between(0.8, 0.2),
        lambda: ONE.train(4),
        lambda: ONE.counts_in(0.0),
        lambda: sp.PoissonDeadTime(0.0),
        lambda: sp.PoissonDeadTime(10.0, -1.0),
        lambda: sp.GammaRenewal(math.nan, 10.0),
        lambda: sp.GammaRenewal(1.0, "x"),
        lambda: sp.GammaRenewal(1.0, 10.0).sample(-1.0),
        lambda: sp.GammaRenewal(1.0, 10.0).sample(1.0, start="later"),
        lambda: sp.GammaRenewal(1.0, 10.0).fano(0.0),
        lambda: sp.HazardRenewal(lambda s: -1.0 + 0 * s).mean,
        lambda: sp.HazardRenewal(3.0).mean,
        lambda: sp.EscapeLIF(tau=0.0).mean,
        lambda: sp.EscapeLIF(escape=sp.Escape(form="cubic")).mean,
        lambda: sp.Hawkes(1.0, 1.0, 1.0),
        lambda: sp.Hawkes([1.0, 1.0], 0.5, 1.0),
        lambda: sp.Hawkes(1.0, -0.5, 1.0),
        lambda: sp.Hawkes(1.0, 0.5, 0.0),
        lambda: sp.InhomogeneousPoisson([1.0, -1.0], dt=0.1),
        lambda: sp.InhomogeneousPoisson(lambda t: t),
        lambda: sp.InhomogeneousPoisson(lambda t: 5 + 0 * t, most=2.0).sample(50.0, rng=0),
        lambda: sp.rescale_steps([[0.5]], [[0.5]]),
        lambda: sp.rescale_steps([[1]], [[1.5]]),
        lambda: sp.rescale_steps([[1], [0]], [[0.5]]),
        lambda: sp.rescale(ONE, "poisson"),
        lambda: sp.uniform_test([1.0, 2.0]),
        lambda: sp.uniform_test([1.0, 2.0, math.nan, 1.0, 1.0]),
        lambda: sp.fano_factor(ONE, 0.5),
        lambda: sp.fano_factor([0.1, 0.2], 0.5),
        lambda: sp.cross_correlogram(ONE, 0, 1),
        lambda: sp.fit_hawkes(ONE),
        lambda: sp.fit_gamma(ONE),
        lambda: sp.check(ONE.times),
        lambda: sp.check(sp.Spikes([], [], 2, 1.0), sp.PoissonDeadTime(1.0)),
        lambda: sp.check(ONE, "law"),
    ],
)
def test_bad_input(call: Any) -> None:
    with pytest.raises(UserError):
        call()
