"""How a student learns a teacher's law: by maximum likelihood at once, or by local rules while the teacher fires."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, whole
from sparsefire.spiking.teaching._kernels import LIKELIHOOD, REWARD, learn
from sparsefire.spiking.teaching.teacher import Lesson, Teacher, weights_of

RULES = {"likelihood": LIKELIHOOD, "reward": REWARD}
STEP_SIZES = {"likelihood": 0.1, "reward": 0.01}
FAR = 50.0  # a norm of weights at which a single input multiplies or divides hazards by astronomical numbers
NEWTON_STEPS, SMALL, SINGULAR = 100, 1e-9, 1e12


def maximise_likelihood(teacher: Teacher, lesson: Lesson, start: Any = None) -> np.ndarray:
    """Return the weights of largest likelihood given a lesson, float64 [d].

    Newton's method with halved steps: the log-likelihood is concave in the weights (Paninski 2004,
    doi:10.1088/0954-898X_15_4_002), Σ s log(1 − e^(−q)) − (1 − s) q with q = exp(w·x + offset). By Wilks' theorem the
    risk per spike after n spikes of the teacher tends to d/(2n).

    Args:
        teacher: gives the law; its weights are not looked at.
        lesson: of :meth:`Teacher.record`.
        start: weights to begin from; None for zeros.

    Raises:
        UserError: the lesson does not determine the weights: too few spikes.

    >>> from sparsefire.spiking import Teacher
    >>> teacher = Teacher([0.6, -0.5, 0.0])
    >>> found = maximise_likelihood(teacher, teacher.record(20_000, rng=0))
    >>> bool(np.abs(found - teacher.weights).max() < 0.1)
    True
    """
    _check_teacher(teacher)
    if not isinstance(lesson, Lesson):
        raise UserError("a lesson is a record.", came=type(lesson).__name__, expected="teacher.record(steps)")
    x, fired, d = lesson.traces, lesson.spikes, len(teacher.weights)
    if x.shape[1] != d:
        raise UserError("the lesson is of another teacher.", came=f"{x.shape[1]} inputs", expected=f"{d}")
    w = np.zeros(d) if start is None else weights_of(start, d)
    value = teacher.log_likelihood(w, lesson)
    for _ in range(NEWTON_STEPS):
        q = teacher.hazard(w, lesson)
        slope, bend = -q, q.copy()
        ratio = q[fired] * np.exp(-q[fired]) / -np.expm1(-q[fired])  # q (1 − p)/p
        slope[fired], bend[fired] = ratio, ratio * (q[fired] + ratio - 1)
        rise, information = x.T @ slope, x.T @ (bend[:, None] * x)
        if np.linalg.cond(information) > SINGULAR:
            break
        move = np.linalg.solve(information, rise)
        if move @ rise < SMALL:  # twice what is still to be gained
            if value > -SMALL:
                break  # spikes and silence are told apart without error: there is no largest likelihood
            return w
        share = 1.0
        while (raised := teacher.log_likelihood(w + share * move, lesson)) <= value and share > SMALL:
            share /= 2
        w, value = w + share * move, raised
    raise UserError(
        "the lesson does not determine the weights.", came=f"{int(fired.sum())} spikes for {d} weights",
        expected="several spikes for each weight", attempt="more steps",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learned:
    """How a student's weights went while it learnt.

    Attributes:
        steps: after which weights were kept, int64 [records].
        spikes: of the teacher until then, int64 [records].
        weights: float64 [records, d]. averages: of the weights until then, float64 [records, d].
    """

    steps: np.ndarray
    spikes: np.ndarray
    weights: np.ndarray = field(repr=False)
    averages: np.ndarray = field(repr=False)


def learn_online(
    teacher: Teacher,
    steps: int,
    rule: str = "likelihood",
    *,
    step_size: float | None = None,
    delay: float = math.inf,
    power: float = 0.5,
    memory: int = 1000,
    average_after: int = 0,
    record: Any = None,
    start: Any = None,
    rng: Any = None,
) -> Learned:
    """Let a student learn by a local rule while the teacher fires; every step is seen once and nothing is kept.

    ``"likelihood"``: the gradient of the log-likelihood of the teacher's spikes s (Pfister et al. 2006,
    doi:10.1162/neco.2006.18.6.1318), presynaptic trace times what was not expected,

        w ← w + γ_t g(s) x,    g(s) = (s − p) q/p    (q/p → 1 for short steps)

    ``"reward"``: the student draws a spike ŝ of its own with its probability p. The eligibility g(ŝ) x is kept where a
    reward R exceeds its running mean R̄ and undone where it falls short, w ← w + γ_t (R − R̄) g(ŝ) x (Williams 1992,
    doi:10.1007/BF00992696). R pays agreement by the odds, 1/P(ŝ = s) where ŝ = s and 0 otherwise, so that the mean
    update is that of ``"likelihood"`` exactly. Its variance is larger, :meth:`Teacher.price_of_reward`, by a factor
    that knows nothing of d: a single number is random, not one for each weight.

    Args:
        teacher: the law that fires.
        steps: 1 or more.
        rule: ``"likelihood"`` or ``"reward"``.
        step_size, delay, power: γ_t = step_size/d · (1 + t/delay)^(−power); by default constant, 0.1/d for
            ``"likelihood"`` and 0.01/d for ``"reward"``. Large steps run away: the hazard is exponential.
        memory: steps over which R̄ forgets, 1 or more; it begins at 1, the mean of R.
        average_after: step after which weights are averaged; until then the average is the weights themselves.
        record: steps after which weights are kept, ascending; None for the last alone.
        start: weights to begin from; None for zeros.
        rng: see :mod:`sparsefire.randomness`.

    Raises:
        UserError: for anything out of range; weights that ran away.

    >>> from sparsefire.spiking import Teacher
    >>> teacher = Teacher([0.6, -0.5, 0.0])
    >>> learned = learn_online(teacher, 50_000, step_size=0.05, record=[1000, 50_000], rng=0)
    >>> lesson = teacher.record(20_000, rng=1)
    >>> [round(teacher.risk(w, lesson), 3) for w in learned.averages]
    [0.031, 0.0]
    """
    _check_teacher(teacher)
    steps, d = whole("steps", steps), len(teacher.weights)
    if not isinstance(rule, str) or rule not in RULES:
        raise UserError("no such rule.", came=repr(rule)[:60], expected=", ".join(RULES))
    step_size = STEP_SIZES[rule] if step_size is None else step_size
    for name, value in (("step_size", step_size), ("delay", delay)):
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise UserError(f"{name} is out of range.", came=repr(value), expected="above 0")
    if not isinstance(power, int | float) or not 0 <= power <= 1:
        raise UserError("power is out of range.", came=repr(power), expected="0 to 1")
    kept = np.array([float(steps)]) if record is None else array("record", record, "iu")
    if kept.ndim != 1 or not len(kept) or kept[0] < 1 or (np.diff(kept) <= 0).any():
        raise UserError("record is a list of steps.", came=repr(record), expected="whole numbers from 1 on, ascending")
    if kept[-1] > steps:
        raise UserError("record goes beyond the last step.", came=f"{kept[-1]:.0f}", expected=f"at most {steps}")
    student = np.zeros(d) if start is None else weights_of(start, d)
    made = Learned(
        kept.astype(np.int64), np.empty(len(kept), np.int64), np.empty((len(kept), d)), np.empty((len(kept), d))
    )
    schedule = (step_size / d, float(delay), float(power))
    forget, since = 1 / whole("memory", memory), whole("average_after", average_after, 0)
    learn(
        teacher.weights, teacher.law, teacher.burn, RULES[rule], schedule, forget, since, student, made.steps,
        stream(rng, "student"), made.weights, made.averages, made.spikes,
    )  # fmt: skip
    if not np.linalg.norm(made.weights, axis=1).max() < FAR + np.linalg.norm(teacher.weights):
        raise UserError(
            "the weights ran away.", came=f"step_size={step_size:g} for the rule {rule!r}", expected="smaller steps",
            attempt=f"step_size={step_size / 5:g}",
        )  # fmt: skip
    return made


def _check_teacher(teacher: Any) -> None:
    if not isinstance(teacher, Teacher):
        raise UserError("a law is learned from a teacher.", came=type(teacher).__name__, expected="Teacher(weights)")
