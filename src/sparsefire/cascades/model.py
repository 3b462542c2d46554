"""What all cascade models share: one set of questions, and how each is answered."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.forest import is_forest
from sparsefire.cascades.exact.solution import Solution, settled
from sparsefire.cascades.sampling import runs as sampling
from sparsefire.cascades.sampling.runs import Marginals, Runner, Sample
from sparsefire.cascades.sources import Sources, read_sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

METHODS = ("auto", "exact", "tree", "tree-approximation", "mean-field", "monte-carlo")
MOST_ON_TREES = 30_000  # units up to which ``auto`` takes the O(n²) recursion


class CascadeModel(ABC):
    """A progressive cascade on a wiring: units become active and stay so; who starts is ``sources=``.

    Every method takes ``sources``: ids (whole numbers), a bool mask [n], activation probabilities (floats: [n], or one
    for all), or None for nobody but those that start by themselves.
    """

    wiring: Wiring
    methods: ClassVar[tuple[str, ...]] = METHODS
    may_start_alone: ClassVar[bool] = True  # without sources

    def size_distribution(
        self,
        sources: Any = None,
        method: str = "auto",
        *,
        runs: int = 100_000,
        rng: Any = None,
        workers: int | None = 1,
    ) -> SizeDistribution:
        """Return the law of the final number of active units.

        Args:
            sources: who starts, see the class.
            method: ``"tree"``: exact recursion on forests, O(n²); ``"exact"``: that, a closed form (complete graphs and
                stars of like units) or enumeration of a tiny graph; ``"tree-approximation"``: exact on a spanning
                tree, the arcs left out folded into the sources; ``"mean-field"``: units taken as independent, each with
                its cavity probability: good for means, wrong for tails; ``"monte-carlo"``; ``"auto"``: exact where
                there is a way (on forests up to 30,000 units), else sampled. ``law.method`` says which it was.
            runs, rng, workers: of the sampling; the result depends on ``rng`` and ``runs``, not on ``workers``.

        Raises:
            UserError: a method that this model or wiring does not allow.
        """
        self._check(method)
        start = self._start(sources)
        chances = start.dense(self.wiring.units)
        if method == "tree-approximation":
            return self._tree_approximation(chances)
        if method == "mean-field":
            from sparsefire.cascades.approximate.independent_units import independent_units_law

            return independent_units_law(self._cavity(chances))
        solution = self._solution(method, chances)
        if solution is not None:
            return solution.law()
        units = self.wiring.units
        counts = sampling.histogram(self._runner(start), units, runs, rng, workers)
        return SizeDistribution.from_counts(counts, "monte-carlo")

    def sample(
        self, sources: Any = None, runs: int = 10_000, rng: Any = None, workers: int | None = 1, *, who: bool = False
    ) -> Sample:
        """Run cascades; run r draws from a stream of its own, so it depends on ``rng`` and r alone.

        Args:
            sources: who starts, see the class.
            runs: how many.
            rng: see :func:`sparsefire.randomness.entropy`.
            workers: threads.
            who: also record who activated whom (``.activations``; as many entries as there are active units).
        """
        return sampling.sample(self._runner(self._start(sources)), runs, rng, workers, who=who)

    def marginals(
        self,
        sources: Any = None,
        method: str = "auto",
        *,
        runs: int = 100_000,
        rng: Any = None,
        workers: int | None = 1,
    ) -> Marginals:
        """Return P(unit is active in the end) for every unit.

        Args:
            sources: who starts, see the class.
            method: ``"tree"``: on forests, O(n); ``"exact"``: wherever the law of the size is, see
                :meth:`size_distribution`; ``"mean-field"``: the cavity (belief propagation) probabilities, exact on
                forests and too high where there are short loops; ``"monte-carlo"``; ``"auto"``: exact where there is a
                way, else sampled. ``.method`` says which it was: ``"tree"``, ``"enumeration"``, ``"complete graph"`` …
            runs, rng, workers: of the sampling.

        Raises:
            UserError: a method that this model or wiring does not allow.
        """
        self._check(method)
        units = self.wiring.units
        start = self._start(sources)
        if method == "tree-approximation":
            raise UserError(
                "the tree approximation gives the law of the size alone.",
                came=repr(method),
                expected="auto, tree, mean-field or monte-carlo",
            )
        if method == "mean-field":
            return Marginals(self._cavity(start.dense(units)), "mean-field")
        chances = start.dense(units)
        solution = self._solution(method, chances)
        if solution is None and method == "auto" and self._forest(hurry=False):
            solution = self._tree(chances)  # marginals take no time on forests of any size
        if solution is not None:
            return Marginals(solution.active(None), solution.method)
        counts, kept = sampling.counts(self._runner(start), units, runs, rng, workers)
        return Marginals(counts / kept, "monte-carlo", kept)

    def marginals_given_size(
        self,
        size: int,
        sources: Any = None,
        method: str = "auto",
        *,
        runs: int = 100_000,
        rng: Any = None,
        workers: int | None = 1,
    ) -> Marginals:
        """Return P(unit is active | ``size`` units are) for every unit.

        Args:
            size: in 0 … n.
            sources: who starts, see the class.
            method: ``"tree"``: on forests, O(n²), and for threshold cascades times the largest number of children;
                ``"exact"``: wherever the law of the size is, see :meth:`size_distribution`; ``"monte-carlo"``: from the
                runs that end with this size; or ``"auto"``: exact where there is a way that takes no minutes, else
                sampled. ``.method`` says which it was.
            runs, rng, workers: of the sampling.

        Raises:
            UserError: an impossible size, or one that no run ended with; a method that this model or wiring does not
                allow.
        """
        self._check(method)
        units = self.wiring.units
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or not 0 <= size <= units:
            raise UserError("there is no such size.", came=f"size={size!r}", expected=f"0 to {units}")
        start = self._start(sources)
        if method not in ("auto", "tree", "exact", "monte-carlo"):
            raise UserError(
                "what is known given the size is exact or sampled.",
                came=repr(method),
                expected="auto, tree, exact or monte-carlo",
            )
        solution = self._solution(method, start.dense(units))
        if solution is not None and not (method == "auto" and solution.hard(int(size))):
            return Marginals(solution.active(int(size)), solution.method)
        counts, kept = sampling.counts(self._runner(start), units, runs, rng, workers, int(size))
        if not kept:
            raise UserError(
                f"no run ended with {size} active units.",
                came=f"0 of {runs:,} runs",
                expected="a size that occurs",
                attempt=f"runs={10 * runs}",
            )
        return Marginals(counts / kept, "monte-carlo", kept)

    def _start(self, sources: Any) -> Sources:
        if sources is None and not self.may_start_alone:
            warnings.warn("nobody starts this cascade: sources=None", UserWarning, stacklevel=3)
        return read_sources(sources, self.wiring.units)

    def _check(self, method: str) -> None:
        if method not in METHODS:
            raise UserError(
                f"there is no method {method!r}.", came=repr(method), expected=f"one of {', '.join(self.methods)}"
            )
        if method not in self.methods:
            raise self._has_no(method)

    def _has_no(self, method: str) -> UserError:
        return UserError(
            f"{type(self).__name__} has no {method}.", came=repr(method), expected=f"one of {', '.join(self.methods)}"
        )

    def _forest(self, hurry: bool) -> bool:
        """Return whether the recursion on trees serves here."""
        if "tree" not in self.methods or (hurry and self.wiring.units > MOST_ON_TREES):
            return False
        return is_forest(self.wiring)

    def _solution(self, method: str, chances: np.ndarray) -> Solution | None:
        """Return the exact way that a method names, or that ``auto`` finds; None if it is to be sampled."""
        if method == "tree":
            return self._tree(chances)
        found = None if method == "monte-carlo" else self._exact(chances, hurry=method == "auto")
        if found is None and method == "exact":
            raise UserError(
                "this cascade has no exact solution here.",
                came=f"{type(self).__name__} on {self.wiring}",
                expected=self._solvable(chances),
                attempt='method="monte-carlo"',
            )
        return found

    def _settled(self, chances: np.ndarray) -> Solution:
        """Return what happens where nothing is left to chance, from one run."""
        counts, _ = sampling.counts(self._runner(read_sources(chances, len(chances))), len(chances), 1, 0, 1)
        return settled(counts > 0)

    @abstractmethod
    def _runner(self, start: Sources) -> Runner:
        """Return what runs a block of cascades."""

    @abstractmethod
    def _exact(self, chances: np.ndarray, hurry: bool) -> Solution | None:
        """Return an exact way if there is one; ``hurry`` leaves out what takes minutes."""

    @abstractmethod
    def _solvable(self, chances: np.ndarray) -> str:
        """Return where there is a way, in words."""

    # What follows is for the models whose ``methods`` name it.

    def _tree(self, chances: np.ndarray) -> Solution:
        raise self._has_no("tree")

    def _tree_approximation(self, chances: np.ndarray) -> SizeDistribution:
        raise self._has_no("tree-approximation")

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        raise self._has_no("mean-field")


def checked_units(wiring: Any) -> int:
    """Return how many units a wiring has on which a cascade can run, or say what is wrong with it.

    >>> checked_units(Wiring.from_edges([0], [1]))
    2
    """
    if not isinstance(wiring, Wiring):
        raise UserError(
            "a cascade runs on a wiring.", came=type(wiring).__name__, expected="a Wiring",
            attempt="sf.wiring.from_graph(graph), or sf.Wiring.from_edges(senders, receivers)",
        )  # fmt: skip
    if wiring.units < 1:
        raise UserError("a cascade needs units.", came=repr(wiring), expected="1 or more")
    return wiring.units
