"""How long a step may be, what risk a constant step leaves, and which schedules follow from that."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize
from scipy.sparse import linalg

from sparsefire.convergence.exact import _recursions
from sparsefire.convergence.exact._dynamics import RISKS, Dynamics, Groups, diagonal, floats
from sparsefire.convergence.exact.repeated import Repeats, repeats_of
from sparsefire.convergence.problem import LinearRegression, one_of
from sparsefire.convergence.schedules import harmonic, step_sizes
from sparsefire.convergence.update import Update, read
from sparsefire.errors import UserError

_FINE = 1.05  # ratio of neighbouring steps between which the first crossing is looked for
DENSE = 40  # eigenvalues of matrices up to this size are had directly, beyond by Arnoldi iteration


def stability_limit(rule: str | Update, problem: LinearRegression | None = None, **given: Any) -> float:
    """Return the largest constant step for which E‖δ‖² stays bounded: below it the rule is mean-square stable.

    With A ← A − α L(A) + α² F(A) for A = E δδ′ and L(A) = QA + AQ, the spectral radius of this positive map passes 1 at
    α = 1/ρ(L⁻¹F). For Q = I this is 2/C with C as in r ← r (1 − 2α + C α²): 2/(d + 2) for ``sgd``, 2/(d + 2)² for
    ``forward-gradient`` with normal directions (arXiv 2309.15001). Coordinates without inputs (``rank``) or outside
    the ``mask`` do not count. With ``repeats`` it is the smallest step at which the factor per sample passes 1.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: for rules whose risk obeys no closed recursion (``one-query``, ``hebbian``).

    >>> stability_limit("forward-gradient", dimension=10, law="normal") == 2 / 144
    True
    >>> round(stability_limit("sgd", dimension=3, covariance=[1.0, 2.0, 4.0]), 6)
    0.146447
    """
    dynamics = Dynamics(*read(rule, problem, given))
    if dynamics.update.repeats > 1:
        return _first_crossing(repeats_of(dynamics))
    return 1.0 / _pull_and_spread(dynamics)[0](0.0)


def spectral_radius(
    rule: str | Update, problem: LinearRegression | None = None, *, step_size: float, **given: Any
) -> float:
    """Return the factor by which E‖δ‖² is multiplied per step in the long run, with constant step and without noise.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        step_size: α ≥ 0.
        **given: fields of ``Update`` and ``LinearRegression``.

    >>> round(spectral_radius("sgd", dimension=8, step_size=0.1), 12)  # 1 − 2α + (d + 2) α²
    0.9
    """
    dynamics, alpha = Dynamics(*read(rule, problem, given)), float(step_sizes(step_size, 1)[0])
    if dynamics.update.repeats > 1:
        return repeats_of(dynamics).factor(alpha)
    if alpha == 0:
        return 1.0
    relative, most = _pull_and_spread(dynamics)

    def excess(rate: float) -> float:  # falls with the rate, from limit/α − 1 at 0
        return -1.0 if rate >= most else 1.0 / (alpha * relative(rate)) - 1.0

    low, high = (0.0, most) if excess(0.0) >= 0 else (-most, 0.0)
    while excess(low) < 0:
        low *= 2
    # A ← A − α L(A) + α² F(A) keeps A up to the factor 1 − α rate where (L − rate)⁻¹ α F has spectral radius 1
    return 1.0 - alpha * float(optimize.brentq(excess, low, high, xtol=1e-15 * most, maxiter=500))


def stationary_risk(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    step_size: float,
    of: str = "parameters",
    **given: Any,
) -> float:
    """Return the risk to which a constant step leads: α N σ²/(2 − α C) for Q = I, ∞ from the stability limit on.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        step_size: α above 0.
        of: ``"parameters"``, E‖δ‖², or ``"prediction"``, E (X′δ)² summed over outputs. Parameters that move without
            inputs (``rank``) diffuse as long as there is noise: their risk is ∞.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: for a step of 0, which leads nowhere: the risk stays what it is at the start.

    >>> round(stationary_risk("forward-gradient", dimension=10, step_size=1 / 144), 4)
    0.8333
    """
    one_of(of, "of", RISKS)
    dynamics, alpha = Dynamics(*read(rule, problem, given)), float(step_sizes(step_size, 1)[0])
    if alpha == 0:
        raise UserError(
            "a step of 0 leads nowhere.", came="step_size=0", expected="a step above 0; without steps the risk is ‖δ₀‖²"
        )
    if alpha >= stability_limit(dynamics.update, dynamics.problem):
        return np.inf
    if dynamics.update.repeats > 1:
        return _stationary_repeats(dynamics, alpha, of)
    groups = dynamics.groups()
    return (
        _stationary_matrix(dynamics, alpha, of) if groups is None else _stationary_groups(dynamics, groups, alpha, of)
    )


def default_schedule(rule: str | Update, problem: LinearRegression | None = None, **given: Any) -> Callable[[Any], Any]:
    """Return α_k = 1/(λ (k + k₀)) with k₀ = 2/(λ · stability limit): half the limit at the start, then 1/(λk).

    λ is the smallest variance of inputs that is not 0 (times l for ``repeats``, which make l steps per sample). For
    Q = I, k₀ is C of the exact recursion: d + 2 for ``sgd``, (d + 2)² for ``forward-gradient`` with normal directions.
    Rules that read one loss have no exact limit; they get k₀ = 6 d² λ_max/λ (and steps divided by the factor
    2 cosh A − 2 sinh(A)/A by which ``hebbian`` scales the gradient).

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        **given: fields of ``Update`` and ``LinearRegression``.

    >>> alpha = default_schedule("sgd", dimension=10)
    >>> round(1 / float(alpha(1)), 9)
    13.0
    """
    problem, update = read(rule, problem, given)
    variances = _moving_variances(problem, update)
    least = float(variances[variances > 0].min()) * update.repeats
    if update.reads_one_loss:
        size = update.mask or problem.dimension
        return harmonic(1 / (least * gradient_scale(update)), offset=6 * size**2 * float(variances.max()) / least)
    return harmonic(1 / least, offset=2 / (least * stability_limit(update, problem)))


def warn_unstable(problem: LinearRegression, update: Update, alphas: np.ndarray) -> None:
    """Warn when steps are beyond the stability limit, with the limit and their number; silent where none is known.

    >>> warn_unstable(LinearRegression(2), Update("sgd"), np.array([0.2, 0.1]))
    """
    if update.reads_one_loss:
        return
    try:
        limit = stability_limit(update, problem)
    except UserError:  # no closed recursion, so no limit
        return
    beyond = int((np.asarray(alphas) > limit * (1 + 1e-9)).sum())
    if beyond:
        warnings.warn(
            f"{beyond} of {len(alphas)} steps are beyond the stability limit {limit:.6g} of {update.rule}: "
            "the risk grows there.",
            UserWarning,
            stacklevel=3,
        )


def best_step_sizes(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    of: str = "parameters",
    **given: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the step sizes α_1 … α_K [K] that make each next risk smallest, and that risk r_0 … r_K [K + 1].

    They need what nobody knows, the risk itself: a reference for schedules. For Q = I, α = r/(C r + N σ²).

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``, without ``repeats``.
        problem: or keywords that describe it.
        steps: K ≥ 1.
        of: ``"parameters"`` or ``"prediction"``: the risk that is made small.
        **given: fields of ``Update`` and ``LinearRegression``.

    >>> alphas, risk = best_step_sizes("sgd", dimension=2, steps=2)  # C = 4, N = 2
    >>> alphas.round(6).tolist(), risk.round(6).tolist()
    ([0.166667, 0.15625], [1.0, 0.833333, 0.703125])
    """
    problem, update = read(rule, problem, given)
    one_of(of, "of", RISKS)
    step_sizes(0.0, steps)
    dynamics = Dynamics(problem, update)
    if update.repeats > 1:
        raise UserError("greedy steps are told for one step per sample.", came="repeats= above 1", expected="1")
    groups = dynamics.groups()
    if groups is not None:
        weights = groups.values if of == "prediction" else np.ones(len(groups.values))
        return _recursions.greedy(
            groups.start,
            groups.counts,
            groups.values,
            groups.moves,
            floats(dynamics.inputs),
            floats(dynamics.estimate),
            dynamics.noise,
            steps,
            weights,
        )
    error, alphas, risk = dynamics.start, np.zeros(steps), np.empty(steps + 1)
    measure = problem.matrix if of == "prediction" else np.eye(problem.dimension)
    risk[0] = np.sum(measure * error)
    for k in range(steps):
        ahead, back = (np.sum(measure * dynamics.step(error, alpha)) - risk[k] for alpha in (1.0, -1.0))
        slope, bend = (ahead - back) / 2, (ahead + back) / 2  # the risk is r + slope α + bend α²
        alphas[k] = -slope / (2 * bend) if bend > 0 else 0.0
        error = dynamics.step(error, alphas[k])
        risk[k + 1] = np.sum(measure * error)
    return alphas, risk


