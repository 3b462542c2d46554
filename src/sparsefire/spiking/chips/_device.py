"""Weights as devices hold them: rounded to levels, each with its own factor, fading."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.randomness import stream
from sparsefire.spiking.chips.chip import Chip


class Device(nn.Module):
    """Parametrisation: the stored number → what the synapse does. Zero stays zero.

    Gradients pass straight through rounding (arXiv:1308.3432), and through the factors of the devices where the chip
    has a backward pass; where it has none nobody knows the factors, and what a learning rule credits to a synapse
    reaches the stored number as it is.

    Args:
        layer: whose weight it is.
        chip: the constraints.
        rng: an integer.
        name: of the layer, for the names of streams.
    """

    factor: Tensor
    exponent: Tensor
    dither: Tensor
    stores = True  # for sparsefire.masks: what is written to the layer is the stored number

    def __init__(self, layer: nn.Module, chip: Chip, rng: int, name: str) -> None:
        super().__init__()
        weight = masks.own_parameter(layer).detach()
        self.chip, self.rng, self.name, self.seconds = chip, rng, name, 1.0
        self._layer = (layer,)  # in a tuple, so that it is no part of this module
        self._written: int | None = None
        self._writes = 0
        self.register_buffer("factor", mismatched(weight, chip.mismatch, rng, name, "weight"))
        self.register_buffer("exponent", chip.drift * mismatched(weight, chip.mismatch, rng, name, "drift"))
        self.register_buffer("dither", torch.full_like(weight, 0.5), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        nominal, share = self.rounded(weight), self.factor * self.seconds**-self.exponent
        if not self.chip.backward:
            return weight + (nominal * share - weight).detach()
        return (weight + (nominal - weight).detach()) * share

    def rounded(self, weight: Tensor) -> Tensor:
        """Return the nominal level of each weight."""
        levels = self.chip.levels
        if levels is None:
            return weight
        if self.chip.stochastic_rounding:
            self._draw()
        scale = self.scale(weight, levels)
        return torch.floor(weight / scale + self.dither).clamp(-levels, levels) * scale

    def scale(self, weight: Tensor, levels: int) -> Tensor:
        """Return the distance between levels, which multiplies weights."""
        if isinstance(self.chip.scale, int | float):
            return torch.as_tensor(float(self.chip.scale), dtype=weight.dtype, device=weight.device)
        kept = 1 if self.chip.scale == "neuron" else 0
        largest = weight.detach().abs().amax(tuple(range(kept, weight.ndim)), keepdim=True)
        return torch.where(largest > 0, largest / levels, torch.ones_like(largest))

    def _draw(self) -> None:
        """Draw for the next rounding where the stored weights were written to; queries around them share a draw."""
        stored = masks.own_parameter(self._layer[0])
        if not isinstance(stored, nn.Parameter) or stored._version == self._written:
            return
        drawn = stream(self.rng, "rounding", self.name, self._writes).random(tuple(self.dither.shape))
        self.dither = torch.from_numpy(drawn).to(self.dither)
        self._written, self._writes = stored._version, self._writes + 1


def mismatched(like: Tensor, mismatch: float, rng: int, *key: Any) -> Tensor:
    """Return factors exp(σξ − σ²/2), σ² = ln(1 + mismatch²): mean 1 and standard deviation ``mismatch``.

    >>> factors = mismatched(torch.zeros(100_000), 0.2, 0, "example")
    >>> round(float(factors.mean()), 2), round(float(factors.std()), 2)
    (1.0, 0.2)
    """
    sigma = math.sqrt(math.log1p(mismatch**2))
    drawn = stream(rng, "mismatch", *key).standard_normal(tuple(like.shape))
    return torch.exp(sigma * torch.from_numpy(drawn) - sigma**2 / 2).to(like)
