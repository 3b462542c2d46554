"""The noise that gives the density asked for."""

from __future__ import annotations

import math
from typing import Any

from sparsefire.errors import UserError
from sparsefire.sparsity.noise.weights import ETA, Shaken
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.gradual import Gradual
from sparsefire.sparsity.topology.steered import Led

LOWEST, IN_NETWORKS = 1e-3, 0.1  # η: least, and most with several layers, which learn worse beyond
GAIN, LEAP = 0.25, 0.15  # of the controller of log η²: integral, largest move
AFTER = 0.1  # η after the cut, as a share of what it was


class SteeredNoise(Led):
    """Steer log η², common to all layers, until the share of weights that are alive is the density asked for.

    Every so many steps it moves by 1/4 log(alive / density), at most 0.15; |θ| > λ / 4 counts as alive, where λ is the
    lasso's, η² or e² / 2. Allow about 1 / (lr λ) steps from one move to the next. Meanwhile masks are pruned by |θ|
    along the cubic schedule of gradual pruning; at its end η falls to a tenth: what stays is hardly shrunk any longer.

    Args:
        setting: a network whose layers carry noise, density, layout, optimizer and steps.
        begin, end: fractions of the steps between which masks shrink.
        every: steps between two moves, and between two prunings; by default a hundredth of ``steps``.
        largest: η at most; by default λ is 1 at most for one layer, and η 0.1 for networks, which larger noise keeps
            from learning.

    >>> import torch
    >>> from torch import nn
    >>> from sparsefire import masks
    >>> from sparsefire.sparsity import sparsify
    >>> from sparsefire.sparsity.noise import NOISY_PRODUCT
    >>> from sparsefire.sparsity.recipes import Recipe
    >>> parts = {"topology": SteeredNoise, "parameterisation": NOISY_PRODUCT}
    >>> recipe = Recipe("synaptic-noise", "synaptic noise", "arXiv:2206.04613", **parts)
    >>> net = nn.Linear(10, 10); optimizer = torch.optim.SGD(net.parameters(), 0.1)
    >>> topology = sparsify(net, 0.2, recipe, optimizer=optimizer, steps=4, rng=0)
    >>> for _ in range(4):
    ...     net(torch.ones(1, 10)).sum().backward(); optimizer.step(); topology.step(); optimizer.zero_grad()
    >>> masks.density(net)
    0.2
    """

    kind = Shaken

    def __init__(
        self,
        setting: Setting,
        begin: float = 0.4,
        end: float = 0.75,
        every: int | None = None,
        largest: float | None = None,
    ) -> None:
        every = every if every is not None else max(1, (setting.steps or 1) // 100)
        super().__init__(setting, begin=begin, end=end, every=every)
        default = IN_NETWORKS if len(self.parts) > 1 else self.parts[0][1].share ** -0.5
        self.largest = default if largest is None else largest
        if not self.largest >= LOWEST:
            raise UserError("largest is a size of noise.", came=f"largest={largest}", expected=f"at least {LOWEST}")
        self.eta = min(ETA, self.largest)
        self._write(self.eta)

    def alive(self) -> float:
        """Return the share of weights that the noise does not hold at zero."""
        large = [layer.weight.detach().abs() > part.lasso / 4 for _, part, layer in self.parts]
        return sum(int(found.sum()) for found in large) / sum(found.numel() for found in large)

    def steer(self, wanted: float) -> None:
        move = GAIN * math.log(max(self.alive(), 1e-9) / wanted)
        self.eta = min(self.largest, max(LOWEST, self.eta * math.exp(min(LEAP, max(-LEAP, move)) / 2)))
        self._write(self.eta)

    def update(self) -> None:
        if self.steps_done < self.last and self.steps_done % self.every == 0:
            self.steer(self.setting.density)
        Gradual.update(self)
        if self.steps_done == self.last:
            self._write(AFTER * self.eta)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "eta": self.eta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.eta = float(state["eta"])

    def _write(self, eta: float) -> None:
        for _, part, _ in self.parts:
            part.eta = eta
