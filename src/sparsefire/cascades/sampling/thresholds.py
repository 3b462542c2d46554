"""Compiled sampling of threshold cascades. Thresholds are drawn when a unit is first reached, so subcritical runs cost
what they reach; see :mod:`sparsefire.cascades.sampling.streams` for the streams."""

from __future__ import annotations

import numba
import numpy as np

from sparsefire.cascades.sampling.prefetch import AHEAD, prefetch
from sparsefire.cascades.sampling.streams import finish, following, marks, sow, uniform

_U = np.uint64
GIVEN, UNIFORM, TABLE = 0, 1, 2  # where the number of active in-neighbours that a unit needs comes from
NEVER = 2**31 - 1  # more in-neighbours than any unit has


@numba.njit
def _first_met(table, low, top, u):
    """Return the first m with u ≤ r(m), or NEVER; the responses of a unit are ``table[low : low + top + 1]``."""
    if u > table[low + top]:
        return NEVER
    m = 0
    while m < top:
        middle = (m + top) // 2
        if u <= table[low + middle]:
            top = middle
        else:
            m = middle + 1
    return m


@numba.njit(nogil=True, cache=True)
def counted(starts, receivers, kind, degrees, needs, rows, table, eager, sources, chances, first, runs, key, record):
    """Cascades in which a unit becomes active when enough of its in-neighbours are.

    Args:
        starts, receivers: of the wiring.
        kind: GIVEN: ``needs`` int32 [n]; UNIFORM: 1 … k of k in-neighbours, all as likely (linear threshold with
            equal influence); TABLE: drawn from responses r(0) … r(k), those of unit v at ``table[rows[v]:]``.
        degrees: int32 [n], in-degrees below ``NEVER``.
        eager: int64, units that may need nobody.
        sources, chances, first, runs, key, record: as of ``independent.independent_jumps``.
    """
    units = len(starts) - 1
    seen = np.empty(units, np.uint8)
    missing = np.empty(units, np.int32)  # active in-neighbours still needed, 0 once active
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    for r in range(runs):
        mark = marks(seen, r)
        end, a, b = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        missing[queue[:end]] = 0
        for i in range(len(eager)):
            u = eager[i]
            bits, a, b = following(a, b)
            if seen[u] != mark:
                left = np.int64(needs[u]) if kind == GIVEN else _first_met(table, rows[u], degrees[u], uniform(bits))
                seen[u], missing[u] = mark, left
                if left == 0:
                    queue[end] = u
                    end += 1
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
                v = receivers[arc]
                if seen[v] != mark:
                    seen[v] = mark
                    if kind == GIVEN:
                        left = np.int64(needs[v])
                    else:
                        bits, a, b = following(a, b)
                        if kind == UNIFORM:
                            left = 1 + np.int64((bits >> _U(11)) * (1.0 / 9007199254740992.0) * degrees[v])
                        else:
                            left = _first_met(table, rows[v], degrees[v], uniform(bits))
                else:
                    left = np.int64(missing[v])
                    if left == 0:
                        continue
                missing[v] = left - 1
                if left == 1:
                    queue[end] = v
                    prefetch(starts, np.int64(v))
                    if tell:
                        by[base + end], when[base + end] = u, steps + 1
                    end += 1
        finish(record, r, queue, end, steps)


@numba.njit(nogil=True, cache=True)
def loaded(starts, receivers, loads, thresholds, sources, chances, first, runs, key, record):
    """Cascades in which a unit becomes active when the loads that arrive reach its threshold.

    Args:
        starts, receivers, loads: of the wiring; 0 or more.
        thresholds: [runs, n] or [1, n] for all runs, or [0, n]: uniform on (0, 1], drawn when a unit is reached.
        sources, chances, first, runs, key, record: as of ``independent.independent_jumps``.
    """
    units = len(starts) - 1
    drawn = len(thresholds) == 0
    seen = np.empty(units, np.uint8)
    missing = np.empty(units)  # load still missing, 0 or less once active
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    for r in range(runs):
        mark = marks(seen, r)
        end, a, b = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        missing[queue[:end]] = 0.0
        row = 0 if len(thresholds) <= 1 else r
        if not drawn:
            for u in range(units):
                if thresholds[row, u] <= 0.0 and seen[u] != mark:
                    seen[u], missing[u] = mark, 0.0
                    queue[end] = u
                    end += 1
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
                v = receivers[arc]
                if seen[v] != mark:
                    seen[v] = mark
                    if drawn:
                        bits, a, b = following(a, b)
                        left = uniform(bits)
                    else:
                        left = thresholds[row, v]
                else:
                    left = missing[v]
                    if left <= 0.0:
                        continue
                left -= loads[arc]
                missing[v] = left
                if left <= 0.0:
                    queue[end] = v
                    prefetch(starts, np.int64(v))
                    if tell:
                        by[base + end], when[base + end] = u, steps + 1
                    end += 1
        finish(record, r, queue, end, steps)
