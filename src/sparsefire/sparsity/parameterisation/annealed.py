"""Continuous sparsification: soft gates that harden.

P. Savarese, H. Silva, M. Maire. Winning the lottery with continuous sparsification, NeurIPS 2020. arXiv:1912.04427
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity.parameterisation.penalised import Gated
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Control

HOTTEST = 200.0


class SoftGates(Gated):
    """Parametrisation θ = w · σ(βs) / σ(s₀), with one s per weight; β rises from 1 to 200 (:class:`Anneal`).

    The penalty is Σ σ(βs), the ℓ1 norm of the gates. The paper goes through several
    rounds, s set back at each, and tunes s₀ and a fixed strength; here it is one round, and the strength is steered.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        start: s₀.

    >>> gates = SoftGates(torch.ones(2, dtype=torch.bool), torch.zeros(2), start=0.0)
    >>> gates.value(torch.tensor([1.0, -2.0])).tolist()
    [1.0, -2.0]
    """

    heat: Tensor

    def __init__(self, mask: Tensor, theta: Tensor, start: float = 0.1) -> None:
        super().__init__(mask)
        self.start = start
        self.gate = nn.Parameter(torch.full_like(theta, start, requires_grad=False))
        self.register_buffer("heat", torch.ones_like(self.gate.detach().flatten()[0]))

    def slope(self, weight: Tensor) -> Tensor | float:
        return 1.0 if self.settled else (self.heat * self.gate).sigmoid() * (1 + math.exp(-self.start))

    def shaped(self, weight: Tensor, still: bool) -> Tensor:
        return weight * self.slope(weight)

    def unshaped(self, weight: Tensor) -> Tensor:
        self.gate.copy_(self.start * self.kept)
        return weight / self.slope(weight)

    def penalty(self, weight: Tensor) -> Tensor:
        return ((self.heat * self.gate).sigmoid() * self.kept).sum()

    @torch.no_grad()
    def alive(self, weight: Tensor) -> float:
        return float(self.penalty(weight)) * (1 + math.exp(-self.start))  # n gates at the start count n

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        self.gate[fresh] = self.start


class Anneal(Control):
    """Raise β as β_t = 200^(t / T), T three quarters of the steps of the training."""

    def __init__(self, setting: Setting, end: float = 0.75) -> None:
        super().__init__(setting)
        self.last = max(1, round(end * (setting.steps or 1)))

    def update(self, step: int) -> None:
        if step <= self.last:
            for module in masks.masked(self.setting.net).values():
                masked = masks.mask_of(module)
                if isinstance(masked, SoftGates):
                    masked.heat.fill_(HOTTEST ** (step / self.last))
