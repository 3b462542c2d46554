"""Oracles: closed forms of stability limits and critical points, quadrature, enumeration of a small magnet."""

import numba
import numpy as np
import pytest
from scipy import integrate, special, stats

from sparsefire.convergence.inference.transitions import (
    find_minimum,
    find_transition,
    search_transition,
    susceptibility_peak,
)
from sparsefire.errors import UserError


@pytest.mark.parametrize("dimension", [1, 10, 100])
def test_stability_limit_of_forward_gradient_descent(dimension):
    c = (dimension + 2) ** 2
    found = find_transition(lambda a: 1 - 2 * a + c * a * a, 0.1 / c, 10 / c, target=1.0)
    assert found.value == pytest.approx(2 / c, rel=1e-11)
    assert found.low <= 2 / c * (1 + 1e-15)
    assert found.high >= 2 / c * (1 - 1e-15)
    assert found.evaluations < 60


def test_stability_limit_of_a_spectral_radius():
    """Second moments of x ↦ x - α ξξ'A x over ξ with independent signs: the limit is where the radius is 1."""
    a = np.diag([1.0, 2.0])
    signs = [np.outer(s, s) for s in ([1.0, 1.0], [1.0, -1.0])]

    def radius(alpha):
        maps = [np.eye(2) - alpha * outer @ a for outer in signs]
        return np.abs(np.linalg.eigvals(np.mean([np.kron(m, m) for m in maps], axis=0))).max()

    found = find_transition(radius, 0.01, 2.0, target=1.0)
    assert radius(found.value * (1 - 1e-9)) < 1 < radius(found.value * (1 + 1e-9))


@numba.njit
def scaled_risk(factor, steps):
    """(k + k₀) r_k of forward gradient descent from the truth, dimension 10, α_k = factor / (k + k₀)."""
    r, found, at = 0.0, np.empty(len(steps)), 0
    for k in range(1, steps[-1] + 1):
        a = factor / (k + 144 * factor)
        r = r * (1 - 2 * a + 144 * a * a) + 120 * a * a
        if k == steps[at]:
            found[at] = (k + 144 * factor) * r
            at += 1
    return found


def test_critical_step_size_is_one_half():
    """k r_k gains the same over every decade at c = 1/2, ever less above and ever more below."""

    def gains(factor):
        first, second = np.diff(scaled_risk(factor, np.array([10**4, 10**5, 10**6])))
        return second / first

    found = find_transition(gains, 0.3, 0.75, target=1.0, tolerance=1e-4)
    assert found.value == pytest.approx(0.5, abs=0.003)


def test_indicators_that_jump():
    found = find_transition(lambda x: x >= 1 / 3, 0.0, 1.0, tolerance=1e-9)
    assert found.low <= 1 / 3 <= found.high
    assert found.high - found.low <= 1e-9
    falling = find_transition(lambda x: np.inf if x < 2 else -1.0, 0, 5)
    assert falling.value == pytest.approx(2.0, abs=1e-11)


def test_repeats_are_half_saturated_at_the_dimension():
    for d in (5, 10, 50):
        found = find_transition(lambda repeats, d=d: (d + repeats + 1) / repeats, 1, 1e4, target=2 + 1 / d)
        assert found.value == pytest.approx(d, rel=1e-10)


def test_best_perturbation_size():
    found = find_minimum(lambda x: 0.75 * (1 + x) ** 2 / x, 1e-3, 1e3)
    assert found.argument == pytest.approx(1.0, abs=1e-6)
    assert found.value == pytest.approx(3.0, rel=1e-12)
    best = find_minimum(lambda a: 1 - 2 * a + 144 * a * a, 1e-6, 1.0)  # fastest contraction: 1 / C
    assert best.argument == pytest.approx(1 / 144, rel=1e-6)
    assert best.value == pytest.approx(1 - 1 / 144, rel=1e-12)


def test_intervals_for_a_coin_contain_the_transition():
    missed = 0
    widths = []
    for number in range(60):
        at = 0.2 + 0.01 * number
        found = search_transition(
            lambda x, draws, at=at: draws.random(50) < special.expit(8 * (x - at)),
            -1,
            2,
            width=0.02,
            most=4000,
            rng=number,
        )
        missed += not found.low <= at <= found.high
        widths.append(found.high - found.low)
        assert found.value == (found.low + found.high) / 2
    assert missed <= 3  # at most 5 % of 60 expected, in fact far fewer
    assert np.median(widths) < 0.3


