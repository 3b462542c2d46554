"""Oracles: enumeration of live edges and of thresholds, the tree recursion, sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sparsefire import UserError
from sparsefire.cascades.exact.small import enumerate_thresholds
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.randomness import stream
from sparsefire.wiring import Wiring, edge_list, erdos_renyi, random_tree

TRIANGLE_AND_TAIL = Wiring.from_edges([0, 1, 2, 2, 3], [1, 2, 0, 3, 1])
WEIGHTS = np.array([0.5, 0.3, 0.9, 0.25, 0.4])


def by_hand(wiring: Wiring, weights: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Go through all thresholds: a unit's response changes only where its in-influences add up to its threshold."""
    n = wiring.units
    law, joint = np.zeros(n + 1), np.zeros((n + 1, n))
    into = [[(int(u), w) for u, v, w in zip(wiring.senders, wiring.receivers, weights, strict=True) if v == i] for i in
            range(n)]  # fmt: skip
    cuts = []
    for row in into:
        sums = {
            round(sum(w for _, w in part), 12) for k in range(len(row) + 1) for part in itertools.combinations(row, k)
        }
        cuts.append(sorted(sums | {0.0, 1.0}))
    for starts in itertools.product([False, True], repeat=n):
        chance = np.prod([p if on else 1 - p for p, on in zip(sources, starts, strict=True)])
        if chance == 0:
            continue
        for cell in itertools.product(*[range(1, len(c)) for c in cuts]):
            weight = chance * np.prod([cuts[i][k] - cuts[i][k - 1] for i, k in enumerate(cell)])
            active = list(starts)
            for _ in range(n):
                active = [
                    active[i] or sum(w for u, w in into[i] if active[u]) >= cuts[i][cell[i]] - 1e-9 for i in range(n)
                ]
            law[sum(active)] += weight
            joint[sum(active)] += weight * np.array(active)
    return law, joint


@pytest.mark.parametrize("sources", [[1.0, 0.0, 0.0, 0.0], [0.2, 0.1, 0.0, 0.7]], ids=str)
def test_live_edges_and_thresholds_give_one_law(sources: list[float]) -> None:
    model = LinearThreshold(TRIANGLE_AND_TAIL, WEIGHTS)
    law = model.size_distribution(sources)
    assert law.method == "enumeration"
    exact, joint = by_hand(TRIANGLE_AND_TAIL, model.weights, np.array(sources))
    np.testing.assert_allclose(law.pmf, exact, atol=1e-12)
    assert model.marginals(sources).method == "enumeration"
    np.testing.assert_allclose(model.marginals(sources), joint.sum(axis=0), atol=1e-12)
    for size in np.flatnonzero(exact).tolist():
        np.testing.assert_allclose(model.marginals_given_size(size, sources), joint[size] / exact[size], atol=1e-12)
    found = model.size_distribution(sources, "monte-carlo", runs=200_000, rng=0).pmf
    assert np.all(np.abs(found - law.pmf) < 4 * np.sqrt(law.pmf * (1 - law.pmf) / 200_000) + 1e-12)


def test_equal_influence_is_the_same_however_it_is_given() -> None:
    graph = Wiring.from_edges([0, 1, 2, 3, 0], [1, 2, 3, 0, 2], directed=False)
    one = LinearThreshold(graph)
    start = np.full(4, 0.2)
    np.testing.assert_allclose(
        one.size_distribution(start).pmf,
        enumerate_thresholds(
            graph, [0.2 + 0.8 * (np.arange(k + 1) / k) for k in graph.in_degrees]
        ).pmf,
        atol=1e-12,
    )  # fmt: skip
    loads = stream(0, "weights").random(TRIANGLE_AND_TAIL.edges)
    total = np.bincount(TRIANGLE_AND_TAIL.receivers, TRIANGLE_AND_TAIL.per_arc(loads), 4)
    given = loads / total[[1, 2, 0, 3, 1]]
    full = LinearThreshold(TRIANGLE_AND_TAIL, given)
    np.testing.assert_allclose(np.bincount(TRIANGLE_AND_TAIL.receivers, full.weights, 4), 1.0)
    turned = np.bincount(TRIANGLE_AND_TAIL.transpose.senders, full.weights_in, 4)
    np.testing.assert_allclose(turned, 1.0)


