"""Oracles: the exact law on forests, enumeration, and Monte Carlo on trees with extra edges."""

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from sparsefire.cascades.approximate.cavity import cavity, cavity_marginals, cavity_marginals_live
from sparsefire.cascades.approximate.cavity_thresholds import cavity_marginals_threshold
from sparsefire.cascades.approximate.spanning_tree import (
    _spanning,
    tree_approximation,
    tree_approximation_live,
    tree_approximation_threshold,
)
from sparsefire.cascades.exact.small import enumerate_independent, neighbour_responses
from sparsefire.cascades.exact.tree import tree_law
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.cascades.threshold import Threshold
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

RUNS = 60_000


def tree_and_more(n, extra, rng):
    """A random recursive tree with extra edges between pairs that have none."""
    edges = [(int(rng.integers(i)), i) for i in range(1, n)]
    while len(edges) < n - 1 + extra:
        pair = tuple(sorted(int(x) for x in rng.choice(n, 2, replace=False)))
        if pair not in edges:
            edges.append(pair)
    return Wiring.from_edges(*np.array(edges).T, units=n, directed=False)


def variation(one, two):
    return 0.5 * float(np.abs(one.pmf - two.pmf).sum())


def independent(wiring):
    return IndependentCascade(wiring, 0.2), 0.02, partial(tree_approximation, wiring, 0.2, 0.02)


def linear_threshold(wiring):
    by_arc = Wiring.from_edges(wiring.senders, wiring.receivers, units=wiring.units)
    weights = 0.8 / by_arc.in_degrees[by_arc.receivers]
    return LinearThreshold(by_arc, weights), 0.02, partial(tree_approximation_live, by_arc, weights, 0.02)


def threshold(wiring):
    law = stats.norm(0.5, 0.25)
    rows = neighbour_responses(wiring, law.cdf)
    return Threshold(wiring, law), 0.0, partial(tree_approximation_threshold, wiring, rows)


@pytest.mark.parametrize(
    ("model", "extra", "most"),
    [
        *[(independent, *case) for case in [(0, 0.006), (3, 0.011), (10, 0.024), (25, 0.055)]],
        *[(linear_threshold, *case) for case in [(0, 0.007), (3, 0.019), (10, 0.048), (25, 0.080)]],
        *[(threshold, *case) for case in [(0, 0.007), (3, 0.017), (10, 0.038), (25, 0.063)]],
    ],
)
def test_trees_with_extra_edges_against_monte_carlo(model, extra, most):
    """Total variation, mean over 10 graphs, as in the tables; about 0.005 of it is the noise of the runs."""
    found = {False: [], True: []}
    means = {False: [], True: []}
    for number in range(10):
        cascade, chance, approximate = model(tree_and_more(50, extra, np.random.default_rng([extra, number])))
        sampled = cascade.size_distribution(np.full(50, chance), method="monte-carlo", runs=RUNS, rng=number)
        for match in (False, True):
            law = approximate(match_mean=match)
            found[match].append(variation(law, sampled))
            means[match].append(law.mean() - sampled.mean())
    assert np.mean(found[False]) <= most
    assert np.mean(found[True]) <= most + 0.013
    error = 4 * np.sqrt(sampled.variance() / (10 * RUNS))
    if extra == 0:
        assert abs(np.mean(means[False])) <= error
    else:  # too low, and belief propagation is nearer
        assert np.mean(means[False]) < -error
        assert abs(np.mean(means[True])) < 0.3 * abs(np.mean(means[False]))


def test_forests_are_exact():
    rng = np.random.default_rng(1)
    for n in (1, 2, 7, 60):
        wiring = tree_and_more(n, 0, rng) if n > 1 else Wiring.from_edges([], [], units=1)
        w, p = rng.random(wiring.edges), rng.random(n) * 0.1
        exact = tree_law(wiring, w, p)
        for match in (False, True):
            law = tree_approximation(wiring, w, p, match_mean=match)
            assert np.allclose(law.log_pmf, exact.log_pmf, rtol=0, atol=1e-12)
            assert law.method == "tree-approximation"


def test_loops_and_parallel_arcs_on_a_tree_are_exact():
    wiring = Wiring.from_edges([0, 0, 1, 1], [1, 1, 1, 2])
    law = tree_approximation(wiring, [0.5, 0.2, 0.9, 0.3], 0.1)
    exact = enumerate_independent(wiring, [0.5, 0.2, 0.9, 0.3], 0.1)
    assert np.allclose(law.pmf, exact.pmf, rtol=1e-12, atol=0)


def test_tiny_sources_keep_their_digits():
    ring = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0], directed=False)
    law = tree_approximation(ring, 0.3, 1e-40)
    assert law.pmf[1:].sum() == pytest.approx(4e-40, rel=1e-12)


def test_small_graphs_against_enumeration():
    ring = Wiring.from_edges([0, 1, 2, 3, 4], [1, 2, 3, 4, 0], directed=False)
    exact = enumerate_independent(ring, 0.2, 0.05)
    assert variation(tree_approximation(ring, 0.2, 0.05), exact) < 0.015
    assert variation(tree_approximation(ring, 0.2, 0.05, match_mean=True), exact) < 0.011
    rng = np.random.default_rng(2)
    found, blank = [], []
    for _ in range(20):
        wiring = Wiring.from_edges(*rng.integers(0, 6, (2, 10)), units=6)
        w, p = rng.random(10) * 0.5, rng.random(6) * 0.2
        exact = enumerate_independent(wiring, w, p)
        found.append(variation(tree_approximation(wiring, w, p), exact))
        blank.append(variation(tree_law(Wiring.from_edges([], [], units=6), [], p), exact))
    assert np.mean(found) < 0.15 * np.mean(blank)  # beside taking the arcs for nothing


