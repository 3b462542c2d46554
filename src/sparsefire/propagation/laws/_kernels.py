"""Compiled chains of signals through sparse ReLU layers whose connections and weights are drawn as they are needed.

Run r draws from the stream of ``(key, r)``, see :mod:`sparsefire.cascades.sampling.streams`. A pre-activation of
independent symmetric weights is symmetric, so relu(h) is |h| or 0 by the toss of a coin, and only half of the units are
computed. With normal weights h is √(s Σ x_j²) times a standard normal number, which needs one draw per unit.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import following, start, uniform

_U = np.uint64
NORMAL, UNIFORM, SIGN = 0, 1, 2


@numba.njit(inline="always")
def _pair(a, b):
    """Return the squares of two standard normal numbers (Marsaglia's polar method)."""
    while True:
        bits, a, b = following(a, b)
        v = 2.0 * uniform(bits) - 1.0
        bits, a, b = following(a, b)
        w = 2.0 * uniform(bits) - 1.0
        s = v * v + w * w
        if 0.0 < s < 1.0:
            f = -2.0 * math.log(s) / s
            return v * v * f, w * w * f, a, b


@numba.njit(inline="always")
def _weighted(kind, value, bits, a, b):
    """Return the value times a weight of variance 1; or the value, which is a square, for normal weights."""
    if kind == SIGN:
        return value if bits & _U(1 << 20) else -value, a, b
    if kind == UNIFORM:
        bits, a, b = following(a, b)
        return value * 1.7320508075688772 * (2.0 * uniform(bits) - 1.0), a, b
    return value, a, b


@numba.njit(nogil=True, cache=True)
def chains(kind, given, widths, cumulative, scales, starts, first, key, logs, live, participation):
    """Fill log |x_l|² / |x_0|², active units and Σ x⁴ / |x|⁴, [runs, depth] each, from run number ``first`` on.

    ``given`` is the input, or empty for a normal one. ``cumulative[starts[l]:starts[l + 1]]`` is P(fan-in ≤ k) of layer
    l, ``scales`` the variance of the weights of a unit of fan-in k. Places are drawn with 32 bits, so their chances are
    off by a share of n / 2³² at most.
    """
    runs, depth = logs.shape
    most = widths.max()
    now, new = np.empty(most), np.empty(most)
    stamps = np.zeros(most, np.int64)
    stamp = 0
    for r in range(runs):
        a, b = start(key, _U(first + r))
        spare = -1.0
        n = widths[0]
        total = 0.0
        for i in range(n):
            if len(given):
                now[i] = given[i] * given[i]
            else:
                if spare < 0.0:
                    now[i], spare, a, b = _pair(a, b)
                else:
                    now[i] = spare
                    spare = -1.0
            total += now[i]
        for i in range(n):
            now[i] /= total
            if kind != NORMAL:
                now[i] = math.sqrt(now[i])
        log = 0.0
        for at in range(depth):
            low, high = starts[at], starts[at + 1]
            fixed = cumulative[high - 1] >= 1.0 and (high - low == 1 or cumulative[high - 2] <= 0.0)
            units = widths[at + 1]
            coins, left = _U(0), 0
            total, squares, alive = 0.0, 0.0, 0
            for i in range(units):
                if left == 0:
                    coins, a, b = following(a, b)
                    left = 60  # the lowest bits are the weakest
                left -= 1
                heads = coins >> _U(63)
                coins = coins << _U(1)
                new[i] = 0.0
                if heads == _U(0):
                    continue
                k = high - 1 - low
                if not fixed:
                    bits, a, b = following(a, b)
                    u = uniform(bits)
                    begin, end = low, high - 1
                    while begin < end:
                        middle = (begin + end) // 2
                        if cumulative[middle] >= u:
                            end = middle
                        else:
                            begin = middle + 1
                    k = begin - low
                if k == 0:
                    continue
                h = 0.0
                if 2 * k <= n:
                    stamp += 1
                    for _ in range(k):
                        while True:
                            bits, a, b = following(a, b)
                            j = np.int64(((bits >> _U(32)) * _U(n)) >> _U(32))
                            if stamps[j] != stamp:
                                break
                        stamps[j] = stamp
                        term, a, b = _weighted(kind, now[j], bits, a, b)
                        h += term
                else:
                    stamp += 1
                    for _ in range(n - k):  # mark those that are left out
                        while True:
                            bits, a, b = following(a, b)
                            j = np.int64(((bits >> _U(32)) * _U(n)) >> _U(32))
                            if stamps[j] != stamp:
                                break
                        stamps[j] = stamp
                    for i_in in range(n):
                        if stamps[i_in] != stamp:
                            if kind == SIGN:
                                bits, a, b = following(a, b)
                            term, a, b = _weighted(kind, now[i_in], bits, a, b)
                            h += term
                if h == 0.0:
                    continue
                if kind == NORMAL:
                    if spare < 0.0:
                        g, spare, a, b = _pair(a, b)
                    else:
                        g = spare
                        spare = -1.0
                    e = scales[low + k] * h * g
                else:
                    e = scales[low + k] * h * h
                new[i] = e
                total += e
                squares += e * e
                alive += 1
            live[r, at] = alive
            if alive == 0:
                logs[r, at:] = -np.inf
                live[r, at:] = 0
                participation[r, at:] = np.nan
                break
            log += math.log(total)
            logs[r, at] = log
            participation[r, at] = squares / (total * total)
            for i in range(units):
                new[i] /= total
                if kind != NORMAL:
                    new[i] = math.sqrt(new[i])
            now, new = new, now
            n = units
