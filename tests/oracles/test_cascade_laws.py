"""Oracle: exact laws of cascades, from all open arcs, all classes of thresholds, all live arcs, exact rationals.

The rationals follow the recursions of Burkholz & Quackenbush (arXiv:1909.05416) and Burkholz (arXiv:1811.06872) in
integers of unlimited size, and are themselves held against enumeration. Numbers with many digits come from there, from
Watts 2002, Gleeson & Cahalane 2007, Burkholz, Garas & Schweitzer 2016 (arXiv:1503.00925) and Borel's law.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from scipy import special, stats

import sparsefire as sf
from sparsefire import cascades

Arc = tuple[int, int, float]


# ---------------------------------------------------------------- brute force


def closure(state: np.ndarray, arcs: list[tuple[int, int]], is_open: list[np.ndarray]) -> np.ndarray:
    """Follow open arcs until nothing moves; states are bit masks, all of them at once."""
    while True:
        before = state.copy()
        for (u, v), go in zip(arcs, is_open, strict=True):
            state |= ((state >> u) & 1 & go) << v
        if (state == before).all():
            return state


def open_arcs(n: int, arcs: list[Arc], chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Final sets (bit masks) and weights over all patterns of open arcs and all sets of sources."""
    m = len(arcs)
    patterns, sets = np.arange(2**m, dtype=np.int32), np.arange(2**n, dtype=np.int32)
    weight, start = np.ones(2**m), np.ones(2**n)
    for k, (_, _, p) in enumerate(arcs):
        weight *= np.where((patterns >> k) & 1 == 1, p, 1 - p)
    for i in range(n):
        start *= np.where((sets >> i) & 1 == 1, chance[i], 1 - chance[i])
    patterns, sets = patterns[weight > 0], sets[start > 0]
    state = np.repeat(sets[None, :], len(patterns), axis=0)
    go = [((patterns >> k) & 1)[:, None] for k in range(m)]
    closure(state, [(u, v) for u, v, _ in arcs], go)
    return state.ravel(), np.outer(weight[weight > 0], start[start > 0]).ravel()


