"""RigL: rigging the lottery, making all tickets winners.

U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, ICML 2020. arXiv:1911.11134
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.scores import keep_largest
from sparsefire.sparsity.topology import Topology


class RigL(Topology):
    """Keep the number of weights, move some of them: drop the smallest, grow where the gradient is largest.

    Every ``every`` steps until the fraction ``end`` of training, each layer with n_l weights moves

        k_l = round(α/2 · (1 + cos(π t / T_end)) · n_l)

    of them: the k_l smallest |w| leave, then the k_l largest |∂L/∂w| among all absent positions (those just dropped
    included) enter at zero with zero moments. The dense gradient is asked for only at these steps.

    Args:
        net: a masked network.
        optimizer: whose moments are kept in step.
        steps: length of the whole training.
        share: α, the share of weights moved at first.
        every: steps between two moves; by default 100, or a fiftieth of a shorter training.
        end: fraction of training after which the masks rest.
    """

    needs = frozenset({"optimizer", "steps", "dense gradient"})

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        steps: int,
        share: float = 0.3,
        every: int | None = None,
        end: float = 0.75,
    ) -> None:
        super().__init__(net)
        self.optimizer, self.share = optimizer, share
        self.every = every if every is not None else min(100, max(1, steps // 50))
        self.last = round(end * steps)
        self._ask_for_gradient()

    def moves(self, step: int) -> float:
        """Return the share of weights that move at a step.

        >>> from sparsefire.sparsity import sparsify
        >>> net = nn.Linear(10, 10)
        >>> rigl = sparsify(net, 0.1, "rigl", optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=400)
        >>> [round(rigl.moves(t), 3) for t in (0, 150, 300)]
        [0.3, 0.15, 0.0]
        """
        return self.share / 2 * (1 + math.cos(math.pi * min(step, self.last) / max(1, self.last)))

    def update(self) -> None:
        if self._due(self.steps_done):
            self._move()
        self._ask_for_gradient()

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self._ask_for_gradient()

    def _due(self, step: int) -> bool:
        return 0 < step <= self.last and step % self.every == 0

    def _ask_for_gradient(self) -> None:
        wanted = self._due(self.steps_done + 1)
        for module in masks.layers(self.net).values():
            masks.mask_of(module).dense_gradient = wanted  # type: ignore[union-attr]

    @torch.no_grad()
    def _move(self) -> None:
        fresh: dict[str, Tensor] = {}
        for name, module in masks.layers(self.net).items():
            mask = masks.mask_of(module).mask  # type: ignore[union-attr]
            gradient = module.parametrizations["weight"].original.grad  # type: ignore[index,union-attr]
            if gradient is None:
                raise UserError(
                    f"RigL found no gradient of layer {name!r}.",
                    came="a gradient that was cleared before topology.step()",
                    expected="opt.step(); topology.step(); opt.zero_grad()",
                )
            count = int(mask.sum())
            moved = min(round(self.moves(self.steps_done) * count), mask.numel() - count)
            weight: Any = module.weight
            low = -torch.ones(()).to(weight)  # below every magnitude
            stay = keep_largest([torch.where(mask, weight.abs(), low)], count - moved)[0]
            grown = keep_largest([torch.where(stay, low, gradient.abs())], moved)[0]
            masks.write_mask_(module, stay)  # dropped weights become zero before some of them return
            masks.write_mask_(module, stay | grown)
            fresh[name] = grown
        masks.clear_moments_(self.net, self.optimizer, fresh)
        masks.zero_masked_(self.net, self.optimizer)
