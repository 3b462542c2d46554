"""Oracle: laws of signals in random networks, from sampled trees and networks, enumeration, rationals, closed forms.

Sources of the formulas: Burkholz & Dubatovka (arXiv:1806.06362) for the norms of dense layers, Cho & Saul 2009 and
Poole et al. (arXiv:1606.05340) for correlations, Galton and Watson for what dies out; fourth moments are summed here.
Simulated networks are plain NumPy: fan-ins drawn, weights drawn, relu(W x).
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import sparsefire as sf
from sparsefire import propagation
from sparsefire.propagation.laws import gram, mean_field, sparse

KS = 1.628  # D · √n at 1%


# ---------------------------------------------------------------- simulated networks


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def near(value: Any, mean: Any, error: Any, times: float = 4.0) -> None:
    """Within four standard errors."""
    assert np.all(np.abs(np.asarray(value) - mean) <= times * np.asarray(error) + 1e-12), (value, mean, error)


def distinct_inputs(rng: np.random.Generator, units: int, n: int, k: int) -> np.ndarray:
    """Draw k different inputs out of n for every unit: rows with a repetition are drawn again."""
    chosen = rng.integers(0, n, (units, k))
    wrong = np.arange(units)
    while len(wrong):
        chosen[wrong] = rng.integers(0, n, (len(wrong), k))
        rows = np.sort(chosen[wrong], axis=1)
        wrong = wrong[(np.diff(rows, axis=1) == 0).any(axis=1)]
    return chosen


def draw_weights(rng: np.random.Generator, shape: tuple[int, ...], law: str) -> np.ndarray:
    """Weights of mean 0 and variance 1."""
    if law == "sign":
        return rng.integers(0, 2, shape) * 2.0 - 1
    if law == "uniform":
        return rng.uniform(-math.sqrt(3), math.sqrt(3), shape)
    return rng.standard_normal(shape)


def constant_fan_in(
    rng: np.random.Generator, runs: int, n: int, k: int, depth: int, law: str = "normal", x: np.ndarray | None = None
) -> list[np.ndarray]:
    """Signals x_0 … x_depth [runs, n] of as many networks in which every unit has k different inputs."""
    signal = rng.standard_normal((runs, n)) if x is None else np.tile(x, (runs, 1))
    layers = [signal]
    for _ in range(depth):
        chosen = distinct_inputs(rng, runs * n, n, k).reshape(runs, n * k)
        heard = np.take_along_axis(signal, chosen, axis=1).reshape(runs, n, k)
        signal = relu((heard * draw_weights(rng, heard.shape, law)).sum(axis=2) * math.sqrt(2 / k))
        layers.append(signal)
    return layers


def bernoulli_masks(
    rng: np.random.Generator, runs: int, n: int, d: float, depth: int, law: str = "normal", scaled: str = "mean"
) -> list[np.ndarray]:
    """The same with every weight there by chance d."""
    signal = rng.standard_normal((runs, n))
    layers = [signal]
    for _ in range(depth):
        mask = rng.random((runs, n, n)) < d
        size = n * d if scaled == "mean" else np.maximum(mask.sum(axis=2), 1)
        h = np.einsum("rij,rj->ri", mask * draw_weights(rng, mask.shape, law), signal)
        signal = relu(h * np.sqrt(2 / size))
        layers.append(signal)
    return layers


def counted_masks(rng: np.random.Generator, runs: int, n: int, count: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """log |x_L|² / |x_0|² and dead units of the last layer, of networks with exactly so many weights per layer."""
    logs, dead = np.empty(runs), np.empty(runs, dtype=int)
    for r in range(runs):
        signal = rng.standard_normal(n)
        start = float(signal @ signal)
        for _ in range(depth):
            places = rng.choice(n * n, count, replace=False, shuffle=False)
            rows, columns = np.divmod(places, n)
            h = np.bincount(rows, signal[columns] * rng.standard_normal(count), minlength=n)
            signal = relu(h * math.sqrt(2 * n / count))
        square = float(signal @ signal)
        logs[r], dead[r] = (math.log(square / start) if square > 0 else -math.inf), int((h == 0).sum())
    return logs, dead


def log_ratio(layers: list[np.ndarray]) -> np.ndarray:
    """log |x_L|² / |x_0|², −∞ for a network that is silent."""
    with np.errstate(divide="ignore"):
        return np.log((layers[-1] ** 2).sum(axis=1)) - np.log((layers[0] ** 2).sum(axis=1))


def distance(samples: np.ndarray, law: Any, layer: int = -1) -> float:
    """Kolmogorov-Smirnov distance of samples, −∞ among them, from a law of log norms."""
    alive = np.sort(samples[np.isfinite(samples)])
    silent = len(samples) - len(alive)
    predicted = np.asarray(law.cdf(alive))[:, layer]
    steps = (silent + np.arange(len(alive) + 1)) / len(samples)
    at_minus_infinity = abs(silent / len(samples) - law.dead[layer])
    return max(np.abs(predicted - steps[1:]).max(), np.abs(predicted - steps[:-1]).max(), at_minus_infinity)


def discrete_distance(counts: np.ndarray, law: np.ndarray) -> float:
    """The same for whole numbers."""
    seen = np.bincount(counts, minlength=len(law)) / len(counts)
    return float(np.abs(np.cumsum(seen) - np.cumsum(law)).max())


# ---------------------------------------------------------------- who is reached


def extinction(fan_in: Sequence[Fraction], depth: int) -> list[Fraction]:
    """u' = Σ p_k ((1 + u)/2)^k in rationals."""
    u, found = Fraction(0), []
    for _ in range(depth):
        u = sum((p * ((1 + u) / 2) ** k for k, p in enumerate(fan_in)), Fraction(0))
        found.append(u)
    return found


def test_dead_share_in_the_form_of_the_issue_is_the_rational_recursion() -> None:
    found = sf.propagation.dead_share(fan_in=3, depth=20)
    assert found.shape == (20,)
    assert found.dtype == np.float64
    exact = extinction([Fraction(0)] * 3 + [Fraction(1)], 8)
    np.testing.assert_allclose(found[:8], [float(u) for u in exact], rtol=1e-14)
    assert found[19] == pytest.approx(0.23607, abs=5e-6)
    law = [Fraction(1, 10), Fraction(0), Fraction(3, 10), Fraction(2, 5), Fraction(1, 5)]
    mixed = propagation.dead_share([float(p) for p in law], 5)
    np.testing.assert_allclose(mixed, [float(u) for u in extinction(law, 5)], rtol=1e-13)


