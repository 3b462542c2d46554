"""Exact risk of learning a linear regression, step by step, without simulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsefire.convergence.exact import _recursions
from sparsefire.convergence.exact._dynamics import RISKS, Dynamics, diagonal, floats
from sparsefire.convergence.exact.repeated import mean_steps, repeats_of
from sparsefire.convergence.exact.stability import gradient_scale, warn_unstable
from sparsefire.convergence.problem import LinearRegression, one_of
from sparsefire.convergence.schedules import StepSize, step_sizes
from sparsefire.convergence.update import Update, read
from sparsefire.errors import UserError


def exact_risk(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    step_size: StepSize,
    of: str = "parameters",
    **given: Any,
) -> np.ndarray:
    """Return the exact risk r_0 … r_K, float64 [steps + 1].

    For Q = I the risk obeys r ← r (1 − 2α + C α²) + N σ² α², with C = (d + 2)² and N = d (d + 2) for
    ``forward-gradient`` with normal directions (arXiv 2309.15001) and C = d + 2, N = d for ``sgd``; in general
    A = E δδ′ obeys A ← A − α (QA + AQ) + α² E ĝĝ′, in which only fourth moments of inputs and directions enter. Every
    covariance, design, law of directions, number of directions, rank, mask and, for ``sgd``, ``node-perturbation`` and
    ``weight-perturbation``, number of outputs is served. A step costs a few sums where Q = I, d sums where Q is
    diagonal or no law knows the coordinates (normal, sphere), else d³. ``repeats`` (arXiv 2411.17567) need Q = I or
    ``rank``, directions that are ``"normal"`` or ``"sphere"`` and inputs without heavy tails.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        steps: K ≥ 1, the number of samples.
        step_size: α_k: a number, an array [K] or a function of k = 1 … K.
        of: ``"parameters"``, E‖δ_k‖², or ``"prediction"``, E (X′δ_k)² with a fresh X, summed over outputs.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: for ``one-query`` and ``hebbian``, whose risk obeys no closed recursion (``simulate_risk`` serves
            them), and for what cannot be.

    Warns:
        UserWarning: when steps are beyond the stability limit.

    >>> risk = exact_risk("forward-gradient", dimension=10, steps=300, step_size=lambda k: 1 / (k + 144))
    >>> risk[[0, 300]].round(4).tolist()
    [1.0, 0.4362]
    >>> drift = exact_risk("forward-gradient", dimension=9, rank=2, steps=50, step_size=0.02)
    >>> bool(drift[-1] > exact_risk("forward-gradient", dimension=2, steps=50, step_size=0.02)[-1])
    True
    """
    dynamics, alphas = _read(rule, problem, steps, step_size, given)
    warn_unstable(dynamics.problem, dynamics.update, alphas)
    return risks(dynamics, alphas, of)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Where the risk comes from, each [steps + 1]: ``bias + variance`` and ``initial + noise`` are both the risk.

    Args:
        bias: of the mean error, ‖E δ_k‖² (for prediction E δ_k′ Q E δ_k).
        variance: the rest, the scatter of runs around their mean.
        initial: the risk with σ = 0: what is left of the error at the start.
        noise: the risk with δ₀ = 0: what the noise of the answers alone brings about.
    """

    bias: np.ndarray
    variance: np.ndarray
    initial: np.ndarray
    noise: np.ndarray

    @property
    def risk(self) -> np.ndarray:
        """The whole risk [steps + 1]."""
        return self.bias + self.variance


def decompose(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    step_size: StepSize,
    of: str = "parameters",
    **given: Any,
) -> Decomposition:
    """Return the exact risk split in two ways: bias and variance, initial error and noise.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        steps: K ≥ 1.
        step_size: as for :func:`exact_risk`.
        of: ``"parameters"`` or ``"prediction"``.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: as :func:`exact_risk` does.

    >>> parts = decompose("sgd", dimension=4, steps=10, step_size=0.1)
    >>> round(float(parts.bias[10] / 0.9**20), 12)
    1.0
    """
    dynamics, alphas = _read(rule, problem, steps, step_size, given)
    warn_unstable(dynamics.problem, dynamics.update, alphas)
    risk, bias = risks(dynamics, alphas, of), _bias(dynamics, alphas, of)
    silent = Dynamics(replace(dynamics.problem, noise=0.0), dynamics.update)
    learnt = Dynamics(replace(dynamics.problem, start=0.0), dynamics.update)
    return Decomposition(bias, risk - bias, risks(silent, alphas, of), risks(learnt, alphas, of))


