"""Statistics of spike trains, unit by unit, with intervals: Fano factor, CV, CV2, Lv, correlations.

CV2 as in Holt et al. 1996 (doi:10.1152/jn.1996.75.5.1806), Lv as in Shinomoto et al. 2003
(doi:10.1162/089976603322518759). Errors come from blocks of time, so intervals may depend on each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import array, number, whole
from sparsefire.spiking.spikes import Spikes, trains_of
from sparsefire.spiking.trains.estimate import BLOCKS, FEWEST, Estimate, block_count, from_blocks


def fano_factor(spikes: Any, window: Any, *, blocks: int = BLOCKS) -> Estimate:
    """Return variance over mean of the number of spikes in windows.

    Args:
        spikes: Spikes, or a run of a simulation.
        window: seconds; a number, or an array of them.
        blocks: of neighbouring windows, for the error; fewer where there are fewer windows.

    Returns:
        An :class:`Estimate` of shape [units], or [windows, units].

    Raises:
        UserError: windows of which fewer than 6 fit into the recording.

    For renewal trains it goes from 1 in short windows to CV² in long ones; serial correlations ρ_k of the intervals
    make that CV² (1 + 2 Σ ρ_k).

    >>> from sparsefire.spiking.trains.renewal import GammaRenewal
    >>> found = fano_factor(GammaRenewal(4.0, 20.0).sample(400.0, 2, rng=0), window=1.0)
    >>> low, high = found.interval(0.999)
    >>> bool(((low < 0.258) & (0.258 < high)).all())
    True
    """
    given, most = trains_of(spikes), block_count(blocks)
    lengths = array("windows", window)
    if not lengths.size:
        raise UserError("there is no window.", came=repr(window), expected="seconds")
    parts = [_fano(given, number("a window", float(width), unit="seconds"), most) for width in lengths.ravel()]
    if lengths.ndim == 0:
        return parts[0]
    fewest = min(part.blocks for part in parts)
    value, error, n = (np.stack([getattr(part, name) for part in parts]) for name in ("value", "error", "n"))
    return Estimate(value, error, n, fewest, "log")


def _fano(spikes: Spikes, width: float, blocks: int) -> Estimate:
    counts = _whole_windows(spikes, width)
    sums = _in_blocks(np.stack([np.ones_like(counts), counts, counts**2], axis=1), blocks)

    def statistic(s: np.ndarray) -> np.ndarray:
        k, first, second = s[:, 0], s[:, 1], s[:, 2]
        return (second - first**2 / k) / (k - 1) / (first / k)

    return from_blocks(sums, statistic, np.full(spikes.n_units, len(counts)), "log")


def interval_cv(spikes: Any, *, blocks: int = BLOCKS) -> Estimate:
    """Return the coefficient of variation of the intervals of each unit, standard deviation (n − 1) over mean.

    >>> from sparsefire.spiking.trains.renewal import PoissonDeadTime
    >>> interval_cv(PoissonDeadTime(50.0, 5e-3).sample(200.0, rng=0)).value.round(1).tolist()
    [0.8]
    """

    def statistic(s: np.ndarray) -> np.ndarray:
        n, first, second = s[:, 0], s[:, 1], s[:, 2]
        return np.sqrt(np.maximum(second - first**2 / n, 0.0) / (n - 1)) / (first / n)

    return _of_intervals(spikes, 1, lambda x: [np.ones_like(x[0]), x[0], x[0] ** 2], statistic, blocks, "log")


def interval_cv2(spikes: Any, *, blocks: int = BLOCKS) -> Estimate:
    """Return CV2, the mean of 2 |x' − x| / (x' + x) over successive intervals: 1 for Poisson, blind to slow drifts.

    >>> interval_cv2(Spikes(np.arange(1, 201) / 10, np.zeros(200, int))).value.round(6).tolist()
    [0.0]
    """
    return _of_intervals(
        spikes, 2, lambda x: [np.ones_like(x[0]), 2 * np.abs(x[1] - x[0]) / (x[1] + x[0])], _mean, blocks, "plain"
    )


def local_variation(spikes: Any, *, blocks: int = BLOCKS) -> Estimate:
    """Return Lv, the mean of 3 ((x' − x) / (x' + x))² over successive intervals: 1 for Poisson, 3/(2 g + 1) for gamma.

    >>> from sparsefire.spiking.trains.renewal import GammaRenewal
    >>> bool(abs(local_variation(GammaRenewal(4.0, 20.0).sample(1000.0, rng=0)).value[0] - 1 / 3) < 0.02)
    True
    """
    return _of_intervals(
        spikes, 2, lambda x: [np.ones_like(x[0]), 3 * ((x[1] - x[0]) / (x[1] + x[0])) ** 2], _mean, blocks, "plain"
    )


def serial_correlation(spikes: Any, lag: int = 1, *, blocks: int = BLOCKS) -> Estimate:
    """Return the correlation between intervals that are ``lag`` apart, 0 for renewal trains.

    Args:
        spikes: Spikes, or a run.
        lag: 1 or more.
        blocks: of time, for the error.
    """
    apart = whole("a lag", lag)

    def statistic(s: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = (s[:, k] for k in range(6))
        return (xy - x * y / n) / np.sqrt((xx - x**2 / n) * (yy - y**2 / n))

    def features(x: list[np.ndarray]) -> list[np.ndarray]:
        a, b = x[0], x[-1]
        return [np.ones_like(a), a, b, a * a, b * b, a * b]

    return _of_intervals(spikes, apart + 1, features, statistic, blocks, "fisher")


def count_correlation(spikes: Any, window: float, *, blocks: int = BLOCKS) -> Estimate:
    """Return the correlation between the numbers of spikes of every two units in windows, [units, units].

    Args:
        spikes: Spikes, or a run.
        window: seconds; longer windows see slower correlation.
        blocks: of neighbouring windows, for the error.

    Memory is blocks · units² numbers: choose units first in large networks.
    """
    given, most = trains_of(spikes), block_count(blocks)
    counts = _whole_windows(given, number("a window", window, unit="seconds")) - 0.0
    counts -= counts.mean(axis=0)  # only for accuracy
    bounds = _bounds(len(counts), most)
    m = given.n_units
    sums = np.stack(
        [
            np.vstack([np.full((1, m), float(b - a)), counts[a:b].sum(axis=0)[None], counts[a:b].T @ counts[a:b]])
            for a, b in itertools.pairwise(bounds)
        ]
    )

    def statistic(s: np.ndarray) -> np.ndarray:
        k, mean, products = s[:, :1], s[:, 1], s[:, 2:]
        covariance = products - mean[:, :, None] * mean[:, None, :] / k
        spread = np.sqrt(np.einsum("bii->bi", covariance))
        found = covariance / (spread[:, :, None] * spread[:, None, :])
        diagonal = np.arange(m)
        found[:, diagonal, diagonal] = np.where(spread > 0, 1.0, np.nan)
        return found

    return from_blocks(sums, statistic, np.full((m, m), len(counts)), "fisher")


def _mean(s: np.ndarray) -> np.ndarray:
    return s[:, 1] / s[:, 0]


def _whole_windows(spikes: Spikes, width: float) -> np.ndarray:
    """Return counts in windows that lie within the recording, float64 [windows, units]."""
    fit = int(np.floor(spikes.duration / width * (1 + 1e-12)))
    if fit < FEWEST:
        raise UserError(
            "too few windows fit into the recording.", came=f"{fit} of {width:g} s", expected=f"{FEWEST} or more"
        )
    return spikes.counts_in(width)[:fit].astype(float)


def _bounds(rows: int, blocks: int) -> np.ndarray:
    return np.linspace(0, rows, min(blocks, rows) + 1).astype(np.int64)


def _in_blocks(features: np.ndarray, blocks: int) -> np.ndarray:
    return np.add.reduceat(features, _bounds(len(features), blocks)[:-1], axis=0)


def _of_intervals(
    spikes: Any, length: int, features: Callable[[list[np.ndarray]], list[np.ndarray]],
    statistic: Callable[[np.ndarray], np.ndarray], blocks: int, scale: str,
) -> Estimate:  # fmt: skip
    """Return a statistic of runs of ``length`` successive intervals, each counted in the block where it ends."""
    given, count = trains_of(spikes), block_count(blocks)
    order = np.argsort(given.units, kind="stable")
    times, units = given.times[order], given.units[order]
    gaps = np.diff(times)
    ends = np.arange(length, len(times))
    ends = ends[units[ends] == units[ends - length]] if len(ends) else ends
    columns = features([gaps[ends - length + k] for k in range(length)])
    width = given.duration / count if given.duration else 1.0
    block = np.minimum((times[ends] / width).astype(np.int64), count - 1)
    place = block * given.n_units + units[ends]
    size = count * given.n_units
    sums = np.stack([np.bincount(place, weights=column, minlength=size) for column in columns])
    sums = sums.reshape(len(columns), count, given.n_units).transpose(1, 0, 2)
    n = np.bincount(units[ends], minlength=given.n_units)
    found = from_blocks(sums, statistic, n, scale)
    enough = n > 2
    return Estimate(
        np.where(enough, found.value, np.nan), np.where(enough, found.error, np.nan), n, found.blocks, scale
    )
