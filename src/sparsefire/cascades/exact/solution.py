"""One exact way to a cascade, whatever it is: the law of the size, and who is active, each found when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False)
class Solution:
    """What a way to solve a cascade exactly has to say.

    Attributes:
        method: what it is called.
        law: returns the law of the final size.
        active: returns P(unit is active in the end) for None, P(unit is active | ``size`` units are) for a size [n].
        hard: returns whether the latter takes minutes or gigabytes.
    """

    method: str
    law: Callable[[], SizeDistribution]
    active: Callable[[int | None], np.ndarray]
    hard: Callable[[int], bool] = lambda size: False


def impossible(size: object) -> UserError:
    """Return what is said of a size that no cascade ends with."""
    return UserError("this size is impossible.", came=f"size={size!r}", expected="a size with P(C = size) > 0")


def alike(law: SizeDistribution, sure: np.ndarray) -> Solution:
    """Return what a law says of units that are alike, but for those that are active for sure (bools [n]).

    Of k active units, s of which are sure, the others are any: each is one of them with probability (k - s) / (n - s).

    >>> law = SizeDistribution.from_pmf([0, 0.5, 0.25, 0.25], "exact")
    >>> alike(law, np.array([False, True, False])).active(2).tolist()
    [0.5, 1.0, 0.5]
    """

    def active(size: int | None) -> np.ndarray:
        if size is not None and law.log_pmf[size] == -np.inf:
            raise impossible(size)
        others = law.mean() if size is None else size
        share = (others - sure.sum()) / max(1, (~sure).sum())
        return np.where(sure, 1.0, min(1.0, max(0.0, share)))

    return Solution(law.method, lambda: law, active)


def settled(active: np.ndarray) -> Solution:
    """Return what there is to say where nothing is left to chance, and these units (bools [n]) are active.

    >>> settled(np.array([True, False, True])).law().pmf.tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    pmf = np.zeros(len(active) + 1)
    pmf[int(active.sum())] = 1.0
    law = SizeDistribution.from_pmf(pmf, "deterministic")

    def found(size: int | None) -> np.ndarray:
        if size is not None and pmf[size] == 0:
            raise impossible(size)
        return active.astype(np.float64)

    return Solution(law.method, lambda: law, found)
