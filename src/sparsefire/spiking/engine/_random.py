"""Random numbers from a counter: word (step, unit) of a key is always the same, whoever asks and in whatever order.

The mixing function is that of SplitMix64 (G. L. Steele, D. Lea, C. H. Flood 2014, doi:10.1145/2660193.2660195).
"""

from __future__ import annotations

import math

import numba
import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_S11, _S27, _S30, _S31, _S32 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@numba.njit(nogil=True, cache=True, inline="always")
def word(key, row, column):
    """Return 64 random bits; row and column are whole numbers below 2³²."""
    z = key + (((np.uint64(row) << _S32) | np.uint64(column)) + _ONE) * _STEP
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return z ^ (z >> _S31)


@numba.njit(nogil=True, cache=True, inline="always")
def exponential(key, row, column):
    """Return an Exp(1) number."""
    return -math.log1p(-float(word(key, row, column) >> _S11) * (1.0 / 9007199254740992.0))
