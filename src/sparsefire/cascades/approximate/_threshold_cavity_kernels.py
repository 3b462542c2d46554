"""Compiled belief propagation of threshold cascades: sums over numbers of active in-neighbours."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _expect(w: np.ndarray, m: float, times: int) -> None:
    """w[c] ← E w[c + times · Bernoulli(m)], in place; the last entry stands for all larger numbers."""
    last = len(w) - 1
    for c in range(last):
        w[c] = (1.0 - m) * w[c] + m * w[min(c + times, last)]


@njit(nogil=True, cache=True)
def _count(law: np.ndarray, m: float, times: int) -> None:
    """Add times · Bernoulli(m) to a number with this law, in place; the last entry gathers all larger numbers."""
    last = len(law) - 1
    for c in range(last - 1, -1, -1):
        law[min(c + times, last)] += m * law[c]
        law[c] *= 1.0 - m


@njit(nogil=True, cache=True)
def settle(
    order: np.ndarray,
    in_starts: np.ndarray,
    receivers: np.ndarray,
    times: np.ndarray,
    partner: np.ndarray,
    out_starts: np.ndarray,
    outward: np.ndarray,
    response: np.ndarray,
    starts: np.ndarray,
    sweeps: int,
    tolerance: float,
):
    """Sweep back and forth until no message rises by more than ``tolerance``.

    Returns marginals, messages, and whether they settled.

    Arcs stand by receiver; ``times`` says how many parallel ones each is, ``partner`` is the arc back or -1, and
    ``outward`` lists the arcs of each sender. Units none of whose messages moved are left alone. What a unit is without
    one of its k in-neighbours is the law of the number of active ones before it, times the expected response to those
    after it, of which every √k-th is stored: k² time, k^1.5 memory.
    """
    n = len(order)
    message = np.zeros(len(receivers))
    marginals = np.zeros(n)
    stale = np.ones(n, np.bool_)
    for sweep in range(sweeps):
        moved = False
        for at in range(n):
            j = order[at] if sweep % 2 else order[n - 1 - at]
            if not stale[j]:
                continue
            stale[j] = False
            moved = True
            r = response[starts[j] : starts[j + 1]]
            flat = len(r) - 1
            while flat > 0 and r[flat - 1] == r[flat]:
                flat -= 1
            first, last = in_starts[j], in_starts[j + 1]
            block = int(math.sqrt(last - first)) + 1
            blocks = (last - first + block - 1) // block
            ends = np.empty((blocks, flat + 1))
            w = r[: flat + 1].copy()
            for b in range(blocks - 1, -1, -1):
                ends[b] = w
                for e in range(min(last, first + (b + 1) * block) - 1, first + b * block - 1, -1):
                    _expect(w, message[e], times[e])
            marginals[j] = w[0]
            for k in range(out_starts[j], out_starts[j + 1]):
                e = outward[k]
                if partner[e] < 0 and w[0] > message[e]:
                    if w[0] > message[e] + tolerance:
                        stale[receivers[e]] = True
                    message[e] = w[0]
            law = np.zeros(flat + 1)
            law[0] = 1.0
            after = np.empty((block, flat + 1))
            for b in range(blocks):
                low, high = first + b * block, min(last, first + (b + 1) * block)
                after[high - low - 1] = ends[b]
                for e in range(high - 1, low, -1):
                    after[e - low - 1] = after[e - low]
                    _expect(after[e - low - 1], message[e], times[e])
                for e in range(low, high):
                    out = partner[e]
                    if out >= 0:
                        new = 0.0
                        for c in range(flat + 1):
                            new += law[c] * after[e - low, c]
                        new = min(new, 1.0)
                        if new > message[out]:
                            if new > message[out] + tolerance:
                                stale[receivers[out]] = True
                            message[out] = new
                    _count(law, message[e], times[e])
        if not moved:
            return marginals, message, True
    return marginals, message, not stale.any()
