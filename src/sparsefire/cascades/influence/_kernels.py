"""Compiled parts of influence maximisation: reverse-reachable sets, and sources that meet many of them.

Set r draws from the stream of ``(key, r)``, see :mod:`sparsefire.cascades.sampling.streams`, so it does not depend
on which worker draws it, in which batch.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import following, marks, start, uniform

_U = np.uint64
JUMPS, ARCS, WALK = 0, 1, 2  # one probability for all arcs into a unit; one per arc; at most one arc into a unit


@numba.njit(inline="always")
def _anywhere(a, b, units):  # exactly uniform on 0 … units - 1 (Lemire 2019, doi:10.1145/3230636)
    n = _U(units)
    while True:
        bits, a, b = following(a, b)
        product = (bits >> _U(32)) * n
        low = product & _U(0xFFFFFFFF)
        if low >= n or low >= _U(0x100000000) % n:
            return np.int64(product >> _U(32)), a, b


@numba.njit(inline="always")
def _one(kind, starts, senders, numbers, seen, queue, mark, key, number):
    """Fill ``queue`` with set ``number``: a random unit, and all from which open arcs lead to it. Return its size.

    Trials at arc after arc, of unit after unit, spend an exponential time, -log(1 - p) each; the arc in which it runs
    out is open, and a new time is drawn. So a set costs one draw for each open arc, whatever the probabilities.
    """
    a, b = start(key, _U(number))
    root, a, b = _anywhere(a, b, len(starts) - 1)
    bits, a, b = following(a, b)
    time = -math.log(uniform(bits))
    seen[root] = mark
    queue[0] = root
    at, end = 0, 1
    while at < end:
        v = queue[at]
        at += 1
        arc, last = starts[v], starts[v + 1]
        if kind == JUMPS:
            price = numbers[v]
            while time < price * (last - arc):
                arc += min(np.int64(time / price), last - arc - 1)
                bits, a, b = following(a, b)
                time = -math.log(uniform(bits))
                u = senders[arc]
                arc += 1
                if seen[u] != mark:
                    seen[u] = mark
                    queue[end] = u
                    end += 1
            if arc < last:
                time -= price * (last - arc)
        elif kind == ARCS:
            for e in range(arc, last):
                time -= numbers[e]
                if time < 0.0:
                    bits, a, b = following(a, b)
                    time = -math.log(uniform(bits))
                    u = senders[e]
                    if seen[u] != mark:
                        seen[u] = mark
                        queue[end] = u
                        end += 1
        elif arc < last:
            bits, a, b = following(a, b)
            share = uniform(bits)
            if share <= numbers[last - 1]:  # the first arc whose running total reaches the share
                low, high = arc, last - 1
                while low < high:
                    middle = (low + high) // 2
                    if share <= numbers[middle]:
                        high = middle
                    else:
                        low = middle + 1
                u = senders[low]
                if seen[u] != mark:
                    seen[u] = mark
                    queue[end] = u
                    end += 1
    return end


@numba.njit(nogil=True, cache=True)
def reverse_sets(kind, starts, senders, numbers, first, count, key):
    """Draw reverse-reachable sets.

    Args:
        kind: JUMPS: ``numbers`` [units] is -log(1 - p) of every arc into a unit; ARCS: [arcs], that of each arc; WALK:
            [arcs], the running total of the weights of the arcs into each unit.
        starts, senders: of the transposed wiring: who acts on each unit.
        first: number of the first set; ``count``: how many.
        key: uint64.

    Returns:
        ends int64 [count]: where each set ends in members int32.
    """
    units = len(starts) - 1
    seen, queue = np.empty(units, np.uint8), np.empty(units, np.int32)
    ends, members, total = np.empty(count, np.int64), np.empty(max(1024, 4 * count), np.int32), 0
    for r in range(count):
        size = _one(kind, starts, senders, numbers, seen, queue, marks(seen, r), key, first + r)
        if total + size > len(members):
            more = np.empty(2 * (total + size), np.int32)
            more[:total] = members[:total]
            members = more
        members[total : total + size] = queue[:size]
        total += size
        ends[r] = total
    return ends, members[:total]


@numba.njit(nogil=True, cache=True)
def first_met(kind, starts, senders, numbers, rank, sources, first, count, key):
    """Count of the same sets how many each of ``sources`` is the first to meet, int64 [sources].

    ``rank`` int32 [units] is the place of each unit among the sources, and ``sources`` for all others.
    """
    units = len(starts) - 1
    seen, queue = np.empty(units, np.uint8), np.empty(units, np.int32)
    met = np.zeros(sources + 1, np.int64)
    for r in range(count):
        size = _one(kind, starts, senders, numbers, seen, queue, marks(seen, r), key, first + r)
        best = np.int32(sources)
        for i in range(size):
            best = min(best, rank[queue[i]])
        met[best] += 1
    return met[:sources]


@numba.njit(nogil=True, cache=True)
def running_totals(starts, weights):
    """Return the running total of the weights within each row, float64 [arcs]."""
    totals = np.empty(len(weights))
    for v in range(len(starts) - 1):
        total = 0.0
        for arc in range(starts[v], starts[v + 1]):
            total += weights[arc]
            totals[arc] = total
    return totals


@numba.njit(nogil=True, cache=True)
def cover(ends, members, allowed, k):
    """Choose greedily the k units that meet most sets; ties go to the lowest id.

    Args:
        ends, members: of :func:`reverse_sets`.
        allowed: bool [units], at least k of them.
        k: how many.

    Returns:
        chosen int64 [k]; gains int64 [k], sets that each is the first to meet; and an upper bound of the sets that any
        k allowed units meet: the least over i ≤ k of what the first i meet and the k largest gains beyond them.
    """
    units, sets = len(allowed), len(ends)
    begin = np.zeros(units + 1, np.int64)
    for u in members:
        begin[u + 1] += 1
    counts = np.empty(units, np.int64)  # sets not met yet that hold the unit; -1: not to be chosen
    for u in range(units):
        counts[u] = begin[u + 1] if allowed[u] else -1
        begin[u + 1] += begin[u]
    holding, free, at = np.empty(len(members), np.int32), begin[:-1].copy(), 0
    for r in range(sets):
        while at < ends[r]:
            u = members[at]
            holding[free[u]] = r
            free[u] += 1
            at += 1
    with_count = np.zeros(counts.max() + 1, np.int64)
    for u in range(units):
        if counts[u] >= 0:
            with_count[counts[u]] += 1

    chosen, gains, met = np.empty(k, np.int64), np.empty(k, np.int64), np.zeros(sets, np.bool_)
    done, bound, top = 0, sets, len(with_count) - 1
    for i in range(k + 1):
        while top > 0 and with_count[top] == 0:
            top -= 1
        best, left, count = done, k, top
        while left > 0 and count > 0:
            taken = min(left, with_count[count])
            best += taken * count
            left -= taken
            count -= 1
        bound = min(bound, best)
        if i == k:
            break
        u = np.argmax(counts)
        chosen[i], gains[i] = u, counts[u]
        done += counts[u]
        for place in range(begin[u], begin[u + 1]):
            r = holding[place]
            if met[r]:
                continue
            met[r] = True
            for at in range(ends[r - 1] if r else 0, ends[r]):
                v = members[at]
                if counts[v] > 0:
                    with_count[counts[v]] -= 1
                    counts[v] -= 1
                    with_count[counts[v]] += 1
        counts[u] = -1
        with_count[0] -= 1
    return chosen, gains, bound
