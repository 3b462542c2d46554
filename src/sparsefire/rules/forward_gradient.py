"""Forward gradients: directional derivatives along random directions, no backward pass.

A. G. Baydin, B. A. Pearlmutter, D. Syme, F. Wood, P. Torr. Gradients without backpropagation, 2022. arXiv:2202.08587
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sparsefire.rules.asking import Batch, slopes_along
from sparsefire.rules.weights import WeightRule


@dataclass(eq=False)
class ForwardGradient(WeightRule):
    """Estimate the gradient by g = mean over k of (∇L · u_k) u_k, with exact directional derivatives.

    Directions live on the *active* parameters and are zero elsewhere; E u uᵀ = I there, so the estimate is unbiased on
    them. With signs, on the sphere and with coordinates its relative variance E|g − ∇L|²/|∇L|² is exactly (N − 1)/K for
    N active parameters and K directions; with ``"normal"`` ones it is (N + 1)/K. All directions of one call see the
    same noise of dropout and neurons; batch-norm statistics are updated once.

    Args:
        directions, law, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = ForwardGradient(directions=4, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> net.weight.grad.shape, rule.budget.queries
    (torch.Size([1, 3]), 4)
    """

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        loss, slopes = slopes_along(batch, directions)
        self._finite(loss)
        return self._finite(slopes), loss, len(slopes)

    def _passes(self, queries: int) -> float:
        return 2 * queries
