"""One step of learning: which rule estimates the slope, and with what noise."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from sparsefire.convergence import fourth
from sparsefire.convergence._inputs import instance, number
from sparsefire.convergence.problem import LinearRegression, count, one_of
from sparsefire.errors import UserError

RULES = ("sgd", "forward-gradient", "two-query", "one-query", "hebbian", "node-perturbation", "weight-perturbation")
LAWS = ("normal", "rademacher", "sphere", "uniform", "coordinates")
BASELINES = ("none", "previous", "mean")


@dataclass(frozen=True, eq=False)
class Update:
    """θ_k = θ_{k−1} − α_k ĝ_k: how ĝ_k is had from one sample (X, Y) with loss L(θ) = ½(Y − X′θ)².

    Args:
        rule: ``"sgd"``: the gradient; ``"forward-gradient"``: (∇L′ξ) ξ for a random direction ξ (arXiv 2309.15001);
            ``"two-query"``: (L(θ + cξ) − L(θ − cξ)) ξ / 2c, which is the same number for a squared loss;
            ``"one-query"``: (L(θ + cξ) − b) ξ / c (arXiv 2311.03483); ``"hebbian"``: (L(θ + U) − b)(e^U − e^−U), U
            uniform on [−c, c] (arXiv 2301.11777); ``"node-perturbation"``: noise on the outputs;
            ``"weight-perturbation"``: the slope along a direction in all d · m weights at once, the forward gradient
            of several outputs.
        law: of the directions, unit variance: ``"normal"``, ``"rademacher"``, ``"sphere"`` (radius √d), ``"uniform"``
            or ``"coordinates"`` (±√d along one axis); d counts the coordinates that are perturbed. ``"sgd"`` has none,
            the shifts of ``"hebbian"`` are uniform.
        directions: mean of that many directions with one sample and one step, l ≥ 1.
        repeats: that many steps with fresh directions on the same sample (arXiv 2411.17567), l ≥ 1.
        baseline: b of rules that read one loss: ``"none"`` (0), ``"previous"`` (the loss read before) or ``"mean"``
            (exponential moving average with rate ``memory``).
        memory: rate of the moving average, in (0, 1].
        radius: c > 0 of rules that query; ``None`` means 1, but σ/√d for ``"one-query"``, at which a query tells most,
            where d counts the coordinates that are perturbed (``mask``).
        mask: only the first ``mask`` coordinates are perturbed and moved.
        reward: transforms of |Y − X′(θ + cξ)| into what is read in place of L, as two arrays (grid from 0, value)
            between which it is interpolated; see :func:`sparsefire.convergence.score_reward`.

    Raises:
        UserError: for unknown words, numbers out of range, and options that a rule does not have.

    >>> Update("forward-gradient", law="rademacher", directions=4).rule
    'forward-gradient'
    """

    rule: str
    law: str = "normal"
    directions: int = 1
    repeats: int = 1
    baseline: str = "none"
    memory: float = 0.02
    radius: float | None = None
    mask: int | None = None
    reward: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        one_of(self.rule, "rule", RULES)
        one_of(self.law, "law", LAWS)
        one_of(self.baseline, "baseline", BASELINES)
        count(self.directions, "directions")
        count(self.repeats, "repeats")
        if self.mask is not None:
            count(self.mask, "mask")
        if self.radius is not None and not (number(self.radius) and 0 < self.radius < np.inf):
            raise UserError("radius is no such number.", came=repr(self.radius), expected="a number above 0")
        if not (number(self.memory) and 0 < self.memory <= 1):
            raise UserError("memory is no such number.", came=repr(self.memory), expected="a number in (0, 1]")
        if not self.reads_one_loss and (self.baseline != "none" or self.reward is not None):
            raise UserError(
                f"{self.rule} has no baseline and no reward.",
                came="baseline= or reward=",
                expected="one-query, hebbian",
            )
        for name, rules in _ONLY.items():
            if self.rule not in rules and getattr(self, name) != _DEFAULTS[name]:
                raise UserError(
                    f"{self.rule} has no {name}.", came=f"{name}={getattr(self, name)!r}", expected=", ".join(rules)
                )
        if self.rule == "hebbian" and self.law not in (_DEFAULTS["law"], "uniform"):
            raise UserError("the shifts of hebbian are uniform.", came=f"law={self.law!r}", expected="no law=")
        if self.rule == "sgd" and self.directions * self.repeats > 1:
            raise UserError("sgd has no directions.", came="directions= or repeats= above 1", expected="1")
        if self.directions > 1 and self.repeats > 1:
            raise UserError("directions and repeats exclude each other.", came="both above 1", expected="one of them")

    @property
    def reads_one_loss(self) -> bool:
        """Whether a step reads a single loss (and so profits from a baseline)."""
        return self.rule in ("one-query", "hebbian")

    @property
    def queries(self) -> int:
        """Losses (or slopes) that are read per sample: 1 for ``sgd``, 2 per direction of ``two-query``."""
        return (2 if self.rule == "two-query" else 1) * self.directions * self.repeats

    def directions_fourth(self, size: int) -> fourth.FourthMoment:
        """Return the fourth moment of a direction with ``size`` entries."""
        if self.law == "sphere":
            return fourth.sphere(size)
        if self.law == "coordinates":
            return fourth.coordinates(size)
        return fourth.independent({"normal": 3.0, "rademacher": 1.0, "uniform": 1.8}[self.law])


_ONLY = {  # options that few rules have; baseline, reward, directions and repeats have words of their own
    "law": RULES[1:],
    "radius": ("two-query", "one-query", "hebbian"),
    "memory": ("one-query", "hebbian"),
}
_DEFAULTS = {f.name: f.default for f in fields(Update)}


def read(
    rule: str | Update, problem: LinearRegression | None, given: dict[str, Any]
) -> tuple[LinearRegression, Update]:
    """Return the problem and the update that a call describes by keywords.

    Args:
        rule: a name of :data:`RULES`, or an :class:`Update`.
        problem: or ``None`` when the keywords describe it.
        given: fields of :class:`Update` and :class:`~sparsefire.convergence.LinearRegression`, mixed.

    >>> problem, update = read("sgd", None, {"dimension": 3, "noise": 0.5})
    >>> problem.dimension, update.rule
    (3, 'sgd')
    """
    ours = {f.name for f in fields(Update)} - {"rule"}
    theirs = {f.name for f in fields(LinearRegression)}
    unknown = sorted(set(given) - ours - theirs)
    if unknown:
        raise UserError(
            f"there is no option {unknown[0]!r}.",
            came=f"{unknown[0]}=",
            expected=", ".join(sorted((ours if problem is not None else ours | theirs) - {"reward"})),
        )
    if problem is not None:
        instance(problem, "problem", LinearRegression)
    described = {name: value for name, value in given.items() if name in theirs}
    chosen = {name: value for name, value in given.items() if name in ours}
    if problem is None:
        if "dimension" not in described:
            raise UserError("there is no problem.", came="no dimension=", expected="dimension=, or problem=")
        problem = LinearRegression(**described)
    elif described:
        raise UserError(
            "the problem is told twice.", came=f"problem and {next(iter(described))}=", expected="one of them"
        )
    if isinstance(rule, Update):
        if chosen:
            raise UserError(
                "the rule is told twice.", came=f"an Update and {next(iter(chosen))}=", expected="one of them"
            )
        update = rule
    else:
        update = Update(rule, **chosen)
    if update.mask is not None:
        count(update.mask, "mask", problem.dimension)
    if problem.outputs > 1 and update.rule in ("forward-gradient", "two-query", "one-query", "hebbian"):
        raise UserError(
            f"{update.rule} is told for one output here.",
            came=f"outputs={problem.outputs}",
            expected="sgd, node-perturbation or weight-perturbation (the forward gradient of all outputs)",
        )
    return problem, update
