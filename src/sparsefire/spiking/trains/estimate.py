"""An estimate from one recording, with its error from the recording cut into blocks of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import finite, whole
from sparsefire.statistics._check import confidence_checked

BLOCKS = 40
FEWEST = 6


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A statistic of each unit (or window, or pair) of a recording, with standard errors.

    Attributes:
        value: float64, of the shape that the statistic has; nan where there is too little to tell.
        error: standard errors, of the same shape.
        n: how many spikes, intervals or windows each value rests on, of the same shape.
        blocks: of time, left out one after the other.
        scale: on which intervals are symmetric: ``"log"``, ``"fisher"`` or ``"plain"``.
    """

    value: np.ndarray
    error: np.ndarray
    n: np.ndarray
    blocks: int
    scale: str = "plain"

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) by Student's t with blocks − 1 degrees of freedom.

        Args:
            level: confidence in (0, 1).
        """
        half = (
            float(special.stdtrit(self.blocks - 1, 0.5 + confidence_checked(finite("level", level)) / 2)) * self.error
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.scale == "log":
                factor = np.exp(half / self.value)
                found = self.value / factor, self.value * factor
            elif self.scale == "fisher":
                inside = np.clip(self.value, -1 + 1e-12, 1 - 1e-12)
                wide = half / (1 - inside**2)
                found = np.tanh(np.arctanh(inside) - wide), np.tanh(np.arctanh(inside) + wide)
            else:
                found = self.value - half, self.value + half
        return np.where(self.error == 0, self.value, found[0]), np.where(self.error == 0, self.value, found[1])

    def __repr__(self) -> str:
        known = self.value[np.isfinite(self.value)]
        if not known.size:
            return "Estimate(nothing to tell)"
        if known.size > 1:
            return f"Estimate({known.size:,} values, median {np.median(known):.4g})"
        low, high = (float(np.ravel(end[np.isfinite(self.value)])[0]) for end in self.interval())
        return f"Estimate({known.ravel()[0]:.4g}, {low:.4g} to {high:.4g})"


def block_count(blocks: Any) -> int:
    """Return a number of blocks that gives an error."""
    return whole("blocks", blocks, FEWEST)


def from_blocks(
    sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], n: np.ndarray, scale: str = "plain"
) -> Estimate:
    """Return a statistic of sums with its error by leaving out blocks (Künsch 1989, doi:10.1214/aos/1176347265).

    Args:
        sums: float64 [blocks, features, …]: what adds up over time.
        statistic: takes sums [features, …], or many at once [any, features, …], and returns values.
        n: sample sizes.
        scale: of the interval.
    """
    if len(sums) < 2:
        raise UserError("one block has no error.", came=f"{len(sums)} blocks", expected=f"{FEWEST} or more")
    total = sums.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = statistic(total[None])[0]
        without = statistic(total[None] - sums)
        error = np.sqrt((len(sums) - 1) / len(sums) * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return Estimate(np.asarray(value), np.asarray(error), np.asarray(n), len(sums), scale)
