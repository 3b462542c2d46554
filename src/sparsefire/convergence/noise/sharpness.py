"""Stochastic sharpness-aware minimisation in diagonal linear networks: noise makes them sparse (arXiv:2503.11891).

β = w_1 ⋯ w_L, coordinate by coordinate. Each step takes the gradient of ½|Y - Xβ|² at weights with noise on them,

    w ← w - α ∇L(w + η ξ),     ξ ~ N(0, I),

in the mean a step down the expected loss ½|Y - Xβ|² + ½ Σ_j G_jj (Π_l (w_lj² + η²) - β_j²), G = X′X. The noise
balances the layers, d(w_l² - w_m²)/dt = -2η² G_jj Π_{k≠l,m} (w_k² + η²) (w_l² - w_m²), and the least that it adds over
all weights of one β, those of balanced layers, is a penalty on β: for two layers η² Σ G_jj |β_j|, the lasso's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import integrate

from sparsefire.convergence._inputs import entropy, finite, from_zero, instance, recorded_steps, regression, whole
from sparsefire.convergence.inference._resample import quantile_of, student_interval
from sparsefire.convergence.problem import count
from sparsefire.convergence.schedules import StepSize, step_sizes
from sparsefire.convergence.simulation._blocks import over_runs
from sparsefire.errors import Diverged, UserError
from sparsefire.randomness import integer


@dataclass(frozen=True, eq=False)
class DiagonalNetwork:
    """A diagonal linear network on one table.

    Args:
        x: inputs [n, d], without a column of zeros. Orthonormal columns make the coordinates independent.
        y: answers [n].
        noise: η ≥ 0, the standard deviation of the noise on the weights.
        layers: L ≥ 2.

    Raises:
        UserError: for what is no table, noise or number of layers.

    >>> DiagonalNetwork(np.eye(2), [2.0, 0.1], noise=0.5).gram.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    x: Any = field(repr=False)
    y: Any = field(repr=False)
    noise: float
    layers: int = 2

    def __post_init__(self) -> None:
        from_zero(self.noise, "noise")
        whole(self.layers, "layers", 2)
        _ = self.moments  # what cannot be must not wait

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """G = X′X [d, d] and c = X′Y [d]."""
        return regression(self.x, self.y)

    @property
    def gram(self) -> np.ndarray:
        """G [d, d]."""
        return self.moments[0]


def soft_threshold(values: Any, threshold: float) -> np.ndarray:
    """Return sign(b) (|b| - threshold)₊: the limit of two layers on orthonormal inputs, b = X′Y, threshold η².

    >>> soft_threshold([2.0, 0.2, -1.2], 0.3).round(3).tolist()
    [1.7, 0.0, -0.9]
    """
    b, threshold = finite(values, "values"), from_zero(threshold, "threshold")
    return np.sign(b) * np.maximum(np.abs(b) - threshold, 0.0)


def induced_penalty(beta: Any, noise: float, layers: int = 2) -> np.ndarray:
    """Return what noise adds at least to the loss of β, by coordinate and for G_jj = 1, less its value at β = 0.

    ½ ((|β|^(2/L) + η²)^L - β² - η^(2L)), where all layers are alike; η²|β| for two layers.

    Args:
        beta: β, any shape.
        noise: η ≥ 0.
        layers: L ≥ 2.

    >>> induced_penalty([1.0, -2.0], 0.5).tolist(), induced_penalty([1.0, -2.0], 0.5, layers=3).round(4).tolist()
    ([0.25, 0.5], [0.4688, 1.0938])
    """
    size, depth = np.abs(finite(beta, "beta")), whole(layers, "layers", 2)
    noise = from_zero(noise, "noise")
    square, added, binomial = size ** (2 / depth), np.zeros_like(size), 1.0
    for i in range(1, depth):  # without the first and the last term of (|β|^(2/L) + η²)^L, which cancel
        binomial *= (depth - i + 1) / i
        added += binomial * square**i * noise ** (2.0 * (depth - i))
    return added / 2


def sharpness_limit(problem: DiagonalNetwork) -> np.ndarray:
    """Return argmin ½|Y - Xβ|² + η² Σ G_jj |β_j| [d], where two noisy layers end: the lasso, by coordinate descent.

    On orthogonal inputs it is soft_threshold(c_j / G_jj, η²).

    Raises:
        UserError: more than two layers, for which the minimum of the loss need not be one.

    >>> sharpness_limit(DiagonalNetwork(np.eye(3), [2.0, 0.1, -1.0], noise=0.5)).round(6).tolist()
    [1.75, 0.0, -0.75]
    """
    from sklearn.linear_model import Lasso

    _two_layers(problem)
    scale = np.diagonal(problem.gram)
    rows = len(problem.x)
    if problem.noise == 0:
        return np.linalg.lstsq(np.asarray(problem.x, dtype=float), np.asarray(problem.y, dtype=float), rcond=None)[0]
    lasso = Lasso(alpha=problem.noise**2 / rows, fit_intercept=False, tol=1e-13, max_iter=1_000_000)
    return lasso.fit(np.asarray(problem.x, dtype=float) / scale, problem.y).coef_ / scale


