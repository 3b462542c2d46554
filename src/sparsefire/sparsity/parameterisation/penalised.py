"""What parametrisations that a penalty makes sparse have in common; :class:`~..topology.steered.Steered` uses it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sparsefire import masks, randomness
from sparsefire.masks import Masked
from sparsefire.sparsity.topology.base import Control


class Penalised(Masked):
    """A parametrisation with a penalty that draws weights to zero. Here: ℓ1 on the effective weight."""

    def penalty(self, weight: Tensor) -> Tensor:
        """Return the penalty at strength one, a scalar; absent entries add nothing.

        Args:
            weight: the layer's own Parameter, as it is stored.
        """
        return (self.value(weight) * self.kept).abs().sum()

    def pull_(self, weight: Tensor, strength: float) -> None:
        """Add the gradient of ``strength * penalty`` to the gradients, as if it stood in the loss."""
        held = [weight, *self.parameters(recurse=False)]
        with torch.enable_grad():
            found = torch.autograd.grad(self.penalty(weight), held, allow_unused=True)
        for parameter, gradient in zip(held, found, strict=True):
            if gradient is not None:
                add_gradient_(parameter, gradient, strength)

    @torch.no_grad()
    def alive(self, weight: Tensor) -> float:
        """Return how many entries count, by the method's own measure.

        Here the effective number π/2 · (Σ|θ|)² / Σθ²: n for n normal weights, and the same at any scale.

        Args:
            weight: the layer's own Parameter.
        """
        size = (self.value(weight) * self.kept).abs().double()
        squares = float(size.square().sum())
        return min(math.pi / 2 * float(size.sum()) ** 2 / squares, float(size.numel())) if squares else 0.0

    def settle_(self, weight: Tensor) -> None:
        """End the penalised part of a training, in place: gates and thresholds go, factors stay."""


class Gated(Penalised):
    """Weights times gates, or behind a threshold. When it settles, the weight takes the value it had, and gates go.

    Subclasses say how gates shape a weight (:meth:`shaped`), how that is undone (:meth:`unshaped`), and what a weight
    that has just entered needs (:meth:`awaken_`).
    """

    done: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask)
        self.register_buffer("done", torch.tensor(False, device=mask.device))
        self.settled = False  # the same as a plain number: reading a buffer waits for an accelerator

    def shaped(self, weight: Tensor, still: bool) -> Tensor:
        """Return the effective weight, the one without noise if ``still``."""
        raise NotImplementedError

    def unshaped(self, weight: Tensor) -> Tensor:
        """Open all gates and return the weight that gives this effective one."""
        raise NotImplementedError

    @property
    def still(self) -> bool:
        """Say whether gates are read without noise: in evaluation, and wherever no gradient is recorded."""
        return not (self.training and torch.is_grad_enabled())

    def value(self, weight: Tensor) -> Tensor:
        return weight if self.settled else self.shaped(weight, self.still)

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        return super().right_inverse(weight if self.settled else self.unshaped(weight))

    @torch.no_grad()
    def settle_(self, weight: Tensor) -> None:
        if not self.settled:
            weight.copy_(self.shaped(weight, True) * self.kept)
            self.settled = True
            self.done.fill_(True)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.settled = bool(self.done)


class Noisy(Gated):
    """Gates that are drawn anew at every step, from a stream of the layer's own.

    The numbers are a function of the layer's key and the step alone: looking at a weight twice, checkpointed
    activations and other users of random numbers change nothing. Micro-batches of one step share them.

    Args:
        mask: bool, of the weight's shape.
        rng: int, the key.
    """

    stream: Tensor

    def __init__(self, mask: Tensor, rng: int = 0) -> None:
        super().__init__(mask)
        self.register_buffer("stream", torch.tensor([rng, 0]))  # key and step: both are needed to resume
        self.place = (rng, 0)

    def tick_(self) -> None:
        """Go on to the numbers of the next step."""
        self.stream[1] += 1
        self.place = (self.place[0], self.place[1] + 1)

    def generator(self, device: torch.device) -> torch.Generator:
        """Return a generator at the beginning of this step's numbers."""
        return torch.Generator(device).manual_seed(randomness.integer(self.place[0], self.place[1]))

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        key, step = self.stream.tolist()
        self.place = (int(key), int(step))


class Clock(Control):
    """Let the gates of all layers draw anew after every step."""

    def update(self, step: int) -> None:
        for module in masks.masked(self.setting.net).values():
            masked = masks.mask_of(module)
            if isinstance(masked, Noisy):
                masked.tick_()


def add_gradient_(parameter: Tensor, gradient: Tensor, times: float) -> None:
    """Add a multiple of a tensor to the gradient of a parameter.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> add_gradient_(weight, torch.ones(2), 3.0); weight.grad.tolist()
    [3.0, 3.0]
    """
    if parameter.grad is None:
        parameter.grad = gradient.detach() * times
    else:
        parameter.grad.add_(gradient.detach().to(parameter.grad), alpha=times)
