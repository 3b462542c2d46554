"""Gradual magnitude pruning (GMP).

M. Zhu, S. Gupta. To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017.
arXiv:1710.01878
"""

from __future__ import annotations

import math
from typing import Any

from sparsefire.sparsity.prune import prune
from sparsefire.sparsity.setting import Setting, check_between
from sparsefire.sparsity.topology.base import Topology


class Gradual(Topology):
    """Start dense and prune along a cubic schedule, the smallest weights by default.

    Between the fractions ``begin`` and ``end`` of ``steps`` the density follows

        d_t = d_f + (1 - d_f) · (1 - (t - t₀) / (t₁ - t₀))³

    and the masks are moved every ``every`` steps; afterwards the network trains on at the final density.

    Args:
        setting: density (the final one), layout, score, optimizer and steps.
        begin, end: fractions of the steps of the training.
        every: steps between two prunings; by default a fiftieth of ``steps``.
    """

    needs = frozenset({"optimizer", "steps"})

    dense = True

    def __init__(self, setting: Setting, begin: float = 0.1, end: float = 0.75, every: int | None = None) -> None:
        super().__init__(setting)
        steps = setting.steps or 1
        self.first, self.last = round(begin * steps), max(round(begin * steps) + 1, round(end * steps))
        self.every = every if every is not None else max(1, steps // 50)

    @classmethod
    def check(cls, setting: Setting, **options: Any) -> None:
        super().check(setting, **options)
        check_between(options, "begin", 0, 1)
        check_between(options, "end", options.get("begin", 0), 1)
        check_between(options, "every", 1, math.inf)

    def density_at(self, step: int) -> float:
        """Return the density the schedule asks for after a number of steps.

        >>> import torch
        >>> from torch import nn
        >>> from sparsefire.sparsity import sparsify
        >>> net = nn.Linear(10, 10)
        >>> gmp = sparsify(net, 0.1, "gmp", optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100)
        >>> [round(gmp.density_at(t), 3) for t in (0, 10, 42, 75, 100)]
        [1.0, 1.0, 0.218, 0.1, 0.1]
        """
        progress = min(1.0, max(0.0, (step - self.first) / (self.last - self.first)))
        final = self.setting.density
        return final + (1.0 - final) * (1.0 - progress) ** 3

    def update(self) -> None:
        due = self.first < self.steps_done < self.last and (self.steps_done - self.first) % self.every == 0
        if due or self.steps_done == self.last:
            prune(self.setting, self.density_at(self.steps_done))


class Following(Gradual):
    """Gradual pruning for methods whose own part is another: it gives way to any topology they are combined with."""

    yields = True