@pytest.mark.parametrize("equal", [True, False])
def test_trees_are_exact(equal: bool) -> None:
    tree = random_tree(30, rng=2)
    model = LinearThreshold(tree, None if equal else 0.9 / int(tree.in_degrees.max()))
    start = np.linspace(0, 0.3, 30)
    law = model.size_distribution(start)
    assert law.method == "tree"
    assert law.pmf.sum() == pytest.approx(1, abs=1e-12)
    found = model.sample(start, 100_000, rng=0).sizes
    counts = np.bincount(found, minlength=31) / len(found)
    assert np.all(np.abs(counts - law.pmf) < 4.5 * np.sqrt(law.pmf * (1 - law.pmf) / len(found)) + 1e-6)
    exact = model.marginals(start)
    assert exact.method == "tree"
    assert exact.probability.sum() == pytest.approx(law.mean(), rel=1e-9)
    assert np.abs(exact.probability - model.marginals(start, "monte-carlo", rng=1).probability).max() < 0.01


def test_the_two_kernels_are_one_law() -> None:
    graph = erdos_renyi(200, 0.03, rng=0)
    equal = LinearThreshold(graph)
    per_edge = LinearThreshold(graph, (1 / graph.in_degrees[graph.receivers])[np.argsort(graph.given)])
    np.testing.assert_allclose(equal.weights, per_edge.weights)
    one, two = equal.sample([0, 1, 2], 40_000, rng=0).sizes, per_edge.sample([0, 1, 2], 40_000, rng=1).sizes
    assert abs(one.mean() - two.mean()) < 4 * np.hypot(one.std(), two.std()) / 200
    assert abs(one.std() / two.std() - 1) < 0.05


@pytest.mark.parametrize(
    ("influence", "named"),
    [
        (-0.1, "the influence"),
        ([0.1, 0.2, np.nan, 0.1, 0.1], "edge 2"),
        ([0.9, 0.2, 0.1, 0.1, 0.4], "unit 1 is acted on"),
        (1.5, "the influence"),
        ([0.1, 0.2], "one per edge"),
    ],
)
def test_what_is_no_influence_is_refused(influence: object, named: str) -> None:
    with pytest.raises(UserError, match=named):
        LinearThreshold(TRIANGLE_AND_TAIL, influence)


def test_tree_methods_say_what_they_need() -> None:
    model = LinearThreshold(TRIANGLE_AND_TAIL, WEIGHTS)
    with pytest.raises(UserError, match="cycle"):
        model.size_distribution([0], "tree")
    large = LinearThreshold(erdos_renyi(100, 0.05, rng=0))
    with pytest.raises(UserError, match="no exact solution"):
        large.size_distribution([0], "exact")


def test_sums_that_exceed_one_by_rounding_are_one() -> None:
    star = Wiring.from_edges([0, 1, 2], [3, 3, 3])
    for influence in (np.full(3, 1 / 3, np.float32), [0.5 + 1e-10, 0.25, 0.25]):
        model = LinearThreshold(star, influence)
        assert model.weights.sum() == pytest.approx(1, abs=1e-15)
        assert model.size_distribution([0, 1, 2]).pmf[4] == pytest.approx(1, abs=1e-12)
        assert model.sample([0, 1, 2], 100, rng=0).sizes.tolist() == [4] * 100
        np.testing.assert_allclose(model.weights_in.sum(), 1)


def test_the_tree_approximation_is_exact_on_trees_and_close_beside_them() -> None:
    tree = random_tree(30, rng=2)
    model = LinearThreshold(tree)
    start = np.linspace(0, 0.3, 30)
    np.testing.assert_allclose(
        model.size_distribution(start, "tree-approximation").pmf, model.size_distribution(start).pmf, atol=1e-12
    )
    draws = stream(5, "extra")
    ends = np.concatenate([np.stack(edge_list(tree)[:2]), draws.integers(0, 30, (2, 3))], axis=1)
    looped = LinearThreshold(Wiring.from_edges(*ends[:, ends[0] != ends[1]], units=30, directed=False))
    close = looped.size_distribution(start, "tree-approximation")
    truth = looped.size_distribution(start, "monte-carlo", runs=100_000, rng=0)
    assert close.method == "tree-approximation"
    assert np.abs(close.pmf - truth.pmf).sum() / 2 < 0.06
    assert close.pmf[0] == pytest.approx(np.prod(1 - start), rel=1e-12)
    alone = LinearThreshold(TRIANGLE_AND_TAIL, WEIGHTS).size_distribution([0], "tree-approximation")
    assert alone.pmf.sum() == pytest.approx(1)
    assert alone.pmf[0] == 0
