"""Oracles: closed forms of one unit, Ogata's thinning, naive sums, quadrature, the estimator of cascade theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate

from sparsefire.cascades.avalanches import branching_ratio
from sparsefire.errors import UserError
from sparsefire.spiking import Hawkes, Spikes, branching_of_timescale, check, fit_hawkes, simulate
from sparsefire.spiking.trains._hawkes_kernels import log_likelihood

ONE = Hawkes(1.0, 0.5, 2.0)
BRANCHING = np.array([[0.3, 0.2, 0.0], [0.1, 0.4, 0.3], [0.0, 0.2, 0.1]])
THREE = Hawkes([1.0, 2.0, 0.5], BRANCHING, 5.0)


def thinned(law: Hawkes, duration: float, generator: np.random.Generator) -> Spikes:
    """Ogata's thinning of one unit, from an empty past: an independent way to the same law."""
    mu, n, beta = float(law.baseline[0]), float(law.branching[0, 0]), law.decay
    t, excited, times = 0.0, 0.0, []
    while True:
        bound = mu + excited
        wait = generator.exponential(1 / bound)
        t += wait
        if t > duration:
            return Spikes(times, np.zeros(len(times), int), 1, duration)
        excited *= np.exp(-beta * wait)
        if generator.random() * bound < mu + excited:
            times.append(t)
            excited += n * beta


def test_closed_forms_of_one_unit() -> None:
    assert ONE.rates == pytest.approx([2.0], rel=1e-12)
    k = 1.0
    for window in (0.1, 1.0, 40.0):
        expected = 1 + 3 * (1 - (1 - np.exp(-k * window)) / (k * window))
        assert ONE.fano(window) == pytest.approx([expected], rel=1e-10)
    assert ONE.fano(40.0) == pytest.approx([3.925], abs=1e-9)
    assert ONE.timescale == 1.0
    assert repr(ONE) == "Hawkes(1 units, radius 0.5, decay 2 Hz)"


def test_counts_from_the_covariance_density() -> None:
    window, m = 0.7, 3
    inner = integrate.quad_vec(lambda u: (window - u) * THREE.covariance_density(u), 0, window)[0]
    expected = window * np.diag(THREE.rates) + inner + inner.T
    np.testing.assert_allclose(THREE.count_covariance(window), expected, rtol=1e-8)
    inverse = np.linalg.inv(np.eye(m) - BRANCHING)
    long = inverse @ np.diag(THREE.rates) @ inverse.T
    np.testing.assert_allclose(THREE.count_covariance(1e5) / 1e5, long, rtol=1e-4)
    assert THREE.covariance_density([0.1, 0.2]).shape == (2, 3, 3)


def test_draws_have_the_rate_and_fano_factor() -> None:
    spikes = ONE.sample(200_000.0, rng=2)
    assert len(spikes) / 200_000 == pytest.approx(2.0, rel=0.01)
    counts = spikes.counts_in(40.0)[:, 0]
    assert counts.var(ddof=1) / counts.mean() == pytest.approx(3.925, rel=0.05)


def test_draws_of_three_units() -> None:
    spikes = THREE.sample(20_000.0, rng=0)
    error = np.sqrt(np.diag(THREE.count_covariance(20_000.0))) / 20_000
    assert (np.abs(spikes.firing_rates - THREE.rates) < 4 * error).all()
    found = np.cov(spikes.counts_in(5.0).T)
    expected = THREE.count_covariance(5.0)
    spread = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 4000)
    assert (np.abs(found - expected) < 5 * spread).all()


def test_stationary_from_the_first_moment_unless_empty() -> None:
    first = np.array([ONE.sample(0.5, rng=k).counts[0] for k in range(2000)])
    error = np.sqrt(ONE.count_covariance(0.5)[0, 0] / 2000)
    assert abs(first.mean() - 1.0) < 4 * error
    empty = np.array([ONE.sample(0.5, rng=k, start="empty").counts[0] for k in range(2000)])
    # dλ/dt = β μ − β (1−n) λ from λ(0) = μ: the mean rate is 2 − e^(−t)
    assert abs(empty.mean() - (1.0 - (1 - np.exp(-0.5)))) < 4 * error


def test_clusters_and_thinning_are_one_law() -> None:
    generator = np.random.default_rng(0)
    law = Hawkes(2.0, 0.6, 4.0)
    a = [len(law.sample(10.0, rng=k, start="empty")) for k in range(1500)]
    b = [len(thinned(law, 10.0, generator)) for _ in range(1500)]
    assert abs(np.mean(a) - np.mean(b)) < 4 * np.hypot(np.std(a), np.std(b)) / np.sqrt(1500)
    assert abs(np.std(a) / np.std(b) - 1) < 0.12


