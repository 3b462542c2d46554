"""Oracles: degrees and arcs before and after, enumeration of all reachable wirings by chi-square."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.wiring.generators import erdos_renyi, fixed_arcs, preferential_attachment
from sparsefire.wiring.graph import Wiring
from sparsefire.wiring.nulls import (
    degree_preserving_rewiring,
    density_matched,
    edge_list,
    like,
    shuffle_weights,
    undirected,
)

LEAST = 1e-4


def arcs(wiring: Wiring) -> tuple[tuple[int, int], ...]:
    return tuple(zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True))


def weighted(wiring: Wiring) -> Wiring:
    tails, heads, _ = edge_list(wiring)
    weights = np.arange(1.0, len(tails) + 1)
    return like(wiring, tails, heads, weights)


@pytest.mark.parametrize(
    "wiring",
    [
        fixed_arcs(80, 400, rng=0),
        fixed_arcs((40, 60), 500, rng=0),
        fixed_arcs(60, 200, directed=False, rng=0),
        preferential_attachment(200, 3, rng=0),
    ],
)
def test_rewiring_keeps_degrees_and_makes_no_loops_or_parallels(wiring: Wiring) -> None:
    before = weighted(wiring)
    after = degree_preserving_rewiring(before, rng=1)
    assert after.in_degrees.tolist() == before.in_degrees.tolist()
    assert after.out_degrees.tolist() == before.out_degrees.tolist()
    assert undirected(after) == undirected(before)
    assert len(set(arcs(after))) == after.arcs
    assert not (after.square and (after.senders == after.receivers).any())
    assert len(set(arcs(after)) & set(arcs(before))) < 0.5 * before.arcs
    assert sorted(after.weights) == sorted(before.weights)
    if not undirected(before):  # weights go with their senders
        strengths = [np.bincount(w.senders, w.weights, w.shape[0]).tolist() for w in (before, after)]
        assert strengths[0] == strengths[1]
    assert arcs(degree_preserving_rewiring(before, rng=1)) == arcs(after)
    assert arcs(degree_preserving_rewiring(before, 0, rng=1)) == arcs(before)


def test_rewired_wirings_are_uniform() -> None:
    ring = Wiring.from_edges([0, 1, 2, 3, 4], [1, 2, 3, 4, 0], directed=False)
    layered = Wiring.from_edges([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0], shape=(3, 3))
    cycle = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0])
    # cycles of five 4!/2; complements of permutations of three; derangements of four: 9
    for wiring, kinds in ((ring, 12), (layered, 6), (cycle, 9)):
        generator = np.random.default_rng(2)
        counts = Counter(arcs(degree_preserving_rewiring(wiring, 20, rng=generator)) for _ in range(4000))
        assert len(counts) == kinds
        assert stats.chisquare(list(counts.values())).pvalue > LEAST


def test_loops_and_parallels_never_come_and_may_go() -> None:
    generator = np.random.default_rng(0)
    tails, heads = generator.integers(0, 30, (2, 150))
    wiring = Wiring.from_edges(np.append(tails, [3, 3, 3]), np.append(heads, [3, 4, 4]), units=30)

    def defects(found: Wiring) -> int:
        return found.arcs - len({(u, v) for u, v in arcs(found) if u != v})

    after = degree_preserving_rewiring(wiring, 20, rng=0)
    assert after.in_degrees.tolist() == wiring.in_degrees.tolist()
    assert after.out_degrees.tolist() == wiring.out_degrees.tolist()
    assert defects(after) < defects(wiring)


def test_a_directed_cycle_of_three_stays() -> None:
    cycle = Wiring.from_edges([0, 1, 2], [1, 2, 0])
    assert arcs(degree_preserving_rewiring(cycle, 100, rng=0)) == arcs(cycle)


def test_density_matched() -> None:
    for wiring in (weighted(erdos_renyi(50, 0.1, directed=False, rng=0)), weighted(fixed_arcs((9, 30), 70, rng=0))):
        other = density_matched(wiring, rng=3)
        assert (other.arcs, other.edges, other.shape) == (wiring.arcs, wiring.edges, wiring.shape)
        assert len(set(arcs(other))) == other.arcs
        assert sorted(other.weights) == sorted(wiring.weights)
        assert arcs(other) != arcs(wiring)


def test_shuffled_weights_are_a_uniform_permutation() -> None:
    wiring = Wiring.from_edges([0, 1, 2], [1, 2, 0], [1.0, 2.0, 3.0], labels="abc")
    generator = np.random.default_rng(0)
    counts = Counter(tuple(shuffle_weights(wiring, rng=generator).weights) for _ in range(3000))
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > LEAST
    both = shuffle_weights(weighted(fixed_arcs(20, 50, directed=False, rng=0)), rng=0)
    assert np.array_equal(both.to_scipy().toarray(), both.to_scipy().toarray().T)
    assert shuffle_weights(wiring, rng=0).labels == ("a", "b", "c")


def test_wrong_swaps() -> None:
    with pytest.raises(UserError) as caught:
        degree_preserving_rewiring(fixed_arcs(4, 4, rng=0), -1)
    assert "-1" in caught.value.came
    assert degree_preserving_rewiring(Wiring.from_edges([0], [1]), rng=0).arcs == 1


def test_two_layers_of_one_size_stay_two_layers() -> None:
    layered = fixed_arcs((6, 6), 20, rng=0)
    assert not layered.square
    met = [0, 0, 0]
    for rng in range(40):
        for k, other in enumerate(
            (degree_preserving_rewiring(layered, rng=rng), density_matched(layered, rng=rng),
             shuffle_weights(layered, rng=rng))
        ):  # fmt: skip
            assert not other.square
            met[k] += int((other.senders == other.receivers).sum())
    assert min(met) > 0  # unit 3 of one layer may act on unit 3 of the other
