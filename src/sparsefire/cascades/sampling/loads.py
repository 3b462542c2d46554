"""Compiled sampling of load redistribution: what breaks hands its load on.

For the streams see :mod:`sparsefire.cascades.sampling.streams`.
"""

from __future__ import annotations

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import finish, marks, sow

_U = np.uint64
_HOLDS = 2**31 - 1  # the step in which a unit breaks that does not


@numba.njit(nogil=True, cache=True)
def among_neighbours(
    starts, receivers, load, capacities, drawn, eager, sources, chances, first, runs, key, record
):  # fmt: skip
    """Cascades in which a unit that breaks shares its load among those of its receivers that hold.

    Two passes over the arcs of what breaks: how many hold after this step, then a share for each.

    Args:
        starts, receivers: of the wiring.
        load: at the start, float64 [n].
        capacities: float64 [runs, n], or [1, n] for all runs.
        drawn: whether capacities differ by run.
        eager: int64, units that break under their own load; not read where capacities are drawn.
        sources, chances, first, runs, key, record: as of ``independent.independent_jumps``.
    """
    units = len(starts) - 1
    seen = np.empty(units, np.uint8)
    carried = np.empty(units)
    breaks = np.empty(units, np.int32)  # in which step
    queue = np.empty(units, np.int32)
    tell, by, when = len(record.begin) > 0, record.by, record.steps  # tuples are slow to look into
    for r in range(runs):
        mark = marks(seen, r)
        end, _, _ = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        for u in queue[:end]:
            carried[u], breaks[u] = load[u], 0
        row = r if drawn else 0
        for i in range(units if drawn else len(eager)):
            u = i if drawn else eager[i]
            if load[u] >= capacities[row, u] and seen[u] != mark:
                seen[u], carried[u], breaks[u] = mark, load[u], 0
                queue[end] = u
                end += 1
        at, steps, layer = 0, 0, end
        while at < end:
            if at == layer:
                steps += 1
                layer = end
            u = queue[at]
            at += 1
            takers = 0
            for arc in range(starts[u], starts[u + 1]):
                v = receivers[arc]
                takers += seen[v] != mark or breaks[v] > steps
            if takers == 0:
                continue
            share = carried[u] / takers
            for arc in range(starts[u], starts[u + 1]):
                v = receivers[arc]
                if seen[v] != mark:
                    seen[v], carried[v], breaks[v] = mark, load[v], _HOLDS
                elif breaks[v] <= steps:
                    continue
                carried[v] += share
                if breaks[v] == _HOLDS and carried[v] >= capacities[row, v]:
                    breaks[v] = steps + 1  # it takes what else is shared in this step, and breaks in the next
                    queue[end] = v
                    if tell:
                        by[base + end], when[base + end] = u, steps + 1
                    end += 1
        finish(record, r, queue, end, steps)


@numba.njit
def _listed(slack, low, high, order, end):
    """Append to ``order[:end]`` the units with low < slack ≤ high by rising slack; return the new end."""
    begin = end
    for u in range(len(slack)):
        if low < slack[u] <= high:
            order[end] = u
            end += 1
    new = order[begin:end].copy()
    order[begin:end] = new[np.argsort(slack[new], kind="mergesort")]
    return end


@numba.njit(nogil=True, cache=True)
def among_all(load, slack, given, sources, chances, first, runs, key, record):
    """Cascades in which what breaks shares its load among all that hold.

    No load is lost while anything holds, so every unit that holds has taken (what the broken carried at the start) /
    (how many hold), and units break in the order of their slack. Where capacities are drawn, only units that are about
    to break are put in order: those up to twice the slack that is used up.

    Args:
        load: at the start, float64 [n].
        slack: capacity less load, float64 [runs, n], or [1, n] for all runs.
        given: int64 [n], the units by rising slack for all runs, or of length 0 where capacities are drawn.
        sources, chances, first, runs, key, record: as of ``independent.independent_jumps``.
    """
    units = len(load)
    seen = np.empty(units, np.uint8)
    queue = np.empty(units, np.int32)
    drawn = len(given) == 0
    order = np.empty(units, np.int64) if drawn else given
    tell, when = len(record.begin) > 0, record.steps
    for r in range(runs):
        mark = marks(seen, r)
        end, _, _ = sow(sources, chances, seen, mark, queue, key, _U(first + r))
        base = record.begin[r] if tell else 0
        released = 0.0
        for u in queue[:end]:
            released += load[u]
        row = r if drawn else 0
        listed, bound = (0, -np.inf) if drawn else (units, np.inf)
        at, steps, known, share = 0, 0, 0, 0.0
        while True:
            if share > bound:
                listed = _listed(slack[row], bound, 2 * share, order, listed)
                bound = 2 * share
            while at < listed and slack[row, order[at]] <= share:
                u = order[at]
                at += 1
                if seen[u] != mark:
                    seen[u] = mark
                    released += load[u]
                    queue[end] = u
                    end += 1
            if tell:
                when[base + known : base + end] = steps
            if end == known:
                steps = max(steps - 1, 0)
                break
            if end == units:
                break
            known = end
            steps += 1
            share = released / (units - end)
        finish(record, r, queue, end, steps)
