"""The independent cascade: a newly active unit gets one chance at each of its receivers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.cascades.closed_forms import complete_independent_law, is_complete
from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.forest import is_forest
from sparsefire.cascades.small import enumerate_independent, uncertainty
from sparsefire.cascades.sources import read_sources
from sparsefire.cascades.tree import tree_law
from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers
from sparsefire.wiring.graph import Wiring

METHODS = ("auto", "exact", "tree", "monte-carlo")
MOST_CHANCES = 16  # uncertain arcs and sources that are enumerated
BLOCK = 4096  # runs handed out at once


@dataclass(frozen=True)
class Sample:
    """Sizes and durations of sampled cascades, int64 [runs]; a duration counts the steps after the sources."""

    sizes: np.ndarray
    durations: np.ndarray


@dataclass(frozen=True)
class IndependentCascade:
    """Each arc (u, v) is tried once, when u becomes active, and activates v with its probability.

    Goldenberg, Libai, Muller 2001, doi:10.1023/A:1011122126881; Kempe, Kleinberg, Tardos 2003,
    doi:10.1145/956750.956769. Equivalent: every arc is open or not, once for all, and a cascade is what sources reach.

    Args:
        wiring: square.
        probability: in [0, 1], one for all arcs or one per edge in the order in which edges were given.

    Raises:
        UserError: a probability outside [0, 1] or NaN, a wiring that is not square.

    >>> model = IndependentCascade(Wiring.from_edges([0, 1], [1, 2]), 0.5)
    >>> law = model.sample([0], runs=4000, rng=0)
    >>> bool(abs(law.sizes.mean() - 1.75) < 0.06)
    True
    """

    wiring: Wiring
    probability: Any

    def __post_init__(self) -> None:
        units = self.wiring.units
        values = np.asarray(self.probability, dtype=np.float64)
        wrong = np.flatnonzero(~((values.ravel() >= 0) & (values.ravel() <= 1)))
        if len(wrong):
            at = int(wrong[0])
            where = f" of edge {at}" if values.ndim else ""
            raise UserError(f"the probability{where} is none.", came=f"{values.ravel()[at]}", expected="0 to 1")
        if units < 1:
            raise UserError("a cascade needs units.", came=repr(self.wiring))
        self.wiring.per_arc(values, "probability")

    @cached_property
    def _shared(self) -> float | None:
        values = np.unique(np.asarray(self.probability, dtype=np.float64))
        return float(values[0]) if len(values) == 1 else None

    @cached_property
    def _thresholds(self) -> np.ndarray:
        return np.rint(self.wiring.per_arc(self.probability) * 2.0**53).astype(np.uint64)

    def size_distribution(
        self,
        sources: Any,
        method: str = "auto",
        *,
        runs: int = 100_000,
        rng: Any = None,
        workers: int | None = 1,
    ) -> SizeDistribution:
        """Return the law of the final number of active units.

        Args:
            sources: as of :meth:`sample`.
            method: ``"tree"`` (exact, on forests), ``"exact"`` (enumeration of tiny graphs, a closed form on complete
                ones), ``"monte-carlo"``, or ``"auto"``: the first of these that serves; ``law.method`` says which.
            runs, rng, workers: of the sampling.

        Raises:
            UserError: a method that this wiring does not allow.

        >>> model = IndependentCascade(Wiring.from_edges([0, 1], [1, 2], directed=False), 0.2)
        >>> model.size_distribution([0.1, 0.1, 0.1]).pmf.round(6).tolist()
        [0.729, 0.18144, 0.072, 0.01756]
        """
        if method not in METHODS:
            raise UserError(
                f"there is no method {method!r}.", came=repr(method), expected=f"one of {', '.join(METHODS)}"
            )
        chances = read_sources(sources, self.wiring.units).dense(self.wiring.units)
        if method == "tree" or (method == "auto" and is_forest(self.wiring)):
            return tree_law(self.wiring, self.probability, chances)
        if method in ("auto", "exact"):
            law = self._exact(chances)
            if law is not None:
                return law
            if method == "exact":
                raise UserError(
                    "this cascade has no exact solution here.",
                    came=f"{self.wiring}, {uncertainty(self.wiring, self.probability, chances)} chances to enumerate",
                    expected=f"a forest, a complete graph with one probability, or at most {MOST_CHANCES} chances",
                    attempt='method="monte-carlo"',
                )
        found = self.sample(chances, runs, rng, workers)
        return SizeDistribution.from_samples(found.sizes, self.wiring.units)

    def _exact(self, chances: np.ndarray) -> SizeDistribution | None:
        if is_forest(self.wiring):
            return tree_law(self.wiring, self.probability, chances)
        if uncertainty(self.wiring, self.probability, chances) <= MOST_CHANCES:
            return enumerate_independent(self.wiring, self.probability, chances)
        if is_complete(self.wiring) and self._shared is not None and np.ptp(chances) == 0:
            return complete_independent_law(self.wiring.units, self._shared, float(chances[0]))
        return None

    def sample(self, sources: Any, runs: int = 10_000, rng: Any = None, workers: int | None = 1) -> Sample:
        """Run cascades; run r draws from a stream of its own, so the result depends on ``rng`` alone.

        Args:
            sources: ids, a bool mask [units], or activation probabilities as floats [units].
            runs: how many.
            rng: see :func:`sparsefire.randomness.entropy`.
            workers: threads.
        """
        from sparsefire.cascades.simulate import independent_per_arc, independent_shared

        start = read_sources(sources, self.wiring.units)
        if runs < 1:
            raise UserError("there must be runs.", came=f"runs={runs}", expected="1 or more")
        key = np.uint64(randomness.integer(rng, "independent cascade"))
        sizes, durations = np.empty(runs, np.int64), np.empty(runs, np.int64)
        wiring, shared = self.wiring, self._shared
        function, given = (
            (independent_shared, shared) if shared is not None else (independent_per_arc, self._thresholds)
        )

        def block(first: int) -> None:
            last = min(first + BLOCK, runs)
            function(
                wiring.starts, wiring.receivers, given, start.ids, start.chances, first, last - first, key,
                sizes[first:last], durations[first:last],
            )  # fmt: skip

        firsts = range(0, runs, BLOCK)
        with ThreadPoolExecutor(min(checked_workers(workers), len(firsts))) as pool:
            list(pool.map(block, firsts))
        return Sample(sizes, durations)
