"""Who wins on the simplex: exact chances, exponents, mean paths, and simulated runs against them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from sparsefire.convergence.noise._race import race
from sparsefire.convergence.noise.simplex import (
    expected_step,
    fixation_exponent,
    mean_field_path,
    simulate_simplex,
    step_for_error,
    winner_probabilities,
    wrong_winner_probability,
)
from sparsefire.errors import UserError

TABLE = [  # p, α, exact, normal approximation
    (0.6, 0.5, 0.25852, 0.2896),
    (0.6, 0.2, 0.16931, 0.1902),
    (0.6, 0.1, 0.09365, 0.1074),
    (0.6, 0.05, 0.03293, 0.0397),
    (0.6, 0.02, 0.00197, 0.0028),
    (0.55, 0.1, 0.25701, 0.2646),
    (0.7, 0.1, 0.00293, 0.0094),
]


def by_inversion(p: float, alpha: float) -> float:
    """P(T_1 > T_2) from the characteristic function of T_1 - T_2 (Gil-Pelaez), adaptive quadrature over log t."""
    powers = (1 + alpha) ** -np.arange(0.0, np.ceil(60 / np.log1p(alpha)))

    def integrand(log: float) -> float:
        t = np.exp(log)
        phase = np.arctan(t * powers / p).sum() - np.arctan(t * powers / (1 - p)).sum()
        size = np.log1p((t * powers / p) ** 2).sum() + np.log1p((t * powers / (1 - p)) ** 2).sum()
        return float(np.exp(-size / 2) * np.sin(phase))

    value, _ = integrate.quad(integrand, -45, 12, epsabs=1e-13, epsrel=1e-13, limit=500)
    return 0.5 + value / np.pi


def by_enumeration(p, alpha: float, steps: int) -> np.ndarray:
    """P(i leads after so many spikes), forward over all counts of three neurons."""
    gain = 1 + alpha
    n = np.arange(steps + 1)
    mass = np.zeros((steps + 1, steps + 1))
    mass[0, 0] = 1.0
    for k in range(steps + 1):
        third = np.maximum(k - n[:, None] - n[None, :], 0)
        weights = np.stack(
            [p[0] * gain ** n[:, None] + 0 * third, p[1] * gain ** n[None, :] + 0 * third, p[2] * gain**third]
        )
        if k == steps:
            return np.array([mass[weights.argmax(0) == i].sum() for i in range(3)])
        one, two, three = mass * weights / weights.sum(0)
        mass = three
        mass[1:] += one[:-1]
        mass[:, 1:] += two[:, :-1]
    raise AssertionError


@pytest.mark.parametrize(("p", "alpha", "exact", "normal"), TABLE)
def test_two_neurons_against_inversion_and_simulation(p, alpha, exact, normal):
    found = wrong_winner_probability((p, 1 - p), alpha)
    assert found == pytest.approx(exact, abs=5.1e-6)
    assert found == pytest.approx(by_inversion(p, alpha), abs=1e-9)
    assert wrong_winner_probability((p, 1 - p), alpha, method="normal") == pytest.approx(normal, abs=5.1e-5)
    runs = 20_000
    wrong = simulate_simplex((p, 1 - p), alpha, steps=int(40 / alpha), runs=runs, rng=7).frequencies()[1]
    assert abs(wrong - found) < 4 * np.sqrt(found * (1 - found) / runs)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.03, 0.3, 2.0, 50.0, 1e6])
@pytest.mark.parametrize("p", [0.9, 0.502, 0.3])
def test_race_of_two_is_the_walk_on_the_integers(p, alpha):
    law, logs = race(alpha), np.log([p, 1 - p])
    exact = wrong_winner_probability((p, 1 - p), alpha, winner=0)
    assert law.loser(logs, 0) == pytest.approx(exact, rel=1e-10, abs=1e-100)
    assert law.winner(logs, 1) == pytest.approx(exact, rel=1e-10, abs=1e-100)


def test_law_of_the_race_is_that_of_the_series():
    """Partial fractions in exact arithmetic: E S = 1 + 1/α, and its distribution function at some points."""
    mp = pytest.importorskip("mpmath")
    alpha, law = 0.3, race(0.3)
    with mp.workdps(60):
        q = 1 / (1 + mp.mpf(alpha))
        for s in (0.5, 2.0, 4.0, 9.0):
            weight, rate, density, tail = 1 / mp.qp(q), mp.mpf(1), mp.mpf(0), mp.mpf(0)
            for _ in range(80):
                density, tail = density + weight * rate * mp.exp(-rate * s), tail + weight * mp.exp(-rate * s)
                rate *= 1 + mp.mpf(alpha)
                weight /= 1 - rate
            assert np.exp(law.log_density(np.log(s))) == pytest.approx(float(density * s), rel=1e-10)
            assert np.exp(-np.exp(law.log_hazard(np.log(s)))) == pytest.approx(float(tail), rel=1e-10)


@pytest.mark.parametrize("p", [(0.5, 0.3, 0.2), (0.4, 0.4, 0.2), (0.05, 0.9, 0.05)])
def test_three_neurons_against_enumeration(p):
    exact = by_enumeration(p, 0.5, 120)
    assert winner_probabilities(p, 0.5) == pytest.approx(exact, abs=1e-9)
    assert wrong_winner_probability(p, 0.5, winner=2) == pytest.approx(1 - exact[2], abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=7), st.floats(-6, 4))
def test_chances_add_up(weights, log):
    alpha = float(np.exp(log))
    chances = winner_probabilities(weights, alpha)
    assert chances.sum() == pytest.approx(1.0, abs=1e-10)
    assert (np.argsort(chances, kind="stable") == np.argsort(np.round(weights, 12), kind="stable")).all() or (
        np.diff(np.sort(weights)).min() < 1e-3
    )
    who = int(np.argmax(weights))
    assert wrong_winner_probability(weights, alpha) == pytest.approx(1 - chances[who], abs=1e-10)


def test_limits_of_the_step():
    p = (0.5, 0.3, 0.2)
    assert winner_probabilities(p, 1e6) == pytest.approx(p, abs=1e-5)  # the first spike decides
    assert wrong_winner_probability(p, 1e-3) < 1e-10
    assert winner_probabilities((1, 1, 1, 1), 0.2) == pytest.approx(0.25, abs=1e-11)
    assert winner_probabilities((0.6, 0.0, 0.4), 0.1)[2] == wrong_winner_probability((0.6, 0.4), 0.1)
    assert winner_probabilities((0.0, 1.0), 0.1).tolist() == [0.0, 1.0]
    assert wrong_winner_probability((0.0, 1.0), 0.1, winner=0) == 1.0


def test_normal_approximation_of_many_is_good_for_small_steps():
    p = np.array([0.3, 0.25, 0.25, 0.2])
    exact, normal = (wrong_winner_probability(p, 0.01, method=method) for method in ("exact", "normal"))
    assert 1.0 < normal / exact < 1.2
    two = wrong_winner_probability((0.6, 0.4, 0.0), 0.1, method="normal")
    assert wrong_winner_probability((0.6, 0.4, 1e-9), 0.1, method="normal") == pytest.approx(two, abs=1e-5)


@pytest.mark.parametrize("p", [(0.6, 0.4), (0.5, 0.3, 0.2)])
@pytest.mark.parametrize("error", [0.2, 1e-3])
def test_step_for_error_is_the_inverse(p, error):
    for method in ("exact", "normal"):
        alpha = step_for_error(p, error, method=method)
        assert wrong_winner_probability(p, alpha, method=method) == pytest.approx(error, rel=1e-8)
    if len(p) == 2:
        z = special.ndtri(error)
        assert alpha == pytest.approx(2 * 0.2**2 / (0.52 * z**2), rel=1e-8)


def test_exponent_after_fixation():
    assert fixation_exponent(0.1) == pytest.approx(np.log(1.1), rel=1e-14)
    assert fixation_exponent(0.1, jitter=0.8) == pytest.approx(0.095496, abs=5e-7)
    for alpha, z in ((0.1, 0.8), (0.01, 0.5), (0.5, 1.9), (1e-3, 20.1)):
        mean = integrate.quad(lambda u: np.log1p(alpha * (1 + z * u)) - np.log1p(alpha * z * u), -1, 1)[0] / 2  # noqa: B023
        assert fixation_exponent(alpha, z) == pytest.approx(mean, rel=1e-10)
    still = simulate_simplex((0.6, 0.4), 0.1, steps=2000, runs=200, rng=1)
    assert still.exponents() == pytest.approx(np.log(1.1), rel=1e-6)
    noisy = simulate_simplex((3, 2, 1), 0.1, jitter=0.8, steps=4000, runs=300, rng=1)
    low, high = noisy.exponent_interval(level=0.9999)
    assert low < fixation_exponent(0.1, jitter=0.8) < high
    assert noisy.exponent() == pytest.approx(0.095496, rel=0.02)
    assert high - low < 1e-3
    wild = simulate_simplex((0.9, 0.1), 0.5, jitter=1.9, steps=2000, runs=500, rng=1).exponents()
    assert abs(wild.mean() - fixation_exponent(0.5, jitter=1.9)) < 4 * wild.std() / np.sqrt(len(wild))
    assert wild.std() / np.sqrt(len(wild)) < 2e-3


def test_slope_of_the_logarithm_of_what_is_missing():
    for jitter, exact in ((0.0, np.log(1.1)), (0.8, 0.095496)):
        estimate = simulate_simplex((0.7, 0.3), 0.1, jitter=jitter, steps=12_000, runs=200, record=[12_000], rng=2)
        right = estimate.winners() == 0
        missing = estimate.log_probabilities[right][:, :, 1]  # log(1 - p_1)
        slope = (missing[:, -1] - missing[:, -2]).mean() / 6000
        assert slope == pytest.approx(-exact, rel=0.02)
        assert missing[:, -1].max() < -1000  # far below the smallest double: logarithms do not underflow


def test_winners_with_jitter():
    estimate = simulate_simplex((3, 2, 1), 0.1, jitter=0.8, steps=1000, runs=4000, rng=3)
    assert estimate.frequencies() == pytest.approx([0.863, 0.136, 0.001], abs=0.02)
    low, high = estimate.frequency_interval()
    assert (low < estimate.frequencies()).all()
    assert (estimate.frequencies() < high).all()
    assert (high - low).max() < 0.025


def test_what_runs_say_of_p():
    estimate = simulate_simplex((3, 2, 1), 0.1, steps=40, runs=300, record=3, rng=3)
    p = np.exp(estimate.log_probabilities)
    assert estimate.steps.tolist() == [0, 1, 6, 20, 40]
    assert np.array_equal(estimate.median(), np.median(p, axis=0))
    assert np.array_equal(estimate.quantile(0.2), np.quantile(p, 0.2, axis=0))
    low, high = estimate.interval(0.9)
    t = stats.t.interval(0.9, 299, loc=p[:, 1:].mean(0), scale=stats.sem(p[:, 1:]))
    assert low[1:] == pytest.approx(t[0], rel=1e-12)
    assert high[1:] == pytest.approx(t[1], rel=1e-12)


def test_mean_field_path():
    times = np.linspace(0, 10, 11)
    p = mean_field_path((0.6, 0.4), times)
    slope = integrate.solve_ivp(lambda t, x: x * (x - x @ x), (0, 10), [0.6, 0.4], t_eval=times, rtol=1e-11, atol=1e-13)
    assert p == pytest.approx(slope.y.T, abs=1e-9)
    three = integrate.solve_ivp(
        lambda t, x: x * (x - x @ x), (0, 10), [0.5, 0.3, 0.2], t_eval=times, rtol=1e-11, atol=1e-13
    )
    assert mean_field_path((5, 3, 2), times) == pytest.approx(three.y.T, abs=1e-8)
    assert mean_field_path((0.6, 0.4, 0.0), times)[:, :2] == pytest.approx(p, abs=1e-9)
    assert mean_field_path((0.5, 0.5), 3.0).tolist() == [0.5, 0.5]
    assert mean_field_path((0.0, 1.0), [5.0]).tolist() == [[0.0, 1.0]]
    assert mean_field_path((0.4, 0.6), 800.0)[0] < 1e-300  # relative accuracy of the loser
    assert mean_field_path((5, 3, 2), [[2.0, 0.0], [1.0, 2.0]])[1, 1] == pytest.approx(
        mean_field_path((5, 3, 2), 2.0), abs=1e-10
    )
    spikes = (times[1:] / 0.01).astype(int)
    estimate = simulate_simplex((0.6, 0.4), 0.01, steps=1000, runs=2000, record=spikes, rng=4)
    path = estimate.mean()[np.searchsorted(estimate.steps, spikes)]
    assert np.abs(path - p[1:]).max() < 0.02


def test_one_step_mean():
    p, alpha = np.array([0.5, 0.3, 0.2]), 0.4
    mean = np.zeros(3)
    for trigger in range(3):
        after = p * (1 + alpha * (np.arange(3) == trigger))
        mean += p[trigger] * after / after.sum()
    assert expected_step(p, alpha) == pytest.approx(mean, abs=1e-15)
    drift = (expected_step(p, 1e-6) - p) / 1e-6
    assert drift == pytest.approx(p * (p - p @ p), abs=1e-6)
    estimate = simulate_simplex(p, alpha, steps=2, runs=100_000, rng=5)
    after = np.exp(estimate.log_probabilities[:, 1])
    assert (np.abs(after.mean(0) - mean) < 4 * after.std(0) / np.sqrt(len(after))).all()


def test_runs_do_not_depend_on_workers_or_their_number():
    given_ = dict(alpha=0.1, jitter=0.5, steps=200, record=[17], rng=6)
    one = simulate_simplex((3, 2, 1), runs=50, workers=1, **given_)
    two = simulate_simplex((3, 2, 1), runs=50, workers=2, **given_)
    few = simulate_simplex((3, 2, 1), runs=7, workers=1, **given_)
    assert one.steps.tolist() == [0, 17, 100, 200]
    assert np.array_equal(one.log_probabilities, two.log_probabilities)
    assert np.array_equal(one.log_probabilities[:7], few.log_probabilities)
    assert np.exp(one.log_probabilities).sum(-1) == pytest.approx(1.0, abs=1e-12)
    assert one.mean()[0] == pytest.approx([1 / 2, 1 / 3, 1 / 6])


@pytest.mark.parametrize(
    "call",
    [
        lambda: wrong_winner_probability((0.6,), 0.1),
        lambda: wrong_winner_probability((0.6, -0.4), 0.1),
        lambda: wrong_winner_probability((0.6, np.nan), 0.1),
        lambda: wrong_winner_probability("pq", 0.1),
        lambda: wrong_winner_probability((0.6, 0.4), 0.0),
        lambda: wrong_winner_probability((0.6, 0.4), True),
        lambda: wrong_winner_probability((0.6, 0.4), 0.1, winner=2),
        lambda: wrong_winner_probability((0.6, 0.4), 0.1, method="guess"),
        lambda: step_for_error((0.5, 0.5), 0.1),
        lambda: step_for_error((0.6, 0.4), 0.5),
        lambda: step_for_error((0.6, 0.4), 0.0),
        lambda: fixation_exponent(0.5, jitter=2.0),
        lambda: fixation_exponent(0.5, jitter=-0.1),
        lambda: mean_field_path((0.6, 0.4), [-1.0]),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=0, runs=3),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=0),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, record=[11]),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, record=0),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, rng="x"),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, progress=3),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3).quantile(2),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, record=[1.5]),
        lambda: mean_field_path((0.6, 0.4), "late"),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, jitter=10.0),
        lambda: simulate_simplex((0.6, 0.4), 0.1, steps=10, runs=3, rng=0).exponent(),
    ],
)
def test_bad_input(call):
    with pytest.raises(UserError):
        call()
