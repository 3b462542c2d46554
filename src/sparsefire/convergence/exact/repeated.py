"""Exact risk of many steps on the same sample with fresh directions, FGD(l) of arXiv 2411.17567."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, special

from sparsefire.convergence.exact import _recursions
from sparsefire.convergence.exact._dynamics import Dynamics
from sparsefire.convergence.problem import LinearRegression
from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False)
class Repeats:
    """A rule that makes l steps on each sample, X on a space where Q = I: a closed recursion for the risk.

    Along one sample the residual obeys e ← (I − α w w′) e with w = ξ′X, so that given q = ‖X‖² its mean shrinks by
    m₁ = 1 − αq and its mean square by m₂ = 1 − 2αq + along α²q² (normal directions, one output: along = 3). With
    across = E ξ_i² ξ_j² (times the outputs) the risk p of the coordinates that have inputs and move becomes

        p ← p (1 − (2/d) E[1 − m₁^l] + (1/d) E[q B]) + E[noise · B],
        B = (1 − 2 m₁^l + m₂^l)/q + α² across (d − 1) q (1 + m₂ + … + m₂^(l−1)).

    For inputs of one length, q = d, the stability limit of normal directions is 2/(d (d + 2)) for every l. Normal
    inputs are sometimes long, and m₂^l is then large: with l ≫ d the mean square explodes already at steps of order
    1/l.

    All expectations are polynomials in q of degree 2l at most, which Gauss quadrature with l + 1 nodes gives exactly.
    """

    repeats: int
    seen: int  # coordinates that have inputs and move
    hidden: int  # coordinates that move without inputs
    nodes: np.ndarray
    weights: np.ndarray
    extra: np.ndarray  # variance of the answers at each node: noise and coordinates that have inputs but stay
    along: float
    across: float

    def moments(self, alpha: float) -> tuple[float, float, float, float, float]:
        """Return (shrink, gain, added, drift, diffused) of one sample: p ← (1 − 2 shrink + gain) p + added."""
        kernel: Any = _recursions.repeated_moments
        return kernel(float(alpha), *self._constants)

    def factor(self, alpha: float) -> float:
        """Return by how much the risk is multiplied per sample where there is no noise."""
        shrink, gain, *_ = self.moments(alpha)
        return 1.0 - 2.0 * shrink + gain

    def path(self, p: float, rest: float, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the risk of the seen and of the hidden coordinates [K + 1], and the shrinking of the mean [K]."""
        kernel: Any = _recursions.repeated
        return kernel(float(p), float(rest), *self._constants, alphas)

    @property
    def _constants(self) -> tuple[Any, ...]:
        return (
            self.repeats,
            float(self.seen),
            float(self.hidden),
            self.nodes,
            self.weights,
            self.extra,
            self.along,
            self.across,
        )


def repeats_of(dynamics: Dynamics) -> Repeats:
    """Return the recursion of a rule with repeats.

    Args:
        dynamics: problem and update; Q = I or ``rank``, directions ``"normal"`` or ``"sphere"`` (any for node
            perturbation).

    Raises:
        UserError: where the risk obeys no closed recursion.
    """
    problem, update = dynamics.problem, dynamics.update
    law = update.directions_fourth(dynamics.moving * problem.outputs)
    across = law.trace * problem.outputs
    along = law.twice + across
    if update.rule == "node-perturbation":
        along, across = dynamics.estimate.twice, 0.0
    elif law.diagonal:
        raise UserError(
            "repeats have a closed recursion only for directions without preferred axes.",
            came=f"law={update.law!r}",
            expected="normal or sphere",
            attempt="simulate_risk, or directions= in place of repeats=",
        )
    seen, nodes, weights, share = sample_lengths(problem, dynamics.moving, update.repeats)
    stays = problem.error.reshape(problem.dimension, -1)[dynamics.moving : problem.rank or problem.dimension]
    extra = dynamics.noise + float((stays**2).sum()) * share
    return Repeats(update.repeats, seen, dynamics.moving - seen, nodes, weights, extra, float(along), float(across))


