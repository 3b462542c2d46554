"""How readily do arcs carry activity, when nothing but the final sizes of cascades was seen?

Maximum likelihood with the exact law of the size, Σ log P(C = size | w) over independent cascades: the use that
Burkholz & Quackenbush (arXiv:1909.05416) name first for whole laws. Intervals and tests rest on the profile likelihood,
2 (log L(ŵ) - log L(w)) ~ chi-square with 1 degree of freedom (Wilks 1938, doi:10.1214/aoms/1177732360).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special

from sparsefire.cascades.distribution import checked_sizes
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.model import CascadeModel
from sparsefire.cascades.sources import read_sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

METHODS = ("exact", "tree-approximation")
GRID = np.linspace(-9.0, 9.0, 13)  # logits at which a maximum is first looked for
FAR = 30.0  # a logit that stands for 0 or 1
NOISE = 1e-9  # a log-likelihood is not known better than this, relative or absolute

Function = Callable[[float], float]


class RatioTest(NamedTuple):
    """A likelihood-ratio test: 2 (log L(ŵ) - log L(w)), and the chance of as much if w is true."""

    statistic: float
    p_value: float


@dataclass(frozen=True, repr=False)
class InferredProbability:
    """The probability of an arc that makes observed sizes most likely. Made by :func:`fit_probability`.

    Attributes:
        probability: the estimate, in [0, 1].
        source_probability: that of being a source, estimated along with it; None where sources were known.
        log_likelihood: at the estimate.
        likelihood: what was maximised.
    """

    probability: float
    source_probability: float | None
    log_likelihood: float
    likelihood: Likelihood

    def __repr__(self) -> str:
        source = "" if self.source_probability is None else f", sources {self.source_probability:.4g}"
        return f"InferredProbability({self.probability:.4g} ± {self.error:.2g}{source}, {self.samples:,} sizes)"

    @property
    def samples(self) -> int:
        """Return how many sizes stand behind it."""
        return int(self.likelihood.counts.sum())

    @cached_property
    def error(self) -> float:
        """The standard error of ``probability`` from the curvature of the (profile) likelihood, nan at 0 and 1."""
        return _error(self._profile, self.probability)

    @cached_property
    def source_error(self) -> float:
        """The standard error of ``source_probability``, nan where it was known, and at 0 and 1."""
        given = self.source_probability
        return float("nan") if given is None else _error(self._source_profile, given)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the limits of the profile likelihood for the probability of an arc.

        Args:
            level: confidence, in (0, 1).
        """
        return _limits(self._profile, self.probability, self.log_likelihood, level)

    def source_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the same for the probability of a source, None where it was known."""
        given = self.source_probability
        return None if given is None else _limits(self._source_profile, given, self.log_likelihood, level)

    def test(self, probability: float) -> RatioTest:
        """Test one given value of the probability of an arc by its likelihood ratio.

        Args:
            probability: in [0, 1].

        Returns:
            The statistic, infinite if the sizes are impossible there, and its two-sided p-value.
        """
        if not 0 <= probability <= 1:
            raise UserError("this is no probability.", came=repr(probability), expected="0 to 1")
        statistic = max(2 * (self.log_likelihood - self._profile(float(probability))), 0.0)
        return RatioTest(statistic, float(special.chdtrc(1, statistic)))

    def text(self) -> str:
        """Return one or two sentences, with intervals of 95%."""
        low, high = self.interval()
        said = f"An arc carries activity with probability {self.probability:.4g} (95% interval {low:.4g} to {high:.4g})"
        limits = self.source_interval()
        if limits is not None:
            said += f", a unit starts with {self.source_probability:.4g} ({limits[0]:.4g} to {limits[1]:.4g})"
        return f"{said}; by {self.likelihood.method} likelihood from {self.samples:,} sizes."

    def _profile(self, probability: float) -> float:
        if self.source_probability is None:
            return self.likelihood(probability)
        return _highest(lambda source: self.likelihood(probability, source))[1]

    def _source_profile(self, source: float) -> float:
        return _highest(lambda probability: self.likelihood(probability, source))[1]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """log L of the probability of an arc, and of that of a source where sources are not known.

    Attributes:
        wiring: square.
        counts: how often each size 0 … n was seen, int64 [n + 1].
        chances: that each unit is a source, float64 [n], or None if one unknown number holds for all.
        method: how the law of the size is found.
    """

    wiring: Wiring
    counts: np.ndarray
    chances: np.ndarray | None
    method: str

    def __call__(self, probability: float, source: float = 0.0) -> float:
        chances = np.full(self.wiring.units, source) if self.chances is None else self.chances
        law = IndependentCascade(self.wiring, probability).size_distribution(chances, self.method)
        seen = self.counts > 0
        return float(self.counts[seen] @ law.log_pmf[seen])


def fit_probability(wiring: Any, sizes: Any, sources: Any = None, *, method: str = "exact") -> InferredProbability:
    """Fit the one probability of all arcs of an independent cascade to final sizes, by maximum likelihood.

    The likelihood is looked through on a grid of 13 logits, then refined by Brent's search: some thirty laws, or some
    nine hundred where the probability of a source is fitted too. On a forest a law takes O(n²).

    Args:
        wiring: square, or a model on it (whose own probability is not used).
        sizes: final sizes of independent cascades, whole numbers in 0 … n [observations].
        sources: who started each of them: ids, a bool mask [n], probabilities [n], or one float for all units. None:
            every unit with one unknown probability, fitted too.
        method: ``"exact"`` (forests, complete graphs, tiny graphs), or ``"tree-approximation"`` for other wirings: then
            the estimate has the bias of that approximation.

    Returns:
        The estimate, with ``.interval(level)``, ``.error``, ``.test(value)``, ``.text()``.

    Raises:
        UserError: no sizes, a size that is not whole, not in 0 … n or impossible with these sources; a wiring for which
            there is no exact law; sizes that say nothing about arcs (nothing ever started, or nothing could spread).

    >>> path = Wiring.from_edges([0, 1, 2], [1, 2, 3])
    >>> found = fit_probability(path, [1, 1, 2, 4], sources=[0])
    >>> round(found.probability, 6), found.interval()[0] < 0.5 < found.interval()[1]
    (0.571429, True)
    """
    if isinstance(wiring, CascadeModel) and not isinstance(wiring, IndependentCascade):
        raise UserError(
            "only arcs of independent cascades have a probability.",
            came=type(wiring).__name__,
            expected="a Wiring, or an IndependentCascade on it",
        )
    graph = getattr(wiring, "wiring", wiring)
    if not isinstance(graph, Wiring):
        raise UserError(
            "a probability belongs to a wiring.", came=type(wiring).__name__, expected="a Wiring or a model"
        )
    if method not in METHODS:
        raise UserError(
            f"the method {method!r} has no likelihood to fit.", came=repr(method), expected=" or ".join(METHODS)
        )
    units = graph.units
    seen = checked_sizes(sizes, units)
    if not len(seen):
        raise UserError("nothing can be learnt from no sizes.", came="0 sizes", expected="1 or more")
    likelihood = Likelihood(graph, np.bincount(seen, minlength=units + 1), _chances(sources, units), method)
    _check_possible(likelihood, seen)
    if likelihood.chances is not None:
        probability, value = _highest(likelihood)
        return InferredProbability(probability, None, value, likelihood)
    probability, _ = _highest(lambda w: _highest(lambda p: likelihood(w, p))[1])
    source, value = _highest(lambda p: likelihood(probability, p))
    return InferredProbability(probability, source, value, likelihood)


def _chances(sources: Any, units: int) -> np.ndarray | None:
    if sources is None:
        return None
    given = np.asarray(sources)
    return read_sources(np.full(units, given) if given.ndim == 0 and given.dtype.kind == "f" else given, units).dense(
        units
    )


def _check_possible(likelihood: Likelihood, sizes: np.ndarray) -> None:
    """Raise if there is no exact law, if a size is impossible, or if arcs play no part in what was seen."""
    chances = np.full(likelihood.wiring.units, 0.5) if likelihood.chances is None else likelihood.chances
    try:
        law = IndependentCascade(likelihood.wiring, 0.5).size_distribution(chances, likelihood.method)
    except UserError as error:
        if likelihood.method != "exact":
            raise
        raise UserError(
            "the likelihood of these sizes is not known exactly.",
            came=error.came,
            expected=error.expected,
            attempt='method="tree-approximation", which is biased where there are short loops',
        ) from error
    wrong = np.flatnonzero(law.log_pmf[sizes] == -np.inf)
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            "a size is impossible with these sources.",
            came=f"{sizes[at]} in entry {at}",
            expected="a size that these sources can reach",
        )
    if likelihood.chances is None:
        silent = not sizes.any() or not likelihood.wiring.arcs
    else:
        values = [likelihood(w) for w in (0.1, 0.5, 0.9)]
        silent = max(values) - min(values) <= NOISE * max(1.0, abs(values[0]))
    if silent:
        raise UserError(
            "these sizes say nothing about arcs: they are as likely whatever the probability.",
            came=f"{len(sizes):,} sizes from {sizes.min()} to {sizes.max()}",
            expected="cascades that had somewhere to go",
        )


def _highest(function: Function) -> tuple[float, float]:
    """Return where a function on [0, 1] is highest, and how high."""
    values = [function(float(p)) for p in special.expit(GRID)]
    best = int(np.argmax(values))
    if values[best] == -np.inf:
        return float(special.expit(GRID[best])), -np.inf
    bounds = (GRID[best - 1] if best else -FAR, GRID[best + 1] if best + 1 < len(GRID) else FAR)
    found = optimize.minimize_scalar(
        lambda x: -function(float(special.expit(x))), bounds=bounds, method="bounded", options={"xatol": 1e-7}
    )
    at, top = float(special.expit(found.x)), -float(found.fun)
    for end in (0.0, 1.0) if best in (0, len(GRID) - 1) else ():
        value = function(end)
        if value >= top - NOISE * max(1.0, abs(top)):
            at, top = end, value
    return at, top


def _limits(profile: Function, peak: float, top: float, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise UserError(f"level is {level!r}.", came=repr(level), expected="a number in (0, 1), such as 0.95")
    bound = float(np.sqrt(special.chdtri(1, 1 - level)))
    middle = float(np.clip(special.logit(peak), -FAR, FAR))

    def beyond(x: float) -> float:  # the signed root is nearly a line, which a root finder likes
        return min(float(np.sqrt(2 * max(top - profile(float(special.expit(x))), 0.0))), 1e6) - bound

    ends = []
    for end, outer in ((-FAR, 0.0), (FAR, 1.0)):
        if beyond(end) <= 0:
            ends.append(outer)
        else:
            ends.append(float(special.expit(optimize.brentq(beyond, end, middle, xtol=1e-8))))
    return ends[0], ends[1]


def _error(profile: Function, at: float) -> float:
    """Return 1 / sqrt(-second derivative) by differences over a quarter of the error itself, on the scale of logits."""
    if not 0 < at < 1:
        return float("nan")
    x, step = float(special.logit(at)), 0.02
    top = profile(at)
    for _ in range(3):
        fall = 2 * top - profile(float(special.expit(x - step))) - profile(float(special.expit(x + step)))
        if not fall > 0:
            return float("nan")
        error = step / float(np.sqrt(fall))
        step = min(error / 4, 1.0)
    return error * at * (1 - at)
