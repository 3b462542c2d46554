"""Oracles: the checked laws on five and six units, enumeration, a plain simulator, percolation on a line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades.threshold import Threshold
from sparsefire.randomness import stream
from sparsefire.wiring import Wiring, edge_list, erdos_renyi, random_tree

PATH = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
STAR = Wiring.from_edges([0] * 5, [1, 2, 3, 4, 5], directed=False)
COMPLETE = Wiring.from_edges(*np.array([(u, v) for u in range(6) for v in range(6) if u != v]).T)
LAW = stats.norm(0.4, 0.25)


def spread(wiring: Wiring, thresholds: np.ndarray, loads: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return who is active in the end, step by step over dense arrays."""
    active = sources | (thresholds <= 0)
    while True:
        load = np.bincount(wiring.receivers, loads * active[wiring.senders], wiring.units)
        now = active | (load >= thresholds - 1e-9)
        if np.array_equal(now, active):
            return active
        active = now


@pytest.mark.parametrize(
    ("wiring", "law", "method"),
    [
        (PATH, [0.75443216, 0.03798033, 0.05445434, 0.05914425, 0.00143929, 0.09254965], "tree"),
        (
            STAR,
            [0.713089810, 0.172364176, 0.0126792060, 0.000311860450, 0.0000561021520, 0.00364170653, 0.0978571386],
            "tree",
        ),
        (
            COMPLETE,
            [0.71308981, 0.09998980, 0.01895258, 0.00439491, 0.00200932, 0.00452407, 0.15703951],
            "complete graph",
        ),
    ],
    ids=["path", "star", "complete"],
)
def test_known_laws(wiring: Wiring, law: list[float], method: str) -> None:
    model = Threshold(wiring, LAW)
    found = model.size_distribution()
    assert found.method == method
    np.testing.assert_allclose(found.pmf, law, atol=1e-8)
    sampled = model.size_distribution(method="monte-carlo", runs=200_000, rng=1).pmf
    assert np.all(np.abs(sampled - law) < 4 * np.sqrt(np.array(law) / 200_000) + 1e-8)


@pytest.mark.parametrize("load", ["exposure", "damage", "numbers"])
@pytest.mark.parametrize("fixed", [True, False])
def test_runs_agree_with_a_plain_simulator(load: str, fixed: bool) -> None:
    graph = erdos_renyi(60, 0.08, directed=True, rng=3)
    draws = stream(4, "test")
    loads = {
        "exposure": 1 / graph.in_degrees[graph.receivers],
        "damage": 1 / graph.out_degrees[graph.senders],
        "numbers": draws.random(graph.arcs),
    }[load]
    given = loads[np.argsort(graph.given)] if load == "numbers" else load
    sources = np.zeros(60, bool)
    sources[:3] = True
    if fixed:
        thresholds = draws.random(60) * 0.9
        model = Threshold(graph, thresholds, load=given)
        expected = spread(graph, thresholds, loads, sources).sum()
        assert model.sample(sources, 3, rng=0).sizes.tolist() == [expected] * 3
        assert 3 < expected < 60
        return
    model = Threshold(graph, LAW, load=given)
    plain = [spread(graph, LAW.rvs(60, random_state=draws), loads, sources).sum() for _ in range(3000)]
    ours = model.sample(sources, 3000, rng=0).sizes
    assert stats.ks_2samp(plain, ours).pvalue > 1e-3


def test_exposure_and_damage_are_one_on_regular_graphs() -> None:
    ring = Wiring.from_edges(np.arange(9), (np.arange(9) + 1) % 9, directed=False)
    one, two = Threshold(ring, LAW), Threshold(ring, LAW, load="damage")
    np.testing.assert_array_equal(one.sample(rng=0).sizes, two.sample(rng=0).sizes)


def test_bootstrap_percolation_counts_active_neighbours() -> None:
    grid = np.arange(36).reshape(6, 6)
    edges = np.concatenate([np.stack([grid[:, :-1].ravel(), grid[:, 1:].ravel()]),
                            np.stack([grid[:-1].ravel(), grid[1:].ravel()])], axis=1)  # fmt: skip
    lattice = Wiring.from_edges(*edges, directed=False)
    two = Threshold(lattice, 2.0, load=1.0)
    assert two.sample(np.diag(grid), 1).sizes.tolist() == [36]  # a diagonal fills the square
    assert two.sample(grid[0], 1).sizes.tolist() == [6]  # a row does not


