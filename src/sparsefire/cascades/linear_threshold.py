"""The linear threshold model: influence adds up, and every unit has a random threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.small import live_enumeration
from sparsefire.cascades.exact.solution import Solution
from sparsefire.cascades.laws import check_per_edge, fixed
from sparsefire.cascades.model import CascadeModel, checked_units
from sparsefire.cascades.sampling.runs import Record, Runner
from sparsefire.cascades.sources import Sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

ROUNDING = 1e-6  # by which influences may add up to more than 1; they are divided by their sum then
MOST_PATTERNS = 2**16  # ways to choose who each unit listens to that are enumerated


@dataclass(frozen=True, eq=False)
class LinearThreshold(CascadeModel):
    """A unit becomes active when the influence of its active in-neighbours reaches its threshold, uniform on (0, 1].

    Granovetter 1978, doi:10.1086/226707; Kempe, Kleinberg, Tardos 2003, doi:10.1145/956750.956769. Equivalent: every
    unit listens to at most one in-neighbour, to u with probability influence(u, v), and follows it.

    Args:
        wiring: square.
        influence: in [0, 1], one per edge in the order in which edges were given (or one for all), adding up to at most
            1 over the arcs that reach a unit; None: 1 / in-degree.

    Raises:
        UserError: influence outside [0, 1] or NaN, or units on which more than 1 acts in all.

    >>> path = Wiring.from_edges([0, 1], [1, 2], directed=False)
    >>> LinearThreshold(path).size_distribution([0]).pmf.round(12).tolist()
    [0.0, 0.5, 0.0, 0.5]
    """

    wiring: Wiring
    influence: Any = None

    may_start_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checked_units(self.wiring)
        object.__setattr__(self, "influence", fixed(self.influence, "influence"))
        if self.influence is None:
            return
        given = np.asarray(self.influence, dtype=np.float64)
        check_per_edge(given, "influence", 1.0, "0 to 1")
        total = self._total
        over = np.flatnonzero(total > 1 + ROUNDING)
        if len(over):
            unit = int(over[np.argmax(total[over])])
            raise UserError(
                f"unit {self.wiring.name(unit)} is acted on with more than 1 in all.",
                came=f"influences that add up to {total[unit]:.9g} ({len(over):,} such units)",
                expected="at most 1 over the arcs that reach a unit",
                attempt="influence=None, which gives every arc 1 / in-degree",
            )

    @cached_property
    def weights(self) -> np.ndarray:
        """Influence of every arc, float64 [arcs], in the order of the wiring's rows."""
        if self.influence is None:
            return 1.0 / self.wiring.in_degrees[self.wiring.receivers]
        return self.wiring.per_arc(self.influence, "influence") / np.maximum(self._total, 1)[self.wiring.receivers]

    @cached_property
    def _total(self) -> np.ndarray:
        return np.bincount(self.wiring.receivers, self.wiring.per_arc(self.influence, "influence"), self.wiring.units)

    @cached_property
    def weights_in(self) -> np.ndarray:
        """The same in the order of the rows of ``wiring.transpose``."""
        if self.influence is None:
            degrees = self.wiring.in_degrees
            return np.repeat(1.0 / np.maximum(degrees, 1), degrees)
        turned = self.wiring.transpose
        return turned.per_arc(self.influence, "influence") / np.maximum(self._total, 1)[turned.senders]

    @cached_property
    def _by_arc(self) -> Wiring:
        """The wiring, every arc an edge of its own: the two directions of an edge may have different weights."""
        return replace(self.wiring, given=np.arange(self.wiring.arcs), edges=self.wiring.arcs)

    def _runner(self, start: Sources) -> Runner:
        from sparsefire.cascades.sampling.thresholds import UNIFORM, counted, loaded

        wiring, none = self.wiring, np.empty(0, np.int64)
        if self.influence is None:
            degrees = wiring.in_degrees.astype(np.int32)

            def count(first: int, runs: int, key: np.uint64, record: Record) -> None:
                counted(
                    wiring.starts, wiring.receivers, UNIFORM, degrees, none.astype(np.int32), none, np.empty(0), none,
                    start.ids, start.chances, first, runs, key, record,
                )  # fmt: skip

            return count
        drawn = np.empty((0, 0))

        def load(first: int, runs: int, key: np.uint64, record: Record) -> None:
            loaded(
                wiring.starts, wiring.receivers, self.weights, drawn, start.ids, start.chances, first, runs, key, record
            )

        return load

    def _exact(self, chances: np.ndarray, hurry: bool) -> Solution | None:
        if self._forest(hurry):
            return self._tree(chances)
        return live_enumeration(self.wiring, self.weights, chances, MOST_PATTERNS)

    def _solvable(self, chances: np.ndarray) -> str:
        return f"a forest, or at most {MOST_PATTERNS:,} ways to choose who each unit listens to and who starts"

    def _tree(self, chances: np.ndarray) -> Solution:
        from sparsefire.cascades.exact.conditional import hard_given_size, live_marginals_given_size
        from sparsefire.cascades.exact.live_tree import live_marginals, live_tree_law

        cascade = self._by_arc, self.weights, chances
        return Solution(
            "tree",
            lambda: live_tree_law(*cascade),
            lambda size: live_marginals(*cascade) if size is None else live_marginals_given_size(*cascade, size),
            lambda size: hard_given_size(self.wiring, size),
        )

    def _tree_approximation(self, chances: np.ndarray) -> SizeDistribution:
        from sparsefire.cascades.approximate.spanning_tree import tree_approximation_live

        return tree_approximation_live(self._by_arc, self.weights, chances)

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        from sparsefire.cascades.approximate.cavity import cavity_marginals_live

        return cavity_marginals_live(self._by_arc, self.weights, chances)
