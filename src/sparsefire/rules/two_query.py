"""Two losses, on both sides of the weights: the symmetric two-point estimate.

J. C. Duchi, M. I. Jordan, M. J. Wainwright, A. Wibisono. Optimal rates for zero-order convex optimization: the power
of two function evaluations, 2015. arXiv:1312.2139
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sparsefire.rules.asking import Batch, losses_at
from sparsefire.rules.weights import WeightRule, check_scale


@dataclass(eq=False)
class TwoQuery(WeightRule):
    """Estimate the gradient by g = mean over k of [L(θ + c u_k) − L(θ − c u_k)] / (2c) · u_k.

    Its mean is the gradient of a smoothed loss, ∇L + O(c²); for a loss that is quadratic in the weights it equals the
    forward gradient along the same directions for *every* c. Each call reads 2K losses; what it returns is their mean.

    Args:
        scale: c, the size of the perturbation of each weight.
        directions, law, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = TwoQuery(scale=0.1, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries, rule.budget.random_bits
    (2, 3)
    """

    scale: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale)

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        scale = self._scale()
        losses = self._finite(losses_at(batch, directions, (scale, -scale)))
        above, below = losses
        return (above - below) / (2 * scale), losses.mean(), losses.numel()

    def _scale(self) -> float:
        return self.scale
