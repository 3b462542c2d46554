"""Oracles: the printed windows, the closed equation for Poisson degrees, slopes of the mean field, simulated graphs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from sparsefire.cascades.approximate.degree_laws import poisson, power_law, regular, thresholds_by_degree
from sparsefire.cascades.approximate.ensembles import mean_field
from sparsefire.cascades.approximate.windows import (
    bootstrap_critical,
    bootstrap_final,
    bundle,
    cascade_condition,
    critical_load,
    independent_condition,
    window,
)
from sparsefire.cascades.exact.closed_forms import bundle_law
from sparsefire.errors import UserError
from sparsefire.wiring.generators import erdos_renyi

PRINTED = {
    0.10: (1.0000, 13.6593),
    0.12: (1.0001, 10.6574),
    0.15: (1.0037, 7.4771),
    0.18: (1.0207, 5.7647),
    0.20: (1.0207, 5.7647),
    0.22: (1.1141, 3.8631),
    0.25: (1.1141, 3.8631),
}


@pytest.mark.parametrize(("threshold", "printed"), PRINTED.items())
def test_windows_of_poisson_degrees(threshold, printed):
    [found] = window(threshold)
    assert found == pytest.approx(printed, abs=1e-4)
    most = math.floor(1 / threshold + 1e-9)
    for z in found:
        assert z * stats.poisson(z).cdf(most - 2) == pytest.approx(1, abs=1e-8)


def test_no_window_above_a_quarter():
    assert window(0.26) == []
    best = optimize.minimize_scalar(lambda z: -cascade_condition(poisson(z), 0.26), bounds=(0.5, 4), method="bounded")
    assert best.x == pytest.approx(1.618, abs=1e-3)
    assert -best.fun == pytest.approx(0.8399, abs=1e-4)


def test_windows_of_other_families():
    def geometric(mean):  # E k = mean, P(k) = s (1 - s)^k
        s = 1 / (1 + mean)
        return s * (1 - s) ** np.arange(int(30 * (1 + mean)) + 60) / (1 - (1 - s) ** (int(30 * (1 + mean)) + 60))

    [(low, high)] = window(0.2, geometric, means=(0.1, 60.0))
    for z in (low, high):
        k, s = np.arange(2, 6), 1 / (1 + z)
        assert (k * (k - 1)) @ (s * (1 - s) ** k) / z == pytest.approx(1, abs=1e-8)


def test_windows_without_end_are_cut():
    # F(x) = 2 x up to 1/2: the condition is 2 (z - 1 + e^-z) / z for all z
    [(low, high)] = window(stats.uniform(0, 0.5), means=(0.5, 30.0))
    assert low == pytest.approx(optimize.brentq(lambda z: z - 2 + 2 * math.exp(-z), 0.5, 5), abs=1e-9)
    assert high == 30.0
    assert window(stats.uniform(0, 0.5), means=(10.0, 30.0)) == [(10.0, 30.0)]
    assert window(stats.uniform(0, 1)) == []


def test_two_windows():
    share, most = np.array([0.85, 0.05]), np.array([5, 100])  # of units with thresholds 1/5 and 1/100
    found = window(lambda x: share[0] * (x >= 1 / 5) + share[1] * (x >= 1 / 100))
    assert len(found) == 2
    for z in np.ravel(found):
        assert z * (share @ stats.poisson(z).cdf(most - 2)) == pytest.approx(1, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 12.0), st.floats(0.05, 0.6))
def test_condition_is_the_slope_of_the_mean_field(mean, threshold):
    slope = cascade_condition(poisson(mean), threshold)
    little = 1e-9
    ends = mean_field(poisson(mean), threshold, sources=little, steps=2, tolerance=0.0)
    # ρ(1) - ρ(0) = Σ p_k k F(1/k) ρ0, and ρ(2) - ρ(1) is that times the condition where only first neighbours count
    k = np.arange(1, len(poisson(mean)))
    first = float((poisson(mean)[1:] * k) @ (1 / k >= threshold - 1e-12))
    steps = np.diff(ends.over_time) / little
    assert steps[0] == pytest.approx(first, abs=1e-4)
    assert steps[1] == pytest.approx(first * slope, abs=1e-3 * (1 + first * slope))


def test_condition_tells_where_one_unit_is_enough():
    [(low, high)] = window(0.18)
    for z, wide in ((low - 0.02, False), (low + 0.05, True), (high - 0.05, True), (high + 0.1, False)):
        found = mean_field(poisson(z), 0.18, sources=1e-10, steps=100_000)
        assert (found.share > 1e-3) == wide


def test_conditions_by_hand():
    assert cascade_condition(regular(3), 0.3) == 2.0
    assert cascade_condition(regular(3), 1 / 3) == 2.0
    assert cascade_condition(regular(3), 0.34) == 0.0
    assert cascade_condition(poisson(4), 0.0) == 0.0  # all are active already
    law = power_law(2.5, most=30)
    k = np.arange(31)
    exact = (k * (k - 1) * law)[1:] @ (stats.norm(0.3, 0.2).cdf(1 / k[1:]) - stats.norm(0.3, 0.2).cdf(0)) / (k @ law)
    assert cascade_condition(law, stats.norm(0.3, 0.2)) == pytest.approx(exact, rel=1e-12)
    assert cascade_condition(law, [stats.norm(0.3, 0.2)] * 31) == pytest.approx(exact, rel=1e-12)
    spared = cascade_condition(law, thresholds_by_degree(law, stats.norm(0.3, 0.2)))
    attacked = cascade_condition(law, thresholds_by_degree(law, stats.norm(0.3, 0.2), falling=True))
    assert spared != pytest.approx(attacked, rel=0.1)
    assert independent_condition(poisson(4), 0.3) == pytest.approx(1.2, rel=1e-9)
    assert independent_condition(regular(5), 0.25) == 1.0


# fibre bundles


@pytest.mark.parametrize(("load", "share"), [(0.0, 1.0), (0.1, 0.887298), (0.2, 0.723607), (0.24, 0.6)])
def test_bundle_of_even_strengths(load, share):
    found = bundle(load, stats.uniform)
    assert found.converged
    assert found.share == pytest.approx(share, abs=1e-6)
    assert found.share == pytest.approx(0.5 + math.sqrt(0.25 - load), abs=1e-10)
    assert len(found.over_time) == found.steps + 1


def test_bundle_collapses():
    assert bundle(0.26, stats.uniform).share == 0.0
    assert bundle(1.5, 1.0).share == 0.0
    assert bundle(0.5, 1.0).share == 1.0
    slow = bundle(0.25, stats.uniform, steps=1000)
    assert not slow.converged
    assert slow.share - 0.5 == pytest.approx(0.5 / 1000, rel=0.02)  # 1 / (2 t) at the critical load


@pytest.mark.parametrize(
    ("strength", "load", "share"),
    [
        (stats.uniform, 0.25, 0.5),
        (lambda x: np.clip(x, 0, 1), 0.25, 0.5),
        (1.0, 1.0, 1.0),
        (stats.weibull_min(3), 3 ** (-1 / 3) * math.exp(-1 / 3), math.exp(-1 / 3)),
        (stats.weibull_min(0.5, scale=7.0), 7 * 4 * math.exp(-2), math.exp(-2)),
        (stats.pareto(2), 1.0, 1.0),
        (stats.rv_discrete(values=([1, 2, 5], [0.5, 0.4, 0.1])), 1.0, 1.0),
    ],
)
def test_critical_loads(strength, load, share):
    found = critical_load(strength)
    assert found == pytest.approx((load, share), abs=1e-6)
    below = bundle(load * (1 - 1e-4), strength).share
    assert share - 1e-9 <= below <= share + 0.02
    assert bundle(load * (1 + 1e-4), strength).share < share - 0.05


def test_critical_load_by_search():
    law = stats.norm(1, 0.3)
    x = np.linspace(0, 2, 200_001)
    assert critical_load(law)[0] == pytest.approx((x * law.sf(x)).max(), abs=1e-9)


def test_large_bundles_approach_the_limit():
    law = bundle_law(600, 0.2, stats.uniform.cdf)
    assert 1 - law.mean() / 600 == pytest.approx(bundle(0.2, stats.uniform).share, abs=0.01)


# bootstrap percolation


def percolated(wiring, sources, threshold):
    """Return the final number of active units."""
    count = np.zeros(wiring.units, dtype=np.int64)
    active = np.zeros(wiring.units, dtype=bool)
    fresh = np.asarray(sources)
    active[fresh] = True
    while len(fresh):
        lengths = wiring.out_degrees[fresh]
        begin = np.repeat(wiring.starts[fresh] - np.cumsum(lengths) + lengths, lengths)
        reached = wiring.receivers[begin + np.arange(lengths.sum())]
        np.add.at(count, reached, 1)
        fresh = np.unique(reached[(count[reached] >= threshold) & ~active[reached]])
        active[fresh] = True
    return int(active.sum())


def runs_of(units, density, sources, threshold, runs, key):
    rng = np.random.default_rng(key)
    wiring = erdos_renyi(units, density, directed=False, rng=rng)
    return np.array([percolated(wiring, rng.choice(units, sources, replace=False), threshold) for _ in range(runs)])


def test_numbers_of_bootstrap_percolation():
    assert bootstrap_critical(400_000, 5e-5) == pytest.approx(500, rel=1e-12)
    assert bootstrap_critical(10**6, 1e-4, 3) == pytest.approx(2 / 3 * math.sqrt(2 / (10**6 * 1e-12)), rel=1e-12)
    for share in (0.1, 0.5, 0.8):
        closed = 2 * 500 * (1 - math.sqrt(1 - share))
        assert bootstrap_final(400_000, 5e-5, share * 500) == pytest.approx(closed, rel=0.02)
        # further out, where n p grows and p t vanishes, closer
        far = 10**12, 1e-8  # n p = 1e4, a_c = 5,000
        assert bootstrap_final(*far, share * 5000) == pytest.approx(10 * closed, rel=1e-3)
    phi = optimize.brentq(lambda x: 3 * x - x**3 - 2 * 0.6, 0, 1)
    critical = bootstrap_critical(10**14, 1e-9, 3)
    assert bootstrap_final(10**14, 1e-9, 0.6 * critical, 3) == pytest.approx(phi * critical * 1.5, rel=1e-3)


def test_simulated_bootstrap_percolation():
    n, density = 100_000, 2e-4  # mean degree 20, a_c = 125
    below = runs_of(n, density, 62, 2, 60, 1)
    exact = bootstrap_final(n, density, 62)
    assert below.mean() == pytest.approx(exact, abs=4 * below.std(ddof=1) / math.sqrt(60) + 0.01 * exact)
    assert runs_of(n, density, 250, 2, 2, 2).min() >= 0.999 * n
    three = runs_of(20_000, 2e-3, 200, 3, 30, 3)  # a_c = 105: above; mean degree 40
    assert three.min() >= 0.999 * bootstrap_final(20_000, 2e-3, 200, 3) > 19_000


@pytest.mark.slow
def test_simulated_bootstrap_percolation_at_full_size():
    n, density = 400_000, 5e-5
    assert runs_of(n, density, 250, 2, 20, 4).mean() == pytest.approx(292.9, rel=0.05)
    assert runs_of(n, density, 400, 2, 20, 5).mean() == pytest.approx(bootstrap_final(n, density, 400), rel=0.05)
    above = runs_of(n, density, 600, 2, 3, 6)
    assert above.min() >= 0.9999 * n
    assert bootstrap_final(n, density, 600) == pytest.approx(n, rel=1e-4)


# wrong input


def test_wrong_input():
    with pytest.raises(UserError, match="adds up to 1"):
        cascade_condition([0.5, 0.6], 0.2)
    with pytest.raises(UserError, match="nobody is joined"):
        cascade_condition([1.0], 0.2)
    with pytest.raises(UserError, match="no number"):
        cascade_condition(poisson(3), np.nan)
    with pytest.raises(UserError, match="cannot help less"):
        cascade_condition(poisson(3), lambda x: 1 - x)
    with pytest.raises(UserError, match="chance of an arc"):
        independent_condition(poisson(3), 1.5)
    with pytest.raises(UserError, match="no family"):
        window(0.2, "scale-free")
    for means in ((0.0, 1.0), (2.0, 1.0), (1.0, np.inf)):
        with pytest.raises(UserError, match="a range"):
            window(0.2, means=means)
    for load in (-0.1, np.nan):
        with pytest.raises(UserError, match="load is 0 or more"):
            bundle(load, stats.uniform)
    with pytest.raises(UserError, match="cannot help less"):
        critical_load(lambda x: np.where(x < 0.5, 0.5, np.where(x < 0.7, 0.4, 1.0)))
    with pytest.raises(UserError, match="some fibres bear any"):
        critical_load(stats.pareto(0.5))
    with pytest.raises(UserError, match="never break"):
        critical_load(lambda x: 0.5 * stats.uniform.cdf(x))
    with pytest.raises(UserError, match="threshold is a whole number"):
        bootstrap_critical(100, 0.1, 1)
    with pytest.raises(UserError, match="joined with a chance"):
        bootstrap_critical(100, 0.0)
    with pytest.raises(UserError, match="sources are some"):
        bootstrap_final(100, 0.1, 101)
