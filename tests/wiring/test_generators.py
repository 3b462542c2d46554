"""Oracles: known moments (5 standard errors), enumeration by chi-square, networkx samples, exact degree sequences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.wiring.degrees import biregular, configuration, random_regular
from sparsefire.wiring.draw import distinct, ends, pairs
from sparsefire.wiring.generators import (
    erdos_renyi,
    fixed_arcs,
    fixed_fan_in,
    lognormal_fan_in,
    preferential_attachment,
    random_tree,
    small_world,
)
from sparsefire.wiring.graph import Wiring

LEAST = 1e-4  # of p-values, with fixed rng


def arcs(wiring: Wiring) -> tuple[tuple[int, int], ...]:
    return tuple(zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True))


def is_simple(wiring: Wiring) -> bool:
    loops = wiring.square and bool((wiring.senders == wiring.receivers).any())
    return not loops and len(set(arcs(wiring))) == wiring.arcs


def uniform_over(draw: Callable[[np.random.Generator], Wiring], kinds: int, times: int = 3000) -> None:
    generator = np.random.default_rng(7)
    counts = Counter(arcs(draw(generator)) for _ in range(times))
    assert len(counts) == kinds
    assert stats.chisquare(list(counts.values())).pvalue > LEAST


@pytest.mark.parametrize(("square", "directed"), [(True, True), (True, False), (False, True)])
def test_pairs_are_numbered_without_gap_or_repetition(square: bool, directed: bool) -> None:
    senders, receivers = (9, 9) if square else (4, 7)
    count = pairs(senders, receivers, square, directed)
    tails, heads = ends(np.arange(count), senders, receivers, square, directed)
    assert len(set(zip(tails.tolist(), heads.tolist(), strict=True))) == count
    assert not square or (tails != heads).all()
    assert directed or (tails < heads).all()
    assert heads.max() == receivers - 1


def test_large_triangular_numbers_are_exact() -> None:
    units = 2**31 - 1
    heads = np.array([2, 94_906_267, units - 2, units - 1])
    first = heads * (heads - 1) // 2
    places = np.concatenate([first, first + heads - 1])
    tails, found = ends(places, units, units, True, False)
    assert found.tolist() == [*heads, *heads]
    assert tails.tolist() == [0, 0, 0, 0, *(heads - 1)]


def test_distinct_sets_are_uniform() -> None:
    generator = np.random.default_rng(0)
    for count, kinds in ((2, 10), (3, 10), (5, 1)):
        found = Counter(tuple(distinct(5, count, generator).tolist()) for _ in range(4000))
        assert len(found) == kinds == math.comb(5, count)
        assert kinds == 1 or stats.chisquare(list(found.values())).pvalue > LEAST


def test_erdos_renyi_pairs_are_independent_and_equal() -> None:
    generator = np.random.default_rng(3)
    counts = Counter(arcs(erdos_renyi(3, 0.3, directed=False, rng=generator)) for _ in range(4000))
    expected = {}
    for graph in counts:
        edges = len(graph) // 2
        expected[graph] = 0.3**edges * 0.7 ** (3 - edges) * 4000
    assert len(counts) == 8
    assert stats.chisquare(list(counts.values()), list(expected.values())).pvalue > LEAST


@pytest.mark.parametrize("units", [2000, (3000, 1000)])
def test_erdos_renyi_moments(units: int | tuple[int, int]) -> None:
    wiring = erdos_renyi(units, mean_degree=5, rng=1)
    senders = wiring.shape[0]
    assert is_simple(wiring)
    assert abs(wiring.arcs - 5 * senders) < 5 * math.sqrt(5 * senders)
    assert wiring.out_degrees.var() == pytest.approx(5, rel=0.2)  # Poisson


def test_dense_and_empty_ends() -> None:
    assert erdos_renyi(20, 1.0, rng=0).arcs == 380
    assert erdos_renyi(20, 0.0, rng=0).arcs == 0
    assert erdos_renyi(1, 0.5, rng=0).arcs == 0
    assert fixed_arcs((4, 5), 20, rng=0).density == 1
    assert is_simple(erdos_renyi(50, 0.9, directed=False, rng=0))


def test_fixed_arcs_are_uniform() -> None:
    uniform_over(lambda rng: fixed_arcs(3, 2, rng=rng), math.comb(6, 2))


def test_fan_in_sets_are_uniform_and_leave_oneself_out() -> None:
    uniform_over(lambda rng: fixed_fan_in(4, [2, 0, 0, 1], rng=rng), 9)
    uniform_over(lambda rng: fixed_fan_in((4, 2), [2, 1], rng=rng), 24)
    wiring = fixed_fan_in(30, 29, rng=0)
    assert is_simple(wiring)
    assert set(wiring.in_degrees.tolist()) == {29}


def test_lognormal_fan_in_moments() -> None:
    wiring = lognormal_fan_in(20_000, 30, 0.7, rng=2)
    spread = 30 * math.sqrt(math.expm1(0.49))
    assert is_simple(wiring)
    assert abs(wiring.in_degrees.mean() - 30) < 5 * spread / math.sqrt(20_000)
    assert wiring.in_degrees.std() == pytest.approx(spread, rel=0.05)
    assert np.log(wiring.in_degrees[wiring.in_degrees > 0]).std() == pytest.approx(0.7, rel=0.05)
    assert set(lognormal_fan_in((50, 40), 8, 0, rng=0).in_degrees.tolist()) == {8}
    assert lognormal_fan_in(5, 100, 1, rng=0).in_degrees.max() == 4


@pytest.mark.parametrize("kind", ["uniform", "recursive"])
@pytest.mark.parametrize("units", [1, 2, 3, 200])
def test_trees_are_trees(kind: str, units: int) -> None:
    import networkx as nx

    wiring = random_tree(units, kind, directed=True, rng=units)
    graph = nx.DiGraph(arcs(wiring))
    graph.add_nodes_from(range(units))
    assert nx.is_arborescence(graph)
    assert wiring.in_degrees[0] == 0
    assert random_tree(units, kind, rng=0).arcs == 2 * (units - 1)


def test_uniform_trees_by_enumeration() -> None:
    uniform_over(lambda rng: random_tree(4, directed=True, rng=rng), 16)
    uniform_over(lambda rng: random_tree(4, rng=rng), 16)
    uniform_over(lambda rng: random_tree(4, "recursive", rng=rng), 6)


def test_tree_degrees_as_known() -> None:
    # uniform: leaves n/e; recursive: leaves n/2
    assert (random_tree(20_000, rng=0).out_degrees == 1).mean() == pytest.approx(1 / math.e, abs=0.015)
    assert (random_tree(20_000, "recursive", rng=0).out_degrees == 1).mean() == pytest.approx(0.5, abs=0.015)


def test_small_world_is_as_in_networkx() -> None:
    import networkx as nx

    ours, theirs = Counter(), Counter()
    triangles: tuple[list[float], list[float]] = ([], [])
    for seed in range(150):
        wiring = small_world(60, 6, 0.3, rng=seed)
        assert is_simple(wiring)
        assert wiring.edges == 180
        mine, other = nx.Graph(arcs(wiring)), nx.watts_strogatz_graph(60, 6, 0.3, seed=seed)
        ours.update(dict(mine.degree).values())
        theirs.update(dict(other.degree).values())
        triangles[0].append(sum(nx.triangles(mine).values()))
        triangles[1].append(sum(nx.triangles(other).values()))
    bins = range(3, 12)
    table = [[c[b] for b in bins] for c in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > LEAST
    assert stats.ttest_ind(*triangles).pvalue > LEAST
    lattice = small_world(10, 4, 0.0, rng=0)
    assert nx.utils.graphs_equal(nx.Graph(arcs(lattice)), nx.watts_strogatz_graph(10, 4, 0))


def test_preferential_attachment_is_as_in_networkx() -> None:
    import networkx as nx

    largest: tuple[list[float], list[float]] = ([], [])
    ours, theirs = Counter(), Counter()
    for seed in range(150):
        wiring = preferential_attachment(80, 3, rng=seed)
        assert is_simple(wiring)
        assert wiring.edges == 3 + 76 * 3
        other = np.array(list(dict(nx.barabasi_albert_graph(80, 3, seed=seed).degree).values()))
        ours.update(np.minimum(wiring.out_degrees, 20).tolist())
        theirs.update(np.minimum(other, 20).tolist())
        largest[0].append(wiring.out_degrees.max())
        largest[1].append(other.max())
    bins = sorted(set(ours) | set(theirs))
    assert stats.chi2_contingency([[c[b] for b in bins] for c in (ours, theirs)]).pvalue > LEAST
    assert stats.ks_2samp(*largest).pvalue > LEAST
    grown = preferential_attachment(50, 2, directed=True, rng=0)
    assert (grown.senders > grown.receivers).all()


def test_configuration_keeps_degrees_exactly() -> None:
    generator = np.random.default_rng(0)
    outward = generator.poisson(4, 300)
    inward = generator.permutation(outward)
    for simple in (False, True):
        wiring = configuration(outward, inward, simple=simple, rng=1)
        assert wiring.out_degrees.tolist() == outward.tolist()
        assert wiring.in_degrees.tolist() == inward.tolist()
        assert not simple or is_simple(wiring)
    even = 2 * generator.integers(0, 4, 200)
    wiring = configuration(even, simple=True, rng=1)
    assert wiring.out_degrees.tolist() == wiring.in_degrees.tolist() == even.tolist()
    assert is_simple(wiring)


def test_configuration_pairings_are_uniform() -> None:
    generator = np.random.default_rng(5)
    counts = Counter(arcs(configuration([2, 1, 1], rng=generator)) for _ in range(3000))
    # 3 pairings of 4 stubs: a loop at 0 with 1–2 in one of them, 0–1 with 0–2 in two
    looped = ((0, 0), (1, 2), (2, 1))
    assert set(counts) == {looped, ((0, 1), (0, 2), (1, 0), (2, 0))}
    assert stats.binomtest(counts[looped], 3000, 1 / 3).pvalue > LEAST
    uniform_over(lambda rng: configuration([1, 1, 1], [1, 1, 1], rng=rng), 6)


def test_simple_wirings_with_given_degrees_are_uniform() -> None:
    uniform_over(lambda rng: random_regular(6, 3, rng=rng), 70, times=2500)  # labelled cubic graphs on 6 units
    uniform_over(lambda rng: configuration([2] * 5, simple=True, rng=rng), 12, times=1500)  # cycles of five: 4!/2
    uniform_over(lambda rng: biregular((4, 4), 2, rng=rng), 90, times=2500)  # 4×4 matrices of 0 and 1 with all sums 2


def test_configuration_from_laws() -> None:
    wiring = configuration(stats.poisson(3), units=4000, rng=0)
    assert abs(wiring.edges * 2 - 12_000) < 5 * math.sqrt(12_000)
    both = configuration(stats.poisson(3), stats.nbinom(2, 0.4), units=4000, rng=0)
    assert both.out_degrees.var() == pytest.approx(3, rel=0.15)
    assert both.in_degrees.var() == pytest.approx(7.5, rel=0.15)
    layered = configuration(stats.poisson(3), np.full(1000, 6), units=(2000, 1000), rng=0)
    assert set(layered.in_degrees.tolist()) == {6}


@pytest.mark.parametrize(("units", "degree"), [(20, 3), (20, 4), (50, 11), (12, 11), (5, 0), (2, 1)])
def test_regular(units: int, degree: int) -> None:
    wiring = random_regular(units, degree, rng=3)
    assert is_simple(wiring)
    assert set(wiring.out_degrees.tolist()) == {degree}


def test_biregular() -> None:
    wiring = biregular((784, 100), 20, rng=0)
    assert is_simple(wiring)
    assert set(wiring.in_degrees.tolist()) == {20}
    assert set(wiring.out_degrees.tolist()) == {2, 3}
    square = biregular((5, 5), 5, rng=0)  # two layers of one size: own number allowed
    assert square.density == 1


def test_the_same_rng_gives_the_same_wiring() -> None:
    makers: list[Callable[..., Wiring]] = [
        lambda rng: erdos_renyi(50, 0.1, rng=rng),
        lambda rng: fixed_fan_in(50, 4, rng=rng),
        lambda rng: small_world(50, 4, 0.5, rng=rng),
        lambda rng: preferential_attachment(50, 2, rng=rng),
        lambda rng: random_tree(50, rng=rng),
        lambda rng: random_regular(50, 4, rng=rng),
    ]
    for make in makers:
        assert arcs(make(4)) == arcs(make(4))
        assert arcs(make(4)) != arcs(make(5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: erdos_renyi(10, 1.5), "1.5"),
        (lambda: erdos_renyi(10, float("nan")), "nan"),
        (lambda: erdos_renyi(10, mean_degree=10), "10"),
        (lambda: erdos_renyi(0, 0.5), "units=0"),
        (lambda: erdos_renyi((3, 4), 0.5, directed=False), "directed=False"),
        (lambda: fixed_arcs(3, 7), "edges=7"),
        (lambda: fixed_fan_in(4, 4), "fan_in=4"),
        (lambda: fixed_fan_in(4, [1, 2, 4, 1]), "4 of receiver 2"),
        (lambda: fixed_fan_in(4, [1, 2]), "(2,)"),
        (lambda: lognormal_fan_in(4, -1), "mean=-1"),
        (lambda: small_world(10, 3, 0.1), "3"),
        (lambda: small_world(10, 4, 2), "rewired=2"),
        (lambda: preferential_attachment(3, 3), "units=3"),
        (lambda: random_tree(5, "binary"), "binary"),
        (lambda: configuration([1, 1, 1]), "a sum of 3"),
        (lambda: configuration([1, -1]), "-1 of unit 1"),
        (lambda: configuration([1, 1], [1, 0]), "2, in-degrees with one of 1"),
        (lambda: configuration([4, 2], simple=True, rng=0), "no swap removes"),
        (lambda: random_regular(5, 3), "5 times 3"),
        (lambda: biregular((3, 2), 4), "fan_in=4"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Wiring], words: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert words in caught.value.came
