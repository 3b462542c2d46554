"""Compiled products of few spikes with a matrix: only the rows of inputs that fired are touched."""

from __future__ import annotations

import numpy as np
from numba import njit

TOO_MANY, NOT_BINARY = -1, -2


# Where the lowest bit of a word is: times a de Bruijn sequence, each place leaves another six bits on top.
_SEQUENCE = 0x03F79D71B4CB0A89
_PLACE = np.zeros(64, np.int64)
for _bit in range(64):
    _PLACE[((_SEQUENCE << _bit) & 0xFFFFFFFFFFFFFFFF) >> 58] = _bit


@njit(nogil=True, cache=True)
def _word(part):
    """Return which of 64 numbers are not zero as the bits of a word, and whether all those are one."""
    word, bad = np.uint64(0), 0
    zero, one = part.dtype.type(0), part.dtype.type(1)
    for j in range(64):
        word |= np.uint64(part[j] != zero) << np.uint64(j)
        bad |= (part[j] != zero) & (part[j] != one)
    return word, bad


@njit(nogil=True, cache=True)
def find(x, most, starts, index):
    """Write the non-zeros of x [rows, inputs] as compressed rows; return how many, or why not.

    Gives up where more than a fraction ``most`` of the entries so far are not zero.
    """
    rows, inputs = x.shape
    zero, one = x.dtype.type(0), x.dtype.type(1)
    sequence, shift, lowest = np.uint64(_SEQUENCE), np.uint64(58), np.uint64(1)
    count = 0
    spare = 4 * inputs
    for row in range(rows):
        starts[row] = count
        if count > most * row * inputs + spare or count + inputs > len(index):
            return TOO_MANY
        here = x[row]
        whole = inputs - inputs % 64
        for first in range(0, whole, 64):
            word, bad = _word(here[first : first + 64])
            if bad:
                return NOT_BINARY
            while word:
                rest = word & (word - lowest)
                index[count] = first + _PLACE[((word ^ rest) * sequence) >> shift]
                count += 1
                word = rest
        for j in range(whole, inputs):
            if here[j] != zero:
                if here[j] != one:
                    return NOT_BINARY
                index[count] = j
                count += 1
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
