"""Oracles: sums written out by hand, exact rationals over all patterns."""

import itertools
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sparsefire.cascades.exact.small import (
    enumerate_independent,
    enumerate_thresholds,
    independent_enumeration,
    live_enumeration,
    neighbour_responses,
    threshold_enumeration,
    uncertainty,
)
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trees import live_joint, open_arcs_joint, random_weights, threshold_joint


def test_independent_cascade_against_rationals_on_a_graph_with_cycles():
    wiring = Wiring.from_edges([0, 1, 2, 2, 0, 0, 1], [1, 2, 0, 3, 3, 3, 1])  # a ring, a repeated arc, a loop
    w = [Fraction(k, 16) for k in (3, 5, 8, 1, 2, 9, 4)]
    p = [Fraction(k, 8) for k in (1, 2, 0, 3)]
    ends = list(zip([0, 1, 2, 2, 0, 0, 1], [1, 2, 0, 3, 3, 3, 1], strict=True))
    exact, joint = [Fraction(0)] * 5, np.full((5, 4), Fraction(0))
    for bits in itertools.product([0, 1], repeat=11):
        chance = Fraction(1)
        for bit, value in zip(bits, p + w, strict=True):
            chance *= value if bit else 1 - value
        active = {i for i in range(4) if bits[i]}
        for _ in range(4):
            active |= {v for (u, v), bit in zip(ends, bits[4:], strict=True) if bit and u in active}
        exact[len(active)] += chance
        joint[len(active), sorted(active)] += chance
    law = enumerate_independent(wiring, [float(x) for x in w], [float(x) for x in p])
    assert np.allclose(law.pmf, [float(x) for x in exact], rtol=1e-14, atol=0)
    assert law.method == "enumeration"
    solution = independent_enumeration(wiring, [float(x) for x in w], [float(x) for x in p])
    assert np.allclose(solution.active(None), joint.sum(axis=0).astype(float), rtol=1e-14, atol=0)
    for size in range(5):
        assert np.allclose(solution.active(size), (joint[size] / exact[size]).astype(float), rtol=1e-14, atol=0)


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


RING_AND_CHORDS = Wiring.from_edges([0, 1, 2, 3, 4, 0, 2, 2, 3], [1, 2, 3, 4, 0, 2, 0, 2, 2])


def same(solution, law, joint):
    assert solution.method == "enumeration"
    assert np.allclose(solution.law().pmf, law, rtol=1e-13, atol=1e-16)
    assert np.allclose(solution.active(None), joint.sum(axis=0), rtol=1e-13, atol=1e-16)
    assert solution.active(None).sum() == pytest.approx(solution.law().mean(), rel=1e-13)
    for size in range(len(law)):
        if law[size] < 1e-14:
            continue
        found = solution.active(size)
        assert np.allclose(found, joint[size] / law[size], rtol=1e-13, atol=1e-15)
        assert found.sum() == pytest.approx(size, rel=1e-13)
        assert found.max() <= 1


@pytest.mark.parametrize("p", [[1.0, 0.0, 0.0, 0.0, 0.0], [0.2, 0.0, 0.5, 0.0, 0.1]], ids=["sure", "chances"])
def test_who_is_active_where_there_are_cycles(p):
    """A ring with chords, a loop among them: plain loops over open arcs, over whom to follow, over what is needed."""
    rng = np.random.default_rng(6)
    w = rng.choice([1.0, 0.3, 0.7], RING_AND_CHORDS.edges)
    same(independent_enumeration(RING_AND_CHORDS, w, p), *open_arcs_joint(RING_AND_CHORDS, w, p))
    w = random_weights(RING_AND_CHORDS, rng)
    found = live_enumeration(RING_AND_CHORDS, RING_AND_CHORDS.per_arc(w), np.array(p))
    same(found, *live_joint(RING_AND_CHORDS, w, np.array(p)))
    responses = [x + (1 - x) * np.sort(rng.random(k + 1)) for x, k in zip(p, RING_AND_CHORDS.in_degrees, strict=True)]
    same(threshold_enumeration(RING_AND_CHORDS, responses), *threshold_joint(RING_AND_CHORDS, responses))


def test_sizes_that_cannot_be_are_refused():
    ring = Wiring.from_edges([0, 1, 2], [1, 2, 0])
    for solution in (
        independent_enumeration(ring, 0.5, [0]),
        live_enumeration(ring, np.full(3, 0.5), np.array([1.0, 0.0, 0.0])),
        threshold_enumeration(ring, [[1.0, 1.0], [0.0, 0.5], [0.0, 0.5]]),
    ):
        with pytest.raises(UserError, match="this size is impossible"):
            solution.active(0)
        assert solution.active(1).tolist() == [1.0, 0.0, 0.0]
        assert solution.active(None).tolist() == [1.0, 0.5, 0.25]


def test_weights_that_add_up_to_one_but_for_rounding_leave_nobody():
    star = Wiring.from_edges([0, 1, 2, 3, 4, 5], [6] * 6)
    law = live_enumeration(star, np.full(6, 1 / 6), np.append(np.ones(6), 0.0)).law()
    assert sum([1 / 6] * 6) < 1
    assert law.pmf[6] == 0


def test_many_units_of_which_few_are_uncertain_take_no_table():
    """A path of 30,000 sure arcs: one pattern, and one row of units."""
    n = 30_000
    path = Wiring.from_edges(range(n - 1), range(1, n))
    solution = independent_enumeration(path, np.append(np.ones(n - 2), 0.5), [0])
    assert solution.law().pmf[n - 1 :].tolist() == [0.5, 0.5]
    assert solution.active(n - 1).tolist() == [1.0] * (n - 1) + [0.0]
    assert solution.active(None)[-2:].tolist() == [1.0, 0.5]


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
