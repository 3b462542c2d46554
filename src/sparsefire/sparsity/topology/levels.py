"""Learning-rate rewinding (LRR): prune a fifth, restart the learning-rate schedule, keep the weights; again.

A. Renda, J. Frankle, M. Carbin. Comparing rewinding and fine-tuning in neural network pruning, ICLR 2020.
arXiv:2003.02389. As analysed in A. Gadhikar, R. Burkholz. Masks, signs, and learning rate rewinding, ICLR 2024.
arXiv:2402.19262
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.sparsity.magnitude import prune_by_magnitude
from sparsefire.sparsity.topology import Topology


def levels_to(density: float, prune_rate: float = 0.2) -> int:
    """Return how many prunings lead from dense to a density when each removes a share of what is left.

    >>> levels_to(0.1), levels_to(1.0), levels_to(0.8)
    (11, 0, 1)
    """
    if density >= 1:
        return 0
    return math.ceil(math.log(density) / math.log(1 - prune_rate) - 1e-9)


def check_levels(density: float, steps: int) -> None:
    """Raise when the training is too short to reach a density level by level.

    >>> check_levels(0.1, steps=12)
    """
    needed = levels_to(density) + 1
    if steps < needed:
        raise UserError(
            f"method 'lrr' needs {needed} levels for density {density:g}, one step each at least.",
            came=f"steps={steps}",
            expected=f"steps of {needed} or more",
        )


class LearningRateRewinding(Topology):
    """Train, prune the smallest weights, set optimizer and schedule back to their start, keep the weights; repeat.

    ``steps`` is the whole training; it is divided evenly into ``levels + 1`` parts, the last one at the final density.
    The scheduler given must be made for one part, ``steps // (levels + 1)`` steps (:attr:`level_steps`).

    Args:
        net: a network with full masks.
        density: the final density.
        layout: ``"global"`` or a layout within which each layer is ranked.
        optimizer, scheduler: set back at each level; moments are cleared as a new optimizer would.
        steps: length of the whole training.
        prune_rate: share of the remaining weights that each level removes.
    """

    needs = frozenset({"optimizer", "scheduler", "steps"})

    def __init__(
        self,
        net: nn.Module,
        density: float,
        layout: str,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        steps: int,
        prune_rate: float = 0.2,
    ) -> None:
        super().__init__(net)
        self.density, self.layout, self.prune_rate = density, layout, prune_rate
        self.optimizer, self.scheduler = optimizer, scheduler
        self.levels = levels_to(density, prune_rate)
        self.level_steps = max(1, steps // (self.levels + 1))
        self._schedule_start: dict[str, Any] = copy.deepcopy(scheduler.state_dict())
        self._rates_start = [group["lr"] for group in optimizer.param_groups]

    def density_at(self, level: int) -> float:
        """Return the density of a level: (1 − prune_rate)^level, and exactly the target at the last."""
        return self.density if level >= self.levels else (1 - self.prune_rate) ** level

    def update(self) -> None:
        level, rest = divmod(self.steps_done, self.level_steps)
        if rest == 0 and 1 <= level <= self.levels:
            prune_by_magnitude(self.net, self.density_at(level), self.layout, self.optimizer)
            self.optimizer.state.clear()
            self.scheduler.load_state_dict(copy.deepcopy(self._schedule_start))
            for group, rate in zip(self.optimizer.param_groups, self._rates_start, strict=True):
                group["lr"] = rate
