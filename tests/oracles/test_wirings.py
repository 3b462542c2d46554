"""Oracle: wirings and the densities of layers, from their definitions: counts, degrees, laws, files."""

from __future__ import annotations

import gzip
import itertools
import math
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse, stats

import sparsefire as sf
from sparsefire import wiring as wirings

Shapes = dict[str, tuple[int, ...]]


def arcs_of(wiring: sf.Wiring) -> list[tuple[int, int]]:
    return list(zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True))


def edges_of(wiring: sf.Wiring) -> list[tuple[int, int]]:
    """Unordered pairs of an undirected wiring, each once for every edge that was given."""
    seen: dict[int, tuple[int, int]] = {}
    for (u, v), k in zip(arcs_of(wiring), wiring.given.tolist(), strict=True):
        seen[k] = (min(u, v), max(u, v))
    return list(seen.values())


def is_simple(wiring: sf.Wiring) -> bool:
    arcs = arcs_of(wiring)
    return len(set(arcs)) == len(arcs) and all(u != v for u, v in arcs)


def is_symmetric(wiring: sf.Wiring) -> bool:
    arcs = Counter(arcs_of(wiring))
    return arcs == Counter((v, u) for u, v in arcs.elements())


def near(value: float, mean: float, error: float, times: float = 4.0) -> None:
    """Within four standard errors."""
    assert abs(value - mean) <= times * error + 1e-12, (value, mean, error)


def chi_square(counts: list[int], expected: list[float]) -> float:
    return float(stats.chi2.sf(sum((a - b) ** 2 / b for a, b in zip(counts, expected, strict=True)), len(counts) - 1))


# ---------------------------------------------------------------- from edges


def test_edges_come_back() -> None:
    rng = np.random.default_rng(1)
    senders, receivers, weights = rng.integers(0, 9, 40), rng.integers(0, 9, 40), rng.normal(size=40)
    wiring = sf.Wiring.from_edges(senders, receivers, weights, units=12)
    assert (wiring.units, wiring.arcs, wiring.edges, wiring.shape) == (12, 40, 40, (12, 12))
    assert (senders[wiring.given] == wiring.senders).all()
    assert (receivers[wiring.given] == wiring.receivers).all()
    assert (weights[wiring.given] == wiring.weights).all()
    assert (wiring.out_degrees == np.bincount(senders, minlength=12)).all()
    assert (wiring.in_degrees == np.bincount(receivers, minlength=12)).all()
    assert sorted(wiring.given.tolist()) == list(range(40))
    for u in range(12):
        row = wiring.receivers[wiring.starts[u] : wiring.starts[u + 1]]
        assert (np.diff(row) >= 0).all()
        assert sorted(row.tolist()) == sorted(receivers[senders == u].tolist())
    values = rng.normal(size=40)
    assert (wiring.per_arc(values) == values[wiring.given]).all()
    dense = np.zeros((12, 12))
    np.add.at(dense, (senders, receivers), weights)
    assert np.allclose(wiring.to_scipy().toarray(), dense, atol=1e-14)
    back = wiring.transpose
    assert sorted(arcs_of(back)) == sorted((v, u) for u, v in arcs_of(wiring))
    assert (back.per_arc(values) == values[back.given]).all()


def test_undirected_edges_are_two_arcs_and_a_loop_one() -> None:
    wiring = sf.Wiring.from_edges([3, 0, 2], [1, 0, 3], [1.5, 2.5, 3.5], units=5, directed=False)
    found = sorted(zip(arcs_of(wiring), wiring.weights.tolist(), strict=True))
    assert found == [((0, 0), 2.5), ((1, 3), 1.5), ((2, 3), 3.5), ((3, 1), 1.5), ((3, 2), 3.5)]
    assert (wiring.edges, wiring.arcs) == (3, 5)
    assert sorted(wiring.per_arc([10, 20, 30]).tolist()) == [10, 10, 20, 30, 30]