def test_limits_of_the_dead_share() -> None:
    def last(fan_in: Any) -> float:
        return float(propagation.dead_share(fan_in, 300)[-1])

    assert last(3) == pytest.approx(math.sqrt(5) - 2, abs=1e-12)
    assert last(4) == pytest.approx(0.087378, abs=5e-7)
    assert last(stats.poisson(3)) == pytest.approx(0.417188, abs=5e-7)
    assert last(stats.poisson(5)) == pytest.approx(0.107355, abs=5e-7)
    assert propagation.dead_share(stats.poisson(3), 20)[-1] == pytest.approx(0.41717, abs=1e-5)
    assert propagation.dead_share(2, 40)[-1] == pytest.approx(0.91416, abs=5e-6)
    assert last(1) == pytest.approx(1, abs=1e-12)
    assert propagation.dead_share(0, 2).tolist() == [1.0, 1.0]
    assert sparse.dead_limit(2) == 1
    assert sparse.dead_limit(3) == pytest.approx(math.sqrt(5) - 2, abs=1e-12)


def test_at_fan_in_two_life_fades_as_four_over_the_depth() -> None:
    v, found = 1.0, 1 - propagation.dead_share(2, 3000)
    for share in found:
        v = v - v * v / 4  # 1 − (1 − v/2)²
        assert share == pytest.approx(v, rel=1e-9)
    assert 3000 * found[-1] == pytest.approx(4, abs=0.05)


def test_fan_ins_by_layer_and_of_a_wiring() -> None:
    lists = propagation.dead_share([3, [0.5, 0.0, 0.5], 4])
    first = 0.125
    second = 0.5 + 0.5 * ((1 + first) / 2) ** 2
    np.testing.assert_allclose(lists, [first, second, ((1 + second) / 2) ** 4], rtol=1e-14)
    rng = np.random.default_rng(1)
    mask = rng.random((30, 50)) < 0.08  # [out, in]
    receivers, senders = np.nonzero(mask)
    wiring = sf.Wiring.from_edges(senders, receivers, shape=(50, 30))
    degrees = np.bincount(mask.sum(axis=1)) / 30
    np.testing.assert_allclose(propagation.dead_share(wiring, 6), propagation.dead_share(degrees, 6), rtol=1e-13)
    np.testing.assert_allclose(propagation.kurtosis(wiring, 6), propagation.kurtosis(degrees, 6), rtol=1e-13)


@pytest.mark.parametrize(
    ("fan_in", "expected", "tolerance"),
    [(3, 0.23607, 0.004), ("poisson", 0.41717, 0.004), (4, 0.08738, 0.004), (2, 0.84619, 0.005)],
)
def test_a_million_units_die_as_predicted(fan_in: Any, expected: float, tolerance: float) -> None:
    """Experiment 20: who is reached by an active unit; half of those are active in turn."""
    n, rng = 1_000_000, np.random.default_rng(20)
    active = rng.random(n) < 0.5
    for _ in range(20):
        if fan_in == "poisson":
            degrees = rng.poisson(3, n)
            unit = np.repeat(np.arange(n, dtype=np.int32), degrees)
            reached = np.zeros(n, dtype=bool)
            reached[unit[active[rng.integers(0, n, len(unit), dtype=np.int32)]]] = True
        else:
            reached = active[rng.integers(0, n, n, dtype=np.int32)]
            for _ in range(fan_in - 1):
                reached |= active[rng.integers(0, n, n, dtype=np.int32)]
        active = reached & rng.integers(0, 2, n, dtype=np.bool_)
    law = stats.poisson(3) if fan_in == "poisson" else fan_in
    predicted = propagation.dead_share(fan_in=law, depth=20)[-1]
    assert predicted == pytest.approx(expected, abs=2e-5)
    assert 1 - reached.mean() == pytest.approx(predicted, abs=tolerance)


@pytest.mark.parametrize("distinct", [False, True])
def test_finite_chain_against_all_choices_of_inputs(distinct: bool) -> None:
    """Three units with two inputs each: every choice, every pattern of signs, layer after layer."""
    n, k = 3, 2
    choices = list(itertools.combinations(range(n), k) if distinct else itertools.product(range(n), repeat=k))
    step = np.zeros((2**n, 2**n))
    reach = np.zeros((2**n, 2**n))
    for state in range(2**n):
        for wired in itertools.product(choices, repeat=n):
            heard = [any(state >> j & 1 for j in inputs) for inputs in wired]
            reach[state, sum(1 << i for i in range(n) if heard[i])] += 1 / len(choices) ** n
            for signs in itertools.product((0, 1), repeat=n):
                after = sum(1 << i for i in range(n) if heard[i] and signs[i])
                step[state, after] += 1 / len(choices) ** n / 2**n
    size = np.array([state.bit_count() for state in range(2**n)])
    starts = {"plain": np.eye(2**n)[-1], "activated": np.full(2**n, 2.0**-n), 1: np.eye(2**n)[1]}
    for inputs, start in starts.items():
        found = propagation.active_law(k, depth=4, width=n, distinct=distinct, inputs=inputs)
        dead = sparse.dead_law(k, depth=4, width=n, distinct=distinct, inputs=inputs)
        share = propagation.dead_share(k, depth=4, width=n, distinct=distinct, inputs=inputs)
        law = start
        for layer in range(4):
            reached = law @ reach
            law = law @ step
            np.testing.assert_allclose(found[layer], np.bincount(size, law, minlength=n + 1), atol=1e-12)
            np.testing.assert_allclose(dead[layer], np.bincount(n - size, reached, minlength=n + 1), atol=1e-12)
            assert share[layer] == pytest.approx(float((n - size) @ reached) / n, abs=1e-12)


