"""Oracles: plain Python with fractions, enumeration of capacities by it, the law of fibre bundles and its limit."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades import load_redistribution
from sparsefire.cascades.exact.closed_forms import bundle_law
from sparsefire.cascades.load_redistribution import LoadRedistribution
from sparsefire.randomness import stream
from sparsefire.wiring.graph import Wiring

UNIFORM = stats.uniform()
BUNDLE = [0.37714952, 0.33366586, 0.17045456, 0.06899445, 0.02492823, 0.00371161, 0.02109577]


def complete(units: int) -> Wiring:
    return Wiring.from_edges(*np.array(list(itertools.permutations(range(units), 2))).T)


def random_graph(units: int, edges: int, name: str = "graph") -> Wiring:
    draws = stream(3, name)
    return Wiring.from_edges(draws.integers(0, units, edges), draws.integers(0, units, edges), units=units)


def by_hand(
    wiring: Wiring, load: Any, capacity: Any, sources: Any = (), sharing: str = "local"
) -> tuple[dict[int, int], Fraction]:
    """Return the step in which each broken unit broke, and the load that was lost, by exact arithmetic."""
    n = wiring.units
    receivers: list[list[int]] = [[] for _ in range(n)]
    for u, v in zip(wiring.senders.tolist(), wiring.receivers.tolist(), strict=True):
        receivers[u].append(v)
    carried = [Fraction(x) for x in load]
    total, lost = sum(carried), Fraction(0)
    broke = {u: 0 for u in range(n) if u in sources or carried[u] >= capacity[u]}
    now, step = set(broke), 0
    while now:
        share = [Fraction(0)] * n
        for u in now:
            takers = [v for v in (receivers[u] if sharing == "local" else range(n)) if v not in broke]
            for v in takers:
                share[v] += carried[u] / len(takers)
            lost += 0 if takers else carried[u]
            carried[u] = Fraction(0)
        carried = [a + b for a, b in zip(carried, share, strict=True)]
        assert sum(carried) + lost == total
        step += 1
        now = {u for u in range(n) if u not in broke and carried[u] >= capacity[u]}
        broke |= dict.fromkeys(now, step)
    return broke, lost


def agrees(counts: np.ndarray, law: np.ndarray) -> bool:
    runs = counts.sum()
    return bool(np.all(np.abs(counts / runs - law) < 4 * np.sqrt(law * (1 - law) / runs) + 1e-12))


@st.composite
def cascades(draw: Any) -> tuple[Wiring, list[int], list[int], list[int]]:
    n = draw(st.integers(1, 8))
    ends = st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=24)
    tails, heads = np.array(draw(ends), dtype=np.int64).reshape(-1, 2).T
    numbers = st.lists(st.integers(0, 6), min_size=n, max_size=n)
    capacity = st.lists(st.integers(0, 14), min_size=n, max_size=n)
    sources = st.lists(st.integers(0, n - 1), max_size=2, unique=True)
    return Wiring.from_edges(tails, heads, units=n), draw(numbers), draw(capacity), draw(sources)


@pytest.mark.parametrize("sharing", ["local", "global"])
@settings(max_examples=150, deadline=None)
@given(cascades())
def test_every_unit_breaks_when_it_does_by_hand(sharing: str, case: Any) -> None:
    wiring, load, capacity, sources = case
    broke, _ = by_hand(wiring, load, capacity, sources, sharing)
    model = LoadRedistribution(wiring, load, capacity, sharing)
    found = model.sample(sources, runs=2, rng=0, who=True)
    assert found.sizes.tolist() == [len(broke)] * 2
    assert found.durations.tolist() == [max(broke.values(), default=0)] * 2
    first = found.activations.run == 0
    assert dict(zip(found.activations.unit[first].tolist(), found.activations.step[first].tolist())) == broke  # noqa: B905
    law = model.size_distribution(sources)
    assert law.method == "deterministic"
    assert law.pmf[len(broke)] == 1
    expected = np.isin(np.arange(wiring.units), list(broke)).astype(float)
    np.testing.assert_array_equal(model.marginals(sources), expected)
    np.testing.assert_array_equal(model.marginals_given_size(len(broke), sources), expected)


def test_the_bundle_has_its_law() -> None:
    for wiring, sharing in ((random_graph(6, 3), "global"), (complete(6), "global"), (complete(6), "local")):
        model = LoadRedistribution(wiring, 0.15, UNIFORM, sharing)
        for method in ("auto", "exact"):
            law = model.size_distribution(method=method)
            assert law.method == "fibre bundle, equal sharing"
            np.testing.assert_allclose(law.pmf, BUNDLE, atol=1e-8)
            np.testing.assert_allclose(law.pmf, bundle_law(6, 0.15, UNIFORM.cdf).pmf, rtol=1e-9)
        assert agrees(np.bincount(model.sample(runs=40_000, rng=1).sizes, minlength=7), law.pmf)
        np.testing.assert_allclose(model.marginals(), law.mean() / 6, rtol=1e-12)


@pytest.mark.parametrize("sharing", ["local", "global"])
@pytest.mark.parametrize("sources", [[0.2] * 5, [0.3, 1.0, 0.3, 0.3, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0]], ids=str)
def test_laws_are_those_of_all_capacities_and_sources(sharing: str, sources: list[float]) -> None:
    values, chances = [2, 3, 5], [0.5, 0.2, 0.3]
    law = stats.rv_discrete(values=(values, chances))()
    wiring = random_graph(5, 11)
    expected, marginals = np.zeros(6), np.zeros(5)
    for picks in itertools.product(range(3), repeat=5):
        for on in itertools.product(*[(False, True) if 0 < p < 1 else (p == 1,) for p in sources]):
            weight = np.prod([chances[k] for k in picks])
            weight *= np.prod([p if i else 1 - p for i, p in zip(on, sources, strict=True)])
            broke, _ = by_hand(wiring, [1] * 5, [values[k] for k in picks], np.flatnonzero(on), sharing)
            expected[len(broke)] += weight
            marginals[list(broke)] += weight
    model = LoadRedistribution(wiring, 1.0, law, sharing)
    found = model.size_distribution(sources, runs=60_000, rng=2)
    if sharing == "global":
        assert found.samples is None
        np.testing.assert_allclose(found.pmf, expected, atol=1e-14)
        np.testing.assert_allclose(model.marginals(sources, "exact"), marginals, atol=1e-14)
    else:
        assert found.method == "monte-carlo"
        with pytest.raises(UserError, match="no exact"):
            model.size_distribution(sources, "exact")
        with pytest.raises(UserError, match="no exact"):
            model.marginals(sources, "exact")
    sizes = model.sample(sources, runs=60_000, rng=3).sizes
    assert agrees(np.bincount(sizes, minlength=6), expected)
    seen = model.marginals(sources, "monte-carlo", runs=60_000, rng=4)
    assert np.all(np.abs(seen - marginals) < 4 * np.sqrt(marginals * (1 - marginals) / 60_000) + 1e-12)


def test_given_the_size_units_that_are_alike_share_it() -> None:
    model = LoadRedistribution(complete(6), 0.15, UNIFORM, "global")
    found = model.marginals_given_size(3, [2])
    assert (found.method, found.samples) == ("fibre bundle, equal sharing", None)
    np.testing.assert_allclose(found, [0.4, 0.4, 1, 0.4, 0.4, 0.4])
    sampled = model.marginals_given_size(3, [2], "monte-carlo", runs=40_000, rng=0)
    assert np.all(np.abs(sampled - np.asarray(found)) < 4 * np.sqrt(0.24 / sampled.samples) + 1e-12)
    with pytest.raises(UserError, match="this size is impossible"):
        model.marginals_given_size(0, [2])


def test_on_a_complete_graph_neighbours_are_all() -> None:
    for load, capacity in ((0.2, UNIFORM), (np.linspace(0.1, 0.3, 12), UNIFORM), (1.0, np.linspace(0.8, 3.0, 12))):
        local, everywhere = (LoadRedistribution(complete(12), load, capacity, s) for s in ("local", "global"))
        start = np.linspace(0.0, 0.2, 12)
        one, two = (model.sample(start, runs=5000, rng=7) for model in (local, everywhere))
        np.testing.assert_array_equal(one.sizes, two.sizes)
        np.testing.assert_array_equal(one.durations, two.durations)
        assert one.durations.max() > 1
        np.testing.assert_array_equal(local.marginals(start, "mean-field"), everywhere.marginals(start, "mean-field"))


@pytest.mark.parametrize(
    ("load", "holds", "within"), [(0.1, 0.887298335, 1e-8), (0.2, 0.723606798, 1e-8), (0.24, 0.6, 1e-8), (0.26, 0, 0)]
)
def test_many_fibres_have_a_critical_load(load: float, holds: float, within: float) -> None:
    units = 20_000
    model = LoadRedistribution(Wiring.from_edges([0], [1], units=units), load, UNIFORM, "global")
    assert np.abs(1 - np.asarray(model.marginals(method="mean-field")) - holds).max() <= within
    sizes = model.sample(runs=30, rng=0).sizes
    assert abs(sizes.mean() / units - (1 - holds)) < 4 * max(sizes.std() / units / np.sqrt(30), 1 / units) + 2e-4


def test_the_limit_knows_units_that_differ() -> None:
    draws = stream(1, "units")
    n = 4000
    load, start = draws.choice([0.1, 0.3], n), draws.choice([0.0, 0.05], n)
    wiring = Wiring.from_edges([0], [1], units=n)
    given = draws.choice([0.31, 0.4, 0.5, 1.0, 2.0], n, p=[0.1, 0.2, 0.2, 0.2, 0.3])
    for capacity in (stats.norm(1.0, 0.3), given, stats.norm(draws.choice([0.8, 1.2], n), 0.3)):
        model = LoadRedistribution(wiring, load, capacity, "global")
        sizes = model.sample(start, runs=50, rng=0).sizes
        limit = model.size_distribution(start, "mean-field")
        assert limit.method == "mean-field"
        assert 0.02 * n < limit.mean() < 0.9 * n
        assert abs(sizes.mean() - limit.mean()) < 4 * sizes.std() / np.sqrt(50) + 0.002 * n


@pytest.mark.parametrize("sharing", ["local", "global"])
def test_no_load_is_lost_before_the_last_unit(sharing: str) -> None:
    n = 60
    ring = Wiring.from_edges(np.arange(n), (np.arange(n) + 1) % n, directed=False)
    load = stream(0, "load").random(n)
    for beside, size in ((1 - 1e-9, n), (1 + 1e-9, n - 1)):
        capacity = np.where(np.arange(n) == 17, load.sum() * beside, load * 1.001)
        found = LoadRedistribution(ring, load, capacity, sharing).sample([40], runs=1)
        assert found.sizes.tolist() == [size]


@settings(max_examples=150, deadline=None)
@given(cascades(), st.data())
def test_with_global_sharing_more_never_breaks_less(case: Any, data: st.DataObject) -> None:
    wiring, load, capacity, sources = case
    more = [x + data.draw(st.integers(0, 2)) for x in load]
    less = [c - data.draw(st.integers(0, 2)) for c in capacity]
    before = LoadRedistribution(wiring, load, capacity, "global")
    after = LoadRedistribution(wiring, more, less, "global")
    everyone = sorted({*sources, data.draw(st.integers(0, wiring.units - 1))})
    assert np.all(np.asarray(before.marginals(sources)) <= np.asarray(after.marginals(everyone)))


def test_with_local_sharing_more_may_break_less() -> None:
    chain = Wiring.from_edges([0, 1], [1, 2])
    sizes = [
        LoadRedistribution(chain, load, [4, 2, 4]).sample(sources, runs=1).sizes[0]
        for load, sources in (([4, 1, 0], None), ([4, 2, 0], None), ([8, 2, 0], None), ([4, 1, 0], [1]))
    ]
    assert sizes == [3, 2, 2, 2]


@pytest.mark.parametrize("sharing", ["local", "global"])
@pytest.mark.parametrize("capacity", ["law", "given"])
def test_neither_workers_nor_blocks_change_a_run(sharing: str, capacity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 300
    graph = random_graph(n, 1500)
    law = UNIFORM if capacity == "law" else UNIFORM.ppf(stream(2, "capacity").random(n))
    model = LoadRedistribution(graph, 0.18, law, sharing)
    runs = 1001
    start = np.full(n, 0.01)
    one = model.sample(start, runs, rng=5, who=True)
    monkeypatch.setattr(load_redistribution, "CELLS", 7 * n)
    two = model.sample(start, runs, rng=5, workers=2, who=True)
    for name in ("sizes", "durations"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for name in ("run", "unit", "by", "step"):
        np.testing.assert_array_equal(getattr(one.activations, name), getattr(two.activations, name))
    np.testing.assert_array_equal(model.sample(start, 10, rng=5).sizes, one.sizes[:10])
    assert not np.array_equal(model.sample(start, runs, rng=6).sizes, one.sizes)
    counts = np.bincount(one.activations.unit, minlength=n)
    np.testing.assert_array_equal(counts / runs, model.marginals(start, "monte-carlo", runs=runs, rng=5))


@pytest.mark.parametrize("sharing", ["local", "global"])
def test_who_broke_whom(sharing: str) -> None:
    graph = random_graph(200, 900)
    arcs = set(zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True))
    found = LoadRedistribution(graph, 0.2, UNIFORM, sharing).sample([3], runs=20, rng=1, who=True)
    acts = found.activations
    assert acts.step.max() > 2
    for r in range(20):
        mine = acts.run == r
        unit, by, step = acts.unit[mine], acts.by[mine], acts.step[mine]
        assert len(set(unit.tolist())) == found.sizes[r] == len(unit)
        assert step.max() == found.durations[r]
        assert set(step.tolist()) == set(range(step.max() + 1))
        broke = dict(zip(unit.tolist(), step.tolist(), strict=True))
        assert broke[3] == 0
        if sharing == "global":
            assert np.all(by == -1)
            continue
        np.testing.assert_array_equal(by == -1, step == 0)
        for v, u, t in zip(unit.tolist(), by.tolist(), step.tolist(), strict=True):
            assert t == 0 or ((u, v) in arcs and broke[u] == t - 1)


def test_the_neighbour_that_tips_a_unit_is_named() -> None:
    star = Wiring.from_edges([0, 1, 2], [3, 3, 3])
    acts = LoadRedistribution(star, [1, 1, 1, 0], [1, 1, 1, 2]).sample(runs=1, who=True).activations
    assert (acts.unit.tolist(), acts.by.tolist(), acts.step.tolist()) == ([0, 1, 2, 3], [-1, -1, -1, 1], [0, 0, 0, 1])


def test_tenths_add_up() -> None:
    ring = Wiring.from_edges(np.arange(10), (np.arange(10) + 1) % 10)
    model = LoadRedistribution(ring, 0.1, np.append(np.arange(2, 11) / 10, 9), "local")
    assert model.sample([9], runs=1).sizes[0] == 10
    for capacity, size in ((0.2, 10), (0.2 + 1e-9, 5)):
        bundle = LoadRedistribution(ring, 0.1, capacity, "global")
        start = np.arange(10) < 5
        assert bundle.sample(start, runs=1).sizes[0] == size
        assert bundle.size_distribution(np.where(start, 1.0, 0.0)).pmf[size] == 1


@pytest.mark.parametrize("sharing", ["local", "global"])
def test_edges_of_what_can_be_asked(sharing: str) -> None:
    graph = random_graph(7, 20)
    assert LoadRedistribution(graph, 1, np.inf, sharing).sample([1, 2], runs=1).sizes.tolist() == [2]
    assert LoadRedistribution(graph, 0, 0, sharing).sample(runs=1).sizes.tolist() == [7]
    assert LoadRedistribution(graph, 0, -np.inf, sharing).size_distribution().pmf.tolist() == [0.0] * 7 + [1.0]
    assert LoadRedistribution(graph, 1, 2, sharing).sample(runs=3).durations.tolist() == [0, 0, 0]
    sure = LoadRedistribution(graph, 0.1, UNIFORM, sharing).size_distribution(np.ones(7), runs=10)
    assert sure.pmf.tolist() == [0.0] * 7 + [1.0]
    one = LoadRedistribution(Wiring.from_edges([], [], units=1), 0.25, UNIFORM, sharing)
    np.testing.assert_allclose(one.size_distribution([0.5]).pmf, [0.375, 0.625])


def test_a_law_for_each_unit() -> None:
    laws = stats.uniform(np.linspace(0, 0.9, 6), 0.1)
    model = LoadRedistribution(complete(6), 0.3, laws, "global")
    found = model.size_distribution(runs=20_000, rng=0)
    assert found.method == "monte-carlo"
    sizes = []
    for draw in stream(0, "laws").random((2000, 6)):
        sizes.append(len(by_hand(complete(6), [0.3] * 6, laws.ppf(draw).tolist(), (), "global")[0]))
    error = np.hypot(np.std(sizes) / np.sqrt(2000), np.sqrt(found.variance() / 20_000))
    assert abs(found.mean() - np.mean(sizes)) < 4 * error


PATH = Wiring.from_edges([0, 1, 2], [1, 2, 3])


class NoInverse:
    cdf = UNIFORM.cdf


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf, [1, 1, 1], [1, 1, 1, -1], [[1, 1, 1, 1]], "a", [1e308] * 4])
def test_what_is_no_load_is_refused(wrong: object) -> None:
    with pytest.raises(UserError):
        LoadRedistribution(PATH, wrong, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.nan, [1, 1, np.nan, 1], [1, 2, 3], [[1, 1, 1, 1]], "strong", NoInverse(), UNIFORM.cdf, stats.norm(0, -1),
        stats.uniform([0.1, 0.2, 0.3]), None,
    ],
)  # fmt: skip
def test_what_is_no_capacity_is_refused(wrong: object) -> None:
    with pytest.raises(UserError):
        LoadRedistribution(PATH, 1.0, wrong)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="sharing"):
        LoadRedistribution(PATH, 1.0, 1.0, "everywhere")
    model = LoadRedistribution(PATH, 0.2, UNIFORM)
    for wrong in ([4], [-1], [0, 0], [0.5], [0.1, 0.2, 0.3, np.nan]):
        with pytest.raises(UserError):
            model.sample(wrong, 10)
    for method in ("tree", "tree-approximation", "exactly"):
        for ask in (model.size_distribution, model.marginals):
            with pytest.raises(UserError):
                ask(method=method)
    for ask in (model.size_distribution, model.marginals):
        with pytest.raises(UserError, match="no mean field"):
            ask(method="mean-field")
