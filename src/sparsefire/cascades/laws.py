"""Thresholds and capacities: numbers, one per unit, or a frozen law of ``scipy.stats``."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError

ROUNDING = 1e-12  # loads that miss a threshold by this share of it reach it


def is_law(values: Any) -> bool:
    """Return whether this is a law with ``cdf`` and ``ppf`` (or ``icdf``), as those of ``scipy.stats``.

    >>> from scipy import stats
    >>> is_law(stats.norm(0.4, 0.25)), is_law(0.18)
    (True, False)
    """
    return hasattr(values, "cdf") and (hasattr(values, "ppf") or hasattr(values, "icdf"))


def quantiles(law: Any, chances: Any) -> np.ndarray:
    """Return the smallest values that the law is at most with these chances, of the same shape.

    >>> from scipy import stats
    >>> quantiles(stats.uniform(0, 2), [0.5, 1.0]).tolist()
    [1.0, 2.0]
    """
    return np.asarray(law.ppf(chances) if hasattr(law, "ppf") else law.icdf(chances), dtype=np.float64)


def fixed(values: Any, name: str) -> Any:
    """Return parameters as a number or a read-only copy, so that nobody changes a model; laws and words as they are."""
    if values is None or isinstance(values, str) or is_law(values):
        return values
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the {name} is no number.", came=repr(values)[:80], expected="numbers") from error
    if not found.ndim:
        return float(found)
    found.setflags(write=False)
    return found


def each_its_own(values: Any) -> bool:
    """Return whether a law has parameters for every unit."""
    return is_law(values) and np.ndim(quantiles(values, 0.5)) > 0


def per_unit(values: Any, units: int, name: str, expected: str = "a number, or one per unit") -> np.ndarray:
    """Return float64 [units], new and contiguous, from one number or one per unit, or say what is wrong.

    >>> per_unit(0.5, 2, "threshold").tolist()
    [0.5, 0.5]
    """
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the {name} is none.", came=repr(values)[:80], expected=expected) from error
    if given.ndim and given.shape != (units,):
        raise UserError(f"the {name} must be {expected}.", came=f"shape {given.shape}", expected=f"[{units:,}]")
    found = np.empty(units)
    found[:] = given
    return found


def check_per_edge(values: Any, name: str, most: float, expected: str) -> None:
    """Say which of some numbers, one or one per edge, is not in 0 … ``most``, if any.

    >>> check_per_edge([0.1, 1.5], "probability", 1.0, "0 to 1")
    Traceback (most recent call last):
    ...
    sparsefire.errors.UserError: the probability of edge 1 is none.
      came      1.5
      expected  0 to 1
    """
    given = np.atleast_1d(np.asarray(values, dtype=np.float64))
    wrong = np.flatnonzero(~((given.ravel() >= 0) & (given.ravel() <= most)))
    if len(wrong):
        at = int(wrong[0])
        where = f" of edge {at}" if np.ndim(values) else ""
        raise UserError(f"the {name}{where} is none.", came=f"{given.ravel()[at]}", expected=expected)


def check_thresholds(values: Any, units: int, name: str) -> None:
    """Say what is wrong with thresholds or capacities, if anything is.

    Raises:
        UserError: NaN (of which unit), another length, a law whose parameters it does not allow.
    """
    if not is_law(values):
        given = per_unit(values, units, name, "a number, one per unit, or a law with cdf and ppf")
        if np.isnan(given).any():
            at = int(np.flatnonzero(np.isnan(given))[0])
            raise UserError(f"the {name} of unit {at} is no number.", came="nan", expected="a number")
        return
    middle = quantiles(values, 0.5)
    if middle.shape not in ((), (units,)):
        raise UserError(
            f"a law of the {name} is one for all or one per unit.",
            came=f"parameters of shape {middle.shape}",
            expected=f"numbers or [{units:,}]",
        )
    if np.isnan(middle).any():
        raise UserError(f"the {name} has no law.", came="a median of nan", expected="parameters that it allows")