def test_finite_chain_tends_to_the_limit_and_widths_may_differ() -> None:
    wide = propagation.dead_share(3, 6, width=4000)
    np.testing.assert_allclose(wide, propagation.dead_share(3, 6), atol=5e-4)
    laws = propagation.active_law(2, width=[4, 6, 3], distinct=False, inputs="plain")
    assert [len(law) for law in laws] == [7, 4]
    np.testing.assert_allclose(laws[0], stats.binom.pmf(range(7), 6, 0.5), atol=1e-14)
    chance = [(1 - (1 - a / 6) ** 2) / 2 for a in range(7)]
    second = sum(laws[0][a] * stats.binom.pmf(range(4), 3, chance[a]) for a in range(7))
    np.testing.assert_allclose(laws[1], second, atol=1e-14)


@pytest.mark.parametrize(("n", "fan_in", "depth"), [(64, 3, 15), (48, 2, 6), (60, 0.07, 12)])
def test_law_of_active_units_against_simulated_networks(n: int, fan_in: float, depth: int) -> None:
    """Kolmogorov-Smirnov at 1% with 400 networks; the law of one more input per unit is refused by the same data."""
    rng = np.random.default_rng(n)
    if fan_in < 1:
        layers = bernoulli_masks(rng, 400, n, fan_in, depth)
        law, other = stats.binom(n, fan_in), stats.binom(n, fan_in + 1 / n)
    else:
        layers = constant_fan_in(rng, 400, n, int(fan_in), depth)
        law, other = fan_in, fan_in + 1
    active = (layers[-1] > 0).sum(axis=1)
    found = propagation.active_law(law, depth, n, distinct=True, inputs="plain")[-1]
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert discrete_distance(active, found) < KS / 20
    assert (
        discrete_distance(active, propagation.active_law(other, depth, n, distinct=True, inputs="plain")[-1]) > KS / 20
    )


# ---------------------------------------------------------------- kurtosis


def kurtosis_by_hand(law: dict[int, Fraction], mu4: Fraction, depth: int, scaled: str) -> list[Fraction]:
    """E h⁴ = 3 k(k−1) s² (E x²)² + μ4 k s² E x⁴ for a unit of fan-in k, averaged; x = relu(h) of a symmetric h."""
    mean = sum((p * k for k, p in law.items()), Fraction(0))
    second, fourth, found = Fraction(1), Fraction(3), []
    for _ in range(depth):
        a, b = second / 2, fourth / 2
        second = fourth = Fraction(0)
        for k, p in law.items():
            s = Fraction(2) / mean if scaled == "mean" else (Fraction(2, k) if k else Fraction(0))
            second += p * k * s * a
            fourth += p * (3 * k * (k - 1) * s**2 * a**2 + mu4 * k * s**2 * b)
        found.append(fourth / second**2)
    return found


@pytest.mark.parametrize("scaled", ["mean", "actual"])
@pytest.mark.parametrize(
    ("weights", "mu4"),
    [("normal", Fraction(3)), ("sign", Fraction(1)), ("uniform", Fraction(9, 5)), (2.5, Fraction(5, 2))],
)
def test_kurtosis_in_rationals(scaled: str, weights: Any, mu4: Fraction) -> None:
    for law in ({5: Fraction(1)}, {0: Fraction(1, 8), 2: Fraction(3, 8), 9: Fraction(1, 2)}):
        row = [float(law.get(k, 0)) for k in range(10)]
        exact = [float(value) for value in kurtosis_by_hand(law, mu4, 6, scaled)]
        np.testing.assert_allclose(propagation.kurtosis(row, 6, weights, scaled=scaled), exact, rtol=1e-12)


def test_kurtosis_in_the_form_of_the_issue() -> None:
    found = sf.propagation.kurtosis(fan_in=16, depth=10, weights="normal")
    assert found.shape == (10,)
    assert found[-1] == pytest.approx(4.5, abs=1e-3)
    limits = [(32, "normal", 3.5769), (16, "normal", 4.5), (8, "normal", 10.5), (3, "sign", 6), (4, "sign", 4.5)]
    for fan_in, weights, limit in limits:
        assert propagation.kurtosis(fan_in, 300, weights)[-1] == pytest.approx(limit, abs=5e-5)
    assert propagation.kurtosis(8, 300, "sign")[-1] == pytest.approx(3.5, abs=1e-9)
    assert propagation.kurtosis(stats.poisson(16), 300)[-1] == pytest.approx(4.8, abs=1e-6)
    np.testing.assert_allclose(propagation.kurtosis(4, 12)[[0, 1, 2, 3]], [6.75, 12.375, 20.8125, 33.46875])
    assert propagation.kurtosis(4, 12)[9] > 60
    for fan_in, weights, finite in [(6, "normal", False), (7, "normal", True), (2, "sign", False), (3, "sign", True)]:
        assert math.isfinite(sparse.kurtosis_limit(fan_in, weights)) is finite
        late = propagation.kurtosis(fan_in, 600, weights)
        assert bool(late[-1] - late[-2] < 1e-9 * late[-1]) is finite


@pytest.mark.parametrize(
    ("fan_in", "weights", "expected", "tolerance"),
    [
        (32, "normal", 3.577, 0.08),
        (16, "normal", 4.50, 0.12),
        (4, "sign", 4.50, 0.05),
        (8, "sign", 3.50, 0.03),
        (4, "normal", None, None),
    ],
)
def test_kurtosis_of_four_hundred_thousand_units(
    fan_in: int, weights: str, expected: float | None, tolerance: float | None
) -> None:
    """Experiment 21. At fan-in 4 the fourth moment of normal weights is made by ever fewer units: it only must grow."""
    n, rng = 400_000, np.random.default_rng(2)
    x = relu(rng.standard_normal(n, dtype=np.float32))
    for _ in range(10):
        h = np.zeros(n, dtype=np.float32)
        for _ in range(fan_in):
            heard = x[rng.integers(0, n, n, dtype=np.int32)]
            if weights == "sign":
                h += np.where(rng.integers(0, 2, n, dtype=np.bool_), heard, -heard)
            else:
                h += heard * rng.standard_normal(n, dtype=np.float32)
        x = relu(h * np.float32(math.sqrt(2 / fan_in)))
    h = h.astype(float)
    measured = float((h**4).mean() / (h**2).mean() ** 2)
    predicted = float(propagation.kurtosis(fan_in=fan_in, depth=10, weights=weights)[-1])
    if expected is None or tolerance is None:
        assert measured > 60
        assert predicted > 60
    else:
        assert predicted == pytest.approx(expected, abs=2e-3)
        assert measured == pytest.approx(expected, abs=tolerance)


