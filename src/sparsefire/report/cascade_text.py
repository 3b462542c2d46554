"""What the law of a cascade says, in words and in rows: the sentence of the page, and its tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.sampling.runs import Marginals
from sparsefire.cascades.shape import Mode, binned, modes
from sparsefire.data import figures
from sparsefire.data.words import plural
from sparsefire.report.textual import fit

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SELDOM = 0.01  # at most so much probability between two groups makes a mean that lies there one that hardly occurs
_METHODS = {  # what law.method says, as a reader may know it
    "tree": "exact recursion on a forest",
    "enumeration": "exact, every case enumerated",
    "complete graph": "exact recursion for a complete graph",
    "quasi-binomial": "exact, closed form of a complete graph",
    "star": "exact, closed form of a star",
    "tree-approximation": "approximation: exact on a spanning tree, the arcs left out folded into the sources",
    "mean-field": "approximation: units taken as independent",
    "monte-carlo": "sampled",
}


@dataclass(frozen=True)
class Outcome:
    """A cascade that was solved or sampled.

    Attributes:
        data: name of the edge list.
        model: the model with its parameters, as a reader says it.
        units, arcs: of the wiring.
        names: of the units as in the file [units].
        sources: ids of the units that start, or the chance at which every unit does.
        law: of the size.
        marginals: of the units, or None.
    """

    data: str
    model: str
    units: int
    arcs: int
    names: Sequence[str]
    sources: Sequence[int] | float
    law: SizeDistribution
    marginals: Marginals | None = None


def headline(outcome: Outcome) -> str:
    """Return the one sentence: where half of all cascades end, and how far one in twenty goes.

    >>> law = SizeDistribution.from_pmf([0, 0.7, 0.2, 0.06, 0.04], "tree")
    >>> headline(Outcome("a.csv", "", 4, 6, "abcd", [0], law))
    'A cascade from a ends with 1 active unit in the median; 1 in 20 reaches 3 or more of 4.'
    """
    law, start = outcome.law, f"A cascade from {sources_text(outcome.sources, outcome.names)}"
    half, far = (int(k) for k in law.quantile([0.5, 0.95]))
    units = figures.count(outcome.units)
    if law.quantile(1.0) == law.quantile(0.0):
        certain = "ended" if law.samples is not None else "ends"
        return f"{start} always {certain} with {plural(half, 'active unit')} of {units}."
    if half == far:
        return (
            f"{start} ends with {plural(half, 'active unit')} of {units} in the median; 19 in 20 stay at that or below."
        )
    median = f"{start} ends with {plural(half, 'active unit')} in the median"
    reached = f"all {units}" if far == outcome.units else f"{figures.count(far)} or more of {units}"
    return f"{median}; 1 in 20 reaches {reached}."


def grouping(law: SizeDistribution) -> str:
    """Return what there is to say where cascades come in groups, and whether the mean is a size that occurs; or ``""``.

    >>> pmf = np.zeros(1001)
    >>> pmf[1], pmf[2], pmf[900] = 0.5, 0.1, 0.4
    >>> grouping(SizeDistribution.from_pmf(pmf, "tree"))
    'The mean, 361, is a size that almost never happens: 60% end with 1 to 2 units, 40% with 900.'
    """
    groups = modes(law)
    if len(groups) < 2:
        return ""
    parts = [f"{share(group.probability)} {'end ' * (i == 0)}with {_span(group)}" for i, group in enumerate(groups)]
    parts[0] += " units" if groups[0].high != 1 else " unit"
    rest = 1 - sum(group.probability for group in groups)
    if rest >= 0.0005:
        parts.append(f"{share(rest)} in between")
    listed, mean = ", ".join(parts), law.mean()
    around = [(a, b) for a, b in itertools.pairwise(groups) if a.high < mean < b.low]
    if not around:
        return f"Cascades are of {figures.in_words(len(groups))} kinds: {listed}."
    seldom = rest <= SELDOM
    says = "is a size that almost never happens" if seldom else "lies between the kinds of cascades there are"
    return f"The mean, {amount(mean)}, {says}: {listed}."


def sources_text(sources: Sequence[int] | float, names: Sequence[str]) -> str:
    """Return who starts, in words.

    >>> sources_text([0, 2], ("ann", "bob", "cat")), sources_text(0.01, ("ann",))
    ('ann and cat', '1% of the units at random')
    """
    if isinstance(sources, float):
        return f"{figures.short_percent(sources)} of the units at random"
    shown = [fit(names[unit], 24) for unit in sources]
    if not shown:
        return "units that start by themselves"
    if len(shown) > 4:
        return f"{shown[0]}, {shown[1]} and {figures.count(len(shown) - 2)} more units"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def quantile_rows(law: SizeDistribution) -> list[tuple[float, int, int | None, int | None]]:
    """Return (fraction, size, lower and upper limit) for each of :data:`QUANTILES`.

    The limits of a sampled law are read off its simultaneous 95% band, so all of them hold together; the upper one is
    all units where the band does not end before. They are None for a law that was not sampled.

    >>> quantile_rows(SizeDistribution.from_samples([1] * 500 + [2] * 500, 3))[2]
    (0.5, 1, 1, 2)
    """
    out: list[tuple[float, int, int | None, int | None]] = []
    for q in QUANTILES:
        low = high = None
        if law.band is not None:
            low, high = (int(np.argmax(limit >= q)) for limit in (law.band[1], law.band[0]))
        out.append((q, int(law.quantile(q)), low, high))
    return out


def is_exact(law: SizeDistribution) -> bool:
    """Return whether the law is neither sampled nor an approximation."""
    return law.samples is None and law.method not in ("tree-approximation", "mean-field")


def method_text(law: SizeDistribution) -> str:
    """Return how the law was found.

    >>> method_text(SizeDistribution.from_samples([0, 1], 1))
    'sampled, 2 cascades'
    """
    text = _METHODS.get(law.method, law.method)
    return text if law.samples is None else f"{text}, {plural(law.samples, 'cascade')}"


def sure_text(law: SizeDistribution) -> str:
    """Return how sure the law is.

    >>> sure_text(SizeDistribution.from_pmf([0.5, 0.5], "tree"))
    'no sampling, no approximation: right up to the rounding of 64-bit numbers'
    """
    if law.samples is not None:
        points = figures.significant(100 * half_width(law.samples))
        return f"the share that ends with at most k units is known to ±{points} points, for all k at once (95%)"
    if is_exact(law):
        return "no sampling, no approximation: right up to the rounding of 64-bit numbers"
    return "an approximation without an error bound; compare with --method monte-carlo"


def half_width(samples: int) -> float:
    """Return the half width of the simultaneous 95% band of Dvoretzky, Kiefer, Wolfowitz and Massart."""
    return math.sqrt(math.log(2 / 0.05) / (2 * samples))


def mean_text(law: SizeDistribution) -> str:
    """Return the mean, of a sampled law with 1.96 standard errors.

    >>> mean_text(SizeDistribution.from_samples([0] * 5000 + [10] * 5000, 10))
    '5 ± 0.098'
    """
    if law.samples is None:
        return amount(law.mean())
    error = 1.96 * math.sqrt(law.variance() / law.samples)
    decimals = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 0
    mean = figures.fixed(law.mean(), decimals)
    mean = mean.rstrip("0").rstrip(".") if "." in mean else mean
    return f"{mean} ± {figures.significant(error)}" if error > 0 else amount(law.mean())


def most_active(outcome: Outcome, most: int = 10) -> list[tuple[str, float, float | None, float | None]]:
    """Return (name, probability, lower and upper limit) of the units most often active, without certain sources.

    Units that are as often active stand in their own order; those that never are, are left out. The limits are those of
    Clopper and Pearson at 95%, each valid by itself; None where nothing was sampled.
    """
    if outcome.marginals is None:
        return []
    values = outcome.marginals.probability
    given = set() if isinstance(outcome.sources, float) else set(outcome.sources)
    order = [int(unit) for unit in np.argsort(-values, kind="stable")[: most + len(given)]]
    chosen = [unit for unit in order if unit not in given and values[unit] > 0][:most]
    limits = outcome.marginals.interval()
    if limits is None:
        return [(outcome.names[unit], float(values[unit]), None, None) for unit in chosen]
    return [(outcome.names[u], float(values[u]), float(limits[0][u]), float(limits[1][u])) for u in chosen]


def histogram(law: SizeDistribution, edges: Sequence[int] | None = None) -> list[tuple[str, float]]:
    """Return (sizes, probability) of the bins 0, 1, 2–4, 5–9, 10–19, … from the first to the last that occurs.

    >>> histogram(SizeDistribution.from_pmf([0.0, 0.5, 0.0, 0.25, 0.0, 0.25], "tree"))
    [('1', 0.5), ('2–4', 0.25), ('5', 0.25)]
    """
    units = len(law.pmf) - 1
    if edges is None:
        begins = [step * 10**power for power in range(len(str(units))) for step in (1, 2, 5)]
        edges = [0, *(begin for begin in begins if begin <= units), units + 1]
    values = binned(law, np.asarray(edges))
    least = 0.0 if law.samples is not None else 5e-5  # tails of exact laws go on for ever
    seen = np.flatnonzero(values > least)
    rows = range(seen[0], seen[-1] + 1) if len(seen) else range(len(values))
    return [(_range(edges[i], edges[i + 1] - 1), float(values[i])) for i in rows]


def share(probability: float) -> str:
    """Return a probability as a percentage of at most three significant digits that never rounds up to certainty.

    >>> share(0.4746), share(0.0), share(0.00002), share(0.99996), share(1.0)
    ('47.5%', '0%', '0.002%', '>99.9%', '100%')
    """
    if 0.9995 < probability < 1:
        return ">99.9%"
    if 0 < probability < 1e-5:
        return "<0.001%"
    return figures.short_percent(probability)


def amount(value: float) -> str:
    """Return a mean size with three digits or whole.

    >>> amount(188.13), amount(3.14159), amount(0.0123), amount(4321.4)
    ('188', '3.14', '0.0123', '4,321')
    """
    return figures.fixed(value, 0) if value >= 99.95 else figures.significant(value, 3)


def _range(low: int, high: int) -> str:
    return figures.count(low) if low == high else f"{figures.count(low)}–{figures.count(high)}"


def _span(group: Mode) -> str:
    low, high = figures.count(group.low), figures.count(group.high)
    return low if low == high else f"{low} to {high}"
