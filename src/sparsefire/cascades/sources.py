"""Where a cascade starts: ids, a mask, or a chance for every unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError


@dataclass(frozen=True)
class Sources:
    """Units that may start a cascade, int64 [k], and the chance of each, float64 [k]; all others never do."""

    ids: np.ndarray
    chances: np.ndarray

    def dense(self, units: int) -> np.ndarray:
        """Return the chance of every unit, float64 [units].

        >>> read_sources([1], 3).dense(3).tolist()
        [0.0, 1.0, 0.0]
        """
        found = np.zeros(units)
        found[self.ids] = self.chances
        return found


def read_sources(sources: Any, units: int) -> Sources:
    """Read ``sources=``: whole numbers are ids, bools a mask [units], floats activation probabilities [units].

    None and an empty list name nobody; one float is the probability of every unit.

    Raises:
        UserError: ids that do not exist or come twice, a mask or probabilities of another length, a probability outside
            [0, 1] or NaN.

    >>> read_sources(np.array([True, False, True]), 3).ids.tolist()
    [0, 2]
    >>> read_sources([0.5, 0.0, 0.1], 3).chances.tolist()
    [0.5, 0.1]
    """
    given = np.asarray([] if sources is None else sources)
    given = np.full(units, given) if given.ndim == 0 and given.dtype.kind == "f" else np.atleast_1d(given)
    if given.shape == (0,):
        return Sources(np.empty(0, np.int64), np.empty(0))
    if given.ndim != 1:
        raise UserError("sources are one list.", came=f"shape {given.shape}", expected="ids, or one value per unit")
    if given.dtype.kind == "b" or given.dtype.kind == "f":
        if len(given) != units:
            kind = "a mask" if given.dtype.kind == "b" else "activation probabilities"
            raise UserError(
                f"{kind} must have one entry per unit.", came=f"{len(given):,} entries", expected=f"{units:,}"
            )
        wrong = np.flatnonzero(~((given >= 0) & (given <= 1)))
        if len(wrong):
            at = int(wrong[0])
            raise UserError(f"the probability of unit {at} is none.", came=f"{given[at]}", expected="0 to 1")
        ids = np.flatnonzero(given > 0)
        return Sources(ids.astype(np.int64), given[ids].astype(np.float64))
    if given.dtype.kind not in "iu":
        raise UserError("sources are ids, a mask or probabilities.", came=str(given.dtype), expected="numbers or bools")
    ids = given.astype(np.int64)
    wrong = np.flatnonzero((ids < 0) | (ids >= units))
    if len(wrong):
        raise UserError(
            f"there is no unit {ids[wrong[0]]}.", came=f"sources={ids[wrong[0]]}", expected=f"0 to {units - 1}"
        )
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        twice = int(found[counts > 1][0])
        raise UserError(f"unit {twice} is named twice among the sources.", came=f"{twice}", expected="each id once")
    return Sources(ids, np.ones(len(ids)))