def test_recursions_agree_with_naive_sums_and_differences() -> None:
    spikes = THREE.sample(8.0, rng=4)
    beta, n, mu = THREE.decay, THREE.branching, THREE.baseline
    t, u = spikes.times, spikes.units
    log_rates, integral = 0.0, float(mu.sum() * spikes.duration)
    compensated = np.empty(len(t))
    for k in range(len(t)):
        past = t < t[k]
        log_rates += np.log(mu[u[k]] + np.sum(n[u[k], u[past]] * beta * np.exp(-beta * (t[k] - t[past]))))
        compensated[k] = mu[u[k]] * t[k] + np.sum(n[u[k], u[past]] * (1 - np.exp(-beta * (t[k] - t[past]))))
        integral += float(n[:, u[k]].sum() * (1 - np.exp(-beta * (spikes.duration - t[k]))))
    value, by_mu, by_n, by_decay = log_likelihood(t, u, mu, n, beta, spikes.duration)
    assert value == pytest.approx(log_rates - integral, rel=1e-10)
    np.testing.assert_allclose(THREE.compensated(spikes)[0], compensated, rtol=1e-10)
    assert THREE.compensated(spikes)[1].sum() == pytest.approx(integral, rel=1e-10)

    def at(m, b, d):
        return log_likelihood(t, u, m, b, d, spikes.duration)[0]

    step = 1e-6
    for i in range(3):
        e = np.eye(3)[i] * step
        assert by_mu[i] == pytest.approx((at(mu + e, n, beta) - at(mu - e, n, beta)) / (2 * step), rel=1e-4, abs=1e-4)
        for j in range(3):
            e2 = np.zeros((3, 3))
            e2[i, j] = step
            slope = (at(mu, n + e2, beta) - at(mu, n - e2, beta)) / (2 * step)
            assert by_n[i, j] == pytest.approx(slope, rel=1e-4, abs=1e-4)
    slope = (at(mu, n, beta + step) - at(mu, n, beta - step)) / (2 * step)
    assert by_decay == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("dt", [1e-3, 0.1])
def test_potentials_of_the_network_integrate_to_the_compensator(dt: float) -> None:
    run = simulate(*THREE.network(dt), duration=30.0, dt=dt, rng=0)
    assert check(run).passed  # as what it is, in steps
    integral = dt * np.cumsum(run.replay().v, axis=0)
    step = np.rint(run.times / dt).astype(int) - 1
    at_spikes, at_end = THREE.compensated(run.spikes)
    np.testing.assert_allclose(integral[step, run.units], at_spikes, rtol=1e-10)
    np.testing.assert_allclose(integral[-1], at_end, rtol=1e-10)


def below_the_law(law: Hawkes, dt: float) -> np.ndarray:
    """Rates in steps, to first order: (1 − N)⁻¹ (μ − dt E[v²]/2), E[v²] = rate² + Var λ."""
    variance = np.diag(law.covariance_density(0.0) - law.decay * law.branching * law.rates)
    return np.linalg.solve(np.eye(law.n_units) - law.branching, law.baseline - dt / 2 * (law.rates**2 + variance))


def test_the_network_has_the_law() -> None:
    length, dt = 1500.0, 2e-3
    run = simulate(*THREE.network(dt), duration=length, dt=dt, rng=1)
    assert check(run.spikes, THREE).passed
    assert not check(run.spikes, Hawkes(THREE.rates, 0 * BRANCHING, 5.0)).passed
    error = np.sqrt(np.diag(THREE.count_covariance(length))) / length
    assert (np.abs(run.firing_rates - below_the_law(THREE, dt)) < 4 * error).all()
    expected, windows = THREE.count_covariance(5.0), length / 5
    spread = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / windows)
    assert (np.abs(np.cov(run.spikes.counts_in(5.0).T) - expected) < 4 * spread).all()
    assert (expected > 4 * spread).all()  # there is something to see


def test_rates_of_the_network_in_wide_steps() -> None:
    pairs, dt = 150, 5e-3
    law = Hawkes([2.5, 2.5], [[0.3, 0.2], [0.4, 0.1]], 20.0)
    many = Hawkes(np.tile(law.baseline, pairs), np.kron(np.eye(pairs), law.branching), law.decay)
    run = simulate(*many.network(dt), duration=50.0, dt=dt, rng=0, initial=many.rates)
    found = run.spikes.between(1.0, 50.0).firing_rates.reshape(pairs, 2)
    error = found.std(axis=0) / np.sqrt(pairs)
    assert (np.abs(found.mean(axis=0) - below_the_law(law, dt)) < 4 * error).all()
    assert (law.rates - found.mean(axis=0) > 4 * error).all()  # what a step changes can be seen


def test_fit_finds_the_law() -> None:
    fit = fit_hawkes(ONE.sample(5000.0, rng=1))
    assert fit.converged
    assert abs(fit.radius - 0.5) < 3 * fit.errors["branching"][0, 0]
    assert fit.errors["branching"][0, 0] < 0.02
    assert fit.law.n_units == 1
    for of, true in (("branching", 0.5), ("baseline", 1.0), ("decay", 2.0)):
        low, high = fit.interval(0.999, of=of)
        assert np.ravel(low)[0] < true < np.ravel(high)[0]