def expected_loss(problem: DiagonalNetwork, weights: Any) -> float:
    """Return E L(w + η ξ) for weights [layers, d].

    >>> expected_loss(DiagonalNetwork(np.eye(1), [1.0], noise=0.5), [[1.0], [1.0]])
    0.28125
    """
    w = _weights(problem, weights)
    beta = w.prod(axis=0)
    residual = np.asarray(problem.y, dtype=float) - np.asarray(problem.x, dtype=float) @ beta
    added = (w**2 + problem.noise**2).prod(axis=0) - beta**2
    return float(residual @ residual + np.diagonal(problem.gram) @ added) / 2


def expected_gradient(problem: DiagonalNetwork, weights: Any) -> np.ndarray:
    """Return ∇ E L(w + η ξ) = E ∇L(w + η ξ), float64 [layers, d].

    >>> expected_gradient(DiagonalNetwork(np.eye(1), [1.0], noise=0.5), [[1.0], [1.0]]).tolist()
    [[0.25], [0.25]]
    """
    from sparsefire.convergence.noise._sharpness_kernels import mean_slope

    return mean_slope(_weights(problem, weights), *problem.moments, float(problem.noise) ** 2)


def sharpness_flow(problem: DiagonalNetwork, start: Any, times: Any) -> np.ndarray:
    """Return the weights of gradient flow on the expected loss, float64 [*times.shape, layers, d].

    Any design; by DOP853, error about 1e-9.

    Args:
        problem: the network and the data.
        start: weights at time 0: a number, or [layers, d]. Two equal layers stay equal, and β_j ≥ 0.
        times: t ≥ 0.

    >>> problem = DiagonalNetwork(np.eye(3), [2.0, 0.1, -1.0], noise=0.5)
    >>> weights = sharpness_flow(problem, [[0.3, 0.3, 0.3], [0.1, 0.1, 0.1]], 40.0)
    >>> weights.prod(axis=0).round(3).tolist()
    [1.75, 0.0, -0.75]
    """
    from sparsefire.convergence.noise._sharpness_kernels import mean_slope

    w, t = _weights(problem, start), finite(times, "times")
    if not (t >= 0).all():
        raise UserError("times of a path are 0 or more.", came=repr(times), expected="numbers, 0 or more")
    moments, places = np.unique(t, return_inverse=True)
    gram, correlation = problem.moments
    variance = float(problem.noise) ** 2

    def slope(_: float, now: np.ndarray) -> np.ndarray:
        return -mean_slope(now.reshape(w.shape), gram, correlation, variance).ravel()

    path = np.broadcast_to(w, (len(moments), *w.shape))
    if len(moments) and moments[-1] > 0:
        solved = integrate.solve_ivp(
            slope, (0, moments[-1]), w.ravel(), "DOP853", t_eval=moments, rtol=1e-11, atol=1e-12
        )
        path = solved.y.T.reshape(path.shape)
    return path[places].reshape(*t.shape, *w.shape)


def sharpness_balance(problem: DiagonalNetwork, start: Any, times: Any) -> np.ndarray:
    """Return u² - v² of two layers under gradient flow, float64 [*times.shape, d]: (u_0² - v_0²) exp(-2η² G_jj t).

    Args:
        problem: two layers, any design.
        start: weights at time 0 [2, d].
        times: t ≥ 0.

    Raises:
        UserError: more than two layers, whose balance depends on the path.

    >>> sharpness_balance(DiagonalNetwork(np.eye(1), [1.0], noise=0.5), [[1.0], [0.0]], [0.0, 2.0]).round(4).tolist()
    [[1.0], [0.3679]]
    """
    _two_layers(problem)
    u, v = _weights(problem, start)
    rates = 2 * problem.noise**2 * np.diagonal(problem.gram)
    return (u**2 - v**2) * np.exp(-finite(times, "times")[..., None] * rates)


