"""Compiled products of few spikes with a matrix: only the rows of inputs that fired are touched."""

from __future__ import annotations

import numpy as np
from numba import njit

TOO_MANY, NOT_BINARY = -1, -2


# Which of eight flags are set, by the number that they make as bits, and how many.
_PLACES, _COUNTS = np.zeros((256, 8), np.int32), np.zeros(256, np.int64)
for _bits in range(256):
    _set = [bit for bit in range(8) if _bits >> bit & 1]
    _PLACES[_bits, : len(_set)], _COUNTS[_bits] = _set, len(_set)
_GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: their bits on top


@njit(nogil=True, cache=True)
def _flag(numbers, flags):
    """Write which numbers are not zero; return whether one of those is not one either."""
    bad = 0
    zero, one = numbers.dtype.type(0), numbers.dtype.type(1)
    for j in range(len(numbers)):
        flags[j] = np.uint8(numbers[j] != zero)
        bad |= (numbers[j] != zero) & (numbers[j] != one)
    return bad


@njit(nogil=True, cache=True)
def find(x, most, starts, index):
    """Write the non-zeros of x [rows, inputs] as compressed rows; return how many, or why not.

    Gives up where more than a fraction ``most`` of the entries so far are not zero. Eight places are written at a time,
    of which only those count that are set: ``index`` needs room for a row and eight more.
    """
    rows, inputs = x.shape
    gather_bits, top = np.uint64(_GATHER), np.uint64(56)
    count = 0
    spare = 4 * inputs
    groups = -(-inputs // 8)
    flags = np.zeros(8 * groups, np.uint8)
    eights = flags.view(np.uint64)
    busy = np.empty(groups + 1, np.int32)
    for row in range(rows):
        starts[row] = count
        if count > most * row * inputs + spare or count + inputs + 8 > len(index):
            return TOO_MANY
        if _flag(x[row], flags):
            return NOT_BINARY
        many = 0
        for group in range(groups):
            busy[many] = group
            many += eights[group] != 0
        for k in range(many):
            group = busy[k]
            bits = (eights[group] * gather_bits) >> top
            here, places = index[count : count + 8], _PLACES[bits]
            for m in range(8):
                here[m] = np.int32(8) * group + places[m]
            count += _COUNTS[bits]
    starts[rows] = count
    return count


@njit(nogil=True, cache=True)
def gather(starts, index, weight, bias, out):
    """Write bias + the sum of the rows of weight [inputs, outputs] that fired, for every row of out."""
    outputs = out.shape[1]
    for row in range(out.shape[0]):
        y = out[row]
        y[:] = bias
        k, end = starts[row], starts[row + 1]
        while k + 4 <= end:
            a, b, c, d = weight[index[k]], weight[index[k + 1]], weight[index[k + 2]], weight[index[k + 3]]
            for o in range(outputs):
                y[o] += (a[o] + b[o]) + (c[o] + d[o])
            k += 4
        while k < end:
            a = weight[index[k]]
            for o in range(outputs):
                y[o] += a[o]
            k += 1


@njit(nogil=True, cache=True)
def scatter(starts, index, by, grad):
    """Add the rows of by [rows, outputs] to the rows of grad [inputs, outputs] whose inputs fired."""
    outputs = by.shape[1]
    for row in range(by.shape[0]):
        g = by[row]
        for k in range(starts[row], starts[row + 1]):
            w = grad[index[k]]
            for o in range(outputs):
                w[o] += g[o]