# ---------------------------------------------------------------- norms of dense layers


def ratio_cdf(n: int, r: Any) -> np.ndarray:
    """P(|x'|²/|x|² ≤ r) after one layer of He: (2/n) Σ_j Bin(n, ½)(j) χ²_j."""
    r = np.asarray(r, dtype=float)
    found = np.full(r.shape, 0.5**n)
    for j in range(1, n + 1):
        found = found + stats.binom.pmf(j, n, 0.5) * stats.chi2.cdf(n * r / 2, j)
    return found


def ratio_pdf(n: int, r: np.ndarray) -> np.ndarray:
    return sum(stats.binom.pmf(j, n, 0.5) * stats.chi2.pdf(n * r / 2, j) for j in range(1, n + 1)) * n / 2


@pytest.mark.parametrize("n", [1, 2, 5, 10, 64])
def test_one_layer_is_the_mixture_of_chi_squares(n: int) -> None:
    law = propagation.norm_law(width=n, depth=1)
    r = np.array([0.03, 0.2, 0.6, 1.0, 1.7, 4.0])
    np.testing.assert_allclose(law.cdf(r), ratio_cdf(n, r), atol=1e-8)
    assert law.atom == pytest.approx(0.5**n, rel=1e-12)
    q = float(ratio_cdf(n, 1.3))
    assert law.quantile(q) == pytest.approx(1.3, rel=1e-6)


def test_two_layers_by_quadrature() -> None:
    n, t = 6, np.linspace(-60, 6, 6001)
    first = np.exp(t)
    density = ratio_pdf(n, first) * first
    law = propagation.norm_law(width=n, depth=2)
    for r in (0.05, 0.4, 1.0, 2.5):
        exact = 0.5**n + np.trapezoid(density * ratio_cdf(n, r / first), t)
        assert law.cdf(r) == pytest.approx(float(exact), abs=1e-8)
    assert law.atom == pytest.approx(1 - (1 - 0.5**n) ** 2, rel=1e-9)


def test_experiment_17() -> None:
    """He's chain, 4e5 runs: second moment, P(R ≤ 1), the atom at 0; and the table against the same runs."""
    rng, runs = np.random.default_rng(17), 400_000
    log_square = np.zeros(runs)
    for _ in range(20):
        log_square += np.log(rng.chisquare(rng.binomial(100, 0.5, runs)) * 2 / 100)
    square = np.exp(log_square)
    table = sf.propagation.norm_moments(width=100, depth=20)
    assert table.shape[0] == 20
    np.testing.assert_allclose(table["mean"], 1, rtol=1e-12)
    np.testing.assert_allclose(table["second_moment"], 1.05 ** np.arange(1, 21), rtol=1e-12)
    assert table["second_moment"].iloc[-1] == pytest.approx(2.653, abs=5e-4)
    assert (square**2).mean() == pytest.approx(2.653, rel=0.1)
    for name, q in [("q0.05", 0.05), ("q0.25", 0.25), ("median", 0.5), ("q0.5", 0.5), ("q0.75", 0.75), ("q0.95", 0.95)]:
        near((square <= table[name].iloc[-1]).mean(), q, math.sqrt(q * (1 - q) / runs))
    assert stats.kstest(square[:100_000], propagation.norm_law(width=100, depth=20).cdf).pvalue > 0.01

    ten = rng.chisquare(np.maximum(rng.binomial(10, 0.5, runs), 1e-300)) / 5
    assert (ten <= 1).mean() == pytest.approx(0.583575, abs=0.004)
    assert propagation.norm_law(width=10, depth=1).cdf(1.0) == pytest.approx(0.583575, abs=5e-7)
    silent = (relu(rng.standard_normal((runs, 5))) == 0).all(axis=1).mean()
    assert silent == pytest.approx(0.03125, abs=0.002)
    assert propagation.norm_moments(width=5, depth=1)["atom"].iloc[0] == pytest.approx(0.03125, rel=1e-12)


def test_moments_with_other_widths_variances_and_biases() -> None:
    """E S = n/2, E S² = n²/4 + 5n/4 for S = Σ Bin(n, ½)(j) χ²_j."""
    widths, v, b2, start = [30, 12, 50, 7], 1.4, 0.3, 0.8
    table = propagation.norm_moments(widths, weight_variance=v, bias_variance=b2, input_square=start)
    first, second = start * 30, (start * 30) ** 2
    for layer, (before, n) in enumerate(itertools.pairwise(widths)):
        s, chi, chi2 = v / before, n / 2, n * n / 4 + 5 * n / 4
        first, second = (s * first + b2) * chi, (s * s * second + 2 * s * b2 * first + b2 * b2) * chi2
        assert table["mean"].iloc[layer] == pytest.approx(first / (start * 30), rel=1e-9)
        assert table["second_moment"].iloc[layer] == pytest.approx(second / (start * 30) ** 2, rel=1e-9)
    rng, runs = np.random.default_rng(5), 200_000
    y = np.full(runs, start * 30.0)
    for before, n in itertools.pairwise(widths):
        degrees = rng.binomial(n, 0.5, runs)
        y = (v / before * y + b2) * np.where(degrees > 0, rng.chisquare(np.maximum(degrees, 1)), 0)
    law = propagation.norm_law(widths, weight_variance=v, bias_variance=b2, input_square=start)
    ratio = np.sort(y / (start * 30))
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        near((ratio <= law.quantile(q)).mean(), q, math.sqrt(q * (1 - q) / runs))


