"""Oracles: enumeration of open arcs, the tree recursion, live arcs gone through by hand, sets cut into other blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sparsefire.cascades.exact.small import enumerate_independent
from sparsefire.cascades.exact.tree import tree_law
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.influence import _kernels as kernels
from sparsefire.cascades.influence.reverse_reachable import backwards, first_met, reverse_sets
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.cascades.threshold import Threshold
from sparsefire.randomness import stream
from sparsefire.wiring.generators import random_tree
from sparsefire.wiring.graph import Wiring

K5 = Wiring.from_edges(*np.array([(u, v) for u in range(5) for v in range(5) if u != v]).T)


def loops(arcs: int = 14) -> Wiring:
    """Return eight units with cycles, parallel arcs and a loop."""
    draws = stream(1, "loops")
    return Wiring.from_edges(draws.integers(0, 8, arcs), draws.integers(0, 8, arcs), units=8)


def agree(estimate: float, exact: float, units: int, sets: int) -> bool:
    p = exact / units
    return bool(abs(estimate - exact) <= 4 * units * np.sqrt(p * (1 - p) / sets) + 1e-9)


def followed(model: LinearThreshold, sources: list[int]) -> float:
    """Return the exact spread, going through everybody that each unit can listen to."""
    wiring, weights = model.wiring, model.weights
    options: list[list[tuple[int, float]]] = []
    for v in range(wiring.units):
        arcs = np.flatnonzero(wiring.receivers == v)
        options.append([(int(wiring.senders[e]), float(weights[e])) for e in arcs])
        options[-1].append((-1, 1 - float(weights[arcs].sum())))
    spread = 0.0
    for choice in itertools.product(*options):
        active = set(sources)
        while more := {v for v, (u, _) in enumerate(choice) if u in active} - active:
            active |= more
        spread += len(active) * float(np.prod([weight for _, weight in choice]))
    return spread


@pytest.mark.parametrize("kind", [kernels.JUMPS, kernels.ARCS])
def test_one_source_on_five_units(kind: int) -> None:
    probability = 0.2 if kind == kernels.JUMPS else 0.2 + np.linspace(0, 1e-12, 20)
    reading = backwards(IndependentCascade(K5, probability))
    assert reading.kind == kind
    met = first_met(reading, np.array([0]), 20_000, np.uint64(5))
    assert abs(5 * met[0] / 20_000 - 2.27014) < 0.07


@pytest.mark.parametrize("each", [False, True])
def test_every_unit_comes_as_often_as_its_spread_says(each: bool) -> None:
    wiring, sets = loops(), 40_000
    probability = stream(2, "p").random(14) if each else 0.3
    reading = backwards(IndependentCascade(wiring, probability))
    assert reading.kind == (kernels.ARCS if each else kernels.JUMPS)
    _, members = reverse_sets(reading, sets, np.uint64(9))
    for unit, count in enumerate(np.bincount(members, minlength=8)):
        exact = enumerate_independent(wiring, probability, np.arange(8) == unit).mean()
        assert agree(8 * count / sets, exact, 8, sets)


def test_a_probability_for_each_receiver_is_jumped_over() -> None:
    wiring = loops()
    chances = np.array([0.0, 1.0, 0.4, 0.7, 0.2, 1e-320, 0.9, 0.5])
    probability = np.empty(14)
    probability[wiring.given] = chances[wiring.receivers]
    reading = backwards(IndependentCascade(wiring, probability))
    assert reading.kind == kernels.JUMPS
    _, members = reverse_sets(reading, 40_000, np.uint64(2))
    for unit, count in enumerate(np.bincount(members, minlength=8)):
        exact = enumerate_independent(wiring, probability, np.arange(8) == unit).mean()
        assert agree(8 * count / 40_000, exact, 8, 40_000)


@pytest.mark.parametrize("directed", [False, True])
def test_spread_on_trees(directed: bool) -> None:
    wiring = random_tree(60, directed=directed, rng=4)
    probability = stream(3, "p").random(59)
    reading = backwards(IndependentCascade(wiring, probability))
    sources = np.array([7, 30, 2, 51])
    reached = np.cumsum(first_met(reading, sources, 40_000, np.uint64(3))) * 60 / 40_000
    for k in range(1, 5):
        exact = tree_law(wiring, probability, np.isin(np.arange(60), sources[:k]).astype(float)).mean()
        assert agree(reached[k - 1], exact, 60, 40_000)


@pytest.mark.parametrize("influence", ["equal", "each"])
def test_spread_of_linear_thresholds(influence: str) -> None:
    wiring = loops()
    given = None
    if influence == "each":  # loops and parallel arcs too; some units listen to nobody with positive probability
        raw = stream(5, "influence").random(14)
        raw[[0, 3]] = 0.0
        total = np.bincount(wiring.receivers, raw[wiring.given], 8)
        scale = np.where(total > 0, np.linspace(0.4, 1.0, 8) / np.maximum(total, 1e-9), 0.0)
        given = np.empty(14)
        given[wiring.given] = raw[wiring.given] * scale[wiring.receivers]
    model = LinearThreshold(wiring, given)
    reading = backwards(model)
    assert reading.kind == kernels.WALK
    for sources in ([0], [5], [1, 6], [7, 2, 4]):
        found = first_met(reading, np.array(sources), 40_000, np.uint64(11)).sum() * 8 / 40_000
        assert agree(found, followed(model, sources), 8, 40_000)


def test_walks_follow_certain_influence_to_its_start() -> None:
    path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 3])  # the last unit listens to 2 or itself
    ends, members = reverse_sets(backwards(LinearThreshold(path, [1.0, 1.0, 1.0, 0.0])), 50, np.uint64(0))
    for found in np.split(members, ends[:-1]):
        assert found.tolist() == list(range(found[0], -1, -1))


@pytest.mark.parametrize("units", [1, 2, 7, 1000])
def test_roots_are_uniform(units: int) -> None:
    reading = backwards(IndependentCascade(Wiring.from_edges([0], [0], units=units), 0.0))
    ends, members = reverse_sets(reading, 20_000, np.uint64(1))
    np.testing.assert_array_equal(ends, np.arange(1, 20_001))
    counts, expected = np.bincount(members, minlength=units), 20_000 / units
    assert len(counts) == units
    statistic = ((counts - expected) ** 2).sum() / expected
    assert abs(statistic - (units - 1)) <= 4 * np.sqrt(2 * (units - 1)) + 1e-9


@pytest.mark.parametrize("model", [IndependentCascade, LinearThreshold])
def test_neither_workers_nor_batches_change_a_set(model: type) -> None:
    draws = stream(8, "graph")
    wiring = Wiring.from_edges(draws.integers(0, 200, 500), draws.integers(0, 200, 500), units=200)
    reading = backwards(IndependentCascade(wiring, 0.3) if model is IndependentCascade else LinearThreshold(wiring))
    key, sources = np.uint64(77), np.array([3, 1, 100])
    ends, members = reverse_sets(reading, 3000, key)
    for workers in (2, 3):
        again = reverse_sets(reading, 3000, key, workers)
        np.testing.assert_array_equal(again[0], ends)
        np.testing.assert_array_equal(again[1], members)
        np.testing.assert_array_equal(
            first_met(reading, sources, 3000, key, workers), first_met(reading, sources, 3000, key)
        )
    late = reverse_sets(reading, 1900, key, first=1100)
    np.testing.assert_array_equal(late[0] + ends[1099], ends[1100:])
    np.testing.assert_array_equal(late[1], members[ends[1099] :])
    assert not np.array_equal(reverse_sets(reading, 3000, np.uint64(78))[1][:100], members[:100])


def test_the_first_source_that_is_met_counts() -> None:
    reading = backwards(IndependentCascade(loops(), 0.4))
    ends, members = reverse_sets(reading, 500, np.uint64(4))
    sources, met = np.array([6, 0, 3]), np.zeros(3, np.int64)
    for found in np.split(members, ends[:-1]):
        assert len(set(found.tolist())) == len(found)
        places = [place for place, source in enumerate(sources) if source in found]
        if places:
            met[places[0]] += 1
    np.testing.assert_array_equal(first_met(reading, sources, 500, np.uint64(4)), met)


def test_given_thresholds_cannot_be_read_backwards() -> None:
    assert backwards(Threshold(K5, 0.5)) is None