@pytest.mark.parametrize("sources", [[0, 3], np.array([True, False, False, True, False, False])])
def test_sure_sources(sources):
    wiring = tree_and_more(6, 3, np.random.default_rng(3))
    law = tree_approximation(wiring, 0.4, sources)
    assert law.pmf[:2].tolist() == [0.0, 0.0]
    assert law.pmf.sum() == pytest.approx(1, abs=1e-13)
    assert law.mean() == pytest.approx(cavity_marginals(wiring, 0.4, sources).sum(), rel=1e-11)
    assert variation(law, enumerate_independent(wiring, 0.4, [0, 3])) < 0.06


def test_sure_sources_on_sure_arcs_reach_all():
    ring = Wiring.from_edges(range(5), [1, 2, 3, 4, 0], directed=False)
    assert tree_approximation(ring, 1.0, [2]).pmf.tolist() == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-13)
    assert tree_approximation(ring, 1.0, 0.0).pmf.tolist() == pytest.approx([1, 0, 0, 0, 0, 0], abs=1e-13)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_is_a_law_with_the_right_chance_of_nobody(number, match):
    rng = np.random.default_rng(number)
    n = int(rng.integers(1, 9))
    arcs = int(rng.integers(0, 3 * n))
    wiring = Wiring.from_edges(*rng.integers(0, n, (2, arcs)), units=n)
    w, p = rng.choice([0.0, 0.1, 0.3, 0.6], arcs), rng.choice([0.0, 0.05, 0.4, 1.0], n, p=[0.4, 0.3, 0.2, 0.1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        law = tree_approximation(wiring, w, p, match_mean=match)
        expected = cavity_marginals(wiring, w, p)
    assert law.pmf.sum() == pytest.approx(1, abs=1e-12)
    assert law.pmf[0] == pytest.approx(np.prod(1 - p), rel=1e-11)
    assert law.mean() <= expected.sum() * (1 + 1e-11)  # step 5 only takes away


def test_match_mean_meets_belief_propagation():
    for extra in (3, 25):
        wiring = tree_and_more(50, extra, np.random.default_rng(extra))
        plain, law = (tree_approximation(wiring, 0.2, 0.02, match_mean=match) for match in (False, True))
        assert law.mean() == pytest.approx(cavity_marginals(wiring, 0.2, 0.02).sum(), rel=1e-11)
        assert law.pmf[0] == pytest.approx(0.98**50, rel=1e-12)
        steps = np.diff(law.log_pmf[1:] - plain.log_pmf[1:])
        assert np.ptp(steps) <= 1e-9  # one tilt for all sizes


@pytest.mark.parametrize(
    ("model", "belief"), [(linear_threshold, cavity_marginals_live), (threshold, cavity_marginals_threshold)]
)
def test_match_mean_meets_belief_propagation_of_thresholds(model, belief):
    for extra in (3, 25):
        _, _, approximate = model(tree_and_more(50, extra, np.random.default_rng(extra)))
        plain, law = (approximate(match_mean=match) for match in (False, True))
        assert law.mean() == pytest.approx(belief(*approximate.args).sum(), rel=1e-11)
        nobody = 0.98 if model is linear_threshold else stats.norm.sf(-2)
        assert plain.pmf[0] == pytest.approx(nobody**50, rel=1e-12)
        assert law.pmf[0] == pytest.approx(nobody**50, rel=1e-12)


def test_says_when_the_mean_is_out_of_reach():
    wiring = Wiring.from_edges([0, 1, 2, 2], [1, 2, 0, 3], directed=False)
    with pytest.warns(UserWarning, match="out of reach"):
        law = tree_approximation(wiring, [0.99, 0.99, 0.99, 0.9], 0.02, match_mean=True)
    assert np.array_equal(law.pmf, tree_approximation(wiring, [0.99, 0.99, 0.99, 0.9], 0.02).pmf)


def test_spans_every_component_with_both_directions():
    rng = np.random.default_rng(6)
    for _ in range(20):
        wiring = Wiring.from_edges(*rng.integers(0, 30, (2, 40)), units=30)
        found = cavity(wiring, rng.random(40), 0.1)
        kept = _spanning(found)
        ends = found.senders, found.receivers
        pairs = {tuple(sorted(pair)) for pair in zip(ends[0][kept].tolist(), ends[1][kept].tolist(), strict=True)}
        graph = sparse.coo_array((np.ones(len(kept)), ends), shape=(30, 30))
        assert len(pairs) == 30 - sparse.csgraph.connected_components(graph)[0]
        assert all(on == (tuple(sorted((int(j), int(i)))) in pairs) for j, i, on in zip(*ends, kept, strict=True))


def test_keeps_the_arcs_that_pass_most_on():
    ring = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0], directed=False)
    found = cavity(ring, [0.5, 0.4, 0.1, 0.6], 0.1)
    gone = ~_spanning(found)
    assert sorted(zip(found.senders[gone].tolist(), found.receivers[gone].tolist(), strict=True)) == [(2, 3), (3, 2)]


def test_wrong_input_names_the_entry():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError) as caught:
        tree_approximation(pair, 1.5, 0.1)
    assert "1.5 in entry 0" in caught.value.came
    with pytest.raises(UserError, match="unit 1 is none"):
        tree_approximation(pair, 0.5, [0.1, float("nan")])
    with pytest.raises(UserError, match="no unit 5"):
        tree_approximation(pair, 0.5, [5])
