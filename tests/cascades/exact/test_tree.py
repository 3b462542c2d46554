"""Oracles: enumeration, exact rationals and integers, printed vectors, roots of unity, logarithms, Monte Carlo."""

import decimal
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.exact.small import enumerate_independent
from sparsefire.cascades.exact.tree import _log_law, marginals, prepared, tree_law
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trees import random_tree


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


SHAPES = {
    "random": lambda i, rng: int(rng.integers(i)),
    "path": lambda i, rng: i - 1,
    "star": lambda i, rng: 0,
    "caterpillar": lambda i, rng: max(0, i - 1 - (i - 1) % 2),
    "binary": lambda i, rng: (i - 1) // 2,
    "broom": lambda i, rng: min(i - 1, 100),
    "stars in a row": lambda i, rng: max(0, i - 20) if i % 20 == 0 else i - i % 20,
}


def shape(name, n):
    rng = np.random.default_rng(12)
    parents = [SHAPES[name](i, rng) for i in range(1, n)]
    return parents, Wiring.from_edges(parents, range(1, n), units=n, directed=False)


def integer_law(parents, w, p):
    """The same in integers, w and p in sixteenths, each polynomial one long integer (Kronecker); P · 2^(12 n)."""
    n = len(parents) + 1
    slot = 12 * n + 16
    messages = [[(1, 1, 1)] for _ in range(n)]  # of the children: B, A, S
    for i in range(n - 1, -1, -1):
        while len(messages[i]) > 1:  # pairs of like size
            messages[i].sort(key=lambda m: m[0].bit_length(), reverse=True)
            one, two = messages[i].pop(), messages[i].pop()
            messages[i].append(tuple(x * y for x, y in zip(one, two, strict=True)))
        all_b, all_a, all_s = messages[i].pop()
        inactive, helped = (16 - p) * all_b, ((16 - p) * all_a) << slot
        alone = ((16 * all_s) << slot) - helped
        if i:
            kept = (16 - w) * 16 * alone
            passive = (16 - w) * 16 * inactive + 16 * w * helped
            messages[parents[i - 1]].append((256 * inactive + kept, passive + kept, passive + 256 * alone))
    law = (inactive + alone) << 8  # so that every unit has made a factor of 2^12
    return [Fraction((law >> (slot * k)) & ((1 << slot) - 1), 1 << (12 * n)) for k in range(n + 1)]


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


@pytest.mark.parametrize("name", SHAPES)
def test_three_hundred_units_against_integers(name):
    parents, wiring = shape(name, 300)
    for w, p in ((3, 1), (15, 1), (1, 15)):
        exact = integer_law(parents, w, p)
        assert sum(exact) == 1
        law = tree_law(wiring, w / 16, p / 16)
        logs = np.array([log_fraction(x) for x in exact])
        assert np.abs(law.log_pmf - logs).max() <= 1e-12
        held = logs > -700
        errors = [
            abs(float(Fraction(float(x)) / e - 1)) for x, e in zip(law.pmf[held], np.array(exact)[held], strict=True)
        ]
        assert max(errors) <= 1e-12


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


@pytest.mark.parametrize("name", ["random", "path", "star"])
def test_ten_thousand_units_down_to_five_thousand_decades(name):
    """P(all active) against the recursion for the highest coefficients alone, in decimals of 50 digits."""
    n = 10_000
    parents, wiring = shape(name, n)
    law = tree_law(wiring, 0.1875, 0.046875)
    assert law.log_pmf[-1] / math.log(10) < -5000
    with decimal.localcontext(prec=50, Emin=-(10**6), Emax=10**6):
        w, p = decimal.Decimal("0.1875"), decimal.Decimal("0.046875")
        all_a, all_s = [decimal.Decimal(1)] * n, [decimal.Decimal(1)] * n
        for i in range(n - 1, -1, -1):
            helped = (1 - p) * all_a[i]
            alone = all_s[i] - helped
            if i:
                all_a[parents[i - 1]] *= w * helped + (1 - w) * alone
                all_s[parents[i - 1]] *= w * helped + alone
        exact = float(alone.ln())
    assert law.log_pmf[-1] == pytest.approx(exact, abs=1e-11)  # of numbers near -12,000
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


def test_a_steep_valley_hides_the_side_that_is_steeper_still():
    """The logarithm falls by 41 a leaf from nobody and by 21 from everybody: no tilt shows both at their meeting."""
    wiring = Wiring.from_edges([0] * 199, range(1, 200), units=200, directed=False)
    found = tree_law(wiring, 1 - 1e-9, 1e-9).log_pmf
    slow = _log_law(*prepared(wiring, 1 - 1e-9, 1e-9))
    assert np.abs(found - slow).max() <= 1e-10
    assert found.min() > -2700


def test_gaps_of_impossible_sizes():
    n = 300
    wiring = Wiring.from_edges(range(0, n, 2), range(1, n, 2), units=n, directed=False)
    law = tree_law(wiring, 1.0, 1e-8)
    assert np.all(law.log_pmf[1::2] == -np.inf)
    assert np.isfinite(law.log_pmf[::2]).all()


def chi_square(sizes, pmf):
    """Return the p-value of Pearson's test, neighbouring sizes pooled up to 10 expected runs or more."""
    expected, seen = [0.0], [0]
    for e, count in zip(pmf * len(sizes), np.bincount(sizes, minlength=len(pmf)), strict=True):
        if expected[-1] >= 10:
            expected.append(0.0)
            seen.append(0)
        expected[-1] += e
        seen[-1] += count
    if expected[-1] < 10:
        last = expected.pop(), seen.pop()
        expected[-1], seen[-1] = expected[-1] + last[0], seen[-1] + last[1]
    assert len(expected) > 8
    return stats.chisquare(seen, np.array(expected) * (len(sizes) / np.sum(expected))).pvalue


@pytest.mark.parametrize("number", range(4))
def test_chi_square_against_monte_carlo(number):
    rng = np.random.default_rng(100 + number)
    wiring = random_tree(40, rng, both=number % 2 == 0)
    w, p = rng.uniform(0.1, 0.6, wiring.edges), rng.uniform(0.0, 0.1, 40)
    sizes = IndependentCascade(wiring, w).sample(p, runs=100_000, rng=number).sizes
    assert chi_square(sizes, tree_law(wiring, w, p).pmf) > 1e-4
    assert chi_square(sizes, tree_law(wiring, 1.05 * w, p).pmf) < 1e-4  # a law that is a little wrong is found out
    assert chi_square(sizes, tree_law(wiring, w, 1.05 * p).pmf) < 1e-4


def test_wrong_input_names_the_entry():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="probability must be") as caught:
        tree_law(pair, 1.5, 0.1)
    assert "1.5 in entry 0" in caught.value.came
    with pytest.raises(UserError, match="probability of unit 1"):
        tree_law(pair, 0.5, [0.1, float("nan")])
    with pytest.raises(UserError, match="closes a cycle"):
        tree_law(Wiring.from_edges([0, 1, 2], [1, 2, 0]), 0.5, 0.1)
    with pytest.raises(UserError, match="number of units"):
        tree_law(Wiring.from_edges([], [], units=0), 0.5, 0.1)