def mean_steps(problem: LinearRegression, moving: int, repeats: int, alphas: np.ndarray) -> np.ndarray:
    """Return step sizes with which one step per sample has the same mean path as l repeats [K]: E[1 − m₁^l]/d."""
    seen, nodes, weights, _ = sample_lengths(problem, moving, repeats)
    return Repeats(repeats, seen, 0, nodes, weights, np.zeros_like(nodes), 1.0, 0.0).path(0.0, 0.0, alphas)[2]


def sample_lengths(
    problem: LinearRegression, moving: int, repeats: int
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the number n of coordinates that have inputs and move, and the law of their q = ‖X‖².

    The law comes as nodes and weights that are exact for polynomials of degree 2l + 1, with the variance that each
    other input has at each node.
    """
    if problem.covariance is not None:
        raise UserError(
            "repeats have a closed recursion only for inputs without preferred directions.",
            came="covariance=",
            expected="the identity, or rank=",
            attempt="simulate_risk, or directions= in place of repeats=",
        )
    seen, count = min(moving, problem.rank or problem.dimension), repeats + 1
    if problem.design == "normal":
        nodes, weights = _chi_square(seen, count)
    elif problem.design == "rademacher" or (problem.design == "sphere" and seen == problem.dimension):
        nodes, weights = np.array([float(seen)]), np.ones(1)
    elif problem.design == "sphere":
        nodes, weights = _beta(seen, problem.dimension, count)
        return seen, nodes, weights, (problem.dimension - nodes) / (problem.dimension - seen)
    elif problem.design == "sparse":
        nodes, weights = _filled(seen, problem.filled, count)
    else:
        raise UserError(
            "the risk is infinite: repeats raise inputs to powers of which heavy tails have no mean.",
            came=f"design={problem.design!r}",
            expected="normal, rademacher, sphere or sparse",
        )
    return seen, nodes, weights, np.ones(len(nodes))


def _chi_square(degrees: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights for a χ² law: Gauss and Laguerre."""
    k, a = np.arange(count), degrees / 2 - 1
    nodes, weights = _gauss(2 * k + 1 + a, np.sqrt(k[1:] * (k[1:] + a)))
    return 2 * nodes, weights


def _beta(seen: int, dimension: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights for the squared length of some coordinates on the sphere of radius √d: Gauss, Jacobi."""
    k, a, b = np.arange(count), (dimension - seen) / 2 - 1, seen / 2 - 1
    k = k[1:]
    sums = 2 * k + a + b
    centre = np.append((b - a) / (a + b + 2), (b - a) * (b + a) / (sums * (sums + 2)))
    last = np.divide(k + a + b, sums - 1, out=np.ones(len(k)), where=k > 1)  # 0/0 at k = 1 on the circle
    nodes, weights = _gauss(centre, np.sqrt(4 * k * (k + a) * (k + b) * last / (sums**2 * (sums + 1))))
    return dimension * (1 + nodes) / 2, weights


def _gauss(centre: np.ndarray, coupling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights from the recurrence x p_k = c_{k+1} p_{k+1} + a_k p_k + c_k p_{k−1} of a law.

    Golub and Welsch, doi:10.1090/S0025-5718-69-99647-1, with weights 1/Σ p_k(x)², which have small relative errors.
    """
    nodes = linalg.eigvalsh_tridiagonal(centre, coupling)
    before, here = np.zeros_like(nodes), np.ones_like(nodes)
    total = np.ones_like(nodes)
    with np.errstate(over="ignore", invalid="ignore"):  # far out the weight is 0
        for k in range(len(coupling)):
            after = (nodes - centre[k]) * here - (coupling[k - 1] * before if k else 0.0)
            before, here = here, after / coupling[k]
            total += here**2
        weights = np.nan_to_num(1.0 / total)
    return nodes, weights / weights.sum()


def _filled(seen: int, filled: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the law of the squared length where each coordinate is normal with chance ``filled``, else 0."""
    many = np.arange(seen + 1)
    chances = np.exp(special.gammaln(seen + 1) - special.gammaln(many + 1) - special.gammaln(seen - many + 1))
    chances = chances * filled**many * (1 - filled) ** (seen - many)
    parts = [(np.zeros(1), np.ones(1))] + [_chi_square(int(n), count) for n in many[1:]]
    nodes = np.concatenate([found / filled for found, _ in parts])
    return nodes, np.concatenate([chance * weights for chance, (_, weights) in zip(chances, parts, strict=True)])
