"""Iterative pruning and cyclic training: one schedule of the learning rate after another.

Levels with rewinding: J. Frankle, M. Carbin. The lottery ticket hypothesis, ICLR 2019. arXiv:1803.03635 (IMP);
J. Frankle et al. Linear mode connectivity and the lottery ticket hypothesis, ICML 2020. arXiv:1912.05671 (weight
rewinding); A. Renda, J. Frankle, M. Carbin. Comparing rewinding and fine-tuning, ICLR 2020. arXiv:2003.02389 (rate
rewinding), as analysed in A. Gadhikar, R. Burkholz. Masks, signs, and learning rate rewinding, ICLR 2024.
arXiv:2402.19262
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.prune import prune
from sparsefire.sparsity.setting import Setting, check_between
from sparsefire.sparsity.topology.base import Topology

PRUNED = 0.2  # share of what is left that each level removes


def levels_to(density: float, prune_rate: float = PRUNED) -> int:
    """Return how many prunings lead from dense to a density when each removes a share of what is left.

    >>> levels_to(0.1), levels_to(1.0), levels_to(0.8)
    (11, 0, 1)
    """
    if density >= 1:
        return 0
    return math.ceil(math.log(density) / math.log(1 - prune_rate) - 1e-9)


class Levels(Topology):
    """Train at one density after another, each from the start of the learning-rate schedule.

    ``steps`` is the whole training; it is divided evenly into levels, what is left over goes to the last. The scheduler
    given must be made for one level, ``steps // levels`` steps (:attr:`level_steps`). Between two levels the network
    is pruned to the density of the next, optimizer and schedule go back to their start, and so may the weights.

    Attributes:
        densities: of the levels.
        rewind: None keeps the weights; otherwise the step whose parameters and buffers come back at each level.

    Subclasses say which densities (:meth:`plan`) and what is rewound.
    """

    needs = frozenset({"optimizer", "scheduler", "steps"})
    rewind: int | None = None

    def __init__(self, setting: Setting, **options: Any) -> None:
        super().__init__(setting)
        self.densities = self.plan(setting.density, **options)
        self.level_steps = max(1, (setting.steps or 1) // len(self.densities))
        scheduler: Any = setting.scheduler
        optimizer: Any = setting.optimizer
        self._schedule_start: dict[str, Any] = copy.deepcopy(scheduler.state_dict())
        self._rates_start = [float(group["lr"]) for group in optimizer.param_groups]
        self.ranked = (
            setting if self.dense else replace(setting, score="magnitude")
        )  # a sparse start is drawn by chance
        self._saved: dict[str, Tensor] = {}
        if self.rewind == 0:
            self._save()

    plan: ClassVar[Callable[..., list[float]]]
    """From the final density, and options, to the density of each level."""

    @classmethod
    def start(cls, density: float, **options: Any) -> float:
        return cls.plan(density, **options)[0]

    @classmethod
    def schedules(cls, density: float, **options: Any) -> int:
        return len(cls.plan(density, **options))

    @classmethod
    def check(cls, setting: Setting, **options: Any) -> None:
        super().check(setting, **options)
        check_between(options, "prune_rate", 0.01, 0.99)
        check_between(options, "early", 0, 1)
        check_between(options, "cycles", 1, math.inf)
        check_between(options, "times", 1, math.inf)
        needed = len(cls.plan(setting.density, **options))
        if setting.steps is not None and setting.steps < needed:
            raise UserError(
                f"method {setting.method!r} needs {needed} levels for density {setting.density:g}, "
                "one step each at least.",
                came=f"steps={setting.steps}",
                expected=f"steps of {needed} or more",
            )

    def begin(self) -> None:
        if self.rewind == 0:
            self._save()

    def update(self) -> None:
        if self.rewind is not None and self.steps_done == self.rewind:
            self._save()
        level, rest = divmod(self.steps_done, self.level_steps)
        if rest == 0 and 1 <= level < len(self.densities):
            if self.densities[level] < self.densities[level - 1]:
                prune(self.ranked, self.densities[level])
            if self.rewind is not None:
                self._bring_back()
            self._restart()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **{f"saved.{name}": value.clone() for name, value in self._saved.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        saved = {key.removeprefix("saved."): value for key, value in state.items() if key.startswith("saved.")}
        self._saved = saved or self._saved

    def _restart(self) -> None:
        optimizer: Any = self.setting.optimizer
        scheduler: Any = self.setting.scheduler
        optimizer.state.clear()
        scheduler.load_state_dict(copy.deepcopy(self._schedule_start))
        for group, rate in zip(optimizer.param_groups, self._rates_start, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _save(self) -> None:
        self._saved = {name: value.detach().clone() for name, value in _contents(self.net)}

    @torch.no_grad()
    def _bring_back(self) -> None:
        for name, value in _contents(self.net):
            value.copy_(self._saved[name])
        masks.zero_masked_(self.net)


class LearningRateRewinding(Levels):
    """LRR: prune a fifth, restart the schedule, keep the weights; again.

    >>> LearningRateRewinding.plan(0.5)
    [1.0, 0.8, 0.64, 0.512, 0.5]
    """

    dense: ClassVar[bool] = True

    @staticmethod
    def plan(density: float, prune_rate: float = PRUNED) -> list[float]:
        levels = levels_to(density, prune_rate)
        return [round((1 - prune_rate) ** level, 12) for level in range(levels)] + [density]


class IterativeMagnitude(LearningRateRewinding):
    """IMP: as LRR, but all parameters go back to where they started."""

    rewind = 0


class WeightRewinding(LearningRateRewinding):
    """WR: as IMP, but parameters go back to an early step, ``early`` of the first level.

    Args:
        setting: see :class:`Levels`.
        early: share of the first level after which the parameters are kept.
        prune_rate: see :func:`levels_to`.
    """

    def __init__(self, setting: Setting, early: float = 0.1, **options: Any) -> None:
        super().__init__(setting, **options)
        self.rewind = max(1, round(early * self.level_steps))

    @staticmethod
    def plan(density: float, prune_rate: float = PRUNED, early: float = 0.1) -> list[float]:
        return LearningRateRewinding.plan(density, prune_rate)


class Cyclic(Levels):
    """Repeat the schedule on a fixed mask, without going back.

    A. Gadhikar, S. Nelaturu, R. Burkholz. Cyclic sparse training: is it enough? 2024. arXiv:2406.02773

    >>> Cyclic.plan(0.2)
    [0.2, 0.2, 0.2, 0.2]
    """

    @staticmethod
    def plan(density: float, cycles: int = 4) -> list[float]:
        return [density] * cycles


class Sculpt(Levels):
    """SCULPT-ing: cycles on a denser mask, one pruning to the density, one cycle more. arXiv:2406.02773

    >>> Sculpt.plan(0.1)
    [0.3, 0.3, 0.3, 0.1]
    """

    bounded = False  # it prunes to the counts of a layout that has a name

    @staticmethod
    def plan(density: float, cycles: int = 3, times: float = 3.0) -> list[float]:
        return [round(min(1.0, times * density), 12)] * cycles + [density]


def _contents(net: nn.Module) -> list[tuple[str, Tensor]]:
    """Return parameters and buffers by name, but for what belongs to masks."""
    own = filter(None, map(masks.mask_of, masks.masked(net).values()))
    held = {id(tensor) for part in own for tensor in part.buffers()}  # masks, and what counts steps
    return [(name, value) for name, value in [*net.named_parameters(), *net.named_buffers()] if id(value) not in held]
