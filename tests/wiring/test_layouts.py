"""Oracles: the published formulas worked by hand, an independent solver (scipy), hypothesis properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from sparsefire.errors import UserError
from sparsefire.wiring import LAYOUTS, densities, layer_counts
from sparsefire.wiring.layouts import FAN_IN_FLOOR, PROPORTIONS, balanced, erk, keep_count, uniform

MLP = [(256, 64), (256, 256), (10, 256)]  # 16,384 + 65,536 + 2,560 = 84,480 weights

shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=7,
)


def test_amounts_follow_the_published_formulas() -> None:
    found = [(10, 20), (4, 3, 5, 5)]
    assert uniform(found).tolist() == [200.0, 300.0]
    assert erk(found).tolist() == [30.0, 4 + 3 + 5 + 5]  # density times size
    assert balanced(found).tolist() == [1.0, 1.0]


def test_erk_by_hand() -> None:
    # 5% of 84,480 = 4,224 in proportion 320 : 512 : 266 (of 1,098): 1231.0…, 1969.6…, 1023.3…
    assert layer_counts(MLP, 0.05, "erk") == [1231, 1970, 1023]


def test_erk_is_solved_again_after_a_layer_is_full() -> None:
    # 30% = 25,344: in proportion the last layer would hold 6,139 > 2,560. Full, it leaves 22,784 for 320 : 512.
    assert layer_counts(MLP, 0.3, "erk") == [8763, 14021, 2560]


def test_two_clamps_in_a_row() -> None:
    # balanced, 150 of 111 + 100 + 10: thirds of 50 clamp the 10, halves of 70 fit; with 40 more, halves of 90 fit too
    found = [(111, 1), (100, 1), (10, 1)]
    assert layer_counts(found, 150 / 221, "balanced") == [70, 70, 10]
    assert layer_counts(found, 215 / 221, "balanced") == [105, 100, 10]


def test_uniform_keeps_the_same_density_everywhere() -> None:
    assert layer_counts([(10, 10), (20, 10), (5, 20)], 0.1, "uniform") == [10, 20, 10]


@settings(deadline=None)
@given(shapes, st.floats(0.001, 1.0), st.sampled_from(sorted(LAYOUTS)))
def test_counts_are_exact_and_fit(found: list[tuple[int, ...]], density: float, layout: str) -> None:
    sizes = [math.prod(shape) for shape in found]
    total = max(1, round(density * sum(sizes)))
    floor = FAN_IN_FLOOR.get(layout, 0)
    floors = [max(1, min(size, math.ceil(floor * shape[0]))) for size, shape in zip(sizes, found, strict=True)]
    assume(total >= sum(floors))
    counts = layer_counts(found, density, layout)
    assert sum(counts) == total
    assert all(least <= count <= size for least, count, size in zip(floors, counts, sizes, strict=True))


@settings(deadline=None)
@given(shapes, st.floats(0.01, 0.999), st.sampled_from(sorted(PROPORTIONS)))
def test_counts_round_the_solution_of_the_clamped_equation(
    found: list[tuple[int, ...]], density: float, layout: str
) -> None:
    sizes = np.array([math.prod(shape) for shape in found], dtype=float)
    total = round(density * sizes.sum())
    assume(len(found) <= total < sizes.sum())
    amounts = PROPORTIONS[layout](found)
    factor = brentq(lambda c: np.minimum(sizes, c * amounts).sum() - total, 0, (sizes / amounts).max() * 2, xtol=1e-13)
    exact = np.minimum(sizes, factor * amounts)
    assume((exact >= 1).all())  # layers lifted to one weight take from the largest
    assert np.abs(np.array(layer_counts(found, density, layout)) - exact).max() < 1 + 1e-6


def test_a_layer_that_would_get_nothing_keeps_one_weight() -> None:
    assert layer_counts([(1000, 100), (2, 1)], 0.001, "uniform") == [99, 1]


@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.0001, 2, float("nan"), float("inf"), "0.5", None])
def test_a_density_is_a_share(density: object) -> None:
    with pytest.raises(UserError, match="density is the share") as caught:
        layer_counts(MLP, density, "erk")
    assert "(0, 1]" in caught.value.expected


def test_other_errors_say_what_would_be_right() -> None:
    with pytest.raises(UserError) as caught:
        layer_counts(MLP, 0.5, "pyramid")
    assert "balanced" in caught.value.expected
    with pytest.raises(UserError, match="2 weights for 3 layers") as caught:
        layer_counts([(10, 10)] * 3, 2 / 300, "erk")
    assert "0.01" in caught.value.attempt
    layer_counts([(10, 10)] * 3, 0.01, "erk")  # and the advice works


@pytest.mark.parametrize(("size", "density", "expected"), [(84_480, 0.05, 4224), (10, 0.01, 1), (3, 1, 3), (7, 0.5, 4)])
def test_keep_count_rounds_and_keeps_one(size: int, density: float, expected: int) -> None:
    assert keep_count(size, density) == expected
    assert keep_count(size, np.float32(density)) == expected


@settings(deadline=None)
@given(shapes, st.floats(0.01, 0.999), st.floats(0, 4))
def test_pyramidal_counts_round_the_published_root_above_the_floor(
    found: list[tuple[int, ...]], density: float, floor: float
) -> None:
    sizes = np.array([math.prod(shape) for shape in found], dtype=float)
    floors = np.maximum(1, np.minimum(sizes, np.ceil([floor * shape[0] for shape in found])))
    total = round(density * sizes.sum())
    assume(floors.sum() < total < sizes.sum())
    depth = np.arange(1, len(found) + 1)
    r = brentq(lambda r: np.maximum(sizes * r**depth, floors).sum() - total, 0, 1, xtol=1e-14)
    counts = layer_counts(found, density, "pyramidal", fan_in_floor=floor)
    assert sum(counts) == total
    assert np.abs(np.array(counts) - np.maximum(sizes * r**depth, floors)).max() < 1 + 1e-6


def test_pyramidal_root_of_the_reference_example() -> None:
    # 784-100-(100 x 5)-10 at 0.1: r = 0.1611 and next to nothing in layer 6, so the floor has to hold it up
    found = [(100, 784), *[(100, 100)] * 5, (10, 100)]
    bare = layer_counts(found, 0.1, "pyramidal", fan_in_floor=0)
    assert bare[0] / 78_400 == pytest.approx(0.1611, abs=1e-4)
    assert bare[-3:] == [1, 1, 1]
    held = layer_counts(found, 0.1, "pyramidal")
    assert held[2:] == [300, 300, 300, 300, 30]
    assert sum(held) == sum(bare) == round(0.1 * 129_400)


def test_a_floor_under_any_layout() -> None:
    counts = layer_counts([(10, 100), (100, 10), (50, 100)], 0.1, "uniform", fan_in_floor=3)
    assert counts[1] == 300
    assert sum(counts) == 700
    assert layer_counts([(4, 2), (4, 100)], 0.5, "erk", fan_in_floor=3)[0] == 8  # no more than there is


def test_floors_that_do_not_fit_say_what_would() -> None:
    with pytest.raises(UserError, match="fan-in need 1,566") as caught:
        layer_counts(MLP, 0.01, "pyramidal")
    assert "0.0186" in caught.value.attempt
    layer_counts(MLP, 0.0186, "pyramidal")  # and the advice works
    with pytest.raises(UserError, match="floor is a number"):
        layer_counts(MLP, 0.1, "erk", fan_in_floor=-1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_densities_by_name_hit_the_whole(layout: str) -> None:
    named = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}
    found = densities(named, density=0.1, layout=layout)
    assert list(found) == list(named)
    kept = sum(share * math.prod(named[name]) for name, share in found.items())
    assert kept == pytest.approx(0.1 * 266_200, abs=0.51)


def test_erk_densities_of_the_reference_example() -> None:
    found = densities(dict(enumerate([(100, 784), *[(100, 100)] * 5, (10, 100)])), 0.1, "erk")
    assert [found[i] for i in (0, 1, 6)] == pytest.approx([0.0732, 0.1298, 0.7138], abs=1e-3)


@pytest.mark.parametrize("wrong", [{}, [(3, 4)], {"a": (3,)}, {"a": (3, 0)}, {"a": (3, 2.5)}])
def test_wrong_shapes_are_named(wrong: object) -> None:
    with pytest.raises(UserError):
        densities(wrong, 0.5)
