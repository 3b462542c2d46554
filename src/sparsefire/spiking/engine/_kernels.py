"""Compiled parts of the simulator: one window of steps for one block of units, and the spikes it sends.

Units stand in blocks whose potentials fit into the cache. No spike arrives earlier than after the shortest delay, so
that a block needs no other for that many steps: a window. In each window a block first takes up all spikes of the
window before, in the order of their steps and senders, then advances by itself. It does not matter who computes which.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from sparsefire.spiking.engine._random import exponential, word

NO_NOISE, EXPONENTIAL, LINEAR, ERF = 0, 1, 2, 3


class Arcs(NamedTuple):
    """Who acts on whom, sorted for delivery block by block."""

    bounds: Any  # int64 [senders, blocks + 1]: arcs of a sender into block b are bounds[u, b] … bounds[u, b + 1]
    receivers: Any  # [arcs], counted from the first unit of the block
    weights: Any  # float64 [arcs], or [0] where all arcs of a sender have one weight
    weight: Any  # float64 [senders], then
    delays: Any  # int32 [arcs] steps, or [0] where all arcs have one
    delay: Any  # int, then


class Cells(NamedTuple):
    """Parameters, float64 [units], and what all units share."""

    decay: Any
    base: Any  # what a step adds without any input
    gain: Any  # potential per synaptic current, within a step
    feed: Any  # potential, or synaptic current, per external current
    threshold: Any
    reset: Any
    synapse: Any  # what is left of a synaptic current after a step; [0] for delta synapses
    steady: Any  # what the constant current adds to it; [0] for delta synapses
    soft: Any
    refractory: Any  # steps
    fall: Any  # of the raised threshold
    rise: Any
    form: Any  # of the escape noise
    hazard: Any  # ρ₀ dt
    width: Any


class Drive(NamedTuple):
    """External input."""

    current: Any  # float64 [steps, units], or [0, 0]
    tables: Any  # these four as of drives.PoissonTables
    begins: Any
    least: Any
    guides: Any
    table_of: Any  # int32 [drives, units]: the law
    weight: Any  # float64 [drives, units]
    keys: Any  # uint64 [drives]
    starts: Any  # int64 [steps + 1]: arrivals of step t are sources[starts[t]:starts[t + 1]]
    sources: Any  # int32 [arrivals]


class State(NamedTuple):
    """What changes, [units] each."""

    v: Any
    current: Any  # synaptic; [0] for delta synapses
    free_from: Any  # int64, the first step in which a unit is not refractory
    raised: Any  # [0] without adaptation
    left: Any  # hazard until the next spike; [0] without noise
    due: Any  # float64 [slots, units]: arrivals by the step in which they are due; slots a power of 2
    key: Any


class Fired(NamedTuple):
    """Spikes of the last two windows, by parity of the window and block."""

    ids: Any  # int32 [2, blocks, most]
    ends: Any  # int64 [2, blocks, steps of a window + 1]


@numba.njit(nogil=True, cache=True)
def _send(due, first, arcs, block, sender, step):
    begin, end = arcs.bounds[sender, block], arcs.bounds[sender, block + 1]
    mask, receivers = len(due) - 1, arcs.receivers
    if len(arcs.delays):
        flat, row_length, delays = due.reshape(-1)[first:], np.uint64(due.shape[1]), arcs.delays
        weights, amount = arcs.weights, arcs.weight[sender]
        for e in range(begin, end):
            place = np.uint64((step + delays[e]) & mask) * row_length + np.uint64(receivers[e])
            flat[place] += weights[e] if len(weights) else amount
        return
    row = due[(step + arcs.delay) & mask, first:]
    if len(arcs.weights):
        weights = arcs.weights
        for e in range(begin, end):
            row[receivers[e]] += weights[e]
    else:
        amount = arcs.weight[sender]
        for e in range(begin, end):
            row[receivers[e]] += amount


@numba.njit(nogil=True, cache=True)
def _draw(words, key, step, first):
    for j in range(len(words)):
        words[j] = word(key, step, first + j)


@numba.njit(nogil=True, cache=True)
def _add_counts(row, chances, table, least, guide, weight):
    """Add weight times least and the number of entries of the table that a chance reaches: inversion of the law."""
    for i in range(len(row)):
        chance = np.uint64(chances[i])
        count = np.int64(guide[chance >> np.uint64(24)])
        while chance >= table[count]:
            count += 1
        row[i] += weight[i] * (least + count)


@numba.njit(nogil=True, cache=True)
def _add_counts_each(row, chances, drive, table_of, weight):
    """The same where units have tables of their own."""
    tables = drive.tables
    for i in range(len(row)):
        chance, law = np.uint64(chances[i]), table_of[i]
        begin = drive.begins[law]
        place = begin + np.int64(drive.guides[law, chance >> np.uint64(24)])
        while chance >= tables[place]:
            place += 1
        row[i] += weight[i] * (drive.least[law] + place - begin)


@numba.njit(nogil=True, cache=True)
def _add_poisson(row, first, step, drive):
    """Add Poisson counts times weights; two units share a word, and blocks begin at even units."""
    words = np.empty((len(row) + 1) // 2, np.uint64)
    chances = words.view(np.uint32)
    last = first + len(row)
    for d in range(len(drive.keys)):
        _draw(words, drive.keys[d], step, first >> 1)
        weight = drive.weight[d, first:last]
        if len(drive.begins) == 1:
            _add_counts(row, chances, drive.tables, drive.least[0], drive.guides[0], weight)
        else:
            _add_counts_each(row, chances, drive, drive.table_of[d, first:last], weight)


@numba.njit(nogil=True, cache=True)
def _integrate(v, row, free_from, step, decay, base):
    for i in range(len(v)):
        moved = decay[i] * v[i] + (base[i] + row[i])
        v[i] = moved if free_from[i] <= step else v[i]
        row[i] = 0.0


@numba.njit(nogil=True, cache=True)
def _through_synapses(current, row, synapse, steady, gain):
    """Let arrivals jump the synaptic currents, and put what these do to the potential in their place."""
    for i in range(len(current)):
        current[i] = synapse[i] * current[i] + (steady[i] + row[i])
        row[i] = gain[i] * current[i]


@numba.njit(nogil=True, cache=True)
def _over_threshold(v, free_from, step, threshold, found):
    """Write who is above threshold, return how many."""
    count = 0
    for i in range(len(v)):
        if v[i] > threshold[i] and free_from[i] <= step:
            found[count] = i
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _above_raised(v, free_from, step, threshold, raised, found):
    count = 0
    for i in range(len(v)):
        if v[i] > threshold[i] + raised[i] and free_from[i] <= step:
            found[count] = i
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _escaped(v, free_from, step, cells, first, raised, left, key, found):
    """Use up an Exp(1) amount of hazard, then fire: with chance 1 − exp(−ρ dt) in each step, but one draw a spike."""
    count = 0
    for i in range(len(v)):
        if free_from[i] > step:
            continue
        x = v[i] - cells.threshold[first + i]
        if len(raised):
            x -= raised[i]
        x /= cells.width
        if cells.form == EXPONENTIAL:
            hazard = math.exp(min(x, 60.0))
        elif cells.form == LINEAR:
            hazard = max(x, 0.0)
        else:
            hazard = 1.0 + math.erf(x)
        left[i] -= cells.hazard * hazard
        if left[i] < 0.0:
            left[i] = exponential(key, step + 1, first + i)
            found[count] = i
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _advance(first, last, step, cells, drive, state, found):
    """Advance units first … last by one step. Return how many fired; who, from ``first`` on, stands in ``found``."""
    row = state.due[step & (len(state.due) - 1), first:last]
    if len(drive.keys):
        _add_poisson(row, first, step, drive)
    v, free_from = state.v[first:last], state.free_from[first:last]
    if len(drive.current):
        for i in range(last - first):
            row[i] += cells.feed[first + i] * drive.current[step, first + i]
    if len(state.current):
        synapse, steady = cells.synapse[first:last], cells.steady[first:last]
        _through_synapses(state.current[first:last], row, synapse, steady, cells.gain[first:last])
    _integrate(v, row, free_from, step, cells.decay[first:last], cells.base[first:last])
    threshold = cells.threshold[first:last]
    raised = state.raised[first:last] if len(state.raised) else state.raised
    if cells.form != NO_NOISE:
        count = _escaped(v, free_from, step, cells, first, raised, state.left[first:last], state.key, found)
    elif len(raised):
        count = _above_raised(v, free_from, step, threshold, raised, found)
    else:
        count = _over_threshold(v, free_from, step, threshold, found)
    for k in range(count):
        i = found[k]
        if cells.soft:
            v[i] -= threshold[i]
            if len(raised):
                v[i] -= raised[i]
        else:
            v[i] = cells.reset[first + i]
        free_from[i] = step + 1 + cells.refractory
    if len(raised):
        for i in range(last - first):
            raised[i] *= cells.fall
        for k in range(count):
            raised[found[k]] += cells.rise
    return count


@numba.njit(nogil=True, cache=True)
def window(number, step, steps, before, blocks, size, arcs, outside, cells, drive, state, fired):
    """Take some blocks through one window.

    Args:
        number: of the window. step: its first step. steps: how many. before: steps of the window before, 0 for none.
        blocks: first and last block + 1. size: units of a block.
        arcs, outside: of the network, and from external sources.
    """
    new, old = number & 1, 1 - (number & 1)
    units = len(state.v)
    for block in range(blocks[0], blocks[1]):
        first, last = block * size, min(units, (block + 1) * size)
        for s in range(before):
            for sending in range(fired.ends.shape[1]):
                for k in range(fired.ends[old, sending, s], fired.ends[old, sending, s + 1]):
                    _send(state.due, first, arcs, block, fired.ids[old, sending, k], step - before + s)
        if len(drive.starts):
            for s in range(steps):
                for k in range(drive.starts[step + s], drive.starts[step + s + 1]):
                    _send(state.due, first, outside, block, drive.sources[k], step + s)
        end = 0
        for s in range(steps):
            found = fired.ids[new, block, end:]
            count = _advance(first, last, step + s, cells, drive, state, found)
            for k in range(count):
                found[k] += first
            end += count
            fired.ends[new, block, s + 1] = end


@numba.njit(nogil=True, cache=True)
def record(number, step, steps, fired, when, who, filled):
    """Write the spikes of a window by step, then unit. Return how many there are by now."""
    new = number & 1
    for s in range(steps):
        for block in range(fired.ends.shape[1]):
            for k in range(fired.ends[new, block, s], fired.ends[new, block, s + 1]):
                when[filled] = step + s
                who[filled] = fired.ids[new, block, k]
                filled += 1
    return filled


@numba.njit(nogil=True, cache=True)
def windows(number, many, width, total, size, arcs, outside, cells, drive, state, fired, when, who):
    """Take all blocks through some windows. Return how many spikes were written."""
    filled = 0
    for n in range(number, number + many):
        step = n * width
        steps, before = min(width, total - step), min(width, step)
        window(n, step, steps, before, (0, fired.ends.shape[1]), size, arcs, outside, cells, drive, state, fired)
        filled = record(n, step, steps, fired, when, who, filled)
    return filled


@numba.njit(cache=True)
def block_bounds(starts, receivers, size, blocks):
    """Return where the arcs of each sender into each block begin, int64 [senders, blocks + 1]."""
    senders = len(starts) - 1
    bounds = np.empty((senders, blocks + 1), np.int64)
    for u in range(senders):
        e = starts[u]
        for block in range(blocks):
            bounds[u, block] = e
            while e < starts[u + 1] and receivers[e] < (block + 1) * size:
                e += 1
        bounds[u, blocks] = e
    return bounds


@numba.njit(cache=True)
def one_each(starts, weights, found):
    """Write the weight of each sender; return whether all its arcs have that one."""
    for u in range(len(starts) - 1):
        if starts[u] < starts[u + 1]:
            found[u] = weights[starts[u]]
            for e in range(starts[u] + 1, starts[u + 1]):
                if weights[e] != found[u]:
                    return False
    return True
