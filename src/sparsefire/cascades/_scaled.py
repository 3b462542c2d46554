"""Compiled arithmetic on polynomials with coefficients of 0 or more, each with a binary exponent of its own.

A polynomial is a row of float64 (``values[k]`` belongs to y^k) and ``meta = (low, high, exponent)``: it is
2^exponent · Σ_{low ≤ k < high} values[k] · y^k, and empty if high ≤ low. A normalised one has its largest value in
[2^499, 2^500), so products never overflow, and no value below 2^-500, so they never underflow.

What is dropped is smaller than 2^-1000 of the largest coefficient. All quantities are positive and the end result G is
linear in each of them (G = X·R + rest, so max G ≥ max X · max R): what is dropped therefore changes a coefficient of
G by at most about 2^-1000 · max G, and all coefficients above 1e-280 · max G keep their full relative accuracy.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TOP = 500  # exponent of the largest value of a normalised polynomial
CUT = 2.0**-500
LN2 = math.log(2.0)


@njit(nogil=True, cache=True)
def normalise(values: np.ndarray, meta: np.ndarray) -> bool:
    """Scale a polynomial to its largest value, drop what is too small; return whether anything was dropped."""
    low, high = meta[0], meta[1]
    top = 0.0
    for k in range(low, high):
        top = max(top, values[k])
    if top == 0.0:
        meta[0], meta[1], meta[2] = 0, 0, 0
        return False
    shift = TOP - math.frexp(top)[1]
    scale = math.ldexp(1.0, shift)
    dropped = 0
    for k in range(low, high):
        value = values[k] * scale
        small = value < CUT
        dropped += small & (value > 0.0)
        values[k] = 0.0 if small else value
    while values[low] == 0.0:
        low += 1
    while values[high - 1] == 0.0:
        high -= 1
    meta[0], meta[1] = low, high
    meta[2] -= shift
    return dropped > 0


@njit(nogil=True, cache=True)
def multiply(
    one: np.ndarray, one_meta: np.ndarray, two: np.ndarray, two_meta: np.ndarray, out: np.ndarray, meta: np.ndarray
) -> bool:
    """Write the normalised product of two normalised polynomials to ``out``."""
    if one_meta[1] <= one_meta[0] or two_meta[1] <= two_meta[0]:
        meta[0], meta[1], meta[2] = 0, 0, 0
        return False
    if one_meta[1] - one_meta[0] > two_meta[1] - two_meta[0]:
        one, two, one_meta, two_meta = two, one, two_meta, one_meta
    low = one_meta[0] + two_meta[0]
    high = one_meta[1] + two_meta[1] - 1
    out[low:high] = 0.0
    width = two_meta[1] - two_meta[0]
    long = two[two_meta[0] : two_meta[1]]
    first, last = one_meta[0], one_meta[1]
    i = first
    while i + 4 <= last:  # four rows at once: the sums stay in registers
        a, b, c, d = one[i], one[i + 1], one[i + 2], one[i + 3]
        at = i + two_meta[0]
        if width >= 4:
            row = out[at : at + width + 3]
            row[0] += a * long[0]
            row[1] += a * long[1] + b * long[0]
            row[2] += a * long[2] + b * long[1] + c * long[0]
            for j in range(3, width):
                row[j] += (a * long[j] + b * long[j - 1]) + (c * long[j - 2] + d * long[j - 3])
            row[width] += b * long[width - 1] + c * long[width - 2] + d * long[width - 3]
            row[width + 1] += c * long[width - 1] + d * long[width - 2]
            row[width + 2] += d * long[width - 1]
            i += 4
        else:
            break
    while i < last:
        a = one[i]
        row = out[i + two_meta[0] : i + two_meta[1]]
        for j in range(width):
            row[j] += a * long[j]
        i += 1
    meta[0], meta[1], meta[2] = low, high, one_meta[2] + two_meta[2]
    return normalise(out, meta)


@njit(nogil=True, cache=True)
def add(
    values: np.ndarray,
    meta: np.ndarray,
    other: np.ndarray,
    other_meta: np.ndarray,
    mantissa: float,
    exponent: int,
    step: int,
) -> bool:
    """Add mantissa · 2^exponent · y^step · other; to be followed by :func:`normalise`. ``meta`` may be empty."""
    if mantissa == 0.0 or other_meta[1] <= other_meta[0]:
        return False
    factor, more = math.frexp(mantissa)
    low, high = other_meta[0] + step, other_meta[1] + step
    power = other_meta[2] + exponent + more
    if meta[1] <= meta[0]:
        for k in range(low, high):
            values[k] = factor * other[k - step]
        meta[0], meta[1], meta[2] = low, high, power
        return False
    dropped = False
    if power > meta[2]:
        gap = meta[2] - power
        dropped = gap < -TOP
        scale = math.ldexp(1.0, max(gap, -2000))
        for k in range(meta[0], meta[1]):
            values[k] *= scale
        meta[2] = power
    else:
        gap = power - meta[2]
        dropped = gap < -TOP
        factor = math.ldexp(factor, max(gap, -2000))
    if low < meta[0]:
        values[low : meta[0]] = 0.0
        meta[0] = low
    if high > meta[1]:
        values[meta[1] : high] = 0.0
        meta[1] = high
    for k in range(low, high):
        values[k] += factor * other[k - step]
    return dropped


@njit(nogil=True, cache=True)
def copy(values: np.ndarray, meta: np.ndarray, out: np.ndarray, out_meta: np.ndarray) -> None:
    """Copy a polynomial."""
    out_meta[:] = meta
    out[meta[0] : meta[1]] = values[meta[0] : meta[1]]


@njit(nogil=True, cache=True)
def one(values: np.ndarray, meta: np.ndarray) -> None:
    """Write the polynomial 1."""
    values[0] = math.ldexp(1.0, TOP - 1)
    meta[0], meta[1], meta[2] = 0, 1, 1 - TOP


@njit(nogil=True, cache=True)
def logarithms(values: np.ndarray, meta: np.ndarray, size: int) -> np.ndarray:
    """Return the natural logarithms of the coefficients of y^0 … y^(size - 1)."""
    out = np.full(size, -np.inf)
    for k in range(meta[0], meta[1]):
        if values[k] > 0.0:
            out[k] = math.log(values[k]) + meta[2] * LN2
    return out


@njit(nogil=True, cache=True)
def log_multiply(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the logarithms of the product of two polynomials given by logarithms: slow, but of unlimited range."""
    size = len(one) + len(two) - 1
    out = np.full(size, -np.inf)
    for k in range(size):
        first, last = max(0, k - len(two) + 1), min(k, len(one) - 1)
        top = -np.inf
        for i in range(first, last + 1):
            top = max(top, one[i] + two[k - i])
        if top == -np.inf:
            continue
        total = 0.0
        for i in range(first, last + 1):
            gap = one[i] + two[k - i] - top
            if gap > -45.0:
                total += math.exp(gap)
        out[k] = top + math.log(total)
    return out
