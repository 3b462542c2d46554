"""Oracles: all sets of sources priced by all patterns of open arcs, greedy by hand, the paper's own bounds."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades.exact.small import enumerate_independent
from sparsefire.cascades.exact.tree import tree_law
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.influence._kernels import cover
from sparsefire.cascades.influence.choose import FACTOR, _limits, maximise, schedule
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.cascades.threshold import Threshold
from sparsefire.randomness import stream
from sparsefire.wiring.generators import random_tree
from sparsefire.wiring.graph import Wiring


class Spreads:
    """Exact spread of every set of sources, from the units that each unit reaches in each pattern of open arcs."""

    def __init__(self, model: IndependentCascade | LinearThreshold) -> None:
        wiring, units = model.wiring, model.wiring.units
        senders, receivers = wiring.senders, wiring.receivers
        if isinstance(model, LinearThreshold):
            options = []
            for v in range(units):
                arcs = np.flatnonzero(receivers == v)
                options.append([(int(e), float(model.weights[e])) for e in arcs])
                options[-1].append((-1, 1 - float(model.weights[arcs].sum())))
            patterns = list(itertools.product(*options))
            self.chance = np.array([np.prod([weight for _, weight in pattern]) for pattern in patterns])
            is_open = np.zeros((len(patterns), wiring.arcs), bool)
            for row, pattern in zip(is_open, patterns, strict=True):
                row[[e for e, _ in pattern if e >= 0]] = True
        else:
            p = wiring.per_arc(model.probability)
            is_open = np.array(list(itertools.product([False, True], repeat=wiring.arcs)))
            self.chance = np.prod(np.where(is_open, p, 1 - p), axis=1)
        self.reached = np.repeat(np.eye(units, dtype=bool)[None], len(is_open), axis=0)
        for _ in range(units):
            for e, (u, v) in enumerate(zip(senders, receivers, strict=True)):
                self.reached[:, :, v] |= self.reached[:, :, u] & is_open[:, None, e]

    def __call__(self, sources: Any) -> float:
        return float(self.chance @ self.reached[:, list(sources)].any(axis=1).sum(axis=1))

    def best(self, k: int, among: Any = range(8)) -> float:
        return max(self(sources) for sources in itertools.combinations(among, k))


def eight(senders: Any, receivers: Any) -> Wiring:
    return Wiring.from_edges(senders, receivers, units=8)


def graphs() -> dict[str, IndependentCascade]:
    draws, known = stream(12, "graphs"), list(itertools.permutations(range(4), 2))
    arcs: dict[str, tuple[Any, Any, Any]] = {
        "path": (range(7), range(1, 8), 0.6),
        "ring": (range(8), [*range(1, 8), 0], 0.5),
        "out-star": ([0] * 7, range(1, 8), 0.3),
        "in-star": (range(1, 8), [0] * 7, 0.9),
        "two stars": ([0, 0, 0, 4, 4, 4], [1, 2, 3, 5, 6, 7], 0.5),
        "overlapping stars": ([0] * 4 + [1] * 4 + [2] * 3, [3, 4, 5, 6, 3, 4, 5, 7, 6, 7, 3], 0.4),
        "both ways": ([0, 1, 2, 3, 5, 1, 2, 3, 4, 6], [1, 2, 3, 4, 6, 0, 1, 2, 3, 5], 0.5),
        "four that know each other": ([u for u, _ in known], [v for _, v in known], 0.2),
        "two layers": (np.repeat([0, 1], 6), np.tile(np.arange(2, 8), 2), np.linspace(0, 1, 12)),
        "certain": ([0, 1, 2, 4, 5], [1, 2, 3, 5, 6], 1.0),
        "nothing moves": ([0, 1], [1, 2], 0.0),
    }
    for number in range(4):
        chances = draws.random(12) if number % 2 else 0.35
        arcs[f"random {number}"] = (draws.integers(0, 8, 12), draws.integers(0, 8, 12), chances)
    return {name: IndependentCascade(eight(tails, heads), p) for name, (tails, heads, p) in arcs.items()}


GRAPHS = graphs()


@pytest.mark.parametrize("name", GRAPHS)
def test_the_choice_reaches_its_factor_of_the_best(name: str) -> None:
    model = GRAPHS[name]
    exact = Spreads(model)
    check = enumerate_independent(model.wiring, model.probability, np.isin(np.arange(8), [1, 4])).mean()
    assert abs(exact([1, 4]) - check) < 1e-12
    for k in (1, 2, 3):
        found = maximise(model, k, 0.1, delta=0.01, rng=k)
        reached, best = exact(found.sources), exact.best(k)
        assert len(set(found.sources.tolist())) == k
        assert reached >= 0.632 * best
        assert FACTOR - 0.1 <= found.guarantee <= reached / best + 1e-12
        assert found.interval[0] <= reached + 1e-12
        assert reached <= found.interval[1] + 1e-12
        assert best <= found.best + 1e-12
        greedy = maximise(model, k, spread=exact)
        assert abs(exact(greedy.sources) - greedy.spread) < 1e-12
        assert greedy.spread >= greedy.guarantee * best - 1e-12
        assert greedy.guarantee == 1 - (1 - 1 / k) ** k


@pytest.mark.parametrize("influence", [None, 0.25])
def test_linear_thresholds(influence: float | None) -> None:
    draws = stream(6, "listen")
    model = LinearThreshold(eight(draws.integers(0, 8, 12), np.arange(12) % 8), influence)
    exact = Spreads(model)
    for k in (1, 2, 4):
        found = maximise(model, k, delta=0.01, rng=3)
        reached, best = exact(found.sources), exact.best(k)
        assert found.method == "reverse-reachable"
        assert reached >= 0.632 * best
        assert found.guarantee <= reached / best + 1e-12
        assert found.interval[0] <= reached <= found.interval[1]


def test_what_is_said_holds_as_often_as_promised() -> None:
    model, k, repeats = GRAPHS["random 1"], 2, 200
    exact = Spreads(model)
    best = exact.best(k)
    wrong, missed = 0, 0
    for rng in range(repeats):
        found = maximise(model, k, 0.05, delta=0.2, runs=60, rng=rng)
        reached = exact(found.sources)
        wrong += found.guarantee > reached / best or best > found.best
        missed += not found.interval[0] <= reached <= found.interval[1]
    assert wrong <= 0.2 * repeats + 4 * math.sqrt(0.2 * 0.8 * repeats)
    assert missed <= 0.05 * repeats + 4 * math.sqrt(0.05 * 0.95 * repeats)


def test_the_half_that_chose_does_not_measure() -> None:
    silent = IndependentCascade(Wiring.from_edges([0], [1], units=50), 0.0)  # any five sources reach five units
    runs, repeats = 60, 300
    found = [maximise(silent, 5, runs=runs, rng=rng) for rng in range(repeats)]
    average = np.mean([one.gains.sum() for one in found])  # the choosing half would say about ten
    assert abs(average - 5) < 4 * 50 * math.sqrt(0.1 * 0.9 / runs / repeats)
    assert all(one.spread >= 5 and one.guarantee <= 1 for one in found)


def test_limits_are_tighter_than_those_of_the_paper() -> None:
    for samples in (200, 5000):
        for hits in (10, samples // 7, samples - 1):
            for tail in (0.05, 1e-6):
                low, high = _limits(hits, samples, tail)
                a = math.log(1 / tail)
                below = (math.sqrt(hits + 2 * a / 9) - math.sqrt(a / 2)) ** 2 - a / 18 if hits > 5 * a / 18 else 0
                above = (math.sqrt(hits + a / 2) + math.sqrt(a / 2)) ** 2
                assert below / samples <= low < hits / samples < high <= above / samples
                assert stats.binom.sf(hits - 1, samples, low) == pytest.approx(tail, rel=1e-5)
                assert stats.binom.cdf(hits, samples, high) == pytest.approx(tail, rel=1e-5)


def test_rounds_end_where_greedy_needs_no_measuring() -> None:
    n, k, epsilon, delta = 500, 7, 0.2, 0.01
    a = math.sqrt(math.log(6 / delta))
    b = math.sqrt(FACTOR * (math.log(math.comb(n, k)) + math.log(6 / delta)))
    sizes = schedule(n, n, k, epsilon, delta)
    assert sizes[-1] == math.ceil(2 * n * (FACTOR * a + b) ** 2 / (k * epsilon**2))
    assert sizes[0] == math.ceil((FACTOR * a + b) ** 2 / 2)
    assert all(later == 2 * size for size, later in itertools.pairwise(sizes[:-1]))
    assert sizes[-2] < sizes[-1] <= 2 * sizes[-2]
    assert schedule(n, 20, k, epsilon, delta)[-1] < sizes[-1]
    assert schedule(1, 1, 1, 0.6, 0.5)[-1] >= 1


@settings(max_examples=100, deadline=None)
@given(data=st.data(), units=st.integers(2, 7), sets=st.integers(1, 12))
def test_cover_is_greedy_and_its_bound_a_bound(data: st.DataObject, units: int, sets: int) -> None:
    rows = data.draw(st.lists(st.sets(st.integers(0, units - 1), min_size=1).map(sorted), min_size=sets, max_size=sets))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=units, max_size=units)))
    allowed[data.draw(st.integers(0, units - 1))] = True
    k = data.draw(st.integers(1, int(allowed.sum())))
    ends, members = np.cumsum([len(row) for row in rows]), np.concatenate(rows).astype(np.int32)
    chosen, gains, bound = cover(ends, members, allowed, k)

    def met(sources: Any) -> int:
        return sum(not set(row).isdisjoint(sources) for row in rows)

    picked: list[int] = []
    for unit, gain in zip(chosen.tolist(), gains.tolist(), strict=True):
        free = [u for u in range(units) if allowed[u] and u not in picked]
        values = [met([*picked, u]) - met(picked) for u in free]
        assert (unit, gain) == (free[int(np.argmax(values))], max(values))
        picked.append(unit)
    most = max(met(sources) for sources in itertools.combinations(np.flatnonzero(allowed).tolist(), k))
    assert most <= bound <= sets
    assert met(picked) >= (1 - (1 - 1 / k) ** k) * bound - 1e-9


def test_a_large_tree() -> None:
    tree = random_tree(400, directed=False, rng=1)
    found = maximise(IndependentCascade(tree, 0.3), 10, rng=2)
    exact = tree_law(tree, 0.3, np.isin(np.arange(400), found.sources).astype(float)).mean()
    assert found.interval[0] <= exact <= found.interval[1]
    assert found.guarantee >= FACTOR - 0.1
    assert found.guarantee * found.best <= exact
    np.testing.assert_allclose(found.gains.sum(), found.spread)
    closer = maximise(IndependentCascade(tree, 0.3), 10, 0.02, rng=2)
    assert closer.guarantee >= FACTOR - 0.02
    assert closer.samples > maximise(IndependentCascade(tree, 0.3), 10, 0.6, rng=2).samples


def test_workers_change_nothing() -> None:
    draws = stream(4, "graph")
    wiring = Wiring.from_edges(draws.integers(0, 300, 900), draws.integers(0, 300, 900), units=300)
    for model in (IndependentCascade(wiring, 0.2), LinearThreshold(wiring), Threshold(wiring, stats.uniform(0.2, 1))):
        one, two = (maximise(model, 3, runs=200, rng=1, workers=workers, candidates=range(40)) for workers in (1, 2))
        np.testing.assert_array_equal(one.sources, two.sources)
        np.testing.assert_array_equal(one.gains, two.gains)
        assert (one.spread, one.interval, one.guarantee, one.samples) == (
            two.spread, two.interval, two.guarantee, two.samples
        )  # fmt: skip
    other = maximise(IndependentCascade(wiring, 0.2), 3, rng=2)
    assert other.spread != maximise(IndependentCascade(wiring, 0.2), 3, rng=1).spread


def test_only_candidates_are_chosen() -> None:
    model = GRAPHS["overlapping stars"]
    exact = Spreads(model)
    mask = np.isin(np.arange(8), [2, 5, 7])
    for among in ([7, 2, 5], mask):
        found = maximise(model, 2, candidates=among, delta=0.01, rng=0)
        assert set(found.sources.tolist()) <= {2, 5, 7}
        assert exact(found.sources) >= 0.632 * exact.best(2, [2, 5, 7])
        assert maximise(model, 2, candidates=among, spread=exact).sources.tolist() == [2, 5]
    assert sorted(maximise(model, 3, candidates=mask, rng=0).sources.tolist()) == [2, 5, 7]


def test_all_units_reach_all_units() -> None:
    found = maximise(GRAPHS["ring"], 8, rng=0)
    assert sorted(found.sources.tolist()) == list(range(8))
    assert found.spread == found.best == 8
    assert found.guarantee == 1
    assert maximise(IndependentCascade(Wiring.from_edges([], [], units=1), 0.5), 1, rng=0).spread == 1


def test_given_thresholds_are_searched_without_a_promise() -> None:
    wiring = Wiring.from_edges([0, 0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 3, 4, 5, 6, 7], units=8)
    model = Threshold(wiring, 1.0)  # all in-neighbours are needed: unit 3 needs both 1 and 2
    found = maximise(model, 2, runs=10, rng=0)
    assert found.sources[0] == 0
    assert found.gains.tolist() == [8, 0]
    assert (found.spread, found.interval, found.method) == (8, (8, 8), "celf")
    assert found.guarantee is found.confidence is found.best is None
    assert "no bound" in found.text()


def test_lazy_greedy_is_greedy_where_gains_shrink() -> None:
    draws = stream(9, "weights")
    holds = draws.random((12, 30)) < 0.2
    worth = draws.integers(1, 100, 30)  # whole, so that ties are ties

    def spread(ids: np.ndarray) -> float:
        return float(worth[holds[ids].any(axis=0)].sum())

    picked: list[int] = []
    for _ in range(5):
        picked.append(int(np.argmax([-1 if u in picked else spread(np.array([*picked, u])) for u in range(12)])))
    found = maximise(IndependentCascade(Wiring.from_edges([0], [1], units=12), 0.1), 5, spread=spread)
    assert found.sources.tolist() == picked
    assert found.samples == 0


def test_anything_that_can_be_sampled_will_do() -> None:
    inner = IndependentCascade(GRAPHS["out-star"].wiring, 0.5)
    found = maximise(SimpleNamespace(wiring=inner.wiring, sample=inner.sample), 1, runs=2000, rng=0)
    assert found.sources.tolist() == [0]
    assert found.method == "celf"
    assert found.samples == 9 * 2000
    assert abs(found.spread - 4.5) < 4 * math.sqrt(7 / 4 / 2000)
    assert found.interval[0] < found.spread < found.interval[1]


def test_it_speaks() -> None:
    found = maximise(GRAPHS["certain"], 1, delta=0.01, rng=0)
    assert repr(found).startswith("Influence(1 source, spread ")
    assert found.text().startswith("1 source reaches ")
    assert found.text().endswith("with 99% confidence.")
    assert maximise(GRAPHS["certain"], 2, spread=len).text() == (
        "2 sources reach 2 units on average (95%: 2 to 2), at least 0.75 of what any as many could."
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 9}, "k is 9"),
        ({"k": 1.0}, "k is 1.0"),
        ({"k": True}, "k is True"),
        ({"k": 3, "candidates": [1, 2]}, "k is 3"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": 0.64}, "epsilon is 0.64"),
        ({"epsilon": math.nan}, "epsilon is nan"),
        ({"delta": 0.0}, "delta is 0.0"),
        ({"delta": 1.0}, "delta is 1.0"),
        ({"delta": math.nan}, "delta is nan"),
        ({"runs": 0}, "runs is 0"),
        ({"candidates": [8]}, "no unit 8"),
        ({"candidates": [1, 1]}, "named twice"),
        ({"candidates": []}, "candidates"),
        ({"candidates": [0.5] * 8}, "candidates"),
        ({"candidates": [True] * 7}, "mask"),
        ({"workers": 0}, "workers"),
        ({"model": "independent"}, "no cascade model"),
        ({"model": GRAPHS["path"].wiring}, "no cascade model"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked(arguments: dict[str, Any], words: str) -> None:
    asked = {"model": GRAPHS["path"], "k": 1, "rng": 0, **arguments}
    with pytest.raises(UserError, match=words):
        maximise(asked.pop("model"), asked.pop("k"), **asked)


def test_sets_that_need_too_much_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = IndependentCascade(Wiring.from_edges([0], [1], units=50), 0.0)
    first = schedule(50, 50, 5, 0.1, 0.02)[0]
    monkeypatch.setattr("sparsefire.cascades.influence.choose.MOST_MEMBERS", 2 * first)
    assert maximise(silent, 5, runs=2 * first, rng=0).samples == 4 * first
    monkeypatch.setattr("sparsefire.cascades.influence.choose.MOST_MEMBERS", 2 * first - 1)
    with pytest.raises(UserError, match="8 GB") as caught:
        maximise(silent, 5, runs=2 * first, rng=0)
    assert caught.value.attempt == f"runs={first}, or a larger epsilon"
    assert maximise(silent, 5, runs=first, rng=0).guarantee < FACTOR - 0.1