def test_gram_chain_against_real_pairs() -> None:
    """Two inputs through 3,000 dense networks of width 12: correlations, norms and silence, samples against samples."""
    rng, runs, n, depth, c = np.random.default_rng(8), 3000, 12, 5, 0.4
    one = rng.standard_normal((runs, n))
    two = rng.standard_normal((runs, n))
    one *= math.sqrt(n) / np.linalg.norm(one, axis=1, keepdims=True)
    two -= (two * one).sum(axis=1, keepdims=True) / n * one
    two *= math.sqrt(n) / np.linalg.norm(two, axis=1, keepdims=True)
    pair = np.stack([one, c * one + math.sqrt(1 - c * c) * two], axis=2)
    for _ in range(depth):
        pair = relu(rng.standard_normal((runs, n, n)) @ pair * math.sqrt(2 / n))
    chain = propagation.gram_chain(width=n, depth=depth, correlation=c, runs=runs, rng=1)
    size = (pair**2).sum(axis=1)
    both = (size > 0).all(axis=1)
    angle = (pair[both, :, 0] * pair[both, :, 1]).sum(axis=1) / np.sqrt(size[both].prod(axis=1))
    seen = chain.correlations[-1]
    assert stats.ks_2samp(angle, seen[np.isfinite(seen)]).pvalue > 0.01
    for which in (0, 1):
        logs = chain.log_norms[which, -1]
        real = np.log(size[size[:, which] > 0, which] / n)
        assert stats.ks_2samp(real, logs[np.isfinite(logs)]).pvalue > 0.01
    p = 1 - both.mean()
    near(chain.dead()[-1], p, math.sqrt(2 * p * (1 - p) / runs))


def test_mean_gram_matrix_by_quadrature() -> None:
    """Given x, y is normal: E relu(y) = m Φ(m/s) + s φ(m/s)."""
    for c in (-0.7, 0.0, 0.5):
        before = np.array([[2.0, c * math.sqrt(2 * 0.5)], [c * math.sqrt(2 * 0.5), 0.5]])
        p, r, q = (before * 1.3 / 5 + 0.2)[[0, 0, 1], [0, 1, 1]]
        s = math.sqrt(q - r * r / p)

        def product(x: float, r: float = r, p: float = p, s: float = s) -> float:
            m = r / p * x
            rest = m * special.ndtr(m / s) + s * stats.norm.pdf(m / s)
            return x * float(rest) * float(stats.norm.pdf(x, scale=math.sqrt(p)))

        exact = 9 * integrate.quad(product, 0, 12 * math.sqrt(p), epsabs=1e-13)[0]
        found = gram.mean_gram(before, 9, 5, weight_variance=1.3, bias_variance=0.2)
        assert found[0, 1] == pytest.approx(exact, rel=1e-9)
        assert found[0, 0] == pytest.approx(9 * p / 2, rel=1e-12)
        assert found[1, 1] == pytest.approx(9 * q / 2, rel=1e-12)


# ---------------------------------------------------------------- log norms of sparse networks


def test_one_layer_varies_as_the_participation_says() -> None:
    """Var R = 5/n + 6 (1 − d)/(d n) · Σx⁴/|x|⁴ for masks of density d, fourth moments summed by hand; and simulated."""
    n, d = 40, 0.2
    x = np.concatenate([np.full(3, 4.0), np.linspace(0.1, 1, 37)])
    share = float((x**4).sum() / (x**2).sum() ** 2)
    exact = 5 / n + 6 * (1 - d) / (d * n) * share
    law = propagation.log_norm(stats.binom(n, d), 1, n, x=x, method="normal")
    assert law.deviations[0] ** 2 == pytest.approx(math.log1p(exact), rel=1e-9)
    rng = np.random.default_rng(3)
    mask = rng.random((20_000, n, n)) < d
    h = np.einsum("rij,j->ri", mask * rng.standard_normal(mask.shape), x) * math.sqrt(2 / (n * d))
    ratio = (relu(h) ** 2).sum(axis=1) / (x @ x)
    error = math.sqrt((((ratio - ratio.mean()) ** 2).var()) / len(ratio))
    near(ratio.var(), exact, error)
    near(ratio.mean(), 1, ratio.std() / math.sqrt(len(ratio)))
    distinct = 8
    kurt = 3 * (1 - 1 / distinct) * n / (n - 1) * (1 - share) + n / distinct * share  # signs: μ4 = 1
    law = propagation.log_norm(distinct, 1, n, "sign", x=x, method="normal")
    assert law.deviations[0] ** 2 == pytest.approx(math.log1p((2 * kurt - 1) / n), rel=1e-9)


