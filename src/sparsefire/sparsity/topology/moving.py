"""Masks that move: some weights leave, as many enter elsewhere.

RigL: U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen. Rigging the lottery, ICML 2020. arXiv:1911.11134
SET: D. C. Mocanu et al. Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
network science, Nature Communications 2018. arXiv:1707.04780
ITOP: S. Liu, L. Yin, D. C. Mocanu, M. Pechenizkiy. Do we actually need dense over-parameterization? ICML 2021.
arXiv:2102.02887
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity import given
from sparsefire.sparsity.ranking import keep_largest
from sparsefire.sparsity.setting import Setting, check_between
from sparsefire.sparsity.topology.base import Topology

Growth = Callable[[Any], dict[str, Tensor]]
"""From a network to a score of every weight by layer: the highest among those that are missing enter."""


class Moving(Topology):
    """Keep the number of weights of each layer, move some: drop the smallest, grow where the score is highest.

    Every ``every`` steps until the fraction ``end`` of training, each layer with n_l weights moves

        k_l = round(α/2 · (1 + cos(π t / T_end)) · n_l)    or, with ``cosine=False``,    k_l = round(α · n_l)

    of them: the k_l smallest |w| leave, then the k_l with the highest score among all absent positions (those just
    dropped included, if ``back``) enter at zero with zero moments.

    Args:
        setting: a masked network, the optimizer whose moments are kept in step, and the steps of the whole training.
        share: α, the share of weights moved at first.
        every: steps between two moves; by default 100, or a fiftieth of a shorter training.
        end: fraction of training after which the masks rest.
        cosine: whether the share falls along half a cosine.
        growth: from the network to scores by layer; None takes the topology's own.
    """

    needs = frozenset({"optimizer", "steps"})
    back = True  # a weight just dropped may come back at once
    pattern = "unstructured"  # the one it preserves

    @classmethod
    def check(cls, setting: Setting, **options: Any) -> None:
        super().check(setting, **options)
        check_between(options, "share", 0, 1)
        check_between(options, "end", 0, 1)
        check_between(options, "every", 1, math.inf)
        if setting.pattern != cls.pattern:
            raise UserError(
                f"method {setting.method!r} does not keep the pattern {setting.pattern!r} when it moves weights.",
                came=f"pattern {setting.pattern!r}",
                expected=f"pattern {cls.pattern!r}",
            )

    def __init__(
        self,
        setting: Setting,
        share: float = 0.3,
        every: int | None = None,
        end: float = 0.75,
        cosine: bool = True,
        growth: Growth | None = None,
    ) -> None:
        super().__init__(setting)
        steps = setting.steps or 1
        self.share, self.cosine, self.growth = share, cosine, growth
        self.every = every if every is not None else min(100, max(1, steps // 50))
        self.last = round(end * steps)
        self.rng = setting.rng

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "rng": self.rng}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rng = state.get("rng", self.rng)

    def moves(self, step: int) -> float:
        """Return the share of weights that move at a step.

        >>> from torch import nn
        >>> from sparsefire.sparsity import sparsify
        >>> net = nn.Linear(10, 10)
        >>> rigl = sparsify(net, 0.1, "rigl", optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=400)
        >>> [round(rigl.moves(t), 3) for t in (0, 150, 300)]
        [0.3, 0.15, 0.0]
        """
        if not self.cosine:
            return self.share
        return self.share / 2 * (1 + math.cos(math.pi * min(step, self.last) / max(1, self.last)))

    def update(self) -> None:
        if self.due(self.steps_done):
            self._move()

    def due(self, step: int) -> bool:
        """Say whether masks move after a step."""
        return 0 < step <= self.last and step % self.every == 0

    def scores(self) -> dict[str, Tensor]:
        """Return how much each absent weight would help, by layer; larger is better, all at least 0."""
        raise NotImplementedError

    @torch.no_grad()
    def _move(self) -> None:
        stays: dict[str, Tensor] = {}
        grows: dict[str, Tensor] = {}
        wanted = self.scores() if self.growth is None else self.growth(self.net)
        found, chances = masks.masked(self.net), self.setting.chances
        allowed = None if chances is None else given.allowed(chances, found)
        for name, module in found.items():
            mask = masks.mask_of(module).mask  # type: ignore[union-attr]
            count = int(mask.sum())
            may = mask.numel() if allowed is None else int(allowed[name].sum())
            moved = min(round(self.moves(self.steps_done) * count), may - count)
            weight: Any = module.weight
            lowest = torch.full((), -torch.inf).to(weight)
            stay = keep_largest([torch.where(mask, weight.abs(), lowest)], count - moved)[0]
            taken = stay if self.back else stay | mask
            if allowed is not None:
                taken = taken | ~allowed[name]
            grown = keep_largest([torch.where(taken, lowest, wanted[name].to(weight))], moved)[0] & ~stay
            stays[name], grows[name] = stay, grown
        self._exchange(stays, grows)

    def _exchange(self, stays: dict[str, Tensor], grows: dict[str, Tensor]) -> None:
        """Give layers the masks of what stays and what grows; weights that are new have no moments."""
        found = masks.masked(self.net)
        for name, stay in stays.items():
            masks.write_mask_(found[name], stay)  # dropped weights become zero before some of them return
            masks.write_mask_(found[name], stay | grows[name])
        optimizer: Any = self.setting.optimizer
        masks.clear_moments_(self.net, optimizer, grows)
        masks.zero_masked_(self.net, optimizer)


class RigL(Moving):
    """Grow where the gradient ∂L/∂w of the loss is largest; it is asked for only at the steps before a move."""

    needs = frozenset({"optimizer", "steps", "dense gradient"})

    def __init__(self, setting: Setting, **options: Any) -> None:
        super().__init__(setting, **options)
        self._asked: bool | None = None
        self._ask_for_gradient()

    def update(self) -> None:
        super().update()
        self._ask_for_gradient()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._asked = None  # the network may have asked otherwise
        self._ask_for_gradient()

    def scores(self) -> dict[str, Tensor]:
        found = {}
        for name, module in masks.masked(self.net).items():
            gradient = masks.gradient_of(module)
            if gradient is None:
                raise UserError(
                    f"RigL found no gradient of layer {name!r}.",
                    came="a gradient that was cleared before topology.step()",
                    expected="opt.step(); topology.step(); opt.zero_grad()",
                )
            found[name] = gradient.abs()
        return found

    def _ask_for_gradient(self) -> None:
        wanted = self.growth is None and self.due(self.steps_done + 1)
        if wanted == self._asked:
            return
        self._asked = wanted
        for module in masks.masked(self.net).values():
            masks.mask_of(module).dense_gradient = wanted  # type: ignore[union-attr]


class SET(Moving):
    """Grow at random: sparse evolutionary training. The share moved stays the same.

    Positions just dropped do not return at the same move. Masks rest in the last quarter of the training, as RigL's do,
    so that what was grown last is trained; the paper moves them to the end (``end=1``).
    """

    back = False

    def __init__(self, setting: Setting, cosine: bool = False, **options: Any) -> None:
        super().__init__(setting, cosine=cosine, **options)

    def scores(self) -> dict[str, Tensor]:
        found = {}
        for name, module in masks.masked(self.net).items():
            generator = randomness.stream(self.rng, f"growth {self.steps_done} {name}")
            weight: Any = module.weight
            found[name] = torch.from_numpy(generator.random(tuple(weight.shape), dtype="float32"))
        return found
