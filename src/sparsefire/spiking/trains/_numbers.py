"""Checks of arguments that the files of this room share."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking.spikes import Spikes


def number(name: str, value: Any, *, zero: bool = False, unit: str = "") -> float:
    """Return a finite number above 0 (or from 0 on)."""
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or value < 0 or (value == 0 and not zero):
        limits = "0 or more" if zero else "above 0"
        raise UserError(f"{name} is out of range.", came=repr(value), expected=f"{limits} {unit}".strip())
    return float(value)


def finite(name: str, value: Any) -> float:
    """Return a finite number of either sign."""
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(value):
        raise UserError(f"{name} is no number.", came=repr(value), expected="a finite number")
    return float(value)


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of ``least`` or more."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is a whole number.", came=repr(value), expected=f"{least} or more")
    return int(value)


def trains_of(given: Any) -> Spikes:
    """Return spikes, from spikes or from a run of a simulation, which holds them."""
    found = getattr(given, "spikes", given)
    if not isinstance(found, Spikes):
        raise UserError(
            "these are no spikes.", came=type(given).__name__, expected="Spikes, or a run of a simulation",
            attempt="sf.spiking.Spikes(times, units, n_units=…, duration=…)",
        )  # fmt: skip
    return found