def test_two_layers_and_masks() -> None:
    mask = np.random.default_rng(2).random((5, 7)) < 0.4
    weights = np.random.default_rng(3).normal(size=(5, 7))
    wiring = wirings.from_mask(mask, weights)
    assert wiring.shape == (7, 5)
    assert not wiring.square
    assert wiring.density == pytest.approx(mask.mean())
    assert all(mask[v, u] for u, v in arcs_of(wiring))
    assert np.allclose(wiring.to_scipy().toarray(), (mask * weights).T)
    assert (wirings.to_mask(wiring) == mask).all()
    square = wirings.from_mask(np.ones((4, 4)))
    assert not square.square, "two layers of one size stay two layers"
    assert wirings.from_mask(np.zeros((2, 3))).arcs == 0


def test_matrices_graphs_and_frames_there_and_back() -> None:
    matrix = sparse.random_array((8, 8), density=0.3, rng=np.random.default_rng(4), format="coo")
    wiring = sf.Wiring.from_scipy(matrix)
    assert np.allclose(wiring.to_scipy().toarray(), matrix.toarray())
    graph = wirings.to_networkx(wiring)
    assert np.allclose(nx.to_numpy_array(graph, nodelist=range(8)), matrix.toarray())
    again = wirings.from_graph(graph)
    assert np.allclose(again.to_scipy().toarray(), matrix.toarray())
    frame = wirings.to_frame(wiring)
    assert len(frame) == wiring.arcs
    back = wirings.from_frame(frame, weight="weight", units=8)
    assert np.allclose(back.to_scipy().toarray(), matrix.toarray())
    named = wirings.from_graph(nx.Graph([("ann", "bob"), ("bob", "cat")]))
    assert named.labels == ("ann", "bob", "cat")
    assert sorted(arcs_of(named)) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert named.edges == 2


def test_edge_lists_in_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"to": [1, 2, 0], "w": [0.5, 1.5, 2.5], "from": [0, 1, 3]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    pl.from_dicts(frame.to_dict("records")).write_parquet(tmp_path / "a.parquet")
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)
    for name in ("a.csv", "a.tsv", "a.parquet", "a.csv.gz"):
        wiring = wirings.read_edges(tmp_path / name, sender="from", receiver="to", weight="w")
        assert arcs_of(wiring) == [(0, 1), (1, 2), (3, 0)]
        assert wiring.weights.tolist() == [0.5, 1.5, 2.5]
    (tmp_path / "text.csv").write_text("a,b\nx,y\nz,x\n")
    named = wirings.read_edges(tmp_path / "text.csv")
    assert named.labels == ("x", "z", "y")
    assert arcs_of(named) == [(0, 2), (1, 0)]
    (tmp_path / "codes.csv").write_text("a,b\n1000000,7\n7,42\n")
    coded = wirings.read_edges(tmp_path / "codes.csv", named=True)
    assert sorted(coded.labels) == ["1000000", "42", "7"]
    both = wirings.read_edges(tmp_path / "text.csv", directed=False)
    assert (both.edges, both.arcs) == (2, 4)


# ---------------------------------------------------------------- densities of layers

SHAPES: list[Shapes] = [
    {"fc1": (300, 784), "fc2": (100, 300)},
    {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)},
    {"in": (100, 784), **{f"h{k}": (100, 100) for k in range(5)}, "out": (10, 100)},
    {"c1": (32, 3, 3, 3), "c2": (64, 32, 3, 3), "c3": (128, 64, 3, 3), "fc": (10, 2048)},
    {"only": (50, 40)},
    {"wide": (300, 16), "narrow": (8, 900), "mid": (64, 64)},
]


@pytest.mark.parametrize("layout", ["uniform", "erk", "balanced", "pyramidal"])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("density", [0.08, 0.1, 0.3, 0.9, 1.0])
def test_global_density_is_what_was_asked_for(layout: str, shapes: Shapes, density: float) -> None:
    found = wirings.densities(shapes, density=density, layout=layout)
    assert list(found) == list(shapes)
    sizes = np.array([math.prod(shape) for shape in shapes.values()])
    share = np.array(list(found.values()))
    assert (share > 0).all()
    assert (share <= 1).all()
    kept = share * sizes
    assert np.allclose(kept, np.round(kept), atol=1e-6)
    assert kept.sum() / sizes.sum() == pytest.approx(density, rel=0.01)
    assert wirings.layer_counts(list(shapes.values()), density, layout) == np.round(kept).astype(int).tolist()