def test_population_against_all_small_networks() -> None:
    """Three units, two distinct inputs, signs ±1: all wirings of two layers, whole numbers throughout."""
    rows = [
        (pair, signs) for pair in itertools.combinations(range(3), 2) for signs in itertools.product((1, -1), repeat=2)
    ]

    def layer(x: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        unit: dict[int, float] = defaultdict(float)
        for (i, j), (a, b) in rows:
            unit[max(a * x[i] + b * x[j], 0)] += 1 / len(rows)
        return {values: math.prod(unit[value] for value in values) for values in itertools.product(unit, repeat=3)}

    law: dict[tuple[int, ...], float] = {(3, 4, 6): 1.0}
    for _ in range(2):
        after: dict[tuple[int, ...], float] = defaultdict(float)
        for x, p in law.items():
            for y, chance in layer(x).items():
                after[y] += p * chance
        law = after
    squares: dict[int, float] = defaultdict(float)
    for x, p in law.items():
        squares[sum(value * value for value in x)] += p
    runs = 20_000
    found = propagation.log_norm(2, 2, 3, "sign", x=[3.0, 4.0, 6.0], method="population", runs=runs, rng=2)
    whole = np.rint(np.exp(found.samples[-1]) * 61).astype(int)
    assert set(whole.tolist()) <= set(squares)
    common = [square for square, p in squares.items() if p * runs > 10]
    seen = [int((whole == square).sum()) for square in common]
    expected = [squares[square] * runs for square in common]
    seen, expected = [*seen, runs - sum(seen)], [*expected, runs - sum(expected)]
    assert len(common) > 50
    assert stats.chisquare(seen, expected).pvalue > 0.01
    near(found.dead[-1], squares[0], math.sqrt(squares[0] / runs))


def test_dense_population_against_the_exact_law() -> None:
    found = propagation.log_norm(24, 8, 24, method="population", runs=3000, rng=4)
    law = propagation.norm_law(width=24, depth=8)
    logs = found.samples[-1]
    assert stats.kstest(np.exp(logs[np.isfinite(logs)]), law.cdf).pvalue > 0.01
    p = [float(stats.binom.pmf(j, 24, 0.5)) for j in range(25)]
    drift = sum(p[j] * (special.digamma(j / 2) + math.log(2)) for j in range(1, 25)) / (1 - p[0]) + math.log(2 / 24)
    spread = found.samples[-1][np.isfinite(logs)].std() / math.sqrt(len(logs)) / 8
    near(found.drift(), drift, spread)


SPARSE = [
    # width, fan-in or density, weights, scaled, depth
    (64, 3, "sign", "mean", 20),
    (80, 8, "normal", "mean", 20),
    (48, 5, "uniform", "mean", 15),
    (64, 0.1, "normal", "mean", 12),
    (64, 0.08, "sign", "actual", 12),
]


@pytest.mark.parametrize(("n", "fan_in", "weights", "scaled", "depth"), SPARSE)
def test_log_norms_of_simulated_networks(n: int, fan_in: float, weights: str, scaled: str, depth: int) -> None:
    """Kolmogorov-Smirnov at 1%: 300 networks against 4,000 sampled signals."""
    rng = np.random.default_rng(int(100 * fan_in) + n)
    law: Any = fan_in
    if fan_in < 1:
        layers, law = bernoulli_masks(rng, 300, n, fan_in, depth, weights, scaled), stats.binom(n, fan_in)
    else:
        layers = constant_fan_in(rng, 300, n, int(fan_in), depth, weights)
    found = propagation.log_norm(law, depth, n, weights, scaled=scaled, method="population", runs=4000, rng=0)
    logs = log_ratio(layers)
    assert distance(logs, found) < KS * math.sqrt(1 / 300 + 1 / 4000)
    wrong = propagation.log_norm(law, depth, n, weights, scaled=scaled, weight_variance=2.2, runs=4000, rng=0)
    assert distance(logs, wrong) > KS * math.sqrt(1 / 300 + 1 / 4000)


def test_normal_law_of_log_norms() -> None:
    n, k, depth = 256, 16, 20
    found = propagation.log_norm(fan_in=k, depth=depth, width=n)
    assert found.method == "normal"
    logs = log_ratio(constant_fan_in(np.random.default_rng(6), 200, n, k, depth))
    assert distance(logs, found) < KS / math.sqrt(200)
    sampled = propagation.log_norm(fan_in=k, depth=depth, width=n, method="population", runs=2000, rng=1)
    assert distance(sampled.samples[-1], found) < found.error + KS / math.sqrt(2000)
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        value = float(found.quantile(q)[-1])
        near((logs <= value).mean(), q, math.sqrt(q * (1 - q) / 200) + found.error / 4)


@pytest.mark.slow
@pytest.mark.parametrize("density", [0.01, 0.03])
def test_four_hundred_networks_of_width_512(density: float) -> None:
    """Depth 50, exactly so many weights per layer: 5/25/50/75/95% points of log |x|² and of dead units at 1%."""
    n, depth, runs = 512, 50, 400
    count = round(density * n * n)
    logs, dead = counted_masks(np.random.default_rng(int(1000 * density)), runs, n, count, depth)
    law = stats.hypergeom(n * n, count, n)
    found = propagation.log_norm(law, depth, n, runs=4000, rng=0)
    noise = 0.0 if found.method == "normal" else 1 / 4000
    assert distance(logs, found) < KS * math.sqrt(1 / runs + noise)
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        near((logs <= float(found.quantile(q)[-1])).mean(), q, math.sqrt(q * (1 - q) * (1 / runs + noise)))
    units = sparse.dead_law(law, depth, n, distinct=True, inputs="plain")[-1]
    assert discrete_distance(dead, units) < KS / math.sqrt(runs)
    below = np.cumsum(units)
    for at in np.searchsorted(below, [0.05, 0.25, 0.5, 0.75, 0.95]):
        near((dead <= at).mean(), below[at], math.sqrt(below[at] * (1 - below[at]) / runs))


def test_three_criticalities_apart() -> None:
    found = propagation.criticalities(fan_in=4, weights="normal", depth=12)
    assert found.topological.branching == pytest.approx(2)
    np.testing.assert_allclose(found.topological.dead, propagation.dead_share(4, 12), rtol=1e-13)
    assert found.topological.limit == pytest.approx(0.087378, abs=5e-7)
    assert found.metric.chi == pytest.approx(1)
    assert found.localisation.needed == 6
    assert found.localisation.handed_on == pytest.approx(6 / 4)
    assert (found.topological.verdict, found.metric.verdict, found.localisation.verdict) == (
        "supercritical",
        "critical",
        "supercritical",
    )
    signs = propagation.criticalities(fan_in=2, weights="sign", depth=3, weight_variance=1.5)
    assert (signs.topological.verdict, signs.metric.verdict, signs.localisation.verdict) == (
        "critical",
        "subcritical",
        "critical",
    )
    assert signs.metric.log_chi == pytest.approx(math.log(0.75))


def test_drift_gap_and_participation_against_simulated_networks() -> None:
    n, k, depth, runs = 50, 5, 10, 3000
    layers = constant_fan_in(np.random.default_rng(9), runs, n, k, depth)
    found = propagation.criticalities(fan_in=k, depth=depth, width=n, runs=runs, rng=3).localisation
    logs = log_ratio(layers) / depth
    alive = np.isfinite(logs)
    near(found.drift, logs[alive].mean(), math.sqrt(2) * logs[alive].std() / math.sqrt(runs))
    assert found.gap == pytest.approx(-found.drift)
    x = layers[-1][alive]
    share = (x**4).sum(axis=1) / (x**2).sum(axis=1) ** 2
    near(found.participation[-1], share.mean(), math.sqrt(2) * share.std() / math.sqrt(runs))


# ---------------------------------------------------------------- mean field


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(160)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def gauss(f: Callable[[np.ndarray], np.ndarray], q: float) -> float:
    return float((WEIGHTS * f(math.sqrt(q) * NODES)).sum())


def gauss_pair(f: Callable[[np.ndarray], np.ndarray], q: float, c: float) -> float:
    x = math.sqrt(q) * NODES[:, None]
    y = math.sqrt(q) * (c * NODES[:, None] + math.sqrt(1 - c * c) * NODES)
    return float((WEIGHTS[:, None] * WEIGHTS * f(x) * f(y)).sum())


def gelu(x: np.ndarray) -> np.ndarray:
    return x * special.ndtr(x)


def test_experiment_18() -> None:
    """ReLU correlations from 0: c_1, c_2, c_10, c_100, and l² (1 − c_l) towards 9 π²/2."""
    c: Any = 0.0
    seen = {}
    for layer in range(1, 1001):
        c = propagation.correlation_map(c)
        seen[layer] = float(c)
    for layer, value in [(1, 0.318310), (2, 0.493731), (10, 0.871536), (100, 0.996423)]:
        assert seen[layer] == pytest.approx(value, abs=1e-6)
    assert 1000**2 * (1 - seen[1000]) == pytest.approx(43.13, abs=0.01)
    grid = np.linspace(-1, 1, 21)
    exact = (np.sqrt(1 - grid**2) + grid * (np.pi - np.arccos(grid))) / np.pi
    np.testing.assert_allclose(propagation.correlation_map(grid), exact, atol=1e-12)
    np.testing.assert_allclose(propagation.correlation_map(grid, weight_variance=1.0, variance=1.0), exact, atol=1e-12)


@pytest.mark.parametrize(("name", "phi"), [("tanh", np.tanh), ("gelu", gelu), (np.sin, np.sin)])
def test_maps_by_quadrature(name: Any, phi: Callable[[np.ndarray], np.ndarray]) -> None:
    v, b2 = 1.7, 0.1
    for q in (0.2, 0.9):
        after = v * gauss(lambda x: phi(x) ** 2, q) + b2
        assert propagation.variance_map(q, name, v, b2) == pytest.approx(after, rel=1e-8)
        for c in (-0.4, 0.3, 0.95):
            exact = (v * gauss_pair(phi, q, c) + b2) / after
            assert propagation.correlation_map(c, name, v, b2, variance=q) == pytest.approx(exact, rel=1e-7)


def test_error_function_in_closed_form() -> None:
    """E φ(x)φ(y) = (2/π) asin(2qc/(1+2q)) and E φ′² = (4/π)/√(1+4q) for φ = erf."""
    v, b2 = 2.3, 0.07

    def after(q: float) -> float:
        return v * 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) + b2

    q = optimize.brentq(lambda x: after(x) - x, 1e-3, 10, xtol=1e-15)
    for name in ("erf", special.erf):
        found = propagation.fixed_point(name, v, b2)
        assert found.variance == pytest.approx(q, rel=1e-9)
        assert found.slope == pytest.approx(v * 4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-8)
        c = np.array([-0.5, 0.2, 0.8])
        exact = (v * 2 / math.pi * np.arcsin(2 * q * c / (1 + 2 * q)) + b2) / q
        np.testing.assert_allclose(propagation.correlation_map(c, name, v, b2), exact, rtol=1e-8)
    line = propagation.critical_line("erf", b2)

    def off(q: float) -> float:
        return q - 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) * math.pi * math.sqrt(1 + 4 * q) / 4 - b2

    q = optimize.brentq(off, 1e-6, 10, xtol=1e-15)
    assert float(line.variance) == pytest.approx(q, rel=1e-7)
    assert float(line.weight_variance) == pytest.approx(math.pi * math.sqrt(1 + 4 * q) / 4, rel=1e-8)


