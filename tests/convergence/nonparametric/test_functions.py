"""Functions have the smoothness that they say, everywhere, and the exponent that follows from it."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.convergence.nonparametric.functions import (
    Function,
    _signs,
    additive,
    composition,
    hoelder,
    linear,
    minimax_exponent,
    multi_index,
    single_index,
)
from sparsefire.errors import UserError


def differences(f: Function, x: np.ndarray, h: float, order: int, axis: int = 0) -> np.ndarray:
    """Return Δ_h^order f at rows."""
    step = np.zeros(x.shape[1])
    step[axis] = h
    return sum((-1) ** k * math.comb(order, k) * f(x + k * step) for k in range(order + 1))


def slope(h: np.ndarray, values: np.ndarray) -> float:
    return float(np.polyfit(np.log(h), np.log(values), 1)[0])


def every_kind() -> list[Function]:
    inner = [multi_index(1.0, 4, 2, rng=i) for i in range(2)]
    return [
        hoelder(0.5, 1, rng=0),
        hoelder(1.0, 2, rng=0),
        hoelder(2.0, 5, rng=0),
        additive(1.0, 3, rng=0),
        single_index(0.5, 5, rng=0),
        multi_index(2.0, 4, 2, rng=0),
        composition(inner, hoelder(1.5, 2, rng=3)),
        linear(6, 2, rng=0),
    ]


@pytest.mark.parametrize("f", every_kind())
def test_mean_is_zero_and_variance_one(f: Function) -> None:
    rows = 100_000
    values = f(np.random.default_rng(1).random((rows, f.dimension)))
    assert abs(values.mean()) < 4 / math.sqrt(rows) + 0.005
    assert abs(values.var() - 1) < 4 * np.square(values).std() / math.sqrt(rows) + 0.01


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("dimension", [1, 2])
def test_mean_square_differences_fall_with_twice_the_smoothness(beta: float, dimension: int) -> None:
    h = 2.0 ** -np.arange(5, 9)
    x = np.random.default_rng(0).random((4_000, dimension))
    order = math.floor(beta) + 1
    found = np.zeros(len(h))
    for number in range(6):
        f = hoelder(beta, dimension, rng=number)
        found += [np.square(differences(f, x, step, order, number % dimension)).mean() for step in h]
    assert abs(slope(h, found) / 2 - beta) < 0.05


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_no_part_of_the_cube_is_smoother(beta: float) -> None:
    h = 2.0 ** -np.arange(8, 14)
    f = hoelder(beta, 1, rng=5)
    for left in np.arange(16) / 16:
        x = left + np.linspace(0, 1 / 16, 5000)[:, None]
        found = [np.square(differences(f, x, step, 2)).mean() for step in h]
        assert abs(slope(h, np.array(found)) / 2 - beta) < 0.08


def test_largest_increments_are_those_of_a_hoelder_function() -> None:
    x = np.random.default_rng(0).random((10_000, 1))
    for beta, order in ((0.25, 1), (0.5, 1), (1.5, 2)):
        f = hoelder(beta, 1, rng=1)
        ratios = [np.abs(differences(f, x, h, order)).max() / h**beta for h in 2.0 ** -np.arange(2, 12)]
        assert max(ratios) / min(ratios) < 3


def test_what_a_grid_leaves_over_falls_as_the_class_says() -> None:
    m = 2 ** np.arange(2, 8)
    x = (np.arange(2**14) + 0.5) / 2**14
    left = np.zeros(len(m))
    for number in range(10):
        values = hoelder(0.5, 1, rng=number)(x[:, None])
        left += [np.var(values.reshape(pieces, -1), axis=1).mean() for pieces in m]
    assert abs(-slope(m.astype(float), left) - 1) < 0.06


def test_hoelder_is_its_formula() -> None:
    f = hoelder(1.5, 2, rng=4)
    x = np.random.default_rng(0).random((5, 2))
    shape, found = f.shape, np.zeros(5)
    for number, shift, key in zip(shape.numbers, shape.shifts, shape.keys, strict=True):
        for i, row in enumerate(x):
            cell = np.array([[math.floor(number * row[j] + shift[j]) for j in range(2)]]).astype(np.uint64)
            bump = math.prod(abs(math.sin(math.pi * (number * row[j] + shift[j]))) ** 2 for j in range(2))
            found[i] += number**-1.5 * _signs(cell, key)[0] * bump
    np.testing.assert_allclose(f(x), (found - f.mean) / f.deviation, atol=1e-10)
    np.testing.assert_allclose(shape.numbers[1:] / shape.numbers[:-1], math.sqrt(2))


def test_signs_are_fair_and_independent_of_their_neighbours() -> None:
    grid = np.stack(np.meshgrid(np.arange(-200, 200), np.arange(-200, 200), indexing="ij"), axis=-1)
    signs = _signs(grid.reshape(-1, 2).astype(np.uint64), np.uint64(99)).reshape(400, 400)
    others = _signs(grid.reshape(-1, 2).astype(np.uint64), np.uint64(100)).reshape(400, 400)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    for product in (signs, signs[1:] * signs[:-1], signs[:, 1:] * signs[:, :-1], signs * others, signs * signs.T):
        off = product[~np.eye(400, dtype=bool)] if product.shape == (400, 400) else product
        assert abs(off.mean()) < 4 * math.sqrt(2 / off.size)


def test_the_same_rng_gives_the_same_function() -> None:
    x = np.random.default_rng(0).random((20, 2))
    assert np.array_equal(hoelder(1.0, 2, rng=7)(x), hoelder(1.0, 2, rng=7)(x))
    assert not np.allclose(hoelder(1.0, 2, rng=7)(x), hoelder(1.0, 2, rng=8)(x))


def test_exponents() -> None:
    assert hoelder(2.0, 5, rng=0).exponent == 4 / 9
    assert additive(0.5, 5, rng=0).exponent == 0.5
    assert single_index(1.0, 5, rng=0).exponent == 2 / 3
    assert multi_index(2.0, 5, 2, rng=0).exponent == 4 / 6
    assert linear(10, rng=0).exponent == 1.0
    inner = [hoelder(0.5, 2, rng=i) for i in range(3)]
    # β* of the inner layer is 0.5 · min(0.8, 1) = 0.4 with t = 2; the outer one has 0.8 with t = 3
    assert composition(inner, hoelder(0.8, 3, rng=3)).exponent == pytest.approx(min(0.8 / 2.8, 1.6 / 4.6))
    # a smooth outer function leaves the inner one as it is
    assert composition(inner, hoelder(3.0, 3, rng=3)).exponent == pytest.approx(1 / 3)
    # the worst of several inner functions counts
    mixed = [additive(2.0, 2, rng=0), hoelder(0.5, 2, rng=1)]
    assert composition(mixed, hoelder(3.0, 2, rng=3)).exponent == pytest.approx(1 / 3)
    # a composition of compositions: β of the innermost shrinks at every rough layer after it
    twice = composition(single_index(0.5, 4, rng=0), hoelder(0.5, 1, rng=1))
    deep = composition(twice, hoelder(0.5, 1, rng=2))
    assert deep.exponent == pytest.approx(0.25 / (0.25 + 1))


def test_additive_has_no_mixed_differences() -> None:
    f, x = additive(1.0, 3, rng=0), np.full((1, 3), 0.3)
    moved = [x + np.array(step) for step in ([0.2, 0, 0], [0, 0.1, 0.3], [0.2, 0.1, 0.3])]
    assert f(moved[2]) - f(moved[0]) - f(moved[1]) + f(x) == pytest.approx(0, abs=1e-10)
    assert f.coordinates(x) is None


def test_multi_index_sees_its_indices_only() -> None:
    f = multi_index(1.0, 5, 2, rng=0)
    rows = f.shape.rows
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-12)
    x = np.full((1, 5), 0.5)
    away = np.linalg.svd(rows)[2][2]
    assert f(x + 0.3 * away) == pytest.approx(f(x), abs=1e-10)
    assert abs(float((f(x + 0.3 * rows[0]) - f(x))[0])) > 1e-3


@pytest.mark.parametrize(
    ("layers", "exponent"),
    [
        ([(1.0, 2)], 0.5),
        ([(2.0, 1), (1.0, 1)], 2 / 3),  # additive: β₀* = 2, β₁* = 1
        ([(0.5, 1), (0.5, 3)], 1 / 4),  # β₀* = 1/4 with t = 1 gives 1/3; β₁* = 1/2 with t = 3 gives 1/4
        ([(2.0, 4), (0.5, 1), (3.0, 1)], 1 / 3),  # β₀* = 2 · ½ = 1 with t = 4
        ([(math.inf, 9)], 1.0),
    ],
)
def test_exponents_of_compositions_by_hand(layers: list, exponent: float) -> None:
    assert minimax_exponent(layers) == pytest.approx(exponent, abs=1e-14)


@given(st.floats(0.1, 5.0), st.integers(1, 9), st.floats(1.0, 4.0))
@settings(max_examples=50, deadline=None)
def test_a_smooth_function_of_a_rougher_one_changes_nothing(beta: float, t: int, outer: float) -> None:
    """β_l ≥ 1 further out leaves β* as it is; an outer function as smooth, on t inputs, is no slower."""
    assert minimax_exponent([(beta, t), (max(outer, beta), t)]) == pytest.approx(2 * beta / (2 * beta + t), rel=1e-12)


@pytest.mark.parametrize("wrong", [[], 3, [(0.0, 2)], [(1.0, 0)], [(1.0, 1.5)], [("a", 1)], [(1.0,)], [(math.nan, 1)]])
def test_layers_that_are_none(wrong) -> None:
    with pytest.raises(UserError):
        minimax_exponent(wrong)


def test_composition_is_its_formula() -> None:
    inner, outer = [single_index(1.0, 3, rng=i) for i in range(2)], hoelder(2.0, 2, rng=2)
    f, x = composition(inner, outer), np.random.default_rng(0).random((50, 3))
    raw = outer(0.5 + np.stack([part(x) for part in inner], axis=1) / math.sqrt(12))
    np.testing.assert_allclose(f(x), (raw - f.mean) / f.deviation, atol=1e-12)


@pytest.mark.parametrize("f", [hoelder(1.0, 2, rng=0), single_index(1.0, 5, rng=0), every_kind()[6]])
def test_coordinates_are_in_the_cube(f: Function) -> None:
    seen = f.coordinates(np.random.default_rng(0).random((1000, f.dimension)))
    assert seen is not None
    assert 0 <= seen.min() < seen.max() <= 1


def test_linear_is_linear() -> None:
    f, x = linear(20, 3, rng=0), np.random.default_rng(0).random((10, 20))
    slopes = np.array([float((f(np.eye(20)[[i]]) - f(np.zeros((1, 20))))[0]) for i in range(20)])
    assert np.count_nonzero(np.abs(slopes) > 1e-9) == 3
    assert np.sum(slopes**2) / 12 == pytest.approx(1)
    np.testing.assert_allclose(f(x), (x - 0.5) @ slopes, atol=1e-10)


def test_samples_are_uniform_rows_and_noisy_values() -> None:
    f = hoelder(1.0, 2, rng=0)
    x, y = f.sample(40_000, 0.5, rng=3)
    again, same = f.sample(40_000, 0.5, rng=3)
    assert np.array_equal(x, again)
    assert np.array_equal(y, same)
    residuals = y - f(x)
    assert abs(residuals.mean()) < 4 * 0.5 / 200
    assert abs(residuals.std() - 0.5) < 4 * 0.5 / math.sqrt(2 * 40_000)
    assert abs(np.mean(x) - 0.5) < 4 / math.sqrt(12 * 80_000)
    assert np.array_equal(f.sample(10, 0.0, rng=1)[1], f(f.sample(10, 0.0, rng=1)[0]))


@pytest.mark.parametrize("f", every_kind())
def test_functions_travel_to_other_processes(f: Function) -> None:
    x = np.random.default_rng(0).random((10, f.dimension))
    assert np.array_equal(pickle.loads(pickle.dumps(f))(x), f(x))


def test_wrong_input_is_named() -> None:
    f = hoelder(1.0, 2, rng=0)
    for wrong in (0, -1, 9, math.nan, True, "1"):
        with pytest.raises(UserError, match="smoothness"):
            hoelder(wrong)
    for wrong in (0, 1.5, True, 7):
        with pytest.raises(UserError, match="dimension"):
            hoelder(1.0, wrong)
    with pytest.raises(UserError, match="indices"):
        multi_index(1.0, 2, 3)
    with pytest.raises(UserError, match="coefficients"):
        linear(2, 3)
    with pytest.raises(UserError, match="another number of arguments"):
        composition([f, f], hoelder(1.0, 3, rng=0))
    with pytest.raises(UserError, match="same input"):
        composition([f, hoelder(1.0, 3, rng=0)], f)
    with pytest.raises(UserError, match="made of functions"):
        composition([np.sin], f)
    with pytest.raises(UserError, match="rows"):
        f(np.zeros(2))
    with pytest.raises(UserError, match="rows"):
        f(np.zeros((4, 3)))
    with pytest.raises(UserError, match="sample size"):
        f.sample(0, 1.0)
    with pytest.raises(UserError, match="noise"):
        f.sample(10, -1.0)
