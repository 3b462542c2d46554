"""How the spikes of one unit lie around those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import finite, number
from sparsefire.spiking.spikes import trains_of
from sparsefire.spiking.trains.estimate import BLOCKS, Estimate, block_count, from_blocks
from sparsefire.statistics._check import confidence_checked


@dataclass(frozen=True, eq=False, repr=False)
class Correlogram:
    """Counts of time differences between the spikes of two units. Made by :func:`cross_correlogram`.

    Attributes:
        lags: middles of the bins in seconds, time of b minus time of a, float64 [bins].
        counts: pairs of spikes in each bin, int64 [bins].
        expected: counts if the trains were independent and stationary, float64 [bins].
        ratio: an :class:`Estimate` of counts / expected, 1 for independent trains, [bins].
        n: spikes of a and of b.
    """

    lags: np.ndarray
    counts: np.ndarray
    expected: np.ndarray
    ratio: Estimate
    n: tuple[int, int]

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return an interval of the ratio in each bin, from blocks of time."""
        return self.ratio.interval(level)

    def band(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return what counts stay within, all bins at once, for independent Poisson trains (Poisson quantiles, Šidák).

        Args:
            level: confidence in (0, 1).
        """
        tail = (1 - confidence_checked(finite("level", level)) ** (1 / len(self.lags))) / 2
        return stats.poisson.ppf(tail, self.expected), stats.poisson.isf(tail, self.expected)

    def __repr__(self) -> str:
        low, high = self.band()
        outside = int(((self.counts < low) | (self.counts > high)).sum())
        return f"Correlogram({len(self.lags)} bins, {outside} outside the band of independent trains)"


def cross_correlogram(
    spikes: Any, a: int, b: int, *, width: float = 1e-3, span: float = 50e-3, blocks: int = BLOCKS
) -> Correlogram:
    """Count the differences (time of b) − (time of a) in bins; for a = b pairs of a spike with itself are left out.

    Args:
        spikes: Spikes, or a run of a simulation.
        a, b: units.
        width: of a bin in seconds; the middle one is centred at 0.
        span: largest lag in seconds, below the duration.
        blocks: of time (of the spikes of a), for the error of the ratio.

    Raises:
        UserError: units that are not there or silent, a span that is not from one bin to the recording.

    >>> from sparsefire.spiking.spikes import Spikes
    >>> spikes = Spikes.sorted_from([0.1, 0.5, 0.11, 0.51], [0, 0, 1, 1], duration=1.0)
    >>> found = cross_correlogram(spikes, 0, 1, width=0.01, span=0.02)
    >>> found.lags.round(2).tolist(), found.counts.tolist()
    ([-0.02, -0.01, 0.0, 0.01, 0.02], [0, 0, 0, 2, 0])
    """
    given, count = trains_of(spikes), block_count(blocks)
    bin_width, reach = number("a width", width, unit="seconds"), number("a span", span, unit="seconds")
    first, second = given.train(a), given.train(b)
    if not len(first) or not len(second):
        raise UserError("a silent unit has no correlogram.", came=f"{len(first)} and {len(second)} spikes")
    half = int(np.floor(reach / bin_width + 1e-9))
    if half < 1 or (half + 0.5) * bin_width >= given.duration:
        raise UserError(
            "such a span cannot be.", came=f"{reach:g} s", expected=f"{bin_width:g} s to {given.duration:g} s"
        )
    bins, edge = 2 * half + 1, (half + 0.5) * bin_width
    # in each bin [k − ½, k + ½) · width; rounding must not decide for lags on a grid as fine as the edge
    begin = np.searchsorted(second, first - edge, side="left")
    end = np.searchsorted(second, first + edge, side="right")
    who = np.repeat(np.arange(len(first)), end - begin)
    partner = np.arange(len(who)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin) + begin[who]
    place = np.floor((second[partner] - first[who]) / bin_width + 0.5 + 1e-9).astype(np.int64) + half
    kept = (place >= 0) & (place < bins)
    if a == b:
        kept &= partner != who
    block = np.minimum((first[who] / given.duration * count).astype(np.int64), count - 1)
    counts = np.bincount((block * bins + place)[kept], minlength=count * bins).reshape(count, bins).astype(float)
    lags = np.arange(-half, half + 1) * bin_width
    overlap = bin_width / given.duration * (1 - np.abs(lags) / given.duration)
    own = np.bincount(np.minimum((first / given.duration * count).astype(np.int64), count - 1), minlength=count)
    # expected pairs of each block: its spikes of a, times those of b that the whole recording leads to expect
    others = len(second) - (1 if a == b else 0)
    share = np.outer(own, overlap * others)
    ratio = from_blocks(
        np.stack([counts, share], axis=1), lambda s: s[:, 0] / s[:, 1], counts.sum(axis=0).astype(np.int64)
    )
    return Correlogram(lags, counts.sum(axis=0).astype(np.int64), share.sum(axis=0), ratio, (len(first), len(second)))
