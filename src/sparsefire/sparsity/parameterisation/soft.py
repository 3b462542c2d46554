"""Soft threshold reparameterisation (STR).

A. Kusupati, V. Ramanujan, R. Somani, M. Wortsman, P. Jain, S. Kakade, A. Farhadi. Soft threshold weight
reparameterization for learnable sparsity, ICML 2020. arXiv:2002.03231
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sparsefire.sparsity.parameterisation.penalised import Gated
from sparsefire.sparsity.parameterisation.power import downhill
from sparsefire.sparsity.parameterisation.spred import typical


class SoftThreshold(Gated):
    """Parametrisation w = sign(v) · relu(|v| − σ(s + c)), with one s per layer, which is learned.

    In the paper weight decay draws s, from a very negative start, up towards 0, and the start is tuned until the
    density fits. Here one shift c, the same for all layers, takes the part of that decay:
    :class:`~sparsefire.sparsity.topology.steered.Raised` sets it so that the density follows its schedule, while the
    gradient of s shares it out over layers. s itself has no decay. When it settles, w becomes the trained weight.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from; v = θ + sign(θ) σ(s).
        start: s at first.

    >>> soft = SoftThreshold(torch.ones(3, dtype=torch.bool), torch.zeros(3), start=0.0)
    >>> soft.value(torch.tensor([0.75, -2.0, 0.4])).tolist()
    [0.25, -1.5, 0.0]
    """

    shift: Tensor

    def __init__(self, mask: Tensor, theta: Tensor, start: float = -10.0) -> None:
        super().__init__(mask)
        self.level = nn.Parameter(torch.tensor(start).to(theta))
        self.register_buffer("shift", torch.zeros_like(self.level.detach()))

    def threshold(self) -> Tensor:
        """Return σ(s + c)."""
        return (self.level + self.shift).sigmoid()

    def shaped(self, weight: Tensor, still: bool) -> Tensor:
        return weight.sign() * (weight.abs() - self.threshold()).relu()

    def unshaped(self, weight: Tensor) -> Tensor:
        return weight + weight.sign() * self.threshold()

    def slope(self, weight: Tensor) -> Tensor | float:
        return 1.0 if self.settled else (weight.abs() > self.threshold()).to(weight)

    @torch.no_grad()
    def alive(self, weight: Tensor) -> float:
        return float(((self.value(weight) != 0) & self.mask).sum())

    @torch.no_grad()
    def critical(self, weight: Tensor) -> Tensor:
        """Return the shift c at which each entry would become zero, −∞ where there is none."""
        edge = torch.finfo(weight.dtype).eps
        away = weight.abs().clamp(torch.finfo(weight.dtype).tiny, 1 - edge).logit() - self.level
        return torch.where(self.mask, away, -torch.inf)

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        """Put entries that enter just beyond the threshold, on the side that their gradient points to."""
        if not self.settled:
            beyond = self.threshold() + 0.01 * typical(self.value(weight))
            weight[fresh] = (downhill(weight) * beyond)[fresh]

    def factors(self) -> Iterator[nn.Parameter]:
        yield from ()  # s is no number per weight
