"""What one query of a squared loss can tell: Fisher information, the bound it sets, and the reward that reaches it.

A query at θ* + v reads e² with e = ε − X′v. Inputs and noise are symmetric, so that |e| holds all that e holds. Its
density f_v has the information matrix I(v) = ∫ ∇f ∇f′/f de; any estimator that is unbiased (or regular, as k → ∞)
from k queries with information I_1 … I_k has E‖θ̂ − θ*‖² ≥ tr(Σ I_i)⁻¹ ≥ d²/Σ tr I_i, adaptive queries included. With
queries at v = cU, U from a law that all coordinates share, that is d/(k i), where E I(cU) = i · (identity).

Normal inputs and noise: tr I(v) = 2|v|²/(σ² + |v|²)², at most 1/(2σ²), at |v| = σ; the bound is 2σ²d²/k. Elsewhere
|e| is no scale family, tr I depends on the direction of v, and the squared loss is not what one would best be told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, optimize

from sparsefire.convergence._inputs import above, instance, within
from sparsefire.convergence.bounds import _residuals
from sparsefire.convergence.problem import LinearRegression, one_of
from sparsefire.convergence.update import LAWS
from sparsefire.errors import UserError
from sparsefire.randomness import stream

DIRECTIONS = 64  # over which the information is averaged where it depends on the direction
GRID = 512  # points of a reward per standard deviation of the noise
REACH = 12.0  # standard deviations of e that a reward covers
NEAREST = 0.01  # radius over σ at which best_radius begins to look


def fisher_information(problem: LinearRegression, radius: float | None = None, law: str = "rademacher") -> float:
    """Return i ≥ 0: a query at θ* + cU has the information matrix i · (identity), on average over U.

    Args:
        problem: isotropic, one output, noise above 0; where it starts does not matter.
        radius: c > 0; ``None`` for σ/√d.
        law: of U, see :class:`~sparsefire.convergence.Update`. ``"rademacher"`` and ``"coordinates"`` are exact to 1e-8
            relative or better, as are ``"normal"`` and ``"sphere"`` with normal inputs. Otherwise the mean over 64
            directions (always the same) is returned, to one per cent or so.

    Raises:
        UserError: no noise; two-point noise where the law of e has atoms that move with θ (information is infinite) or,
            for directions of uneven size, narrow peaks; a sphere with two-point noise.

    >>> round(fisher_information(LinearRegression(10)), 10)  # 1/(2σ²d)
    0.05
    >>> round(fisher_information(LinearRegression(10, design="sparse")), 4)
    0.0378
    """
    norm = _norm(problem, radius, law)
    d = problem.dimension
    if _one_size(problem, law):
        return _along(problem, norm, 1 if law == "coordinates" else d) / d
    if problem.design in ("normal", "sphere"):  # only |U| matters
        lengths, weights = _lengths(law, d)
        return float(weights @ [_along(problem, norm * length, d) for length in lengths]) / d
    return float(np.mean([_trace(problem, norm * u) for u in _directions(law, d)])) / d


def query_bound(problem: LinearRegression, radius: float | None = None, law: str = "rademacher") -> float:
    """Return d/i: k · risk is at least this for estimators from one query per sample, all at θ* + cU.

    Adaptive queries: where θ* is, the learner finds out. The design's own bound: 2σ²d² for normal inputs and noise at
    c = σ/√d; less where e tells more than a normal e would.

    Args:
        problem, radius, law: as in :func:`fisher_information`.

    >>> round(query_bound(LinearRegression(10, noise=2.0)), 6)
    800.0
    >>> round(query_bound(LinearRegression(10, noise_law="laplace")), 2)
    206.46
    """
    information = fisher_information(problem, radius, law)
    return problem.dimension / information


def first_order_bound(problem: LinearRegression) -> float:
    """Return tr(Q⁻¹)/i_ε: k · risk is at least this for estimators that see inputs and answers (Cramér–Rao).

    i_ε is the information of the noise on its mean: 1/σ² (normal), 2/σ² (Laplace; stochastic gradients reach half the
    efficiency), ∞ (two-point: 0 is returned, finitely many samples tell θ* exactly).

    Args:
        problem: any covariance of full rank; with m outputs the bound is m times that of one.

    >>> first_order_bound(LinearRegression(10, noise=2.0)), first_order_bound(LinearRegression(10, noise_law="laplace"))
    (40.0, 5.0)
    """
    if instance(problem, "problem", LinearRegression).eigenvalues[0] <= 0:
        raise UserError(
            "inputs tell nothing about some coordinates.", came=f"rank={problem.rank}", expected="full rank"
        )
    informed = {"normal": 1.0, "laplace": 0.5, "two-point": 0.0}[problem.noise_law]
    return float(informed * problem.noise**2 * problem.outputs * np.sum(1 / problem.eigenvalues))


def best_radius(problem: LinearRegression, law: str = "rademacher", most: float = 2.0) -> float:
    """Return the c ≤ most · σ/√d at which a query at θ* + cU tells most.

    Normal inputs and noise: σ/√d. Inputs of ±1 have a second regime: a query from far away, |v| ≫ √d σ, reads X′v out
    of the residual, and tr I rises to that of a noisy sum of inputs, 1/σ² instead of 1/(2σ²); ``most`` keeps to the
    near one.

    Args:
        problem, law: as in :func:`fisher_information`.
        most: largest radius looked at, in units of σ/√d; above 0.01. It is returned when information still rises there.

    Raises:
        UserError: also when a query tells the more the nearer it is, without bound: two-point noise.

    >>> round(best_radius(LinearRegression(4)), 4)
    0.5
    """
    unit = _norm(problem, None, law) / np.sqrt(problem.dimension)
    within(most, "most", NEAREST, np.inf, f"a number above {NEAREST}")

    def lacking(log_radius: float) -> float:
        return -fisher_information(problem, unit * float(np.exp(log_radius)), law)

    looked = np.linspace(np.log(NEAREST), np.log(most), 28)
    found = np.array([lacking(x) for x in looked])
    best = int(found.argmin())
    if best == 0:
        raise UserError(
            "there is no best radius: a query tells the more the nearer it is to θ*, without bound.",
            came=f"{problem.noise_law} noise, {problem.design} inputs",
            expected="normal or Laplace noise",
        )
    if best == len(looked) - 1:
        return float(unit * most)
    inside = (looked[best - 1], looked[best + 1])
    return float(unit * np.exp(optimize.minimize_scalar(lacking, bounds=inside, method="bounded").x))


def score_reward(
    problem: LinearRegression, radius: float | None = None, law: str = "rademacher"
) -> tuple[np.ndarray, np.ndarray]:
    """Return (grid, values): what the one-query rule should read at |e| instead of the loss e²/2.

    h(|e|) = |v|² ψ(|e|)/J with ψ = ∂ log f_v(e)/∂ log |v| and J = E ψ². It has mean 0 and moves θ by the same mean step
    as the loss does; with α_k ~ 1/k the rule then has k · risk → :func:`query_bound`. For normal inputs and noise h is
    the loss minus its mean. Needs the laws of inputs and noise and σ, as every likelihood does.

    Args:
        problem, radius: as in :func:`fisher_information`.
        law: ``"rademacher"``, ``"coordinates"``, or ``"sphere"`` with normal or spherical inputs: directions of one
            length that are all worth the same.

    Returns:
        Points from 0 in even steps of σ/512 up to 12 standard deviations of e, float64 [n], and h there [n]. Beyond
        them, and where the density is below what can be computed, h is held constant.

    >>> grid, reward = score_reward(LinearRegression(10))
    >>> bool(np.allclose(reward, grid**2 / 2 - 1))  # at c² = σ²/d the mean loss is σ²
    True
    """
    norm = _norm(problem, radius, law)
    if not _one_size(problem, law):
        raise UserError(
            "the score of these directions depends on more than the residual.",
            came=f"law={law!r} with {problem.design} inputs",
            expected="law='rademacher' or 'coordinates'",
        )
    entries = 1 if law == "coordinates" else problem.dimension
    step = problem.noise / GRID
    grid = step * np.arange(int(REACH * np.hypot(problem.noise, norm) / step) + 1)
    mixed = _residuals.mixture(problem, norm, entries)
    if mixed is not None:
        density, slope = _residuals.at(problem, mixed, grid)
        floor = 1e-290
    else:
        points, density, slopes = _residuals.by_fourier_along(problem, norm, entries)
        density, slope = np.interp(grid, points, density), np.interp(grid, points, slopes[0])
        floor = _residuals.ABOVE_ROUNDING
    seen = density > floor
    score = np.interp(grid, grid[seen], slope[seen] / density[seen])
    if problem.noise_law == "two-point" and problem.design == "sparse":
        score[GRID] = 0.0  # inputs that are all 0 leave e = ±σ exactly, which tells nothing
    return grid, score / _along(problem, norm, entries)  # |v|²ψ/J, as tr I = J/|v|²


def _along(problem: LinearRegression, norm: float, entries: int) -> float:
    """Return tr I(v) = J/|v|² for v with ``entries`` entries of one size, to which all of the gradient points."""
    mixed = _residuals.mixture(problem, norm, entries)
    if mixed is not None:
        points, weights = _residuals.panels(problem, mixed)
        density, slope = _residuals.at(problem, mixed, points)
        return 2 * float(weights @ _ratio(density, slope[None], 1e-290)) / norm**2
    points, density, slopes = _residuals.by_fourier_along(problem, norm, entries)
    return 2 * float(np.trapezoid(_ratio(density, slopes, _residuals.ABOVE_ROUNDING), points)) / norm**2


def _trace(problem: LinearRegression, v: np.ndarray) -> float:
    """Return tr I(v) for any v."""
    points, density, gradient = _residuals.by_fourier(problem, v)
    return 2 * float(np.trapezoid(_ratio(density, gradient, _residuals.ABOVE_ROUNDING), points))


def _ratio(density: np.ndarray, gradient: np.ndarray, floor: float) -> np.ndarray:
    seen = density > floor
    return np.where(seen, (gradient**2).sum(axis=0) / np.where(seen, density, 1.0), 0.0)


def _one_size(problem: LinearRegression, law: str) -> bool:
    return law in ("rademacher", "coordinates") or (law == "sphere" and problem.design in ("normal", "sphere"))


def _lengths(law: str, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return |U|/√d and weights."""
    if law == "normal":
        # Gauss-Laguerre, as |U|²/2 has the density s^(d/2 − 1) e^(−s); from its Jacobi matrix (Golub, Welsch 1969,
        # doi:10.1090/S0025-5718-69-99647-1), whose weights do not overflow for large d.
        k, shape = np.arange(128.0), d / 2 - 1
        halves, vectors = linalg.eigh_tridiagonal(2 * k + shape + 1, np.sqrt(k[1:] * (k[1:] + shape)))
        return np.sqrt(2 * halves / d), vectors[0] ** 2
    lengths = np.sqrt(np.sum(_directions(law, d) ** 2, axis=1))
    return lengths, np.full(len(lengths), 1 / len(lengths))