def erk(shapes: list[tuple[int, ...]], density: float) -> list[float]:
    """d = ε (Σ dimensions) / (Π dimensions), layers above 1 made dense one round at a time (Evci et al. 2020)."""
    sizes = [math.prod(shape) for shape in shapes]
    dense: set[int] = set()
    while True:
        left = density * sum(sizes) - sum(sizes[i] for i in dense)
        epsilon = left / sum(sum(shape) for i, shape in enumerate(shapes) if i not in dense)
        found = [1.0 if i in dense else epsilon * sum(shape) / math.prod(shape) for i, shape in enumerate(shapes)]
        over = {i for i, d in enumerate(found) if d > 1}
        if not over:
            return found
        dense |= over


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 0.8])
def test_erk_by_its_formula(shapes: Shapes, density: float) -> None:
    found = wirings.densities(shapes, density, "erk")
    for (name, shape), d in zip(shapes.items(), erk(list(shapes.values()), density), strict=True):
        assert abs(found[name] - d) * math.prod(shape) <= 1.0, name


def test_printed_erdos_renyi_densities() -> None:
    shapes = {"in": (100, 784), **{f"h{k}": (100, 100) for k in range(5)}, "out": (10, 100)}
    found = list(wirings.densities(shapes, 0.1, "erk").values())
    assert found == pytest.approx([0.0732, *[0.1298] * 5, 0.7138], abs=1e-3)


def test_balanced_and_uniform_and_pyramidal_by_their_formulas() -> None:
    shapes = SHAPES[2]
    sizes = np.array([math.prod(shape) for shape in shapes.values()])
    total = 0.1 * sizes.sum()
    assert np.array(list(wirings.densities(shapes, 0.1, "uniform").values())) * sizes == pytest.approx(
        0.1 * sizes, abs=1
    )
    level = total / 7
    for _ in range(50):  # water-fill
        level = (total - sizes[sizes < level].sum()) / (sizes >= level).sum()
    expected = np.minimum(sizes, level)
    assert np.array(list(wirings.densities(shapes, 0.1, "balanced").values())) * sizes == pytest.approx(expected, abs=1)
    found = np.array(wirings.layer_counts(list(shapes.values()), 0.1, "pyramidal"))
    floor = np.array([3 * shape[0] for shape in shapes.values()])
    assert (found >= floor).all()
    free = found > floor + 1
    slopes = np.log(found[free] / sizes[free]) / (np.flatnonzero(free) + 1)
    assert slopes.max() - slopes.min() < 0.02, "r is one number for the layers above their floor"