def gradient_scale(update: Update) -> float:
    """Return κ in E ĝ = κ Q δ: 2 cosh A − 2 sinh(A)/A for ``hebbian`` (arXiv 2301.11777), else 1.

    >>> round(gradient_scale(Update("hebbian", radius=1.0)), 10)
    0.7357588823
    """
    if update.rule != "hebbian":
        return 1.0
    width = 1.0 if update.radius is None else float(update.radius)
    if width < 1e-2:  # without cancellation
        return width**2 * (2 / 3 + width**2 / 15 + width**4 / 420)
    return float(2 * np.cosh(width) - 2 * np.sinh(width) / width)


def _spread(dynamics: Dynamics, groups: Groups) -> np.ndarray:
    """Return F among the groups that count [g, g]: the risks after a long step from those before."""
    gradient, estimate = _gradient(dynamics, groups), dynamics.estimate
    total = np.outer(groups.counts[groups.visible], gradient.sum(axis=0))
    return (estimate.twice + estimate.diagonal) * gradient + estimate.trace * total


def _gradient(dynamics: Dynamics, groups: Groups) -> np.ndarray:
    """Return how the second moments of the slopes follow from the risks, among the groups that count [g, g]."""
    counts, values = groups.counts[groups.visible], groups.values[groups.visible]
    inputs = dynamics.inputs
    return np.diag(values**2 * (inputs.twice + inputs.diagonal)) + inputs.trace * np.outer(counts * values, values)


