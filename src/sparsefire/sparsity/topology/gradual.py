"""Gradual magnitude pruning (GMP).

M. Zhu, S. Gupta. To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017.
arXiv:1710.01878
"""

from __future__ import annotations

import torch
from torch import nn

from sparsefire.sparsity.magnitude import prune_by_magnitude
from sparsefire.sparsity.topology import Topology


class GradualMagnitude(Topology):
    """Start dense and prune the smallest weights along a cubic schedule.

    Between the fractions ``begin`` and ``end`` of ``steps`` the density follows

        d_t = d_f + (1 - d_f) · (1 - (t - t₀) / (t₁ - t₀))³

    and the masks are moved every ``every`` steps; afterwards the network trains on at the final density.

    Args:
        net: a network with full masks.
        density: the final density d_f.
        layout: ``"global"`` or a layout within which each layer is ranked.
        optimizer: its moments are zeroed where weights go.
        steps: length of the whole training.
        begin, end: fractions of ``steps``.
        every: steps between two prunings; by default a fiftieth of ``steps``.
    """

    needs = frozenset({"optimizer", "steps"})

    def __init__(
        self,
        net: nn.Module,
        density: float,
        layout: str,
        optimizer: torch.optim.Optimizer,
        steps: int,
        begin: float = 0.1,
        end: float = 0.75,
        every: int | None = None,
    ) -> None:
        super().__init__(net)
        self.density, self.layout, self.optimizer = density, layout, optimizer
        self.first, self.last = round(begin * steps), max(round(begin * steps) + 1, round(end * steps))
        self.every = every if every is not None else max(1, steps // 50)

    def density_at(self, step: int) -> float:
        """Return the density the schedule asks for after a number of steps.

        >>> from sparsefire.sparsity import sparsify
        >>> net = nn.Linear(10, 10)
        >>> gmp = sparsify(net, 0.1, "gmp", optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100)
        >>> [round(gmp.density_at(t), 3) for t in (0, 10, 42, 75, 100)]
        [1.0, 1.0, 0.218, 0.1, 0.1]
        """
        progress = min(1.0, max(0.0, (step - self.first) / (self.last - self.first)))
        return self.density + (1.0 - self.density) * (1.0 - progress) ** 3

    def update(self) -> None:
        due = self.first < self.steps_done < self.last and (self.steps_done - self.first) % self.every == 0
        if due or self.steps_done == self.last:
            prune_by_magnitude(self.net, self.density_at(self.steps_done), self.layout, self.optimizer)
