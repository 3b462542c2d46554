"""Gradient descent with dropout in the linear model: exact means, covariances, averages (arXiv:2306.10529).

On fixed data, G = X′X, c = X′Y, with D_k diagonal, its entries independently 1 with chance p and else 0,

    dropout             b_k = b_{k-1} + α D_k (c - G D_k b_{k-1})
    simplified dropout  b_k = b_{k-1} + α D_k (c - G b_{k-1})

The mean goes to the marginalised optimum b̃ = G_p⁻¹ c, G_p = pG + (1-p) Diag(G), the minimum of E|Y - XDb|²; simplified
dropout goes to least squares and does not regularise. But the iterates of dropout keep a variance that "dropout is l2"
does not show; their average (Ruppert–Polyak) loses it. All moments here are closed forms or linear equations in d × d
matrices, no sums over the 2ᵈ masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import linalg

from sparsefire.convergence._inputs import entropy, finite, instance, number, regression, whole, within
from sparsefire.convergence.inference._resample import quantile_of, student_interval
from sparsefire.convergence.noise import _masked_moments as masked
from sparsefire.convergence.problem import count
from sparsefire.convergence.simulation._blocks import over_runs
from sparsefire.errors import UserError
from sparsefire.randomness import integer


@dataclass(frozen=True, eq=False)
class Dropout:
    """Gradient descent with dropout on one table.

    Args:
        x: inputs [n, d], without a column of zeros.
        y: answers [n].
        keep: p in (0, 1], the chance that a coordinate is kept; 1 is gradient descent.
        step_size: α > 0 with α p ‖X′X‖ < 1.
        simplified: whether dropped coordinates still count in the residual. Needs x of full column rank, as keep = 1.

    Raises:
        UserError: when an assumption fails.

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> problem.optimum.round(4).tolist()
    [1.6923, 1.2308]
    """

    x: Any = field(repr=False)
    y: Any = field(repr=False)
    keep: float
    step_size: float
    simplified: bool = False

    def __post_init__(self) -> None:
        if not number(self.keep) or not 0 < self.keep <= 1:
            raise UserError("keep is no chance.", came=repr(self.keep), expected="a number in (0, 1]")
        instance(self.simplified, "simplified", bool)
        limit = 1 / (self.keep * float(np.linalg.norm(self.gram, 2)))
        within(self.step_size, "step_size", 0.0, limit, f"a number in (0, {limit:.6g}), where α p ‖X′X‖ < 1")
        if not self.decay[0] > 1e-13 * self.decay[-1]:
            raise UserError(
                "the columns of x are dependent.",
                came=f"rank below {len(self.gram)}",
                expected="full column rank for simplified dropout and for keep=1",
            )

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """G = X′X [d, d] and c = X′Y [d]."""
        return regression(self.x, self.y)

    @property
    def gram(self) -> np.ndarray:
        """G [d, d]."""
        return self.moments[0]

    @cached_property
    def drift(self) -> np.ndarray:
        """G_p [d, d], or G for simplified dropout: E[b_k - b̃] = (I - αp drift)ᵏ (b_0 - b̃)."""
        if self.simplified:
            return self.gram
        return self.keep * self.gram + (1 - self.keep) * np.diag(np.diagonal(self.gram))

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        return np.linalg.eigh(self.drift)

    @property
    def decay(self) -> np.ndarray:
        """Eigenvalues of the drift [d], in ascending order."""
        return self._eigen[0]

    @property
    def vectors(self) -> np.ndarray:
        """Eigenvectors of the drift [d, d], in columns."""
        return self._eigen[1]

    @cached_property
    def optimum(self) -> np.ndarray:
        """b̃ = G_p⁻¹ c [d]; least squares for simplified dropout."""
        return np.linalg.solve(self.drift, self.moments[1])

    def second_moment_step(self, moment: np.ndarray) -> np.ndarray:
        """Return E[T M T′] for a matrix M [d, d], symmetric or not, T = I - αDGD (or I - αDG)."""
        g, p, a = np.diagonal(self.gram), self.keep, self.step_size
        if self.simplified:
            noise = masked.two(self.gram @ moment @ self.gram, p)
        else:
            hollow = self.gram - np.diag(g)
            noise = (
                masked.four(hollow, moment, p)
                + masked.three(hollow, moment * g, p)
                + masked.three(hollow, moment.T * g, p).T
                + masked.two(moment * np.outer(g, g), p)
            )
        return moment - a * p * (self.drift @ moment + moment @ self.drift) + a**2 * noise

    def fresh_noise(self, mean: np.ndarray) -> np.ndarray:
        """Return E[v v′] + E[T m v′] + E[v m′T′] for a mean m [d], v = αD(c - GDb̃) (0 for simplified dropout)."""
        if self.simplified:
            return np.zeros_like(self.gram)
        g, p = np.diagonal(self.gram), self.keep
        hollow = self.gram - np.diag(g)
        b, h, gm = self.optimum, self.moments[1] - g * self.optimum, g * mean
        bh = masked.three(hollow, np.outer(b, h), p)
        own = masked.four(hollow, np.outer(b, b), p) - bh - bh.T + masked.two(np.outer(h, h), p)
        cross = (
            masked.four(hollow, np.outer(mean, b), p)
            - masked.three(hollow, np.outer(mean, h), p)
            + masked.three(hollow, np.outer(b, gm), p).T
            - masked.two(np.outer(gm, h), p)
        )
        return self.step_size**2 * (own + cross + cross.T)


def dropout_mean(problem: Dropout, steps: Any, start: Any = 0.0) -> np.ndarray:
    """Return E b_k = b̃ + (I - αp G_p)ᵏ (b_0 - b̃), float64 [*steps.shape, d].

    Args:
        problem: the data and the rule.
        steps: k ≥ 0, a number or an array.
        start: b_0, a number or [d].

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> dropout_mean(problem, [0, 10, 1000]).round(3).tolist()
    [[0.0, 0.0], [1.149, 1.239], [1.692, 1.231]]
    """
    instance(problem, "problem", Dropout)
    k = _steps(steps)
    begin = problem.vectors.T @ (finite(start, "start", problem.optimum.shape) - problem.optimum)
    powers = (1 - problem.step_size * problem.keep * problem.decay) ** k[..., None]
    return problem.optimum + (powers * begin) @ problem.vectors.T


def dropout_second_moment(problem: Dropout, steps: Any, start: Any = 0.0) -> np.ndarray:
    """Return E(b_k - b̃)(b_k - b̃)′, float64 [*steps.shape, d, d], by the exact recursion, O(d³) per step.

    Args:
        problem: the data and the rule.
        steps: k ≥ 0, a number or an array.
        start: b_0, a number or [d].

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> np.trace(dropout_second_moment(problem, [0, 10, 1000]), axis1=1, axis2=2).round(4).tolist()
    [4.3787, 0.3666, 0.0194]
    """
    instance(problem, "problem", Dropout)
    k = _steps(steps).astype(np.int64)
    moments, places = np.unique(k, return_inverse=True)
    mean = finite(start, "start", problem.optimum.shape) - problem.optimum
    now = np.outer(mean, mean)
    shrink = np.eye(len(mean)) - problem.step_size * problem.keep * problem.drift
    found, at = np.empty((len(moments), *now.shape)), 0
    for i, until in enumerate(moments):
        for _ in range(at, until):
            now, mean = problem.second_moment_step(now) + problem.fresh_noise(mean), shrink @ mean
        found[i], at = now, int(until)
    return found[places].reshape(*k.shape, *now.shape)


def dropout_stationary_covariance(problem: Dropout) -> np.ndarray:
    """Return the covariance of b_k for k → ∞, float64 [d, d], the solution of S = E[T S T′] + E[v v′].

    0 for simplified dropout. Solved by GMRES, preconditioned by the Lyapunov equation of small steps.

    Raises:
        UserError: second moments grow without bound (the assumption α p ‖X′X‖ < 1 does not exclude that for small p).

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> dropout_stationary_covariance(problem).round(4).tolist()
    [[0.01, 0.0031], [0.0031, 0.0094]]
    """
    d = len(instance(problem, "problem", Dropout).gram)
    # For a positive operator the spectral radius is below 1 iff S - E[T S T′] = I has a positive solution.
    if not np.linalg.eigvalsh(_solved(problem, np.eye(d)))[0] > 0:
        raise UserError(
            "the second moment of dropout grows without bound.",
            came=f"step_size={problem.step_size:.6g}",
            expected="a smaller step",
            attempt=f"step_size={problem.step_size * problem.keep / 2:.3g}",
        )
    return _solved(problem, problem.fresh_noise(np.zeros(d)))


def dropout_long_run_covariance(problem: Dropout) -> np.ndarray:
    """Return lim K Cov(mean of K iterates), float64 [d, d]: S + H + H′, H = M (I - M)⁻¹ S, M = I - αp G_p.

    Raises:
        UserError: as :func:`dropout_stationary_covariance`.

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> dropout_long_run_covariance(problem).round(3).tolist()
    [[0.188, 0.021], [0.021, 0.062]]
    """
    stationary = dropout_stationary_covariance(problem)
    half = np.linalg.solve(problem.step_size * problem.keep * problem.drift, stationary) - stationary
    return stationary + half + half.T


@dataclass(frozen=True, eq=False)
class DropoutEstimate:
    """Simulated runs.

    Attributes:
        last: the last iterates, float64 [runs, d].
        batch_means: means over consecutive batches of steps, float64 [runs, batches, d].
        problem: what was simulated.
        steps, burn_in: averaged steps, and steps before them.
    """

    last: np.ndarray = field(repr=False)
    batch_means: np.ndarray = field(repr=False)
    problem: Dropout
    steps: int
    burn_in: int

    def averages(self) -> np.ndarray:
        """Return the Ruppert–Polyak average of each run, float64 [runs, d]."""
        return self.batch_means.mean(axis=1)

    def mean(self) -> np.ndarray:
        """Return the mean of the averages over the runs, float64 [d]."""
        return self.averages().mean(axis=0)

    def median(self) -> np.ndarray:
        """Return the median of the averages over the runs, float64 [d]."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> np.ndarray:
        """Return a quantile of the averages over the runs, float64 [d], q in [0, 1]."""
        return quantile_of(self.averages(), q)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return Student's t interval of the expected average, (low, high), float64 [d] each; two runs or more."""
        return student_interval(self.averages(), level)