def _pull_and_spread(dynamics: Dynamics) -> tuple[Callable[[float], float], float]:
    """Return the spectral radius of (L − rate)⁻¹F as a function of the rate, and the rate below which it is one.

    It is had much faster than that of A − α L(A) + α² F(A), all eigenvalues of which come close to 1 for small steps.
    """
    groups = dynamics.groups()
    if groups is not None:
        values, among = groups.values[groups.visible], _spread(dynamics, groups)
        return lambda rate: _largest(
            (among / (2 * values - rate)[:, None]).__matmul__, np.ones(len(values))
        ), 2 * values.min()
    spread, divide = _matrix_maps(dynamics)
    size, least = dynamics.moving, _moving_variances(dynamics.problem, dynamics.update).min()

    def relative(rate: float) -> float:
        def apply(flat: np.ndarray) -> np.ndarray:
            a = flat.reshape(size, size)
            return divide(spread((a + a.T) / 2), rate).reshape(-1)

        return _largest(apply, np.eye(size).reshape(-1))

    return relative, 2 * float(least)


def _matrix_maps(dynamics: Dynamics) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """Return F and (L − rate)⁻¹ on symmetric matrices over the coordinates that move."""
    s, d = dynamics.moving, dynamics.problem.dimension
    values, vectors = np.linalg.eigh(dynamics.problem.matrix[:s, :s])

    def spread(a: np.ndarray) -> np.ndarray:
        whole = np.zeros((d, d))
        whole[:s, :s] = a
        return dynamics.estimate.of(dynamics.gradient_moment(whole)[:s, :s])

    def divide(a: np.ndarray, rate: float = 0.0) -> np.ndarray:
        return vectors @ ((vectors.T @ a @ vectors) / (values[:, None] + values - rate)) @ vectors.T

    return spread, divide


