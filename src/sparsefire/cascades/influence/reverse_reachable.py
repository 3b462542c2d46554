"""Reverse-reachable sets: who would have reached a random unit.

A set is drawn by choosing a unit uniformly and collecting all units from which open arcs lead to it. Then

    E (final size from sources S) = n P(S meets the set)                     Borgs et al. 2014, arXiv:1212.0884

so one collection of sets prices every S. Independent cascades open each arc by itself; in the linear threshold model
with uniform thresholds each unit listens to at most one arc, chosen with its influence (Kempe, Kleinberg, Tardos 2003,
doi:10.1145/956750.956769), and the set is a walk backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.cascades.sampling.runs import each_block


@dataclass(frozen=True, eq=False)
class Backwards:
    """A model read against its arcs; ``kind`` and ``numbers`` as of the kernel.

    Attributes:
        kind: JUMPS, ARCS or WALK.
        starts, senders: who acts on each unit, int64 [n + 1] and int32 [arcs].
        numbers: float64, per unit or per arc.
    """

    kind: int
    starts: np.ndarray
    senders: np.ndarray
    numbers: np.ndarray

    @property
    def units(self) -> int:
        """Return the number of units."""
        return len(self.starts) - 1


def backwards(model: Any) -> Backwards | None:
    """Return the model read against its arcs, or None if its spread is no matter of open arcs."""
    from sparsefire.cascades.influence import _kernels as kernels  # late: it loads numba

    wiring = model.wiring.transpose
    if isinstance(model, IndependentCascade):
        chances = wiring.per_arc(model.probability)
        shared = np.zeros(wiring.shape[0])  # one probability for all arcs into a unit?
        rows = np.flatnonzero(wiring.out_degrees)
        shared[rows] = chances[wiring.starts[rows]]
        kind = kernels.JUMPS if np.array_equal(chances, np.repeat(shared, wiring.out_degrees)) else kernels.ARCS
        with np.errstate(divide="ignore"):
            prices = -np.log1p(-(shared if kind == kernels.JUMPS else chances))
        return Backwards(kind, wiring.starts, wiring.receivers, prices)
    if isinstance(model, LinearThreshold):
        totals = kernels.running_totals(wiring.starts, model.weights_in)
        return Backwards(kernels.WALK, wiring.starts, wiring.receivers, totals)
    return None


def reverse_sets(
    reading: Backwards, count: int, key: np.uint64, workers: int | None = 1, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the sets ``first`` … ``first + count - 1`` of a key.

    Returns:
        ends int64 [count] and members int32: set r is ``members[ends[r - 1]:ends[r]]``.

    >>> from sparsefire.wiring.graph import Wiring
    >>> reading = backwards(IndependentCascade(Wiring.from_edges([0, 1], [1, 2]), 1.0))
    >>> ends, members = reverse_sets(reading, 100, np.uint64(1))
    >>> sorted(set(np.diff(ends, prepend=0).tolist())), members[: ends[0]].tolist()
    ([1, 2, 3], [0])
    """
    from sparsefire.cascades.influence._kernels import reverse_sets as draw

    def block(start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        return draw(reading.kind, reading.starts, reading.senders, reading.numbers, first + start, size, key)

    ends, members = zip(*each_block(block, count, workers), strict=True)
    return joined(list(ends), list(members))


def joined(ends: list[np.ndarray], members: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return several collections of sets as one."""
    offsets = np.cumsum([0] + [len(part) for part in members[:-1]])
    return np.concatenate([part + offset for part, offset in zip(ends, offsets, strict=True)]), np.concatenate(members)


def first_met(
    reading: Backwards, sources: np.ndarray, count: int, key: np.uint64, workers: int | None = 1
) -> np.ndarray:
    """Return of sets 0 … ``count - 1`` of a key how many each source is the first to meet, int64 [sources].

    n / count times their running total estimates the spread of the first source, the first two, and so on. The sets
    are not kept.
    """
    from sparsefire.cascades.influence._kernels import first_met as meet

    rank = np.full(reading.units, len(sources), np.int32)
    rank[sources] = np.arange(len(sources))

    def block(start: int, size: int) -> np.ndarray:
        return meet(
            reading.kind, reading.starts, reading.senders, reading.numbers, rank, len(sources), start, size, key
        )

    found = np.zeros(len(sources), np.int64)
    for met in each_block(block, count, workers):
        found += met
    return found
