"""Compiled sampling of cascades: many runs in one call, each with its own random stream.

Run r draws from xoroshiro128+ (doi:10.1145/3460772) started by SplitMix64 from ``(key, r)``, so a run does not depend
on which worker does it, in which batch. Visited marks are run numbers, so nothing is cleared between runs; what a run
costs is what its cascade reaches.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_U = np.uint64


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
def _sow(sources, chances, seen, queue, r, key, first):  # start run r: its stream, and the sources that are active
    a, b = _start(key, _U(first + r))
    end = 0
    for s in range(len(sources)):
        bits, a, b = _next(a, b)
        u = sources[s]
        if _uniform(bits) <= chances[s] and seen[u] != r:
            seen[u] = r
            queue[end] = u
            end += 1
    return end, a, b


@numba.njit(nogil=True, cache=True)
def independent_shared(starts, receivers, probability, sources, chances, first, runs, key, sizes, durations):
    """Independent cascades with one probability for all arcs: jumps from success to success (geometric).

    Args:
        starts, receivers: of the wiring.
        probability: in [0, 1].
        sources: ids int64; ``chances`` [sources] activates each with its probability.
        first: number of the first run; ``runs``: how many.
        key: uint64.
        sizes, durations: int64 [runs], written.
    """
    units = len(starts) - 1
    seen = np.full(units, -1, np.int64)
    queue = np.empty(units, np.int32)
    scale = 1.0 / math.log1p(-probability) if 0.0 < probability < 1.0 else 0.0
    for r in range(runs):
        end, a, b = _sow(sources, chances, seen, queue, r, key, first)
        at, steps, layer = 0, 0, end
        while at < end:
            if at == layer:
                steps += 1
                layer = end
            u = queue[at]
            at += 1
            arc, last = starts[u], starts[u + 1]
            if probability <= 0.0:
                continue
            while True:
                if probability < 1.0:
                    bits, a, b = _next(a, b)
                    jump = math.log(_uniform(bits)) * scale
                    if not jump < last - arc:  # also where the smallest probabilities give 0 · ∞
                        break
                    arc += np.int64(jump)
                elif arc >= last:
                    break
                v = receivers[arc]
                arc += 1
                if seen[v] != r:
                    seen[v] = r
                    queue[end] = v
                    end += 1
        sizes[r] = end
        durations[r] = steps


@numba.njit(nogil=True, cache=True)
def independent_per_arc(starts, receivers, thresholds, sources, chances, first, runs, key, sizes, durations):
    """Independent cascades with one probability per arc, as thresholds on the raw bits; draws before it looks."""
    units = len(starts) - 1
    seen = np.full(units, -1, np.int64)
    queue = np.empty(units, np.int32)
    for r in range(runs):
        end, a, b = _sow(sources, chances, seen, queue, r, key, first)
        at, steps, layer = 0, 0, end
        while at < end:
            if at == layer:
                steps += 1
                layer = end
            u = queue[at]
            at += 1
            for arc in range(starts[u], starts[u + 1]):
                bits, a, b = _next(a, b)
                if (bits >> _U(11)) < thresholds[arc]:
                    v = receivers[arc]
                    if seen[v] != r:
                        seen[v] = r
                        queue[end] = v
                        end += 1
        sizes[r] = end
        durations[r] = steps
