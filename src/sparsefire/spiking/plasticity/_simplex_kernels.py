"""Compiled pass over spikes for the multiplicative rule: who triggered a postsynaptic spike, and what it gains."""

from __future__ import annotations

import numba
import numpy as np

NEVER = -np.inf


@numba.njit(nogil=True, cache=True)
def _credit(unit, weights, sparse, index, last, since, alpha, jitter, noise, drawn):
    """Change the synapses of one neuron that fired; return how many of the random numbers are used up."""
    back_starts, back_arcs, back_senders = index[2], index[3], index[4]
    low, high = (back_starts[unit], back_starts[unit + 1]) if sparse else (0, len(last))
    latest, shared = NEVER, 0.0
    for q in range(low, high):
        sender = back_senders[q] if sparse else q
        weight = weights[0, back_arcs[q]] if sparse else weights[q, unit]
        if weight > 0 and last[sender] > since:
            if last[sender] > latest:
                latest, shared = last[sender], 0.0
            if last[sender] == latest:
                shared += weight
    for q in range(low, high):
        sender = back_senders[q] if sparse else q
        row, column = (0, back_arcs[q]) if sparse else (q, unit)
        gain = 0.0
        if latest > NEVER and last[sender] == latest and weights[row, column] > 0:
            gain = weights[row, column] / shared
        if jitter > 0:
            gain += jitter * (2 * noise[drawn] - 1)
            drawn += 1
        if gain != 0:
            weights[row, column] *= 1 + alpha * gain
    return drawn


@numba.njit(nogil=True, cache=True)
def trigger(pre, post, last, before, alpha, jitter, noise, weights, sparse, index):
    """Pass once over the spikes of one sample; weights, last spikes of both sides change in place.

    Args:
        pre, post: (times, units).
        last, before: time of the last spike of each presynaptic and postsynaptic neuron, -inf for none.
        alpha, jitter: of the rule.
        noise: uniform numbers, one for each synapse that an event touches, or none.
        weights: [in, out] or [1, synapses].
        sparse, index: as of the traces.
    """
    a, drawn = 0, 0
    for b in range(len(post[0])):
        while a < len(pre[0]) and pre[0][a] <= post[0][b]:
            last[pre[1][a]] = pre[0][a]
            a += 1
        unit = post[1][b]
        drawn = _credit(unit, weights, sparse, index, last, before[unit], alpha, jitter, noise, drawn)
        before[unit] = post[0][b]
    while a < len(pre[0]):
        last[pre[1][a]] = pre[0][a]
        a += 1
