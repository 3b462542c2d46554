"""Put the logarithm of a law together from passes with different exponential tilts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

REACH = 350.0  # a pass is trusted down to exp(-350), about 1e-152, of the largest tilted entry nearby
PASSES = 60
STEPS = (0.0, 300.0, 1200.0)  # extra tilt where a pass beyond the known part shows nothing new

Pass = Callable[[float, int], tuple[np.ndarray, bool]]


def stitched(
    run: Pass, size: int, least: int, most: int, fallback: Callable[[], np.ndarray], span: int = 0
) -> np.ndarray:
    """Return log P(0) … log P(size - 1), of relative accuracy everywhere.

    Weighting size n by r^n (y ↦ r·y in a generating function with coefficients of 0 or more) loses no relative
    accuracy, and moves the entries that were too small to be held next to the largest one. The next r makes the law
    flat across a gap between known entries, or just beyond the known part (slope and curvature there say where).

    Args:
        run: ``run(mantissa, exponent)`` returns the logarithms of the coefficients of G(r·y), r = mantissa · 2^exponent
            with mantissa in [0.5, 1), and whether it had to drop anything.
        size: how many entries.
        least, most: sizes outside are impossible.
        fallback: gives all logarithms by slow arithmetic of unlimited range, for gaps that no tilt reaches.
        span: what a pass drops is small beside an entry less than so many places away; 0: beside any entry.

    >>> law = np.log(0.5) * np.arange(1, 5)
    >>> stitched(lambda m, e: (law + np.arange(4) * np.log(m * 2.0**e), False), 4, 0, 3, lambda: law).round(3).tolist()
    [-0.693, -1.386, -2.079, -2.773]
    """
    found = np.full(size, -np.inf)
    depth = np.full(size, np.inf)  # how far below what might hide it in its pass
    sizes = np.arange(size)

    def look(log_r: float) -> bool:
        """Make one pass; return whether what it did not show is impossible."""
        mantissa, exponent = math.frexp(math.exp(log_r - math.floor(log_r / math.log(2)) * math.log(2)))
        exponent += math.floor(log_r / math.log(2))
        tilted, dropped = run(mantissa, exponent)
        below = _below(tilted, span)
        better = (below < REACH if dropped else np.isfinite(tilted)) & (below < depth)
        found[better] = (tilted - sizes * (math.log(mantissa) + exponent * math.log(2)))[better]
        depth[better] = below[better]
        return not dropped

    if look(0.0):
        return found
    known = np.isfinite(depth)
    known[:least] = known[most + 1 :] = True  # impossible
    for _ in range(PASSES):
        gaps = np.flatnonzero(~known)
        if not len(gaps):
            return found
        first = int(gaps[0])
        beyond = np.flatnonzero(known[first:])
        last = first + (int(beyond[0]) if len(beyond) else size - first)  # the gap is [first, last)
        before = np.flatnonzero(np.isfinite(found[:first]))
        after = np.flatnonzero(np.isfinite(found[last:])) + last
        for extra in STEPS:
            if look(_tilt(found, before, after, extra, span)):
                return found
            if (np.isfinite(depth) & ~known).any():
                break
            if len(before) and len(after):
                break
        fresh = np.isfinite(depth) & ~known
        if not fresh.any():
            break
        known |= fresh
    slow = fallback()
    unknown = ~np.isfinite(depth)
    unknown[:least] = unknown[most + 1 :] = False
    found[unknown] = slow[unknown]
    return found


def _below(tilted: np.ndarray, span: int) -> np.ndarray:
    """Return how far each entry lies below what may hide it; it is sure down to -REACH.

    Without a span that is the largest entry of all. With one, an entry can hide others exp(-REACH) times as large up
    to ``span`` places away, and further off ones on a cone that falls by REACH per span: they are hidden step by step,
    possibly by some that are hidden themselves.
    """
    if not span:
        return np.asarray(tilted.max() - tilted)

    from scipy.ndimage import maximum_filter1d

    fall = REACH / span * np.arange(len(tilted))
    cone = np.full(len(tilted), -np.inf)
    cone[span:] = np.maximum.accumulate(tilted + fall)[:-span] - fall[span:]
    back = np.maximum.accumulate((tilted - fall)[::-1])[::-1][span:] + fall[:-span]
    cone[:-span] = np.maximum(cone[:-span], back)
    near = maximum_filter1d(tilted, 2 * span - 1, mode="nearest")
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(tilted), np.maximum(near, cone + REACH) - tilted, np.inf)


def _tilt(found: np.ndarray, before: np.ndarray, after: np.ndarray, extra: float, span: int) -> float:
    """Return log r for a gap: level across it, or a little beyond the edge of what is known."""
    if len(before) and len(after):
        left, right = int(before[-1]), int(after[0])
        return -(found[right] - found[left]) / (right - left)
    edge, sign = (before[-12:][::-1], 1.0) if len(before) else (after[:12], -1.0)
    if len(edge) < 2:
        return sign * (REACH / 2 + extra)
    values = found[edge]
    slope = (values[0] - values[1]) / abs(int(edge[0] - edge[1]))  # outward change per step
    half = len(edge) // 2
    bend = 0.0
    if half >= 2:
        inner = (values[half] - values[-1]) / abs(int(edge[half] - edge[-1]))
        outer = (values[0] - values[half - 1]) / abs(int(edge[0] - edge[half - 1]))
        bend = max(0.0, (inner - outer) / max(1, half))
    further = max(0.85 * math.sqrt(2 * REACH * bend), 0.8 * REACH / span if span else 0.0)
    return sign * (-slope + further + extra)