def _directions(law: str, d: int) -> np.ndarray:
    """Return U/√d, the same every time, float64 [64, d]."""
    rng = stream(0, "directions", law)
    if law == "uniform":
        return np.asarray(rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), (DIRECTIONS, d)) / np.sqrt(d))
    drawn = rng.standard_normal((DIRECTIONS, d))
    return drawn / (np.linalg.norm(drawn, axis=1, keepdims=True) if law == "sphere" else np.sqrt(d))


def _norm(problem: Any, radius: float | None, law: str) -> float:
    """Check all that can be asked and return |v| = c√d."""
    one_of(law, "law", LAWS)
    if not instance(problem, "problem", LinearRegression).isotropic or problem.outputs != 1:
        raise UserError(
            "the information of a query is told for isotropic inputs and one output.",
            came="covariance=, rank= or outputs=",
            expected="LinearRegression(dimension, noise=…, noise_law=…, design=…)",
        )
    if problem.noise == 0:
        raise UserError(
            "without noise a query tells the more the nearer it is, without bound.", came="noise=0", expected="above 0"
        )
    if problem.noise_law == "two-point":
        _two_point(problem, law)
    if radius is not None:
        above(radius, "radius", "a number above 0, None for σ/√d")
    return float(problem.noise if radius is None else radius * np.sqrt(problem.dimension))


def _two_point(problem: LinearRegression, law: str) -> None:
    if problem.design == "rademacher":
        raise UserError(
            "the information is infinite: e takes finitely many values, and where they are tells X′v exactly.",
            came="two-point noise, inputs of ±1",
            expected="noise or inputs with a density",
        )
    if problem.design == "sphere" or (problem.design == "sparse" and not _one_size(problem, law)):
        raise UserError(
            "the law of e is too peaked to be told for these directions.",
            came=f"two-point noise, {problem.design} inputs, law={law!r}",
            expected="normal or student inputs, or sparse ones with law='rademacher'",
        )
