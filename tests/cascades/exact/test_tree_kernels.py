"""Oracles: exact rationals for one message, breadth-first depths, and tilts, which change no probability."""

import math
from fractions import Fraction

import numpy as np
import pytest

from sparsefire.cascades.exact._scaled import WIDTH
from sparsefire.cascades.exact._tree_kernels import (
    A,
    B,
    D,
    _weights,
    hang,
    independent_marginals,
    independent_pass,
    reached,
)
from sparsefire.cascades.exact.tree import _log_law, prepared
from sparsefire.wiring.graph import Wiring

LN2 = math.log(2)


def random_pairs(n, rng):
    names = rng.permutation(n)
    low, high = [], []
    for i in range(1, n):
        u, v = names[i], names[rng.integers(i)]
        low.append(min(u, v))
        high.append(max(u, v))
    return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)


def pass_over(wiring, w, p, mantissa, exponent):
    forest, sources, up, down = prepared(wiring, w, p)
    return independent_pass(forest.size, forest.starts, forest.children, sources, up, down, mantissa, exponent)


@pytest.mark.parametrize("n", [1, 2, 3, 50, 51])
def test_hanging_puts_parents_first_and_the_centroid_on_top(n):
    rng = np.random.default_rng(n)
    low, high = random_pairs(n, rng)
    bad, order, parent, size, via = hang(n, low, high)
    assert bad == -1
    assert parent[0] == via[0] == -1
    for i in range(1, n):
        assert parent[i] < i < parent[i] + size[parent[i]]
        assert {low[via[i]], high[via[i]]} == {order[i], order[parent[i]]}
        if parent[i] == 0:
            assert 2 * size[i] <= n
    assert size[0] == n


def test_hanging_names_the_pair_that_closes_a_cycle():
    low, high = np.array([0, 1, 3, 0, 4]), np.array([1, 2, 4, 2, 5])
    assert hang(6, low, high)[0] == 3


def test_reached_over_open_arcs():
    parent = np.array([-1, 0, 1, 1, -1])
    start = np.array([False, False, True, False, False])
    up = np.array([False, False, True, True, True])
    down = np.array([False, True, True, True, True])
    assert reached(parent, start, up, down) == 3  # 2 itself, its parent, its parent's other child
    up[1] = True
    assert reached(parent, start, up, down) == 4


@pytest.mark.parametrize("p", [0.0, 1e-300, 0.3, 1.0])
@pytest.mark.parametrize("a", [0.0, 1e-250, 0.7, 1 - 2.0**-53, 1.0])
@pytest.mark.parametrize("b", [0.0, 1e-310, 0.2, 1.0])
def test_weights_of_a_message(p, a, b):
    """Also where their products are far below 1e-308."""
    weights, exponents = np.empty((3, 3)), np.empty((3, 3), np.int64)
    _weights(p, a, b, 0.625, 40, weights, exponents)
    found = [
        [Fraction(float(m)) * Fraction(2) ** int(e) for m, e in zip(*row, strict=True)]
        for row in zip(weights, exponents, strict=True)
    ]
    q, not_a, not_b = Fraction(1.0 - p), Fraction(1.0 - a), Fraction(1.0 - b)
    p, a, b, r = Fraction(p), Fraction(a), Fraction(b), Fraction(0.625) * 2**40
    exact = [[None] * 3 for _ in range(3)]
    exact[B] = [q, not_a * p * r, not_a * r]
    exact[A] = [not_b * q, (b * q + not_a * p) * r, not_a * r]
    exact[D] = [Fraction(0), a * p * r, a * r]
    assert (B, A, D) == (0, 1, 2)
    for row, other in zip(found, exact, strict=True):
        for x, e in zip(row, other, strict=True):
            assert x == e or (e > 0 and abs(float(x / e - 1)) < 1e-15)


@pytest.mark.parametrize(("mantissa", "exponent"), [(0.5, 1), (0.5, 0), (0.8, 3), (0.9, -4)])
def test_tilts_change_no_probability(mantissa, exponent):
    rng = np.random.default_rng(3)
    low, high = random_pairs(120, rng)
    wiring = Wiring.from_edges(low, high, units=120, directed=False)
    w, p = rng.uniform(0.01, 0.9, wiring.edges), rng.uniform(0.001, 0.1, 120)
    logs, dropped = pass_over(wiring, w, p, mantissa, exponent)
    assert not dropped
    exact = _log_law(*prepared(wiring, w, p))
    tilt = np.arange(121) * (math.log(mantissa) + exponent * LN2)
    assert np.abs(logs - tilt - exact).max() < 2e-12


def test_a_pass_says_that_it_dropped_something_and_what_it_shows_is_right():
    """Each unit costs 2^-100: of every 16 sizes a block shows few; but those it shows are right."""
    path = Wiring.from_edges(range(99), range(1, 100), directed=False)
    logs, dropped = pass_over(path, 2.0**-100, 2.0**-100, 0.5, 1)
    assert dropped
    exact = _log_law(*prepared(path, 2.0**-100, 2.0**-100))
    assert np.isfinite(logs[:5]).all()
    assert np.abs(logs[:5] - exact[:5]).max() < 1e-12
    assert (logs[WIDTH:] == -np.inf).any()
    logs, dropped = pass_over(path, 2.0**-100, 2.0**-100, 0.5, 101)
    assert not dropped
    assert np.abs(logs - np.arange(100 + 1) * 100 * LN2 - exact).max() < 1e-10


def test_marginals_up_and_down_of_three_in_a_row():
    p, w, v = np.array([0.1, 0.2, 0.3]), 0.5, 0.25  # 0 – 1 – 2; w towards the parent, v away from it
    up, down = np.array([0.0, w, w]), np.array([0.0, v, v])
    found = independent_marginals(np.array([-1, 0, 1]), p, up, down, np.array([0, 1, 2, 2, 3]), np.array([1, 2, 0]))
    at_1 = 1 - (1 - 0.2) * (1 - w * 0.3)
    assert found[0] == pytest.approx(1 - 0.9 * (1 - w * at_1), rel=1e-14)
    assert found[1] == pytest.approx(1 - 0.8 * (1 - w * 0.3) * (1 - v * 0.1), rel=1e-14)
    from_1 = 1 - 0.8 * (1 - v * 0.1)
    assert found[2] == pytest.approx(1 - 0.7 * (1 - v * from_1), rel=1e-14)
