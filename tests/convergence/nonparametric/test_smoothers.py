"""The reference estimator is least squares, and its exponent is the one it is known to have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparsefire.convergence.nonparametric.functions import (
    Function,
    additive,
    hoelder,
    linear,
    multi_index,
    single_index,
)
from sparsefire.convergence.nonparametric.smoothers import fit_pieces, fit_sum, smoother_risk
from sparsefire.errors import UserError


def exponent(make, sizes: list[int], noise: float, replicates: int) -> float:
    """Return minus the slope of log mean risk on log n, each replicate with a function of its own."""
    functions: list[Function] = [make(number) for number in range(replicates)]
    risks = [[smoother_risk(f, n, noise, rng=i).risk for n in sizes] for i, f in enumerate(functions)]
    return -float(np.polyfit(np.log(sizes), np.log(np.mean(risks, axis=0)), 1)[0])


def test_regressogram_is_the_mean_of_each_cell() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((500, 2)), generator.normal(size=500)
    fit = fit_pieces(x, y, (3, 2), ridge=1e-12)
    cells = np.floor(x * [3, 2]).astype(int) @ [2, 1]
    expected = np.array([y[cells == cell].mean() for cell in range(6)])
    np.testing.assert_allclose(fit(x), expected[cells], atol=1e-8)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_polynomials_are_found_again(dimension: int) -> None:
    generator = np.random.default_rng(0)
    x, fresh = generator.random((3000, dimension)), generator.random((50, dimension))

    def truth(points: np.ndarray) -> np.ndarray:
        return 1 + points[:, 0] - 2 * points[:, -1] * points[:, 0]

    fit = fit_pieces(x, truth(x), 2, degree=2, ridge=1e-9)
    np.testing.assert_allclose(fit(fresh), truth(fresh), atol=1e-5)


def test_one_cell_is_ridge_regression() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((30, 1)), generator.normal(size=30)
    design = np.polynomial.legendre.legvander(2 * x[:, 0] - 1, 3) * np.sqrt([1, 3, 5, 7])
    expected = np.linalg.solve(design.T @ design + 0.7 * np.eye(4), design.T @ y)
    np.testing.assert_allclose(fit_pieces(x, y, 1, 3, ridge=0.7).coefficients[0], expected, atol=1e-10)


def test_sum_is_least_squares_of_its_columns() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((300, 2)), generator.normal(size=300)
    cells = np.floor(x * 4).astype(int)
    design = np.concatenate([np.eye(4)[cells[:, 0]], np.eye(4)[cells[:, 1]]], axis=1)
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(fit_sum(x, y, 4, ridge=1e-8)(x), expected, atol=1e-6)


def test_corners_belong_to_the_last_cells() -> None:
    x = np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(fit_pieces(x, [1.0, 2.0], 7, ridge=1e-9)(x), [1.0, 2.0], atol=1e-6)


def test_risk_of_a_regressogram_of_a_line_is_exact() -> None:
    """f = √12 (x − ½) leaves m^(-2), and noise adds σ² m/n (1 + m/n + …), the mean of σ² over a cell's rows."""
    f, m, n, noise = linear(1, rng=0), 5, 2000, 1.0
    x, fresh = np.random.default_rng(0).random((200, n, 1)), (np.arange(1000)[:, None] + 0.5) / 1000
    generator, risks = np.random.default_rng(1), []
    for rows in x:
        fit = fit_pieces(rows, f(rows) + noise * generator.normal(size=n), m, ridge=1e-9)
        risks.append(np.mean((fit(fresh) - f(fresh)) ** 2))
    # in a cell f itself is noise of variance 1/m² around the mean
    expected = 1 / m**2 + (noise**2 + 1 / m**2) * m / n * (1 + m / n)
    assert abs(np.mean(risks) - expected) < 4 * np.std(risks) / math.sqrt(len(risks)) + 1e-5


