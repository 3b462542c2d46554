"""Compiled parts of the simulator: one window of steps for one block of units, and the spikes it sends.

Units stand in blocks whose potentials fit into the cache. No spike arrives earlier than after the shortest delay, so
that a block needs no other for that many steps: a window. In each window a block first takes up all spikes of the
window before, in the order of their steps and senders, then advances by itself. It does not matter who computes which.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.spiking.engine._parts import EXPONENTIAL, LINEAR, NO_NOISE
from sparsefire.spiking.engine._random import exponential, word


@numba.njit(nogil=True, cache=True)
def _send(due, home, arcs, block, sender, step):
    begin, end = arcs.bounds[sender, block], arcs.bounds[sender, block + 1]
    mask, receivers = len(due) - 1, arcs.receivers
    if len(arcs.delays):
        flat, row_length, delays = due.reshape(-1)[home:], np.uint64(due.shape[1]), arcs.delays
        weights, amount = arcs.weights, arcs.weight[sender]
        for e in range(begin, end):
            place = np.uint64((step + delays[e]) & mask) * row_length + np.uint64(receivers[e])
            flat[place] += weights[e] if len(weights) else amount
        return
    row = due[(step + arcs.delay) & mask, home:]
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
def _add_poisson(row, words, d, first, step, drive):
    """Add Poisson counts times weights; two units share a word, and blocks begin at even units."""
    last = first + len(row)
    chances = words.view(np.uint32)
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
def _respond(v, row, h, after, fade, decay, base):
    """Let input move the potential and after-potentials fade; v is their sum."""
    for i in range(len(v)):
        h[i] = decay[i] * h[i] + (base[i] + row[i])
        after[i] *= fade[i]
        v[i] = h[i] + after[i]
        row[i] = 0.0


@numba.njit(nogil=True, cache=True)
def _by_sign(row, inhibitory, amounts):
    for i in range(len(row)):
        if amounts[i] > 0.0:
            row[i] += amounts[i]
        else:
            inhibitory[i] += amounts[i]


@numba.njit(nogil=True, cache=True)
def _open(row, inhibitory, words, first, step, begun, constant, drive):
    """Add what comes from outside to what opens excitatory and inhibitory synapses: each drive by its sign."""
    amounts = np.empty(len(row))
    for i in range(len(row)):
        amounts[i] = constant[first + i]
        if len(drive.current):
            amounts[i] += drive.current[step, first + i]
    _by_sign(row, inhibitory, amounts)
    for d in range(len(drive.keys)):
        amounts[:] = 0.0
        _add_poisson(amounts, words, d, first, begun + step, drive)
        _by_sign(row, inhibitory, amounts)


@numba.njit(nogil=True, cache=True)
def _conduct(v, row, inhibitory, opened, free_from, step, first, own):
    """Let conductances, and the potential with them, go on by a step."""
    fade_e, fade_i, v_e, v_i, v_leak, pace = own[0], own[1], own[2], own[3], own[4], own[5]
    for i in range(len(v)):
        u = first + i
        e = opened[0, u] = fade_e[u] * opened[0, u] + row[i]
        g = opened[1, u] = fade_i[u] * opened[1, u] - inhibitory[i]
        row[i] = inhibitory[i] = 0.0
        total = 1.0 + e + g
        towards = (v_leak[u] + e * v_e[u] + g * v_i[u]) / total
        if free_from[i] <= step:
            v[i] = towards + (v[i] - towards) * math.exp(-pace[u] * total)


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
def _escaped(v, free_from, step, counted, cells, first, raised, left, key, found):
    """Use up an Exp(1) amount of hazard, then fire: with chance 1 − exp(−ρ dt) in each step, but one draw a spike."""
    count, form, hazard_at_0, width, threshold = 0, cells.form, cells.hazard, cells.width, cells.threshold
    for i in range(len(v)):
        if free_from[i] > step:
            continue
        x = v[i] - threshold[first + i]
        if len(raised):
            x -= raised[i]
        x /= width
        if form == EXPONENTIAL:
            hazard = math.exp(min(x, 60.0))
        elif form == LINEAR:
            hazard = max(x, 0.0)
        else:
            hazard = 1.0 + math.erf(x)
        left[i] -= hazard_at_0 * hazard
        if left[i] < 0.0:
            left[i] = exponential(key, counted, first + i)
            found[count] = i
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _advance(first, last, home, size, step, cells, drive, state, found):
    """Advance units first … last by one step. Return how many fired; who, from ``first`` on, stands in ``found``."""
    slot = state.due[step & (len(state.due) - 1)]
    row, v, free_from = slot[home : home + last - first], state.v[first:last], state.free_from[first:last]
    words = np.empty((len(row) + 1) // 2 if len(drive.keys) else 0, np.uint64)
    if cells.conductances.shape[1]:
        inhibitory = slot[home + size : home + size + last - first]
        _open(row, inhibitory, words, first, step, state.begun, cells.conductances[6], drive)
        _conduct(v, row, inhibitory, state.inner, free_from, step, first, cells.conductances)
    else:
        for d in range(len(drive.keys)):
            _add_poisson(row, words, d, first, state.begun + step, drive)
        if len(drive.current):
            for i in range(last - first):
                row[i] += cells.feed[first + i] * drive.current[step, first + i]
        decay, base = cells.decay[first:last], cells.base[first:last]
        if cells.response.shape[1]:
            fade = cells.response[0, first:last]
            _respond(v, row, state.inner[0, first:last], state.inner[1, first:last], fade, decay, base)
        else:
            if len(state.inner):
                synapse, steady = cells.synapse[first:last], cells.steady[first:last]
                _through_synapses(state.inner[0, first:last], row, synapse, steady, cells.gain[first:last])
            _integrate(v, row, free_from, step, decay, base)
    threshold = cells.threshold[first:last]
    raised = state.raised[first:last] if len(state.raised) else state.raised
    if cells.form != NO_NOISE:
        left = state.left[first:last]
        count = _escaped(v, free_from, step, state.begun + step + 1, cells, first, raised, left, state.key, found)
    elif len(raised):
        count = _above_raised(v, free_from, step, threshold, raised, found)
    else:
        count = _over_threshold(v, free_from, step, threshold, found)
    for k in range(count):
        i = found[k]
        if cells.response.shape[1]:
            after = state.inner[1, first:last]
            after[i] = cells.response[1, first + i] + (0.0 if cells.last else after[i])
        elif cells.soft:
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
        blocks: first and last block + 1. size: units of a block, which has as many columns of arrivals, or twice as
            many: excitatory ones, then inhibitory ones.
        arcs, outside: of the network, and from external sources.
    """
    new, old = number & 1, 1 - (number & 1)
    units, columns = len(state.v), 2 * size if cells.conductances.shape[1] else size
    for block in range(blocks[0], blocks[1]):
        first, last, home = block * size, min(units, (block + 1) * size), block * columns
        for s in range(before):
            for sending in range(fired.ends.shape[1]):
                for k in range(fired.ends[old, sending, s], fired.ends[old, sending, s + 1]):
                    _send(state.due, home, arcs, block, fired.ids[old, sending, k], step - before + s)
        if len(drive.starts):
            for s in range(steps):
                for k in range(drive.starts[step + s], drive.starts[step + s + 1]):
                    _send(state.due, home, outside, block, drive.sources[k], step + s)
        end = 0
        for s in range(steps):
            found = fired.ids[new, block, end:]
            count = _advance(first, last, home, size, step + s, cells, drive, state, found)
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
def take_up(due, arcs, columns, sent, senders, steps):
    """Add what spikes of steps before 0 bring within so many steps, in the order in which they were sent."""
    mask = len(due) - 1
    for block in range(arcs.bounds.shape[1] - 1):
        for k in range(len(sent)):
            for e in range(arcs.bounds[senders[k], block], arcs.bounds[senders[k], block + 1]):
                step = sent[k] + (arcs.delays[e] if len(arcs.delays) else arcs.delay)
                if 0 <= step < steps:
                    amount = arcs.weights[e] if len(arcs.weights) else arcs.weight[senders[k]]
                    due[step & mask, block * columns + arcs.receivers[e]] += amount


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
