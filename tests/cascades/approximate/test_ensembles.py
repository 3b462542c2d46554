"""Oracles: printed values, simulated networks, loads by enumeration, scipy's binomial, all threshold classes, trees."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from sparsefire.cascades.approximate.degree_laws import poisson, power_law, regular, thresholds_by_degree
from sparsefire.cascades.approximate.ensembles import mean_field
from sparsefire.errors import UserError

DIVERSIFIED = [  # mean and standard deviation of normal thresholds, exposure, damage; Poisson degrees of mean 3
    (0.3, 0.2, 0.88496, 0.59865),
    (0.5, 0.3, 0.11382, 0.11494),
    (0.5, 0.2, 0.01185, 0.01189),
]
SOURCED = [  # mean degree, share of sources, printed share at threshold 0.18; at mean 6 more sources switch it
    (3, 0.01, 0.94120), (5, 0.01, 0.99310), (6, 1e-4, 0.00238), (6, 1e-3, 0.99749), (7, 1e-3, 0.00424),
    (7, 1e-2, 0.99909),
]  # fmt: skip


def simulated(degrees, draw, load, share, rng):
    """Run one synchronous cascade on a random pairing of stubs and return the active share after every step."""
    n = len(degrees)
    stubs = rng.permutation(np.repeat(np.arange(n), degrees))
    half = len(stubs) // 2
    a, b = stubs[:half], stubs[half : 2 * half]
    receivers, senders = np.concatenate([a, b]), np.concatenate([b, a])
    delivered = 1.0 / degrees[receivers if load == "exposure" else senders]
    loads = sparse.csr_array((delivered, (receivers, senders)), shape=(n, n))
    thresholds = draw(n, rng, degrees) - 1e-12
    active = rng.random(n) < share
    course = [active.mean()]
    while True:
        more = active | (loads @ active >= thresholds)
        if (more == active).all():
            return np.array(course)
        active = more
        course.append(active.mean())


def normal(mean, sd):
    return lambda n, rng, _: rng.normal(mean, sd, n)


def constant(level):
    return lambda n, rng, _: np.full(n, level)


def final(runs, n, mean, draw, load, share, key):
    rng = np.random.default_rng(key)
    return np.array([simulated(rng.poisson(mean, n), draw, load, share, rng)[-1] for _ in range(runs)])


# the printed values


@pytest.mark.parametrize(("mean", "share", "printed"), SOURCED)
def test_sources_of_gleeson_and_cahalane(mean, share, printed):
    found = mean_field(poisson(mean), 0.18, sources=share)
    assert found.converged
    assert found.error == 0.0
    assert found.share == pytest.approx(printed, abs=1e-5)


@pytest.mark.parametrize(("mean", "sd", "exposure", "damage"), DIVERSIFIED)
def test_exposure_and_damage(mean, sd, exposure, damage):
    assert mean_field(poisson(3), stats.norm(mean, sd)).share == pytest.approx(exposure, abs=1e-5)
    found = mean_field(poisson(3), stats.norm(mean, sd), load="damage", grid=1024)
    assert found.share == pytest.approx(damage, abs=1e-5)
    assert found.error < 1e-4


@pytest.mark.parametrize(("mean", "sd", "printed"), [(0.5, 0.3, 0.121671), (0.4, 0.25, 0.252405)])
def test_regular_networks_know_no_difference(mean, sd, printed):
    exposure, damage = (mean_field(regular(3), stats.norm(mean, sd), load=w) for w in ("exposure", "damage"))
    assert exposure.share == pytest.approx(printed, abs=1e-6)
    assert exposure.share == pytest.approx(damage.share, abs=1e-8)
    assert np.abs(exposure.over_time - damage.over_time).max() <= 1e-8
    assert "exact" in damage.method


# against simulated networks


def test_course_of_a_simulated_cascade():
    rng = np.random.default_rng(1)
    theory = mean_field(poisson(3), 0.18, sources=0.01)
    course = simulated(rng.poisson(3, 100_000), constant(0.18), "exposure", 0.01, rng)
    theory = np.pad(theory.over_time, (0, max(0, len(course) - len(theory.over_time))), mode="edge")
    # the share that is reached early carries the noise of the sources: 3% of 1,000 is one standard error
    assert np.abs(course - theory[: len(course)]).max() <= 0.02
    assert course[-1] == pytest.approx(theory[-1], abs=0.004)


@pytest.mark.parametrize(("load", "column", "tolerance"), [("exposure", 2, 0.006), ("damage", 3, 0.012)])
def test_simulated_diversification(load, column, tolerance):
    found = final(4, 50_000, 3, normal(0.3, 0.2), load, 0.0, 2)
    assert found.mean() == pytest.approx(DIVERSIFIED[0][column], abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "share", "printed"), SOURCED)
def test_simulated_sources_at_full_size(mean, share, printed):
    # the median: from 20 sources at mean degree 6 about one run in eight becomes global
    found = final(5, 200_000, mean, constant(0.18), "exposure", share, 3)
    assert np.median(found) == pytest.approx(printed, abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "sd", "exposure", "damage"), DIVERSIFIED)
def test_simulated_diversification_at_full_size(mean, sd, exposure, damage):
    assert final(8, 200_000, 3, normal(mean, sd), "exposure", 0.0, 4).mean() == pytest.approx(exposure, abs=0.004)
    assert final(8, 200_000, 3, normal(mean, sd), "damage", 0.0, 5).mean() == pytest.approx(damage, abs=0.006)


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("load", ["exposure", "damage"])
def test_thresholds_in_the_order_of_degrees(load, falling):
    law, n = np.array([0.0, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1]), 60_000
    rng = np.random.default_rng(6)

    def dealt(n, rng, degrees):
        thresholds = np.sort(rng.normal(0.35, 0.2, n))
        found = np.empty(n)
        found[np.argsort(degrees, kind="stable")] = thresholds[::-1] if falling else thresholds
        return found

    runs = [simulated(rng.choice(7, n, p=law), dealt, load, 0.0, rng)[-1] for _ in range(4)]
    found = mean_field(law, thresholds_by_degree(law, stats.norm(0.35, 0.2), falling), load=load)
    error = np.std(runs, ddof=1) / 2
    assert found.share == pytest.approx(np.mean(runs), abs=4 * error + 1e-3)
    assert abs(found.share - mean_field(law, stats.norm(0.35, 0.2), load=load).share) > 0.02  # the order matters


# against other ways to compute it


def test_exposure_by_scipys_binomial():
    law, rho0 = power_law(2.2, most=60), 0.02
    found = mean_field(law, stats.norm(0.4, 0.2), sources=rho0, steps=7, tolerance=0.0)
    k = np.arange(len(law))
    weight, q, course, cdf = k * law / (k @ law), rho0, [rho0], stats.norm(0.4, 0.2).cdf
    for _ in range(7):
        units = [stats.binom(j, q).pmf(np.arange(j + 1)) @ cdf(np.arange(j + 1) / max(j, 1)) for j in k]
        ends = [stats.binom(j - 1, q).pmf(np.arange(j)) @ cdf(np.arange(j) / j) for j in k[1:]]
        course.append(rho0 + (1 - rho0) * float(law @ units))
        q = rho0 + (1 - rho0) * float(weight[1:] @ ends)
    assert np.abs(found.over_time - course).max() <= 1e-12
    assert found.steps == 7
    assert not found.converged
    assert found.by_degree == pytest.approx(rho0 + (1 - rho0) * np.array(units), abs=1e-12)


def enumerated_damage(law, cdf, rho0, steps):
    """The same recursion with every combination of what up to k neighbours deliver, weights as they are."""
    degrees = [k for k in range(1, len(law)) if law[k] > 0]
    z = sum(k * law[k] for k in degrees)

    def expected(j, chances):
        options = [(0.0, 1 - sum(chances))] + [(1 / k, c) for k, c in zip(degrees, chances, strict=True)]
        return sum(
            math.prod(c for _, c in row) * float(cdf(math.fsum(w for w, _ in row) + 1e-13))
            for row in itertools.product(options, repeat=j)
        )

    reached, course = [rho0] * len(degrees), []
    for _ in range(steps):
        chances = [k * law[k] / z * a for k, a in zip(degrees, reached, strict=True)]
        course.append(rho0 + (1 - rho0) * sum(p * expected(k, chances) for k, p in enumerate(law) if p > 0))
        reached = [rho0 + (1 - rho0) * expected(k - 1, chances) for k in degrees]
    return course


@pytest.mark.parametrize("response", [0.5, 1 / 3, stats.norm(0.5, 0.3), stats.expon(scale=0.7)])
def test_damage_by_enumeration(response):
    law = [0.1, 0.3, 0.3, 0.2, 0.0, 0.1]
    cdf = response.cdf if hasattr(response, "cdf") else lambda x: x >= response
    exact = enumerated_damage(law, cdf, 0.1, 4)
    found = mean_field(law, response, sources=0.1, load="damage", steps=4, tolerance=0.0)
    assert np.abs(found.over_time[1:] - exact).max() <= 1e-12


def test_error_of_the_grid_is_stated():
    law = [0.0, 0.2, 0.3, 0.2, 0.1, 0.1, 0.1]
    exact = mean_field(law, stats.norm(0.35, 0.15), load="damage")
    assert exact.method == "damage, exact on multiples of 1/60"
    coarse, fine = (mean_field(law, stats.norm(0.35, 0.15), load="damage", grid=n) for n in (26, 52))
    assert 0 < abs(coarse.share - exact.share) <= coarse.error
    assert 0 < abs(fine.share - exact.share) <= fine.error
    assert fine.error < 0.5 * coarse.error
    assert "52 points" in fine.method


def test_loads_of_hubs():
    law, cdf = power_law(2.0, most=100), stats.norm(0.5, 0.2).cdf
    given = {"load": "damage", "sources": 0.01, "grid": 128}
    tilted = mean_field(law, cdf, **given)
    whole = mean_field(law, lambda x: (1 - 1e-12) * cdf(x) + 1e-12 * x / 100, **given)  # rises up to the largest load
    assert tilted.share == pytest.approx(whole.share, abs=1e-10)
    assert np.abs(tilted.by_degree - whole.by_degree).max() <= 1e-9


def test_laws_without_bound_or_below_one():
    law = power_law(2.0, most=20)
    unbounded = mean_field(law, stats.pareto(0.5, loc=-1.05), load="damage", grid=64)
    assert 1 - 1.05**-0.5 < unbounded.share < 1
    never = mean_field(law, lambda x: 0.5 * stats.norm(0.3, 0.2).cdf(x), load="damage", grid=64)
    assert 0.5 * stats.norm(0.3, 0.2).cdf(0) < never.share < 0.5


# properties

LAWS = st.lists(st.floats(0, 1), min_size=2, max_size=7).filter(lambda row: sum(row[1:]) > 0.01)
LEVELS = st.floats(0.05, 1.0)
LOADS = st.sampled_from(["exposure", "damage"])


@settings(max_examples=40, deadline=None)
@given(LAWS, LEVELS, st.floats(0, 0.5), st.floats(0, 0.5), LOADS)
def test_more_sources_never_hurt(row, mean, one, other, load):
    law = np.array(row) / sum(row)
    low, high = sorted((one, other))
    few, many = (mean_field(law, stats.norm(mean, 0.3), sources=s, load=load) for s in (low, high))
    assert few.share <= many.share + 1e-9
    assert (few.by_degree <= many.by_degree + 1e-9).all()
    for found in (few, many):
        assert found.converged
        assert (np.diff(found.over_time) >= 0).all()
        assert 0 <= found.over_time[0] <= found.share <= 1
        assert found.share == pytest.approx(float(law @ found.by_degree), abs=1e-9)
        assert len(found.over_time) == found.steps + 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), LEVELS, st.floats(0, 0.5))
def test_loads_of_regular_networks_are_the_same(degree, mean, sources):
    both = [
        mean_field(regular(degree), stats.norm(mean, 0.25), sources=sources, load=w).share
        for w in ("exposure", "damage")
    ]
    assert both[0] == pytest.approx(both[1], abs=1e-8)


@pytest.mark.parametrize("load", ["exposure", "damage"])
def test_a_unit_alone(load):
    found = mean_field([0.4, 0.0, 0.0, 0.6], stats.norm(0.5, 0.3), sources=0.1, load=load)
    assert found.by_degree[0] == pytest.approx(0.1 + 0.9 * stats.norm(0.5, 0.3).cdf(0), abs=1e-14)


@pytest.mark.parametrize("load", ["exposure", "damage"])
def test_nothing_comes_of_nothing(load):
    # in the window, where rounding that counts as activity would start a cascade
    found = mean_field(poisson(3), stats.uniform(0.05, 0.1), load=load, grid=512)
    assert found.share == 0.0
    assert found.steps == 1
    assert mean_field(poisson(3), stats.uniform(0.05, 0.1), sources=1e-9, load=load, grid=512).share > 0.9


def test_certain_things():
    assert mean_field(poisson(2), 0.0).share == pytest.approx(1.0, abs=1e-12)
    assert mean_field(poisson(2), 0.0, load="damage", grid=64).share == pytest.approx(1.0, abs=1e-9)
    assert mean_field(poisson(2), np.inf, sources=0.3).share == pytest.approx(0.3, abs=1e-12)
    assert mean_field(poisson(2), 0.5, sources=1.0, load="damage", grid=64).share == pytest.approx(1.0, abs=1e-12)
    hubs = mean_field([0.0, 0.5, 0.5], 0.9, sources=[0.0, 0.0, 1.0])
    assert hubs.by_degree == pytest.approx(
        [0.0, 2 / 3, 1.0]
    )  # a unit of degree 1 follows its hub, or another such unit


# wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degrees": [0.5, 0.6]}, "adds up to 1"),
        ({"degrees": [1.5, -0.5]}, "have probabilities"),
        ({"degrees": [1.0]}, "nobody is joined"),
        ({"response": np.nan}, "no number"),
        ({"response": stats.norm(np.nan, 1)}, "is a probability"),
        ({"response": lambda x: 1 - x}, "cannot help less"),
        ({"response": lambda x: 1 - 0.1 * x, "load": "damage"}, "cannot help less"),
        ({"response": [0.5, 0.5]}, "every degree"),
        ({"sources": 1.5}, "sources must be probabilities"),
        ({"sources": [0.1, 0.1]}, "sources has shape"),
        ({"load": "both"}, "no load 'both'"),
        ({"steps": 0}, "steps is a whole number"),
        ({"grid": 1}, "grid is a whole number"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"response": stats.pareto(0.5), "load": "damage", "grid": 50_000_000, "degrees": poisson(30)}, "too fine"),
    ],
)
def test_wrong_input(change, message):
    given = {"degrees": [0.0, 0.5, 0.5], "response": 0.5, **change}
    with pytest.raises(UserError, match=message):
        mean_field(given.pop("degrees"), given.pop("response"), **given)
