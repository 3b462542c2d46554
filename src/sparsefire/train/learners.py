"""How networks learn, by name: the options, rates and lengths that a rule gets where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsefire import rules
from sparsefire.errors import UserError
from sparsefire.rules import Rule

OWN_PREDICTION = "it predicts by a process of its own, and a plain network is handed over here"


@dataclass(frozen=True)
class Learner:
    """A rule as `fit` and :func:`~sparsefire.train.train` use it.

    Attributes:
        make: the rule from ``rng`` and a number of directions.
        rate: highest rate of AdamW (of plain SGD for rules that replay), or None: as for back-propagation.
        longer: how many times the epochs of back-propagation.
        cost: seconds of a step over those of back-propagation, about.
        perturbs_weights: whether every weight adds noise, so that a smaller network is the default.
        directions: queried per step, where the rule has them.
        one_pass: whether it differentiates one pass, which may draw noise of its own; others ask again and again.
        refused: why it cannot be had by name; empty if it can.
    """

    make: Callable[[Any, int], Rule]
    rate: float | None = None
    longer: int = 1
    cost: float = 1.0
    perturbs_weights: bool = False
    directions: int = 1
    one_pass: bool = False
    refused: str = ""


def _weights(make: Callable[[Any, int], Rule], cost: float, rate: float = 1e-2, directions: int = 16) -> Learner:
    return Learner(make, rate, longer=6, cost=cost, perturbs_weights=True, directions=directions)


LEARNERS: dict[str, Learner] = {
    "backprop": Learner(lambda rng, k: rules.Backprop(), one_pass=True),
    "forward-gradient": _weights(lambda rng, k: rules.ForwardGradient(k, rng=rng), 6.0),
    "repeated-forward-gradient": _weights(
        lambda rng, k: rules.Repeated(rules.ForwardGradient(rng=rng), times=k, step=1e-3), 16.0, directions=8
    ),
    "two-query": _weights(lambda rng, k: rules.TwoQuery(k, rng=rng), 4.0),
    "spsa": _weights(lambda rng, k: rules.SPSA(k, rng=rng), 4.0),
    "weight-perturbation": _weights(lambda rng, k: rules.WeightPerturbation(k, rng=rng), 3.0),
    "one-query": _weights(lambda rng, k: rules.OneQuery(k, rng=rng), 3.0),
    "hebbian": _weights(lambda rng, k: rules.Hebbian(k, rng=rng, amplitude=0.1), 3.0),
    "coordinates": _weights(lambda rng, k: rules.CoordinateDifferences(share=0.1, rng=rng), 12.0, 3e-3, 1),
    "mezo": _weights(lambda rng, k: rules.MeZO(directions=k, law="rademacher", rng=rng), 8.0, 0.1),
    "sparse-mezo": _weights(lambda rng, k: rules.SparseMeZO(directions=k, law="rademacher", rng=rng), 8.0, 0.1),
    "zero-order-sam": Learner(lambda rng, k: rules.ZeroOrderSAM(rng=rng), cost=4.0),
    "node-perturbation": Learner(lambda rng, k: rules.NodePerturbation(directions=k, rng=rng), cost=3.0, longer=3),
    "activity-forward-gradient": Learner(lambda rng, k: rules.ActivityForwardGradient(k, rng=rng), cost=3.0, longer=3),
    "unit-differences": Learner(lambda rng, k: rules.UnitDifferences(rng=rng), cost=8.0),
    "feedback-alignment": Learner(lambda rng, k: rules.FeedbackAlignment(rng=rng), cost=1.5, one_pass=True),
    "direct-feedback-alignment": Learner(
        lambda rng, k: rules.DirectFeedbackAlignment(rng=rng), cost=1.5, one_pass=True
    ),
    "local-losses": Learner(lambda rng, k: rules.LocalLosses(rng=rng), cost=2.0, one_pass=True),
    "predictive-coding": Learner(lambda rng, k: rules.PredictiveCoding(variant="z-il"), cost=3.0),
    "decorrelated-node-perturbation": Learner(
        lambda rng, k: rules.DecorrelatedNodePerturbation(rng=rng),
        refused="it needs a network prepared by rules.with_decorrelation, whose weights are dense once folded",
    ),
    "forward-forward": Learner(lambda rng, k: rules.ForwardForward(classes=k, rng=rng), refused=OWN_PREDICTION),
    "equilibrium-propagation": Learner(lambda rng, k: rules.EquilibriumPropagation(), refused=OWN_PREDICTION),
}
"""What ``rule=`` takes by name."""


def learner(rule: str) -> Learner:
    """Return how a rule is used by name.

    Raises:
        UserError: no such rule, or one that cannot be had by name.

    >>> learner("forward-gradient").perturbs_weights
    True
    """
    offered = [name for name, one in LEARNERS.items() if not one.refused]
    if rule not in LEARNERS:
        raise UserError(f"there is no rule {rule!r}.", came=repr(rule), expected=f"one of {', '.join(offered)}")
    found = LEARNERS[rule]
    if found.refused:
        raise UserError(
            f"rule {rule!r} cannot be had by name: {found.refused}.",
            came=repr(rule),
            expected=f"one of {', '.join(offered)}",
            attempt=f"sparsefire.rules.{rules.RULES[rule].__name__} in a loop of your own",
        )
    return found
