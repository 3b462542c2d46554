"""What one step does to A = E δδ′, the second moment of the error: the algebra behind every exact risk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsefire.convergence.fourth import FourthMoment
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError

RISKS = ("parameters", "prediction")


@dataclass(frozen=True, eq=False)
class Groups:
    """Coordinates whose risks obey the same equation: how many, their input variance λ, and their risk at the start.

    ``moves`` tells whether they are updated; ``basis`` [d, d] holds the eigenvectors of Q, ``None`` for coordinates.
    """

    counts: np.ndarray
    values: np.ndarray
    moves: np.ndarray
    start: np.ndarray
    basis: np.ndarray | None

    @property
    def visible(self) -> np.ndarray:
        """Which groups are updated and have inputs: the others never change the risk of these by moving."""
        return self.moves & (self.values > 0)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A ← A − α (PQA + AQP) + α² E ĝĝ′ for a rule whose ĝ is (∇L′ξ) ξ in one of its forms; P keeps the mask.

    With several outputs A is summed over them. Nothing else than A enters: the recursion is exact and closed.
    """

    problem: LinearRegression
    update: Update

    def __post_init__(self) -> None:
        if self.update.reads_one_loss:
            raise UserError(
                f"the risk of {self.update.rule} obeys no closed recursion: fourth moments of the error enter.",
                came=self.update.rule,
                expected="sgd, forward-gradient, two-query, node-perturbation or weight-perturbation",
                attempt="simulate_risk for its risk, expected_error for its mean path",
            )

    @property
    def moving(self) -> int:
        """Number of coordinates that are updated, the first ones."""
        return self.update.mask or self.problem.dimension

    @property
    def noise(self) -> float:
        """Variance of the noise of all outputs, mσ²."""
        return self.problem.outputs * float(self.problem.noise) ** 2

    @property
    def inputs(self) -> FourthMoment:
        """E z z′ M z z′ of the inputs before Q^½."""
        return self.problem.inputs_fourth

    @cached_property
    def estimate(self) -> FourthMoment:
        """E ĝĝ′ (summed over outputs) from G = E ∇L ∇L′: (1/l) E ξξ′Gξξ′ + (1 − 1/l) G for l directions."""
        outputs, share = self.problem.outputs, 1.0 / self.update.directions
        if self.update.rule == "sgd":
            return FourthMoment(1.0, 0.0, 0.0)
        if self.update.rule == "node-perturbation":  # ξ in the space of outputs: E (e′ξ)² ‖ξ‖² is so many times ‖e‖²
            law = self.update.directions_fourth(outputs)
            size = law.twice + law.trace * outputs + law.diagonal
            return FourthMoment(share * size + 1.0 - share, 0.0, 0.0)
        law = self.update.directions_fourth(self.moving * outputs)
        return FourthMoment(share * law.twice + 1.0 - share, share * law.trace * outputs, share * law.diagonal)

    def gradient_moment(self, error: np.ndarray) -> np.ndarray:
        """Return E X X′AX X′ = Q^½ E[z z′ (Q^½ A Q^½) z z′] Q^½, the part of E ∇L ∇L′ that is linear in A."""
        root = self.problem.root
        return root @ self.inputs.of(root @ error @ root) @ root

    def step(self, error: np.ndarray, alpha: float) -> np.ndarray:
        """Return A after one step [d, d]."""
        s = self.moving
        pulled = np.zeros_like(error)
        pulled[:s] = self.problem.matrix[:s] @ error
        found = error - alpha * (pulled + pulled.T)
        gradient = self.gradient_moment(error) + self.noise * self.problem.matrix
        found[:s, :s] += alpha**2 * self.estimate.of(gradient[:s, :s])
        return found

    @cached_property
    def start(self) -> np.ndarray:
        """A at the start, δ₀δ₀′ [d, d]."""
        error = self.problem.error.reshape(self.problem.dimension, -1)
        return error @ error.T

    def groups(self, *, single: bool = False) -> Groups | None:
        """Return groups whose risks obey a closed recursion of their own, or ``None`` where only the whole A does.

        They exist where Q is diagonal, and in the eigenbasis of Q where no law knows the coordinates.

        Args:
            single: one group for each coordinate of the basis.
        """
        given = diagonal(self.problem)
        error, basis = self.problem.error.reshape(self.problem.dimension, -1), None
        if given is None:
            if self.moving < self.problem.dimension or self.inputs.diagonal or self.estimate.diagonal:
                return None
            given, basis = np.linalg.eigh(self.problem.matrix)
            error = basis.T @ error
        moves = np.arange(len(given)) < self.moving
        squares = (error**2).sum(axis=1)
        if single:
            return Groups(np.ones(len(given)), given, moves, squares, basis)
        keys, member = np.unique(given + 1j * moves, return_inverse=True)
        count, start = np.bincount(member).astype(float), np.bincount(member, weights=squares)
        return Groups(count, keys.real, keys.imag > 0, start, basis)


def diagonal(problem: LinearRegression) -> np.ndarray | None:
    """Return the variances of the inputs [d] where Q is diagonal, else ``None``."""
    if problem.covariance is None:
        return (np.arange(problem.dimension) < (problem.rank or problem.dimension)).astype(float)
    variances = np.diagonal(problem.matrix)
    return None if np.any(problem.matrix - np.diag(variances)) else variances.copy()


def floats(law: FourthMoment) -> tuple[float, float, float]:
    """Return the three numbers of a fourth moment as compiled loops take them."""
    return float(law.twice), float(law.trace), float(law.diagonal)
