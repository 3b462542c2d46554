"""Uniform numbers that depend on which sequence, step and unit they are for, never on who was drawn before.

The number of a unit is a value of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195) whose place in the
sequence is a hash of the key and of the sequence plus a count of steps and units. Plain integer arithmetic: the same on
every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire.randomness import integer

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def _shifted(z: Tensor, by: int) -> Tensor:  # without the sign: torch shifts it in
    return (z >> by) & ((1 << (64 - by)) - 1)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


class Noise:
    """Where a layer of neurons has its random numbers from.

    Args:
        rng: see :func:`sparsefire.randomness.entropy`.
        units: of the layer.

    Attributes:
        begun: how many sequences have begun, which is the number of the next one. All that a layer remembers.
    """

    def __init__(self, rng: Any, units: int) -> None:
        self.key = integer(rng, "neurons")
        self.units = units
        self.begun = 0

    def begin(self, batch: int, device: Any = None) -> Tensor:
        """Return int64 [batch, 2], the numbers of as many new sequences, and that they are at step 0."""
        first, self.begun = self.begun, self.begun + batch
        numbers = torch.arange(first, first + batch, device=device)
        return torch.stack([numbers, torch.zeros_like(numbers)], dim=1)

    def streams(self, drawn: Tensor) -> Tensor:
        """Return the place int64 [batch, units] of every unit's number in this step."""
        start = _mixed(self.key + _GOLDEN * drawn[:, 0]) + _GOLDEN * (self.units * drawn[:, 1])
        return start[:, None] + _GOLDEN * torch.arange(1, self.units + 1, device=drawn.device)

    def uniforms(self, places: Tensor, step: int) -> Tensor:
        """Return numbers in [0, 1), float64 [batch, units], for so many steps after that of ``places``."""
        ahead = (_GOLDEN * self.units * step + (1 << 63)) % (1 << 64) - (1 << 63)
        return _shifted(_mixed(places + ahead), 11).to(torch.float64) * 2.0**-53