def test_shares_that_equal_the_threshold_are_enough() -> None:
    star = Wiring.from_edges(np.arange(1, 11), np.zeros(10, int))
    for k in range(1, 11):
        model = Threshold(star, np.append(k / 10, np.ones(10)))
        assert model.sample(np.arange(1, k + 1), 1).sizes[0] == k + 1
        if k > 1:
            assert model.sample(np.arange(1, k), 1).sizes[0] == k - 1


def test_sources_and_lonely_units() -> None:
    pair = Wiring.from_edges([0], [1], units=3)
    assert Threshold(pair, [0.5, 0.5, 0.0]).sample(None, 2).sizes.tolist() == [1, 1]
    assert Threshold(pair, 0.5).sample([0, 2], 2).sizes.tolist() == [3, 3]
    assert Threshold(pair, np.inf).sample([0], 2).sizes.tolist() == [1, 1]
    assert Threshold(pair, -1.0).sample(None, 1).sizes.tolist() == [3]
    law = Threshold(pair, stats.uniform(0, 2)).size_distribution([0.5, 0.0, 0.0], "exact")
    np.testing.assert_allclose(law.pmf, [0.5, 0.25, 0.25, 0.0], atol=1e-12)


@pytest.mark.parametrize(
    ("thresholds", "load", "named"),
    [
        ([0.1, np.nan, 0.1, 0.1, 0.1], "exposure", "unit 1"),
        ([0.1, 0.1], "exposure", "one per unit"),
        ("half", "exposure", "the threshold is none"),
        (stats.norm(0, -1), "exposure", "no law"),
        (stats.norm([0.1, 0.2], 1), "exposure", "one for all or one per unit"),
        (0.1, "weighted", "no load"),
        (0.1, -1.0, "the load"),
        (0.1, [1, 1, -2, 1], "edge 2"),
        (0.1, [1, np.inf, 2, 1], "edge 1"),
        (0.1, [1, 1], "one per edge"),
    ],
)
def test_what_is_no_threshold_or_load_is_refused(thresholds: object, load: object, named: str) -> None:
    with pytest.raises(UserError, match=named):
        Threshold(PATH, thresholds, load=load)


def test_methods_that_need_counts_say_so() -> None:
    model = Threshold(PATH, LAW, load="damage")
    for method in ("tree", "mean-field"):
        with pytest.raises(UserError, match="number of active in-neighbours does not tell"):
            model.size_distribution(method=method)
    assert model.size_distribution(runs=100, rng=0).method == "monte-carlo"


def test_a_law_for_each_unit() -> None:
    pairs = Wiring.from_edges([0, 2], [1, 3], units=4)
    model = Threshold(pairs, stats.uniform([0, 0, 0, 0], [1, 1, 4, 4]))
    np.testing.assert_allclose(model.marginals([0, 2]).probability, [1.0, 1.0, 1.0, 0.25], atol=1e-12)
    ring = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0], directed=False)
    model = Threshold(ring, stats.norm([0.2, 0.5, 0.5, 0.8], 0.3))
    law = model.size_distribution([0])
    assert law.method == "enumeration"
    found = model.size_distribution([0], "monte-carlo", runs=100_000, rng=0).pmf
    assert np.all(np.abs(found - law.pmf) <= 4 * np.sqrt(law.pmf * (1 - law.pmf) / 100_000))


def test_loads_may_differ_from_unit_to_unit() -> None:
    """Half a load each on unit 2, a quarter on unit 3: their numbers of active in-neighbours tell what they do."""
    tree = Wiring.from_edges([0, 1, 2], [2, 2, 3])
    model = Threshold(tree, stats.uniform(), load=[0.5, 0.5, 0.25])
    law = model.size_distribution([0], "tree")
    np.testing.assert_allclose(law.pmf, [0, 0.5, 0.375, 0.125, 0], atol=1e-12)


def test_sure_sources_on_a_complete_graph() -> None:
    law = Threshold(COMPLETE, LAW).size_distribution([0, 3])
    assert law.method == "complete graph"
    found = Threshold(COMPLETE, LAW).size_distribution([0, 3], "monte-carlo", runs=100_000, rng=0).pmf
    assert np.all(np.abs(found - law.pmf) <= 4 * np.sqrt(law.pmf * (1 - law.pmf) / 100_000))


def test_nothing_left_to_chance_is_run_once() -> None:
    law = Threshold(erdos_renyi(50, 0.1, rng=0), 0.3).size_distribution([0, 1])
    assert law.method == "deterministic"
    assert sorted(law.pmf)[-1] == 1.0


