"""The shape of a law of sizes: logarithmic bins, and whether cascades come in separate groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution, clopper_pearson
from sparsefire.errors import UserError

PER_DECADE = 8  # bins from k to 10 k
LEAST_MASS = 0.05  # that a group holds
DEEPEST = 0.1  # a valley holds less than this share of the lower of the two peaks beside it
FLOOR = 0.01  # its outer bins that hold this share of that peak or more belong to the groups
APART = 2  # the smallest size of a group is at least so many times the largest of the group before, plus one
TRIMMED = 1e-4  # probability left out at each end of a group


@dataclass(frozen=True)
class Mode:
    """A group of sizes, separated from the others by a valley.

    Attributes:
        low, high: the sizes it spans, but for at most 0.0001 of probability at each end.
        probability: of the whole group.
        peak: its most likely size.
    """

    low: int
    high: int
    probability: float
    peak: int


def log_bins(units: int, per_decade: int = PER_DECADE) -> np.ndarray:
    """Return the first size of each bin, and ``units`` + 1 last, int64 [bins + 1].

    Size 0 is a bin of its own. Bins end where a power of 10^(1 / per_decade) passes a whole number, so small sizes have
    one each, and larger bins are as wide as the others on a logarithmic axis.

    Args:
        units: largest size, 1 or more.
        per_decade: bins from k to 10 k, 1 or more.

    >>> log_bins(30, per_decade=4).tolist()
    [0, 1, 2, 4, 6, 10, 18, 31]
    """
    if units < 1 or per_decade < 1:
        raise UserError(
            "bins need sizes.", came=f"units={units}, per_decade={per_decade}", expected="1 or more of each"
        )
    steps = np.arange(int(np.ceil(per_decade * np.log10(units + 1))) + 1)
    begins = np.ceil(10 ** (steps / per_decade) - 1e-9).astype(np.int64)
    begins = np.unique(np.append(begins[begins <= units], units + 1))
    return np.append(0, begins)


def binned(law: SizeDistribution, edges: np.ndarray) -> np.ndarray:
    """Return the probability of each bin, float64 [bins].

    >>> binned(SizeDistribution.from_pmf([0.5, 0.25, 0.125, 0.125], "exact"), np.array([0, 1, 2, 4])).tolist()
    [0.5, 0.25, 0.25]
    """
    return np.add.reduceat(law.pmf, edges[:-1])


def modes(law: SizeDistribution) -> tuple[Mode, ...]:
    """Return the groups that the sizes of cascades fall into: one for most laws, two where it is all or nothing.

    The law is put into eight bins per decade. A valley is a run of bins that each hold less than a tenth of the highest
    bin on either side, while 5% of all probability or more lie on each side; of a sampled law the upper limit of the
    share of its deepest bin (Clopper and Pearson, one-sided 97.5%) must be as low, so that a gap between few samples is
    none. The deepest valley (and of equally deep ones the widest) splits the law if the sizes beyond it are at least
    twice those before; both parts are then searched in the same way. The bins of a valley belong to neither group,
    except outer ones that hold a hundredth of the lower peak or more. This is a rule for describing laws, not a test.

    Args:
        law: on one unit or more.

    >>> modes(SizeDistribution.from_pmf([0, 0.5, 0, 0.5], "exact"))
    (Mode(low=1, high=3, probability=1.0, peak=1),)
    >>> pmf = np.zeros(1001)
    >>> pmf[1], pmf[2], pmf[900] = 0.5, 0.1, 0.4
    >>> [(mode.low, mode.high, mode.probability) for mode in modes(SizeDistribution.from_pmf(pmf, "exact"))]
    [(1, 2, 0.6), (900, 900, 0.4)]
    """
    edges = log_bins(max(len(law.pmf) - 1, 1))
    mass = binned(law, edges) if len(law.pmf) > 1 else law.pmf
    most = mass
    if law.samples is not None:
        most = clopper_pearson(np.rint(mass * law.samples), law.samples)[1]
    return tuple(_group(law, edges[first], edges[last]) for first, last in _split(law, edges, mass, most, 0, len(mass)))


def _split(
    law: SizeDistribution, edges: np.ndarray, mass: np.ndarray, most: np.ndarray, first: int, last: int
) -> list[tuple[int, int]]:
    """Return the groups among the bins first … last - 1, as pairs of bins (begin, end)."""
    best: tuple[float, int, int, int] | None = None
    for at in range(first + 1, last - 1):
        lower = min(mass[first:at].max(), mass[at + 1 : last].max())
        if most[at] >= DEEPEST * lower:
            continue
        begin, end = _widened(mass, at, first, last, DEEPEST * lower)
        if min(mass[first:begin].sum(), mass[end:last].sum()) < LEAST_MASS:
            continue
        before, after = _group(law, edges[first], edges[begin]), _group(law, edges[end], edges[last])
        if after.low < APART * (before.high + 1):
            continue
        found = (float(mass[at] / lower), begin - end, *_trimmed(mass, at, begin, end, FLOOR * lower))
        best = found if best is None else min(best, found)
    if best is None:
        return [(first, last)]
    _, _, begin, end = best
    return [*_split(law, edges, mass, most, first, begin), *_split(law, edges, mass, most, end, last)]


def _widened(mass: np.ndarray, at: int, first: int, last: int, most: float) -> tuple[int, int]:
    """Return the bins around ``at`` that hold less than ``most``, as (begin, end); one is left on each side."""
    begin, end = at, at + 1
    while begin > first + 1 and mass[begin - 1] < most:
        begin -= 1
    while end < last - 1 and mass[end] < most:
        end += 1
    return begin, end


def _trimmed(mass: np.ndarray, at: int, begin: int, end: int, least: float) -> tuple[int, int]:
    """Return the bins begin … end - 1 without outer ones that hold ``least`` or more; ``at`` stays."""
    while begin < at and mass[begin] >= least:
        begin += 1
    while end > at + 1 and mass[end - 1] >= least:
        end -= 1
    return begin, end


def _group(law: SizeDistribution, begin: int, end: int) -> Mode:
    """Return the group of the sizes begin … end - 1."""
    part = law.pmf[begin:end]
    kept = np.flatnonzero((np.cumsum(part) > TRIMMED) & (np.cumsum(part[::-1])[::-1] > TRIMMED))
    if not len(kept):
        kept = np.arange(len(part))
    return Mode(int(begin + kept[0]), int(begin + kept[-1]), float(min(part.sum(), 1.0)), int(begin + np.argmax(part)))
