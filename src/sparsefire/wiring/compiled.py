"""Compiled parts of this room: sorting arcs into rows, edge swaps, and growth processes. Imported late: numba is slow.

Random numbers inside come from SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195), started by one
64-bit key that the caller draws from its stream; bounded integers are exact (rejection, no modulo bias).
"""

from __future__ import annotations

import numba
import numpy as np

_U = np.uint64


@numba.njit(inline="always")
def _below(state, bound):
    """Return a whole number in [0, bound) and the next state."""
    n = _U(bound)
    least = (_U(0) - n) % n  # of 2⁶⁴ values the first 2⁶⁴ mod n are left out
    while True:
        state = state + _U(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
        z = z ^ (z >> _U(31))
        if z >= least:
            return np.int64(z % n), state


@numba.njit(cache=True)
def rows(tails, heads, senders, receivers):
    """Sort arcs by sender, then receiver, then order given: two stable counting sorts.

    Args:
        tails, heads: whole numbers [arcs]. senders, receivers: how many there are.

    Returns:
        starts int64 [senders + 1], heads in order int32 [arcs], order int64 [arcs].
    """
    arcs = len(tails)
    starts = np.zeros(senders + 1, np.int64)
    in_order = True
    for e in range(arcs):
        starts[tails[e] + 1] += 1
        if e and (tails[e] < tails[e - 1] or (tails[e] == tails[e - 1] and heads[e] < heads[e - 1])):
            in_order = False
    for u in range(senders):
        starts[u + 1] += starts[u]
    sorted_heads = np.empty(arcs, np.int32)
    order = np.empty(arcs, np.int64)
    if in_order:
        for e in range(arcs):
            sorted_heads[e] = heads[e]
            order[e] = e
        return starts, sorted_heads, order
    first = columns(heads, receivers)[1]
    free = starts[:-1].copy()
    for i in range(arcs):
        e = first[i]
        at = free[tails[e]]
        free[tails[e]] = at + 1
        sorted_heads[at] = heads[e]
        order[at] = e
    return starts, sorted_heads, order


@numba.njit(cache=True)
def columns(heads, receivers):
    """Sort by receiver, stably. Return starts int64 [receivers + 1] and order int64 [arcs]."""
    starts = np.zeros(receivers + 1, np.int64)
    for e in range(len(heads)):
        starts[heads[e] + 1] += 1
    for v in range(receivers):
        starts[v + 1] += starts[v]
    free = starts[:-1].copy()
    order = np.empty(len(heads), np.int64)
    for e in range(len(heads)):
        order[free[heads[e]]] = e
        free[heads[e]] += 1
    return starts, order


# A table of pairs with their multiplicities: open addressing, linear probing, keys of -1 free, power-of-two length.


@numba.njit(inline="always")
def _slot(keys, key):
    mask = len(keys) - 1
    at = np.int64((_U(key) * _U(0x9E3779B97F4A7C15)) >> _U(20)) & mask
    while keys[at] >= 0 and keys[at] != key:
        at = (at + 1) & mask
    return at


@numba.njit
def _put(keys, times, key):
    at = _slot(keys, key)
    keys[at] = key
    times[at] += 1


@numba.njit
def _take(keys, times, key):
    mask = len(keys) - 1
    at = _slot(keys, key)
    times[at] -= 1
    if times[at] > 0:
        return
    hole = at
    while True:  # move later entries of the run into the hole, so that probing still finds them
        at = (at + 1) & mask
        if keys[at] < 0:
            break
        home = np.int64((_U(keys[at]) * _U(0x9E3779B97F4A7C15)) >> _U(20)) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            keys[hole], times[hole] = keys[at], times[at]
            hole = at
    keys[hole], times[hole] = -1, 0


@numba.njit(inline="always")
def _pair(u, v, width, directed):
    if directed or u < v:
        return u * width + v
    return v * width + u


@numba.njit
def _table(tails, heads, width, directed):
    size = 16
    while size < 2 * len(tails):
        size *= 2
    keys, times = np.full(size, -1, np.int64), np.zeros(size, np.int32)
    for e in range(len(tails)):
        _put(keys, times, _pair(tails[e], heads[e], width, directed))
    return keys, times


@numba.njit(cache=True)
def swap(tails, heads, width, directed, square, proposals, picks, key):
    """Propose edge swaps (a, b), (c, d) → (a, d), (c, b); one that would make a loop or a parallel arc is refused.

    Args:
        tails, heads: int64 [edges], changed in place. width: more than every id.
        directed: False also turns the second edge round with probability ½, and takes (u, v) for (v, u).
        square: whether (u, u) is a loop, which it is not between two layers.
        proposals: how many; the first edge is drawn from ``picks`` int64, or from all edges where that is empty.
        key: uint64.

    Returns:
        How many were accepted.
    """
    keys, times = _table(tails, heads, width, directed)
    state, done, edges = key, 0, len(tails)
    for _ in range(proposals):
        if len(picks):
            i, state = _below(state, len(picks))
            i = picks[i]
        else:
            i, state = _below(state, edges)
        j, state = _below(state, edges)
        a, b, c, d = tails[i], heads[i], tails[j], heads[j]
        if not directed:
            coin, state = _below(state, 2)
            if coin:
                c, d = d, c
        if i == j or (square and (a == d or c == b)):
            continue
        one, two = _pair(a, d, width, directed), _pair(c, b, width, directed)
        if one == two or keys[_slot(keys, one)] >= 0 or keys[_slot(keys, two)] >= 0:
            continue
        _take(keys, times, _pair(a, b, width, directed))
        _take(keys, times, _pair(c, d, width, directed))
        _put(keys, times, one)
        _put(keys, times, two)
        heads[i], tails[j], heads[j] = d, c, b
        done += 1
    return done


@numba.njit(cache=True)
def choose(senders, fan_in, skip_self, key):
    """Return int64 [Σ fan_in]: for each receiver in turn that many different senders, uniformly (Floyd's sampling).

    Bentley and Floyd 1987, doi:10.1145/30401.315746. ``skip_self`` leaves receiver v out of its own senders.
    """
    found = np.empty(fan_in.sum(), np.int64)
    stamp = np.full(senders, -1, np.int64)
    state, at = key, 0
    for v in range(len(fan_in)):
        pool = senders - 1 if skip_self else senders
        for j in range(pool - fan_in[v], pool):
            t, state = _below(state, j + 1)
            if stamp[t] == v:
                t = j
            stamp[t] = v
            found[at] = t + 1 if skip_self and t >= v else t
            at += 1
    return found


@numba.njit(cache=True)
def small_world(units, half, moved, key):
    """Return the edges of a ring, ``half`` neighbours on each side; where ``moved`` [half · units], with a new end."""
    tails, heads = np.empty(units * half, np.int64), np.empty(units * half, np.int64)
    degree = np.full(units, 2 * half, np.int64)
    for e in range(units * half):
        tails[e], heads[e] = e % units, (e % units + e // units + 1) % units
    keys, times = _table(tails, heads, units, False)
    state = key
    for e in range(units * half):
        u = tails[e]
        if not moved[e] or degree[u] >= units - 1:
            continue
        while True:
            w, state = _below(state, units)
            if w != u and keys[_slot(keys, _pair(u, w, units, False))] < 0:
                break
        _take(keys, times, _pair(u, heads[e], units, False))
        _put(keys, times, _pair(u, w, units, False))
        degree[heads[e]] -= 1
        degree[w] += 1
        heads[e] = w
    return tails, heads


@numba.njit(cache=True)
def attach(units, links, key):
    """Return the edges of preferential attachment, new unit first, from a star of ``links`` + 1 units on."""
    edges = links + (units - links - 1) * links
    tails, heads = np.empty(edges, np.int64), np.empty(edges, np.int64)
    ends = np.empty(2 * edges, np.int64)  # every unit as often as it has edges
    stamp = np.full(units, -1, np.int64)
    state, e = key, 0
    for v in range(1, links + 1):
        tails[e], heads[e], ends[2 * e], ends[2 * e + 1] = v, 0, v, 0
        e += 1
    for v in range(links + 1, units):
        before = 2 * e
        for _ in range(links):
            while True:
                at, state = _below(state, before)
                if stamp[ends[at]] != v:
                    break
            stamp[ends[at]] = v
            tails[e], heads[e], ends[2 * e], ends[2 * e + 1] = v, ends[at], v, ends[at]
            e += 1
    return tails, heads


@numba.njit(cache=True)
def from_pruefer(sequence, units):
    """Return the parent of every unit in the tree of a Prüfer sequence [units − 2], rooted at the last unit."""
    degree = np.ones(units, np.int64)
    for unit in sequence:
        degree[unit] += 1
    parents = np.full(units, -1, np.int64)
    pointer = 0
    while degree[pointer] != 1:
        pointer += 1
    leaf = pointer
    for unit in sequence:
        parents[leaf] = unit
        degree[unit] -= 1
        if degree[unit] == 1 and unit < pointer:
            leaf = unit
        else:
            pointer += 1
            while degree[pointer] != 1:
                pointer += 1
            leaf = pointer
    parents[leaf] = units - 1
    return parents