def test_standard_errors_are_those_of_repeats() -> None:
    z = []
    for k in range(60):
        fit = fit_hawkes(ONE.sample(500.0, rng=100 + k), decay=2.0)
        z.append((fit.radius - 0.5) / fit.errors["branching"][0, 0])
    assert abs(np.mean(z)) < 4 / np.sqrt(60) + 0.2
    assert 0.75 < np.std(z) < 1.3


def test_fit_of_three_units_and_its_bounds() -> None:
    fit = fit_hawkes(THREE.sample(3000.0, rng=5))
    error = np.where(np.isfinite(fit.errors["branching"]), fit.errors["branching"], 0.05)
    assert (np.abs(fit.branching - BRANCHING) < 4 * error).all()
    assert (fit.branching >= 0).all()
    assert (fit.interval()[0][np.isfinite(fit.errors["branching"])] >= 0).all()
    assert "3 units" in repr(fit)


def test_bootstrap_interval() -> None:
    fit = fit_hawkes(ONE.sample(400.0, rng=3), resamples=40, rng=0)
    low, high = fit.interval(0.9)
    assert low[0, 0] < fit.radius < high[0, 0]
    assert (high - low)[0, 0] == pytest.approx(2 * 1.645 * fit.errors["branching"][0, 0], rel=0.5)


def test_one_branching_ratio_by_likelihood_and_by_cascade_theory() -> None:
    law = Hawkes(4.0, 0.8, 50.0)
    spikes = law.sample(1000.0, rng=6)
    fit = fit_hawkes(spikes.between(0.0, 300.0))
    found = branching_ratio(spikes.counts_in(5e-3)[:, 0], dt=5e-3, rng=0)
    n = branching_of_timescale(found.timescale, law.decay)
    low, high = (branching_of_timescale(-5e-3 / np.log(end), law.decay) for end in found.interval(0.999))
    assert low < 0.8 < high
    assert high - low < 0.15
    assert abs(fit.radius - 0.8) < 3 * fit.errors["branching"][0, 0]
    assert low < fit.radius < high
    assert n == pytest.approx(fit.radius, abs=0.06)


def test_half_of_the_spikes_unseen() -> None:
    """Cascade theory's estimate keeps the ratio where spikes are lost; the likelihood of what is seen does not."""
    law = Hawkes(4.0, 0.8, 50.0)
    spikes = law.sample(1000.0, rng=7)
    seen = np.random.default_rng(0).random(len(spikes)) < 0.3
    part = Spikes(spikes.times[seen], spikes.units[seen], 1, spikes.duration)
    found = branching_ratio(part.counts_in(5e-3)[:, 0], dt=5e-3, rng=0)
    assert abs(branching_of_timescale(found.timescale, 50.0) - 0.8) < 0.08
    assert fit_hawkes(part.between(0.0, 300.0), decay=50.0).radius < 0.65


@pytest.mark.parametrize("radius", [1.0, 1.3])
def test_divergence_names_the_radius(radius: float) -> None:
    with pytest.raises(UserError, match="diverges") as error:
        Hawkes(1.0, radius, 2.0)
    assert f"{radius:g}" in error.value.came
    with pytest.raises(UserError, match="diverges"):
        Hawkes([1.0, 1.0], [[0.2, 2.0], [0.4, 0.2]], 2.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Hawkes([1.0, 2.0], 0.5, 2.0),
        lambda: Hawkes(-1.0, 0.5, 2.0),
        lambda: Hawkes(1.0, -0.5, 2.0),
        lambda: Hawkes(1.0, 0.5, 0.0),
        lambda: ONE.sample(0.0),
        lambda: ONE.sample(1.0, start="spike"),
        lambda: ONE.covariance_density(-1.0),
        lambda: ONE.compensated(Spikes([0.1], [1], 2, 1.0)),
        lambda: ONE.network(0.0),
        lambda: ONE.network(0.6),  # longer than 1/β
        lambda: ONE.network("1 ms"),
        lambda: fit_hawkes(Spikes([0.1], [0], 1, 1.0)),
        lambda: fit_hawkes(Spikes(np.arange(1, 31) / 10, np.zeros(30, int), 2, 4.0)),
        lambda: fit_hawkes(ONE.sample(100.0, rng=0)).interval(of="rate"),
        lambda: fit_hawkes([1, 2, 3]),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()


@pytest.mark.parametrize("timescale", [-1.0, 0.0, 0.01, float("nan"), [1.0, 0.1]])
def test_no_activity_fades_faster_than_its_kernel(timescale: Any) -> None:
    with pytest.raises(UserError, match="kernel"):
        branching_of_timescale(timescale, 5.0)
