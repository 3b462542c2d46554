"""Compiled arithmetic on polynomials with coefficients of 0 or more, of which every 16 share a binary exponent.

Polynomials live on a heap (values [blocks, 16], powers [blocks], ranges [blocks, 2], rows to work in) and are named by
their first block: x is Σ_{low ≤ k < high} values[x + k // 16, k % 16] · 2^powers[x + k // 16] · y^k with
(low, high) = ranges[x], and 0 if high ≤ low. The blocks that it touches are defined throughout, with zeros below low
and from high on. In a settled polynomial a block adds up to a number in [2^299, 2^300) and no value but 0 is below
2^-300, so that products neither overflow nor underflow; the power of a block of zeros is ``EMPTY``.

What is dropped is smaller than 2^-600 of a coefficient at most 15 places away, or than 2^-1200 of one at most 31 away.
All quantities are positive and the end result G is linear in each of them, G = X·R + rest: so dropping changes a
coefficient of G by about 2^-600 of another one as near, which may itself be hidden by the next. All coefficients but
those that lie exp(-350), about 2^-505, below others within 15 places, or below a cone from any other that falls by
exp(-350) every 16 places, keep their full relative accuracy, however small they are beside the largest.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

WIDTH = 16  # coefficients of a block
TOP = 300  # exponent of the largest value of a settled block
CUT = 2.0**-TOP
FLOOR = 2.0 ** (-2 * TOP)  # sums of products below it are inaccurate
EMPTY = -(1 << 50)
NONE = EMPTY // 2  # sums of powers below it belong to blocks of zeros
FAR = -400  # pairs of blocks so far below the largest pair keep all their products above 2^-1000
SURE = 64  # all terms that are left out change no sum by more than 2^-64 of it
LN2 = math.log(2.0)
POWERS = 2.0 ** np.arange(-1100.0, 1001.0)
FAST = {"nnan", "nsz", "contract"}  # fused multiply and add: there are no NaN and no -0
FAST_SUMS = FAST | {"reassoc"}  # vector sums; only where nothing is subtracted


@njit(nogil=True, cache=True)
def new_heap(blocks: int):
    """Return a heap of so many blocks."""
    values, powers = np.empty((blocks, WIDTH)), np.empty(blocks, np.int64)
    return values, powers, np.zeros((blocks, 2), np.int64), np.zeros((3, WIDTH))


@njit(nogil=True, cache=True)
def power_of_two(exponent: int) -> float:
    """Return 2^exponent, 0 below -1100; at most 2^1000."""
    return POWERS[max(exponent, -1100) + 1100]


@njit(nogil=True, cache=True)
def exponent_of(value: float) -> int:
    """Return e of value = m · 2^e, 0.5 ≤ m < 1, for a normal number: math.frexp without a call."""
    return int(np.float64(value).view(np.int64) >> 52) - 1022


@njit(nogil=True, cache=True, fastmath=FAST_SUMS)
def settle(values: np.ndarray, powers: np.ndarray, block: int) -> int:
    """Scale a block to its sum, and return by which power of two; :func:`trim` is to follow, and if that is more than
    TOP, :func:`mend` at once. Without a branch this takes ten nanoseconds, with one thirty."""
    total = 0.0
    for k in range(WIDTH):
        total += values[block, k]
    shift = min(TOP - exponent_of(total), 3 * TOP)
    scale = power_of_two(shift)
    powers[block] -= shift
    for k in range(WIDTH):
        values[block, k] *= scale
    return shift


@njit(nogil=True, cache=True)
def mend(values: np.ndarray, powers: np.ndarray, block: int, shift: int) -> bool:
    """Drop what is inaccurate, below 2^-600 before it was scaled; return whether there was any."""
    nothing = shift == 3 * TOP
    if nothing:
        powers[block] = EMPTY
    return _cut(values[block], math.inf if nothing else power_of_two(shift - 2 * TOP))


@njit(nogil=True, cache=True, fastmath=FAST)
def _cut(row: np.ndarray, least: float) -> bool:
    """Set what is smaller to 0; return whether there was any."""
    small = 0
    for k in range(len(row)):
        small += (row[k] > 0.0) & (row[k] < least)
        row[k] = row[k] if row[k] >= least else 0.0
    return small > 0


@njit(nogil=True, cache=True)
def trim(heap, x: int, low: int, high: int) -> bool:
    """Drop what is too small, find where y^low … y^(high - 1) is not 0; return whether anything was dropped."""
    values, _, ranges, _ = heap
    if high <= low:
        ranges[x, 0], ranges[x, 1] = 0, 0
        return False
    first, last = x + low // WIDTH, x + (high - 1) // WIDTH + 1
    dropped = _cut(values[first:last].reshape((last - first) * WIDTH), CUT)
    while low < high and values[x + low // WIDTH, low % WIDTH] == 0.0:
        low += 1
    while low < high and values[x + (high - 1) // WIDTH, (high - 1) % WIDTH] == 0.0:
        high -= 1
    ranges[x, 0], ranges[x, 1] = (low, high) if low < high else (0, 0)
    return dropped


@njit(nogil=True, cache=True)
def normalise(heap, x: int) -> bool:
    """Settle every block of a polynomial; return whether anything was dropped."""
    values, powers, ranges, _ = heap
    low, high = ranges[x, 0], ranges[x, 1]
    if high <= low:
        return False
    dropped = False
    for block in range(x + low // WIDTH, x + (high - 1) // WIDTH + 1):
        if powers[block] > EMPTY:
            shift = settle(values, powers, block)
            if shift > TOP:
                dropped |= mend(values, powers, block, shift)
    return trim(heap, x, low, high) | dropped


@njit(nogil=True, cache=True)
def _extend(heap, x: int, low: int, high: int) -> None:
    """Make room for y^low … y^(high - 1)."""
    values, powers, ranges, _ = heap
    first, last = low // WIDTH, (high - 1) // WIDTH
    if ranges[x, 1] <= ranges[x, 0]:
        ranges[x, 0], ranges[x, 1] = low, high
        has, until = last + 1, last
    else:
        has, until = ranges[x, 0] // WIDTH, (ranges[x, 1] - 1) // WIDTH
        ranges[x, 0], ranges[x, 1] = min(low, ranges[x, 0]), max(high, ranges[x, 1])
    for part in range(2):
        for block in range(x + (until + 1 if part else first), x + (last + 1 if part else has)):
            powers[block] = EMPTY
            for k in range(WIDTH):
                values[block, k] = 0.0


@njit(nogil=True, cache=True)
def _align(values: np.ndarray, powers: np.ndarray, block: int, power: int):
    """Raise a block to ``power`` if that is larger; return (scale of what comes in with it, whether much is lost)."""
    gap = power - powers[block]
    if gap <= 0:
        return power_of_two(gap), gap < -2 * TOP
    lost = powers[block] > EMPTY and gap > 2 * TOP
    if powers[block] > EMPTY:
        scale = power_of_two(-gap)
        for k in range(WIDTH):
            values[block, k] *= scale
    powers[block] = power
    return 1.0, lost


@njit(nogil=True, cache=True, fastmath=FAST)
def add(heap, out: int, x: int, mantissa: float, exponent: int, step: int) -> bool:
    """Add mantissa · 2^exponent · y^step · x to ``out``, step 0 or 1; to be followed by :func:`normalise`."""
    values, powers, ranges, _ = heap
    low, high = ranges[x, 0], ranges[x, 1]
    if mantissa == 0.0 or high <= low:
        return False
    factor, more = math.frexp(mantissa)
    exponent += more
    _extend(heap, out, low + step, high + step)
    dropped = False
    for block in range(low // WIDTH, (high - 1) // WIDTH + 1):
        if powers[x + block] == EMPTY:
            continue
        power = powers[x + block] + exponent
        if not step:
            scale, lost = _align(values, powers, out + block, power)
            scale *= factor
            for k in range(WIDTH):
                values[out + block, k] += scale * values[x + block, k]
            dropped |= lost
            continue
        if block * WIDTH + WIDTH - 1 > low:
            scale, lost = _align(values, powers, out + block, power)
            scale *= factor
            for k in range(WIDTH - 1):
                values[out + block, k + 1] += scale * values[x + block, k]
            dropped |= lost
        if values[x + block, WIDTH - 1] > 0.0:  # it may be far smaller than the block that it leaves
            edge, more = math.frexp(values[x + block, WIDTH - 1])
            scale, lost = _align(values, powers, out + block + 1, power + more - TOP)
            values[out + block + 1, 0] += scale * factor * (edge * 2.0**TOP)
            dropped |= lost
    return dropped


@njit(nogil=True, cache=True, fastmath=FAST)
def multiply(heap, x: int, y: int, out: int) -> bool:
    """Write the settled product of two settled polynomials to ``out``; return whether anything was dropped.

    For every block of the product the largest pair of blocks comes first, others only if they can be seen beside it.
    """
    values, powers, ranges, rows = heap  # rows: a sum, and two blocks of y that meet a block of x
    ranges[out, 0], ranges[out, 1] = 0, 0
    if ranges[x, 1] <= ranges[x, 0] or ranges[y, 1] <= ranges[y, 0]:
        return False
    if ranges[x, 1] - ranges[x, 0] > ranges[y, 1] - ranges[y, 0]:
        x, y = y, x
    dropped = False
    if ranges[x, 1] <= 2:  # of a leaf, or a number
        for k in range(ranges[x, 0], ranges[x, 1]):
            factor, power = math.frexp(values[x, k])
            dropped |= add(heap, out, y, factor, power + powers[x], k)
        return normalise(heap, out) | dropped
    low, high = ranges[x, 0] + ranges[y, 0], ranges[x, 1] + ranges[y, 1] - 1
    first, last = ranges[x, 0] // WIDTH, (ranges[x, 1] - 1) // WIDTH
    lowest, highest = ranges[y, 0] // WIDTH, (ranges[y, 1] - 1) // WIDTH
    line = rows.reshape(3 * WIDTH)
    margin = 2 * TOP + SURE + math.frexp(float(ranges[x, 1] - ranges[x, 0]))[1]
    for block in range(low // WIDTH, (high - 1) // WIDTH + 1):
        start, stop = max(first, block - 1 - highest), min(last, block - lowest)
        power, best = EMPTY, start
        for i in range(start, stop + 1):
            j = block - i
            above = powers[y + j] if j <= highest else EMPTY
            below = powers[y + j - 1] if j > lowest else EMPTY
            here = powers[x + i] + max(above, below)
            if here > power:
                power, best = here, i
        for k in range(WIDTH):
            rows[0, k] = 0.0
        needed = NONE  # a pair below it is not there, or cannot be seen
        known, far = False, False
        i, up, down = best, best + 1, best - 1
        for step in range(stop - start + 1):  # from the best to both sides
            if step > 0 and up <= stop and (step % 2 == 1 or down < start):
                i, up = up, up + 1
            elif step > 0:
                i, down = down, down - 1
            j = block - i
            above = powers[y + j] if j <= highest else EMPTY
            below = powers[y + j - 1] if j > lowest else EMPTY
            here = powers[x + i] + max(above, below)
            if here < needed:
                continue
            half = max((here - power) // 2, -TOP)
            far |= _gather(values, y + j - 1, below, powers[x + i] - power, half, rows, 1)
            far |= _gather(values, y + j, above, powers[x + i] - power, half, rows, 2)
            _meet(values, x + i, power_of_two(half), line)
            if not known:
                least = math.inf
                for k in range(max(low - block * WIDTH, 0), min(high - block * WIDTH, WIDTH)):
                    least = min(least, rows[0, k])
                if least > FLOOR:
                    known = True
                    needed = max(NONE, power + exponent_of(least) - margin)
        for k in range(WIDTH):
            values[out + block, k] = rows[0, k]
        powers[out + block] = power
        shift = settle(values, powers, out + block)
        if shift > TOP:
            dropped |= mend(values, powers, out + block, shift)
        dropped |= far and not known
    return trim(heap, out, low, high) | dropped


@njit(nogil=True, cache=True, fastmath=FAST)
def _gather(values: np.ndarray, block: int, power: int, shift: int, half: int, rows: np.ndarray, row: int) -> bool:
    """Write a block of 2^power, times 2^(shift - half), to a row; return whether much of it may be lost."""
    if power == EMPTY:
        for k in range(WIDTH):
            rows[row, k] = 0.0
        return False
    scale = power_of_two(power + shift - half)
    for k in range(WIDTH):
        rows[row, k] = scale * values[block, k]
    return power + shift < FAR


@njit(nogil=True, cache=True, fastmath=FAST)
def _meet(values: np.ndarray, block: int, scale: float, work: np.ndarray) -> None:
    """work[k] += scale · Σ_i values[block, i] · work[k + 32 - i], written out so that sums stay in registers."""
    a, b, c, d = scale * values[block, 0], scale * values[block, 1], scale * values[block, 2], scale * values[block, 3]
    e, f, g, h = scale * values[block, 4], scale * values[block, 5], scale * values[block, 6], scale * values[block, 7]
    for k in range(WIDTH):
        work[k] += ((a * work[k + 32] + b * work[k + 31]) + (c * work[k + 30] + d * work[k + 29])) + (
            (e * work[k + 28] + f * work[k + 27]) + (g * work[k + 26] + h * work[k + 25])
        )
    a, b, c, d = (
        scale * values[block, 8],
        scale * values[block, 9],
        scale * values[block, 10],
        scale * values[block, 11],
    )
    e, f, g, h = (
        scale * values[block, 12],
        scale * values[block, 13],
        scale * values[block, 14],
        scale * values[block, 15],
    )
    for k in range(WIDTH):
        work[k] += ((a * work[k + 24] + b * work[k + 23]) + (c * work[k + 22] + d * work[k + 21])) + (
            (e * work[k + 20] + f * work[k + 19]) + (g * work[k + 18] + h * work[k + 17])
        )


@njit(nogil=True, cache=True)
def copy(heap, x: int, out: int) -> None:
    """Copy a polynomial."""
    values, powers, ranges, _ = heap
    low, high = ranges[x, 0], ranges[x, 1]
    ranges[out, 0], ranges[out, 1] = low, high
    for block in range(low // WIDTH, (high - 1) // WIDTH + 1 if high > low else 0):
        powers[out + block] = powers[x + block]
        for k in range(WIDTH):
            values[out + block, k] = values[x + block, k]


@njit(nogil=True, cache=True)
def one(heap, x: int) -> None:
    """Write the polynomial 1."""
    values, powers, ranges, _ = heap
    values[x] = 0.0
    values[x, 0], powers[x] = 2.0 ** (TOP - 1), 1 - TOP
    ranges[x, 0], ranges[x, 1] = 0, 1


@njit(nogil=True, cache=True)
def clear(heap, x: int) -> None:
    """Write the polynomial 0."""
    heap[2][x] = 0


@njit(nogil=True, cache=True)
def logarithms(heap, x: int, size: int) -> np.ndarray:
    """Return the natural logarithms of the coefficients of y^0 … y^(size - 1)."""
    values, powers, ranges, _ = heap
    out = np.full(size, -np.inf)
    for k in range(ranges[x, 0], ranges[x, 1]):
        value = values[x + k // WIDTH, k % WIDTH]
        if value > 0.0:
            mantissa, exponent = math.frexp(value)
            out[k] = math.log(mantissa) + (exponent + powers[x + k // WIDTH]) * LN2
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