def simulate_dropout(
    problem: Dropout,
    *,
    steps: int,
    runs: int = 1000,
    rng: Any = None,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
    batches: int = 1,
    burn_in: int = 0,
    start: Any = 0.0,
) -> DropoutEstimate:
    """Simulate dropout; memory is runs × batches × d numbers whatever the steps.

    Args:
        problem: the data and the rule.
        steps: averaged steps of each run, a multiple of ``batches``.
        runs: how many, 1 or more.
        rng: see :mod:`sparsefire.randomness`; run r has a stream of its own, whatever ``workers``.
        workers: threads; None for all cores.
        progress: called as ``progress(share done)``.
        batches: means of that many consecutive batches are returned, for intervals from one run.
        burn_in: steps before the first that is averaged, 0 or more.
        start: b_0, a number or [d].

    Raises:
        UserError: for anything out of range.

    >>> problem = Dropout([[1, 0], [0, 2], [1, 1]], [1, 2, 3], keep=0.5, step_size=0.1)
    >>> estimate = simulate_dropout(problem, steps=4000, burn_in=100, batches=20, runs=50, rng=0)
    >>> low, high = estimate.interval(level=0.999)
    >>> bool((low < problem.optimum).all() and (problem.optimum < high).all()), estimate.batch_means.shape
    (True, (50, 20, 2))
    """
    from sparsefire.convergence.noise._dropout_kernels import dropout_runs

    instance(problem, "problem", Dropout)
    steps, runs, batches = count(steps, "steps"), count(runs, "runs"), count(batches, "batches", steps)
    burn_in = whole(burn_in, "burn_in", 0)
    if steps % batches:
        raise UserError("batches are of one length.", came=f"{steps} steps in {batches}", expected="a divisor of steps")
    begin = finite(start, "start", problem.optimum.shape)
    last, means = np.empty((runs, len(begin))), np.empty((runs, batches, len(begin)))
    key, kept = np.uint64(integer(entropy(rng), "dropout")), np.uint64(problem.keep * 2.0**53)
    gram, correlation = problem.moments

    def part(first: int, end: int) -> None:
        rows = slice(first, end)
        dropout_runs(
            gram,
            correlation,
            kept,
            float(problem.step_size),
            problem.simplified,
            begin,
            burn_in,
            steps // batches,
            first,
            key,
            last[rows],
            means[rows],
        )

    over_runs(part, runs, workers, progress)
    return DropoutEstimate(last, means, problem, steps, burn_in)


