"""What all cascade models share: one set of questions, and how each is answered."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.forest import is_forest
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
        if method == "tree":
            return self._tree(chances)
        if method == "tree-approximation":
            return self._tree_approximation(chances)
        if method == "mean-field":
            from sparsefire.cascades.approximate.independent_units import independent_units_law

            return independent_units_law(self._cavity(chances))
        if method != "monte-carlo":
            law = self._exact(chances, hurry=method == "auto")
            if law is not None:
                return law
            if method == "exact":
                raise self._no_exact(chances)
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
            method: ``"tree"`` or ``"exact"``: where there is a way, on forests above all; ``"mean-field"``: the cavity
                (belief propagation) probabilities, exact on forests and too high where there are short loops;
                ``"monte-carlo"``; ``"auto"``: exact where there is a way, else sampled.
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
        if method != "monte-carlo":
            found = self._exact_marginals(start.dense(units), hurry=method == "auto")
            if found is not None:
                return found
            if method != "auto":
                raise self._nothing_exact("marginals")
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
            method: ``"tree"`` or ``"exact"`` (where the model has a recursion), ``"monte-carlo"``: from the runs that
                end with this size, or ``"auto"``.
            runs, rng, workers: of the sampling.

        Raises:
            UserError: an impossible size, or one that no run ended with.
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
        if method != "monte-carlo":
            found = self._given_size(start.dense(units), int(size), hurry=method == "auto")
            if found is not None:
                return found
            if method != "auto":
                raise self._nothing_exact("marginals given the size")
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

    def _no_exact(self, chances: np.ndarray) -> UserError:
        return UserError(
            "this cascade has no exact solution here.",
            came=f"{type(self).__name__} on {self.wiring}",
            expected=self._solvable(chances),
            attempt='method="monte-carlo"',
        )

    def _nothing_exact(self, what: str) -> UserError:
        return UserError(
            f"these {what} have no exact solution here.",
            came=f"{type(self).__name__} on {self.wiring}",
            expected="a forest, and a model with a recursion for it",
            attempt='method="monte-carlo"',
        )

    @abstractmethod
    def _runner(self, start: Sources) -> Runner:
        """Return what runs a block of cascades."""

    @abstractmethod
    def _exact(self, chances: np.ndarray, hurry: bool) -> SizeDistribution | None:
        """Return the exact law if there is a way; ``hurry`` leaves out what takes minutes."""

    @abstractmethod
    def _solvable(self, chances: np.ndarray) -> str:
        """Return where there is a way, in words."""

    # What follows is for the models whose ``methods`` name it.

    def _tree(self, chances: np.ndarray) -> SizeDistribution:
        raise self._has_no("tree")

    def _tree_approximation(self, chances: np.ndarray) -> SizeDistribution:
        raise self._has_no("tree-approximation")

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        raise self._has_no("mean-field")

    def _exact_marginals(self, chances: np.ndarray, hurry: bool) -> Marginals | None:
        return Marginals(self._cavity(chances), "tree") if self._forest(hurry=False) else None

    def _given_size(self, chances: np.ndarray, size: int, hurry: bool) -> Marginals | None:
        return None


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
