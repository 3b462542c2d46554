"""A neuron whose law is to be learnt: Poisson inputs, a kernel, escape noise, a memory of its own spikes."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import whole
from sparsefire.spiking.teaching._kernels import HIGHEST, LOWEST, record

BURN = 20.0  # time constants before anything is recorded


class Lesson(NamedTuple):
    """What a teacher did, step by step.

    Attributes:
        traces: inputs filtered by the kernel, centred and of variance 1, float64 [steps, d].
        offset: potential without inputs, log(base rate · dt) + after-potential, float64 [steps].
        spikes: of the teacher, bool [steps].
    """

    traces: np.ndarray
    offset: np.ndarray
    spikes: np.ndarray


@dataclass(frozen=True, eq=False)
class Teacher:
    """A point-process neuron with d synapses, as a law over spike trains given its inputs.

    Inputs are independent Poisson trains (in each step a spike with probability input_rate · dt), each filtered by
    exp(−s/τ). With x_t the traces less their mean, over their standard deviation, z_t the teacher's own earlier spikes
    filtered by exp(−s/τ_after), a step has a spike with probability p_t:

        q_t = base_rate dt exp(w·x_t + after z_t),    p_t = 1 − exp(−q_t)

    That is a spike response model with exponential escape noise that remembers all its spikes, a generalised linear
    model (Truccolo et al. 2005, doi:10.1152/jn.00697.2004). A student is other weights in the same law; it knows all
    else, and its after-potential follows the teacher's spikes.

    Args:
        weights: w, [d], in units of the width of the escape noise per standard deviation of a trace.
        base_rate: Hz at the mean input, without earlier spikes, above 0.
        input_rate: Hz, above 0 and below 1/dt. tau: seconds, dt or more.
        after, tau_after: what a spike adds to the potential, and seconds until it has decayed, dt or more.
        dt: seconds per step.

    Raises:
        UserError: for numbers out of range.

    >>> teacher = Teacher([0.6, -0.5, 0.0])
    >>> lesson = teacher.record(20_000, rng=0)
    >>> round(float(lesson.spikes.mean() / teacher.dt))  # Hz
    21
    >>> round(teacher.risk(teacher.weights, lesson), 12), round(teacher.risk([0.6, 0.0, 0.0], lesson), 2)
    (0.0, 0.09)
    """

    weights: Any
    _: KW_ONLY
    base_rate: float = 25.0
    input_rate: float = 20.0
    tau: float = 20e-3
    after: float = -1.0
    tau_after: float = 20e-3
    dt: float = 5e-3
    law: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("base_rate", "input_rate", "tau", "after", "tau_after", "dt"):
            value = getattr(self, name)
            good = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
            if not good or (value <= 0 and name != "after"):
                raise UserError(f"{name} is out of range.", came=repr(value), expected="a finite number above 0")
        for name in ("tau", "tau_after"):
            if getattr(self, name) < self.dt:
                raise UserError(
                    "the time step is longer than a time constant.",
                    came=f"dt = {self.dt:g} s, {name} = {getattr(self, name):g} s", expected=f"dt of at most {name}",
                )  # fmt: skip
        chance = self.input_rate * self.dt
        if chance >= 1:
            raise UserError(
                "inputs spike more than once a step.", came=f"input_rate · dt = {chance:g}", expected="below 1"
            )
        object.__setattr__(self, "weights", weights_of(self.weights))
        keep, keep_after = math.exp(-self.dt / self.tau), math.exp(-self.dt / self.tau_after)
        jump = math.sqrt((1 - keep**2) / (chance * (1 - chance)))
        mean, bias = jump * chance / (1 - keep), math.log(self.base_rate * self.dt)
        object.__setattr__(self, "law", (keep, jump, mean, chance, bias, float(self.after), keep_after))

    @property
    def burn(self) -> int:
        """Steps before what is recorded, so that inputs and memory are stationary."""
        return math.ceil(BURN * max(self.tau, self.tau_after) / self.dt)

    def record(self, steps: int, rng: Any = None) -> Lesson:
        """Return inputs and spikes of so many steps.

        Args:
            steps: 1 or more; memory is 8 · steps · d bytes.
            rng: see :mod:`sparsefire.randomness`.
        """
        steps = whole("steps", steps)
        made = Lesson(np.empty((steps, len(self.weights))), np.empty(steps), np.empty(steps, bool))
        record(self.weights, self.law, self.burn, stream(rng, "teacher"), *made)
        return made

    def log_likelihood(self, weights: Any, lesson: Lesson) -> float:
        """Return the log-likelihood of the lesson's spikes under a student, in nats: Σ s log p − (1 − s) q.

        Args:
            weights: of the student, [d].
            lesson: of :meth:`record`.
        """
        q = self.hazard(weights, lesson)
        return float(np.log(-np.expm1(-q[lesson.spikes])).sum() - q[~lesson.spikes].sum())

    def risk(self, weights: Any, lesson: Lesson) -> float:
        """Return the excess log-likelihood per spike of a student, in nats: what it loses against the teacher.

        The Kullback-Leibler divergence of a step's law from the teacher's, given inputs and earlier spikes, exactly,
        averaged over the steps of the lesson (its spikes only enter as history) and divided by spikes per step:

            Σ_t [p_t log(p_t/p̂_t) + (1 − p_t)(q̂_t − q_t)] / Σ_t p_t

        Args:
            weights: of the student, [d].
            lesson: of :meth:`record`, not what the student learnt from.
        """
        q, own = self.hazard(self.weights, lesson), self.hazard(weights, lesson)
        p = -np.expm1(-q)
        return float((p * np.log(p / -np.expm1(-own)) + (1 - p) * (own - q)).sum() / p.sum())

    def hazard(self, weights: Any, lesson: Lesson) -> np.ndarray:
        """Return q of every step under a student, float64 [steps]; it fires with probability 1 − exp(−q)."""
        potential = lesson.traces @ weights_of(weights, len(self.weights)) + lesson.offset
        return np.exp(np.clip(potential, LOWEST, HIGHEST))  # beyond, numbers end

    def price_of_reward(self, lesson: Lesson) -> float:
        """Return the factor by which reward has more risk than likelihood in the long run, see :func:`learn_online`.

        Both rules follow the likelihood's gradient on average. With F its covariance per step, the information, and G
        that of the rewarded rule, averaged weights have n · risk → d/2 and tr(F⁻¹ G)/2 (Polyak, Juditsky 1992,
        doi:10.1137/0330046). In one step, given its input, G is F times (1 − p)²/p + p²/(1 − p).

        Args:
            lesson: of :meth:`record`, over which the expectations are taken.
        """
        q = self.hazard(self.weights, lesson)
        p = -np.expm1(-q)
        likely = q**2 * (1 - p) / p
        rewarded = likely * ((1 - p) ** 2 / p + p**2 / (1 - p))
        x = lesson.traces
        ratio = np.linalg.solve(x.T @ (likely[:, None] * x), x.T @ (rewarded[:, None] * x))
        return float(np.trace(ratio) / x.shape[1])


def draw_teacher(dimension: int, rng: Any = None, *, spread: float = 0.8, **law: Any) -> Teacher:
    """Return a teacher with weights in a random direction.

    Args:
        dimension: d, 1 or more.
        rng: see :mod:`sparsefire.randomness`.
        spread: standard deviation of the potential over inputs, ‖w‖, 0 or more.
        **law: base_rate, input_rate, …: of :class:`Teacher`.

    >>> round(float(np.linalg.norm(draw_teacher(10, rng=0).weights)), 6)
    0.8
    """
    direction = stream(rng, "direction").normal(size=whole("dimension", dimension))
    if not isinstance(spread, int | float) or not 0 <= spread < math.inf:
        raise UserError("spread is out of range.", came=repr(spread), expected="0 or more")
    return Teacher(spread * direction / np.linalg.norm(direction), **law)


def weights_of(weights: Any, width: int | None = None) -> np.ndarray:
    """Return weights [d] as float64, or raise what is wrong with them."""
    try:
        found = np.array(weights, float)
    except (TypeError, ValueError):
        found = np.empty((0, 0))
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (width is not None and len(found) != width):
        raise UserError(
            "weights are one number for each synapse.", came=repr(weights)[:80],
            expected=f"[{'d' if width is None else width}], finite",
        )  # fmt: skip
    return found