def _steps(steps: Any) -> np.ndarray:
    k = finite(steps, "steps")
    if not ((k >= 0) & (k == np.floor(k))).all():
        raise UserError("steps are counted.", came=repr(steps), expected="whole numbers, 0 or more")
    return k


def _solved(problem: Dropout, right: np.ndarray) -> np.ndarray:
    """Return the solution of S - E[T S T′] = R, R symmetric."""
    d, v = len(right), problem.vectors
    sums = problem.step_size * problem.keep * np.add.outer(problem.decay, problem.decay)

    def on(change: Callable[[np.ndarray], np.ndarray]) -> linalg.LinearOperator:
        return linalg.LinearOperator((d * d, d * d), lambda s: change(s.reshape(d, d)).ravel(), dtype=np.float64)

    whole_step = on(lambda s: s - problem.second_moment_step(s))
    small_step = on(lambda s: v @ ((v.T @ s @ v) / sums) @ v.T)
    found, failed = linalg.gmres(whole_step, right.ravel(), M=small_step, rtol=1e-12, atol=0.0, restart=100, maxiter=20)
    left = np.linalg.norm(whole_step @ found - right.ravel())
    if failed and left > 1e-9 * np.linalg.norm(right):
        raise UserError(
            "the stationary covariance was not found.",
            came=f"residual {left:.1e}",
            expected="a step size away from the limit of stability",
        )
    found = found.reshape(d, d)
    return (found + found.T) / 2
