"""Oracles: the exact marginals of trees, enumeration, and the equations themselves put into a dictionary."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.cascades.approximate.cavity import (
    cavity,
    cavity_marginals,
    cavity_marginals_live,
    checked_influence,
)
from sparsefire.cascades.exact.tree import marginals
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def random_tree(n, rng, *, both=True):
    parents, children = [int(rng.integers(i)) for i in range(1, n)], np.arange(1, n)
    if both:
        return Wiring.from_edges(parents, children, units=n, directed=False)
    turned = rng.random(n - 1) < 0.5
    return Wiring.from_edges(np.where(turned, children, parents), np.where(turned, parents, children), units=n)


def random_graph(n, arcs, rng):
    ends = rng.permutation(n * n)[:arcs]
    ends = ends[ends // n != ends % n]
    return Wiring.from_edges(ends // n, ends % n, units=n)


def true_marginals(wiring, w, p, linear):
    """All open arcs, or all choices of whom to follow, times all source sets."""
    n = wiring.units
    into = [np.flatnonzero(wiring.receivers == i) for i in range(n)]
    if linear:
        options = [[*((w[e], [e]) for e in into[i]), (1 - w[into[i]].sum(), [])] for i in range(n)]
    else:
        options = [[(w[e], [e]), (1 - w[e], [])] for e in range(wiring.arcs)]
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    chance = np.prod(np.where(bits, p, 1 - p), axis=1)
    total = np.zeros(n)
    for pattern in itertools.product(*options):
        reach = np.eye(n, dtype=int)
        for e in itertools.chain.from_iterable(arcs for _, arcs in pattern):
            reach[wiring.senders[e], wiring.receivers[e]] = 1
        for _ in range(3):
            reach = (reach @ reach > 0).astype(int)
        total += np.prod([x for x, _ in pattern]) * (chance @ (bits @ reach > 0))
    return total


@pytest.mark.parametrize("both", [True, False])
def test_exact_on_trees(both):
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 10, 300):
        wiring = random_tree(n, rng, both=both)
        w, p = rng.random(wiring.edges), rng.random(n) * 0.1
        assert np.allclose(cavity_marginals(wiring, w, p), marginals(wiring, w, p), rtol=1e-12, atol=0)


def test_three_sweeps_settle_a_long_path_and_tiny_chances_keep_their_digits():
    path = Wiring.from_edges(range(999), range(1, 1000), directed=False)
    p = np.zeros(1000)
    p[500] = 1e-100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cavity_marginals(path, 0.7, p, sweeps=3, tolerance=0)
    assert np.allclose(found, 1e-100 * 0.7 ** np.abs(np.arange(1000.0) - 500), rtol=1e-12, atol=0)


def test_sure_arcs_and_sure_sources():
    rng = np.random.default_rng(2)
    for _ in range(20):
        wiring = random_tree(12, rng)
        w, p = rng.choice([0.0, 0.4, 1.0], wiring.edges), rng.choice([0.0, 0.2, 1.0], 12)
        assert np.allclose(cavity_marginals(wiring, w, p), marginals(wiring, w, p), rtol=1e-13, atol=0)


@pytest.mark.parametrize("linear", [False, True])
def test_solves_its_equations_on_a_graph_with_cycles(linear):
    rng = np.random.default_rng(3)
    wiring = random_graph(25, 90, rng)
    w = rng.random(wiring.edges) / np.maximum(wiring.in_degrees, 1).max()
    p = rng.random(25) * 0.1
    arcs = list(zip(wiring.senders.tolist(), wiring.receivers.tolist(), wiring.per_arc(w), strict=True))
    messages = {(j, i): 0.0 for j, i, _ in arcs}

    def active(j, without):
        terms = [x * messages[k, j] for k, to, x in arcs if to == j and k != without]
        return p[j] + (1 - p[j]) * sum(terms) if linear else 1 - (1 - p[j]) * np.prod([1 - x for x in terms])

    for _ in range(200):
        messages = {(j, i): active(j, i) for j, i in messages}
    expected = [active(j, None) for j in range(25)]
    find = cavity_marginals_live if linear else cavity_marginals
    assert np.allclose(find(wiring, w, p), expected, rtol=1e-10, atol=0)
    if not linear:
        inside = cavity(wiring, w, p)
        settled = [messages[j, i] for j, i in zip(inside.senders, inside.receivers, strict=True)]
        assert np.allclose(inside.messages, settled, rtol=1e-10, atol=0)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_never_too_low_and_exact_for_linear_thresholds_on_trees(number, linear):
    rng = np.random.default_rng(number)
    wiring = random_graph(5, int(rng.integers(0, 10)), rng)
    w = rng.random(wiring.edges)
    if linear:
        w /= np.maximum(wiring.in_degrees, 1)[wiring.receivers][np.argsort(wiring.given)]
    p = rng.choice([0.0, 1.0, 0.1, 0.5], 5)
    found = (cavity_marginals_live if linear else cavity_marginals)(wiring, w, p)
    exact = true_marginals(wiring, wiring.per_arc(w), p, linear)
    assert np.all(found >= exact - 1e-12)
    assert np.all(found <= 1)


def test_linear_thresholds_are_exact_on_trees():
    rng = np.random.default_rng(5)
    for n in range(1, 7):
        wiring = random_tree(n, rng, both=bool(n % 2))
        w = rng.random(wiring.edges) / (n - 1 or 1)
        p = rng.random(n)
        exact = true_marginals(wiring, wiring.per_arc(w), p, True)
        assert np.allclose(cavity_marginals_live(wiring, w, p), exact, rtol=1e-12, atol=0)


def test_loops_do_nothing_and_parallel_arcs_act_as_one():
    one = Wiring.from_edges([0, 1], [1, 2])
    more = Wiring.from_edges([0, 0, 1, 1, 2], [1, 1, 1, 2, 2])
    assert np.allclose(
        cavity_marginals(more, [0.5, 0.2, 0.9, 0.3, 1.0], [0.1, 0.0, 0.0]),
        cavity_marginals(one, [0.6, 0.3], [0.1, 0.0, 0.0]),
        rtol=1e-14,
    )
    assert np.allclose(
        cavity_marginals_live(more, [0.5, 0.2, 0.3, 0.3, 0.1], [0.1, 0.0, 0.0]),
        cavity_marginals_live(one, [0.7, 0.3], [0.1, 0.0, 0.0]),
        rtol=1e-14,
    )


def test_nobody_starts_on_a_ring_of_sure_arcs():
    ring = Wiring.from_edges(range(6), [1, 2, 3, 4, 5, 0], directed=False)
    assert cavity_marginals(ring, 1.0, 0.0).tolist() == [0.0] * 6  # the smallest solution, not all active
    assert cavity_marginals(ring, 1.0, [3]).tolist() == [1.0] * 6


def test_says_when_it_has_not_settled():
    ring = Wiring.from_edges(range(50), [*range(1, 50), 0], directed=False)
    with pytest.warns(UserWarning, match="not settled after 2 sweeps"):
        cavity_marginals(ring, 0.9, 0.01, sweeps=2)
    with pytest.warns(UserWarning, match="not settled after 1 sweeps"):
        cavity_marginals_live(ring, 0.5, 0.01, sweeps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cavity_marginals(ring, 0.9, 0.01)


def test_influence_is_read():
    tenths = Wiring.from_edges(range(10), [10] * 10)
    assert checked_influence(tenths, 0.1)[1][10] == 0.0


def test_wrong_input_names_the_entry():
    pair = Wiring.from_edges([0, 1], [1, 0])
    with pytest.raises(UserError) as caught:
        cavity_marginals(pair, [0.5, 1.5], 0.1)
    assert "1.5" in caught.value.came
    with pytest.raises(UserError, match="unit 1 is none"):
        cavity_marginals(pair, 0.5, [0.1, -0.1])
    with pytest.raises(UserError, match="no unit 2"):
        cavity_marginals(pair, 0.5, [2])
    with pytest.raises(UserError, match="must be sweeps"):
        cavity_marginals(pair, 0.5, 0.1, sweeps=0)
    with pytest.raises(UserError, match="tolerance"):
        cavity_marginals(pair, 0.5, 0.1, tolerance=float("nan"))
    with pytest.raises(UserError, match="no one number of units"):
        cavity_marginals(Wiring.from_edges([0], [0], shape=(1, 2)), 0.5, 0.1)
    with pytest.raises(UserError, match="no influence") as caught:
        cavity_marginals_live(pair, [0.5, -0.5], 0.1)
    assert "-0.5 on 1 → 0" in caught.value.came
    with pytest.raises(UserError, match="into unit 2 add up"):
        cavity_marginals_live(Wiring.from_edges([0, 1], [2, 2]), 0.6, 0.1)
