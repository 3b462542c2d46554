"""Random signs and normal numbers from a counter: drawn again from the same key instead of being stored.

Entry i of a key is a hash of key + i, SplitMix64 (G. L. Steele, D. Lea, C. H. Flood 2014, doi:10.1145/2660193.2660195):
no state, so that any entry can be had at any time.
"""

from __future__ import annotations

import math

import numba
import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_S30, _S27, _S31, _S40 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(40)
_LOW = np.uint64(0xFFFFFF)


@numba.njit(nogil=True, cache=True, inline="always")
def _word(key: np.uint64, counter: np.uint64) -> np.uint64:
    z = key + (counter + _ONE) * _STEP
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return z ^ (z >> _S31)


@numba.njit(nogil=True, cache=True, fastmath=True)
def add_signs(values: np.ndarray, key: np.uint64, first: np.int64, scale: float) -> None:
    """Add scale · (±1) to all entries; entry i takes the sign first + i of the key."""
    size, i = len(values), 0
    amount = values.dtype.type(scale)
    two = amount + amount
    while i < size:
        place = first + i
        word = _word(key, np.uint64(place >> 6)) >> np.uint64(place & 63)
        rest = 64 - int(place & 63)
        stop = i + rest if i + rest < size else size
        for j in range(i, stop):
            values[j] += amount - two * values.dtype.type((word >> np.uint64(j - i)) & _ONE)
        i = stop


@numba.njit(nogil=True, cache=True)
def add_signs_at(values: np.ndarray, places: np.ndarray, key: np.uint64, first: np.int64, scale: float) -> None:
    """Add scale · (±1) to the entries at some places; the i-th of them takes the sign first + i of the key."""
    for i in range(len(places)):
        place = first + i
        bit = (_word(key, np.uint64(place >> 6)) >> np.uint64(place & 63)) & _ONE
        values[places[i]] += values.dtype.type(-scale if bit else scale)


@numba.njit(nogil=True, cache=True, inline="always")
def _normal(key: np.uint64, place: np.int64) -> float:
    word = _word(key, np.uint64(place >> 1))
    radius = math.sqrt(-2.0 * math.log((float(word >> _S40) + 0.5) / 16777216.0))
    angle = 2.0 * math.pi * (float(word & _LOW) + 0.5) / 16777216.0
    return radius * (math.cos(angle) if place & 1 == 0 else math.sin(angle))


@numba.njit(nogil=True, cache=True)
def add_normal(values: np.ndarray, key: np.uint64, first: np.int64, scale: float) -> None:
    """Add scale · N(0, 1) to all entries; entry i takes number first + i of the key."""
    for i in range(len(values)):
        values[i] += values.dtype.type(scale * _normal(key, first + i))


@numba.njit(nogil=True, cache=True)
def add_normal_at(values: np.ndarray, places: np.ndarray, key: np.uint64, first: np.int64, scale: float) -> None:
    """Add scale · N(0, 1) to the entries at some places; the i-th of them takes number first + i of the key."""
    for i in range(len(places)):
        values[places[i]] += values.dtype.type(scale * _normal(key, first + i))


@numba.njit(nogil=True, cache=True, fastmath=True)
def unpack_signs(words: np.ndarray, signs: np.ndarray) -> None:
    """Write +1 for each bit that is 0 and −1 for each that is 1; sign i of a row is bit i % 64 of its word i // 64."""
    size, one = signs.shape[1], signs.dtype.type(1)
    two = one + one
    for row in range(len(words)):
        for number in range(words.shape[1]):
            word, begin = words[row, number], 64 * number
            for j in range(min(64, size - begin)):
                signs[row, begin + j] = one - two * signs.dtype.type((word >> np.uint64(j)) & _ONE)
