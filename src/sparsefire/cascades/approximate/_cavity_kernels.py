"""Compiled belief propagation over the arcs of any graph."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def visiting_order(
    out_starts: np.ndarray, receivers: np.ndarray, in_starts: np.ndarray, in_senders: np.ndarray
) -> np.ndarray:
    """Order units breadth first, directions ignored: on a forest one sweep back and one forth settle all messages."""
    n = len(out_starts) - 1
    order = np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    last = 0
    for root in range(n):
        if seen[root]:
            continue
        seen[root] = True
        order[last] = root
        first, last = last, last + 1
        while first < last:
            u = order[first]
            first += 1
            for k in range(out_starts[u], out_starts[u + 1]):
                v = receivers[k]
                if not seen[v]:
                    seen[v] = True
                    order[last] = v
                    last += 1
            for k in range(in_starts[u], in_starts[u + 1]):
                v = in_senders[k]
                if not seen[v]:
                    seen[v] = True
                    order[last] = v
                    last += 1
    return order


@njit(nogil=True, cache=True)
def _logarithm(x: float) -> float:
    return math.log1p(-x) if x < 1.0 else -np.inf


@njit(nogil=True, cache=True)
def _active(p: float, linear: bool, total: float) -> float:
    """P(active) of a unit from the sum over its in-arcs: of w m if linear, else of log(1 - w m)."""
    if linear:
        return min(1.0, p + (1.0 - p) * total)
    return -math.expm1(_logarithm(p) + total)


@njit(nogil=True, cache=True)
def propagate(
    p: np.ndarray,
    w: np.ndarray,
    linear: bool,
    partner: np.ndarray,
    order: np.ndarray,
    in_starts: np.ndarray,
    lone_starts: np.ndarray,
    lone: np.ndarray,
    messages: np.ndarray,
    sweeps: int,
    tolerance: float,
):
    """Sweep back and forth until no message moves by more than ``tolerance`` of itself.

    The sums without one arc are prefix and suffix sums: nothing is divided out, and small ones keep their digits.
    Arcs stand by receiver; ``partner`` is the arc back or -1, ``lone`` lists the arcs without one by sender.
    ``messages`` is overwritten. Returns (largest relative change in the last sweep, marginals).
    """
    n = len(p)
    widest = 0
    for i in range(n):
        widest = max(widest, in_starts[i + 1] - in_starts[i])
    term, before = np.empty(widest), np.empty(widest)
    marginals = np.empty(n)
    change = np.inf
    made = 0
    while made < sweeps and change > tolerance:
        change = 0.0
        for at in range(n):
            j = order[at] if made % 2 else order[n - 1 - at]
            first, last = in_starts[j], in_starts[j + 1]
            total = 0.0
            for e in range(first, last):
                x = w[e] * messages[e]
                term[e - first] = x if linear else _logarithm(x)
                before[e - first] = total
                total += term[e - first]
            if lone_starts[j] < lone_starts[j + 1]:
                new = _active(p[j], linear, total)
                for k in range(lone_starts[j], lone_starts[j + 1]):
                    if new > 0.0:
                        change = max(change, abs(new - messages[lone[k]]) / new)
                    messages[lone[k]] = new
            after = 0.0
            for e in range(last - 1, first - 1, -1):
                back = partner[e]
                if back >= 0:
                    new = _active(p[j], linear, before[e - first] + after)
                    if new > 0.0:
                        change = max(change, abs(new - messages[back]) / new)
                    messages[back] = new
                after += term[e - first]
        made += 1
    for i in range(n):
        total = 0.0
        for e in range(in_starts[i], in_starts[i + 1]):
            x = w[e] * messages[e]
            total += x if linear else _logarithm(x)
        marginals[i] = _active(p[i], linear, total)
    return change, marginals
