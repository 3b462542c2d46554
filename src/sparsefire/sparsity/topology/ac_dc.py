"""AC/DC: dense and sparse phases by turns.

A. Peste, E. Iofinova, A. Vladu, D. Alistarh. AC/DC: alternating compressed/decompressed training of deep neural
networks, NeurIPS 2021. arXiv:2106.12379
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.prune import full_masks, prune
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Topology


class ACDC(Topology):
    """Start dense, prune to the density, bring everything back, and so on; the last phase is sparse.

    The phases are those of the paper's 100 epochs, as fractions of the steps: dense for a tenth; then sparse and dense
    phases of a twentieth by turns, pruned at 0.10, 0.20 … 0.70 and restored at 0.15, 0.25 … 0.75; sparse from 0.85 on.
    Each pruning keeps the exact count, the largest weights of all layers by default. What comes back starts at zero,
    and the optimizer forgets its momentum there, of all its parameters, as in the paper. The masks of a sparse phase
    rest. In a training so short that phases vanish, the last pruning remains.

    Args:
        setting: density, layout, score, pattern, optimizer and steps.
        warm: fraction of the steps before the first pruning.
        phase: length of a phase, as a fraction.
        last: fraction from which on the network stays sparse; the dense phase before it takes what is left over.

    Raises:
        UserError: fractions that leave no order, 0 ≤ warm ≤ last ≤ 1 and phase > 0.
    """

    needs = frozenset({"optimizer", "steps"})
    dense = True

    def __init__(self, setting: Setting, warm: float = 0.1, phase: float = 0.05, last: float = 0.85) -> None:
        super().__init__(setting)
        if not (0 <= warm <= last <= 1 and phase > 0):
            raise UserError(
                "phases come in order.",
                came=f"warm={warm!r}, phase={phase!r}, last={last!r}",
                expected="0 <= warm <= last <= 1 and phase > 0",
            )
        steps = setting.steps or 1
        cycles = int((last - warm) / (2 * phase) + 1e-9)
        turns = [warm + number * phase for number in range(2 * cycles)] + [last]
        self.turns = [max(1, round(turn * steps)) for turn in turns]

    def sparse_at(self, step: int) -> bool:
        """Say whether the network is sparse after a step.

        >>> import torch
        >>> from torch import nn
        >>> net = nn.Linear(10, 10)
        >>> acdc = ACDC(Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100))
        >>> [step for step in range(1, 101) if acdc.sparse_at(step) and not acdc.sparse_at(step - 1)]
        [10, 20, 30, 40, 50, 60, 70, 85]
        """
        return bisect_right(self.turns, step) % 2 == 1

    def update(self) -> None:
        before, after = self.sparse_at(self.steps_done - 1), self.sparse_at(self.steps_done)
        if after and not before:
            prune(self.setting, self.setting.density, key=self.steps_done)
        elif before and not after:
            found = masks.masked(self.net)
            for name, mask in full_masks(found, self.setting.chances).items():
                masks.write_mask_(found[name], mask)
            optimizer: Any = self.setting.optimizer
            optimizer.state.clear()