@pytest.mark.parametrize("law", [1.0, stats.randint(1, 2)], ids=["number", "law"])
def test_loads_that_miss_an_atom_by_rounding_reach_it(law: object) -> None:
    """49 times 1/49 is less than 1 in floating point."""
    everyone = Wiring.from_edges(*np.array([(u, v) for u in range(50) for v in range(50) if u != v]).T)
    for load in ("damage", 1 / 49, "exposure"):
        model = Threshold(everyone, law, load=load)
        assert model.sample(np.arange(49), 3, rng=0).sizes.tolist() == [50] * 3
        assert model.size_distribution(np.arange(49), "exact").pmf[50] == pytest.approx(1)


@pytest.mark.skipif(not hasattr(stats, "Normal"), reason="this SciPy has no stats.Normal")
def test_laws_in_scipys_new_manner() -> None:
    new = Threshold(PATH, stats.Normal(mu=0.4, sigma=0.25)).size_distribution()
    np.testing.assert_allclose(new.pmf, Threshold(PATH, LAW).size_distribution().pmf, atol=1e-12)


def test_nobody_changes_a_model_from_outside() -> None:
    given = np.full(5, 0.9)
    model = Threshold(PATH, given)
    given[:] = 0.0
    assert model.sample([0], 1).sizes.tolist() == [1]
    with pytest.raises(ValueError, match="read-only"):
        model.thresholds[0] = 0.0


def test_the_tree_approximation_is_exact_on_trees_and_close_beside_them() -> None:
    start = np.linspace(0, 0.2, 5)
    model = Threshold(PATH, LAW)
    np.testing.assert_allclose(
        model.size_distribution(start, "tree-approximation").pmf, model.size_distribution(start).pmf, atol=1e-12
    )
    tree = random_tree(40, rng=3)
    draws = stream(6, "extra")
    ends = np.concatenate([np.stack(edge_list(tree)[:2]), draws.integers(0, 40, (2, 4))], axis=1)
    ends = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    looped = Threshold(Wiring.from_edges(*ends, units=40, directed=False), stats.norm(0.5, 0.25))
    close = looped.size_distribution(method="tree-approximation")
    truth = looped.size_distribution(method="monte-carlo", runs=100_000, rng=0)
    assert close.method == "tree-approximation"
    assert np.abs(close.pmf - truth.pmf).sum() / 2 < 0.06
    assert close.pmf[0] == pytest.approx(stats.norm(0.5, 0.25).sf(0) ** 40, rel=1e-12)
    loop = Threshold(Wiring.from_edges([0, 0, 1], [0, 1, 2]), LAW).size_distribution(method="tree-approximation")
    exact = Threshold(Wiring.from_edges([0, 0, 1], [0, 1, 2]), LAW).size_distribution(method="exact")
    np.testing.assert_allclose(loop.pmf, exact.pmf, atol=1e-12)
    with pytest.raises(UserError, match="parallel arcs"):
        Threshold(Wiring.from_edges([0, 0], [1, 1]), LAW).size_distribution(method="tree-approximation")


def test_who_is_active_where_nothing_is_left_to_chance() -> None:
    """Bootstrap percolation: unit 3 needs two neighbours, the rest one."""
    square = Wiring.from_edges([0, 1, 0, 2, 3], [1, 2, 3, 3, 4], directed=False)
    model = Threshold(square, [1.0, 1.0, 9.0, 2.0, 1.0], load=1.0)
    assert model.marginals([0]).method == "deterministic"
    assert model.marginals([0]).probability.tolist() == [1, 1, 0, 0, 0]
    assert model.marginals_given_size(5, [0, 2], "exact").probability.tolist() == [1, 1, 1, 1, 1]
    with pytest.raises(UserError, match="this size is impossible"):
        model.marginals_given_size(3, [0])


def test_marginals_of_loads_that_differ_are_sampled() -> None:
    model = Threshold(PATH, LAW, load="damage")
    assert model.marginals(runs=500, rng=0).method == "monte-carlo"
    assert model.marginals_given_size(1, [0], runs=500, rng=0).method == "monte-carlo"
    with pytest.raises(UserError, match="no exact solution") as caught:
        model.marginals_given_size(1, [0], "exact")
    assert "same load" in caught.value.expected
    with pytest.raises(UserError, match="does not tell"):
        model.marginals_given_size(1, [0], "tree")
