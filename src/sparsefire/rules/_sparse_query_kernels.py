"""Compiled products of sparse layers for many weights at once: absent weights and silent inputs are not touched.

Activities are features first, [units, rows], so that the rows of a product lie beside each other. A layer's active
weights are a list in the order of its rows: those that lead to unit u are the entries starts[u] to starts[u + 1], and
columns says where they come from.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"contract"})
def _unit(values, v, columns, first, last, below, k, above, g, u):
    """Add the weighted activities of one unit's inputs to above[g, u]."""
    rows, j = above.shape[2], first
    while j + 4 <= last:  # four at a time: the sum is read and written a fourth as often
        w0, w1, w2, w3 = values[v, j], values[v, j + 1], values[v, j + 2], values[v, j + 3]
        c0, c1, c2, c3 = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for b in range(rows):
            above[g, u, b] += w0 * below[k, c0, b] + w1 * below[k, c1, b] + w2 * below[k, c2, b] + w3 * below[k, c3, b]
        j += 4
    while j < last:
        w0, c0 = values[v, j], columns[j]
        for b in range(rows):
            above[g, u, b] += w0 * below[k, c0, b]
        j += 1


@njit(nogil=True, cache=True, fastmath={"contract"})
def _two(values, v, columns, first, last, below, above, g, u):
    """Do that for above[g, u] and above[g + 1, u], which receive the same: it is read once."""
    rows, j, h = above.shape[2], first, g + 1
    w = v + 1 if len(values) > 1 else v
    while j + 4 <= last:
        v0, v1, v2, v3 = values[v, j], values[v, j + 1], values[v, j + 2], values[v, j + 3]
        w0, w1, w2, w3 = values[w, j], values[w, j + 1], values[w, j + 2], values[w, j + 3]
        c0, c1, c2, c3 = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for b in range(rows):
            x0, x1, x2, x3 = below[0, c0, b], below[0, c1, b], below[0, c2, b], below[0, c3, b]
            above[g, u, b] += v0 * x0 + v1 * x1 + v2 * x2 + v3 * x3
            above[h, u, b] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3
        j += 4
    while j < last:
        v0, w0, c0 = values[v, j], values[w, j], columns[j]
        for b in range(rows):
            above[g, u, b] += v0 * below[0, c0, b]
            above[h, u, b] += w0 * below[0, c0, b]
        j += 1


@njit(nogil=True, cache=True, fastmath={"contract"})
def multiply(values, bias, add, starts, columns, below, above):
    """Write values · below + bias to above, or add that.

    Args:
        values: [G, weights], or [1, weights] if all of above share them.
        bias: [G, units], [1, units], or [0, units] where there is none.
        add: whether above has a value already.
        starts: int64 [units + 1]. columns: int64 [weights].
        below: [G, inputs, rows], or [1, inputs, rows] if all of above share them.
        above: [G, units, rows].
    """
    groups, units, rows = above.shape
    zero = above.dtype.type(0)
    for g in range(groups):
        for u in range(units):
            level = bias[g % len(bias), u] if len(bias) else zero
            for b in range(rows):
                above[g, u, b] = above[g, u, b] + level if add else level
    pairs = groups // 2 if len(below) == 1 else 0
    for u in range(units):
        for g in range(0, 2 * pairs, 2):
            _two(values, g % len(values), columns, starts[u], starts[u + 1], below, above, g, u)
    for g in range(2 * pairs, groups):
        for u in range(units):
            _unit(values, g % len(values), columns, starts[u], starts[u + 1], below, g % len(below), above, g, u)


@njit(nogil=True, cache=True)
def alive(x, starts, columns, kept, live_starts, live_columns):
    """List the weights whose inputs are not zero in all rows; return how many there are.

    Args:
        x: [inputs, rows].
        starts, columns: of all weights.
        kept: int64 [weights], filled from the top with the places of those in the list.
        live_starts, live_columns: what starts and columns are for those.
    """
    loud = np.zeros(len(x), np.bool_)
    for c in range(len(x)):
        for b in range(x.shape[1]):
            if x[c, b] != 0:
                loud[c] = True
                break
    count = 0
    for u in range(len(starts) - 1):
        live_starts[u] = count
        for j in range(starts[u], starts[u + 1]):
            if loud[columns[j]]:
                kept[count] = j
                live_columns[count] = columns[j]
                count += 1
    live_starts[len(starts) - 1] = count
    return count


@njit(nogil=True, cache=True, fastmath={"contract"})
def spread(base, shift, scales, rectified, above):
    """Write base + scales[s] · shift[k] to above[k, s]; rectified leaves out what is below zero.

    Args:
        base: [units, rows]. shift: [K, units, rows]. scales: [S].
        above: [K, S, units, rows].
    """
    zero = base.dtype.type(0)
    for k in range(len(shift)):
        for s in range(len(scales)):
            for u in range(base.shape[0]):
                for b in range(base.shape[1]):
                    value = base[u, b] + scales[s] * shift[k, u, b]
                    above[k, s, u, b] = zero if rectified and value < zero else value


@njit(nogil=True, cache=True, fastmath={"contract"})
def climb(base, shift, scales, directions, own, biases, weight_at, bias_at, tops, starts, columns, rectified, found):
    """Take base + scales[s] · shift[k] through the layers above, whose weights are own + scales[s] · directions[k].

    Args:
        base: [units, rows], the pre-activations of the first layer. shift: [K, units, rows]. scales: [S].
        directions: [K, N].
        own, biases: of the layers above, [weights] and [units above], one layer after the other.
        weight_at, bias_at: int64 [layers above], where their entries begin in directions; −1 for what stays.
        tops: int64 [layers above + 1]: the first unit of each layer.
        starts, columns: int64 [units above + 1], [weights].
        rectified: bool [1 + layers above].
        found: [S, K, outputs, rows].
    """
    units, rows = base.shape
    zero, layers, widest = base.dtype.type(0), len(weight_at), units
    for layer in range(layers):
        widest = max(widest, tops[layer + 1] - tops[layer])
    room = np.empty((2, widest, rows), base.dtype)
    moved = np.empty((1, len(own)), base.dtype)
    for k in range(len(shift)):
        for s in range(len(scales)):
            scale, below = scales[s], 0
            for u in range(units):
                for b in range(rows):
                    value = base[u, b] + scale * shift[k, u, b]
                    room[0, u, b] = zero if rectified[0] and value < zero else value
            for layer in range(layers):
                above, begin = 1 - below, starts[tops[layer]]
                for j in range(begin, starts[tops[layer + 1]]):
                    moved[0, j] = own[j]
                    if weight_at[layer] >= 0:
                        moved[0, j] += scale * directions[k, weight_at[layer] + j - begin]
                for i in range(tops[layer + 1] - tops[layer]):
                    u = tops[layer] + i
                    level = biases[u]
                    if bias_at[layer] >= 0:
                        level += scale * directions[k, bias_at[layer] + i]
                    for b in range(rows):
                        room[above, i, b] = level
                    _unit(moved, 0, columns, starts[u], starts[u + 1], room, below, room, above, i)
                    if rectified[layer + 1]:
                        for b in range(rows):
                            value = room[above, i, b]
                            room[above, i, b] = zero if value < zero else value
                below = above
            for u in range(found.shape[2]):
                for b in range(rows):
                    found[s, k, u, b] = room[below, u, b]