def sharpness_descent(
    problem: DiagonalNetwork, start: Any, *, steps: int, step_size: StepSize, record: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (steps, weights [records, layers, d]) of gradient descent on the expected loss.

    Args:
        problem: the network and the data.
        start: weights at first: a number, or [layers, d].
        steps: how many, 1 or more.
        step_size: α: a number, an array [steps], or a function of k = 1 … steps.
        record: as for :func:`simulate_sharpness`.

    Raises:
        Diverged: a weight is no number any more.

    >>> problem = DiagonalNetwork(np.eye(2), [2.0, 0.1], noise=0.5)
    >>> steps, weights = sharpness_descent(problem, [[0.3, 0.3], [0.1, 0.1]], step_size=0.1, steps=1000)
    >>> weights[-1].prod(axis=0).round(3).tolist()
    [1.75, 0.0]
    """
    from sparsefire.convergence.noise._sharpness_kernels import mean_descent

    begin, sizes = _weights(problem, start), step_sizes(step_size, steps)
    kept = recorded_steps(record, steps)
    found = np.empty((len(kept), *begin.shape))
    mean_descent(begin, *problem.moments, float(problem.noise) ** 2, sizes, kept, found)
    _check_finite(found[None], sizes)
    return kept, found


@dataclass(frozen=True, eq=False)
class SharpnessEstimate:
    """Simulated runs.

    Attributes:
        steps: the steps that were recorded, int64 [records].
        weights: float64 [runs, records, layers, d].
    """

    steps: np.ndarray
    weights: np.ndarray = field(repr=False)

    def betas(self) -> np.ndarray:
        """Return β, float64 [runs, records, d]."""
        return self.weights.prod(axis=2)

    def mean(self) -> np.ndarray:
        """Return the mean of β over the runs, float64 [records, d]."""
        return self.betas().mean(axis=0)

    def median(self) -> np.ndarray:
        """Return the median of β over the runs, float64 [records, d]."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> np.ndarray:
        """Return a quantile of β over the runs, float64 [records, d], q in [0, 1]."""
        return quantile_of(self.betas(), q)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return Student's t interval of the mean of β, (low, high), float64 [records, d] each; two runs or more."""
        return student_interval(self.betas(), level)


def simulate_sharpness(
    problem: DiagonalNetwork,
    start: Any,
    *,
    steps: int,
    step_size: StepSize,
    runs: int = 1000,
    rng: Any = None,
    record: Any = None,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> SharpnessEstimate:
    """Simulate the noisy descent.

    Args:
        problem: the network and the data.
        start: weights at first: a number, or [layers, d].
        steps: how many, 1 or more.
        step_size: α: a number, an array [steps], or a function of k = 1 … steps.
        runs: how many, 1 or more.
        rng: see :mod:`sparsefire.randomness`; run r has a stream of its own, whatever ``workers``.
        record: steps whose weights are kept, as for :func:`~sparsefire.convergence.simulate_risk`. Memory is
            runs × records × layers × d numbers whatever the steps.
        workers: threads; None for all cores.
        progress: called as ``progress(share done)``.

    Raises:
        Diverged: a weight of some run is no number any more; UserError: for anything out of range.

    >>> problem = DiagonalNetwork(np.eye(2), [2.0, 0.1], noise=0.5)
    >>> start = [[0.3, 0.3], [0.1, 0.1]]
    >>> estimate = simulate_sharpness(problem, start, step_size=0.01, steps=3000, runs=200, rng=0)
    >>> estimate.mean()[-1].round(1).tolist()
    [1.7, 0.0]
    """
    from sparsefire.convergence.noise._sharpness_kernels import noisy_descent

    begin, sizes, runs = _weights(problem, start), step_sizes(step_size, steps), count(runs, "runs")
    kept = recorded_steps(record, steps)
    found = np.empty((runs, len(kept), *begin.shape))
    key = np.uint64(integer(entropy(rng), "sharpness"))
    gram, correlation = problem.moments
    noise = float(problem.noise)

    def part(first: int, end: int) -> None:
        noisy_descent(begin, gram, correlation, noise, sizes, kept, first, key, found[first:end])

    over_runs(part, runs, workers, progress)
    _check_finite(found, sizes)
    return SharpnessEstimate(kept, found)


def _weights(problem: DiagonalNetwork, weights: Any) -> np.ndarray:
    instance(problem, "problem", DiagonalNetwork)
    return finite(weights, "weights", (problem.layers, len(problem.gram)))


def _two_layers(problem: DiagonalNetwork) -> None:
    if instance(problem, "problem", DiagonalNetwork).layers != 2:
        raise UserError("this is known for two layers.", came=f"layers={problem.layers}", expected="layers=2")


def _check_finite(weights: np.ndarray, sizes: np.ndarray) -> None:
    lost = np.count_nonzero(~np.isfinite(weights[:, -1]).all(axis=(1, 2)))
    if lost:
        raise Diverged(
            "weights are no numbers any more.",
            came=f"{lost} of {len(weights)} runs, with step sizes up to {sizes.max():.3g}",
            expected="smaller steps",
            attempt=f"step_size={sizes.max() / 4:.2g}",
        )
