"""L0 regularisation by hard concrete gates.

C. Louizos, M. Welling, D. P. Kingma. Learning sparse neural networks through L0 regularization, ICLR 2018.
arXiv:1712.01312
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sparsefire.sparsity.parameterisation.penalised import Noisy

GAMMA, ZETA, TEMPERATURE = -0.1, 1.1, 2 / 3


class HardConcrete(Noisy):
    """Parametrisation θ = w · z with z = min(1, max(0, s̄)), s̄ = s (ζ − γ) + γ, s = σ((logit u + log α) / β).

    u is uniform, γ = −0.1, ζ = 1.1, β = 2/3; in evaluation σ((…) / β) is σ(log α). The penalty is the expected number
    of open gates, Σ P(z ≠ 0) = Σ σ(log α − β log(−γ/ζ)). Here the
    strength is steered to a density; when it settles, weights take the value they have without noise.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from: what evaluation sees.
        drop: rate at which gates are shut at first, as of dropout; log α = log((1 − drop) / drop).
        rng: int, the key of the noise.

    >>> gates = HardConcrete(torch.ones(1, dtype=torch.bool), torch.zeros(1), drop=0.5)
    >>> round(gates.penalty(torch.ones(1)).item(), 4)  # σ(2/3 · log 11)
    0.8318
    """

    def __init__(self, mask: Tensor, theta: Tensor, drop: float = 0.2, rng: int = 0) -> None:
        super().__init__(mask, rng)
        self.start = math.log((1 - drop) / drop)
        self.log_alpha = nn.Parameter(torch.full_like(theta, self.start, requires_grad=False))

    def gate(self, still: bool) -> Tensor:
        """Return z."""
        if still:
            soft = self.log_alpha.sigmoid()
        else:
            drawn = torch.rand(
                self.log_alpha.shape,
                generator=self.generator(self.log_alpha.device),
                device=self.log_alpha.device,
                dtype=self.log_alpha.dtype,
            )
            soft = ((drawn.logit(1e-6) + self.log_alpha) / TEMPERATURE).sigmoid()
        return (soft * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    def shaped(self, weight: Tensor, still: bool) -> Tensor:
        return weight * self.gate(still)

    def unshaped(self, weight: Tensor) -> Tensor:
        self.log_alpha.copy_(self.start * self.kept)
        return weight / torch.where(self.mask, self.gate(True), 1.0)

    def slope(self, weight: Tensor) -> Tensor | float:
        return 1.0 if self.settled else self.gate(not self.training)

    def penalty(self, weight: Tensor) -> Tensor:
        return ((self.log_alpha - TEMPERATURE * math.log(-GAMMA / ZETA)).sigmoid() * self.kept).sum()

    @torch.no_grad()
    def alive(self, weight: Tensor) -> float:
        return float(self.penalty(weight))

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        self.log_alpha[fresh] = self.start