def live_arcs(n: int, arcs: list[Arc], chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear thresholds: every unit listens to at most one arc, to each with its influence."""
    into = [[k for k, arc in enumerate(arcs) if arc[1] == i] for i in range(n)]
    states, weights = [], []
    for choice in itertools.product(*[[*places, None] for places in into]):
        weight = 1.0
        for i, k in enumerate(choice):
            weight *= 1 - sum(arcs[j][2] for j in into[i]) if k is None else arcs[k][2]
        kept = [(arcs[k][0], arcs[k][1], 1.0) for k in choice if k is not None]
        state, start = open_arcs(n, kept, chance)
        states.append(state)
        weights.append(weight * start)
    return np.concatenate(states), np.concatenate(weights)


def threshold_classes(n: int, arcs: list[Arc], cdf: list, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threshold cascades: a threshold matters only by which sums of in-loads reach it; all combinations of that."""
    options = []
    for i in range(n):
        loads = [w for _, v, w in arcs if v == i]
        sums = {0.0} | {
            round(sum(part), 12) for r in range(len(loads) + 1) for part in itertools.combinations(loads, r)
        }
        levels = sorted(sums)
        reach = [chance[i] + (1 - chance[i]) * float(cdf[i](level)) for level in levels]
        weight = np.diff([0.0, *reach, 1.0])
        options.append(([*levels, math.inf], np.where(weight < 1e-16, 0, weight)))
    grid = np.meshgrid(*[np.arange(len(levels)) for levels, _ in options], indexing="ij")
    need = [np.asarray(levels)[g.ravel()] for (levels, _), g in zip(options, grid, strict=True)]
    weight = np.ones(len(need[0]))
    for (_, chances), g in zip(options, grid, strict=True):
        weight = weight * chances[g.ravel()]
    active = np.zeros((n, len(weight)), dtype=bool)
    while True:
        load = np.zeros((n, len(weight)))
        for u, v, w in arcs:
            load[v] += w * active[u]
        after = active | (load >= np.array(need) - 1e-9)
        if (after == active).all():
            break
        active = after
    return (active * (1 << np.arange(n))[:, None]).sum(axis=0), weight


def law_of(n: int, state: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """P(0) … P(n) units."""
    return np.bincount(np.bitwise_count(state), weight, minlength=n + 1)


def members(n: int, state: np.ndarray, weight: np.ndarray, size: int | None = None) -> np.ndarray:
    """P(unit is active), given the size if one is named."""
    if size is not None:
        keep = np.bitwise_count(state) == size
        state, weight = state[keep], weight[keep]
    return np.array([(weight * ((state >> i) & 1)).sum() for i in range(n)]) / weight.sum()


# ---------------------------------------------------------------- exact rationals on trees


class Poly:
    """Polynomial in y with coefficients c_k / 2^scale, all c_k in one integer, ``width`` bits apart."""

    def __init__(self, value: int, scale: int, width: int) -> None:
        self.value, self.scale, self.width = value, scale, width

    def __mul__(self, other: Poly) -> Poly:
        return Poly(self.value * other.value, self.scale + other.scale, self.width)

    def _aligned(self, other: Poly) -> tuple[int, int, int]:
        top = max(self.scale, other.scale)
        return self.value << (top - self.scale), other.value << (top - other.scale), top

    def __add__(self, other: Poly) -> Poly:
        a, b, top = self._aligned(other)
        return Poly(a + b, top, self.width)

    def __sub__(self, other: Poly) -> Poly:
        a, b, top = self._aligned(other)
        return Poly(a - b, top, self.width)

    def times(self, number: Fraction) -> Poly:
        top = number.denominator.bit_length() - 1
        assert number.denominator == 1 << top, "floats only"
        return Poly(self.value * number.numerator, self.scale + top, self.width)

    def y(self) -> Poly:
        return Poly(self.value << self.width, self.scale, self.width)

    def logs(self, n: int) -> np.ndarray:
        """log c_k, each to the last digits of a double."""
        found, mask = np.full(n + 1, -np.inf), (1 << self.width) - 1
        for k in range(n + 1):
            c = (self.value >> (k * self.width)) & mask
            if c:
                b = c.bit_length()
                head = Fraction(c, 1 << b)
                found[k] = math.log(head.numerator / head.denominator if b < 900 else (c >> (b - 64)) / 2**64)
                found[k] += (b - self.scale) * math.log(2)
        return found


def hang(n: int, pairs: list[tuple[int, int]]) -> tuple[list[int], list[int], list[int]]:
    """Return an order (parents first), parents, and roots of a forest."""
    near: list[list[int]] = [[] for _ in range(n)]
    for u, v in pairs:
        near[u].append(v)
        near[v].append(u)
    parent, order, roots = [-2] * n, [], []
    for root in range(n):
        if parent[root] == -2:
            roots.append(root)
            parent[root] = -1
            stack = [root]
            while stack:
                u = stack.pop()
                order.append(u)
                for v in near[u]:
                    if parent[v] == -2:
                        parent[v] = u
                        stack.append(v)
    return order, parent, roots


def bits_of(values: list[float]) -> int:
    return sum(Fraction(float(v)).denominator.bit_length() for v in values)


def rational_independent(n: int, arcs: list[Arc], chance: np.ndarray) -> np.ndarray:
    """log P(0) … log P(n) of an independent cascade on a forest; messages N, L, F and products of A, B, S."""
    p = {(u, v): Fraction(float(x)) for u, v, x in arcs}
    order, parent, roots = hang(n, [(u, v) for u, v, _ in arcs])
    width = bits_of([x for *_, x in arcs]) + bits_of(list(chance)) + 64
    one = Poly(1, 0, width)
    a_of, b_of, s_of = [one] * n, [one] * n, [one] * n  # products over children so far
    whole = one
    for i in reversed(order):
        q = 1 - Fraction(float(chance[i]))
        inactive, late = b_of[i].times(q), a_of[i].times(q).y()
        first = s_of[i].y() - late
        if parent[i] < 0:
            whole = whole * (inactive + first)
            continue
        a, b = p.get((i, parent[i]), Fraction(0)), p.get((parent[i], i), Fraction(0))
        hold = first.times(1 - a)
        message_a = inactive.times(1 - b) + late.times(b) + hold
        up = parent[i]
        b_of[up] = b_of[up] * (inactive + hold)
        a_of[up] = a_of[up] * message_a
        s_of[up] = s_of[up] * (message_a + first.times(a))
    assert len(roots) >= 1
    return whole.logs(n)


def rational_thresholds(n: int, pairs: list[tuple[int, int]], responses: list[np.ndarray]) -> np.ndarray:
    """The same for r_i(m), m active neighbours of the undirected forest, with a second marker x as a list."""
    order, parent, _ = hang(n, pairs)
    width = sum(max(Fraction(float(v)).denominator.bit_length() for v in r) + 8 for r in responses) + 64
    one, none = Poly(1, 0, width), Poly(0, 0, width)

    def times(left: list[Poly], low: Poly, high: Poly) -> list[Poly]:
        out = [none] * (len(left) + 1)
        for m, part in enumerate(left):
            out[m] = out[m] + part * low
            out[m + 1] = out[m + 1] + part * high
        return out

    x_of, y_of = [[one] for _ in range(n)], [[one] for _ in range(n)]
    whole = one
    for i in reversed(order):
        r = [Fraction(float(v)) for v in responses[i]] + [Fraction(0)]
        inactive = late = first = without = none
        has_parent = parent[i] >= 0
        for m, (x, y) in enumerate(zip(x_of[i], y_of[i], strict=True)):
            inactive = inactive + x.times(1 - r[m])
            first = first + y.times(r[m])
            if has_parent:
                without = without + x.times(1 - r[m + 1])
                late = late + y.times(r[m + 1] - r[m])
        first, late = first.y(), late.y()
        if has_parent:
            up = parent[i]
            x_of[up] = times(x_of[up], inactive, first)
            y_of[up] = times(y_of[up], late + without, first)
        else:
            whole = whole * (inactive + first)
    return whole.logs(n)


# ---------------------------------------------------------------- helpers


def wired(n: int, arcs: list[Arc]) -> sf.Wiring:
    return sf.Wiring.from_edges([u for u, *_ in arcs], [v for _, v, _ in arcs], units=n)


def numbers(arcs: list[Arc]) -> list[float]:
    return [x for *_, x in arcs]


def both_ways(pairs: list[tuple[int, int]], rng: np.random.Generator, low: float = 0.0) -> list[Arc]:
    arcs = [(u, v, rng.uniform(low, 1)) for u, v in pairs] + [(v, u, rng.uniform(low, 1)) for u, v in pairs]
    return [arcs[k] for k in rng.permutation(len(arcs))]


def random_pairs(n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A recursive tree with shuffled names."""
    name = rng.permutation(n)
    return [(int(name[i]), int(name[rng.integers(i)])) for i in range(1, n)]


def trees(most: int) -> list[list[tuple[int, int]]]:
    return [list(tree.edges) for n in range(2, most + 1) for tree in nx.nonisomorphic_trees(n)]


def close_logs(found: np.ndarray, exact: np.ndarray, relative: float = 1e-12) -> None:
    """Logarithms agree, and so do what is possible and what is not."""
    assert (np.isneginf(found) == np.isneginf(exact)).all()
    possible = np.isfinite(exact)
    error = np.abs(found[possible] - exact[possible]) / np.maximum(1, np.abs(exact[possible]))
    assert error.max() <= relative


PATH5 = [(0, 1), (1, 2), (2, 3), (3, 4)]
STAR5 = [(0, 1), (0, 2), (0, 3), (0, 4)]


def undirected(n: int, pairs: list[tuple[int, int]]) -> sf.Wiring:
    return sf.Wiring.from_edges([u for u, _ in pairs], [v for _, v in pairs], units=n, directed=False)


def complete(n: int) -> sf.Wiring:
    return undirected(n, list(itertools.combinations(range(n), 2)))


# ---------------------------------------------------------------- independent cascades on trees


def test_all_small_trees_against_all_open_arcs() -> None:
    rng = np.random.default_rng(1)
    for pairs in trees(7):
        n = len(pairs) + 1
        arcs, chance = both_ways(pairs, rng), rng.uniform(0, 1, n)
        law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="tree")
        exact = law_of(n, *open_arcs(n, arcs, chance))
        assert law.pmf.shape == (n + 1,)
        assert np.abs(law.pmf - exact).max() <= 1e-12
        assert np.abs(np.exp(rational_independent(n, arcs, chance)) - exact).max() <= 1e-12


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (PATH5, [0.59049, 0.2309472, 0.11915942, 0.04459277, 0.01248883, 0.00232178]),
        (STAR5, [0.59049, 0.23682586, 0.09667123, 0.0562775, 0.01770163, 0.00203378]),
    ],
)
def test_printed_laws_of_path_and_star(pairs: list[tuple[int, int]], expected: list[float]) -> None:
    model = cascades.IndependentCascade(undirected(5, pairs), probability=0.2)
    for method in ("tree", "exact", "auto", "tree-approximation"):
        law = model.size_distribution(sources=np.full(5, 0.1), method=method)
        assert np.abs(law.pmf - expected).max() < 1e-8
        assert law.samples is None
        assert law.interval() is None


def test_everything_a_law_can_be_asked() -> None:
    model = cascades.IndependentCascade(undirected(5, PATH5), probability=0.2)
    law = model.size_distribution(sources=np.full(5, 0.1), method="tree")
    pmf = law.pmf
    assert law.method == "tree"
    assert np.allclose(np.exp(law.log_pmf), pmf, rtol=1e-13, atol=0)
    assert np.allclose(law.cdf, np.cumsum(pmf), rtol=1e-13, atol=0)
    assert np.allclose(law.survival, [pmf[k + 1 :].sum() for k in range(6)], rtol=1e-13, atol=0)
    assert law.mean() == pytest.approx(pmf @ np.arange(6), rel=1e-13)
    assert law.variance() == pytest.approx(pmf @ np.arange(6) ** 2 - (pmf @ np.arange(6)) ** 2, rel=1e-12)
    for q in (0.0, 0.3, 0.59, 0.6, 0.9, 0.99, 0.999, 1.0):
        assert law.quantile(q) == next(k for k in range(6) if law.cdf[k] >= q or k == 5)
    sizes = [0, 0, 3, 5, 1]
    assert law.log_likelihood(sizes) == pytest.approx(sum(math.log(pmf[s]) for s in sizes), rel=1e-13)
    assert model.size_distribution([0], method="tree").log_likelihood([1, 0]) == -math.inf


def test_sources_as_ids_mask_and_floats_are_one() -> None:
    rng = np.random.default_rng(3)
    arcs = both_ways(random_pairs(7, rng), rng)
    model = cascades.IndependentCascade(wired(7, arcs), numbers(arcs))
    chance = np.zeros(7)
    chance[[2, 5]] = 1
    exact = law_of(7, *open_arcs(7, arcs, chance))
    for sources in ([2, 5], (5, 2), np.array([5, 2], dtype=np.int16), chance == 1, (chance == 1).tolist(), chance):
        assert np.abs(model.size_distribution(sources, method="tree").pmf - exact).max() < 1e-13
    mixed = np.array([1.0, 0.0, 0.3, 0.0, 1.0, 1e-300, 0.5])
    exact = law_of(7, *open_arcs(7, arcs, mixed))
    assert np.abs(model.size_distribution(mixed, method="tree").pmf - exact).max() < 1e-13
    assert model.size_distribution(mixed, method="tree").pmf[:2].tolist() == [0.0, 0.0]
    for nobody in (None, [], np.zeros(7), np.zeros(7, dtype=bool)):
        assert model.size_distribution(nobody, method="tree").pmf.tolist() == [1.0] + [0.0] * 7


def test_an_array_of_0_and_1_as_whole_numbers_is_ids_not_a_mask() -> None:
    model = cascades.IndependentCascade(undirected(2, [(0, 1)]), 0.5)
    both = model.size_distribution(np.array([0, 1]), method="tree")
    assert both.pmf.tolist() == [0.0, 0.0, 1.0]


def test_probabilities_follow_the_order_in_which_edges_were_given() -> None:
    senders, receivers, p = [3, 0, 2, 1], [2, 3, 4, 0], [0.9, 0.05, 0.4, 0.7]
    arcs = list(zip(senders, receivers, p, strict=True))
    directed = cascades.IndependentCascade(sf.Wiring.from_edges(senders, receivers, units=5), p)
    chance = np.array([0.1, 0.8, 0.0, 0.3, 0.0])
    exact = law_of(5, *open_arcs(5, arcs, chance))
    assert np.abs(directed.size_distribution(chance, method="tree").pmf - exact).max() < 1e-14
    twofold = cascades.IndependentCascade(sf.Wiring.from_edges(senders, receivers, units=5, directed=False), p)
    state, weight = open_arcs(5, arcs + [(v, u, x) for u, v, x in arcs], chance)
    assert np.abs(twofold.size_distribution(chance, method="tree").pmf - law_of(5, state, weight)).max() < 1e-14
    assert np.allclose(np.asarray(twofold.marginals(chance, method="tree")), members(5, state, weight), atol=1e-13)


def test_sure_and_impossible_arcs_and_sources() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        n = int(rng.integers(2, 8))
        pairs = random_pairs(n, rng)
        arcs = [(u, v, float(rng.choice([0.0, 1.0, rng.uniform()]))) for u, v, _ in both_ways(pairs, rng)]
        chance = np.array([float(rng.choice([0.0, 0.0, 1.0, rng.uniform()])) for _ in range(n)])
        law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="tree")
        state, weight = open_arcs(n, arcs, chance)
        exact = law_of(n, state, weight)
        assert np.abs(law.pmf - exact).max() < 1e-13
        assert ((law.pmf > 0) == (exact > 0)).all()
        assert (np.isneginf(law.log_pmf) == (exact == 0)).all()


def test_directed_trees_and_forests_with_lonely_units() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        n = int(rng.integers(1, 9))
        pairs = [pair for pair in random_pairs(n, rng) if rng.random() < 0.7]
        arcs = [(u, v, rng.uniform()) if rng.random() < 0.5 else (v, u, rng.uniform()) for u, v in pairs]
        chance = rng.uniform(0, 0.6, n)
        state, weight = open_arcs(n, arcs, chance)
        model = cascades.IndependentCascade(wired(n, arcs), numbers(arcs) if arcs else 0.5)
        assert np.abs(model.size_distribution(chance, method="tree").pmf - law_of(n, state, weight)).max() < 1e-13
        assert np.allclose(np.asarray(model.marginals(chance, method="tree")), members(n, state, weight), atol=1e-13)


def test_one_unit_and_two() -> None:
    single = cascades.IndependentCascade(sf.Wiring.from_edges([], [], units=1), 0.5)
    assert single.size_distribution([0.25], method="tree").pmf.tolist() == [0.75, 0.25]
    assert single.size_distribution([0], method="tree").pmf.tolist() == [0.0, 1.0]
    pair = cascades.IndependentCascade(sf.Wiring.from_edges([0, 1], [1, 0]), [0.25, 0.5])
    found = pair.size_distribution([0.5, 0.25], method="tree").pmf
    one = 0.5 * 0.75 * 0.75 + 0.5 * 0.25 * 0.5
    assert np.allclose(found, [0.375, one, 1 - 0.375 - one], atol=1e-16)


# ---------------------------------------------------------------- marginals, exact


def test_marginals_and_marginals_given_the_size_on_trees() -> None:
    rng = np.random.default_rng(6)
    for n in (1, 2, 3, 5, 7, 7):
        arcs, chance = both_ways(random_pairs(n, rng), rng), rng.uniform(0, 0.5, n)
        model = cascades.IndependentCascade(wired(n, arcs), numbers(arcs) if arcs else 0.1)
        state, weight = open_arcs(n, arcs, chance)
        for method in ("tree", "exact", "auto", "mean-field"):
            assert np.allclose(
                np.asarray(model.marginals(chance, method=method)), members(n, state, weight), atol=1e-11
            )
        assert model.size_distribution(chance).mean() == pytest.approx(np.asarray(model.marginals(chance)).sum())
        for size in range(n + 1):
            given = model.marginals_given_size(size, chance, method="tree")
            assert np.allclose(np.asarray(given), members(n, state, weight, size), atol=1e-11)
            assert np.asarray(given).sum() == pytest.approx(size, abs=1e-10)


def test_marginals_given_a_size_that_cannot_be_are_refused() -> None:
    model = cascades.IndependentCascade(undirected(3, [(0, 1), (1, 2)]), 0.5)
    for size in (0, 4, -1):
        with pytest.raises(ValueError, match="size") as caught:
            model.marginals_given_size(size, [0], method="tree")
        assert str(size) in caught.value.render()


def test_marginals_given_an_extremely_unlikely_size() -> None:
    n, w = 60, 1e-9
    model = cascades.IndependentCascade(sf.Wiring.from_edges(range(n - 1), range(1, n)), w)
    given = np.asarray(model.marginals_given_size(40, [0], method="tree"))  # P about 1e-351
    assert np.allclose(given, np.arange(n) < 40, atol=1e-12)


# ---------------------------------------------------------------- the far tail


@pytest.mark.parametrize("seed", range(6))
def test_far_tail_on_random_trees(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    n = int(rng.integers(30, 61))
    arcs = [(u, v, float(10 ** rng.uniform(-6, 0))) for u, v, _ in both_ways(random_pairs(n, rng), rng)]
    chance = 10 ** rng.uniform(-5, -0.3, n)
    law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="tree")
    exact = rational_independent(n, arcs, chance)
    assert exact.min() < -100
    close_logs(law.log_pmf, exact)
    assert np.abs(law.log_pmf - exact).max() < 1e-11  # of the probabilities themselves
    assert law.pmf.sum() == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize(
    ("p", "w"), [(1 / 1024, 3 / 1024), (5 / 512, 13 / 64), (2**-20, 0.5), (0.25, 2**-12), (0.5, 1 - 2**-10)]
)
def test_far_tail_on_a_path_of_400(p: float, w: float) -> None:
    n = 400
    arcs = [(i, i + 1, w) for i in range(n - 1)] + [(i + 1, i, w) for i in range(n - 1)]
    law = cascades.IndependentCascade(wired(n, arcs), w).size_distribution(np.full(n, p), method="tree")
    exact = rational_independent(n, arcs, np.full(n, p))
    close_logs(law.log_pmf, exact)
    assert np.abs(law.log_pmf - exact).max() < 1e-10


def test_probabilities_of_1e_300() -> None:
    rng = np.random.default_rng(8)
    n = 12
    arcs = [(u, v, float(rng.choice([1e-300, 1e-200, 0.5]))) for u, v, _ in both_ways(random_pairs(n, rng), rng)]
    chance = np.where(np.arange(n) % 3 == 0, 1e-300, 0.0)
    law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="tree")
    exact = rational_independent(n, arcs, chance)
    assert exact[np.isfinite(exact)].min() < -2000
    close_logs(law.log_pmf, exact)
    single = cascades.IndependentCascade(wired(2, [(0, 1, 1e-300)]), 1e-300).size_distribution([0], method="tree")
    assert single.pmf.tolist() == pytest.approx([0.0, 1.0, 1e-300], rel=1e-12, abs=0)


def test_everything_extreme_at_once() -> None:
    rng = np.random.default_rng(25)
    for _ in range(60):
        n = int(rng.integers(2, 26))
        some = [0.0, 1.0, 1e-300, 1e-150, 1e-17, 1 - 2**-53, 0.5, 1e-5, 0.999]
        arcs = [(u, v, float(rng.choice(some))) for u, v, _ in both_ways(random_pairs(n, rng), rng)]
        chance = rng.choice([0, 0, 1e-300, 1e-40, 0.5, 1, 1e-9, 1 - 2**-53], n)
        law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="tree")
        close_logs(law.log_pmf, rational_independent(n, arcs, chance))


def test_extreme_responses() -> None:
    rng = np.random.default_rng(26)
    for _ in range(40):
        n = int(rng.integers(2, 16))
        pairs = random_pairs(n, rng)
        some = [0, 1e-300, 1e-100, 1e-16, 1e-3, 0.5, 0.999, 1.0, 0.3]
        responses = [np.sort(rng.choice(some, k + 1)) for k in np.bincount(np.array(pairs).ravel(), minlength=n)]
        law = cascades.threshold_tree_law(undirected(n, pairs), responses)
        close_logs(law.log_pmf, rational_thresholds(n, pairs, responses))


def test_marginals_given_sizes_that_are_hardly_possible() -> None:
    rng = np.random.default_rng(27)
    for _ in range(30):
        n = int(rng.integers(2, 7))
        arcs = [
            (u, v, float(rng.choice([0, 1, 1e-12, 0.5, 1e-80]))) for u, v, _ in both_ways(random_pairs(n, rng), rng)
        ]
        chance = rng.choice([0, 1e-60, 0.5, 1, 1e-9], n)
        state, weight = open_arcs(n, arcs, chance)
        model = cascades.IndependentCascade(wired(n, arcs), numbers(arcs))
        for size, p in enumerate(law_of(n, state, weight)):
            if p > 0:
                given = np.asarray(model.marginals_given_size(size, chance, method="tree"))
                assert np.abs(given - members(n, state, weight, size)).max() < 1e-10
            else:
                with pytest.raises(ValueError, match="impossible"):
                    model.marginals_given_size(size, chance, method="tree")


def test_a_gap_in_the_law_between_two_sure_groups() -> None:
    """Ten units that light all together, once in 1e40, beside thirty hesitant ones."""
    arcs = [(i, i + 1, 1.0) for i in range(9)] + [(i, i + 1, 1e-20) for i in range(10, 39)]
    chance = np.zeros(40)
    chance[0], chance[10] = 1e-40, 0.5
    law = cascades.IndependentCascade(wired(40, arcs), numbers(arcs)).size_distribution(chance, method="tree")
    close_logs(law.log_pmf, rational_independent(40, arcs, chance))


def test_binary_tree_of_60() -> None:
    pairs = [(i, (i - 1) // 2) for i in range(1, 60)]
    law = cascades.IndependentCascade(undirected(60, pairs), 0.05).size_distribution(np.full(60, 0.01), method="tree")
    assert law.pmf[60] == pytest.approx(9.0653e-70, rel=1e-4)
    assert law.pmf[0] == pytest.approx(0.54715664, abs=1e-8)
    assert law.mean() == pytest.approx(0.66288538, abs=3e-8)
    arcs = [(u, v, 0.05) for u, v in pairs] + [(v, u, 0.05) for u, v in pairs]
    exact = rational_independent(60, arcs, np.full(60, 0.01))
    assert np.abs(law.pmf / np.exp(exact) - 1).max() < 1e-12


def test_tree_of_2000_against_roots_of_unity() -> None:
    n, p, w = 2000, 0.01, 0.2
    rng = np.random.default_rng(9)
    pairs = random_pairs(n, rng)
    law = cascades.IndependentCascade(undirected(n, pairs), w).size_distribution(np.full(n, p), method="tree")
    order, parent, _ = hang(n, pairs)
    y = np.exp(2j * np.pi * np.arange(n + 1) / (n + 1))
    waiting: dict[int, tuple[np.ndarray, ...]] = {}
    ones = (np.ones(n + 1, dtype=complex),) * 3
    for i in reversed(order):
        of_b, of_a, of_s = waiting.pop(i, ones)
        inactive, late = (1 - p) * of_b, (1 - p) * y * of_a
        first = y * of_s - late
        if parent[i] < 0:
            whole = inactive + first
            break
        a = (1 - w) * inactive + w * late + (1 - w) * first
        old = waiting.get(parent[i], ones)
        waiting[parent[i]] = (old[0] * (inactive + (1 - w) * first), old[1] * a, old[2] * (a + w * first))
    exact = np.fft.fft(whole).real / (n + 1)
    assert np.abs(law.pmf - exact).max() <= 1e-13
    assert abs(law.pmf.sum() - 1) <= 1e-12


# ---------------------------------------------------------------- independent cascades on any tiny graph


def test_cycles_loops_and_parallel_arcs_by_enumeration() -> None:
    rng = np.random.default_rng(10)
    for _ in range(25):
        n, m = int(rng.integers(2, 6)), int(rng.integers(1, 10))
        arcs = [(int(u), int(v), rng.uniform()) for u, v in rng.integers(0, n, (m, 2))]
        chance = np.where(rng.random(n) < 0.5, rng.uniform(0, 1, n), rng.integers(0, 2, n).astype(float))
        law = cascades.IndependentCascade(wired(n, arcs), numbers(arcs)).size_distribution(chance, method="exact")
        assert np.abs(law.pmf - law_of(n, *open_arcs(n, arcs, chance))).max() < 1e-13


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (4, [0.6561, 0.1492992, 0.09157018, 0.06634045, 0.03669017]),
        (5, [0.59049, 0.13436928, 0.08790737, 0.0764242, 0.06762732, 0.04318183]),
    ],
)
def test_independent_cascade_on_complete_graphs(n: int, expected: list[float]) -> None:
    model = cascades.IndependentCascade(complete(n), 0.2)
    assert np.abs(model.size_distribution(np.full(n, 0.1), method="exact").pmf - expected).max() < 1e-8
    assert np.abs(cascades.closed_forms.complete_independent_law(n, 0.2, 0.1).pmf - expected).max() < 1e-8


def test_one_source_on_a_complete_graph_of_five() -> None:
    law = cascades.enumerate_independent(complete(5), 0.2, [1.0, 0, 0, 0, 0])
    assert np.abs(law.pmf[1:] - [0.4096, 0.2097152, 0.16357786, 0.13516145, 0.0819455]).max() < 1e-7
    assert law.mean() == pytest.approx(2.2701372416, abs=1e-9)


# ---------------------------------------------------------------- thresholds

LAWS = [
    stats.norm(0.4, 0.25),
    stats.uniform(-0.05, 1.1),
    stats.beta(2, 1.5),
    stats.expon(scale=0.4),
    stats.norm(0.2, 0.02),
]


def loads_of(n: int, pairs: list[tuple[int, int]], load: str) -> list[Arc]:
    """Arcs with the load that a sender puts on a receiver."""
    indegree, outdegree = np.zeros(n), np.zeros(n)
    for u, v in pairs:
        outdegree[u] += 1
        indegree[v] += 1
    return [(u, v, 1 / indegree[v] if load == "exposure" else 1 / outdegree[u]) for u, v in pairs]


def test_thresholds_on_all_small_trees_against_all_classes() -> None:
    rng = np.random.default_rng(11)
    for k, pairs in enumerate(trees(6)):
        n, law = len(pairs) + 1, LAWS[k % len(LAWS)]
        arcs = [*pairs, *[(v, u) for u, v in pairs]]
        chance = rng.uniform(0, 0.3, n) * (rng.random(n) < 0.7)
        model = cascades.Threshold(undirected(n, pairs), law)
        state, weight = threshold_classes(n, loads_of(n, arcs, "exposure"), [law.cdf] * n, chance)
        for method in ("tree", "exact"):
            assert np.abs(model.size_distribution(chance, method=method).pmf - law_of(n, state, weight)).max() < 1e-12
        assert np.allclose(np.asarray(model.marginals(chance, method="tree")), members(n, state, weight), atol=1e-11)


def test_printed_law_of_thresholds_on_a_path() -> None:
    law = cascades.Threshold(undirected(5, PATH5), stats.norm(0.4, 0.25)).size_distribution(method="tree")
    printed = [0.75443216, 0.03798033, 0.05445434, 0.05914425, 0.00143929, 0.09254965]
    assert np.abs(law.pmf - printed).max() < 1e-8


@pytest.mark.parametrize("load", ["exposure", "damage", "numbers"])
def test_thresholds_on_tiny_graphs_of_any_kind(load: str) -> None:
    rng = np.random.default_rng(12)
    for k in range(15):
        n, m = int(rng.integers(2, 5)), int(rng.integers(1, 8))
        pairs = [(int(u), int(v)) for u, v in rng.integers(0, n, (m, 2))]
        chance = rng.uniform(0, 0.5, n) * (rng.random(n) < 0.6)
        law = LAWS[k % len(LAWS)]
        if load == "numbers":
            arcs, given = [(u, v, 0.3) for u, v in pairs], 0.3
        else:
            arcs, given = loads_of(n, pairs, load), load
        wiring = wired(n, arcs)
        model = cascades.Threshold(wiring, law, load=given)
        exact = law_of(n, *threshold_classes(n, arcs, [law.cdf] * n, chance))
        try:
            found = model.size_distribution(chance, method="exact")
        except ValueError:
            assert load == "damage", "like loads have an exact law on tiny graphs"
            continue
        assert np.abs(found.pmf - exact).max() < 1e-12


def test_loads_that_differ_between_units_but_not_at_one() -> None:
    """The number of active in-neighbours is enough here, so there is a response per unit, and an exact law."""
    arcs = [(0, 2, 0.5), (1, 2, 0.5), (2, 3, 0.25)]
    model = cascades.Threshold(wired(4, arcs), stats.uniform(), load=numbers(arcs))
    exact = law_of(4, *threshold_classes(4, arcs, [stats.uniform.cdf] * 4, np.array([0.5, 0.25, 0.0, 0.0])))
    expected = [[0.0], [0.0], [0.0, 0.5, 1.0], [0.0, 0.25]]
    assert all(r == pytest.approx(e, abs=1e-11) for r, e in zip(model.responses(), expected, strict=True))
    assert np.abs(model.size_distribution([0.5, 0.25, 0.0, 0.0], method="tree").pmf - exact).max() < 1e-12


def test_every_unit_has_its_own_law_of_thresholds() -> None:
    n = 6
    rng = np.random.default_rng(13)
    pairs, mean, spread = random_pairs(n, rng), rng.uniform(0.1, 0.9, n), rng.uniform(0.05, 0.4, n)
    model = cascades.Threshold(undirected(n, pairs), stats.norm(mean, spread))
    arcs = loads_of(n, [*pairs, *[(v, u) for u, v in pairs]], "exposure")
    cdf = [stats.norm(m, s).cdf for m, s in zip(mean, spread, strict=True)]
    exact = law_of(n, *threshold_classes(n, arcs, cdf, np.full(n, 0.1)))
    assert np.abs(model.size_distribution(np.full(n, 0.1), method="tree").pmf - exact).max() < 1e-12
    state, weight = threshold_classes(n, arcs, cdf, np.zeros(n))
    for size in (1, 3, 6):
        given = model.marginals_given_size(size, None, method="auto", runs=200_000, rng=0)
        tolerance = 1e-10 if given.samples is None else 4.5 * np.sqrt(0.25 / given.samples) + 1e-10
        assert np.abs(np.asarray(given) - members(n, state, weight, size)).max() < tolerance


@pytest.mark.parametrize("seed", range(4))
def test_far_tail_of_thresholds_on_trees(seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    n = int(rng.integers(20, 41))
    pairs = random_pairs(n, rng)
    law = [stats.norm(1.2, 0.2), stats.uniform(-0.001, 1.4), stats.norm(0.8, 0.1), stats.beta(6, 1)][seed]
    degree = np.bincount(np.array(pairs).ravel(), minlength=n)
    responses = [law.cdf(np.arange(k + 1) / k) for k in degree]
    chance = np.full(n, 2.0**-20)
    folded = [c + (1 - c) * r for c, r in zip(chance, responses, strict=True)]
    exact = rational_thresholds(n, pairs, folded)
    assert exact[np.isfinite(exact)].min() < -20
    found = cascades.Threshold(undirected(n, pairs), law).size_distribution(chance, method="tree")
    possible = np.isfinite(exact)
    assert np.abs(found.log_pmf[possible] - exact[possible]).max() < 1e-9
    assert found.pmf.sum() == pytest.approx(1, abs=1e-13)


def test_a_threshold_that_is_met_exactly_is_met() -> None:
    """m of k active neighbours reach a threshold of m / k, m - 1 do not: no rounding, for all k to 30."""
    for k in range(1, 31):
        for m in range(1, k + 1):
            wiring = sf.Wiring.from_edges(range(1, k + 1), [0] * k, units=k + 1)
            thresholds = np.full(k + 1, 2.0)
            thresholds[0] = m / k
            model = cascades.Threshold(wiring, thresholds)
            assert model.sample(list(range(1, m + 1)), runs=1).sizes[0] == m + 1, (m, k)
            if m > 1:
                assert model.sample(list(range(1, m)), runs=1).sizes[0] == m - 1, (m, k)


def test_damage_that_adds_up_exactly() -> None:
    """Three senders with out-degree 3 put 1/3 each on a unit: its threshold of 1 is reached."""
    senders, receivers = [1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 4, 5, 0, 4, 5, 0, 4, 5]
    wiring = sf.Wiring.from_edges(senders, receivers, units=6)
    assert cascades.Threshold(wiring, 1.0, load="damage").sample([1, 2, 3], runs=1).sizes.tolist() == [6]
    assert cascades.Threshold(wiring, 1.01, load="damage").sample([1, 2, 3], runs=1).sizes.tolist() == [3]


def test_watts_with_one_threshold_in_every_method() -> None:
    model = cascades.Threshold(undirected(4, [(0, 1), (1, 2), (1, 3)]), thresholds=0.3)
    for method in ("auto", "exact", "tree", "monte-carlo"):
        assert model.size_distribution([0], method=method, runs=100).pmf.tolist() == [0, 0, 0, 0, 1]
    held = cascades.Threshold(undirected(4, [(0, 1), (1, 2), (1, 3)]), thresholds=0.34)
    for method in ("auto", "exact", "tree", "monte-carlo"):
        assert held.size_distribution([0], method=method, runs=100).pmf.tolist() == [0, 1, 0, 0, 0]


def test_a_unit_without_in_arcs_becomes_active_only_by_itself() -> None:
    model = cascades.Threshold(sf.Wiring.from_edges([0], [1], units=3), stats.uniform(-0.25, 1))
    exact = law_of(3, *threshold_classes(3, [(0, 1, 1.0)], [stats.uniform(-0.25, 1).cdf] * 3, np.zeros(3)))
    for method in ("tree", "exact"):
        assert np.abs(model.size_distribution(method=method).pmf - exact).max() < 1e-14


# ---------------------------------------------------------------- linear thresholds


def influences(arcs: list[Arc], n: int, rng: np.random.Generator) -> list[Arc]:
    """Random influence that adds up to at most 1 over the arcs that reach a unit."""
    total = np.zeros(n)
    for _, v, x in arcs:
        total[v] += x
    most = rng.uniform(0.3, 1, n)
    return [(u, v, float(x / total[v] * most[v])) for u, v, x in arcs]


def test_linear_thresholds_against_all_live_arcs() -> None:
    rng = np.random.default_rng(14)
    for k in range(20):
        n = int(rng.integers(2, 6))
        if k % 2:
            arcs = both_ways(random_pairs(n, rng), rng, 0.1)
        else:
            arcs = [(int(u), int(v), rng.uniform(0.1, 1)) for u, v in rng.integers(0, n, (2 * n - 1, 2))]
        arcs, chance = influences(arcs, n, rng), rng.uniform(0, 0.5, n)
        model = cascades.LinearThreshold(wired(n, arcs), numbers(arcs))
        state, weight = live_arcs(n, arcs, chance)
        uniform = lambda x: min(max(x, 0.0), 1.0)  # noqa: E731
        other = law_of(n, *threshold_classes(n, arcs, [uniform] * n, chance))
        assert np.abs(law_of(n, state, weight) - other).max() < 1e-12, "the two oracles are one"
        for method in ("exact", "tree") if k % 2 else ("exact",):
            assert np.abs(model.size_distribution(chance, method=method).pmf - other).max() < 1e-12
        if k % 2:
            assert np.allclose(
                np.asarray(model.marginals(chance, method="tree")), members(n, state, weight), atol=1e-11
            )


def test_linear_thresholds_without_influence_share_evenly() -> None:
    rng = np.random.default_rng(15)
    for n in (2, 5, 7):
        pairs, chance = random_pairs(n, rng), rng.uniform(0, 0.4, n)
        arcs = loads_of(n, [*pairs, *[(v, u) for u, v in pairs]], "exposure")
        exact = law_of(n, *threshold_classes(n, arcs, [stats.uniform.cdf] * n, chance))
        model = cascades.LinearThreshold(undirected(n, pairs))
        assert np.abs(model.size_distribution(chance, method="tree").pmf - exact).max() < 1e-12
        like = cascades.Threshold(undirected(n, pairs), stats.uniform())
        assert np.abs(like.size_distribution(chance, method="tree").pmf - exact).max() < 1e-12


def test_far_tail_of_linear_thresholds() -> None:
    rng = np.random.default_rng(16)
    n = 45
    pairs = random_pairs(n, rng)
    degree = np.bincount(np.array(pairs).ravel(), minlength=n)
    chance = np.full(n, 2.0**-30)
    folded = [chance[0] + (1 - chance[0]) * np.arange(k + 1) / k for k in degree]
    exact = rational_thresholds(n, pairs, folded)
    found = cascades.LinearThreshold(undirected(n, pairs)).size_distribution(chance, method="tree")
    close_logs(found.log_pmf, exact)


def test_linear_thresholds_with_influence_that_fills_one() -> None:
    """In-sums of exactly 1 in floating point (ten times 0.1, thrice 1/3) are allowed, and all active means active."""
    for k in (3, 6, 7, 10, 49):
        wiring = sf.Wiring.from_edges(range(1, k + 1), [0] * k)
        law = cascades.LinearThreshold(wiring, 1 / k).size_distribution(list(range(1, k + 1)), method="tree")
        assert law.pmf[k + 1] == pytest.approx(1, abs=1e-13)
        assert (cascades.LinearThreshold(wiring).sample(list(range(1, k + 1)), runs=2000, rng=0).sizes == k + 1).all()


def test_cavity_marginals_are_exact_on_trees_in_every_model() -> None:
    rng = np.random.default_rng(22)
    for n in (2, 5, 7, 40):
        pairs, chance = random_pairs(n, rng), rng.uniform(0, 0.2, n)
        for model in (
            cascades.LinearThreshold(undirected(n, pairs)),
            cascades.Threshold(undirected(n, pairs), stats.norm(0.5, 0.2)),
            cascades.IndependentCascade(undirected(n, pairs), 0.4),
        ):
            exact = np.asarray(model.marginals(chance, method="tree"))
            assert np.allclose(np.asarray(model.marginals(chance, method="mean-field")), exact, atol=1e-10)
            assert model.size_distribution(chance, method="tree").mean() == pytest.approx(exact.sum(), rel=1e-10)


@pytest.mark.parametrize("h", [1, 2, 50, 400])
def test_large_stars(h: int) -> None:
    """The hub joins everything: products of many messages, and a marker for their number."""
    pairs = [(0, i) for i in range(1, h + 1)]
    law = cascades.IndependentCascade(undirected(h + 1, pairs), 0.03).size_distribution(
        np.full(h + 1, 0.002), method="tree"
    )
    m = np.arange(h + 1)
    leaf, helped = 0.002, 1 - 0.998 * 0.97
    hub = 1 - 0.998 * 0.97**m
    expected = np.full(h + 2, -np.inf)
    down = stats.binom.logpmf(m, h, leaf) + np.log1p(-hub)
    expected[:-1] = down
    for total in m:  # hub active, total leaves in the end, a of them by themselves
        a = np.arange(total + 1)
        inner = special.gammaln(total + 1) - special.gammaln(a + 1) - special.gammaln(total - a + 1)
        terms = inner + a * math.log(leaf) + (total - a) * math.log(helped - leaf) + np.log(hub[a])
        outer = (
            math.lgamma(h + 1) - math.lgamma(total + 1) - math.lgamma(h - total + 1) + (h - total) * math.log1p(-helped)
        )
        expected[total + 1] = np.logaddexp(expected[total + 1], outer + special.logsumexp(terms))
    assert np.abs(law.log_pmf - expected).max() < 2e-10
    assert np.abs(cascades.closed_forms.star_law(hub, leaf, helped).log_pmf - expected).max() < 2e-10
    normal = stats.norm(0.6, 0.15)
    star = cascades.closed_forms.star_law(normal.cdf(m / h), float(normal.cdf(0)), float(normal.cdf(1)))
    tree = cascades.Threshold(undirected(h + 1, pairs), normal).size_distribution(method="tree")
    assert np.abs(star.log_pmf - tree.log_pmf).max() < 1e-9


def test_thresholds_that_are_whole_numbers_drawn_at_random() -> None:
    """A law with atoms; a threshold of 0 is met from the start."""
    n, rng = 6, np.random.default_rng(23)
    pairs = random_pairs(n, rng)
    for law in (stats.randint(0, 4), stats.randint(1, 3), stats.bernoulli(0.7)):
        model = cascades.Threshold(undirected(n, pairs), law, load=1.0)
        arcs = [(u, v, 1.0) for u, v in [*pairs, *[(v, u) for u, v in pairs]]]
        exact = law_of(n, *threshold_classes(n, arcs, [law.cdf] * n, np.full(n, 0.2)))
        for method in ("tree", "exact"):
            assert np.abs(model.size_distribution(np.full(n, 0.2), method=method).pmf - exact).max() < 1e-13


@pytest.mark.parametrize("kind", ["threshold", "linear"])
def test_marginals_given_the_size_of_other_models_on_trees(kind: str) -> None:
    rng = np.random.default_rng(24)
    n = 6
    pairs, chance = random_pairs(n, rng), rng.uniform(0, 0.3, n)
    law = stats.norm(0.5, 0.3) if kind == "threshold" else stats.uniform()
    arcs = loads_of(n, [*pairs, *[(v, u) for u, v in pairs]], "exposure")
    state, weight = threshold_classes(n, arcs, [law.cdf] * n, chance)
    wiring = undirected(n, pairs)
    model = cascades.Threshold(wiring, law) if kind == "threshold" else cascades.LinearThreshold(wiring)
    for size in np.flatnonzero(law_of(n, state, weight) > 1e-4).tolist():
        given = model.marginals_given_size(size, chance, runs=100_000, rng=0)
        tolerance = 1e-10 if given.samples is None else 5 * math.sqrt(0.25 / given.samples) + 1e-10
        assert np.abs(np.asarray(given) - members(n, state, weight, size)).max() < tolerance


# ---------------------------------------------------------------- closed forms


def test_printed_closed_forms() -> None:
    forms, normal = cascades.closed_forms, stats.norm(0.4, 0.25)
    printed = [0.71308981, 0.09998980, 0.01895258, 0.00439491, 0.00200932, 0.00452407, 0.15703951]
    assert np.abs(forms.complete_threshold_law(6, normal.cdf).pmf - printed).max() < 1e-8
    model = cascades.Threshold(complete(6), normal)
    assert np.abs(model.size_distribution(method="exact").pmf - printed).max() < 1e-8
    star = [0.713089810, 0.172364176, 0.0126792060, 0.000311860450, 0.0000561021520, 0.00364170653, 0.0978571386]
    hub = undirected(6, [(0, i) for i in range(1, 6)])
    for method in ("tree", "exact"):
        assert np.abs(cascades.Threshold(hub, normal).size_distribution(method=method).pmf - star).max() < 1e-9
    found = forms.star_law(normal.cdf(np.arange(6) / 5), float(normal.cdf(0)), float(normal.cdf(1)))
    assert np.abs(found.pmf - star).max() < 1e-9
    shared = [0.37714952, 0.33366586, 0.17045456, 0.06899445, 0.02492823, 0.00371161, 0.02109577]
    assert np.abs(forms.bundle_law(6, 0.15, lambda x: np.clip(x, 0, 1)).pmf - shared).max() < 1e-8
    none = sf.Wiring.from_edges([], [], units=6)
    bundle = cascades.LoadRedistribution(none, 0.15, stats.uniform(), sharing="global")
    assert np.abs(bundle.size_distribution(method="exact").pmf - shared).max() < 1e-8
    quasi = [0.531441, 0.17323046, 0.09677115, 0.06663876, 0.05162664, 0.043218, 0.03707398]
    assert np.abs(forms.quasi_binomial_law(6, 0.1, 0.12).pmf - quasi).max() < 1e-8


def test_complete_graph_against_all_classes() -> None:
    for n, law in ((2, LAWS[0]), (3, LAWS[1]), (4, LAWS[2]), (5, LAWS[3])):
        arcs = loads_of(n, list(itertools.permutations(range(n), 2)), "exposure")
        exact = law_of(n, *threshold_classes(n, arcs, [law.cdf] * n, np.zeros(n)))
        assert np.abs(cascades.closed_forms.complete_threshold_law(n, law.cdf).pmf - exact).max() < 1e-12


def rational_complete(chances: list[Fraction]) -> list[Fraction]:
    """P(n) = C(N, n) Q_n (1 - F_n)^(N - n), Q by its alternating recursion, which rationals survive."""
    units = len(chances)
    q: list[Fraction] = []
    for n in range(units + 1):
        lost = sum((math.comb(n, j) * q[j] * (1 - chances[j]) ** (n - j) for j in range(n)), Fraction(0))
        q.append(1 - lost)
    last = [*chances, Fraction(1)]
    return [math.comb(units, n) * q[n] * (1 - last[n]) ** (units - n) for n in range(units + 1)]


def test_complete_graph_in_the_far_tail() -> None:
    chances = [0.001 + 0.0002 * j * j / 40 for j in range(40)]
    exact = [float(math.log(x)) for x in rational_complete([Fraction(c) for c in chances])]
    found = cascades.closed_forms.complete_law(chances).log_pmf
    assert np.abs(found - exact).max() < 1e-11


def test_complete_graph_of_100_is_bimodal() -> None:
    law = cascades.closed_forms.complete_threshold_law(100, stats.norm(0.30, 0.15).cdf)
    assert abs(law.pmf.sum() - 1) <= 1e-12
    assert (law.pmf >= 0).all()
    assert law.pmf[0] == pytest.approx(0.10013, abs=1e-4)
    assert law.pmf[90:].sum() == pytest.approx(0.12521, abs=1e-4)
    assert law.mean() / 100 == pytest.approx(0.15470, abs=1e-4)
    groups = cascades.modes(law)
    assert len(groups) == 2
    assert sum(group.probability for group in groups) == pytest.approx(1, abs=0.02)


def test_quasi_binomial_is_the_linear_case() -> None:
    rng = np.random.default_rng(17)
    for n in range(1, 13):
        w = rng.uniform(0, 0.9 / n)
        p = rng.uniform(0.01, 0.99) * (1 - n * w)
        k = np.arange(n + 1)
        formula = special.comb(n, k) * p * (p + k * w) ** (k - 1.0) * (1 - p - k * w) ** (n - k)
        assert np.abs(cascades.closed_forms.complete_law(p + w * np.arange(n)).pmf - formula).max() < 1e-10
        assert np.abs(cascades.closed_forms.quasi_binomial_law(n, p, w).pmf - formula).max() < 1e-10


def test_quasi_binomial_that_saturates() -> None:
    """p + j w reaches 1 before the last unit: the rest of the law is at N."""
    for n, p, w in ((6, 0.2, 0.3), (10, 0.05, 0.5), (3, 1.0, 0.2), (5, 0.0, 0.3), (4, 0.3, 0.0)):
        chances = [min(Fraction(1), Fraction(p) + j * Fraction(w)) for j in range(n)]
        exact = [float(x) for x in rational_complete(chances)]
        assert np.abs(cascades.closed_forms.quasi_binomial_law(n, p, w).pmf - exact).max() < 1e-12
        assert np.abs(cascades.closed_forms.complete_law([float(c) for c in chances]).pmf - exact).max() < 1e-12


# ---------------------------------------------------------------- approximations


def test_tree_approximation_is_exact_on_trees() -> None:
    rng = np.random.default_rng(18)
    for n in (2, 7, 30):
        arcs, chance = both_ways(random_pairs(n, rng), rng), rng.uniform(0, 0.2, n)
        model = cascades.IndependentCascade(wired(n, arcs), numbers(arcs))
        exact = model.size_distribution(chance, method="tree").pmf
        assert np.abs(model.size_distribution(chance, method="tree-approximation").pmf - exact).max() < 1e-12


@pytest.mark.parametrize(("extra", "most"), [(0, 0.006), (3, 0.015), (10, 0.03), (25, 0.06)])
def test_tree_approximation_between_trees_and_graphs(extra: int, most: float) -> None:
    rng = np.random.default_rng(19 + extra)
    distances = []
    for graph in range(10):
        pairs = {(min(a), max(a)) for a in random_pairs(50, rng)}
        while len(pairs) < 49 + extra:
            u, v = sorted(rng.choice(50, 2, replace=False).tolist())
            pairs.add((u, v))
        model = cascades.IndependentCascade(undirected(50, sorted(pairs)), 0.2)
        rough = model.size_distribution(np.full(50, 0.02), method="tree-approximation")
        sampled = model.size_distribution(np.full(50, 0.02), method="monte-carlo", runs=60_000, rng=graph)
        assert rough.pmf[0] == pytest.approx(0.98**50, rel=1e-9)
        distances.append(np.abs(rough.pmf - sampled.pmf).sum() / 2)
    assert np.mean(distances) <= most


def test_mean_field_units_are_independent() -> None:
    rng = np.random.default_rng(20)
    n = 6
    arcs, chance = both_ways(random_pairs(n, rng), rng), rng.uniform(0, 0.5, n)
    model = cascades.IndependentCascade(wired(n, arcs), numbers(arcs))
    marginal = members(n, *open_arcs(n, arcs, chance))
    product = np.array([1.0])
    for x in marginal:
        product = np.convolve(product, [1 - x, x])
    assert np.abs(model.size_distribution(chance, method="mean-field").pmf - product).max() < 1e-12


def test_mean_field_marginals_are_probabilities_without_a_sign() -> None:
    """A lonely unit that nobody starts has probability 0, not -0."""
    model = cascades.IndependentCascade(sf.Wiring.from_edges([0], [1], units=3), 0.5)
    found = np.asarray(model.marginals([0], method="mean-field"))
    assert found.tolist() == [1.0, 0.5, 0.0]
    assert not np.signbit(found).any()


# ---------------------------------------------------------------- large random networks


def test_windows_of_watts() -> None:
    for phi, low, high in (
        (0.18, 1.0207, 5.7647),
        (0.25, 1.1141, 3.8631),
        (0.12, 1.0001, 10.6574),
        (0.15, 1.0037, 7.4771),
    ):
        (found,) = cascades.windows.window(phi)
        assert found == pytest.approx((low, high), abs=1e-3)
        k = math.floor(1 / phi + 1e-9) - 2
        assert found[1] * stats.poisson.cdf(k, found[1]) == pytest.approx(1, abs=1e-6)
    assert cascades.windows.window(0.1)[0][1] == pytest.approx(13.6593, abs=1e-3)
    assert cascades.windows.window(0.2)[0] == pytest.approx((1.0207, 5.7647), abs=1e-3)
    assert cascades.windows.window(0.26) == []


def test_cascade_condition_by_its_sum() -> None:
    rng = np.random.default_rng(21)
    law = rng.dirichlet(np.ones(12))
    k = np.arange(1, 12)
    normal = stats.norm(0.3, 0.1)
    expected = (k * (k - 1) * law[1:] * (normal.cdf(1 / k) - normal.cdf(0))).sum() / (k @ law[1:])
    assert cascades.windows.cascade_condition(law, normal) == pytest.approx(expected, rel=1e-10)
    expected = (k * (k - 1) * law[1:] * (1 / k >= 0.25 - 1e-12)).sum() / (k @ law[1:])
    assert cascades.windows.cascade_condition(law, 0.25) == pytest.approx(expected, rel=1e-10)


def gleeson_cahalane(law: np.ndarray, cdf, rho0: float) -> float:
    """Iterate q to its fixed point, then ρ."""
    z, q = law @ np.arange(len(law)), 0.0

    def reached(k: int, tries: int, x: float) -> float:
        m = np.arange(tries + 1)
        return float(stats.binom.pmf(m, tries, x) @ cdf(m / k)) if k else float(cdf(np.array([0.0]))[0])

    for _ in range(3000):
        new = rho0 + (1 - rho0) * sum(k * p / z * reached(k, k - 1, q) for k, p in enumerate(law) if k and p > 0)
        if abs(new - q) < 1e-13:
            break
        q = new
    return rho0 + (1 - rho0) * sum(p * reached(k, k, q) for k, p in enumerate(law) if p > 0)


def test_gleeson_cahalane() -> None:
    poisson = cascades.degree_laws.poisson
    for z, rho0, share in ((3, 0.01, 0.94120), (5, 0.01, 0.99310), (7, 1e-3, 0.00424), (7, 1e-2, 0.99909)):
        assert cascades.mean_field(poisson(z), 0.18, sources=rho0).share == pytest.approx(share, abs=1e-4)
    assert cascades.mean_field(stats.poisson(6), 0.18, sources=1e-4).share == pytest.approx(0.00238, abs=1e-4)
    assert cascades.mean_field(stats.poisson(6), 0.18, sources=1e-3).share == pytest.approx(0.99749, abs=1e-4)


def test_mean_field_against_an_iteration_of_ones_own() -> None:
    law = np.array([0.1, 0.2, 0.3, 0.25, 0.1, 0.05])
    for normal, rho0 in ((stats.norm(0.4, 0.2), 0.0), (stats.norm(0.5, 0.15), 0.05), (stats.uniform(0, 1), 0.02)):
        found = cascades.mean_field(law, normal, sources=rho0)
        assert found.converged
        assert found.share == pytest.approx(gleeson_cahalane(law, normal.cdf, rho0), abs=1e-8)
        assert (np.diff(found.over_time) >= -1e-15).all()
        assert found.share == pytest.approx(law @ found.by_degree, abs=1e-9)


def test_exposure_and_damage() -> None:
    poisson = stats.poisson.pmf(np.arange(19), 3)
    poisson /= poisson.sum()
    for mean, spread, exposure, damage in (
        (0.3, 0.2, 0.88496, 0.59865),
        (0.5, 0.3, 0.11382, 0.11494),
        (0.5, 0.2, 0.01185, 0.01189),
    ):
        normal = stats.norm(mean, spread)
        assert cascades.mean_field(poisson, normal).share == pytest.approx(exposure, abs=1e-3)
        assert cascades.mean_field(poisson, normal, load="damage").share == pytest.approx(damage, abs=1e-3)
    regular = cascades.degree_laws.regular(3)
    for mean, spread, share in ((0.5, 0.3, 0.121671), (0.4, 0.25, 0.252405)):
        both = [cascades.mean_field(regular, stats.norm(mean, spread), load=x).share for x in ("exposure", "damage")]
        assert both == pytest.approx([share, share], abs=1e-6)
        assert abs(both[0] - both[1]) < 1e-8


def test_fibre_bundle_in_the_limit() -> None:
    for load, share in ((0.1, 0.887298), (0.2, 0.723607), (0.24, 0.6), (0.26, 0.0)):
        assert cascades.windows.bundle(load, stats.uniform()).share == pytest.approx(share, abs=1e-5)
        if share:
            assert share == pytest.approx(0.5 + math.sqrt(0.25 - load), abs=1e-6)
    assert cascades.windows.critical_load(stats.uniform()) == pytest.approx((0.25, 0.5), abs=1e-6)
    weibull = stats.weibull_min(3)  # x exp(-x^3) has its largest value where 3 x^3 = 1
    x = 3 ** (-1 / 3)
    assert cascades.windows.critical_load(weibull) == pytest.approx((x * math.exp(-1 / 3), math.exp(-1 / 3)), abs=1e-6)


def test_bootstrap_percolation_in_the_limit() -> None:
    assert cascades.windows.bootstrap_critical(400_000, 5e-5) == pytest.approx(500, rel=1e-9)
    assert cascades.windows.bootstrap_final(400_000, 5e-5, 250) == pytest.approx(293, rel=0.05)
    assert cascades.windows.bootstrap_final(400_000, 5e-5, 400) == pytest.approx(552.8, rel=0.05)
    assert cascades.windows.bootstrap_final(400_000, 5e-5, 600) == pytest.approx(400_000, rel=1e-3)


# ---------------------------------------------------------------- branching


def test_borel() -> None:
    found = np.exp(cascades.branching.borel_log_pmf(np.arange(1, 6), 1.0))
    assert np.abs(found - [0.367879, 0.135335, 0.074681, 0.048842, 0.035093]).max() < 1e-6
    n = np.arange(1, 20_001)
    law = np.exp(cascades.branching.borel_log_pmf(n, 0.9))
    assert law @ n == pytest.approx(10, rel=1e-3)
    assert law @ (n - 10.0) ** 2 == pytest.approx(900, rel=1e-3)
    for r in (2, 5):
        k = np.arange(r, 40)
        formula = np.log(r / k) + stats.poisson.logpmf(k - r, 0.7 * k)
        assert np.allclose(cascades.branching.borel_log_pmf(k, 0.7, ancestors=r), formula, rtol=1e-12)
    assert np.exp(cascades.branching.borel_log_pmf([0, 1], 0.7, ancestors=2)).tolist() == [0.0, 0.0]
    assert np.exp(cascades.branching.borel_log_pmf([1, 2], 0.0)).tolist() == [1.0, 0.0]


def rational_progeny(offspring: list[Fraction], most: int, ancestors: int) -> list[Fraction]:
    """P(T = t) = (r / t) [x^(t - r)] f(x)^t in rationals."""
    out = [Fraction(0)] * (most + 1)
    power = [Fraction(1)]
    for t in range(1, most + 1):
        grown = [Fraction(0)] * min(len(power) + len(offspring) - 1, most + 1)
        for i, a in enumerate(power):
            for j, b in enumerate(offspring):
                if i + j < len(grown):
                    grown[i + j] += a * b
        power = grown
        if t >= ancestors and t - ancestors < len(power):
            out[t] = Fraction(ancestors, t) * power[t - ancestors]
    return out


def test_total_progeny() -> None:
    assert (
        np.abs(
            cascades.branching.total_progeny([0.25, 0.5, 0.25], 5)[1:] - [0.25, 0.125, 0.078125, 0.0546875, 0.041016]
        ).max()
        < 1e-6
    )
    binomial = stats.binom.pmf(np.arange(11), 10, 0.05)
    assert cascades.branching.total_progeny(binomial, 2)[1:] == pytest.approx([0.598737, 0.188677], abs=1e-6)
    offspring = [0.625, 0.0, 0.25, 0.0, 0.125]
    for r in (1, 3):
        exact = [float(x) for x in rational_progeny([Fraction(x) for x in offspring], 30, r)]
        assert np.allclose(cascades.branching.total_progeny(offspring, 30, ancestors=r), exact, rtol=1e-12, atol=0)


def test_extinction_and_survival() -> None:
    for offspring in ([0.25, 0.25, 0.5], [0.1, 0.2, 0.3, 0.4], [0.6, 0.1, 0.3], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]):
        u = 0.0
        for _ in range(4_000):
            u = float(np.polyval(offspring[::-1], u))
        tolerance = 1e-9 if offspring != [0.5, 0.0, 0.5] else 1e-3
        assert cascades.branching.extinction(offspring) == pytest.approx(u, abs=tolerance)
    assert cascades.branching.extinction([0.5, 0.0, 0.5]) == pytest.approx(1, abs=1e-7)
    giant = cascades.branching.extinction(stats.poisson(1.5).pmf(range(60)))
    assert 1 - giant == pytest.approx(0.582812, abs=1e-6)
    alive = cascades.branching.survival(lambda x: -math.expm1(-x), 1000)
    assert 100 * alive[100] == pytest.approx(1.9353, abs=1e-3)
    assert 1000 * alive[1000] == pytest.approx(1.9918, abs=1e-3)
    u, offspring = 0.0, [0.3, 0.3, 0.4]
    several = cascades.branching.survival(offspring, 10, ancestors=3)
    for t in range(11):
        assert several[t] == pytest.approx(1 - u**3, rel=1e-12)
        u = float(np.polyval(offspring[::-1], u))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda w: cascades.IndependentCascade(w, 1.5), ["1.5"]),
        (lambda w: cascades.IndependentCascade(w, [0.1, -0.25, 0.3]), ["1", "-0.25"]),
        (lambda w: cascades.IndependentCascade(w, [0.1, 0.2, math.nan]), ["2", "nan"]),
        (lambda w: cascades.IndependentCascade(w, [0.1, 0.2]), ["2", "3"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([7]), ["7"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([-1]), ["-1"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([2, 1, 2]), ["2"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([0.1, 1.25, 0.0]), ["unit 1", "1.25"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([0.1, math.nan, 0.0]), ["unit 1", "nan"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).sample([True, False]), ["2", "3"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).size_distribution([0], method="tree"), ["cycle"]),
        (lambda w: cascades.IndependentCascade(w, 0.5).size_distribution([0], method="best"), ["best"]),
        (lambda w: cascades.LinearThreshold(w, [0.5, 0.5, 1.5]), ["edge 2", "1.5"]),
        (lambda w: cascades.Threshold(w, [0.5, math.nan, 1]), ["unit 1"]),
        (lambda w: cascades.Threshold(w, [0.5, 0.5]), ["2", "3"]),
        (lambda w: cascades.Threshold(w, 0.5, load=[1, 1, -2]), ["edge 2", "-2"]),
        (lambda w: cascades.Threshold(w, 0.5, load="both"), ["both"]),
        (lambda w: cascades.LoadRedistribution(w, [0.1, -0.5, 0.1], 1.0), ["unit 1", "-0.5"]),
        (lambda w: cascades.LoadRedistribution(w, -0.5, 1.0), ["-0.5"]),
        (lambda w: cascades.LoadRedistribution(w, 0.5, [1.0, math.nan, 1.0]), ["unit 1"]),
        (lambda w: cascades.LoadRedistribution(w, 0.5, 1.0, sharing="fair"), ["fair"]),
        (lambda w: cascades.windows.window(math.nan), ["nan"]),
        (lambda w: cascades.mean_field([0.5, 0.6], 0.2), ["1.1"]),
        (lambda w: cascades.mean_field([0.5, -0.5, 1.0], 0.2), ["-0.5"]),
        (lambda w: cascades.closed_forms.complete_law([0.5, 0.4]), ["0.4"]),
    ],
)
def test_what_is_wrong_is_named(make, names: list[str]) -> None:
    ring = sf.Wiring.from_edges([0, 1, 2], [1, 2, 0])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make(ring)
    text = caught.value.render() if hasattr(caught.value, "render") else str(caught.value)
    for name in names:
        assert name in text, text


def test_too_much_influence_names_the_unit() -> None:
    wiring = sf.Wiring.from_edges([0, 1, 2, 3], [4, 4, 5, 5])
    with pytest.raises(ValueError, match="unit 5"):
        cascades.LinearThreshold(wiring, [0.5, 0.5, 0.6, 0.7])


def test_a_cycle_that_closes_names_an_arc_on_it() -> None:
    wiring = sf.Wiring.from_edges([0, 1, 2, 3, 4], [1, 2, 3, 1, 0])
    for model in (
        cascades.IndependentCascade(wiring, 0.1),
        cascades.LinearThreshold(wiring),
        cascades.Threshold(wiring, 0.5),
    ):
        with pytest.raises(ValueError, match="arc") as caught:
            model.size_distribution([0], method="tree")
        text = caught.value.render()
        assert any(f"{u} → {v}" in text for u, v in ((1, 2), (2, 3), (3, 1))), text
