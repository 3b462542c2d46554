"""What a chip allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from sparsefire.errors import UserError

SCALES = ("neuron", "layer")
PER_CORE = ("synapses_per_core", "neurons_per_core", "bytes_per_core")


@dataclass(frozen=True)
class Chip:
    """The constraints of a neuromorphic chip, for :func:`~sparsefire.spiking.constrain`.

    Args:
        weight_bits: of a stored weight, 2 to 16: levels −(2^(bits−1) − 1) … 2^(bits−1) − 1 times a scale; None stores
            numbers as they are.
        scale: of a level: ``"neuron"`` the largest weight of each neuron over the number of positive levels,
            ``"layer"`` that of the layer, or a number, beyond whose range weights are clipped.
        stochastic_rounding: round up with the probability of the remainder, which is right on average, once each time
            weights are written; False rounds to the nearest level.
        fan_in: the most synapses that a neuron can have; the largest weights stay.
        mismatch: relative standard deviation of devices: each weight, time constant (every parameter that begins with
            ``tau``) and threshold has its own fixed factor, log-normal with mean 1. That of a threshold multiplies its
            distance from v_reset, or from v_leak where the reset is soft or there is none. What is one number for all
            neurons by construction, an :class:`~sparsefire.spiking.Adaptation`, stays.
        drift: ν of the law (t/t₀)^(−ν) by which weights fade after they were written
            (Joshi et al. 2020, doi:10.1038/s41467-020-16108-9); ν differs between devices as ``mismatch`` says.
        backward: False refuses back-propagation through the network; a layer's own derivative by its weights stays.
        synapses_per_core, neurons_per_core: what a core holds; None has no limit.
        bytes_per_core: memory of a core for weights, each of ``weight_bits``, or 32 bits where that is None; None has
            no limit.
        cores: how many the chip has; None for as many as a network needs. Only with a limit of what a core holds.

    Raises:
        UserError: for numbers out of range, a number of cores that hold any amount.

    >>> Chip(weight_bits=4, mismatch=0.1).levels
    7
    """

    weight_bits: int | None = 4
    scale: str | float = "neuron"
    stochastic_rounding: bool = False
    fan_in: int | None = None
    mismatch: float = 0.0
    drift: float = 0.0
    backward: bool = True
    synapses_per_core: int | None = None
    neurons_per_core: int | None = None
    bytes_per_core: int | None = None
    cores: int | None = None

    def __post_init__(self) -> None:
        bits = self.weight_bits
        if bits is not None and (not _whole(bits) or not 2 <= bits <= 16):
            raise UserError("weight_bits is out of range.", came=repr(bits), expected="2 to 16, or None")
        word = isinstance(self.scale, str)
        if self.scale not in SCALES if word else not _number(self.scale) or self.scale <= 0:  # type: ignore[operator]
            raise UserError(
                "no such scale of weights.", came=repr(self.scale), expected='"neuron", "layer" or a number above 0'
            )
        for name in ("fan_in", *PER_CORE, "cores"):
            value = getattr(self, name)
            if value is not None and (not _whole(value) or value < 1):
                raise UserError(f"{name} is out of range.", came=repr(value), expected="1 or more, or None")
        if self.cores is not None and not self.limited:
            raise UserError(
                "how many cores a network needs depends on what one holds.", came=f"cores={self.cores} alone",
                expected=f"one of {', '.join(PER_CORE)}",
            )  # fmt: skip
        for name in ("mismatch", "drift"):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value <= 1:
                raise UserError(f"{name} is out of range.", came=repr(value), expected="0 to 1")
        for name in ("stochastic_rounding", "backward"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} is yes or no.", came=repr(getattr(self, name)), expected="True or False")

    @property
    def levels(self) -> int | None:
        """How many positive levels a weight has."""
        return None if self.weight_bits is None else 2 ** (self.weight_bits - 1) - 1

    @property
    def limited(self) -> bool:
        """Whether a core holds only so much."""
        return any(getattr(self, name) is not None for name in PER_CORE)

    @property
    def most_synapses(self) -> int | None:
        """How many synapses a core holds, by their number and by their bytes; None for any number.

        >>> [Chip(weight_bits=bits, bytes_per_core=128).most_synapses for bits in (4, None)]
        [256, 32]
        """
        limits = [] if self.synapses_per_core is None else [self.synapses_per_core]
        if self.bytes_per_core is not None:
            limits.append(8 * self.bytes_per_core // self.stored_bits)
        return min(limits, default=None)

    @property
    def stored_bits(self) -> int:
        """Bits that a weight takes in the memory of a core."""
        return 32 if self.weight_bits is None else self.weight_bits


def chip_of(chip: Chip | None, limits: dict[str, Any]) -> Chip:
    """Return a chip with some of its limits replaced."""
    if chip is not None and not isinstance(chip, Chip):
        raise UserError("constraints are those of a Chip.", came=type(chip).__name__, expected="Chip(weight_bits=4, …)")
    known = [field.name for field in fields(Chip)]
    unknown = [name for name in limits if name not in known]
    if unknown:
        raise UserError("no such constraint.", came=repr(unknown[0]), expected=", ".join(known))
    return replace(Chip() if chip is None else chip, **limits)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
