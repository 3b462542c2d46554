"""Stochastic gates (STG) on the inputs of a network.

Y. Yamada, O. Lindenbaum, S. Negahban, Y. Kluger. Feature selection using stochastic gates, ICML 2020. arXiv:1810.04247
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sparsefire.sparsity.parameterisation.penalised import Noisy

SIGMA = 0.5


class InputGates(Noisy):
    """Parametrisation θ_ij = w_ij · z_j with z_j = min(1, max(0, μ_j + σ ε_j)), one gate for each input, σ = 1/2.

    ε is standard normal, and zero in evaluation. Gating the columns of the first layer is gating the features; of a
    convolution, its input channels. The penalty is the expected number of open gates, Σ Φ(μ_j / σ); inputs with μ_j > 0
    stay. :class:`~sparsefire.sparsity.topology.steered.Selecting` steers the strength.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from: what evaluation sees.
        start: μ at first.
        rng: int, the key of the noise.

    >>> gates = InputGates(torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3))
    >>> gates.mu.shape, round(gates.penalty(torch.zeros(2, 3)).item(), 4)  # 3 Φ(1)
    (torch.Size([1, 3]), 2.524)
    """

    def __init__(self, mask: Tensor, theta: Tensor, start: float = 0.5, rng: int = 0) -> None:
        super().__init__(mask, rng)
        self.start = start
        shape = [size if place == 1 else 1 for place, size in enumerate(theta.shape)]
        self.mu = nn.Parameter(torch.full(shape, start).to(theta))

    def gate(self, still: bool) -> Tensor:
        """Return z, of a shape that broadcasts over the weight."""
        if still:
            return self.mu.clamp(0, 1)
        generator = self.generator(self.mu.device)
        noise = torch.randn(self.mu.shape, generator=generator, device=self.mu.device, dtype=self.mu.dtype)
        return (self.mu + SIGMA * noise).clamp(0, 1)

    def shaped(self, weight: Tensor, still: bool) -> Tensor:
        return weight * self.gate(still)

    def unshaped(self, weight: Tensor) -> Tensor:
        self.mu.fill_(self.start)
        return weight / self.gate(True)

    def slope(self, weight: Tensor) -> Tensor | float:
        return 1.0 if self.settled else self.gate(not self.training).expand_as(weight)

    def penalty(self, weight: Tensor) -> Tensor:
        return (0.5 * (1 + (self.mu / (SIGMA * math.sqrt(2))).erf())).sum()

    @torch.no_grad()
    def alive(self, weight: Tensor) -> float:
        return float(self.penalty(weight)) * self.mask.numel() / self.mu.numel()

    def factors(self) -> Iterator[nn.Parameter]:
        yield from ()  # gates are numbers per input
