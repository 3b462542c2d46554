"""Cut recorded activity into avalanches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False, repr=False)
class Avalanches:
    """Runs of bins with events, each between two empty bins.

    Attributes:
        sizes: events in each, int64 [avalanches].
        durations: its bins, int64 [avalanches].
        starts: its first bin, int64 [avalanches].
        cut: how many were left out because the record begins or ends within them.
    """

    sizes: np.ndarray
    durations: np.ndarray
    starts: np.ndarray
    cut: int

    def __repr__(self) -> str:
        return f"Avalanches({len(self.sizes):,}, {int(self.sizes.sum()):,} events, {self.cut} cut off)"


def count_events(times: Any, bin: float | None = None, *, start: float | None = None, stop: float | None = None) -> Any:
    """Count events in bins of equal width.

    Args:
        times: of events of all units together, in seconds, in any order [events].
        bin: width in seconds; None for the mean interval between successive events, the usual choice for avalanches
            (Beggs & Plenz 2003, doi:10.1523/JNEUROSCI.23-35-11167.2003). Exponents depend on it: try several.
        start, stop: of the record, in seconds; by default the first and the last event. The last bin is the one that
            holds ``stop``.

    Returns:
        int64 [bins].

    Raises:
        UserError: fewer than two times, times that are not finite or outside the record, a width that is not above 0.

    >>> count_events([0.1, 0.2, 0.9], bin=0.25, start=0.0).tolist()
    [2, 0, 0, 1]
    """
    given = np.sort(np.asarray(times, dtype=np.float64), axis=None)
    if given.size < 2 or not np.isfinite(given).all():
        raise UserError("events have times.", came=f"{given.size} of them", expected="2 or more finite numbers")
    first, last = given[0] if start is None else float(start), given[-1] if stop is None else float(stop)
    if not (np.isfinite([first, last]).all() and first <= given[0] and given[-1] <= last):
        raise UserError(
            "there are events outside the record.",
            came=f"events from {given[0]:g} to {given[-1]:g} s, a record from {first:g} to {last:g} s",
            expected="start ≤ every time ≤ stop",
        )
    width = (given[-1] - given[0]) / (given.size - 1) if bin is None else float(bin)
    if not (np.isfinite(width) and width > 0):
        raise UserError("a bin has a width.", came=f"{width} s", expected="more than 0 s")
    bins = int((last - first) // width) + 1
    return np.bincount(np.minimum(((given - first) // width).astype(np.int64), bins - 1), minlength=bins)


def cut_avalanches(counts: Any, *, keep_cut: bool = False) -> Avalanches:
    """Cut a series of counts into avalanches: runs of bins with events, each between two empty bins.

    There is no threshold: to cut a continuous signal at a level makes exponents of its own (arXiv:1902.10465).

    Args:
        counts: events per bin, whole numbers [bins]; or a raster of spikes [bins, units], which is summed over units.
        keep_cut: also keep avalanches within which the record begins or ends, with what was seen of them.

    Raises:
        UserError: counts that are negative, not whole or not finite, or have another shape.

    >>> found = cut_avalanches([0, 2, 1, 0, 0, 5, 0, 1])
    >>> found.sizes.tolist(), found.durations.tolist(), found.starts.tolist(), found.cut
    ([3, 5], [2, 1], [1, 5], 1)
    """
    given = np.asarray(counts)
    if given.ndim not in (1, 2) or not given.size or given.dtype.kind not in "biuf":
        raise UserError(
            "avalanches are cut from counts.",
            came=f"{given.dtype} of shape {given.shape}",
            expected="whole numbers [bins], or a raster [bins, units]",
        )
    with np.errstate(invalid="ignore"):
        whole = given.astype(np.int64)
    wrong = np.argwhere(~((given >= 0) & (whole == given)))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise UserError(
            "a count of events is a whole number.",
            came=f"{given[at]} in entry {at[0] if len(at) == 1 else at}",
            expected="0 or more",
        )
    series = whole.sum(axis=1) if whole.ndim == 2 else whole
    change = np.diff(np.concatenate([[0], (series > 0).astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
    complete = (starts > 0) & (ends < len(series))
    cut = int((~complete).sum())
    if keep_cut:
        complete[:], cut = True, 0
    total = np.concatenate([[0], np.cumsum(series)])
    starts, ends = starts[complete], ends[complete]
    return Avalanches(total[ends] - total[starts], ends - starts, starts, cut)