def test_experiment_22() -> None:
    """The critical line of tanh, and its depth scale."""
    biases = [0.001, 0.01, 0.05, 0.1, 0.3]
    found = propagation.critical_line("tanh", biases)
    np.testing.assert_allclose(found.weight_variance, [1.18919, 1.42421, 1.76095, 1.98607, 2.50513], atol=1e-5)
    assert found.weight_variance[2] == pytest.approx(1.76095, abs=1e-4)
    np.testing.assert_allclose(found.variance[[0, 2]], [0.10729, 0.57005], atol=1e-5)
    for b2, v, q in zip(biases, found.weight_variance, found.variance, strict=True):
        assert v * gauss(lambda x: np.tanh(x) ** 2, q) + b2 == pytest.approx(q, abs=1e-8)
        assert v * gauss(lambda x: np.cosh(x) ** -4.0, q) == pytest.approx(1, abs=1e-8)
        assert propagation.slope("tanh", v, b2) == pytest.approx(1, abs=1e-7)
    for v, depth in [(1.0, 3.627), (1.3, 7.834), (1.5, 15.791), (1.7, 74.918)]:
        assert propagation.depth_scale("tanh", v, 0.05).correlation == pytest.approx(depth, abs=1e-2)
    assert float(propagation.critical_line("relu", 0.0).weight_variance) == pytest.approx(2, abs=1e-12)
    assert propagation.depth_scale("relu").correlation == math.inf


def test_sparse_relu_maps_are_the_laws() -> None:
    orbit = mean_field.orbit(8, fan_in=5, weights="sign")
    np.testing.assert_allclose(orbit.kurtosis, propagation.kurtosis(5, 8, "sign"), rtol=1e-10)
    np.testing.assert_allclose(orbit.variance, 1, rtol=1e-12)
    assert propagation.variance_map(2.0, fan_in=[0.25, 0, 0.75], scaled="actual") == pytest.approx(1.5)
    assert propagation.variance_map(2.0, fan_in=[0.25, 0, 0.75], scaled="mean") == pytest.approx(2.0)


# ---------------------------------------------------------------- density evolution


def tree(
    rng: np.random.Generator,
    count: int,
    depth: int,
    law: Sequence[float],
    weights: str = "normal",
    phi: Callable[[np.ndarray], np.ndarray] = relu,
    variance: float = 2.0,
    bias: float = 0.0,
    scaled: str = "mean",
) -> np.ndarray:
    """Pre-activations of as many units, each the root of a tree of its own: independent, and exact for wide layers."""
    if depth == 0:
        return rng.standard_normal(count)
    most = len(law) - 1
    below = phi(tree(rng, count * most, depth - 1, law, weights, phi, variance, bias, scaled)).reshape(count, most)
    degrees = rng.choice(most + 1, count, p=law)
    mean = float(np.arange(most + 1) @ np.asarray(law))
    size = mean if scaled == "mean" else np.maximum(degrees, 1)
    heard = below * draw_weights(rng, below.shape, weights) * (np.arange(most) < degrees[:, None])
    return heard.sum(axis=1) * np.sqrt(variance / size) + rng.standard_normal(count) * math.sqrt(bias)


