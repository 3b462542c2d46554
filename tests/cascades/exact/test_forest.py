"""Oracles: networkx, breadth-first search, and what a rooted order must satisfy."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.cascades.exact.forest import closure, forest_of, is_forest
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


@st.composite
def wirings(draw):
    """Pairs of units, few enough that many draws are forests, each with one or both directions."""
    n = draw(st.integers(1, 12))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=n + 1))
    return Wiring.from_edges([u for u, _ in pairs], [v for _, v in pairs], units=n)


@st.composite
def forests(draw):
    """Random recursive forests of renamed units; an arc up, down or both."""
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    name = rng.permutation(n)
    arcs = []
    for i in range(1, n):
        if rng.random() < 0.9:
            u, v = name[i], name[rng.integers(i) if draw(st.booleans()) else i - 1]
            arcs += [(u, v), (v, u)][rng.integers(2) : rng.integers(1, 3)] or [(u, v)]
    return Wiring.from_edges([u for u, _ in arcs], [v for _, v in arcs], units=n)


@given(wirings())
@settings(max_examples=200, deadline=None)
def test_forests_are_what_networkx_calls_forests(wiring):
    arcs = list(zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True))
    graph = nx.Graph(arcs)
    graph.add_nodes_from(range(wiring.units))
    assert is_forest(wiring) == (len(arcs) == len(set(arcs)) and nx.is_forest(graph))


@given(forests())
@settings(max_examples=200, deadline=None)
def test_every_subtree_is_contiguous_and_hangs_on_its_centroid(wiring):
    forest = forest_of(wiring)
    n = wiring.units
    assert sorted(forest.order) == list(range(n))
    graph = nx.Graph(list(zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True)))
    graph.add_nodes_from(range(n))
    parts = {u: part for part in nx.connected_components(graph) for u in part}
    for i in range(n):
        children = forest.children[forest.starts[i] : forest.starts[i + 1]]
        assert set(children) == set(np.flatnonzero(forest.parent == i))
        assert forest.size[i] == 1 + forest.size[children].sum()
        assert (np.diff(forest.size[children]) >= 0).all()
        inside = set(children.tolist())
        for c in children:
            inside |= set(range(c, c + forest.size[c]))
        assert inside == set(range(i + 1, i + forest.size[i]))
        unit, parent = int(forest.order[i]), int(forest.parent[i])
        if parent < 0:
            assert forest.size[i] == len(parts[unit])
            assert (2 * forest.size[children] <= forest.size[i]).all()
            assert forest.up[i] == forest.down[i] == -1
            continue
        above = int(forest.order[parent])
        for arc, ends in ((forest.up[i], (unit, above)), (forest.down[i], (above, unit))):
            exists = ((wiring.senders == ends[0]) & (wiring.receivers == ends[1])).any()
            assert (arc >= 0) == exists
            if arc >= 0:
                assert (wiring.senders[arc], wiring.receivers[arc]) == ends
    roots = forest.children[forest.starts[n] : forest.starts[n + 1]]
    assert set(roots) == set(np.flatnonzero(forest.parent < 0))


@given(forests(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_closure_against_search(wiring, number):
    rng = np.random.default_rng(number)
    forest = forest_of(wiring)
    start, is_open = rng.random(wiring.units) < 0.2, np.append(rng.random(wiring.arcs) < 0.6, False)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(wiring.units))
    graph.add_edges_from((wiring.senders[k], wiring.receivers[k]) for k in np.flatnonzero(is_open))
    reached = set().union(*({u} | nx.descendants(graph, u) for u in np.flatnonzero(start)))
    assert closure(forest, start[forest.order], is_open[forest.up], is_open[forest.down]) == len(reached)


def test_a_path_hangs_on_its_middle():
    path = Wiring.from_edges(range(100), range(1, 101))
    forest = forest_of(path)
    assert forest.order[0] == 50
    assert forest.size.sum() == 101 + 2 * 50 * 51 // 2  # instead of 101 · 102 / 2


def test_what_is_no_forest_names_an_arc():
    with pytest.raises(UserError, match=r"(0 → 1|1 → 2|2 → 0) closes"):
        forest_of(Wiring.from_edges([0, 1, 2], [1, 2, 0]))
    with pytest.raises(UserError, match="3 → 4 is given twice"):
        forest_of(Wiring.from_edges([0, 3, 3], [1, 4, 4]))
    with pytest.raises(UserError, match="2 → 2 is a loop"):
        forest_of(Wiring.from_edges([0, 2], [1, 2]))
    assert is_forest(Wiring.from_edges([0, 1], [1, 0]))
    assert not is_forest(Wiring.from_edges([0, 1], [1, 0], directed=False))
