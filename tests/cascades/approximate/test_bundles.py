"""Oracles: enumeration of random trees by plain Python, closed forms for pairs, sampled networks, equal sharing."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.approximate.degree_laws import poisson, power_law, regular
from sparsefire.cascades.approximate.ensembles import MeanField, mean_field
from sparsefire.cascades.approximate.windows import bundle
from sparsefire.cascades.load_redistribution import LoadRedistribution
from sparsefire.errors import UserError
from sparsefire.wiring.degrees import configuration

UNIFORM, NORMAL, WEIBULL = stats.uniform(), stats.norm(0.5, 0.2), stats.weibull_min(2)
TO_TEN = stats.poisson(3).pmf(np.arange(11)) / stats.poisson(3).cdf(10)


def shared(degrees: Any, capacity: Any, initial: Any, **others: Any) -> MeanField:
    return mean_field(degrees, capacity, initial=initial, load="shared", **others)


# all random trees: P(degree), and for each degree the load at the start and capacities that are equally likely

Unit = tuple[int, float, tuple]  # load, capacity, and the units beyond
Kinds = dict[int, tuple[Fraction, int, list[str]]]


def branches(kinds: Kinds, ends: dict[int, Fraction], depth: int) -> dict[Unit, Fraction]:
    """Return what may stand at the end of an edge, with ``depth`` generations beyond it."""
    found: dict[Unit, Fraction] = defaultdict(Fraction)
    inner = branches(kinds, ends, depth - 1) if depth else {}
    for degree, chance in ends.items():
        _, load, capacities = kinds[degree]
        for children, more in sets(inner, degree - 1 if depth else 0).items():
            for capacity in capacities:
                found[load, float(capacity), children] += chance * more / len(capacities)
    return found


def sets(options: dict[Unit, Fraction], count: int) -> dict[tuple, Fraction]:
    """Return all sets of so many independent branches, whatever their order."""
    found = {}
    for chosen in itertools.combinations_with_replacement(options, count):
        orders = math.factorial(count) // math.prod(map(math.factorial, Counter(map(id, chosen)).values()))
        found[chosen] = math.prod((options[one] for one in chosen), start=Fraction(orders))
    return found


def broke(root: Unit, steps: int) -> int:
    """Return the step in which the root of a tree breaks, or ``steps`` + 1."""
    units, joined = [root], [[]]
    for at, unit in enumerate(units):  # which grows meanwhile
        for child in unit[2]:
            joined[at].append(len(units))
            joined.append([at])
            units.append(child)
    carried = [float(unit[0]) for unit in units]
    when: dict[int, int] = {}
    for step in range(steps + 1):
        now = [u for u, unit in enumerate(units) if u not in when and carried[u] >= unit[1]]
        when |= dict.fromkeys(now, step)
        for u in now:
            takers = [v for v in joined[u] if v not in when]
            for v in takers:
                carried[v] += carried[u] / len(takers)
    return when.get(0, steps + 1)


def by_trees(kinds: Kinds, steps: int) -> list[float]:
    """Return the share that is broken after steps 0 … ``steps``: what is more than one edge further has no say."""
    mean = sum(k * p for k, (p, _, _) in kinds.items())
    inner = branches(kinds, {k: k * p / mean for k, (p, _, _) in kinds.items() if k}, steps)
    found = [Fraction(0)] * (steps + 2)
    for degree, (share, load, capacities) in kinds.items():
        for children, chance in sets(inner, degree).items():
            for capacity in capacities:
                found[broke((load, float(capacity), children), steps)] += share * chance / len(capacities)
    assert sum(found) == 1
    return [float(x) for x in itertools.accumulate(found[:-1])]


def steps_of(capacities: list[str]) -> Any:
    values = np.sort([float(c) for c in capacities])
    return lambda x: np.searchsorted(values - 1e-9, x, side="right") / len(values)


HALF, THIRD = Fraction(1, 2), Fraction(1, 3)
RING: Kinds = {2: (Fraction(1), 1, ["1", "1.7", "2.6"])}
CUBIC: Kinds = {3: (Fraction(1), 1, ["0.5", "1.4"])}
PATHS: Kinds = {1: (HALF, 1, ["0.9", "1.7", "2.6"]), 2: (HALF, 1, ["0.9", "1.7", "2.6"])}
UNEQUAL: Kinds = {1: (HALF, 1, ["0.9", "2.2"]), 2: (HALF, 2, ["1", "2.3", "3.3"])}
MIXED: Kinds = {1: (THIRD, 1, ["1", "1.4"]), 2: (THIRD, 1, ["1", "1.4"]), 3: (THIRD, 1, ["1", "1.4"])}
FORKS: Kinds = {0: (THIRD, 1, ["0.7", "2"]), 1: (THIRD, 3, ["2", "4"]), 3: (THIRD, 1, ["0.7", "1.6"])}


@pytest.mark.parametrize(
    ("kinds", "steps", "grid"),
    [(RING, 3, 8), (PATHS, 2, 8), (UNEQUAL, 2, 8), (MIXED, 1, 6), (FORKS, 1, 6), (CUBIC, 2, 36)]
    + [pytest.param(kinds, 3, 8, marks=pytest.mark.slow) for kinds in (PATHS, UNEQUAL)],
)
def test_all_trees(kinds, steps, grid):
    exact, degrees = by_trees(kinds, steps), range(max(kinds) + 1)
    law = [float(kinds[k][0]) if k in kinds else 0.0 for k in degrees]
    capacities = [steps_of(kinds[k][2]) if k in kinds else 1.0 for k in degrees]
    loads = [kinds[k][1] if k in kinds else 0 for k in degrees]
    given = {"steps": steps, "tolerance": 0.0, "grid": grid}  # all loads lie on the grid
    found = shared(law, capacities, loads, **given)
    assert found.over_time == pytest.approx(exact, abs=1e-9)
    assert np.diff(exact).min() > 0.01  # something happens in every step
    if kinds in (RING, PATHS, MIXED, CUBIC):  # one law, one load
        assert shared(law, capacities[-1], 1.0, **given).over_time == pytest.approx(exact, abs=1e-9)


# closed forms


@pytest.mark.parametrize("capacity", [UNIFORM, NORMAL, WEIBULL, 0.45])
def test_pairs(capacity):
    # one of two breaks: the other has to bear both loads, and what it breaks under is lost
    law, initial, sources = [0.2, 0.8], [0.3, 0.25], [0.1, 0.05]
    cdf = capacity.cdf if hasattr(capacity, "cdf") else lambda x: float(x >= capacity)
    found = shared(law, capacity, initial, sources=sources)
    alone = 0.1 + 0.9 * cdf(0.3)
    first = 0.05 + 0.95 * cdf(0.25)
    later = 0.95 * first * (cdf(0.5) - cdf(0.25))
    assert found.by_degree == pytest.approx([alone, first + later], abs=1e-12)
    assert found.over_time[:2] == pytest.approx([0.2 * alone + 0.8 * first, found.share], abs=1e-12)
    assert found.converged
    assert found.error <= 1e-12


@pytest.mark.parametrize("law", [[0.2, 0.8], regular(3), TO_TEN])
def test_no_load_to_hand_on(law):
    found = shared(law, NORMAL, 0.0, sources=0.1)
    assert found.by_degree == pytest.approx(0.1 + 0.9 * NORMAL.cdf(0), abs=1e-12)
    assert found.over_time == pytest.approx(found.share, abs=1e-12)


def test_certain_things():
    assert shared(poisson(2), 2.0, 1.0).share == 0.0
    assert shared(poisson(2), 1.0, 1.0).over_time.tolist() == pytest.approx([1.0, 1.0])
    assert shared(poisson(2), 1.0, 1.0).by_degree == pytest.approx(1.0, abs=1e-12)
    assert shared(regular(3), np.inf, 5.0, sources=0.3).share == pytest.approx(0.3, abs=1e-12)
    assert shared(regular(3), UNIFORM, 0.2, sources=1.0).share == 1.0
    # degree 1 breaks under the whole load of a hub, whose other neighbour has to be a hub, too
    hubs = shared([0.0, 0.5, 0.5], 1.9, 1.0, sources=[0.0, 0.0, 1.0])
    assert hubs.by_degree == pytest.approx([0.0, 4 / 9, 1.0], abs=1e-12)


def test_many_neighbours_share_as_all_do():
    for load in (0.1, 0.2, 0.3):
        local, equal = shared(regular(60), UNIFORM, load, grid=200).share, 1 - bundle(load, UNIFORM).share
        assert local == pytest.approx(equal, abs=0.002)


def test_tiny_starts():
    # below the critical load twice the sources are twice the cascade, above it the sources do not matter
    law, steep = regular(3), stats.uniform(0.5, 0.2)
    few, more = (shared(law, steep, 0.25, sources=s).share for s in (1e-11, 2e-11))
    assert 1e-11 < few < 1e-9
    assert more == pytest.approx(2 * few, rel=1e-4)
    global_ = [shared(law, steep, 0.45, sources=s, tolerance=1e-15).share for s in (1e-12, 1e-9)]
    assert global_[0] > 0.9
    assert global_[0] == pytest.approx(global_[1], abs=1e-6)
    assert shared(law, steep, 0.45).share == 0.0


# against sampled networks


def sampled(law, capacity, initial, sources, runs, units, rng):
    """Return the share that is broken after each step, [runs, steps + 1], and the law of degrees that was wired."""
    counts = np.round(units * np.asarray(law)).astype(int)
    counts[1] += (np.arange(len(law)) @ counts) % 2
    degrees = np.repeat(np.arange(len(law)), counts)
    courses = []
    for run in range(rng, rng + runs):
        wiring = configuration(degrees, rng=run)
        load = np.asarray(initial, float)[degrees] if np.ndim(initial) else initial
        model = LoadRedistribution(wiring, load, capacity)
        found = model.sample(np.full(len(degrees), sources), runs=1, rng=run, who=True)
        courses.append(np.cumsum(np.bincount(found.activations.step, minlength=1)) / len(degrees))
    longest = max(map(len, courses))
    return np.array([np.pad(c, (0, longest - len(c)), mode="edge") for c in courses]), counts / len(degrees)


CASES = {  # degrees, capacities, load, sources, points
    "cubic, uniform, intact": (regular(3), UNIFORM, 0.15, 0.0, None),
    "cubic, uniform, collapse": (regular(3), UNIFORM, 0.25, 0.05, None),
    "cubic, normal, sources": (regular(3), NORMAL, 0.15, 0.05, None),
    "cubic, heavy tail": (regular(3), stats.pareto(1.0, loc=-1), 0.5, 0.02, None),
    "poisson, uniform, collapse": (TO_TEN, UNIFORM, 0.3, 0.0, None),
    "poisson, normal, collapse": (TO_TEN, NORMAL, 0.3, 0.05, None),
    "poisson, weibull, sources": (TO_TEN, WEIBULL, 0.45, 0.05, None),
    "poisson, one capacity": (TO_TEN, 1.0, 0.6, 0.1, None),
    "poisson, load by degree": (TO_TEN, UNIFORM, 0.05 * (1 + np.arange(11)), 0.02, 100),
}


@pytest.mark.parametrize("name", CASES)
def test_sampled_networks(name):
    law, capacity, initial, sources, grid = CASES[name]
    rng = 100 * list(CASES).index(name)
    # many runs: all steps of a run err together, so the error has to be known well
    courses, law = sampled(law, capacity, initial, sources, runs=24, units=20_000, rng=rng)
    found = shared(law, capacity, initial, sources=sources, grid=grid)
    assert found.converged
    theory = np.pad(found.over_time, (0, max(0, courses.shape[1] - found.steps - 1)), mode="edge")
    error = courses.std(axis=0, ddof=1) / np.sqrt(len(courses))
    gap = np.abs(courses.mean(axis=0) - theory[: courses.shape[1]])
    assert (gap <= 4 * error + 10 / 20_000).all()
    assert np.abs(theory[courses.shape[1] :] - theory[courses.shape[1] - 1]).max(initial=0) < 1e-3  # nor later


# the grid


def test_error_of_the_grid():
    for law in (regular(3), TO_TEN):
        fine = shared(law, NORMAL, 0.3, grid=600)
        gaps = []
        for points in (30, 60, 120):
            coarse = shared(law, NORMAL, 0.3, grid=points)
            gaps.append(abs(coarse.share - fine.share))
            assert 0 < gaps[-1] <= coarse.error
        assert gaps[2] < gaps[1] / 2.5 < gaps[0] / 6
        assert abs(shared(law, NORMAL, 0.3).share - fine.share) <= 1e-6
        assert "600 points" in fine.method


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**10])
def test_units_of_load_do_not_matter(factor):
    one = shared(regular(3), stats.norm(0.5, 0.2), 0.25, sources=0.01)
    other = shared(regular(3), stats.norm(0.5 * factor, 0.2 * factor), 0.25 * factor, sources=0.01)
    assert other.over_time == pytest.approx(one.over_time, abs=1e-9)


def test_laws_by_degree():
    law, every = TO_TEN[:7] / TO_TEN[:7].sum(), np.full(7, 0.25)
    one = shared(law, NORMAL, 0.25, sources=0.02, grid=200)
    many = shared(law, [NORMAL] * 7, every, sources=np.full(7, 0.02), grid=200)
    assert many.over_time == pytest.approx(one.over_time, abs=1e-9)
    assert many.by_degree == pytest.approx(one.by_degree, abs=1e-9)
    strong = shared(law, [stats.norm(0.5 if k < 3 else 0.8, 0.2) for k in range(7)], every, sources=0.02, grid=200)
    assert strong.share < one.share - 0.1


def test_hubs():
    # what comes round in the transforms, and what lies beyond the largest load, does not count
    law = power_law(2.2, most=40)
    short = shared(law, UNIFORM, 0.3, sources=0.05, grid=80)
    # the same capacities, but for a few so large that the grid has to reach further
    long = shared(law, lambda x: (1 - 1e-9) * UNIFORM.cdf(x) + 1e-9 * (x >= 30), 0.3, sources=0.05, grid=80)
    assert short.share == pytest.approx(long.share, abs=1e-6)
    assert short.by_degree[30:] == pytest.approx(long.by_degree[30:], abs=1e-6)


# properties


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda row: sum(row[1:]) > 0.01),
    st.sampled_from([UNIFORM, NORMAL, WEIBULL, stats.expon(), stats.pareto(0.5, loc=-1), 0.5]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_shares(row, capacity, initial, sources):
    law = np.array(row) / sum(row)
    found = shared(law, capacity, initial, sources=sources, grid=32, steps=300)
    cdf = capacity.cdf if hasattr(capacity, "cdf") else lambda x: float(x >= capacity)
    assert found.over_time[0] == pytest.approx(sources + (1 - sources) * cdf(initial), abs=1e-12)
    assert (np.diff(found.over_time) >= 0).all()
    assert found.over_time[-1] == found.share <= 1
    assert found.share == pytest.approx(float(law @ found.by_degree), abs=1e-9)
    assert ((found.by_degree >= found.over_time[0] - 1e-12) & (found.by_degree <= 1)).all()
    assert found.by_degree[0] == pytest.approx(found.over_time[0], abs=1e-12)  # nobody hands it anything
    assert len(found.over_time) == found.steps + 1


# wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": None}, "initial loads belong to shared loads"),
        ({"load": "damage"}, "initial loads belong to shared loads"),
        ({"load": "exposure"}, "initial loads belong to shared loads"),
        ({"initial": -0.1}, "initial load of degree 0"),
        ({"initial": [0.1, np.nan, 0.1]}, "initial load of degree 1"),
        ({"initial": np.inf}, "initial load of degree 0"),
        ({"initial": [0.1, 0.1]}, "one per degree"),
        ({"initial": "much"}, "initial load"),
        ({"response": lambda x: 1 / (1 + x)}, "cannot help less"),
        ({"response": lambda x: x}, "is a probability"),
        ({"response": np.nan}, "no number"),
        ({"sources": 1.5}, "sources must be probabilities"),
        ({"grid": 1}, "grid is a whole number"),
        ({"grid": 50_000_000}, "too fine"),
    ],
)
def test_wrong_input(change, message):
    given = {"load": "shared", "initial": 0.3, "response": 0.5, **change}
    with pytest.raises(UserError, match=message):
        mean_field([0.0, 0.5, 0.5], given.pop("response"), **given)