def _largest(apply: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> float:
    """Return the spectral radius of a linear map that keeps a cone of vectors, ``start`` among them."""
    size = len(start)
    if size <= DENSE:
        return float(np.abs(np.linalg.eigvals(np.stack([apply(row) for row in np.eye(size)], axis=1))).max())
    operator = linalg.LinearOperator((size, size), matvec=apply, dtype=float)
    return float(np.abs(linalg.eigs(operator, k=1, which="LM", v0=start, return_eigenvectors=False)[0]))


def _first_crossing(recursion: Repeats) -> float:
    """Return the smallest step at which the factor per sample is 1 again."""
    if not recursion.weights.all():
        raise UserError(
            "with so many repeats the limit hangs on inputs that are rarer than numbers can tell.",
            came=f"repeats={recursion.repeats}",
            expected="300 or fewer for normal inputs; design='sphere' has inputs of one length",
        )

    def growth(alpha: float) -> float:  # the factor less 1, without cancellation: it is −2α for short steps
        shrink, gain, *_ = recursion.moments(alpha)
        return float(np.nan_to_num(gain - 2 * shrink, nan=np.inf))

    below = 1e-6 / (recursion.seen * (recursion.along + recursion.across * recursion.seen))
    while growth(below) >= 0:
        below /= 10
    above, unit = below * _FINE, -growth(below)
    while growth(above) < 0:
        below, above = above, above * _FINE
    return float(optimize.brentq(lambda alpha: min(growth(alpha) / unit, 1e9), below, above, xtol=1e-15 * below))


def _moving_variances(problem: LinearRegression, update: Update) -> np.ndarray:
    size = update.mask or problem.dimension
    variances = diagonal(problem)
    return np.linalg.eigvalsh(problem.matrix[:size, :size]) if variances is None else variances[:size]


def _stationary_repeats(dynamics: Dynamics, alpha: float, of: str) -> float:
    recursion, problem = repeats_of(dynamics), dynamics.problem
    shrink, gain, added, drift, diffused = recursion.moments(alpha)
    lost = 2 * shrink - gain
    p = added / lost
    squares, seen = (problem.error.reshape(problem.dimension, -1) ** 2).sum(axis=1), recursion.seen
    if of == "prediction":
        return p + float(squares[dynamics.moving : problem.rank or problem.dimension].sum())
    drifted = np.inf if drift * p + diffused > 0 else drift * float(squares[:seen].sum()) / lost
    return p + drifted + float(squares[seen:].sum())


def _stationary_groups(dynamics: Dynamics, groups: Groups, alpha: float, of: str) -> float:
    share, fixed, hidden = groups.visible, ~groups.moves, groups.moves & ~groups.visible
    counts, values = groups.counts[share], groups.values[share]
    estimate, spread = dynamics.estimate, _spread(dynamics, groups)
    answers = dynamics.noise + dynamics.inputs.trace * float((groups.values * groups.start)[fixed].sum())
    gradient = counts * values * answers
    added = (estimate.twice + estimate.diagonal) * gradient + estimate.trace * counts * gradient.sum()
    lost = 2 * np.diag(values) - alpha * spread
    p = np.linalg.solve(lost, alpha * added)
    if of == "prediction":
        return float(values @ p + (groups.values * groups.start)[fixed].sum())
    drifted = 0.0
    if hidden.any() and estimate.trace:  # all that a run spreads over what nothing pulls back
        travelled = (
            np.inf
            if answers > 0
            else (alpha * _gradient(dynamics, groups) @ np.linalg.solve(lost, groups.start[share]))
        )
        drifted = estimate.trace * float(groups.counts[hidden].sum() * np.sum(travelled))
    return float(p.sum() + drifted + groups.start[fixed | hidden].sum())


def _stationary_matrix(dynamics: Dynamics, alpha: float, of: str) -> float:
    s, covariance = dynamics.moving, dynamics.problem.matrix
    error = dynamics.problem.error.reshape(dynamics.problem.dimension, -1)
    limit = error.copy()  # of the mean: what stays is made up for by what moves
    limit[:s] = -np.linalg.solve(covariance[:s, :s], covariance[:s, s:] @ error[s:])
    known = limit @ limit.T  # all of A but the block that moves
    known[:s, :s] = 0.0
    spread, divide = _matrix_maps(dynamics)
    gradient = dynamics.gradient_moment(known) + dynamics.noise * covariance
    pulled = covariance[:s] @ known[:, :s]
    constant = divide(alpha * dynamics.estimate.of(gradient[:s, :s]) - pulled - pulled.T)

    def apply(flat: np.ndarray) -> np.ndarray:
        a = (flat.reshape(s, s) + flat.reshape(s, s).T) / 2
        return (a - alpha * divide(spread(a))).reshape(-1)

    operator = linalg.LinearOperator((s**2, s**2), matvec=apply, dtype=float)
    found, missed = linalg.gmres(operator, constant.reshape(-1), rtol=1e-13, restart=100, maxiter=200)
    if missed:
        raise UserError("the stationary risk was not found.", came=f"α={alpha:g}", expected="a step below the limit")
    known[:s, :s] = found.reshape(s, s)
    return float(np.sum(covariance * known) if of == "prediction" else np.trace(known))
