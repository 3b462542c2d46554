"""A reference estimator of known exponent: least squares by polynomials on the cells of a regular grid.

For a function of smoothness β on [0, 1]^d and degree ≥ ⌊β⌋ its squared L2 risk is n^(-2β/(2β + d)) when each axis is
cut into about n^(1/(2β + d)) pieces (C. J. Stone 1982, doi:10.1214/aos/1176345969; L. Györfi, M. Kohler, A. Krzyżak,
H. Walk 2002, doi:10.1007/b97848, chapter 19).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from scipy import linalg, sparse

from sparsefire import randomness
from sparsefire.convergence._inputs import above, entropy, floats, from_zero, instance, row, whole
from sparsefire.convergence.nonparametric.functions import Function, _points
from sparsefire.errors import UserError

RIDGE = 0.1
"""Observations that pull each coefficient to zero, so that a cell with few rows is no catastrophe."""

_TESTED = 2**15
_NUMBERS = 2**27  # that the normal equations may have
_SUMMED = 2000  # coefficients of a sum, whose normal equations are dense
_STEP = 1.1  # between the pieces of neighbouring grids
_PIECES = "a whole number, or one for each axis"
_LOST = 3  # grids in a row that are no better before the search turns


@dataclass(frozen=True, eq=False)
class PiecewisePolynomial:
    """A fitted polynomial of total degree ≤ ``degree`` in each cell of a grid.

    Attributes:
        pieces: of each axis of [0, 1]^d.
        degree: of the polynomials.
        coefficients: on products of Legendre polynomials, orthonormal in each cell, [cells, terms].
    """

    pieces: tuple[int, ...]
    degree: int
    coefficients: np.ndarray

    def __call__(self, x: Any) -> np.ndarray:
        """Return the fit at rows x [n, d] of the cube, [n]."""
        cells, basis = _design(_points(x, len(self.pieces)), self.pieces, self.degree)
        return np.einsum("ij,ij->i", basis, self.coefficients[cells])


@dataclass(frozen=True, eq=False)
class PiecewiseSum:
    """A fitted sum of polynomials of degree ≤ ``degree`` in each piece of each axis.

    Attributes:
        pieces: of every axis of [0, 1]^d.
        degree: of the polynomials.
        coefficients: on Legendre polynomials, orthonormal in each piece, [d, pieces · terms].
    """

    pieces: int
    degree: int
    coefficients: np.ndarray

    def __call__(self, x: Any) -> np.ndarray:
        """Return the fit at rows x [n, d] of the cube, [n]."""
        rows = _points(x, len(self.coefficients))
        return np.asarray(_columns(rows, self.pieces, self.degree) @ self.coefficients.ravel())


@dataclass(frozen=True)
class SmootherRisk:
    """The least risk over grids, for one sample.

    Attributes:
        risk: E (fit(X) − f(X))² over a fresh uniform X.
        pieces: of each axis, for which it is least.
        degree: of the polynomials.
    """

    risk: float
    pieces: tuple[int, ...]
    degree: int


def fit_pieces(x: Any, y: Any, pieces: Any, degree: int = 0, ridge: float = RIDGE) -> PiecewisePolynomial:
    """Return the least-squares fit of a polynomial in each cell of a grid: degree 0 is the regressogram.

    Minimises Σ_i (y_i − Σ_j c_j φ_j(x_i))² + ridge · |c|² in each cell, φ_j orthonormal on it.

    Args:
        x: rows in [0, 1]^d, [n, d].
        y: [n].
        pieces: of each axis, or one number for all.
        degree: 0 or more.
        ridge: above 0.

    >>> x = np.linspace(0, 1, 9)[:, None]
    >>> fit_pieces(x, x[:, 0] ** 2, 1, degree=2, ridge=1e-9)(np.array([[0.3]])).round(6).tolist()
    [0.09]
    """
    rows, values, order = _checked(x, y, degree, ridge)
    given = (pieces,) * rows.shape[1] if isinstance(pieces, int | np.integer) else row(pieces, "pieces", _PIECES)
    grid = tuple(whole(m, "number of pieces", 1) for m in given)
    if len(grid) != rows.shape[1]:
        raise UserError("each axis has its pieces.", came=f"{len(grid)} numbers", expected=f"{rows.shape[1]}")
    count, terms = math.prod(grid), math.comb(order + len(grid), order)
    if count * terms**2 > _NUMBERS:
        raise UserError("the grid is too fine.", came=f"{count} cells of {terms} terms", expected="fewer pieces")
    cells, basis = _design(rows, grid, order)
    gram, moments = np.zeros((count, terms, terms)), np.zeros((count, terms))
    _gather(cells, basis, values, gram, moments)
    gram[:, np.arange(terms), np.arange(terms)] += ridge
    return PiecewisePolynomial(grid, order, np.linalg.solve(gram, moments[..., None])[..., 0])


def fit_sum(x: Any, y: Any, pieces: int, degree: int = 0, ridge: float = RIDGE) -> PiecewiseSum:
    """Return the least-squares fit of a sum of functions of one coordinate each, polynomials in each piece of an axis.

    Args:
        x, y, degree, ridge: as of :func:`fit_pieces`.
        pieces: of every axis.

    >>> x = np.random.default_rng(0).random((200, 3))
    >>> fit_sum(x, x @ [1.0, 2.0, 3.0], 1, degree=1, ridge=1e-9)(np.full((1, 3), 0.5)).round(6).tolist()
    [3.0]
    """
    rows, values, order = _checked(x, y, degree, ridge)
    width = rows.shape[1] * whole(pieces, "number of pieces", 1) * (order + 1)
    if width**2 > _NUMBERS:
        raise UserError("there are too many pieces.", came=f"{width} coefficients", expected="fewer pieces")
    columns = _columns(rows, pieces, order)
    gram = (columns.T @ columns).toarray() + ridge * np.eye(width)
    found = linalg.solve(gram, columns.T @ values, assume_a="pos")
    return PiecewiseSum(int(pieces), order, found.reshape(rows.shape[1], -1))


def smoother_risk(
    function: Function,
    n: int,
    noise: float,
    rng: Any = None,
    *,
    degree: int | None = None,
    pieces: int | tuple[int, ...] | None = None,
    test: int = _TESTED,
) -> SmootherRisk:
    """Return the squared L2 risk of the piecewise polynomial on n noisy observations, with the best grid (an oracle's).

    The grid starts at n^(1/(2β + t)) pieces an axis and moves to finer and coarser ones, axis by axis, until the risk
    rises. Functions with indices are smoothed in the coordinates of their outermost rough layer (an oracle's again),
    t of them; so the exponent is 2β/(2β + t) for its β. Sums are fitted as sums, t = 1.

    Args:
        function: the truth, which decides the best grid and the risk.
        n: observations, 2 or more, uniform on the cube.
        noise: standard deviation of the observations.
        rng: see :func:`sparsefire.randomness.entropy`.
        degree: of the polynomials; by default ⌊β⌋, for which the exponent is attained.
        pieces: of each axis, to fix the grid.
        test: fresh points at which the risk is taken against the noiseless truth; its relative error is about
            2/√test for one fit, and common to all grids.

    >>> from sparsefire.convergence.nonparametric.functions import hoelder
    >>> found = smoother_risk(hoelder(1.0, 1, rng=0), 1000, 0.3, rng=0)
    >>> found.pieces, round(found.risk, 4)
    ((20,), 0.0041)
    """
    rows, points = whole(n, "sample size", 2), whole(test, "number of test points", 1)
    instance(function, "function", Function)
    x, y = function.sample(rows, from_zero(noise, "noise"), randomness.stream(entropy(rng), "sample"))
    fresh = randomness.stream(rng, "test points").random((points, function.dimension))
    truth = function(fresh)
    seen = function.coordinates(x)
    if seen is not None:
        x, fresh = seen, np.asarray(function.coordinates(fresh))
    d, beta = x.shape[1], _outermost(function)
    axes = 1 if seen is None else d
    order = math.floor(beta) if degree is None else whole(degree, "degree", 0)

    def risk_with(grid: tuple[int, ...]) -> SmootherRisk:
        fit = fit_sum(x, y, grid[0], order) if seen is None else fit_pieces(x, y, grid, order)
        return SmootherRisk(float(np.mean((fit(fresh) - truth) ** 2)), grid, order)

    if pieces is not None:
        return risk_with((pieces,) * axes if isinstance(pieces, int) else tuple(row(pieces, "pieces", _PIECES)))
    most = min(_SUMMED / d, 2 * rows / d) if seen is None else 2.0 * rows
    start = max(axes, round(axes * rows ** (1.0 / (2 * beta + axes))))
    best = risk_with(_grid(start, axes))
    for factor in (_STEP, 1 / _STEP):
        total, lost = start, 0
        while lost < _LOST:
            total = _moved(total, factor)
            grid = _grid(total, axes)
            if total < axes or math.prod(grid) * math.comb(order + axes, axes) > most:
                break
            found = risk_with(grid)
            lost = 0 if found.risk < best.risk else lost + 1
            best = min(best, found, key=lambda one: one.risk)
    return best


def _checked(x: Any, y: Any, degree: Any, ridge: Any) -> tuple[np.ndarray, np.ndarray, int]:
    rows, values = floats(x, "x"), floats(y, "y")
    if rows.ndim != 2 or values.shape != rows.shape[:1] or not rows.size:
        raise UserError(
            "rows and values do not go together.", came=f"shapes {rows.shape}, {values.shape}", expected="(n, d), (n,)"
        )
    if not (np.isfinite(values).all() and (rows >= 0).all() and (rows <= 1).all()):
        raise UserError("rows are points of the unit cube, values finite numbers.", expected="0 ≤ x ≤ 1")
    above(ridge, "ridge", "a number of observations above 0")
    return rows, values, whole(degree, "degree", 0)


def _outermost(function: Function) -> float:
    """Return the smoothness of the last rough layer; 1 where there is none."""
    return next((beta for beta, _ in reversed(function.paths[0]) if math.isfinite(beta)), 1.0)


def _grid(total: int, axes: int) -> tuple[int, ...]:
    """Return pieces by axis that add up to a total, as equal as can be: more grids than one per whole number."""
    return tuple((total + i) // axes for i in range(axes))


def _moved(total: int, factor: float) -> int:
    """Return the next total, about this factor away and at least 1."""
    return max(total + 1, round(total * factor)) if factor > 1 else min(total - 1, round(total * factor))


def _design(x: np.ndarray, pieces: tuple[int, ...], degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each row [n] and the polynomials there [n, terms], of mean square 1 on a cell."""
    counts = np.asarray(pieces)
    scaled = x * counts
    cells = np.minimum(scaled.astype(np.int64), counts - 1)
    inside = 2 * (scaled - cells) - 1
    flat = np.ravel_multi_index(tuple(cells.T), pieces)
    powers = np.polynomial.legendre.legvander(inside, degree) * np.sqrt(2 * np.arange(degree + 1) + 1)
    basis = [np.ones(len(x))]
    for orders in _orders(x.shape[1], degree)[1:]:
        term = basis[0]
        for axis, order in enumerate(orders):
            if order:
                term = term * powers[:, axis, order]
        basis.append(term)
    return flat, np.stack(basis, axis=1)


def _columns(x: np.ndarray, pieces: int, degree: int) -> sparse.csr_array:
    """Return the design of a sum, [n, d · pieces · terms]: rows have one piece of each axis."""
    (n, d), terms = x.shape, degree + 1
    columns, entries = np.empty((n, d, terms), np.int64), np.empty((n, d, terms))
    for axis in range(d):
        cells, entries[:, axis] = _design(x[:, axis : axis + 1], (pieces,), degree)
        columns[:, axis] = ((axis * pieces + cells) * terms)[:, None] + np.arange(terms)
    starts = np.arange(0, n * d * terms + 1, d * terms)
    return sparse.csr_array((entries.ravel(), columns.ravel(), starts), shape=(n, d * pieces * terms))


def _orders(axes: int, degree: int) -> list[tuple[int, ...]]:
    """Return the exponents of all monomials of at most this total degree, the constant first."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(axes):
        found = [(*head, order) for head in found for order in range(degree - sum(head) + 1)]
    return sorted(found, key=sum)


@numba.njit(nogil=True, cache=True)
def _gather(cells, basis, values, gram, moments):
    terms = basis.shape[1]
    for i in range(len(cells)):
        cell = cells[i]
        for j in range(terms):
            moments[cell, j] += basis[i, j] * values[i]
            for k in range(terms):
                gram[cell, j, k] += basis[i, j] * basis[i, k]
