"""Oracles: enumeration and the tree recursion for the same law, numbers by hand, runs cut into other blocks."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire import UserError
from sparsefire.cascades.exact.small import independent_enumeration
from sparsefire.cascades.independent import LARGEST_JUMPED, IndependentCascade
from sparsefire.randomness import stream
from sparsefire.wiring.graph import Wiring

K5 = [(u, v) for u in range(5) for v in range(5) if u != v]


def complete() -> Wiring:
    return Wiring.from_edges(*np.array(K5).T)


def random_graph(units: int, edges: int, directed: bool = True) -> Wiring:
    draws = stream(3, "graph")
    return Wiring.from_edges(draws.integers(0, units, edges), draws.integers(0, units, edges), units=units,
                             directed=directed)  # fmt: skip


@pytest.mark.parametrize("probability", [0.2, np.linspace(0.2, 0.2 + 1e-12, 20)], ids=["shared", "each"])
def test_one_source_on_five_units(probability: object) -> None:
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


def test_one_sure_source_on_a_complete_graph() -> None:
    law = IndependentCascade(complete(), 0.2).size_distribution([3])
    assert law.method == "complete graph"
    np.testing.assert_allclose(law.pmf, [0, 0.4096, 0.2097152, 0.16357786, 0.13516145, 0.0819455], atol=1e-8)
    assert IndependentCascade(complete(), 0.2).size_distribution(np.ones(5)).pmf.tolist()[-1] == 1.0


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


@pytest.mark.parametrize("largest", [0.004, 0.2, 0.9])
def test_every_way_to_sample_follows_the_exact_law(largest: float) -> None:
    """Jumps by logarithms and by table, with and without acceptance, and a draw per arc."""
    tree = Wiring.from_edges([0, 0, 1, 1, 2, 5, 5], [1, 2, 3, 4, 5, 6, 7], directed=False)
    for probability in (largest, largest * np.array([1.0, 0.2, 0.9, 0.5, 1.0, 0.0, 0.7])):
        assert (np.max(probability) > LARGEST_JUMPED) == (largest == 0.9)
        model = IndependentCascade(tree, probability)
        start = np.linspace(0.0, 0.6, 8)
        exact = model.size_distribution(start, "tree")
        found = model.size_distribution(start, "monte-carlo", runs=400_000, rng=2)
        error = np.sqrt(exact.pmf * (1 - exact.pmf) / 400_000)
        assert np.all(np.abs(found.pmf - exact.pmf) < 4.5 * error + 1e-12)


def test_rare_openings_are_neither_lost_nor_doubled() -> None:
    """Jumps far beyond the end of a row go on in the next one: each of a star's arcs keeps its own chance."""
    star = Wiring.from_edges(np.zeros(2000, int), np.arange(1, 2001))
    for p in (1e-5, 1e-3, 0.02):
        sizes = IndependentCascade(star, p).sample([0], 100_000, rng=4).sizes - 1
        assert abs(sizes.mean() - 2000 * p) < 4 * np.sqrt(2000 * p / 100_000)
        assert abs(sizes.var() / (2000 * p * (1 - p)) - 1) < 0.1


def test_units_are_reached_alike_whatever_row_they_stand_in() -> None:
    ring = Wiring.from_edges(np.zeros(300, int), np.arange(1, 301))
    found = IndependentCascade(ring, 0.05).marginals([0], "monte-carlo", runs=100_000, rng=0)
    assert found[0] == 1.0
    z = (found.probability[1:] - 0.05) / np.sqrt(0.05 * 0.95 / 100_000)
    assert np.abs(z).max() < 4.5
    assert abs(np.mean(z**2) - 1) < 4 * np.sqrt(2 / 300)


def test_who_is_active_on_a_complete_graph_where_some_start_for_sure() -> None:
    """By exchange of like units, against enumeration."""
    form, start = IndependentCascade(complete(), 0.2), np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    every = independent_enumeration(complete(), 0.2, start)
    assert form.marginals(start).method == "complete graph"
    np.testing.assert_allclose(form.marginals(start), every.active(None), rtol=1e-11)
    for size in range(2, 6):
        np.testing.assert_allclose(form.marginals_given_size(size, start), every.active(size), rtol=1e-11)
