"""Forward gradients with noise on activities: exact slopes along random directions of what units give.

M. Ren, S. Kornblith, R. Liao, G. Hinton. Scaling forward gradient with local losses, ICLR 2023. arXiv:2210.03310
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sparsefire.rules.asking import named_on_failure
from sparsefire.rules.call import LossFunction, finite
from sparsefire.rules.directions import check_count, check_law, generator_of
from sparsefire.rules.drawn import Drawn, undone_on_failure
from sparsefire.rules.node_perturbation import Asked, Noise, check_layers, credit_by_noise_
from sparsefire.rules.units import leaning


@dataclass(eq=False)
class ActivityForwardGradient(Drawn):
    """Estimate dL/da of all unit activities a by exact slopes along noise on them, then differentiate each layer alone.

    Node perturbation in the limit of small noise: every example b has noise ξ_b of its own on the outputs a (before
    the activation) of all layers with trainable parameters, and one pass of forward differentiation gives

        δ_bj = mean over K draws of (∇_a L_b · ξ_b) ξ_bj
        ∂L/∂w_ji ≈ mean over b of δ_bj x_bi

    Its mean is the gradient, without a size of noise to choose; its variance grows with the number of units perturbed
    at once. ``layers="each"`` takes one layer at a time.

    The budget counts one loss per row and draw, and two passes for each pass of forward differentiation. Losses are
    one per example, ``reduction="none"``; one without a derivative, such as the share of errors, has slope zero.

    Args:
        directions: K, draws per call and example.
        law: of the noise, unit variance; see :class:`~sparsefire.rules.NodePerturbation`.
        layers: ``"all"`` at once or ``"each"`` in turn.
        rng: draws the noise; None, an integer, or a NumPy or torch generator.

    Raises:
        UserError: when called with a network that :class:`~sparsefire.rules.NodePerturbation` refuses, or with a layer
            that forward differentiation cannot go through (named).

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> rule = ActivityForwardGradient(directions=2, rng=0)
    >>> loss = rule(net, lambda out, y: (out - y).square().sum(1), torch.ones(5, 3), torch.zeros(5, 2))
    >>> net[0].weight.grad.shape, rule.budget.queries, rule.budget.forward_passes
    (torch.Size([4, 3]), 15, 6.0)
    """

    directions: int = 1
    law: str = "rademacher"
    layers: str = "all"
    rng: Any = None
    dense_gradients: ClassVar[bool] = True  # the derivative of a layer by its weights reaches absent ones too
    per_example: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count(self.directions)
        check_law(self.law)
        check_layers(self.layers)
        self._generator = generator_of(self.rng)

    @undone_on_failure
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        return credit_by_noise_(self, net, loss_fn, x, y, _slopes, "an activity forward gradient")


_WORDS = ("be differentiated forward", "reads losses alone (NodePerturbation)")


def _slopes(asked: Asked, noise: Noise) -> Tensor:
    asked.same.rewind()
    with named_on_failure(asked.net, *_WORDS), forward_ad.dual_level():
        losses = asked.read(leaning(asked.net, asked.x, asked.layers, noise), passes=2)
        loss, slope = forward_ad.unpack_dual(losses)
    return torch.zeros_like(loss) if slope is None else finite(slope, asked.budget, "slopes of rows")
