"""Compiled sampling of independent cascades: many runs in one call.

What a run costs is what its cascade reaches. On large graphs the time goes into waiting for memory, so rows are asked
for before their turn.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.prefetch import AHEAD, prefetch
from sparsefire.cascades.sampling.streams import finish, following, marks, sow, uniform

_U = np.uint64
_TABLE = 1 / 256  # jumps of larger probabilities are looked up


@numba.njit
def _jumps(probability):
    """Return the table of a geometric law: 2^53 P(J ≤ k) and, for each first byte of a draw, the first k to look at."""
    length = min(2048, int(math.log(2.0**-12) / math.log1p(-probability)) + 2)
    limits = np.empty(length, np.uint64)
    for k in range(length):
        limits[k] = _U(-math.expm1((k + 1) * math.log1p(-probability)) * 9007199254740992.0)
    guide = np.empty(256, np.int64)
    k = 0
    for byte in range(256):
        while k < length and limits[k] <= _U(byte) << _U(45):
            k += 1
        guide[byte] = k
    return limits, guide


@numba.njit(nogil=True, cache=True)
def independent_jumps(starts, receivers, probability, accept, sources, chances, first, runs, key, record):
    """Independent cascades, from success to success.

    Trials at arc after arc are one Bernoulli sequence, so the (geometric) number of failures before the next success is
    drawn once per success and carried from one sender's arcs to the next sender's. Where arcs differ, the sequence has
    the largest probability and each success is accepted with the arc's share of it.

    Args:
        starts, receivers: of the wiring.
        probability: in [0, 1], the largest of all arcs.
        accept: uint64 [arcs], 2^53 p_arc / probability, or of length 0 where all arcs share one probability.
        sources: ids int64; ``chances`` [sources] activates each with its probability.
        first: number of the first run; ``runs``: how many.
        key: uint64.
        record: :class:`sparsefire.cascades.sampling.runs.Record`, written.
    """
    units = len(starts) - 1
    seen = np.empty(units, np.uint8)
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    certain, never = probability >= 1.0, probability <= 0.0
    looked_up = not certain and probability >= _TABLE
    limits, guide = _jumps(probability if looked_up else 0.5)
    length = len(limits)
    scale = 0.0 if certain or never else 1.0 / math.log1p(-probability)
    for r in range(runs):
        mark = marks(seen, r)
        end, a, b = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        at, steps, layer = 0, 0, end
        skip, fresh = np.int64(0), True  # failures still ahead; fresh: to be drawn
        while at < end:
            if at == layer:
                steps += 1
                layer = end
            u = queue[at]
            at += 1
            if at + AHEAD < end:
                prefetch(receivers, starts[queue[at + AHEAD]])
            arc, last = starts[u], starts[u + 1]
            if never:
                continue
            while True:
                if fresh:
                    skip = np.int64(0)
                    if looked_up:
                        while True:
                            bits, a, b = following(a, b)
                            x = bits >> _U(11)
                            k = guide[x >> _U(45)]
                            while k < length and x >= limits[k]:
                                k += 1
                            skip += k
                            if k < length:
                                break
                    elif not certain:
                        bits, a, b = following(a, b)
                        skip = np.int64(min(math.log(uniform(bits)) * scale, 4e18))
                    fresh = False
                if skip >= last - arc:
                    skip -= last - arc
                    break
                arc += skip
                fresh = True
                v = receivers[arc]
                if len(accept):
                    bits, a, b = following(a, b)
                    if (bits >> _U(11)) >= accept[arc]:
                        arc += 1
                        continue
                arc += 1
                if seen[v] != mark:
                    seen[v] = mark
                    queue[end] = v
                    prefetch(starts, np.int64(v))
                    if tell:
                        by[base + end], when[base + end] = u, steps + 1
                    end += 1
        finish(record, r, queue, end, steps)


@numba.njit(nogil=True, cache=True)
def independent_each(starts, receivers, thresholds, sources, chances, first, runs, key, record):
    """Independent cascades with probabilities per arc, as thresholds 2^53 p on the raw bits; draws before it looks."""
    units = len(starts) - 1
    seen = np.empty(units, np.uint8)
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    for r in range(runs):
        mark = marks(seen, r)
        end, a, b = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        at, steps, layer = 0, 0, end
        while at < end:
            if at == layer:
                steps += 1
                layer = end
            u = queue[at]
            at += 1
            if at + AHEAD < end:
                prefetch(receivers, starts[queue[at + AHEAD]])
            for arc in range(starts[u], starts[u + 1]):
                bits, a, b = following(a, b)
                if (bits >> _U(11)) < thresholds[arc]:
                    v = receivers[arc]
                    if seen[v] != mark:
                        seen[v] = mark
                        queue[end] = v
                        prefetch(starts, np.int64(v))
                        if tell:
                            by[base + end], when[base + end] = u, steps + 1
                        end += 1
        finish(record, r, queue, end, steps)
