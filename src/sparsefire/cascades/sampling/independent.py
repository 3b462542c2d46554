"""Compiled sampling of cascades: many runs in one call, each with its own random stream.

Run r draws from xoroshiro128+ (doi:10.1145/3460772) started by SplitMix64 from ``(key, r)``, so a run does not depend
on which worker does it, in which batch. What a run costs is what its cascade reaches: visited marks are a byte per unit
that says which run was there, cleared once in 255 runs. On large graphs the time goes into waiting for memory, so rows
are asked for before their turn.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.prefetch import prefetch

AHEAD = 3  # rows that are asked for before their turn
_U = np.uint64
_EPOCHS = 255  # runs between two clearings of the marks
_TABLE = 1 / 256  # jumps of larger probabilities are looked up


@numba.njit(inline="always")
def _split(state):  # SplitMix64: one step
    state = state + _U(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return state, z ^ (z >> _U(31))


@numba.njit(inline="always")
def _start(key, run):
    state = key ^ (run * _U(0xD1342543DE82EF95))
    state, a = _split(state)
    state, b = _split(state)
    return a, b | _U(1)  # never both zero


@numba.njit(inline="always")
def _next(a, b):
    found = a + b
    b = b ^ a
    a = ((a << _U(24)) | (a >> _U(40))) ^ b ^ (b << _U(16))
    b = (b << _U(37)) | (b >> _U(27))
    return found, a, b


@numba.njit(inline="always")
def _uniform(bits):  # in (0, 1]
    return ((bits >> _U(11)) + _U(1)) * (1.0 / 9007199254740992.0)


@numba.njit(inline="always")
def _marks(seen, r):  # the mark of run r; marks of 255 runs ago are wiped
    if r % _EPOCHS == 0:
        seen[:] = 0
    return np.uint8(r % _EPOCHS + 1)


@numba.njit
def _sow(sources, chances, seen, mark, queue, key, run):  # the stream of a run, and the sources that start it
    a, b = _start(key, run)
    end = 0
    for s in range(len(sources)):
        if chances[s] < 1.0:
            bits, a, b = _next(a, b)
            if _uniform(bits) > chances[s]:
                continue
        seen[sources[s]] = mark
        queue[end] = sources[s]
        end += 1
    return end, a, b


@numba.njit(inline="always")
def _finish(record, r, queue, end, steps):  # sizes, durations, and how often each unit was active
    record.sizes[r] = end
    record.durations[r] = steps
    if len(record.counts) and (record.wanted < 0 or record.wanted == end):
        for i in range(end):
            record.counts[queue[i]] += 1
    if len(record.begin):
        base = record.begin[r]
        for i in range(end):
            record.units[base + i] = queue[i]


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
        mark = _marks(seen, r)
        end, a, b = _sow(sources, chances, seen, mark, queue, key, _U(first + r))
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
                            bits, a, b = _next(a, b)
                            x = bits >> _U(11)
                            k = guide[x >> _U(45)]
                            while k < length and x >= limits[k]:
                                k += 1
                            skip += k
                            if k < length:
                                break
                    elif not certain:
                        bits, a, b = _next(a, b)
                        skip = np.int64(min(math.log(_uniform(bits)) * scale, 4e18))
                    fresh = False
                if skip >= last - arc:
                    skip -= last - arc
                    break
                arc += skip
                fresh = True
                v = receivers[arc]
                if len(accept):
                    bits, a, b = _next(a, b)
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
        _finish(record, r, queue, end, steps)


@numba.njit(nogil=True, cache=True)
def independent_each(starts, receivers, thresholds, sources, chances, first, runs, key, record):
    """Independent cascades with probabilities per arc, as thresholds 2^53 p on the raw bits; draws before it looks."""
    units = len(starts) - 1
    seen = np.empty(units, np.uint8)
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    for r in range(runs):
        mark = _marks(seen, r)
        end, a, b = _sow(sources, chances, seen, mark, queue, key, _U(first + r))
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
                bits, a, b = _next(a, b)
                if (bits >> _U(11)) < thresholds[arc]:
                    v = receivers[arc]
                    if seen[v] != mark:
                        seen[v] = mark
                        queue[end] = v
                        prefetch(starts, np.int64(v))
                        if tell:
                            by[base + end], when[base + end] = u, steps + 1
                        end += 1
        _finish(record, r, queue, end, steps)


@numba.njit(nogil=True, cache=True)
def uniforms(units, first, runs, key):
    """Return float64 [runs, units] in (0, 1): row r from a stream of run ``first`` + r that no cascade draws from."""
    found = np.empty((runs, units))
    for r in range(runs):
        a, b = _start(~key, _U(first + r))
        for u in range(units):
            bits, a, b = _next(a, b)
            found[r, u] = ((bits >> _U(12)) + 0.5) * (1.0 / 4503599627370496.0)
    return found