@pytest.mark.parametrize("layout", ["uniform", "erk", "balanced", "pyramidal"])
def test_floors_of_fan_in(layout: str) -> None:
    shapes = [(100, 784), *[(100, 100)] * 5, (10, 100)]
    counts = wirings.layer_counts(shapes, 0.06, layout, fan_in_floor=5)
    assert all(count >= min(5 * shape[0], math.prod(shape)) for count, shape in zip(counts, shapes, strict=True))
    assert sum(counts) == round(0.06 * sum(map(math.prod, shapes)))
    with pytest.raises(ValueError, match="floor"):
        wirings.layer_counts(shapes, 0.01, layout, fan_in_floor=50)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: wirings.densities({"a": (3, 4)}, 0.0), "0.0"),
        (lambda: wirings.densities({"a": (3, 4)}, 1.5), "1.5"),
        (lambda: wirings.densities({"a": (3, 4)}, math.nan), "nan"),
        (lambda: wirings.densities({"a": (3, 4)}, 0.5, layout="erkk"), "erkk"),
        (lambda: wirings.densities({"a": (3, 4), "b": (0, 4)}, 0.5), "b"),
        (lambda: wirings.densities({"a": (3, 4), "b": (3.5, 4)}, 0.5), "3.5"),
        (lambda: wirings.densities({}, 0.5), "{}"),
        (lambda: wirings.densities({f"l{k}": (2, 2) for k in range(9)}, 0.1), "9"),
    ],
)
def test_densities_that_cannot_be(call: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert name in caught.value.render()


# ---------------------------------------------------------------- random wirings


@pytest.mark.parametrize("directed", [True, False])
def test_erdos_renyi_counts_and_degrees(directed: bool) -> None:
    n, p, times = 60, 0.1, 400
    pairs = n * (n - 1) // (1 if directed else 2)
    counts, degrees = [], np.zeros(n)
    for seed in range(times):
        wiring = wirings.erdos_renyi(n, p, directed=directed, rng=seed)
        assert is_simple(wiring)
        assert directed or is_symmetric(wiring)
        counts.append(wiring.edges)
        degrees += np.bincount(wiring.out_degrees, minlength=n)
    near(np.mean(counts), pairs * p, math.sqrt(pairs * p * (1 - p) / times))
    assert np.var(counts) == pytest.approx(pairs * p * (1 - p), rel=4 * math.sqrt(2 / times))
    due = n * times * stats.binom.pmf(np.arange(n), n - 1, p)
    keep = due > 10
    assert chi_square(degrees[keep].tolist(), due[keep].tolist()) > 1e-6
    assert wirings.erdos_renyi(n, 0.0, rng=0).arcs == 0
    assert wirings.erdos_renyi(n, 1.0, directed=directed, rng=0).arcs == n * (n - 1)


def test_erdos_renyi_places_are_uniform() -> None:
    times = 4000
    seen: Counter = Counter()
    for seed in range(times):
        seen.update(arcs_of(wirings.erdos_renyi(5, 0.3, rng=seed)))
    assert len(seen) == 20
    assert chi_square([seen[arc] for arc in itertools.permutations(range(5), 2)], [times * 0.3] * 20) > 1e-5
    layers: Counter = Counter()
    for seed in range(times):
        layers.update(arcs_of(wirings.erdos_renyi((3, 4), mean_degree=2, rng=seed)))
    assert len(layers) == 12
    assert chi_square([layers[u, v] for u in range(3) for v in range(4)], [times * 0.5] * 12) > 1e-5


def test_fixed_arcs_every_choice_alike() -> None:
    times = 6000
    seen = Counter(tuple(sorted(arcs_of(wirings.fixed_arcs(3, 2, rng=seed)))) for seed in range(times))
    assert len(seen) == math.comb(6, 2)
    assert chi_square(list(seen.values()), [times / 15] * 15) > 1e-5
    once = Counter(tuple(sorted(edges_of(wirings.fixed_arcs(4, 2, directed=False, rng=seed)))) for seed in range(times))
    assert len(once) == math.comb(6, 2)
    assert chi_square(list(once.values()), [times / 15] * 15) > 1e-5
    assert wirings.fixed_arcs(5, 20, rng=0).arcs == 20
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        wirings.fixed_arcs(5, 21, rng=0)
    assert "21" in caught.value.render()


def test_fixed_fan_in_every_set_alike() -> None:
    times = 5000
    seen = Counter()
    for seed in range(times):
        wiring = wirings.fixed_fan_in((5, 2), 2, rng=seed)
        assert wiring.in_degrees.tolist() == [2, 2]
        seen[tuple(sorted(u for u, v in arcs_of(wiring) if v == 1))] += 1
    assert len(seen) == 10
    assert chi_square(list(seen.values()), [times / 10] * 10) > 1e-5
    square = wirings.fixed_fan_in(30, [k % 5 for k in range(30)], rng=0)
    assert is_simple(square)
    assert square.in_degrees.tolist() == [k % 5 for k in range(30)]
    assert wirings.fixed_fan_in(4, 3, rng=0).arcs == 12


def test_lognormal_fan_in_has_its_mean_and_spread() -> None:
    degrees = wirings.lognormal_fan_in((100_000, 40_000), 20, 0.8, rng=0).in_degrees
    spread = 20 * math.sqrt(math.exp(0.64) - 1)
    near(degrees.mean(), 20, spread / 200)
    assert np.log(degrees[degrees > 0]).std() == pytest.approx(0.8, abs=0.03)
    quantile = np.quantile(degrees, [0.1, 0.5, 0.9])
    assert quantile == pytest.approx(stats.lognorm(0.8, scale=20 * math.exp(-0.32)).ppf([0.1, 0.5, 0.9]), abs=1)
    assert is_simple(wirings.lognormal_fan_in(40, 25, 1.0, rng=1))


def test_configuration_keeps_degrees_and_pairs_evenly() -> None:
    out, into = [3, 0, 2, 1, 2], [1, 2, 2, 2, 1]
    wiring = wirings.configuration(out, into, rng=0)
    assert wiring.out_degrees.tolist() == out
    assert wiring.in_degrees.tolist() == into
    times = 4000
    seen = Counter(tuple(sorted(edges_of(wirings.configuration([1] * 6, rng=seed)))) for seed in range(times))
    assert len(seen) == 15
    assert chi_square(list(seen.values()), [times / 15] * 15) > 1e-5
    loops = Counter(sum(u == v for u, v in edges_of(wirings.configuration([2, 2], rng=seed))) for seed in range(times))
    assert set(loops) == {0, 2}
    near(loops[2] / times, 1 / 3, math.sqrt(2 / 9 / times))
    for degrees, name in (([3, 2], "5"), ([1, -1, 2], "-1"), ([1.5, 1], "1.5")):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            wirings.configuration(degrees)
        assert name in caught.value.render()


def test_simple_configuration_is_uniform_over_simple_graphs() -> None:
    """Degrees 2, 2, 1, 1, 2: all simple graphs with them, by enumeration."""
    degrees = [2, 2, 1, 1, 2]
    graphs = set()
    for chosen in itertools.combinations(itertools.combinations(range(5), 2), 4):
        if np.bincount(np.array(chosen).ravel(), minlength=5).tolist() == degrees:
            graphs.add(chosen)
    times = 300 * len(graphs)
    seen: Counter = Counter()
    for seed in range(times):
        wiring = wirings.configuration(degrees, simple=True, rng=seed)
        assert is_simple(wiring)
        seen[tuple(sorted(edges_of(wiring)))] += 1
    assert set(seen) == graphs
    assert chi_square([seen[g] for g in graphs], [300] * len(graphs)) > 1e-6


def test_configuration_from_a_law() -> None:
    wiring = wirings.configuration(stats.poisson(3), units=20_000, simple=True, rng=0)
    assert is_simple(wiring)
    assert is_symmetric(wiring)
    near(wiring.out_degrees.mean(), 3, math.sqrt(3 / 20_000))
    assert wiring.out_degrees.var() == pytest.approx(3, rel=0.06)


def test_biregular() -> None:
    for senders, receivers, k in ((6, 4, 3), (7, 5, 3), (512, 512, 8), (10, 30, 1), (5, 4, 5)):
        wiring = wirings.biregular((senders, receivers), k, rng=0)
        assert wiring.shape == (senders, receivers)
        assert (wiring.in_degrees == k).all()
        assert np.ptp(wiring.out_degrees) <= 1
        assert len(set(arcs_of(wiring))) == wiring.arcs
    values = np.linalg.svd(wirings.biregular((512, 512), 8, rng=1).to_scipy().toarray(), compute_uv=False)
    assert values[0] == pytest.approx(8, abs=1e-9)
    assert values[1] <= 5.4


def test_random_regular_is_uniform() -> None:
    """70 labelled 2-regular graphs on 6 units: 60 hexagons and 10 pairs of triangles."""
    times = 7_000
    seen: Counter = Counter()
    for seed in range(times):
        wiring = wirings.random_regular(6, 2, rng=seed)
        assert is_simple(wiring)
        seen[tuple(sorted(edges_of(wiring)))] += 1
    assert len(seen) == 70
    assert chi_square(list(seen.values()), [100] * 70) > 1e-6
    assert (wirings.random_regular(50, 5, rng=0).out_degrees == 5).all()
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        wirings.random_regular(5, 3)
    assert "3" in caught.value.render()


def test_uniform_trees_by_count() -> None:
    for n, each in ((3, 600), (4, 250), (5, 40)):
        number = n ** (n - 2)
        seen = Counter(tuple(sorted(edges_of(wirings.random_tree(n, rng=seed)))) for seed in range(number * each))
        assert len(seen) == number
        assert chi_square(list(seen.values()), [each] * number) > 1e-5
    for seed in range(20):
        wiring = wirings.random_tree(40, rng=seed)
        assert nx.is_tree(nx.Graph(edges_of(wiring)))
        away = wirings.random_tree(40, directed=True, rng=seed)
        assert sorted(away.in_degrees.tolist()) == [0] + [1] * 39
        assert away.in_degrees[0] == 0


def test_recursive_trees_by_count() -> None:
    seen = Counter(
        tuple(sorted(arcs_of(wirings.random_tree(4, "recursive", directed=True, rng=s)))) for s in range(3000)
    )
    assert len(seen) == 6
    assert all(u < v for tree in seen for u, v in tree)
    assert chi_square(list(seen.values()), [500] * 6) > 1e-5
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        wirings.random_tree(5, "binary")
    assert "binary" in caught.value.render()


def test_preferential_attachment_grows_as_said() -> None:
    for links in (1, 2, 5):
        wiring = wirings.preferential_attachment(300, links, rng=0)
        assert is_simple(wiring)
        assert is_symmetric(wiring)
        assert wiring.edges == links + (300 - links - 1) * links
        assert nx.is_connected(nx.Graph(edges_of(wiring)))
        old = wirings.preferential_attachment(300, links, directed=True, rng=0)
        assert all(u > v or max(u, v) <= links for u, v in arcs_of(old))
    degrees = np.concatenate([wirings.preferential_attachment(20_000, 2, rng=s).out_degrees for s in range(5)])
    law = [2 * 2 * 3 / (k * (k + 1) * (k + 2)) for k in (2, 3, 4, 5, 6)]  # 2 m (m + 1) / k (k + 1) (k + 2)
    for k, share in zip((2, 3, 4, 5, 6), law, strict=True):
        near((degrees == k).mean(), share, math.sqrt(share / 100_000), 5)


def test_preferential_attachment_draws_by_degree() -> None:
    """The third of three units joins the two of the first edge alike; the fourth a degree-2 unit half of the time."""
    times = 6000
    second, hub = 0, 0
    for seed in range(times):
        wiring = wirings.preferential_attachment(4, 1, rng=seed)
        edges = edges_of(wiring)
        third = next(u for u, v in edges if v == 2)
        second += third == 1
        hub += next(u for u, v in edges if v == 3) == third
    near(second / times, 0.5, 0.5 / math.sqrt(times))
    near(hub / times, 0.5, 0.5 / math.sqrt(times))


def test_small_worlds() -> None:
    ring = wirings.small_world(20, 4, 0.0, rng=0)
    expected = {tuple(sorted((i, (i + d) % 20))) for i in range(20) for d in (1, 2)}
    assert set(edges_of(ring)) == expected
    kept = []
    for seed in range(40):
        wiring = wirings.small_world(200, 6, 0.3, rng=seed)
        assert is_simple(wiring)
        assert is_symmetric(wiring)
        assert wiring.edges == 600
        lattice = {tuple(sorted((i, (i + d) % 200))) for i in range(200) for d in (1, 2, 3)}
        kept.append(len(lattice & set(edges_of(wiring))))
    assert np.mean(kept) / 600 == pytest.approx(0.7, abs=0.025)
    everything = wirings.small_world(300, 4, 1.0, rng=0)
    assert is_simple(everything)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        wirings.small_world(10, 3, 0.1)
    assert "3" in caught.value.render()


GENERATORS: dict[str, Callable[[object], sf.Wiring]] = {
    "erdos_renyi": lambda rng: wirings.erdos_renyi(50, 0.1, rng=rng),
    "fixed_arcs": lambda rng: wirings.fixed_arcs(50, 100, rng=rng),
    "fixed_fan_in": lambda rng: wirings.fixed_fan_in((30, 50), 4, rng=rng),
    "lognormal": lambda rng: wirings.lognormal_fan_in(50, 5, rng=rng),
    "configuration": lambda rng: wirings.configuration([3] * 30, simple=True, rng=rng),
    "biregular": lambda rng: wirings.biregular((20, 30), 4, rng=rng),
    "regular": lambda rng: wirings.random_regular(30, 4, rng=rng),
    "tree": lambda rng: wirings.random_tree(50, rng=rng),
    "recursive": lambda rng: wirings.random_tree(50, "recursive", rng=rng),
    "attachment": lambda rng: wirings.preferential_attachment(50, 2, rng=rng),
    "small world": lambda rng: wirings.small_world(50, 4, 0.3, rng=rng),
    "rewiring": lambda rng: wirings.degree_preserving_rewiring(wirings.fixed_arcs(50, 150, rng=0), rng=rng),
    "matched": lambda rng: wirings.density_matched(wirings.fixed_arcs(50, 150, rng=0), rng=rng),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_one_rng_one_wiring(name: str) -> None:
    make = GENERATORS[name]
    assert arcs_of(make(5)) == arcs_of(make(5))
    assert arcs_of(make(np.random.default_rng(5))) == arcs_of(make(np.random.default_rng(5)))
    assert arcs_of(make(5)) != arcs_of(make(6))
    assert arcs_of(make(None)) != arcs_of(make(None))
    one = np.random.default_rng(5)
    assert arcs_of(make(one)) != arcs_of(make(one)), "a generator moves on"


# ---------------------------------------------------------------- null models


def test_rewiring_keeps_degrees_and_out_strengths() -> None:
    rng = np.random.default_rng(6)
    base = wirings.fixed_arcs(40, 200, rng=1)
    wiring = sf.Wiring.from_edges(base.senders, base.receivers, rng.normal(size=200), units=40)
    other = wirings.degree_preserving_rewiring(wiring, rng=0)
    assert is_simple(other)
    assert (other.in_degrees == wiring.in_degrees).all()
    assert (other.out_degrees == wiring.out_degrees).all()
    assert np.allclose(other.to_scipy().sum(axis=1), wiring.to_scipy().sum(axis=1))
    assert sorted(other.weights.tolist()) == sorted(wiring.weights.tolist())
    common = len(set(arcs_of(other)) & set(arcs_of(wiring)))
    assert common < 70, "little is left of the old places"
    ring = wirings.small_world(40, 4, 0.0)
    mixed = wirings.degree_preserving_rewiring(ring, rng=0)
    assert is_symmetric(mixed)
    assert is_simple(mixed)
    assert (mixed.out_degrees == 4).all()
    layers = wirings.fixed_fan_in((30, 20), 5, rng=0)
    swapped = wirings.degree_preserving_rewiring(layers, rng=0)
    assert swapped.shape == (30, 20)
    assert (swapped.in_degrees == 5).all()
    assert (swapped.out_degrees == layers.out_degrees).all()
    assert len(set(arcs_of(swapped))) == 100
    assert arcs_of(wirings.degree_preserving_rewiring(wiring, 0.0, rng=0)) == arcs_of(wiring)


def test_rewiring_ends_uniform() -> None:
    """A bipartite wiring with fan-in 1, 1, 2 and fan-out 2, 1, 1: all five arrangements, by enumeration."""
    cells = list(itertools.product(range(3), range(3)))
    all_of_them = []
    for chosen in itertools.combinations(cells, 4):
        rows = np.bincount([u for u, _ in chosen], minlength=3).tolist()
        columns = np.bincount([v for _, v in chosen], minlength=3).tolist()
        if rows == [2, 1, 1] and columns == [1, 1, 2]:
            all_of_them.append(chosen)
    start = all_of_them[0]
    wiring = sf.Wiring.from_edges([u for u, _ in start], [v for _, v in start], shape=(3, 3))
    seen = Counter(
        tuple(sorted(arcs_of(wirings.degree_preserving_rewiring(wiring, 20, rng=seed)))) for seed in range(3000)
    )
    assert set(seen) == set(all_of_them)
    assert chi_square(list(seen.values()), [3000 / len(all_of_them)] * len(all_of_them)) > 1e-5


def test_density_matched_and_shuffled() -> None:
    rng = np.random.default_rng(7)
    pairs = rng.integers(0, 25, (120, 2))
    base = sf.Wiring.from_edges(pairs[:, 0], pairs[:, 1], rng.normal(size=120), units=25)
    other = wirings.density_matched(base, rng=0)
    assert other.arcs == 120
    assert is_simple(other)
    assert sorted(other.weights.tolist()) == sorted(base.weights.tolist())
    shuffled = wirings.shuffle_weights(base, rng=0)
    assert arcs_of(shuffled) == arcs_of(base)
    assert sorted(shuffled.weights.tolist()) == sorted(base.weights.tolist())
    assert (shuffled.weights != base.weights).sum() > 100
    edges = wirings.small_world(20, 4, 0.2, rng=0)
    weighted = sf.Wiring.from_edges(*np.array(edges_of(edges)).T, rng.normal(size=40), directed=False)
    both = wirings.shuffle_weights(weighted, rng=0).to_scipy().toarray()
    assert np.allclose(both, both.T)
    assert sorted(both[both != 0].tolist()) == sorted(weighted.weights.tolist())


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: sf.Wiring.from_edges([0, -1], [1, 2]), ["-1", "edge 1"]),
        (lambda: sf.Wiring.from_edges([0, 1], [1, 2.5]), ["2.5", "edge 1"]),
        (lambda: sf.Wiring.from_edges([0, 9], [1, 2], units=4), ["9", "edge 1"]),
        (lambda: sf.Wiring.from_edges([0, 1, 2], [1, 2]), ["3", "2"]),
        (lambda: sf.Wiring.from_edges([0, 1], [1, 2], [1.0, math.nan]), ["nan", "edge 1"]),
        (lambda: sf.Wiring.from_edges([0, 1], [1, 2], [1.0]), ["1", "2"]),
        (lambda: sf.Wiring.from_edges([0, math.nan], [1, 2]), ["nan"]),
        (lambda: sf.Wiring.from_edges([], []), ["0 edges"]),
        (lambda: sf.Wiring.from_edges([], [], units=0), ["0"]),
        (lambda: sf.Wiring.from_edges([0], [1], labels=["a"]), ["1", "2"]),
        (lambda: wirings.erdos_renyi(5, 1.5), ["1.5"]),
        (lambda: wirings.erdos_renyi(5, math.nan), ["nan"]),
        (lambda: wirings.erdos_renyi(0, 0.5), ["0"]),
        (lambda: wirings.fixed_fan_in((3, 4), 4), ["4"]),
        (lambda: wirings.small_world(10, 4, 1.5), ["1.5"]),
        (lambda: wirings.preferential_attachment(3, 3), ["3"]),
        (lambda: wirings.from_frame(pd.DataFrame({"a": [1, 2]})), ["a"]),
        (lambda: wirings.from_frame(pd.DataFrame({"a": [1, 2], "b": [2, None]})), ["b"]),
        (lambda: wirings.from_frame(pd.DataFrame({"a": [], "b": []})), ["row"]),
        (lambda: wirings.from_frame(pd.DataFrame({"a": [1], "b": [2]}), weight="w"), ["w"]),
        (lambda: wirings.from_graph({"a": 1}), ["dict"]),
    ],
)
def test_what_is_wrong_is_named(call: Callable[[], object], names: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    text = caught.value.render()
    for name in names:
        assert name in text, text


def test_a_traceback_names_the_offending_entry() -> None:
    """Who works in Python sees the traceback, not the rendered lines of the command."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sf.Wiring.from_edges([0, -7], [1, 2])
    assert "-7" in "".join(traceback.format_exception_only(caught.value))


def test_files_that_are_no_edge_lists(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("sender\n1\n2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "hole.csv").write_text("a,b\n1,2\n3,\n")
    (tmp_path / "edges.txt").write_text("1 2\n")
    (tmp_path / "broken.parquet").write_text("PAR1 and no more")
    for name, says in (
        ("one.csv", "column"),
        ("empty.csv", "empty"),
        ("header.csv", "header.csv"),
        ("hole.csv", "row"),
        ("edges.txt", "txt"),
        ("broken.parquet", "broken"),
        ("missing.csv", "missing.csv"),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            wirings.read_edges(tmp_path / name)
        assert says in caught.value.render(), caught.value.render()
