"""Escape noise: the chance to fire as a function of how far the membrane is from threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsefire.errors import UserError

FORMS = ("exponential", "linear", "erf")


@dataclass(frozen=True)
class Escape:
    """The hazard ρ(v − threshold) of a neuron with escape noise (Gerstner et al. 2014, Neuronal Dynamics, section 9.1).

    With x = v − threshold: ``"exponential"`` ρ₀ exp(x/Δ), ``"linear"`` ρ₀ max(x, 0)/Δ, ``"erf"`` ρ₀ (1 + erf(x/Δ)).
    In a step of dt a neuron fires with probability 1 − exp(−ρ dt).

    Args:
        rate: ρ₀ in Hz, above 0.
        width: Δ in units of v, above 0.
        form: ``"exponential"``, ``"linear"`` or ``"erf"``.

    >>> round(float(Escape(rate=100.0, width=2.0).hazard(torch.tensor(2.0))), 3)
    271.828
    """

    rate: float = 100.0
    width: float = 0.2
    form: str = "exponential"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UserError("no such form of escape noise.", came=repr(self.form), expected=", ".join(FORMS))
        for name in ("rate", "width"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
                raise UserError(f"escape noise needs a {name}.", came=repr(value), expected="a number above 0")

    def hazard(self, distance: Tensor) -> Tensor:
        """Return ρ in Hz for v − threshold."""
        if self.form == "exponential":
            return self.rate * torch.exp((distance / self.width).clamp(max=60.0))
        if self.form == "linear":
            return self.rate / self.width * distance.clamp(min=0)
        return self.rate * (1 + torch.erf(distance / self.width))

    def probability(self, distance: Tensor, dt: float) -> Tensor:
        """Return 1 − exp(−ρ dt)."""
        return -torch.expm1(-self.hazard(distance) * dt)
