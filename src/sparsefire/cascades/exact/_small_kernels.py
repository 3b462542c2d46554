"""Compiled loops of the small exact solvers.

Those that go through patterns return the law [n + 1], and P(unit active and the size is ``wanted``) [n]; -1 stands for
any size, n + 1 for none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def independent_patterns(
    p: np.ndarray,
    w: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    units: np.ndarray,
    arcs: np.ndarray,
    wanted: int,
):
    """Add up P(pattern) by final size over all patterns of the uncertain ``units`` (sources) and ``arcs`` (open)."""
    n = len(p)
    law, found = np.zeros(n + 1), np.zeros(n)
    active = np.empty(n, np.bool_)
    is_open = np.empty(len(w), np.bool_)
    first = len(units)
    for pattern in range(1 << (first + len(arcs))):
        chance = 1.0
        for i in range(n):
            active[i] = p[i] == 1.0
        for e in range(len(w)):
            is_open[e] = w[e] == 1.0
        for k in range(first):
            on = (pattern >> k) & 1 == 1
            active[units[k]] = on
            chance *= p[units[k]] if on else 1.0 - p[units[k]]
        for k in range(len(arcs)):
            on = (pattern >> (first + k)) & 1 == 1
            is_open[arcs[k]] = on
            chance *= w[arcs[k]] if on else 1.0 - w[arcs[k]]
        moved = True
        while moved:
            moved = False
            for e in range(len(w)):
                if is_open[e] and active[senders[e]] and not active[receivers[e]]:
                    active[receivers[e]] = True
                    moved = True
        size = active.sum()
        law[size] += chance
        if wanted < 0 or size == wanted:
            for i in range(n):
                if active[i]:
                    found[i] += chance
    return law, found


@njit(nogil=True, cache=True)
def live_patterns(starts: np.ndarray, picks: np.ndarray, chances: np.ndarray, patterns: int, wanted: int):
    """Add up P(pattern) by final size; option k of unit i, ``picks[starts[i] + k]``, is whom it follows: -2 itself (it
    is active), -1 nobody, else a unit."""
    n = len(starts) - 1
    law, found = np.zeros(n + 1), np.zeros(n)
    chosen = np.empty(n, np.int64)
    active = np.empty(n, np.bool_)
    for pattern in range(patterns):
        rest, chance = pattern, 1.0
        for i in range(n):
            options = starts[i + 1] - starts[i]
            k = starts[i] + rest % options
            rest //= options
            chosen[i] = picks[k]
            chance *= chances[k]
        size = 0
        for i in range(n):
            j = i
            for _ in range(n):  # longer than this is a circle
                if chosen[j] < 0:
                    break
                j = chosen[j]
            active[i] = chosen[j] == -2
            size += chosen[j] == -2
        law[size] += chance
        if wanted < 0 or size == wanted:
            for i in range(n):
                if active[i]:
                    found[i] += chance
    return law, found


@njit(nogil=True, cache=True)
def threshold_classes(
    table: np.ndarray, classes: np.ndarray, senders: np.ndarray, receivers: np.ndarray, patterns: int, wanted: int
):
    """Add up P(classes) by final size; unit i of class t < classes[i] - 1 needs t active in-neighbours, else never."""
    n = len(classes)
    law, found = np.zeros(n + 1), np.zeros(n)
    need = np.zeros(n, np.int64)
    load = np.zeros(n, np.int64)
    active = np.empty(n, np.bool_)
    for _ in range(patterns):
        chance = 1.0
        for i in range(n):
            chance *= table[i, need[i]]
        if chance > 0.0:
            active[:] = False
            load[:] = 0
            moved = True
            while moved:
                moved = False
                for i in range(n):
                    if not active[i] and need[i] < classes[i] - 1 and load[i] >= need[i]:
                        active[i] = True
                        moved = True
                        for e in range(len(senders)):
                            if senders[e] == i:
                                load[receivers[e]] += 1
            size = active.sum()
        law[size] += chance
        if wanted < 0 or size == wanted:
            for i in range(n):
                if active[i]:
                    found[i] += chance
        for i in range(n):
            need[i] += 1
            if need[i] < classes[i]:
                break
            need[i] = 0
    return law, found


@njit(nogil=True, cache=True)
def exposure_chain(failing: np.ndarray) -> np.ndarray:
    """Return log P(0) … log P(N) on the complete graph from F_0 ≤ … ≤ F_{N-1}: one unit exposed at a time.

    v_j(s) = P(s thresholds are at most F_j, and more than i at most F_i for all i < j); P(j) = v_j(j) is taken out.
    """
    size = len(failing)
    factorial = np.zeros(size + 1)
    for k in range(2, size + 1):
        factorial[k] = math.lgamma(k + 1.0)
    law = np.full(size + 1, -np.inf)
    old = np.full(size + 1, -np.inf)
    new = np.empty(size + 1)
    old[0] = 0.0
    before = 0.0
    for j in range(size):
        alive = 1.0 - before
        step = failing[j] - before
        if step <= 0.0:
            new[:] = old
        elif failing[j] >= 1.0:
            new[:] = -np.inf
            top = old.max()
            if top > -np.inf:
                new[size] = top + math.log(np.exp(old - top).sum())
        else:
            rise, stay = math.log(step / alive), math.log1p(-step / alive)
            for s in range(size + 1):
                top = -np.inf
                first = max(j - 1, 0)
                for pass_ in range(2):
                    total = 0.0
                    for t in range(first, s + 1):
                        if old[t] == -np.inf:
                            continue
                        left, m = size - t, s - t
                        term = old[t] + (factorial[left] - factorial[left - m] - factorial[m])
                        term += m * rise + (left - m) * stay
                        if pass_ == 0:
                            top = max(top, term)
                        elif term - top > -45.0:
                            total += math.exp(term - top)
                    if top == -np.inf:
                        break
                new[s] = top if top == -np.inf else top + math.log(total)
        law[j] = new[j]
        new[j] = -np.inf
        before = max(before, failing[j])
        old, new = new, old
    law[size] = old[size]
    return law