def test_growth_and_the_mean_square_have_different_limits():
    """One dimension: runs shrink while E log|1 - α X²| < 0, their mean square only while α < 2 / (d + 2) = 2/3."""

    def mean_log(a):
        root = a**-0.5  # the logarithm is singular there
        pieces = [(0, root), (root, 40)]
        parts = [integrate.quad(lambda x: np.log(abs(1 - a * x * x)) * stats.norm.pdf(x), *p)[0] for p in pieces]
        return 2 * sum(parts)

    exact = find_transition(mean_log, 0.5, 10.0, tolerance=1e-8).value

    def trial(a, draws):
        return np.log(np.abs(1 - a * draws.normal(size=500) ** 2))

    found = search_transition(trial, 0.5, 10.0, width=0.1, most=100_000, rng=1)
    assert found.low <= exact <= found.high
    assert found.high - found.low < 0.5
    squares = search_transition(
        lambda a, draws: (1 - a * draws.normal(size=500) ** 2) ** 2,
        0.2,
        2.0,
        target=1.0,
        width=0.1,
        most=200_000,
        rng=1,
    )
    assert squares.low <= 2 / 3 <= squares.high
    assert squares.high < found.low


def test_the_same_stream_gives_the_same_interval():
    def trial(x, draws):
        return draws.random(20) > x

    first, second = (search_transition(trial, 0, 1, most=2000, rng=3) for _ in range(2))
    assert first == second
    assert first.low < 0.5 < first.high


def test_fluctuations_of_a_small_magnet_peak_where_they_do():
    """|M| of n spins that all see each other: its law is a sum over n + 1 states."""
    n = 100
    ups = np.arange(n + 1)
    magnet = 2 * ups - n
    grid = np.linspace(0.5, 2.0, 16)

    def law(coupling):
        logs = special.gammaln(n + 1) - special.gammaln(ups + 1) - special.gammaln(n - ups + 1)
        return special.softmax(logs + coupling * magnet**2 / (2 * n))

    def variance(coupling):
        p, m = law(coupling), np.abs(magnet) / n
        return p @ m**2 - (p @ m) ** 2

    top = find_minimum(lambda c: -n * variance(c), 0.5, 2.0).argument
    draws = np.random.default_rng(2)
    samples = [np.abs(draws.choice(magnet, 4000, p=law(c))) / n for c in grid]
    peak = susceptibility_peak(grid, samples, scale=n, resamples=300)
    low, high = peak.interval(0.99)
    assert low - 0.01 < top < high + 0.01  # the parabola is off by a tenth of the spacing at most
    assert high - low < 0.2
    assert low <= peak.value <= high
    exact = np.array([n * variance(c) for c in grid])
    assert peak.susceptibilities == pytest.approx(exact, rel=0.15)


def test_wrong_input():
    with pytest.raises(UserError, match="no transition"):
        find_transition(lambda x: 1 + x, 0, 1)
    with pytest.raises(UserError, match="not a number"):
        find_transition(lambda x: float("nan"), 0, 1)
    with pytest.raises(UserError, match="two ends"):
        find_transition(lambda x: x, 1, 0)
    with pytest.raises(UserError, match="tolerance"):
        find_transition(lambda x: x, -1, 1, tolerance=0)
    for low, high in (("a", 1), (0, "b"), (None, 1), (0, np.inf)):
        with pytest.raises(UserError, match="two ends"):
            find_transition(lambda x: x, low, high)
        with pytest.raises(UserError, match="two ends"):
            search_transition(lambda x, draws: [True], low, high)
        with pytest.raises(UserError, match="two ends"):
            find_minimum(lambda x: x, low, high)
    for wrong in ("a", np.nan):
        with pytest.raises(UserError, match="tolerance"):
            find_transition(lambda x: x, -1, 1, tolerance=wrong)
        with pytest.raises(UserError, match="tolerance"):
            find_minimum(lambda x: x, 1, 2, tolerance=wrong)
        with pytest.raises(UserError, match="target"):
            find_transition(lambda x: x, -1, 1, target=wrong)
        with pytest.raises(UserError, match="target"):
            search_transition(lambda x, draws: [True], 0, 1, target=wrong)
        with pytest.raises(UserError, match="width"):
            search_transition(lambda x, draws: [True], 0, 1, width=wrong)
    with pytest.raises(UserError, match="no numbers"):
        susceptibility_peak(["a", "b", "c"], [np.ones(9)] * 3)
    with pytest.raises(UserError, match="no transition"):
        search_transition(lambda x, draws: draws.random(10) < 0.9, 0, 1, rng=0)
    with pytest.raises(UserError, match="outcome"):
        search_transition(lambda x, draws: [np.nan], 0, 1, rng=0)
    with pytest.raises(UserError, match="width"):
        search_transition(lambda x, draws: [True], 0, 1, width=0, rng=0)
    with pytest.raises(UserError, match="most"):
        search_transition(lambda x, draws: [True], 0, 1, most=1, rng=0)
    with pytest.raises(UserError, match="above 0"):
        find_minimum(lambda x: x, 0, 1)
    with pytest.raises(UserError, match="grid"):
        susceptibility_peak([1, 2], [np.ones(9)] * 2)
    with pytest.raises(UserError, match="runs"):
        susceptibility_peak([1, 2, 3], [np.ones(9), np.ones(2), np.ones(9)])
