"""Compiled parts of spike-timing-dependent plasticity: events out of dense spikes, and one pass over the events.

Weights stand as [in, out] here, one row for each presynaptic neuron: presynaptic spikes are the many, and each then
touches one row that lies in one piece. Sparse weights are [1, synapses], sender by sender, as in a ``Wiring``.

A trace decays by its one common scale: what is stored for a neuron is trace / scale, so that time costs nothing and a
spike adds 1 / scale. The same holds for eligibility.
"""

from __future__ import annotations

import numba
import numpy as np

ADDITIVE, SOFT, HELD = 0, 1, 2  # how a pair of spikes acts: on the change, on a bounded weight, on eligibility
TINY = 1e-12  # a scale below is multiplied out; float32 holds its inverse with ease
FRESH = 1e-3  # the same for eligibility, where differences are taken


@numba.njit(nogil=True, cache=True)
def events(dense, sample, dt):
    """Return times and units of the spikes of one sample of [time, batch, unit], in order; good: all are 0 or 1."""
    number = 0
    for step in range(dense.shape[0]):
        row = dense[step, sample]
        for unit in range(len(row)):
            number += row[unit] != 0
    times, units, found, good = np.empty(number), np.empty(number, np.int64), 0, True
    for step in range(dense.shape[0]):
        row = dense[step, sample]
        for unit in range(len(row)):
            if row[unit] != 0:
                good &= row[unit] == 1
                times[found] = (step + 1) * dt
                units[found] = unit
                found += 1
    return times, units, good


@numba.njit(nogil=True, cache=True)
def turned(matrix, factor):
    """Return the transpose times a factor, block by block."""
    rows, columns = matrix.shape
    out = np.empty((columns, rows), matrix.dtype)
    factor = matrix.dtype.type(factor)
    for first in range(0, rows, 32):
        for start in range(0, columns, 32):
            for c in range(start, min(start + 32, columns)):
                for r in range(first, min(first + 32, rows)):
                    out[c, r] = factor * matrix[r, c]
    return out


@numba.njit(nogil=True, cache=True)
def _soft(weight, change, mu, w_max):
    """Return a weight after a change that shrinks with the room that is left: (1-w)^mu upwards, w^mu downwards."""
    room = (w_max - weight) / w_max if change > 0 else weight / w_max
    if mu == 1:
        change *= room
    elif mu != 0:
        change *= room**mu
    return min(max(weight + change, 0 * w_max), w_max)


@numba.njit(nogil=True, cache=True)
def _soft_row(row, a, trace, mu, w_max):
    """Change a row of weights at once; the case of a linear room is one that compilers turn into vectors."""
    zero, share = 0 * w_max, a / w_max
    if mu != 1:
        for j in range(len(row)):
            row[j] = _soft(row[j], a * trace[j], mu, w_max)
    elif a > 0:
        for j in range(len(row)):
            raised = row[j] + share * trace[j] * (w_max - row[j])
            row[j] = raised if raised < w_max else w_max
    else:
        for j in range(len(row)):
            lowered = row[j] + share * trace[j] * row[j]
            row[j] = lowered if lowered > zero else zero


@numba.njit(nogil=True, cache=True)
def _touch_outputs(unit, amount, trace, weights, sparse, mode, mu, w_max, index, held, gone, left):
    """Change the synapses that leave one presynaptic neuron by amount × trace of the neurons they reach."""
    starts, receivers = index[0], index[1]
    if mode == HELD:
        amount /= left
    a = weights.dtype.type(amount)
    if sparse:
        low, high = starts[unit], starts[unit + 1]
        if mode == ADDITIVE:
            for k in range(low, high):
                weights[0, k] += a * trace[receivers[k]]
        elif mode == SOFT:
            for k in range(low, high):
                weights[0, k] = _soft(weights[0, k], a * trace[receivers[k]], mu, w_max)
        else:
            for k in range(low, high):
                held[0, 0, k] += a * trace[receivers[k]]
                for m in range(len(gone)):
                    held[m + 1, 0, k] += a * gone[m] * trace[receivers[k]]
        return
    if mode == ADDITIVE:
        row = weights[unit]
        for j in range(len(row)):
            row[j] += a * trace[j]
    elif mode == SOFT:
        _soft_row(weights[unit], a, trace, mu, w_max)
    else:
        row = held[0, unit]
        for j in range(len(row)):
            row[j] += a * trace[j]
        for m in range(len(gone)):
            row, b = held[m + 1, unit], a * gone[m]
            for j in range(len(row)):
                row[j] += b * trace[j]


@numba.njit(nogil=True, cache=True)
def _touch_inputs(unit, amount, trace, weights, sparse, mode, mu, w_max, index, held, gone, left):
    """Change the synapses that reach one postsynaptic neuron by amount × trace of the neurons they come from."""
    back_starts, back_arcs, back_senders = index[2], index[3], index[4]
    if mode == HELD:
        amount /= left
    a = weights.dtype.type(amount)
    if sparse:
        for q in range(back_starts[unit], back_starts[unit + 1]):
            k, value = back_arcs[q], trace[back_senders[q]]
            if mode == ADDITIVE:
                weights[0, k] += a * value
            elif mode == SOFT:
                weights[0, k] = _soft(weights[0, k], a * value, mu, w_max)
            else:
                held[0, 0, k] += a * value
                for m in range(len(gone)):
                    held[m + 1, 0, k] += a * gone[m] * value
        return
    for i in range(len(trace)):
        if mode == ADDITIVE:
            weights[i, unit] += a * trace[i]
        elif mode == SOFT:
            weights[i, unit] = _soft(weights[i, unit], a * trace[i], mu, w_max)
        else:
            held[0, i, unit] += a * trace[i]
            for m in range(len(gone)):
                held[m + 1, i, unit] += a * gone[m] * trace[i]


