"""Spike-timing-dependent plasticity as noisy gradient descent on the simplex (arXiv:2505.10272): who wins, how fast.

One step is one spike of the neuron that listens to d others. With p the chances that each of them triggers it,

    p_i ← p_i (1 + α (B_i + Z_i)) / Σ_j p_j (1 + α (B_j + Z_j)),     B ~ Multinomial(1, p),  Z centred and bounded,

p proportional to intensity × weight. The noise vanishes at the vertices, so p ends in one of them exponentially fast
although α is fixed. But the rule is **not consistent for fixed α**: with positive probability the vertex is a wrong
one, :func:`wrong_winner_probability`; only α → 0 removes that, and :func:`step_for_error` says how far it has to go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import integrate, optimize, special

from sparsefire.convergence._inputs import confidence, entropy, floats, number, recorded_steps, whole, within
from sparsefire.convergence.inference._resample import quantile_of, student_interval
from sparsefire.convergence.noise._race import exact_loss, normal_loss, race, two_lose
from sparsefire.convergence.problem import count, one_of
from sparsefire.convergence.simulation._blocks import over_runs
from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.statistics import mean_interval, wilson

SMALLEST, LARGEST = 1e-6, 1e6
METHODS = ("exact", "normal")
FIXED = np.log(1e-6)  # a run counts as fixed where all neurons but one hold this log probability at most


def winner_probabilities(probabilities: Sequence[float] | np.ndarray, alpha: float) -> np.ndarray:
    """Return the chance of each neuron to win in the end, float64 [d], for Z = 0.

    Rubin's embedding (in B. Davis, Probab. Theory Relat. Fields 84, 203 (1990), doi:10.1007/BF01197845): neuron i wins
    if T_i = (1/p_i) Σ_n E_n (1+α)^(-n) is smallest, E_n independent Exp(1). For d = 2 the difference of the counts of
    spikes is a walk on the integers whose scale function gives P(1 loses) = Σ_{k ≥ 0} φ_k / Σ_{k ∈ ℤ} φ_k with
    φ_k = (p_2/p_1)^k (1+α)^(-k(k+1)/2), exact to rounding; for d > 2 one integral over the time, error below 1e-10.
    With jitter there is no such embedding: :func:`simulate_simplex`.

    Args:
        probabilities: p, or anything proportional to it, such as intensities at equal weights, [d]; d ≥ 2.
        alpha: α, in [1e-6, 1e6].

    Raises:
        UserError: for what is no such vector or step.

    >>> winner_probabilities((3, 2, 1), alpha=0.1).round(4).tolist()
    [0.9063, 0.0936, 0.0001]
    """
    p, alpha = _simplex(probabilities), _step(alpha)
    found = np.zeros(len(p))
    live = np.flatnonzero(p)
    if len(live) == 2:
        first = two_lose(p[live[0]], p[live[1]], alpha)
        found[live] = 1 - first, first
        if first > 0.5:
            found[live[0]] = two_lose(p[live[1]], p[live[0]], alpha)
    elif len(live) == 1:
        found[live] = 1.0
    else:
        law, logs = race(alpha), np.log(p[live])
        found[live] = [law.winner(logs, who) for who in range(len(live))]
    return found


def wrong_winner_probability(
    probabilities: Sequence[float] | np.ndarray, alpha: float, winner: int | None = None, *, method: str = "exact"
) -> float:
    """Return the chance that another neuron than ``winner`` wins in the end, for Z = 0.

    Args:
        probabilities: p at the start, or anything proportional to it, [d]; d ≥ 2.
        alpha: α, in [1e-6, 1e6].
        winner: the neuron that ought to win; None for the (first) one of largest p.
        method: ``"exact"``: see :func:`winner_probabilities`, with relative accuracy down to 1e-100; ``"normal"``: T_i
            as normal with mean over deviation √(2/α), which for d = 2 is Φ(-(p_1 - p_2) √(2/α) / √(p_1² + p_2²)).

    Raises:
        UserError: for what is no probability vector, step, neuron or method.

    >>> round(wrong_winner_probability((0.6, 0.4), alpha=0.1), 5)
    0.09365
    >>> round(wrong_winner_probability((0.6, 0.4), alpha=0.1, method="normal"), 4)
    0.1074
    >>> round(wrong_winner_probability((0.4, 0.3, 0.3), alpha=0.01), 5)
    0.00379
    """
    p, alpha, loses = _simplex(probabilities), _step(alpha), _method(method)
    return loses(p, alpha, _winner(p, winner))


def step_for_error(
    probabilities: Sequence[float] | np.ndarray, error: float, winner: int | None = None, *, method: str = "exact"
) -> float:
    """Return the largest α for which a wrong neuron wins with probability ``error`` at most, for Z = 0.

    For d = 2 and the normal approximation, α = 2 (p_1 - p_2)² / ((p_1² + p_2²) z²), Φ(-z) = error.

    Args:
        probabilities: p at the start, or anything proportional to it, [d]; d ≥ 2.
        error: above 0, and below what an infinite step makes (1 - p_winner: the first spike decides).
        winner: the neuron that ought to win, its p larger than all others; None for that one.
        method: ``"exact"`` or ``"normal"``, see :func:`wrong_winner_probability`.

    Raises:
        UserError: a tie, an error that no step (or every step) makes, or a step outside [1e-6, 1e6].

    >>> alpha = step_for_error((0.6, 0.4), 0.01)
    >>> round(alpha, 4), round(wrong_winner_probability((0.6, 0.4), alpha), 6)
    (0.0309, 0.01)
    >>> round(step_for_error((0.6, 0.4), 0.01, method="normal"), 4)
    0.0284
    """
    p, loses = _simplex(probabilities), _method(method)
    who = _winner(p, winner)
    if not p[who] > np.delete(p, who).max():
        raise UserError(
            "no step makes a neuron win that is not the strongest.",
            came=f"p = {p[who]:.6g} for neuron {who}, of {p.max():.6g} at most",
            expected="one p above all others",
        )
    within(error, "error", 0.0, 1.0, "a probability in (0, 1), such as 0.05")
    low, high = (loses(p, alpha, who) for alpha in (SMALLEST, LARGEST))
    if not low <= error <= high:
        raise UserError(
            "no step makes this error." if error < low else "every step makes a smaller error.",
            came=f"error={error:.6g}",
            expected=f"{low:.3g} to {high:.6g}, for steps {SMALLEST:g} to {LARGEST:g}",
        )

    def excess(root: float) -> float:  # close to linear in 1/√α, as the normal approximation is
        return float(special.ndtri(max(loses(p, root**-2.0, who), 1e-290)) - special.ndtri(error))

    return float(optimize.brentq(excess, LARGEST**-0.5, SMALLEST**-0.5, xtol=1e-12, rtol=1e-11) ** -2)


def fixation_exponent(alpha: float, jitter: float = 0.0) -> float:
    """Return the mean fall per spike of log(p_j / p_winner) after fixation, E log(1+α(1+Z)) - E log(1+αZ).

    For Z uniform on [-z, z] it is I(1+α, αz) - I(1, αz), I(a, b) = ((a+b) log(a+b) - (a-b) log(a-b)) / 2b - 1; for
    z = 0, log(1+α).

    Args:
        alpha: α, in [1e-6, 1e6].
        jitter: z ≥ 0, αz < 1.

    >>> round(fixation_exponent(0.1), 6), round(fixation_exponent(0.1, jitter=0.8), 6)
    (0.09531, 0.095496)
    """
    alpha = _step(alpha)
    b = alpha * _jitter(jitter, alpha)
    return float(np.log1p(alpha) + _mean_log(b / (1 + alpha)) - _mean_log(b))


def _mean_log(x: float) -> float:
    """Return E log(1 + x U), U uniform on [-1, 1], x < 1."""
    if x < 0.02:
        return -(x**2) / 6 - x**4 / 20 - x**6 / 42
    return float((np.log1p(x) + np.log1p(-x)) / 2 + np.arctanh(x) / x - 1)


def mean_field_path(start: Sequence[float] | np.ndarray, times: Any) -> np.ndarray:
    """Return p(t) for α → 0 at t = α × spikes, float64 [*times.shape, d]: dp_i/dt = p_i (p_i - |p|²).

    For d = 2, q = (2p - 1)² follows q(t) = 1 / (1 + (1/q_0 - 1) e^(-t)); otherwise DOP853, error about 1e-10.

    Args:
        start: p(0), or anything proportional to it, [d].
        times: t ≥ 0.

    >>> mean_field_path((0.6, 0.4), [0.0, 2.0, 10.0])[:, 0].round(4).tolist()
    [0.6, 0.7426, 0.9997]
    """
    p = _simplex(start)
    t = floats(times, "times")
    if not (np.isfinite(t).all() and (t >= 0).all()):
        raise UserError("times of a path are 0 or more.", came=repr(times), expected="finite numbers, 0 or more")
    return _two_path(p, t) if len(p) == 2 else _flow_path(p, t)


def expected_step(probabilities: Sequence[float] | np.ndarray, alpha: float) -> np.ndarray:
    """Return E[p after one spike | p], float64 [d], exactly, for Z = 0.

    p_i (p_i (1+α) / (1+αp_i) + Σ_{b≠i} p_b / (1+αp_b)); to first order in α a step down the gradient of
    -Σp³/3 + (Σp²)²/4 in the metric of the simplex.

    Args:
        probabilities: p, or anything proportional to it, [d].
        alpha: α, in [1e-6, 1e6].

    >>> expected_step((0.6, 0.4), 0.1).round(6).tolist()
    [0.604354, 0.395646]
    """
    p, alpha = _simplex(probabilities), _step(alpha)
    shrunk = p / (1 + alpha * p)
    return p * (shrunk.sum() + alpha * shrunk)


@dataclass(frozen=True, eq=False)
class SimplexEstimate:
    """Simulated runs of the rule.

    Attributes:
        steps: the spikes after which p was recorded, int64 [records], with 0, the middle and the last.
        log_probabilities: log p, float64 [runs, records, d]; finite long after p itself would be 0.
        alpha, jitter: of the rule.
    """

    steps: np.ndarray
    log_probabilities: np.ndarray = field(repr=False)
    alpha: float
    jitter: float

    def winners(self) -> np.ndarray:
        """Return the neuron of largest p in the end, int64 [runs]."""
        return self.log_probabilities[:, -1].argmax(axis=1)

    def frequencies(self) -> np.ndarray:
        """Return how often each neuron won, float64 [d]."""
        runs, _, units = self.log_probabilities.shape
        return np.bincount(self.winners(), minlength=units) / runs

    def frequency_interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return Wilson's intervals of the chances to win, (low, high), float64 [d] each."""
        runs = len(self.log_probabilities)
        _, low, high = np.transpose([wilson(share * runs, runs, confidence(level)) for share in self.frequencies()])
        return low, high

    def mean(self) -> np.ndarray:
        """Return the mean of p over the runs, float64 [records, d]."""
        return np.exp(self.log_probabilities).mean(axis=0)

    def median(self) -> np.ndarray:
        """Return the median of p over the runs, float64 [records, d]."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> np.ndarray:
        """Return a quantile of p over the runs, float64 [records, d], q in [0, 1]."""
        return quantile_of(np.exp(self.log_probabilities), q)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return Student's t interval of the mean of p, (low, high), float64 [records, d] each; two runs or more."""
        return student_interval(np.exp(self.log_probabilities), level)

    def exponents(self) -> np.ndarray:
        """Return the fall per spike of log(p_j / p_winner) from the middle to the end, averaged over the losers j.

        One number per run that was fixed by the middle (all others below 1e-6 together), float64 [fixed runs].

        Raises:
            UserError: fewer than two runs were fixed.
        """
        middle = int(np.searchsorted(self.steps, self.steps[-1] // 2))
        before, after = self.log_probabilities[:, middle], self.log_probabilities[:, -1]
        runs = np.arange(len(before))
        who = before.argmax(axis=1)
        others = before.copy()
        others[runs, who] = -np.inf
        left = special.logsumexp(others, axis=1)
        fixed = (left < FIXED) & (left > -np.inf) & (who == after.argmax(axis=1))
        if np.count_nonzero(fixed) < 2:
            raise UserError(
                "too few runs are fixed by the middle.",
                came=f"{np.count_nonzero(fixed)} of {len(fixed)} runs after {self.steps[middle]} spikes",
                expected="at least 2",
                attempt="more steps",
            )
        with np.errstate(invalid="ignore"):  # -inf - -inf where a neuron started at 0
            fall = before - before[runs, who][:, None] - after + after[runs, who][:, None]
        fall[runs, who] = np.nan
        return np.nanmean(fall[fixed], axis=1) / float(self.steps[-1] - self.steps[middle])

    def exponent(self) -> float:
        """Return the mean of :meth:`exponents`; its exact value is :func:`fixation_exponent`."""
        return float(self.exponents().mean())

    def exponent_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return Student's t interval of the exponent, (low, high)."""
        _, low, high = mean_interval(self.exponents(), level=confidence(level))
        return low, high


def simulate_simplex(
    probabilities: Sequence[float] | np.ndarray,
    alpha: float,
    *,
    steps: int,
    runs: int = 1000,
    rng: Any = None,
    record: Any = None,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
    jitter: float = 0.0,
) -> SimplexEstimate:
    """Simulate the rule, every run from the same p.

    Args:
        probabilities: p at the start, or anything proportional to it, such as intensities at equal weights, [d]; d ≥ 2.
        alpha: α, in [1e-6, 1e6].
        steps: spikes per run, 2 or more.
        runs: how many, 1 or more.
        rng: see :mod:`sparsefire.randomness`; run r has a stream of its own, whatever ``workers``.
        record: spikes after which p is kept, as for :func:`~sparsefire.convergence.simulate_risk`; the middle is there
            too. Memory is runs × records × d numbers whatever the steps.
        workers: threads; None for all cores.
        progress: called as ``progress(share done)``.
        jitter: z of Z_i independent and uniform on [-z, z]; αz < 1. Default 0.

    Raises:
        UserError: for anything out of range.

    >>> estimate = simulate_simplex((0.6, 0.4), 0.5, steps=100, runs=2000, rng=0)
    >>> low, high = estimate.frequency_interval()
    >>> bool(low[1] < wrong_winner_probability((0.6, 0.4), 0.5) < high[1])
    True
    >>> round(estimate.exponent(), 6)  # log 1.5: nothing is random any more
    0.405465
    """
    from sparsefire.convergence.noise._simplex_kernels import simplex_runs

    p, alpha = _simplex(probabilities), _step(alpha)
    jitter, steps, runs = _jitter(jitter, alpha), whole(steps, "steps", 2), count(runs, "runs")
    kept = recorded_steps(record, steps, steps // 2)
    logs = np.empty((runs, len(kept), len(p)))
    key = np.uint64(integer(entropy(rng), "simplex"))

    def part(first: int, end: int) -> None:
        simplex_runs(p, alpha, jitter, kept, first, key, logs[first:end])

    over_runs(part, runs, workers, progress)
    return SimplexEstimate(kept, logs, alpha, jitter)


def _two_path(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    gap = p.max() - p.min()
    with np.errstate(divide="ignore", over="ignore"):
        left = 4 * p.max() * p.min() / np.float64(gap) ** 2 * np.exp(-t)  # 1/q - 1, without the cancellation of 1 - q
    q = 1 / (1 + left)
    small = (left * q if gap else np.ones_like(q)) / (2 * (1 + np.sqrt(q)))
    return np.stack([1 - small, small] if p[0] >= p[1] else [small, 1 - small], axis=-1)


def _flow_path(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    live = np.flatnonzero(p)
    moments, places = np.unique(t, return_inverse=True)

    def slope(_: float, logs: np.ndarray) -> np.ndarray:
        now = np.exp(logs)
        return now - now @ now

    path = np.zeros((len(moments), len(p)))
    path[:, live] = p[live]
    if len(moments) and moments[-1] > 0:
        solved = integrate.solve_ivp(
            slope, (0, moments[-1]), np.log(p[live]), "DOP853", t_eval=moments, rtol=1e-11, atol=1e-11
        )
        path[:, live] = special.softmax(solved.y.T, axis=1)
    return path[places].reshape(*t.shape, len(p))


def _simplex(probabilities: Any) -> np.ndarray:
    p = floats(probabilities, "probabilities")
    if p.ndim != 1 or len(p) < 2 or not (np.isfinite(p).all() and (p >= 0).all() and p.sum() > 0):
        raise UserError(
            "these are no probabilities of neurons.",
            came=repr(probabilities),
            expected="a row of 2 or more numbers that are 0 or more, not all 0",
            attempt="(0.6, 0.4)",
        )
    return p / p.sum()


def _step(alpha: Any) -> float:
    if not number(alpha) or not SMALLEST <= alpha <= LARGEST:
        raise UserError(
            "there is no such step.", came=f"alpha={alpha!r}", expected=f"a number in [{SMALLEST:g}, {LARGEST:g}]"
        )
    return float(alpha)


def _jitter(jitter: Any, alpha: float) -> float:
    if not number(jitter) or not 0 <= jitter * alpha < 1:
        raise UserError(
            "the jitter would make weights negative.", came=f"jitter={jitter!r}", expected=f"0 to below {1 / alpha:.6g}"
        )
    return float(jitter)


def _winner(p: np.ndarray, winner: int | None) -> int:
    if winner is None:
        return int(p.argmax())
    return whole(winner, "winner", 0, len(p) - 1)


def _method(method: str) -> Callable[[np.ndarray, float, int], float]:
    one_of(method, "method", METHODS)
    return exact_loss if method == "exact" else normal_loss