def exact_covariance(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    step_size: StepSize,
    at: Any = None,
    **given: Any,
) -> np.ndarray:
    """Return A_k = E δ_k δ_k′, summed over outputs: [d, d] after the last step, or [len(at), d, d] after steps ``at``.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``, without ``repeats``.
        problem: or keywords that describe it.
        steps: K ≥ 1.
        step_size: as for :func:`exact_risk`.
        at: steps from 0 to K, ascending.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: as :func:`exact_risk` does, and for ``repeats``.

    >>> a = exact_covariance("sgd", dimension=2, steps=5, step_size=0.1, at=[0, 5])
    >>> a[0].round(9).tolist(), round(float(np.trace(a[1])), 6)
    ([[0.5, 0.5], [0.5, 0.5]], 0.490935)
    """
    dynamics, alphas = _read(rule, problem, steps, step_size, given)
    warn_unstable(dynamics.problem, dynamics.update, alphas)
    if dynamics.update.repeats > 1:
        raise UserError("repeats have a recursion for the risk only.", came="repeats= above 1", expected="1")
    places = _places(at, steps)
    groups = dynamics.groups(single=True)
    if groups is None:
        kept = _whole(dynamics, alphas, "parameters", places)[1]
    else:
        turned = dynamics.start if groups.basis is None else groups.basis.T @ dynamics.start @ groups.basis
        kept = _recursions.elementwise(
            turned,
            groups.values,
            groups.moves,
            floats(dynamics.inputs),
            floats(dynamics.estimate),
            dynamics.noise,
            alphas,
            places,
        )
        if groups.basis is not None:
            kept = groups.basis @ kept @ groups.basis.T
    return kept[0] if at is None else kept


def expected_error(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    step_size: StepSize,
    at: Any = None,
    **given: Any,
) -> np.ndarray:
    """Return E δ_k = Π (I − α_i κ Q) δ₀, exact for every rule: ``one-query`` and ``hebbian`` too.

    κ = 1 but for ``hebbian``, where κ = 2 cosh A − 2 sinh(A)/A for shifts of spike times in [−A, A] (arXiv 2301.11777).
    Only the masked coordinates move. A baseline starts as the first loss that is read, which therefore moves nothing:
    of l directions in the first step the share (l − 1)/l counts, of l repeats l − 1.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update`` without ``reward``.
        problem: or keywords that describe it.
        steps: K ≥ 1.
        step_size: as for :func:`exact_risk`.
        at: steps from 0 to K, ascending; ``None`` for the last.
        **given: fields of ``Update`` and ``LinearRegression``.

    Returns:
        float64 [d], with ``at`` [len(at), d]; a last axis for several outputs.

    Raises:
        UserError: for a transformed reward, and for ``repeats`` unless Q = I or ``rank``.

    >>> expected_error("hebbian", dimension=2, start=[1.0, 0.0], steps=2, step_size=0.5, radius=1.0).round(6).tolist()
    [0.399576, 0.0]
    """
    problem, update = read(rule, problem, given)
    alphas = step_sizes(step_size, steps)
    if update.reward is not None:
        raise UserError("a transformed reward has no linear mean path.", came="reward=", expected="no reward=")
    modes = _modes(problem, update, alphas)
    kept = _recursions.means(modes.values, modes.alphas, _places(at, steps))
    found = np.broadcast_to(modes.limit, (len(kept), *modes.limit.shape)).copy()
    found[:, : len(modes.values)] += modes.turn(kept[:, :, None] * modes.away)
    found = found.reshape(len(kept), *problem.error.shape)
    return found[0] if at is None else found


@dataclass(frozen=True, eq=False)
class _Modes:
    """E δ in the eigenbasis of Q among the coordinates that move: limit + basis · Π (1 − α λ) away."""

    values: np.ndarray
    basis: np.ndarray | None
    limit: np.ndarray
    away: np.ndarray
    alphas: np.ndarray

    def turn(self, modes: np.ndarray) -> np.ndarray:
        return modes if self.basis is None else self.basis @ modes


def _read(
    rule: str | Update, problem: LinearRegression | None, steps: int, step_size: StepSize, given: dict[str, Any]
) -> tuple[Dynamics, np.ndarray]:
    problem, update = read(rule, problem, given)
    return Dynamics(problem, update), step_sizes(step_size, steps)


