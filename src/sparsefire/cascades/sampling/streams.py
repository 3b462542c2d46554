"""What every compiled run begins and ends with: a random stream of its own, marks, and what is written down.

Run r draws from xoroshiro128+ (doi:10.1145/3460772) started by SplitMix64 from ``(key, r)``, so a run does not depend
on which worker does it, in which batch. Marks are a byte per unit that says which run was there, cleared once in 255
runs.
"""

from __future__ import annotations

import numba
import numpy as np

_U = np.uint64
_EPOCHS = 255  # runs between two clearings of the marks


@numba.njit(inline="always")
def split(state):
    """Return SplitMix64's next state and number."""
    state = state + _U(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return state, z ^ (z >> _U(31))


@numba.njit(inline="always")
def start(key, run):
    """Return the state of the stream of a run."""
    state = key ^ (run * _U(0xD1342543DE82EF95))
    state, a = split(state)
    state, b = split(state)
    return a, b | _U(1)  # never both zero


@numba.njit(inline="always")
def following(a, b):
    """Return 64 random bits and the next state of the stream."""
    found = a + b
    b = b ^ a
    a = ((a << _U(24)) | (a >> _U(40))) ^ b ^ (b << _U(16))
    b = (b << _U(37)) | (b >> _U(27))
    return found, a, b


@numba.njit(inline="always")
def uniform(bits):
    """Return a number in (0, 1] from random bits."""
    return ((bits >> _U(11)) + _U(1)) * (1.0 / 9007199254740992.0)


@numba.njit(inline="always")
def marks(seen, r):
    """Return the mark of run r; marks of 255 runs ago are wiped."""
    if r % _EPOCHS == 0:
        seen[:] = 0
    return np.uint8(r % _EPOCHS + 1)


@numba.njit
def sow(sources, chances, seen, mark, queue, key, run):
    """Put the sources that start a run into the queue; return how many, and the state of its stream."""
    a, b = start(key, run)
    end = 0
    for s in range(len(sources)):
        if chances[s] < 1.0:
            bits, a, b = following(a, b)
            if uniform(bits) > chances[s]:
                continue
        seen[sources[s]] = mark
        queue[end] = sources[s]
        end += 1
    return end, a, b


@numba.njit(inline="always")
def finish(record, r, queue, end, steps):
    """Write down the size and duration of a run, and who was active if that is asked for."""
    record.sizes[r] = end
    record.durations[r] = steps
    if len(record.counts) and (record.wanted < 0 or record.wanted == end):
        for i in range(end):
            record.counts[queue[i]] += 1
    if len(record.begin):
        base = record.begin[r]
        for i in range(end):
            record.units[base + i] = queue[i]


@numba.njit(nogil=True, cache=True)
def uniforms(units, first, runs, key):
    """Return float64 [runs, units] in (0, 1): row r from a stream of run ``first`` + r that no cascade draws from."""
    found = np.empty((runs, units))
    for r in range(runs):
        a, b = start(~key, _U(first + r))
        for u in range(units):
            bits, a, b = following(a, b)
            found[r, u] = ((bits >> _U(12)) + 0.5) * (1.0 / 4503599627370496.0)
    return found
