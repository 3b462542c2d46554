"""Oracles: enumeration of all patterns, exact rationals, printed vectors, roots of unity, logarithms."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sparsefire.cascades.conditional import marginals_given_size
from sparsefire.cascades.forest import is_forest
from sparsefire.cascades.small import enumerate_independent
from sparsefire.cascades.stitch import stitched
from sparsefire.cascades.tree import _log_law, marginals, prepared, tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def random_tree(n, rng, *, both=True, forest=False):
    parents = [int(rng.integers(i)) for i in range(1, n)]
    keep = rng.random(n - 1) < (0.7 if forest else 2)
    senders, receivers = [], []
    names = rng.permutation(n)
    for i, parent in enumerate(parents, start=1):
        if not keep[i - 1]:
            continue
        ends = [(names[i], names[parent]), (names[parent], names[i])]
        for sender, receiver in ends if both else ends[: rng.integers(1, 3)]:
            senders.append(sender)
            receivers.append(receiver)
    return Wiring.from_edges(np.array(senders, dtype=int), np.array(receivers, dtype=int), units=n)


def rational_law(wiring, w, p):
    """The recursion of section 1a with subtraction, in exact rationals."""
    n = wiring.units
    out = [dict() for _ in range(n)]
    for arc in range(wiring.arcs):
        out[wiring.senders[arc]][int(wiring.receivers[arc])] = Fraction(float(w[arc]))
    p = [Fraction(float(x)) for x in p]
    near = [sorted({*out[u], *(v for v in range(n) if u in out[v])}) for u in range(n)]

    def times(one, two):
        found = [Fraction(0)] * (len(one) + len(two) - 1)
        for i, a in enumerate(one):
            if a:
                for j, b in enumerate(two):
                    found[i + j] += a * b
        return found

    def plus(*terms):
        found = [Fraction(0)] * max(len(x) for _, x in terms)
        for c, x in terms:
            for k, value in enumerate(x):
                found[k] += c * value
        return found

    seen, law = set(), [Fraction(1)]
    for root in range(n):
        if root in seen:
            continue
        order, parent = [root], {root: None}
        for u in order:
            for v in near[u]:
                if v != parent[u]:
                    parent[v] = u
                    order.append(v)
        seen |= set(order)
        messages = {}
        for u in reversed(order):
            all_b = all_a = all_s = [Fraction(1)]
            for c in near[u]:
                if c != parent[u]:
                    b, a, t = messages.pop(c)
                    all_b, all_a, all_s = times(all_b, b), times(all_a, a), times(all_s, plus((1, a), (1, t)))
            q = 1 - p[u]
            inactive, helped = plus((q, all_b)), [Fraction(0), *plus((q, all_a))]
            alone = plus((1, [Fraction(0), *all_s]), (-1, helped))
            if parent[u] is None:
                law = times(law, plus((1, inactive), (1, alone)))
                continue
            up, down = out[u].get(parent[u], Fraction(0)), out[parent[u]].get(u, Fraction(0))
            messages[u] = (
                plus((1, inactive), (1 - up, alone)),
                plus((1 - down, inactive), (down, helped), (1 - up, alone)),
                plus((up, alone)),
            )
    return law


def log_fraction(x):
    if x == 0:
        return -math.inf
    shift = x.numerator.bit_length() - x.denominator.bit_length()
    scaled = x / Fraction(2) ** shift
    return math.log(scaled) + shift * math.log(2)


@pytest.mark.parametrize("n", range(1, 8))
def test_equals_enumeration_on_random_trees(n):
    rng = np.random.default_rng(n)
    for _ in range(6):
        wiring = random_tree(n, rng)
        w, p = rng.random(wiring.edges), rng.random(n)
        if 3 * n - 2 > 18:  # leave out some sources so that all patterns can be gone through
            p[rng.permutation(n)[: 3 * n - 2 - 17]] = 0.0
        exact = enumerate_independent(wiring, w, p).pmf
        assert np.abs(tree_law(wiring, w, p).pmf - exact).max() <= 1e-12


def test_forests_with_missing_directions_sure_arcs_and_sure_sources():
    rng = np.random.default_rng(3)
    for _ in range(30):
        wiring = random_tree(7, rng, both=False, forest=True)
        w = rng.choice([0.0, 0.3, 1.0], wiring.edges)
        p = rng.choice([0.0, 0.2, 1.0], 7)
        law = tree_law(wiring, w, p)
        assert np.abs(law.pmf - enumerate_independent(wiring, w, p).pmf).max() <= 1e-12
        assert np.array_equal(law.log_pmf > -np.inf, enumerate_independent(wiring, w, p).pmf > 0)


def test_printed_vectors_of_path_and_star():
    path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    star = Wiring.from_edges([0, 0, 0, 0], [1, 2, 3, 4], directed=False)
    expected = [0.59049, 0.2309472, 0.11915942, 0.04459277, 0.01248883, 0.00232178]
    assert np.allclose(tree_law(path, 0.2, 0.1).pmf, expected, rtol=0, atol=1e-8)
    expected = [0.59049, 0.23682586, 0.09667123, 0.0562775, 0.01770163, 0.00203378]
    assert np.allclose(tree_law(star, 0.2, 0.1).pmf, expected, rtol=0, atol=1e-8)


def test_tail_of_the_binary_tree_against_rationals():
    wiring = Wiring.from_edges([(i - 1) // 2 for i in range(1, 60)], range(1, 60), directed=False)
    law = tree_law(wiring, 0.05, 0.01)
    assert law.pmf[60] == pytest.approx(9.0653e-70, rel=1e-4)
    assert law.pmf[0] == pytest.approx(0.54715664, abs=1e-8)
    exact = rational_law(wiring, np.full(wiring.arcs, 0.05), np.full(60, 0.01))
    assert max(abs(float(Fraction(float(x)) / e - 1)) for x, e in zip(law.pmf, exact, strict=True)) <= 1e-12
    assert law.mean() == pytest.approx(float(sum(k * e for k, e in enumerate(exact))), rel=1e-13)
    assert law.mean() == pytest.approx(0.66288538, abs=3e-8)  # as printed: its last digit is 2 too high


@pytest.mark.parametrize(
    ("w", "p"), [(1e-30, 1e-40), (1e-200, 0.5), (0.5, 1e-200), (1e-12, 1 - 1e-12), (0.999, 1e-100)]
)
def test_far_tails_against_rationals(w, p):
    rng = np.random.default_rng(8)
    wiring = random_tree(30, rng)
    found = tree_law(wiring, w, p).log_pmf
    exact = [log_fraction(x) for x in rational_law(wiring, np.full(wiring.arcs, w), np.full(30, p))]
    assert np.abs(found - exact).max() <= 1e-12 + 4e-16 * np.abs(exact).max()


def test_far_tails_of_random_trees_against_rationals():
    rng = np.random.default_rng(9)
    for _ in range(3):
        wiring = random_tree(30, rng, both=False)
        w, p = 10.0 ** rng.uniform(-100, 0, wiring.arcs), 10.0 ** rng.uniform(-100, 0, 30)
        found = tree_law(wiring, w[np.argsort(wiring.given)], p).log_pmf
        exact = np.array([log_fraction(x) for x in rational_law(wiring, w, p)])
        assert np.array_equal(np.isfinite(found), np.isfinite(exact))
        some = np.isfinite(exact)
        assert np.abs(found[some] - exact[some]).max() <= 1e-12 + 4e-16 * np.abs(exact[some]).max()


def test_two_thousand_units_against_roots_of_unity():
    rng = np.random.default_rng(5)
    n = 2000
    parents = [int(rng.integers(i)) for i in range(1, n)]
    wiring = Wiring.from_edges(parents, range(1, n), units=n, directed=False)
    law = tree_law(wiring, 0.2, 0.01)
    y = np.exp(2j * np.pi * np.arange(n + 1) / (n + 1))
    all_b, all_a, all_s = (np.ones((n, n + 1), complex) for _ in range(3))
    for i in range(n - 1, -1, -1):
        inactive, helped = 0.99 * all_b[i], 0.99 * y * all_a[i]
        alone = y * all_s[i] - helped
        if i:
            all_b[parents[i - 1]] *= inactive + 0.8 * alone
            all_a[parents[i - 1]] *= 0.8 * inactive + 0.2 * helped + 0.8 * alone
            all_s[parents[i - 1]] *= 0.8 * inactive + 0.2 * helped + alone
    exact = np.fft.fft(inactive + alone).real / (n + 1)
    assert np.abs(law.pmf - exact).max() <= 1e-13
    assert abs(law.pmf.sum() - 1) <= 1e-12
    assert law.mean() == pytest.approx(marginals(wiring, 0.2, 0.01).sum(), rel=1e-12)


def test_ten_thousand_units_down_to_five_thousand_decades():
    """P(all active) against the recursion for the highest coefficients alone, in logarithms."""
    rng = np.random.default_rng(6)
    n = 10_000
    wiring = Wiring.from_edges([int(rng.integers(i)) for i in range(1, n)], range(1, n), units=n, directed=False)
    law = tree_law(wiring, 0.2, 0.05)
    assert law.log_pmf[-1] / math.log(10) < -5000
    forest, p, up, down = prepared(wiring, 0.2, 0.05)
    top_a, top_ratio = np.zeros(n), np.zeros(n)  # log ∏A, and log ∏S - log ∏A
    total = None
    for i in range(n - 1, -1, -1):
        alone = math.log(p[i] + (1 - p[i]) * -math.expm1(-top_ratio[i])) + top_a[i] + top_ratio[i]
        helped = math.log(1 - p[i]) + top_a[i]
        if forest.parent[i] < 0:
            total = alone
            continue
        a = np.logaddexp(math.log(down[i]) + helped, math.log(1 - up[i]) + alone)
        s = np.logaddexp(math.log(down[i]) + helped, alone)
        top_a[forest.parent[i]] += a
        top_ratio[forest.parent[i]] += s - a
    assert law.log_pmf[-1] == pytest.approx(total, abs=1e-10)  # of numbers near -12,750
    assert np.isfinite(law.log_pmf).all()


def test_tilted_passes_agree_with_logarithms():
    rng = np.random.default_rng(7)
    wiring = random_tree(400, rng)
    w, p = rng.random(wiring.edges) * 1e-3, rng.random(400) * 1e-3
    found = tree_law(wiring, w, p).log_pmf
    slow = _log_law(*prepared(wiring, w, p))
    assert np.abs(found - slow).max() <= 1e-10
    assert found.min() < -2000


def test_valley_that_no_tilt_reaches():
    """A hub that all leaves follow for certain but one in 1e-9: nearly nobody or nearly everybody."""
    wiring = Wiring.from_edges([0] * 99, range(1, 100), units=100)
    sources = np.append(0.5, np.full(99, 1e-9))
    law = tree_law(wiring, 1 - 1e-9, sources)
    k = np.arange(100)
    choose = np.array([math.lgamma(100) - math.lgamma(j + 1) - math.lgamma(100 - j) for j in k])
    stay = (1 - sources[1]) * (1 - (1 - 1e-9))
    down = math.log(0.5) + choose + k * math.log(1e-9) + (99 - k) * math.log1p(-1e-9)
    up = math.log(0.5) + choose + k * math.log1p(-stay) + (99 - k) * math.log(stay)
    exact = np.logaddexp(np.append(down, -np.inf), np.append(-np.inf, up))
    assert exact.min() < -900
    assert np.abs(law.log_pmf - exact).max() <= 1e-10


def test_gaps_of_impossible_sizes():
    n = 300
    wiring = Wiring.from_edges(range(0, n, 2), range(1, n, 2), units=n, directed=False)
    law = tree_law(wiring, 1.0, 1e-8)
    assert np.all(law.log_pmf[1::2] == -np.inf)
    assert np.isfinite(law.log_pmf[::2]).all()


def test_marginals_against_enumeration_of_conditioned_runs():
    rng = np.random.default_rng(4)
    for _ in range(8):
        wiring = random_tree(6, rng, forest=True)
        w, p = rng.random(wiring.edges), rng.random(6)
        uncertain = rng.permutation(wiring.edges)[:4]
        sure = np.setdiff1d(np.arange(wiring.edges), uncertain)
        w[sure] = rng.integers(0, 2, len(sure))
        joint = np.zeros((7, 6))
        for pattern in range(2 ** (6 + len(uncertain))):
            bits = np.array([(pattern >> k) & 1 for k in range(6 + len(uncertain))], dtype=bool)
            active, is_open = bits[:6].copy(), w == 1
            is_open[uncertain] = bits[6:]
            chance = np.prod(np.where(bits[:6], p, 1 - p)) * np.prod(np.where(bits[6:], w[uncertain], 1 - w[uncertain]))
            before = -1
            while before != active.sum():
                before = active.sum()
                for arc in np.flatnonzero(is_open[wiring.given]):
                    active[wiring.receivers[arc]] |= active[wiring.senders[arc]]
            joint[active.sum()] += chance * active
        assert np.allclose(marginals(wiring, w, p), joint.sum(axis=0), rtol=0, atol=1e-12)
        law = tree_law(wiring, w, p).pmf
        for size in np.flatnonzero(law > 0):
            found = marginals_given_size(wiring, w, p, int(size))
            assert np.allclose(found * law[size], joint[size], rtol=0, atol=1e-12)


def test_marginals_given_size_add_up():
    rng = np.random.default_rng(11)
    wiring = random_tree(150, rng)
    w, p = rng.random(wiring.edges) * 0.1, rng.random(150) * 0.01
    law = tree_law(wiring, w, p)
    total = np.zeros(150)
    for size in range(0, 15):
        found = marginals_given_size(wiring, w, p, size)
        assert found.sum() == pytest.approx(size, rel=1e-11, abs=1e-11)
        total += found * law.pmf[size]
    assert law.survival[14] < 1e-6
    assert np.allclose(total, marginals(wiring, w, p), atol=2e-5)
    assert marginals_given_size(wiring, w, p, 140).sum() == pytest.approx(140, rel=1e-10)  # P about 1e-250


def test_wrong_input_names_the_entry():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="probability must be") as caught:
        tree_law(pair, 1.5, 0.1)
    assert "1.5 in entry 0" in caught.value.came
    with pytest.raises(UserError) as caught:
        tree_law(pair, 0.5, [0.1, float("nan")])
    assert "nan in entry 1" in caught.value.came
    with pytest.raises(UserError, match=r"(0 → 1|1 → 2|2 → 0) closes"):
        tree_law(Wiring.from_edges([0, 1, 2], [1, 2, 0]), 0.5, 0.1)
    with pytest.raises(UserError, match="3 → 4 is given twice"):
        tree_law(Wiring.from_edges([0, 3, 3], [1, 4, 4]), 0.5, 0.1)
    with pytest.raises(UserError, match="2 → 2 is a loop"):
        tree_law(Wiring.from_edges([0, 2], [1, 2]), 0.5, 0.1)
    with pytest.raises(UserError, match="number of units"):
        tree_law(Wiring.from_edges([], [], units=0), 0.5, 0.1)
    with pytest.raises(UserError, match="impossible"):
        marginals_given_size(pair, 0.5, [0.0, 0.0], 1)
    assert is_forest(Wiring.from_edges([0, 1], [1, 0]))
    assert not is_forest(Wiring.from_edges([0, 1], [1, 0], directed=False))


def test_stitching_fills_by_the_fallback_what_tilts_miss():
    logs = np.array([0.0, -5000.0, 0.0])

    def run(mantissa, exponent):
        tilted = logs + np.arange(3) * (math.log(mantissa) + exponent * math.log(2))
        return np.where(tilted > tilted.max() - 690, tilted, -np.inf), True

    assert stitched(run, 3, 0, 2, lambda: logs).tolist() == logs.tolist()
