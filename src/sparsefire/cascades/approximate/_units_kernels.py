"""Compiled product of many short positive polynomials."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.cascades.exact._scaled import LN2, WIDTH, copy, multiply, new_heap, normalise


@njit(nogil=True, cache=True)
def units_pass(p: np.ndarray, tilt_mantissa: float, tilt_exponent: int):
    """Return (log of the coefficients of ∏ (1 - p_i + p_i r·y), whether anything was dropped).

    A product of the units i … j - 1 owns the blocks [i, j) of one of two stores.
    """
    n = len(p)
    heap = new_heap(2 * n)
    values, powers, ranges, _ = heap
    dropped = False
    for i in range(n):
        stay, stay_exponent = math.frexp(1.0 - p[i])
        go, go_exponent = math.frexp(p[i])
        go, go_exponent = go * tilt_mantissa, go_exponent + tilt_exponent
        top = max(stay_exponent if stay > 0.0 else go_exponent, go_exponent if go > 0.0 else stay_exponent)
        values[i] = 0.0
        values[i, 0] = math.ldexp(stay, max(stay_exponent - top, -2000))
        values[i, 1] = math.ldexp(go, max(go_exponent - top, -2000))
        dropped |= (stay > 0.0 and values[i, 0] == 0.0) or (go > 0.0 and values[i, 1] == 0.0)
        powers[i], ranges[i, 1] = top, 2
        dropped |= normalise(heap, i)
    now, width = 0, 1
    while width < n:
        new = n - now
        for i in range(0, n, 2 * width):
            if i + width < n:
                dropped |= multiply(heap, now + i, now + i + width, new + i)
            else:
                copy(heap, now + i, new + i)
        now, width = new, 2 * width
    logs = np.full(n + 1, -np.inf)
    for k in range(ranges[now, 0], ranges[now, 1]):
        block = now + k // WIDTH
        if values[block, k % WIDTH] > 0.0:
            mantissa, exponent = math.frexp(values[block, k % WIDTH])
            logs[k] = math.log(mantissa) + (exponent + powers[block]) * LN2  # no multiple of log 2 beside large ones
    return logs, dropped


@njit(nogil=True, cache=True)
def log_units(p: np.ndarray) -> np.ndarray:
    """Return the logarithms of the coefficients unit by unit in logarithms: O(n²) and slow, but of unlimited range."""
    n = len(p)
    out = np.full(n + 1, -np.inf)
    out[0] = 0.0
    for i in range(n):
        stay = math.log1p(-p[i]) if p[i] < 1.0 else -np.inf
        go = math.log(p[i]) if p[i] > 0.0 else -np.inf
        for k in range(i + 1, -1, -1):
            one = out[k] + stay
            two = out[k - 1] + go if k > 0 else -np.inf
            top = max(one, two)
            out[k] = top + math.log1p(math.exp(min(one, two) - top)) if top > -np.inf else -np.inf
    return out