def risks(dynamics: Dynamics, alphas: np.ndarray, of: str) -> np.ndarray:
    """Return what :func:`exact_risk` does [K + 1], for a problem and a rule that have been read, without a warning.

    >>> risks(Dynamics(LinearRegression(2), Update("sgd")), np.array([1.0]), "parameters")[1].item()  # beyond the limit
    5.0
    """
    one_of(of, "of", RISKS)
    if dynamics.update.repeats > 1:
        return _repeated(dynamics, alphas, of)
    groups = dynamics.groups()
    if groups is None:
        return _whole(dynamics, alphas, of, np.empty(0, dtype=np.int64))[0]
    return _recursions.grouped(
        groups.start,
        groups.counts,
        groups.values,
        groups.moves,
        floats(dynamics.inputs),
        floats(dynamics.estimate),
        dynamics.noise,
        alphas,
        groups.values if of == "prediction" else np.ones(len(groups.values)),
    )


def _whole(dynamics: Dynamics, alphas: np.ndarray, of: str, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    problem = dynamics.problem
    return _recursions.matrix(
        dynamics.start,
        np.ascontiguousarray(problem.matrix),
        np.ascontiguousarray(problem.root),
        dynamics.moving,
        floats(dynamics.inputs),
        floats(dynamics.estimate),
        dynamics.noise,
        alphas,
        of == "prediction",
        at,
    )


def _repeated(dynamics: Dynamics, alphas: np.ndarray, of: str) -> np.ndarray:
    recursion = repeats_of(dynamics)
    squares = (dynamics.problem.error.reshape(dynamics.problem.dimension, -1) ** 2).sum(axis=1)
    seen, moving = recursion.seen, dynamics.moving
    risk, others, _ = recursion.path(squares[:seen].sum(), squares[seen:moving].sum(), alphas)
    if of == "prediction":
        return risk + squares[moving : dynamics.problem.rank or dynamics.problem.dimension].sum()
    return risk + others + squares[moving:].sum()


def _modes(problem: LinearRegression, update: Update, alphas: np.ndarray) -> _Modes:
    s, error = update.mask or problem.dimension, problem.error.reshape(problem.dimension, -1)
    limit, values, basis = error.copy(), diagonal(problem), None
    if values is None:
        values, basis = np.linalg.eigh(problem.matrix[:s, :s])
        limit[:s] = -np.linalg.solve(problem.matrix[:s, :s], problem.matrix[:s, s:] @ error[s:])
    else:
        values = values[:s]
        limit[:s] = np.where(values[:, None] > 0, 0.0, error[:s])
    away = error[:s] - limit[:s]
    if basis is not None:
        away = basis.T @ away
    alphas = alphas * gradient_scale(update)
    return _Modes(values, basis, limit, away, _mean_steps(problem, update, s, alphas))


def _mean_steps(problem: LinearRegression, update: Update, moving: int, alphas: np.ndarray) -> np.ndarray:
    """Return step sizes [K] with which the mean path is that of gradient descent on the population."""
    found = mean_steps(problem, moving, update.repeats, alphas) if update.repeats > 1 else alphas.copy()
    if update.baseline == "none":
        return found
    if update.repeats > 1:  # the first of all losses is its own baseline
        found[0] = mean_steps(problem, moving, update.repeats - 1, alphas[:1])[0]
    else:
        found[0] *= (update.directions - 1) / update.directions
    return found


def _bias(dynamics: Dynamics, alphas: np.ndarray, of: str) -> np.ndarray:
    problem = dynamics.problem
    modes = _modes(problem, dynamics.update, alphas)
    squares = (modes.away**2).sum(axis=1)
    if of == "prediction":  # the mean that stays is at right angles to what moves, in the sense of Q
        variances = diagonal(problem)
        seen = problem.matrix @ modes.limit if variances is None else variances[:, None] * modes.limit
        squares, products, constant = modes.values * squares, np.zeros_like(squares), np.sum(modes.limit * seen)
    else:
        resting = modes.limit[: len(modes.values)]
        resting = resting if modes.basis is None else modes.basis.T @ resting
        products, constant = (modes.away * resting).sum(axis=1), np.sum(modes.limit**2)
    values, member = np.unique(modes.values, return_inverse=True)
    return _recursions.biases(
        values, np.bincount(member, squares), np.bincount(member, products), float(constant), modes.alphas
    )


def _places(at: Any, steps: int) -> np.ndarray:
    try:
        found = np.atleast_1d(np.asarray(steps if at is None else at))
    except ValueError:  # rows of several lengths
        found = np.empty((0, 0))
    whole = found.ndim == 1 and np.issubdtype(found.dtype, np.integer)
    if not whole or np.any(np.diff(found) < 0) or np.any((found < 0) | (found > steps)):
        raise UserError("at tells no steps.", came=repr(at), expected=f"ascending whole numbers from 0 to {steps}")
    return found.astype(np.int64)
