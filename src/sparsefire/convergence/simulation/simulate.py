"""Simulated risk: many independent runs of a rule, compiled and on threads, the same for any number of workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.convergence._inputs import entropy, recorded_steps
from sparsefire.convergence.exact._dynamics import RISKS, Dynamics
from sparsefire.convergence.exact.risk import risks
from sparsefire.convergence.exact.stability import warn_unstable
from sparsefire.convergence.problem import LinearRegression, count, one_of
from sparsefire.convergence.schedules import StepSize, step_sizes
from sparsefire.convergence.simulation import _invariant_kernels, _kernels, _projected_kernels
from sparsefire.convergence.simulation._blocks import run_blocks
from sparsefire.convergence.simulation._streams import CODES, LANES, room
from sparsefire.convergence.simulation.estimate import RiskEstimate
from sparsefire.convergence.update import Update, read
from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers

_PIECE = 2e6  # steps times numbers per run and step in one compiled call: about 0.1 s
_MOST = 2**32 - 1  # steps and runs are words of a counter
_EXACT = 1e9  # operations that the exact recursion may cost beside the simulation


def simulate_risk(
    rule: str | Update,
    problem: LinearRegression | None = None,
    *,
    steps: int,
    step_size: StepSize,
    runs: int = 1000,
    rng: Any = None,
    record: Any = None,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
    of: str = "parameters",
    method: str = "auto",
    **given: Any,
) -> RiskEstimate:
    """Return the risk of many independent runs of a rule, at some of their steps.

    Every run draws its own X, ε and directions, as the rule says; nothing is approximated. Random numbers have an
    address (run, step, purpose, coordinate), so that results depend neither on ``workers`` nor on ``record``, more
    ``runs`` only add to those of fewer, and with ``method="vectors"`` two rules with the same ``rng`` see the same
    inputs, the same noise and, where the law is the same, the same directions. Memory does not depend on ``steps``.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        steps: K ≥ 1, the number of samples of a run.
        step_size: α_k: a number, an array [K] or a function of k = 1 … K.
        runs: independent runs, at least 1; 64 run together, so that fewer take as long as 64.
        rng: see :func:`sparsefire.randomness.entropy`.
        record: steps whose risks are kept: ``None``: all up to 1000 steps, else about 200 on a geometric grid; a number
            of points on such a grid; or the steps themselves. 0 and the last are always there.
        workers: threads, default one per core.
        progress: called as ``progress(share done)``.
        of: ``"parameters"``, ‖δ‖², or ``"prediction"``, δ′Qδ, summed over outputs.
        method: ``"vectors"`` simulates δ itself. ``"invariant"`` simulates ‖δ‖, which is a Markov chain of its own
            where nothing knows the coordinates: Q = I, inputs ``"normal"`` or ``"sphere"``, one output, no mask, and
            ``sgd`` or one direction that is ``"normal"`` or ``"sphere"``: the same law at a cost that does not depend
            on d. ``"projected"`` draws X′δ and X′ξ in place of normal inputs, Q = I, one output, no mask, one direction
            of any law: the path of δ has the same law, at less than the cost of ξ twice. ``"auto"`` takes the cheapest
            that holds.
        **given: fields of ``Update`` and ``LinearRegression``. Before the first loss was read, a baseline is that loss,
            so that the first step does not move; a reward table is constant beyond its end.

    Returns:
        A :class:`RiskEstimate`; its ``exact`` is there where the risk obeys a closed recursion that costs little. A run
        that has diverged has the risk ∞.

    Raises:
        UserError: for what cannot be: no runs, a schedule that gives NaN, steps to record that are not made.

    Warns:
        UserWarning: when steps are beyond the stability limit, and for ``design="student"`` without ``reward``: the
            variance of the risk holds eighth moments of the inputs and is infinite, so that neither standard errors
            nor intervals of the mean hold (``median()``, ``quantile()`` and the exact recursion do).

    >>> found = simulate_risk("forward-gradient", dimension=10, steps=300, step_size=lambda k: 1 / (k + 144), rng=0)
    >>> low, high = found.interval()
    >>> bool(low[-1] < found.exact[-1] < high[-1])
    True
    """
    problem, update = read(rule, problem, given)
    alphas = step_sizes(step_size, steps)
    count(steps, "steps", _MOST)
    count(runs, "runs", _MOST)
    workers = checked_workers(workers)
    one_of(of, "of", RISKS)
    one_of(method, "method", ("auto", "vectors", "invariant", "projected"))
    recorded = recorded_steps(record, steps)
    method = _method(problem, update, method)
    settings = _settings(problem, update, of)
    table = _table(update.reward)
    warn_unstable(problem, update, alphas)
    if problem.design == "student" and update.reward is None:  # a table of rewards is bounded
        warnings.warn(
            "with student inputs the risk has no variance over runs (it takes an eighth moment): standard errors and "
            "intervals of the mean do not hold. median() and quantile() do, and so does interval(statistic='median'); "
            + (
                f"the mean risk of {update.rule} itself is infinite from the second step on."
                if update.reads_one_loss
                else "exact_risk has the mean without simulation."
            ),
            UserWarning,
            stacklevel=2,
        )
    key = randomness.integer(entropy(rng), "convergence", method)
    simulate = {"invariant": _along_norms, "projected": _projected, "vectors": _along_vectors}[method]
    values = np.empty((-(-runs // LANES) * LANES, len(recorded)))
    pieces, block = simulate(problem, settings, alphas, recorded, table, np.uint64(key), values)
    run_blocks(block, len(values) // LANES, pieces, workers=workers, progress=progress)
    values = values[:runs]
    values[np.isnan(values)] = np.inf  # ∞ − ∞ on the way
    return RiskEstimate(recorded, values, problem, update, _exact(problem, update, alphas, of, recorded), key)


def _method(problem: LinearRegression, update: Update, asked: str) -> str:
    """Return which method is taken, or raise when the one asked for does not hold."""
    turned, along = ("normal", "sphere"), ("forward-gradient", "weight-perturbation", "two-query", "one-query")
    plain = problem.isotropic and problem.outputs == 1 and update.mask in (None, problem.dimension)
    plain = plain and update.directions * update.repeats == 1
    holds = {
        "invariant": plain
        and problem.design in turned
        and (update.rule == "sgd" or (update.rule in along and update.law in turned)),
        "projected": plain and problem.design == "normal" and update.rule in along,
        "vectors": True,
    }
    if asked == "auto":
        return next(name for name, there in holds.items() if there)
    if not holds[asked]:
        why = "‖δ‖ is no Markov chain of its own" if asked == "invariant" else "more of X than X′δ and X′ξ enters"
        raise UserError(
            f"{why} here.",
            came=f"{update.rule} with law={update.law!r}, design={problem.design!r}",
            expected="Q = I, normal inputs (or sphere for the chain), one output, one direction and no mask",
            attempt='method="vectors"',
        )
    return asked


def _settings(problem: LinearRegression, update: Update, of: str) -> _kernels.Settings:
    d, hebbian = problem.dimension, update.rule == "hebbian"
    plain = problem.covariance is None
    off_diagonal = problem.matrix - np.diag(np.diagonal(problem.matrix))
    moved = update.mask or d
    radius = update.radius
    if radius is None:
        radius = float(problem.noise) / np.sqrt(moved) if update.rule == "one-query" else 1.0
        if radius == 0:
            raise UserError(
                "without noise no radius follows from it.",
                came="noise=0 and radius=None",
                expected="radius= above 0: how far from θ the loss is read",
            )
    return _kernels.Settings(
        rule=_kernels.RULES[update.rule],
        law=CODES["uniform" if hebbian else update.law],
        design=CODES[problem.design],
        noise_law=CODES[problem.noise_law],
        baseline=_kernels.BASELINES[update.baseline],
        mixing=_kernels.PLAIN if plain else _kernels.MIXED if off_diagonal.any() else _kernels.SCALED,
        dimension=d,
        seen=(problem.rank or d) if plain else d,
        moved=moved,
        outputs=problem.outputs,
        directions=update.directions,
        repeats=update.repeats,
        prediction=of == "prediction",
        noise=float(problem.noise),
        filled=float(problem.filled),
        radius=float(radius),
        memory=float(update.memory),
    )


Block = Callable[[int], Iterator[None]]
Table = tuple[np.ndarray, np.ndarray]


def _along_vectors(
    problem: LinearRegression,
    settings: _kernels.Settings,
    alphas: np.ndarray,
    recorded: np.ndarray,
    table: Table,
    key: np.uint64,
    values: np.ndarray,
) -> tuple[int, Block]:
    """Return the number of pieces, and what writes the risks of a block of runs to ``values``, simulating δ."""
    root = np.zeros((1, 1))
    if settings.mixing == _kernels.MIXED:
        root = np.ascontiguousarray(problem.root)
    elif settings.mixing == _kernels.SCALED:
        root = np.sqrt(np.diagonal(problem.matrix))[:, None].copy()
    numbers = settings.dimension * settings.outputs * (2 + settings.directions * settings.repeats)
    edges = _edges(len(alphas), numbers + settings.dimension**2 * (settings.mixing == _kernels.MIXED))

    def start() -> tuple[np.ndarray, np.ndarray]:
        delta, (risk, part) = room(problem.error.size), room(2)
        delta[:] = problem.error.T.reshape(-1, 1)
        _kernels.risk(risk, part, delta, room(settings.dimension), root, settings)
        return delta, risk

    return _blocks(start, _kernels.advance, edges, recorded, values, (alphas, root, *table, key), settings)


def _along_norms(
    problem: LinearRegression,
    settings: _kernels.Settings,
    alphas: np.ndarray,
    recorded: np.ndarray,
    table: Table,
    key: np.uint64,
    values: np.ndarray,
) -> tuple[int, Block]:
    """Return the same as :func:`_along_vectors`, simulating ‖δ‖."""
    edges = _edges(len(alphas), 20)  # a χ² number takes a while

    def start() -> tuple[np.ndarray, np.ndarray]:
        norm = np.full(LANES, np.linalg.norm(problem.error))
        return norm, norm**2

    return _blocks(start, _invariant_kernels.advance, edges, recorded, values, (alphas, *table, key), settings)


def _projected(
    problem: LinearRegression,
    settings: _kernels.Settings,
    alphas: np.ndarray,
    recorded: np.ndarray,
    table: Table,
    key: np.uint64,
    values: np.ndarray,
) -> tuple[int, Block]:
    """Return the same as :func:`_along_vectors`, drawing X′δ and X′ξ in place of X."""
    edges = _edges(len(alphas), 2 * settings.dimension + 8)

    def start() -> tuple[np.ndarray, np.ndarray]:
        delta = room(settings.dimension)
        delta[:] = problem.error[:, None]
        return delta, np.sum(problem.error**2)

    return _blocks(start, _projected_kernels.advance, edges, recorded, values, (alphas, *table, key), settings)


def _blocks(
    start: Callable[[], tuple[np.ndarray, np.ndarray]],
    advance: Callable[..., None],
    edges: list[int],
    recorded: np.ndarray,
    values: np.ndarray,
    given: tuple[Any, ...],
    settings: _kernels.Settings,
) -> tuple[int, Block]:
    """Return the number of pieces, and a block of runs: ``start`` makes its state and risk, ``advance`` moves both."""

    def block(i: int) -> Iterator[None]:
        mine, baseline = values[i * LANES : (i + 1) * LANES], np.zeros(LANES)
        state, mine[:, 0] = start()
        for begin, end in pairwise(edges):
            at = int(np.searchsorted(recorded, begin + 1))
            advance(state, baseline, mine, recorded, *given, i * LANES, begin, end, at, settings)
            yield

    return len(edges) - 1, block


def _edges(steps: int, numbers: int) -> list[int]:
    return [*range(0, steps, max(1, int(_PIECE / numbers))), steps]


def _table(reward: Any) -> Table:
    if reward is None:
        return np.zeros(0), np.zeros(0)
    try:
        grid, read = (np.array(part, dtype=float).reshape(-1) for part in reward)
    except (TypeError, ValueError):
        grid = read = np.zeros(0)
    if len(grid) < 2 or len(grid) != len(read) or grid[0] != 0 or not np.all(np.diff(grid) > 0) or np.isnan(read).any():
        raise UserError(
            "the reward is no table.", came="reward=", expected="two arrays of one length: ascending from 0, and values"
        )
    return grid, read


def _exact(
    problem: LinearRegression, update: Update, alphas: np.ndarray, of: str, recorded: np.ndarray
) -> np.ndarray | None:
    """Return the exact risk at some steps, or ``None`` where there is no recursion, or it is dear."""
    if update.reads_one_loss:
        return None
    dynamics = Dynamics(problem, update)
    if dynamics.groups() is None and float(problem.dimension) ** 3 * len(alphas) > _EXACT:
        return None
    try:
        return risks(dynamics, alphas, of)[recorded]
    except UserError:
        return None
