"""Weight perturbation: what the loss gains when all weights are jittered tells each of them where to go.

J. Werfel, X. Xie, H. S. Seung. Learning curves for stochastic gradient descent in linear feedforward networks, Neural
Computation 17 (2005). doi:10.1162/089976605774320539
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sparsefire.rules.asking import Batch, loss_here, losses_at
from sparsefire.rules.weights import WeightRule, check_scale


@dataclass(eq=False)
class WeightPerturbation(WeightRule):
    """Estimate the gradient by g = mean over k of [L(θ + c u_k) − L(θ)] / c · u_k.

    One-sided: K + 1 losses per call, and a second-order error c/2 · uᵀHu · u that is zero on average for symmetric
    laws but adds variance. Learning multi-output linear maps of n inputs and m outputs it is slower than the gradient
    by the factor nm + 2 with normal directions.

    Args:
        scale: c, the size of the perturbation of each weight.
        directions, law, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`; normal by default, as
            published.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = WeightPerturbation(scale=1e-3, directions=5, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries
    6
    """

    law: str = "normal"
    scale: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale)

    def _begin(self, batch: Batch) -> int:
        self._base = self._finite(loss_here(batch))
        return 1

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        moved = self._finite(losses_at(batch, directions, (self.scale,)))[0]
        return (moved - self._base) / self.scale, self._base, len(moved)
