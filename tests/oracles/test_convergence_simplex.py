"""Oracle: who wins on the simplex, by inversion, by counting spikes and by quadrature."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

import sparsefire as sf
from sparsefire.convergence.noise.simplex import expected_step
from sparsefire.errors import UserError

conv = sf.convergence


# ---------------------------------------------------------------- the simplex


def lose_by_inversion(p: float, alpha: float) -> float:
    """P(T_1 > T_2), T_i = (1/p_i) Σ E_n (1+α)^(-n), by inversion of the characteristic function of T_1 - T_2."""
    n = np.arange(int(40 / np.log1p(alpha)) + 20)
    a, b = (1 + alpha) ** -n / p, (1 + alpha) ** -n / (1 - p)

    def integrand(u: float) -> float:
        log = -np.log(1 - 1j * u * a).sum() - np.log(1 + 1j * u * b).sum()
        return float(np.exp(log).imag / u)

    scale = 1 / np.sqrt((a**2).sum() + (b**2).sum())
    edges = np.concatenate([[1e-12], scale * np.geomspace(0.1, 3e5, 60)])
    total = sum(integrate.quad(integrand, lo, hi, limit=60)[0] for lo, hi in itertools.pairwise(edges))
    return 0.5 + total / np.pi


@pytest.mark.parametrize(
    ("p", "alpha", "exact", "normal"),
    [
        (0.6, 0.5, 0.25852, 0.2896),
        (0.6, 0.2, 0.16931, 0.1902),
        (0.6, 0.1, 0.09365, 0.1074),
        (0.6, 0.05, 0.03293, 0.0397),
        (0.6, 0.02, 0.00197, 0.0028),
        (0.55, 0.1, 0.25701, 0.2646),
        (0.7, 0.1, 0.00293, 0.0094),
    ],
)
def test_wrong_winner(p: float, alpha: float, exact: float, normal: float) -> None:
    found = conv.wrong_winner_probability((p, 1 - p), alpha=alpha)
    assert found == pytest.approx(exact, abs=6e-6)
    assert found == pytest.approx(lose_by_inversion(p, alpha), abs=1e-8)
    assert conv.wrong_winner_probability((3 * p, 3 - 3 * p), alpha, winner=1) == pytest.approx(1 - found, abs=1e-12)
    other = stats.norm.cdf(-(2 * p - 1) * np.sqrt(2 / alpha) / np.hypot(p, 1 - p))
    assert conv.wrong_winner_probability((p, 1 - p), alpha, method="normal") == pytest.approx(other, rel=1e-9)
    assert other == pytest.approx(normal, abs=6e-5)
    np.testing.assert_allclose(conv.winner_probabilities((p, 1 - p), alpha), [1 - found, found], atol=1e-12)
    assert conv.step_for_error((p, 1 - p), found) == pytest.approx(alpha, rel=1e-6)
    z = stats.norm.isf(0.01)
    formula = 2 * (2 * p - 1) ** 2 / ((p**2 + (1 - p) ** 2) * z * z)
    assert conv.step_for_error((p, 1 - p), 0.01, method="normal") == pytest.approx(formula, rel=1e-9)


def winners_by_counts(p: tuple[float, ...], alpha: float, spikes: int) -> np.ndarray:
    """Forward over the counts of spikes of each neuron; after the last spike the largest p wins."""
    layer = {(0,) * len(p): 1.0}
    for _ in range(spikes):
        after: dict[tuple[int, ...], float] = {}
        for counts, chance in layer.items():
            if chance < 1e-14:
                continue
            weight = np.array(p) * (1 + alpha) ** (np.array(counts, dtype=float) - max(counts))
            for i, share in enumerate(weight / weight.sum()):
                key = (*counts[:i], counts[i] + 1, *counts[i + 1 :])
                after[key] = after.get(key, 0.0) + chance * float(share)
        layer = after
    out = np.zeros(len(p))
    for counts, chance in layer.items():
        out[np.argmax(np.log(p) + np.array(counts) * np.log1p(alpha))] += chance
    return out


@pytest.mark.parametrize(("p", "alpha"), [((0.5, 0.3, 0.2), 1.5), ((3.0, 2.0, 1.0), 3.0), ((0.4, 0.3, 0.2, 0.1), 8.0)])
def test_winners_among_many_by_counts(p: tuple[float, ...], alpha: float) -> None:
    found = conv.winner_probabilities(p, alpha)
    np.testing.assert_allclose(found, winners_by_counts(p, alpha, 40 if alpha < 2 else 26), atol=2e-7)
    assert found.sum() == pytest.approx(1.0, abs=1e-10)
    assert conv.wrong_winner_probability(p, alpha) == pytest.approx(1 - found[0], abs=1e-9)
    np.testing.assert_allclose(conv.winner_probabilities(p[::-1], alpha), found[::-1], atol=1e-10)


def test_corners_of_the_race() -> None:
    for d in (2, 3, 6):
        np.testing.assert_allclose(conv.winner_probabilities([1.0] * d, 0.2), np.full(d, 1 / d), atol=1e-9)
    assert conv.wrong_winner_probability((0.8, 0.2), alpha=1e6) == pytest.approx(0.2, abs=2e-6)
    assert conv.wrong_winner_probability((0.7, 0.3), alpha=1e-3) < 1e-60
    first_spikes = conv.winner_probabilities((0.5, 0.3, 0.2), 1e6)
    np.testing.assert_allclose(first_spikes, [0.5, 0.3, 0.2], atol=1e-5)


def test_simulated_winners_and_exponent() -> None:
    for p, alpha in (((0.6, 0.4), 0.1), ((0.55, 0.45), 0.5), ((0.5, 0.3, 0.2), 1.5)):
        found = conv.simulate_simplex(p, alpha, steps=400, runs=20_000 if len(p) == 2 else 5000, rng=2)
        theory = conv.winner_probabilities(p, alpha)
        error = np.sqrt(theory * (1 - theory) / len(found.winners()))
        assert (np.abs(found.frequencies() - theory) < 4 * error).all()
        assert found.exponent() == pytest.approx(np.log1p(alpha), rel=0.02)
        low, high = found.frequency_interval()
        centre = (low + high) / 2
        n, z2 = len(found.winners()), stats.norm.ppf(0.975) ** 2
        np.testing.assert_allclose(centre, (found.frequencies() + z2 / (2 * n)) / (1 + z2 / n), rtol=1e-8)
    jitter = conv.simulate_simplex((3, 2, 1), 0.1, steps=1500, runs=3000, jitter=0.8, rng=3)
    np.testing.assert_allclose(jitter.frequencies(), [0.863, 0.136, 0.001], atol=0.02)
    assert jitter.exponent() == pytest.approx(0.095496, rel=0.02)
    low, high = jitter.exponent_interval(0.9999)
    assert low < conv.fixation_exponent(0.1, jitter=0.8) < high
    a = conv.simulate_simplex((3, 2, 1), 0.1, steps=50, runs=20, jitter=0.8, rng=3, workers=1, record=[7])
    assert set(a.steps.tolist()) == {0, 7, 25, 50}
    np.testing.assert_allclose(np.exp(a.log_probabilities).sum(axis=2), 1.0, rtol=1e-12)
    for workers in (2, 3):
        b = conv.simulate_simplex((3, 2, 1), 0.1, steps=50, runs=20, jitter=0.8, rng=3, workers=workers, record=[7])
        np.testing.assert_array_equal(a.log_probabilities, b.log_probabilities)


def test_first_spikes_of_the_simplex() -> None:
    p, alpha = np.array([0.5, 0.3, 0.2]), 0.4
    chance: dict[tuple[float, ...], float] = {}
    for i, j in itertools.product(range(3), repeat=2):
        q = p * (1 + alpha * (np.arange(3) == i))
        q /= q.sum()
        r = q * (1 + alpha * (np.arange(3) == j))
        r /= r.sum()
        key = tuple(r.round(10))
        chance[key] = chance.get(key, 0.0) + p[i] * q[j]
    found = conv.simulate_simplex(p, alpha, steps=2, runs=6000, rng=8)
    keys = np.array(list(chance))
    distance = np.abs(np.exp(found.log_probabilities[:, -1])[:, None] - keys).max(axis=2)
    assert distance.min(axis=1).max() < 1e-9
    seen = np.bincount(distance.argmin(axis=1), minlength=len(keys))
    assert stats.chisquare(seen, 6000 * np.array(list(chance.values()))).pvalue > 1e-4
    one = sum(p[b] * p * (1 + alpha * (np.arange(3) == b)) / (1 + alpha * p[b]) for b in range(3))
    np.testing.assert_allclose(expected_step(p, alpha), one, rtol=1e-13)
    z, w = np.polynomial.legendre.leggauss(12)
    mean = np.zeros(2)
    for b, i, j in itertools.product(range(2), range(12), range(12)):
        v = np.array([0.6, 0.4]) * (1 + 0.3 * ((np.arange(2) == b) + 0.8 * np.array([z[i], z[j]])))
        mean += (0.6, 0.4)[b] * w[i] * w[j] / 4 * v / v.sum()
    jitter = conv.simulate_simplex((0.6, 0.4), 0.3, steps=2, runs=40_000, jitter=0.8, rng=8, record=[1])
    first = np.exp(jitter.log_probabilities[:, jitter.steps.tolist().index(1)])
    assert (np.abs(first.mean(axis=0) - mean) < 4 * first.std(axis=0) / 200).all()


@pytest.mark.parametrize(("alpha", "z"), [(0.1, 0.8), (0.5, 1.5), (1e-3, 3.0), (0.2, 0.0), (5.0, 0.19), (0.1, 1e-6)])
def test_fixation_exponent_by_quadrature(alpha: float, z: float) -> None:
    def integrand(u: float) -> float:
        return float(np.log1p(alpha * (1 + u)) - np.log1p(alpha * u))

    expected = integrate.quad(integrand, -z, z, epsabs=1e-14)[0] / (2 * z) if z > 0 else np.log1p(alpha)
    assert conv.fixation_exponent(alpha, jitter=z) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("start", [(0.6, 0.4), (0.5, 0.3, 0.2), (1.0, 1.0), (3.0, 2.0, 2.0, 1.0)])
def test_mean_field_path(start: tuple[float, ...]) -> None:
    times = np.array([0.0, 0.3, 2.0, 7.0])
    p = np.array(start) / sum(start)
    own = integrate.solve_ivp(
        lambda _, q: q * (q - q @ q), (0, 7), p, method="LSODA", t_eval=times, rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(conv.mean_field_path(start, times), own.y.T, atol=1e-8)
    assert conv.mean_field_path(start, 2.0).shape == (len(start),)


def test_small_steps_follow_the_mean_field() -> None:
    found = conv.simulate_simplex((0.75, 0.25), 0.01, steps=600, runs=1500, rng=1, record=[100, 200, 400])
    path = conv.mean_field_path((0.75, 0.25), found.steps * 0.01)
    np.testing.assert_allclose(found.mean(), path, atol=0.02)


def test_simplex_told_of_bad_input() -> None:
    pair = (0.6, 0.4)
    for call in (
        lambda: conv.wrong_winner_probability(pair, alpha=0.0),
        lambda: conv.wrong_winner_probability(pair, alpha=-1.0),
        lambda: conv.wrong_winner_probability(pair, alpha=float("nan")),
        lambda: conv.wrong_winner_probability(pair, alpha="slow"),
        lambda: conv.wrong_winner_probability((1.0,), alpha=0.1),
        lambda: conv.wrong_winner_probability((0.6, -0.4), alpha=0.1),
        lambda: conv.wrong_winner_probability((0.6, float("nan")), alpha=0.1),
        lambda: conv.wrong_winner_probability("ab", alpha=0.1),
        lambda: conv.wrong_winner_probability([pair], alpha=0.1),
        lambda: conv.wrong_winner_probability(pair, alpha=0.1, winner=2),
        lambda: conv.wrong_winner_probability(pair, alpha=0.1, winner=0.5),
        lambda: conv.wrong_winner_probability(pair, alpha=0.1, method="magic"),
        lambda: conv.step_for_error((0.5, 0.5), 0.1),
        lambda: conv.step_for_error(pair, 0.45),
        lambda: conv.step_for_error(pair, 0.0),
        lambda: conv.step_for_error(pair, "x"),
        lambda: conv.fixation_exponent(0.5, jitter=2.5),
        lambda: conv.fixation_exponent(0.5, jitter=-0.1),
        lambda: conv.mean_field_path(pair, -1.0),
        lambda: conv.simulate_simplex(pair, 0.1, steps=1, runs=5),
        lambda: conv.simulate_simplex(pair, 0.1, steps=5, runs=0),
        lambda: conv.simulate_simplex(pair, 0.1, steps=5, runs=5, jitter=11.0),
        lambda: conv.simulate_simplex(pair, 0.1, steps=5, runs=5, record=[6]),
        lambda: conv.simulate_simplex(pair, 0.1, steps=5, runs=5, workers=0),
        lambda: conv.simulate_simplex(pair, 0.1, steps=4, runs=5, rng=0).exponent(),
    ):
        with pytest.raises(UserError):
            call()
