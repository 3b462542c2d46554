"""One-shot pruning: train, prune once, train on.

Y. LeCun, J. S. Denker, S. A. Solla. Optimal brain damage, NeurIPS 1989; S. Han, J. Pool, J. Tran, W. J. Dally. Learning
both weights and connections for efficient neural networks, NeurIPS 2015. arXiv:1506.02626
"""

from __future__ import annotations

from typing import Any

from sparsefire.errors import UserError
from sparsefire.sparsity.prune import prune_in_rounds
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.setting import Setting, check_inputs
from sparsefire.sparsity.topology.base import Topology


class OneShot(Topology):
    """Train the dense network, prune it once by the score of the recipe, and train what stays.

    A score that is to be asked again and again (SynFlow) prunes along density^(r/rounds), all at the same step.

    Args:
        setting: density, layout, score, pattern, optimizer and steps; data where the score looks at them.
        at: fraction of the steps after which the network is pruned, in (0, 1]; never before the first step.

    Raises:
        UserError: ``at`` outside (0, 1].

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Linear(10, 10)
    >>> OneShot(Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100)).last
    50
    """

    needs = frozenset({"optimizer", "steps"})
    dense = True

    def __init__(self, setting: Setting, at: float = 0.5) -> None:
        super().__init__(setting)
        if not 0 < at <= 1:
            raise UserError("at is a fraction of the steps.", came=f"at={at!r}", expected="a number in (0, 1]")
        self.last = max(1, round(at * (setting.steps or 1)))

    @classmethod
    def check(cls, setting: Setting, **options: Any) -> None:
        super().check(setting, **options)
        if SCORES[setting.score].inputs:
            check_inputs(setting)

    def update(self) -> None:
        if self.steps_done == self.last:
            prune_in_rounds(self.setting, self.setting.density)