def test_oracle_grid_is_the_best_of_those_around_it() -> None:
    f = hoelder(1.0, 1, rng=0)
    best = smoother_risk(f, 2000, 0.5, rng=1)
    for pieces in (best.pieces[0] // 2, best.pieces[0] * 2, best.pieces[0] + 5):
        fixed = smoother_risk(f, 2000, 0.5, rng=1, pieces=pieces)
        assert fixed.pieces == (pieces,)
        assert fixed.risk >= best.risk


def test_risk_comes_again_and_lies_below_that_of_the_mean() -> None:
    f = hoelder(1.0, 2, rng=0)
    found = smoother_risk(f, 1000, 0.5, rng=4)
    assert found == smoother_risk(f, 1000, 0.5, rng=4)
    assert found.risk < 0.5
    assert found.degree == 1


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_exponent_in_one_dimension(beta: float) -> None:
    found = exponent(lambda i: hoelder(beta, 1, rng=i), [1000, 4000, 16_000], 1.0, 10)
    assert abs(found - 2 * beta / (2 * beta + 1)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dimension", [1, 2])
def test_exponent_is_that_of_the_class(beta: float, dimension: int) -> None:
    sizes = np.logspace(3, 5.5, 6).astype(int).tolist()
    found = exponent(lambda i: hoelder(beta, dimension, rng=i), sizes, 1.0, 12)
    assert abs(found - 2 * beta / (2 * beta + dimension)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_exponent_in_five_dimensions(beta: float) -> None:
    """Two to nine pieces an axis are all that half a million rows allow; at noise 0.4 they show the exponent."""
    sizes = np.logspace(3.5, 5.7, 5).astype(int).tolist()
    found = exponent(lambda i: hoelder(beta, 5, rng=i), sizes, 0.4, 2)
    assert abs(found - 2 * beta / (2 * beta + 5)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("make", [additive, single_index])
def test_structure_gives_the_exponent_of_one_dimension(make) -> None:
    sizes = [1000, 4000, 16_000]
    assert abs(exponent(lambda i: make(1.0, 5, rng=i), sizes, 1.0, 4) - 2 / 3) < 0.1


def test_structure_helps() -> None:
    f = multi_index(1.0, 5, 1, rng=0)
    known = smoother_risk(f, 4000, 0.5, rng=0)
    x, y = f.sample(4000, 0.5, rng=0)
    fresh = np.random.default_rng(0).random((4000, 5))
    unknown = min(np.mean((fit_pieces(x, y, m, 1)(fresh) - f(fresh)) ** 2) for m in (1, 2, 3))
    assert len(known.pieces) == 1
    assert known.risk < 0.5 * unknown


def test_a_sum_of_lines_is_learnt_at_the_parametric_exponent() -> None:
    f = linear(3, rng=0)
    few, many = (np.mean([smoother_risk(f, n, 1.0, rng=i).risk for i in range(12)]) for n in (200, 2000))
    assert 0.7 < math.log(few / many) / math.log(10) < 1.3


def test_wrong_input_is_named() -> None:
    x, y = np.random.default_rng(0).random((20, 2)), np.zeros(20)
    with pytest.raises(UserError, match="go together"):
        fit_pieces(x, y[:-1], 2)
    with pytest.raises(UserError, match="go together"):
        fit_pieces(x[:, 0], y, 2)
    with pytest.raises(UserError, match="unit cube"):
        fit_pieces(x + 1, y, 2)
    with pytest.raises(UserError, match="unit cube"):
        fit_sum(x, y + np.nan, 2)
    with pytest.raises(UserError, match="number of pieces"):
        fit_pieces(x, y, 0)
    with pytest.raises(UserError, match="each axis"):
        fit_pieces(x, y, (2, 2, 2))
    with pytest.raises(UserError, match="degree"):
        fit_pieces(x, y, 2, degree=-1)
    with pytest.raises(UserError, match="ridge"):
        fit_pieces(x, y, 2, ridge=0)
    with pytest.raises(UserError, match="too fine"):
        fit_pieces(x, y, 20_000)
    with pytest.raises(UserError, match="too many"):
        fit_sum(x, y, 20_000)
    with pytest.raises(UserError, match="sample size"):
        smoother_risk(hoelder(1.0, 1, rng=0), 1, 0.1)
    with pytest.raises(UserError, match="noise"):
        smoother_risk(hoelder(1.0, 1, rng=0), 10, math.inf)