@numba.njit(nogil=True, cache=True)
def _mark(unit, trace, scale, nearest):
    one = trace.dtype.type(1 / scale)
    if nearest:
        trace[unit] = one
    else:
        trace[unit] += one


@numba.njit(nogil=True, cache=True)
def _settle(weights, held, gone, gains):
    """Let what eligibility and modulators have done act on the change, and begin to count anew."""
    down, along = min(gains.shape[1] - 1, 1), min(gains.shape[2] - 1, 1)  # 0 where one number stands for all
    for m in range(len(gone)):
        gain = gains[m]
        for i in range(weights.shape[0]):
            for j in range(weights.shape[1]):
                weights[i, j] += gain[i * down, j * along] * (held[0, i, j] * gone[m] - held[m + 1, i, j])
                held[m + 1, i, j] = 0.0
        gone[m] = 0.0


@numba.njit(nogil=True, cache=True)
def follow(pre, post, rewards, duration, traces, constants, flags, weights, index, held, modulators):
    """Pass once over the spikes of one sample, in order of time, and change weights in place.

    Args:
        pre, post: (times, units).
        rewards: (times, amounts [rewards, channels]).
        traces: pre, slow pre, post, slow post, in place, float of the weights.
        constants: taus of the traces [4]; amounts of pairs and triplets up, pairs and triplets down [4]; mu, w_max.
        flags: nearest, pre first, mode, sparse.
        weights: [in, out] or [1, synapses].
        index: starts, receivers, back starts, back arcs, back senders of sparse weights.
        held: eligibility, and for each channel eligibility × its integral so far, [1 + channels, *weights].
        modulators: levels [channels] in place; their taus; tonic levels; tau of eligibility [1]; gains [channels, …],
            which repeat along the weights where an axis has length 1.
    """
    x, slow_x, y, slow_y = traces
    nearest, pre_first, mode, sparse = flags[0] != 0, flags[1] != 0, flags[2], flags[3] != 0
    up, up_slow, down, down_slow = constants[4:8]
    mu, w_max = weights.dtype.type(constants[8]), weights.dtype.type(constants[9])
    levels, level_taus, tonic, held_tau, gains = modulators
    scale, gone, left = np.ones(4), np.zeros(len(levels)), 1.0
    now, a, b, c = 0.0, 0, 0, 0
    while True:
        t = duration
        if a < len(pre[0]):
            t = min(t, pre[0][a])
        if b < len(post[0]):
            t = min(t, post[0][b])
        if c < len(rewards[0]):
            t = min(t, rewards[0][c])
        gap = t - now
        now = t
        if gap > 0:
            if mode == HELD:
                for m in range(len(levels)):
                    both = 1 / (1 / held_tau[0] + 1 / level_taus[m])
                    phasic = levels[m] * both * -np.expm1(-gap / both)
                    gone[m] += left * (phasic - tonic[m] * held_tau[0] * np.expm1(-gap / held_tau[0]))
                    levels[m] *= np.exp(-gap / level_taus[m])
                left *= np.exp(-gap / held_tau[0])
                if left < FRESH:
                    _settle(weights, held, gone, gains)
                    held[0] *= left
                    left = 1.0
            for k in range(4):
                scale[k] *= np.exp(-gap / constants[k])
                if scale[k] < TINY:
                    traces[k][:] *= traces[k].dtype.type(scale[k])
                    scale[k] = 1.0
        first, second = a, b
        while a < len(pre[0]) and pre[0][a] == t:
            a += 1
        while b < len(post[0]) and post[0][b] == t:
            b += 1
        for e in range(first, a):
            unit = pre[1][e]
            amount = -(down + down_slow * slow_x[unit] * scale[1]) * scale[2]
            _touch_outputs(unit, amount, y, weights, sparse, mode, mu, w_max, index, held, gone, left)
        if pre_first:
            for e in range(first, a):
                _mark(pre[1][e], x, scale[0], nearest)
        for e in range(second, b):
            unit = post[1][e]
            amount = (up + up_slow * slow_y[unit] * scale[3]) * scale[0]
            _touch_inputs(unit, amount, x, weights, sparse, mode, mu, w_max, index, held, gone, left)
        for e in range(first, a):
            if not pre_first:
                _mark(pre[1][e], x, scale[0], nearest)
            _mark(pre[1][e], slow_x, scale[1], nearest)
        for e in range(second, b):
            _mark(post[1][e], y, scale[2], nearest)
            _mark(post[1][e], slow_y, scale[3], nearest)
        while c < len(rewards[0]) and rewards[0][c] == t:
            levels += rewards[1][c]
            c += 1
        if t >= duration:
            break
    if mode == HELD:
        _settle(weights, held, gone, gains)
        held[0] *= left
    for k in range(4):
        traces[k][:] *= traces[k].dtype.type(scale[k])
