"""Threshold cascades: a unit becomes active when enough of its in-neighbours are (Watts, bootstrap percolation)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.closed_forms import complete_law_with, is_complete, like_chance
from sparsefire.cascades.exact.small import threshold_enumeration
from sparsefire.cascades.exact.solution import Solution, alike
from sparsefire.cascades.laws import ROUNDING, check_per_edge, check_thresholds, each_its_own, fixed, is_law, quantiles
from sparsefire.cascades.model import CascadeModel, checked_units
from sparsefire.cascades.sampling.runs import Record, Runner
from sparsefire.cascades.sources import Sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

MOST_PATTERNS = 2**16  # combinations of thresholds that are enumerated
MOST_COMPLETE = 1000  # units of a complete graph up to which ``auto`` takes the O(n³) chain
CELLS = 4_000_000  # thresholds drawn at once


@dataclass(frozen=True, eq=False)
class Threshold(CascadeModel):
    """A unit becomes active when the load that its active in-neighbours put on it reaches its threshold.

    Watts 2002, doi:10.1073/pnas.082090499; Burkholz, Garas & Schweitzer 2016, arXiv:1503.00925 (diversification);
    bootstrap percolation: ``load=1.0`` and whole thresholds.

    Args:
        wiring: square.
        thresholds: a number, one per unit [n], or a frozen law of ``scipy.stats`` (with parameters for all, or [n] for
            each) from which every unit draws its own in every run. A unit whose threshold is 0 or less is active from
            the start.
        load: ``"exposure"``: every active in-neighbour of unit i puts 1 / in-degree(i) on it, so the load is the share
            of active in-neighbours; ``"damage"``: unit j puts 1 / out-degree(j) on each of its receivers; or the loads
            themselves, 0 or more, one number or one per edge in the order in which edges were given.

    Raises:
        UserError: thresholds that are NaN or of another length, loads that are negative or not finite.

    >>> ring = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0], directed=False)
    >>> Threshold(ring, 0.5).sample([0], runs=1).sizes.tolist()
    [4]
    >>> from scipy import stats
    >>> path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    >>> Threshold(path, stats.norm(0.4, 0.25)).size_distribution().pmf.round(6).tolist()
    [0.754432, 0.03798, 0.054454, 0.059144, 0.001439, 0.09255]
    """

    wiring: Wiring
    thresholds: Any
    load: Any = "exposure"

    def __post_init__(self) -> None:
        units = checked_units(self.wiring)
        object.__setattr__(self, "thresholds", fixed(self.thresholds, "thresholds"))
        object.__setattr__(self, "load", fixed(self.load, "load"))
        check_thresholds(self.thresholds, units, "threshold")
        if isinstance(self.load, str):
            if self.load not in ("exposure", "damage"):
                raise UserError(
                    f"there is no load {self.load!r}.", came=repr(self.load), expected='"exposure", "damage" or numbers'
                )
            return
        loads = np.asarray(self.load, dtype=np.float64)
        check_per_edge(loads, "load", np.finfo(float).max, "0 or more, finite")
        self.wiring.per_arc(loads, "load")

    @cached_property
    def _step(self) -> np.ndarray | None:
        """Load per active in-neighbour [n], if all those of a unit put the same on it; else None."""
        if isinstance(self.load, str) and self.load == "exposure":
            return 1.0 / np.maximum(self.wiring.in_degrees, 1)
        most, least = np.zeros(self.wiring.units), np.full(self.wiring.units, np.inf)
        np.maximum.at(most, self.wiring.receivers, self._loads)
        np.minimum.at(least, self.wiring.receivers, self._loads)
        return most if (least >= most)[self.wiring.in_degrees > 0].all() else None

    @cached_property
    def _loads(self) -> np.ndarray:
        if isinstance(self.load, str):
            if self.load == "damage":
                return 1.0 / self.wiring.out_degrees[self.wiring.senders]
            return (1.0 / np.maximum(self.wiring.in_degrees, 1))[self.wiring.receivers]
        return self.wiring.per_arc(self.load, "load")

    @cached_property
    def _needs(self) -> np.ndarray:
        """Active in-neighbours that each unit needs where thresholds are given, int32 [n]."""
        theta = np.broadcast_to(np.asarray(self.thresholds, dtype=np.float64), (self.wiring.units,))
        step = np.asarray(self._step)
        with np.errstate(divide="ignore", invalid="ignore"):
            needs = np.ceil(theta * (1 - ROUNDING) / step)
        needs = np.where(theta <= 0, 0.0, np.where(step > 0, needs, np.inf))
        return np.minimum(needs, 2.0**31 - 1).astype(np.int32)

    def responses(self) -> list[np.ndarray]:
        """Return P(threshold of unit i ≤ load of m active in-neighbours), m = 0 … in-degree, one array per unit.

        Raises:
            UserError: in-neighbours that put different loads on a unit: then their number is not enough.
        """
        if self._step is None:
            raise UserError(
                "the number of active in-neighbours does not tell the load.",
                came=f"load={self.load!r}" if isinstance(self.load, str) else "loads that differ",
                expected='load="exposure", or in-neighbours that put the same load on a unit',
                attempt='method="monte-carlo"',
            )
        degrees, step = self.wiring.in_degrees, self._step
        if not is_law(self.thresholds):
            return [(np.arange(k + 1) >= need).astype(np.float64) for k, need in zip(degrees, self._needs, strict=True)]
        if each_its_own(self.thresholds):
            found = [np.empty(k + 1) for k in degrees]
            for m in range(int(degrees.max()) + 1):
                met = np.asarray(self.thresholds.cdf(self._loads_of(m, degrees, step)), dtype=np.float64)
                for unit in np.flatnonzero(degrees >= m):
                    found[unit][m] = met[unit]
            return found
        kinds, which = np.unique(np.stack([degrees, step]), axis=1, return_inverse=True)
        rows = [
            np.asarray(self.thresholds.cdf(self._loads_of(np.arange(k + 1), k, each)), dtype=np.float64)
            for k, each in zip(kinds[0].astype(np.int64), kinds[1], strict=True)
        ]
        return [rows[kind] for kind in which.ravel()]

    def _loads_of(self, active: Any, degrees: Any, step: Any) -> np.ndarray:
        """Return the load of so many active in-neighbours, which reaches what it misses by rounding alone."""
        if isinstance(self.load, str) and self.load == "exposure":
            return active / np.maximum(degrees, 1)
        return active * step * (1 + ROUNDING)

    def _runner(self, start: Sources) -> Runner:
        from sparsefire.cascades.sampling.thresholds import GIVEN, TABLE, counted, loaded

        wiring, law = self.wiring, is_law(self.thresholds)
        if self._step is not None and not each_its_own(self.thresholds):
            degrees, none = wiring.in_degrees.astype(np.int32), np.empty(0, np.int64)
            if law:
                rows, table = _packed(self.responses())
                kind, needs, eager = TABLE, none.astype(np.int32), np.flatnonzero(table[rows] > 0)
            else:
                rows, table, kind, needs = none, np.empty(0), GIVEN, self._needs
                eager = np.flatnonzero(needs <= 0)

            def count(first: int, runs: int, key: np.uint64, record: Record) -> None:
                counted(
                    wiring.starts, wiring.receivers, kind, degrees, needs, rows, table, eager, start.ids, start.chances,
                    first, runs, key, record,
                )  # fmt: skip

            return count

        def load(first: int, runs: int, key: np.uint64, record: Record) -> None:
            few = max(1, CELLS // wiring.units) if law else runs
            for low in range(0, runs, few):
                part = slice(low, min(low + few, runs))
                loaded(
                    wiring.starts, wiring.receivers, self._loads, self._drawn(first + low, part.stop - low, key),
                    start.ids, start.chances, first + low, part.stop - low, key, record.part(part),
                )  # fmt: skip

        return load

    def _drawn(self, first: int, runs: int, key: np.uint64) -> np.ndarray:
        """Return thresholds [runs, n], or [1, n] where they are given; those of a run depend on its number alone."""
        if not is_law(self.thresholds):
            theta = np.broadcast_to(np.asarray(self.thresholds, dtype=np.float64), (1, self.wiring.units))
        else:
            from sparsefire.cascades.sampling.streams import uniforms

            theta = quantiles(self.thresholds, uniforms(self.wiring.units, first, runs, key))
        return theta * (1 - ROUNDING * np.sign(theta))

    def _forest(self, hurry: bool) -> bool:
        return self._step is not None and super()._forest(hurry)

    def _responses_from(self, chances: np.ndarray) -> list[np.ndarray]:
        return [p + (1 - p) * r for p, r in zip(chances, self.responses(), strict=True)]

    def _exact(self, chances: np.ndarray, hurry: bool) -> Solution | None:
        if not is_law(self.thresholds) and np.isin(chances, (0.0, 1.0)).all():
            return self._settled(chances)
        if self._step is None:
            return None
        one_law = np.ndim(self.thresholds) == 0 and not each_its_own(self.thresholds) and np.ptp(self._step) == 0
        p = like_chance(chances)
        if one_law and p is not None and is_complete(self.wiring) and (not hurry or len(chances) <= MOST_COMPLETE):
            sure = chances == 1
            return alike(complete_law_with(int(sure.sum()), p + (1 - p) * self.responses()[0]), sure)
        if self._forest(hurry):
            return self._tree(chances)
        if np.log(self.wiring.in_degrees + 2.0).sum() > np.log(MOST_PATTERNS):
            return None
        return threshold_enumeration(self.wiring, self._responses_from(chances))

    def _solvable(self, chances: np.ndarray) -> str:
        return (
            "in-neighbours that put the same load on a unit, and a forest, a complete graph of like units or at most "
            f"{MOST_PATTERNS:,} combinations of thresholds; or given thresholds and sure sources"
        )

    def _tree(self, chances: np.ndarray) -> Solution:
        from sparsefire.cascades.exact.conditional import hard_given_size, threshold_marginals_given_size
        from sparsefire.cascades.exact.threshold_tree import threshold_marginals, threshold_tree_law

        cascade = self.wiring, self._responses_from(chances)
        return Solution(
            "tree",
            lambda: threshold_tree_law(*cascade),
            lambda size: (
                threshold_marginals(*cascade) if size is None else threshold_marginals_given_size(*cascade, size)
            ),
            lambda size: hard_given_size(self.wiring, size, counts=True),
        )

    def _tree_approximation(self, chances: np.ndarray) -> SizeDistribution:
        from sparsefire.cascades.approximate.spanning_tree import tree_approximation_threshold

        return tree_approximation_threshold(self.wiring, self._responses_from(chances))

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        from sparsefire.cascades.approximate.cavity_thresholds import cavity_marginals_threshold

        return cavity_marginals_threshold(self.wiring, self._responses_from(chances))


def _packed(responses: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the row of every unit begins in one table that holds each different row once."""
    begin: dict[int, int] = {}
    rows, table, length = np.empty(len(responses), np.int64), [], 0
    for i, row in enumerate(responses):
        if id(row) not in begin:
            begin[id(row)] = length
            table.append(row)
            length += len(row)
        rows[i] = begin[id(row)]
    return rows, np.concatenate(table)
