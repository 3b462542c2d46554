"""The independent cascade: a newly active unit gets one chance at each of its receivers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.closed_forms import complete_independent_law, is_complete, like_chance
from sparsefire.cascades.exact.small import independent_enumeration, uncertainty
from sparsefire.cascades.exact.solution import Solution, alike
from sparsefire.cascades.laws import check_per_edge, fixed
from sparsefire.cascades.model import CascadeModel, checked_units
from sparsefire.cascades.sampling.runs import Record, Runner
from sparsefire.cascades.sources import Sources
from sparsefire.wiring.graph import Wiring

MOST_COMPLETE = 1000  # units of a complete graph up to which ``auto`` takes the O(n³) chain
MOST_CHANCES = 16  # uncertain arcs and sources that are enumerated
LARGEST_JUMPED = 0.3  # up to this largest probability, jumps from success to success pay where arcs differ


@dataclass(frozen=True, eq=False)
class IndependentCascade(CascadeModel):
    """Each arc (u, v) is tried once, when u becomes active, and activates v with its probability.

    Goldenberg, Libai, Muller 2001, doi:10.1023/A:1011122126881; Kempe, Kleinberg, Tardos 2003,
    doi:10.1145/956750.956769. Equivalent: every arc is open or not, once for all, and a cascade is what sources reach.

    Args:
        wiring: square.
        probability: in [0, 1], one for all arcs or one per edge in the order in which edges were given.

    Raises:
        UserError: a probability outside [0, 1] or NaN, a wiring that is not square.

    >>> path = Wiring.from_edges([0, 1], [1, 2], directed=False)
    >>> model = IndependentCascade(path, 0.2)
    >>> model.size_distribution([0.1, 0.1, 0.1]).pmf.round(6).tolist()
    [0.729, 0.18144, 0.072, 0.01756]
    >>> bool(abs(model.sample([0], runs=4000, rng=0).sizes.mean() - 1.24) < 0.04)
    True
    """

    wiring: Wiring
    probability: Any

    may_start_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checked_units(self.wiring)
        object.__setattr__(self, "probability", fixed(self.probability, "probability"))
        values = np.asarray(self.probability, dtype=np.float64)
        check_per_edge(values, "probability", 1.0, "0 to 1")
        self.wiring.per_arc(values, "probability")

    @cached_property
    def _shared(self) -> float | None:
        values = np.unique(np.asarray(self.probability, dtype=np.float64))
        return float(values[0]) if len(values) == 1 else None

    @cached_property
    def _largest(self) -> float:
        return float(np.max(self.probability, initial=0.0))

    @cached_property
    def _shares(self) -> np.ndarray:
        """How likely each arc accepts what has the largest probability, in steps of 2^-53."""
        if self._shared is not None or self._largest == 0:
            return np.empty(0, np.uint64)
        return np.rint(self.wiring.per_arc(self.probability) / self._largest * 2.0**53).astype(np.uint64)

    @cached_property
    def _thresholds(self) -> np.ndarray:
        return np.rint(self.wiring.per_arc(self.probability) * 2.0**53).astype(np.uint64)

    def _runner(self, start: Sources) -> Runner:
        from sparsefire.cascades.sampling.independent import independent_each, independent_jumps

        wiring = self.wiring
        if self._shared is None and self._largest > LARGEST_JUMPED:

            def run(first: int, count: int, key: np.uint64, record: Record) -> None:
                independent_each(
                    wiring.starts, wiring.receivers, self._thresholds, start.ids, start.chances, first, count, key,
                    record,
                )  # fmt: skip

            return run

        def jump(first: int, count: int, key: np.uint64, record: Record) -> None:
            independent_jumps(
                wiring.starts, wiring.receivers, self._largest, self._shares, start.ids, start.chances, first, count,
                key, record,
            )  # fmt: skip

        return jump

    def _exact(self, chances: np.ndarray, hurry: bool) -> Solution | None:
        if self._forest(hurry):
            return self._tree(chances)
        if uncertainty(self.wiring, self.probability, chances) <= MOST_CHANCES:
            return independent_enumeration(self.wiring, self.probability, chances)
        units, shared, source = self.wiring.units, self._shared, like_chance(chances)
        if shared is None or source is None or (hurry and units > MOST_COMPLETE) or not is_complete(self.wiring):
            return None
        sure = chances == 1
        return alike(complete_independent_law(units, shared, source, int(sure.sum())), sure)

    def _solvable(self, chances: np.ndarray) -> str:
        found = uncertainty(self.wiring, self.probability, chances)
        return (
            "a forest, a complete graph of like units with one probability, or at most "
            f"{MOST_CHANCES} uncertain arcs and sources (here {found:,})"
        )

    def _tree(self, chances: np.ndarray) -> Solution:
        from sparsefire.cascades.exact.conditional import hard_given_size, marginals_given_size
        from sparsefire.cascades.exact.tree import marginals, tree_law

        cascade = self.wiring, self.probability, chances
        return Solution(
            "tree",
            lambda: tree_law(*cascade),
            lambda size: marginals(*cascade) if size is None else marginals_given_size(*cascade, size),
            lambda size: hard_given_size(self.wiring, size),
        )

    def _tree_approximation(self, chances: np.ndarray) -> SizeDistribution:
        from sparsefire.cascades.approximate.spanning_tree import tree_approximation

        return tree_approximation(self.wiring, self.probability, chances)

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        from sparsefire.cascades.approximate.cavity import cavity_marginals

        return cavity_marginals(self.wiring, self.probability, chances)