CASES: list[dict[str, Any]] = [
    {"law": [0, 0, 0, 1], "depth": 4},
    {"law": [0.1, 0.2, 0.3, 0.4], "depth": 4, "scaled": "actual"},
    {"law": [0, 0, 0, 0, 1], "depth": 3, "weights": "sign"},
    {"law": [0, 0, 0.5, 0.5], "depth": 4, "weights": "uniform", "variance": 1.3, "bias": 0.2},
    {"law": [0, 0, 0, 0, 1], "depth": 3, "phi": np.tanh, "variance": 1.8, "bias": 0.05},
]


@pytest.mark.parametrize("case", CASES)
def test_density_evolution_against_sampled_trees(case: dict[str, Any]) -> None:
    """40,000 independent units: the share that is dead, and Kolmogorov-Smirnov at 1% for the others."""
    rng, count = np.random.default_rng(11), 40_000
    phi = case.get("phi", relu)
    h = tree(rng, count, **case)
    found = propagation.density_evolution(
        case["law"],
        case["depth"],
        case.get("weights", "normal"),
        activation="relu" if phi is relu else "tanh",
        weight_variance=case.get("variance", 2.0),
        bias_variance=case.get("bias", 0.0),
        scaled=case.get("scaled", "mean"),
    )[-1]
    dead = found.dead()
    near((h == 0).mean(), dead, math.sqrt(dead * (1 - dead) / count))
    alive = h[h != 0]
    size = stats.kstest(np.abs(alive), lambda x: found.within(x) / (1 - dead))
    assert size.pvalue > 0.01
    below = np.array([-2.0, -0.5, 0.3, 1.5])
    p = found.cdf(below)
    near((h[:, None] <= below).mean(axis=0), p, np.sqrt(p * (1 - p) / count))
    if phi is relu and not case.get("bias"):
        assert dead == pytest.approx(propagation.dead_share(case["law"], case["depth"])[-1], abs=1e-10)
    near((h**2).mean(), found.variance(), h.std() ** 2 * math.sqrt(stats.kurtosis(h) + 2) / math.sqrt(count))


def test_density_evolution_in_closed_form() -> None:
    """Plain normal inputs: two products of normals make a Laplace law, signs leave the normal one."""
    x = np.array([-3.0, -0.4, 0.1, 2.0])
    laplace = propagation.density_evolution(2, 1, inputs="plain")[0]
    np.testing.assert_allclose(laplace.cdf(x), stats.laplace.cdf(x), atol=1e-7)
    assert laplace.quantile(0.9) == pytest.approx(stats.laplace.ppf(0.9), rel=1e-5)
    signs = propagation.density_evolution(5, 1, weights="sign", inputs="plain")[0]
    np.testing.assert_allclose(signs.cdf(x), stats.norm.cdf(x, scale=math.sqrt(2)), atol=1e-7)
    one = propagation.density_evolution(1, 1)[0]  # w · relu(g) √2: half of them 0, else the product of two normals
    assert one.dead() == pytest.approx(0.5, abs=1e-12)
    t = np.linspace(-45, 12, 40001)
    size = np.exp(t)
    pdf = 2 * special.k0(size / math.sqrt(2)) / (math.pi * math.sqrt(2))
    for value in (0.2, 1.0, 3.0):
        exact = 0.5 * np.trapezoid(np.where(size <= value, pdf * size, 0), t)
        assert float(one.within(value)) == pytest.approx(float(exact), abs=5e-4)


def test_density_evolution_against_one_big_layer_after_another() -> None:
    n, k, depth, rng = 500_000, 3, 5, np.random.default_rng(12)
    x = relu(rng.standard_normal(n))
    for _ in range(depth):
        h = sum(x[rng.integers(0, n, n)] * rng.standard_normal(n) for _ in range(k)) * math.sqrt(2 / k)
        x = relu(h)
    found = propagation.density_evolution(k, depth)[-1]
    for value in (-1.5, -0.3, -0.01, 0.02, 0.4, 1.0, 4.0):
        p = float(found.cdf(value))
        near((h <= value).mean(), p, math.sqrt(depth * p * (1 - p) / n))  # each layer adds the noise of its units
    assert found.kurtosis() == pytest.approx(float(propagation.kurtosis(k, depth)[-1]), rel=1e-9)


# ---------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    "call",
    [
        lambda: propagation.dead_share(-1, 3),
        lambda: propagation.dead_share(2.5, 3),
        lambda: propagation.dead_share(3, 0),
        lambda: propagation.dead_share([0.5, 0.2], 3),
        lambda: propagation.dead_share([3, 4], 3),
        lambda: propagation.dead_share(9, 3, width=8, distinct=True),
        lambda: propagation.active_law(3, 2),
        lambda: propagation.kurtosis(4, 3, "cauchy"),
        lambda: propagation.kurtosis(4, 3, 0.5),
        lambda: propagation.norm_moments(width=0, depth=2),
        lambda: propagation.norm_moments(width=10, depth=0),
        lambda: propagation.norm_law(width=10, depth=2, weight_variance=0.0),
        lambda: propagation.log_norm(3, 2),
        lambda: propagation.log_norm(3, 2, 2),
        lambda: propagation.log_norm(3, 2, 8, x=np.zeros(8)),
        lambda: propagation.variance_map(-1.0),
        lambda: propagation.variance_map(1.0, "no such activation"),
        lambda: propagation.correlation_map(1.5),
        lambda: propagation.gram_chain(5, 2, correlation=2.0),
        lambda: propagation.density_evolution(3, 2, weights="cauchy"),
    ],
)
def test_wrong_use_of_the_laws(call: Callable[[], Any]) -> None:
    with pytest.raises(sf.UserError) as caught:
        call()
    assert len(str(caught.value)) > 20
