"""Oracles: sums written out by hand, exact rationals over all patterns."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from sparsefire.cascades.exact.small import (
    enumerate_independent,
    enumerate_thresholds,
    neighbour_responses,
    uncertainty,
)
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def test_independent_cascade_against_rationals_on_a_graph_with_cycles():
    wiring = Wiring.from_edges([0, 1, 2, 2, 0, 0, 1], [1, 2, 0, 3, 3, 3, 1])  # a ring, a repeated arc, a loop
    w = [Fraction(k, 16) for k in (3, 5, 8, 1, 2, 9, 4)]
    p = [Fraction(k, 8) for k in (1, 2, 0, 3)]
    ends = list(zip([0, 1, 2, 2, 0, 0, 1], [1, 2, 0, 3, 3, 3, 1], strict=True))
    exact = [Fraction(0)] * 5
    for bits in itertools.product([0, 1], repeat=11):
        chance = Fraction(1)
        for bit, value in zip(bits, p + w, strict=True):
            chance *= value if bit else 1 - value
        active = {i for i in range(4) if bits[i]}
        for _ in range(4):
            active |= {v for (u, v), bit in zip(ends, bits[4:], strict=True) if bit and u in active}
        exact[len(active)] += chance
    law = enumerate_independent(wiring, [float(x) for x in w], [float(x) for x in p])
    assert np.allclose(law.pmf, [float(x) for x in exact], rtol=1e-14, atol=0)
    assert law.method == "enumeration"


def test_complete_graph_of_five_with_one_seed():
    ends = [(u, v) for u in range(5) for v in range(5) if u != v]
    wiring = Wiring.from_edges([u for u, _ in ends], [v for _, v in ends])
    law = enumerate_independent(wiring, 0.2, [1.0, 0, 0, 0, 0])
    assert np.allclose(law.pmf[1:], [0.4096, 0.2097152, 0.16357786, 0.13516145, 0.0819455], rtol=0, atol=1e-8)
    assert law.mean() == pytest.approx(2.2701372416, abs=1e-10)


def test_thresholds_of_a_triangle_by_hand():
    triangle = Wiring.from_edges([0, 0, 1], [1, 2, 2], directed=False)
    law = enumerate_thresholds(triangle, [[0.5, 0.75, 0.75], [0.0, 0.5, 1.0], [0.0, 0.0, 1.0]])
    # unit 0 alone active by itself (1/2); then 1 with 1/2; then 2 for certain: sizes 0, 1, 3
    assert np.allclose(law.pmf, [0.5, 0.25, 0.0, 0.25], rtol=0, atol=1e-15)


def test_too_much_is_refused_and_counted():
    wiring = Wiring.from_edges(range(11), range(1, 12))
    assert uncertainty(wiring, 0.5, 0.5) == 23
    with pytest.raises(UserError, match="too much") as caught:
        enumerate_independent(wiring, 0.5, 0.5)
    assert "11 uncertain arcs and 12 uncertain sources" in caught.value.came
    with pytest.raises(UserError, match="too much"):
        enumerate_thresholds(Wiring.from_edges(range(21), range(1, 22)), [[0.5], *([0.1, 0.2] for _ in range(21))])
    with pytest.raises(UserError, match="every unit needs"):
        enumerate_thresholds(wiring, [[0.5]])


def test_response_to_the_share_of_active_neighbours():
    wiring = Wiring.from_edges([0, 1, 2], [2, 2, 0])
    assert [r.tolist() for r in neighbour_responses(wiring, lambda x: x / 2)] == [[0.0, 0.5], [0.0], [0.0, 0.25, 0.5]]
