"""Simultaneous perturbation stochastic approximation: two losses whatever the dimension, with fading steps.

J. C. Spall. Multivariate stochastic approximation using a simultaneous perturbation gradient approximation, IEEE
Transactions on Automatic Control 37 (1992). doi:10.1109/9.119632; gains of his implementation guide, 1998,
doi:10.1109/7.705889
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sparsefire.errors import UserError
from sparsefire.rules.two_query import TwoQuery


@dataclass(eq=False)
class SPSA(TwoQuery):
    """Estimate the gradient by gᵢ = [L(θ + cₖ u) − L(θ − cₖ u)] / (2 cₖ uᵢ), u random signs, cₖ = c / (k + 1)^γ.

    k counts the calls from 0. For signs 1/uᵢ = uᵢ, so this is :class:`~sparsefire.rules.two_query.TwoQuery` with a
    perturbation that fades. The rates that go with it are those of :func:`spsa_rates`.

    Args:
        scale: c.
        decay: γ; 0.101 is the smallest that theory allows with the rates of the guide.
        directions, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1)
    >>> rule = SPSA(scale=0.1, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> round(rule._scale(), 4)
    0.0932
    """

    law: str = field(default="rademacher", init=False, repr=False)
    decay: float = 0.101

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay < 1:
            raise UserError("perturbations fade slowly.", came=f"decay={self.decay!r}", expected="a number in [0, 1)")

    def _scale(self) -> float:
        return float(self.scale / (self.budget.calls + 1) ** self.decay)


def spsa_rates(stability: float, decay: float = 0.602) -> Callable[[int], float]:
    """Return the factor of the first rate by step, ((A + 1) / (A + 1 + k))^α, for ``LambdaLR``.

    Args:
        stability: A, a tenth or less of the steps that are planned.
        decay: α.

    >>> round(spsa_rates(10.0)(11), 4)
    0.6588
    """
    return lambda step: float(((stability + 1) / (stability + 1 + step)) ** decay)
