"""The problem on which exact and simulated risks are told: linear regression with random inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsefire.convergence import fourth
from sparsefire.convergence._inputs import finite, from_zero, whole
from sparsefire.errors import UserError

DESIGNS = ("normal", "rademacher", "student", "sparse", "sphere")
NOISE_LAWS = ("normal", "laplace", "two-point")
STUDENT_DEGREES = 5  # of the heavy-tailed design: the smallest whole number with a fourth moment


@dataclass(frozen=True, eq=False)
class LinearRegression:
    """Y = X′θ* + ε with X = Q^½ z: where learning starts, what the inputs look like, how noisy the answers are.

    Args:
        dimension: number of inputs d ≥ 1.
        covariance: Q, positive definite: ``None`` for the identity, d variances, or a matrix [d, d].
        rank: inputs live on the first ``rank`` coordinates only (Q = I there and 0 elsewhere); not with ``covariance``.
        outputs: number of outputs m ≥ 1, each with its own noise; θ is then [d, m].
        active: δ₀ = θ₀ − θ* differs from 0 in the first ``active`` coordinates only (a sparse truth, start at 0).
        noise: standard deviation σ ≥ 0 of ε.
        noise_law: ``"normal"``, ``"laplace"`` or ``"two-point"`` (±σ).
        design: law of the coordinates of z, unit variance: ``"normal"``, ``"rademacher"`` (±1), ``"student"`` (five
            degrees of freedom: the risk over runs then has no variance, so that intervals of a simulated mean do not
            hold; medians, quantiles and exact risks do), ``"sparse"`` (normal with chance ``filled``, else 0) or
            ``"sphere"`` (z uniform on the sphere of radius √d).
        filled: chance that a coordinate of a sparse design is not 0, in (0, 1].
        start: ‖δ₀‖², a number ≥ 0 that all active coordinates share evenly, or δ₀ itself [d] or [d, m].

    Raises:
        UserError: when a value is out of range, or the covariance is not symmetric and positive definite.

    >>> LinearRegression(4, active=1).error
    array([1., 0., 0., 0.])
    >>> LinearRegression(2, covariance=[[1, 2], [2, 1]])
    Traceback (most recent call last):
    ...
    sparsefire.errors.UserError: the covariance is not positive definite.
      came      smallest eigenvalue -1
      expected  all eigenvalues above 0; for inputs on fewer dimensions give rank=
    """

    dimension: int
    covariance: Any = None
    rank: int | None = None
    outputs: int = 1
    active: int | None = None
    noise: float = 1.0
    noise_law: str = "normal"
    design: str = "normal"
    filled: float = 0.1
    start: Any = 1.0

    def __post_init__(self) -> None:
        for name, most in (("dimension", None), ("outputs", None), ("rank", "dimension"), ("active", "dimension")):
            value = getattr(self, name)
            if value is not None or most is None:
                count(value, name, None if most is None else self.dimension)
        from_zero(self.noise, "noise")
        one_of(self.noise_law, "noise_law", NOISE_LAWS)
        one_of(self.design, "design", DESIGNS)
        from_zero(self.filled, "filled")
        if not 0 < self.filled <= 1:
            raise UserError("filled is not a chance.", came=str(self.filled), expected="a number in (0, 1]")
        if self.covariance is not None and self.rank is not None:
            raise UserError("covariance and rank say the same thing twice.", came="both", expected="one of them")
        _ = self.eigenvalues, self.error  # what cannot be must not wait

    @cached_property
    def matrix(self) -> np.ndarray:
        """Q as a matrix [d, d]."""
        if self.covariance is None:
            return np.diag((np.arange(self.dimension) < (self.rank or self.dimension)).astype(float))
        given = finite(self.covariance, "covariance")
        if given.ndim == 1:
            given = np.diag(given)
        if given.shape != (self.dimension, self.dimension):
            raise UserError(
                "the covariance does not fit the dimension.",
                came=f"shape {np.shape(self.covariance)}",
                expected=f"({self.dimension},) or ({self.dimension}, {self.dimension})",
            )
        if not np.allclose(given, given.T, rtol=1e-10, atol=1e-12 * np.abs(given).max()):
            raise UserError("the covariance is not symmetric.", came="Q ≠ Q′", expected="a symmetric matrix")
        return (given + given.T) / 2

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of Q [d], in ascending order; zeros only where ``rank`` asks for them."""
        if self.covariance is None:
            return np.sort((np.arange(self.dimension) < (self.rank or self.dimension)).astype(float))
        found = np.linalg.eigvalsh(self.matrix)
        if not found[0] > 1e-12 * max(found[-1], 0.0):
            raise UserError(
                "the covariance is not positive definite.",
                came=f"smallest eigenvalue {found[0]:.3g}",
                expected="all eigenvalues above 0; for inputs on fewer dimensions give rank=",
            )
        return found

    @cached_property
    def root(self) -> np.ndarray:
        """The symmetric root Q^½ [d, d]: inputs are Q^½ z."""
        if self.isotropic or self.rank is not None:
            return self.matrix
        values, vectors = np.linalg.eigh(self.matrix)
        return (vectors * np.sqrt(values)) @ vectors.T

    @property
    def isotropic(self) -> bool:
        """Whether Q = I."""
        return self.covariance is None and self.rank in (None, self.dimension)

    @cached_property
    def error(self) -> np.ndarray:
        """δ₀ = θ₀ − θ*, [d] for one output, else [d, m]."""
        shape = (self.dimension,) if self.outputs == 1 else (self.dimension, self.outputs)
        given = finite(self.start, "start")
        if given.ndim == 0:
            from_zero(self.start, "start")
            active = self.active or self.dimension
            found = np.zeros(shape)
            found[:active] = np.sqrt(float(self.start) / (active * self.outputs))
            return found
        if given.shape != shape:
            raise UserError("start does not fit the problem.", came=f"shape {given.shape}", expected=f"{shape}")
        if self.active is not None and np.any(given[self.active :]):
            raise UserError("start is not 0 outside the active coordinates.", came="start=", expected="zeros there")
        return given

    @property
    def inputs_fourth(self) -> fourth.FourthMoment:
        """The fourth moment of z."""
        kurtosis = {
            "normal": 3.0,
            "rademacher": 1.0,
            "student": 3.0 + 6.0 / (STUDENT_DEGREES - 4),
            "sparse": 3.0 / self.filled,
        }
        return fourth.sphere(self.dimension) if self.design == "sphere" else fourth.independent(kurtosis[self.design])


def count(value: Any, name: str, most: int | None = None) -> int:
    """Return a whole number of at least 1, at most ``most``, or raise with its name.

    >>> count(3, "runs")
    3
    """
    return whole(value, name, 1, most)


def one_of(value: Any, name: str, known: tuple[str, ...]) -> None:
    """Raise unless the value is one of the known words.

    >>> one_of("normal", "law", ("normal", "sphere"))
    """
    if not isinstance(value, str) or value not in known:
        raise UserError(f"there is no {name} {value!r}.", came=f"{name}={value!r}", expected=", ".join(known))
