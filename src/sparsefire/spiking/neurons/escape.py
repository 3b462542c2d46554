"""Escape noise: the chance to fire as a function of how far the membrane is from threshold.

The laws of spike trains use it too, so torch is imported only where a tensor comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.spiking._numbers import array, choice, number

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

    >>> round(float(Escape(rate=100.0, width=2.0).hazard(2.0)), 3)
    271.828
    """

    rate: float = 100.0
    width: float = 0.2
    form: str = "exponential"

    def __post_init__(self) -> None:
        choice("form of escape noise", self.form, FORMS)
        number("the rate of escape noise", self.rate, unit="Hz")
        number("the width of escape noise", self.width)

    def hazard(self, distance: Any) -> Any:
        """Return ρ in Hz for v − threshold: of a tensor a tensor, of anything else float64."""
        given, exp, erf = _functions(distance)
        if self.form == "exponential":
            return self.rate * exp((given / self.width).clip(max=60.0))
        if self.form == "linear":
            return self.rate / self.width * given.clip(min=0)
        return self.rate * (1 + erf(given / self.width))

    def probability(self, distance: Any, dt: float) -> Any:
        """Return 1 − exp(−ρ dt), of the kind of ``distance``."""
        hazard, step = self.hazard(distance), number("dt", dt, zero=True, unit="seconds")
        return -(-hazard * step).expm1() if hasattr(hazard, "detach") else -np.expm1(-hazard * step)


def _functions(distance: Any) -> tuple[Any, Any, Any]:
    """Return the distance as a tensor or an array, and the exponential and error functions of its kind."""
    if hasattr(distance, "detach"):
        import torch

        return distance, torch.exp, torch.erf
    return array("a distance", distance), np.exp, special.erf
