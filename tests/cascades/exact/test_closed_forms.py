"""Oracles: the printed vectors, enumeration, each closed form against the other solvers, exact rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.exact.closed_forms import (
    bundle_law,
    complete_independent_law,
    complete_law,
    complete_threshold_law,
    is_complete,
    quasi_binomial_law,
    star_hub,
    star_law,
)
from sparsefire.cascades.exact.small import enumerate_independent, enumerate_thresholds, neighbour_responses
from sparsefire.cascades.exact.threshold_tree import threshold_tree_law
from sparsefire.cascades.exact.tree import tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

NORMAL = stats.norm(0.4, 0.25).cdf


def complete(n):
    ends = [(u, v) for u in range(n) for v in range(u)]
    return Wiring.from_edges([u for u, _ in ends], [v for _, v in ends], units=n, directed=False)


def rational_complete(failing):
    """P(n) by the recursion with alternating signs, in exact rationals."""
    size = len(failing)
    f = [Fraction(float(x)) for x in failing] + [Fraction(1)]
    q = []
    for n in range(size + 1):
        q.append(1 - sum(math.comb(n, j) * q[j] * (1 - f[j]) ** (n - j) for j in range(n)))
    return [math.comb(size, n) * q[n] * (1 - f[n]) ** (size - n) for n in range(size + 1)]


def test_printed_vectors():
    expected = [0.71308981, 0.09998980, 0.01895258, 0.00439491, 0.00200932, 0.00452407, 0.15703951]
    assert np.allclose(complete_threshold_law(6, NORMAL).pmf, expected, rtol=0, atol=1e-8)
    expected = [0.713089810, 0.172364176, 0.0126792060, 0.000311860450, 0.0000561021520, 0.00364170653, 0.0978571386]
    star = star_law(NORMAL(np.arange(6) / 5), NORMAL(0.0), NORMAL(1.0))
    assert np.allclose(star.pmf, expected, rtol=0, atol=1e-9)
    expected = [0.531441, 0.17323046, 0.09677115, 0.06663876, 0.05162664, 0.043218, 0.03707398]
    assert np.allclose(quasi_binomial_law(6, 0.1, 0.12).pmf, expected, rtol=0, atol=1e-8)
    expected = [0.6561, 0.1492992, 0.09157018, 0.06634045, 0.03669017]
    assert np.allclose(complete_independent_law(4, 0.2, 0.1).pmf, expected, rtol=0, atol=1e-8)
    expected = [0.59049, 0.13436928, 0.08790737, 0.0764242, 0.06762732, 0.04318183]
    assert np.allclose(complete_independent_law(5, 0.2, 0.1).pmf, expected, rtol=0, atol=1e-8)
    expected = [0.37714952, 0.33366586, 0.17045456, 0.06899445, 0.02492823, 0.00371161, 0.02109577]
    assert np.allclose(bundle_law(6, 0.15, stats.uniform.cdf).pmf, expected, rtol=0, atol=1e-8)


def test_complete_graph_against_enumeration():
    graph = complete(6)
    exact = enumerate_thresholds(graph, neighbour_responses(graph, NORMAL)).pmf
    assert np.abs(complete_threshold_law(6, NORMAL).pmf - exact).max() <= 1e-12
    exact = enumerate_independent(complete(4), 0.35, 0.15).pmf
    assert np.abs(complete_independent_law(4, 0.35, 0.15).pmf - exact).max() <= 1e-13


def test_complete_graph_of_a_hundred_is_bimodal():
    law = complete_threshold_law(100, stats.norm(0.30, 0.15).cdf)
    assert abs(law.pmf.sum() - 1) <= 1e-12
    assert (law.pmf >= 0).all()
    assert law.pmf[0] == pytest.approx(0.10013, abs=1e-5)
    assert law.pmf[90:].sum() == pytest.approx(0.12521, abs=1e-5)
    assert law.mean() / 100 == pytest.approx(0.15470, abs=1e-5)
    exact = rational_complete(stats.norm(0.30, 0.15).cdf(np.arange(100) / 99))
    # the steps of F between neighbours lose digits by themselves, the chain adds almost nothing
    assert max(abs(float(Fraction(float(x)) / e - 1)) for x, e in zip(law.pmf, exact, strict=True)) <= 1e-11


def test_quasi_binomial_identity():
    rng = np.random.default_rng(1)
    for size in range(1, 13):
        p = rng.random() * 0.5
        w = rng.random() * (1 - p) / size
        chain = complete_law(p + w * np.arange(size))
        assert np.abs(chain.pmf - quasi_binomial_law(size, p, w).pmf).max() <= 1e-10
    saturated = quasi_binomial_law(10, 0.2, 0.15)
    assert np.abs(saturated.pmf - complete_law(np.minimum(1, 0.2 + 0.15 * np.arange(10))).pmf).max() <= 1e-12
    assert quasi_binomial_law(1_000_000, 1e-6, 0.9e-6).pmf.sum() == pytest.approx(1.0, abs=1e-8)


def test_certain_and_impossible_units():
    assert complete_law([0.0, 0.5, 1.0]).pmf.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert complete_law([1.0, 1.0]).pmf.tolist() == [0.0, 0.0, 1.0]
    assert complete_independent_law(3, 1.0, 0.5).pmf == pytest.approx([0.125, 0, 0, 0.875], abs=1e-15)
    assert quasi_binomial_law(4, 0.0, 0.1).pmf.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert star_law([0.0, 1.0, 1.0], 0.5, 1.0).pmf == pytest.approx([0.25, 0, 0, 0.75], abs=1e-15)


def test_star_against_the_tree():
    h = 60
    star = Wiring.from_edges([0] * h, range(1, h + 1), directed=False)
    exact = tree_law(star, 1e-3, 1e-4).log_pmf
    hub = -np.expm1(np.log1p(-1e-4) + np.arange(h + 1) * np.log1p(-1e-3))
    leaf = -math.expm1(math.log1p(-1e-4) + math.log1p(-1e-3))
    # relative: F1 - F0 is a difference of two numbers near 1e-3
    assert np.abs(star_law(hub, 1e-4, leaf).log_pmf - exact).max() <= 1e-10
    exact = threshold_tree_law(star, neighbour_responses(star, NORMAL)).log_pmf
    found = star_law(NORMAL(np.arange(h + 1) / h), NORMAL(0.0), NORMAL(1.0)).log_pmf
    assert np.abs(found - exact).max() <= 1e-10


def test_shapes_are_recognised():
    assert is_complete(complete(5))
    assert not is_complete(Wiring.from_edges([0, 0, 1, 1, 2, 2], [1, 1, 0, 2, 0, 1]))
    assert not is_complete(Wiring.from_edges([0, 0, 1, 1, 2, 2], [1, 2, 0, 1, 0, 1]))
    assert star_hub(Wiring.from_edges([3, 3, 3], [0, 1, 2], directed=False)) == 3
    assert star_hub(Wiring.from_edges([0, 1, 2], [1, 2, 3], directed=False)) is None


def test_wrong_input():
    with pytest.raises(UserError, match="must not fall"):
        complete_law([0.5, 0.4])
    with pytest.raises(UserError) as caught:
        complete_law([0.5, 1.4])
    assert "1.4 in entry 1" in caught.value.came
    with pytest.raises(UserError, match="needs units"):
        quasi_binomial_law(0, 0.1, 0.1)
    with pytest.raises(UserError, match="a load is 0 or more"):
        bundle_law(3, -1.0, stats.uniform.cdf)
    with pytest.raises(UserError, match="only help"):
        star_law([0.1, 0.2], 0.5, 0.4)
