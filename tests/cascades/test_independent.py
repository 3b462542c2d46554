"""Oracles: enumeration and the tree recursion for the same law, numbers by hand, runs cut into other blocks."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire import UserError
from sparsefire.cascades.independent import BLOCK, IndependentCascade
from sparsefire.randomness import stream
from sparsefire.wiring.graph import Wiring

K5 = [(u, v) for u in range(5) for v in range(5) if u != v]


def complete() -> Wiring:
    return Wiring.from_edges(*np.array(K5).T)


def random_graph(units: int, edges: int, directed: bool = True) -> Wiring:
    draws = stream(3, "graph")
    return Wiring.from_edges(draws.integers(0, units, edges), draws.integers(0, units, edges), units=units,
                             directed=directed)  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
def test_one_seed_on_five_units(shared: bool) -> None:
    probability = 0.2 if shared else np.where(np.arange(20) < 20, 0.2, 0.0) + np.linspace(0, 1e-12, 20)
    model = IndependentCascade(complete(), probability)
    sizes = model.sample([0], runs=200_000, rng=1).sizes
    expected = np.array([0, 0.4096, 0.2097152, 0.16357786, 0.13516145, 0.0819455])
    found = np.bincount(sizes, minlength=6) / len(sizes)
    assert np.all(np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / len(sizes)) + 1e-12)
    assert abs(sizes.mean() - 2.2701372416) < 4 * sizes.std() / np.sqrt(len(sizes))


def test_every_solver_gives_the_same_law() -> None:
    path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    model = IndependentCascade(path, 0.2)
    start = np.full(5, 0.1)
    exact = [0.59049, 0.2309472, 0.11915942, 0.04459277, 0.01248883, 0.00232178]
    for method in ("auto", "tree", "exact"):
        law = model.size_distribution(start, method)
        assert law.method == "tree"
        np.testing.assert_allclose(law.pmf, exact, atol=1e-8)
    sampled = model.size_distribution(start, "monte-carlo", runs=100_000, rng=0)
    low, high = sampled.interval()
    assert np.all((low <= np.cumsum(exact) + 1e-9) & (np.cumsum(exact) - 1e-9 <= high))


def test_complete_graphs_have_a_closed_form() -> None:
    law = IndependentCascade(complete(), 0.2).size_distribution(np.full(5, 0.1))
    np.testing.assert_allclose(
        law.pmf, [0.59049, 0.13436928, 0.08790737, 0.0764242, 0.06762732, 0.04318183], atol=1e-8
    )  # fmt: skip


def test_tiny_graphs_are_enumerated_and_larger_ones_sampled() -> None:
    tiny = Wiring.from_edges([0, 1, 2, 2], [1, 2, 0, 1])
    law = IndependentCascade(tiny, [0.5, 0.2, 0.9, 0.4]).size_distribution([0])
    assert law.method == "enumeration"
    sizes = IndependentCascade(tiny, [0.5, 0.2, 0.9, 0.4]).sample([0], 100_000, rng=0).sizes
    found = np.bincount(sizes, minlength=4) / len(sizes)
    assert np.all(np.abs(found - law.pmf) < 4 * np.sqrt(law.pmf * (1 - law.pmf) / len(sizes)) + 1e-12)
    large = IndependentCascade(random_graph(200, 600), 0.1)
    assert large.size_distribution([0], runs=100, rng=0).method == "monte-carlo"
    with pytest.raises(UserError, match="no exact solution"):
        large.size_distribution([0], "exact")
    with pytest.raises(UserError):
        large.size_distribution([0], "tree")


@pytest.mark.parametrize("probability", [0.3, "each"])
def test_neither_workers_nor_blocks_change_a_run(probability: object) -> None:
    graph = random_graph(300, 900)
    chance = np.linspace(0, 0.6, 900) if probability == "each" else probability
    model = IndependentCascade(graph, chance)
    runs = 2 * BLOCK + 17
    one, two = (model.sample([1, 2], runs, rng=5, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.sizes, two.sizes)
    np.testing.assert_array_equal(one.durations, two.durations)
    np.testing.assert_array_equal(model.sample([1, 2], 10, rng=5).sizes, one.sizes[:10])
    assert not np.array_equal(model.sample([1, 2], runs, rng=6).sizes, one.sizes)


def test_shared_and_single_probabilities_are_one_law() -> None:
    graph = random_graph(400, 1600, directed=False)
    shared = IndependentCascade(graph, 0.1).sample(np.full(400, 0.02), 20_000, rng=0).sizes
    each = IndependentCascade(graph, np.full(1600, 0.1) + np.linspace(0, 1e-9, 1600)).sample(
        np.full(400, 0.02), 20_000, rng=1
    )
    error = np.hypot(shared.std(), each.sizes.std()) / np.sqrt(20_000)
    assert abs(shared.mean() - each.sizes.mean()) < 4 * error


@pytest.mark.parametrize(("probability", "size", "steps"), [(0.0, 1, 0), (1.0, 4, 3)])
def test_certain_cascades(probability: float, size: int, steps: int) -> None:
    found = IndependentCascade(Wiring.from_edges([0, 1, 2], [1, 2, 3]), probability).sample([0], 5, rng=0)
    assert found.sizes.tolist() == [size] * 5
    assert found.durations.tolist() == [steps] * 5


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.nan, [0.1, 0.2, np.nan], [0.1], [[0.1]], [0.1, 0.2, -1]])
def test_what_is_no_probability_is_refused(wrong: object) -> None:
    with pytest.raises(UserError):
        IndependentCascade(Wiring.from_edges([0, 1, 2], [1, 2, 3]), wrong)


@pytest.mark.parametrize(
    "wrong",
    [[4], [-1], [0, 0], [True], [0.5], [0.1, 0.2, 0.3, 1.2], [0.1, 0.2, 0.3, np.nan], ["a"], [[0, 1]]],
    ids=str,
)
def test_what_is_no_source_is_refused(wrong: object) -> None:
    with pytest.raises(UserError):
        IndependentCascade(Wiring.from_edges([0, 1, 2], [1, 2, 3]), 0.5).sample(wrong, 10)
