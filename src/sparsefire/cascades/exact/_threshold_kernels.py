"""Compiled positive recursion of threshold cascades on a rooted forest."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.cascades.exact._scaled import WIDTH, add, clear, copy, logarithms, multiply, new_heap, normalise, one

FEWEST = 3  # like leaves that are taken together
N, F, K = 0, 1, 2  # inactive, the parent inactive; active without it; K = L + M, the rest given an active parent


@njit(nogil=True, cache=True)
def threshold_pass(
    size: np.ndarray,
    starts: np.ndarray,
    children: np.ndarray,
    response: np.ndarray,
    response_starts: np.ndarray,
    acts_up: np.ndarray,
    acts_down: np.ndarray,
    tilt_mantissa: float,
    tilt_exponent: int,
):
    """Return (log of the coefficients of G(r·y), whether anything was dropped); r = mantissa · 2^exponent.

    Like leaves of one unit are taken together: with c of them Σ_b F^b Q^(c-b) C(c, b) stands for their share.
    """
    n = len(size)
    kin = np.zeros(n, np.bool_)  # leaves like the first child of their parent, if there are some
    rows_of = np.empty(n, np.int64)  # numbers of other active children that matter
    room = 0  # blocks for the products of one unit
    for i in range(n):
        first, like = starts[i], 0
        for k in range(first, starts[i + 1]):
            c = children[k]
            kin[c] = _alike(children[first], c, size, response, response_starts, acts_up, acts_down)
            like += kin[c]
        if like < FEWEST:
            kin[children[first : starts[i + 1]]] = False
            like = 0
        rows_of[i] = min(starts[i + 1] - first - like + 1, response_starts[i + 1] - response_starts[i])
        room = max(room, 2 * rows_of[i] * (size[i] // WIDTH + 1))
    spare = n // WIDTH + 2
    # the message of the subtree at i of size s owns the blocks [i, i + s) of each kind, where its children's stood
    heap = new_heap(3 * n + room + 5 * spare + 3)
    products, spares, leaf = 3 * n, 3 * n + room, 3 * n + room + 5 * spare
    law, more = spares, spares + spare
    dropped = False
    for i in range(n - 1, -1, -1):
        r = response[response_starts[i] : response_starts[i + 1]]
        first, last = starts[i], starts[i + 1]
        like = kin[children[first:last]].sum()
        rows, width = rows_of[i], size[i] // WIDTH + 1
        aside = rows * width
        # x_m = [x^m] ∏ (N + x F) at products + m · width, y_m = [x^m] ∏ (K + x F) another ``aside`` behind it
        for row in range(2 * rows):
            clear(heap, products + row * width)
        one(heap, products)
        one(heap, products + aside)
        done = 0
        for k in range(first, last):
            c = children[k]
            if kin[c]:
                continue
            done += 1
            for kind in range(2):
                for m in range(min(done, rows - 1), -1, -1):
                    row = products + kind * aside + m * width
                    dropped |= multiply(heap, row, (K if kind else N) * n + c, law)
                    if m > 0:
                        dropped |= multiply(heap, row - width, F * n + c, more)
                        dropped |= add(heap, law, more, 1.0, 0, 0)
                        dropped |= normalise(heap, law)
                    copy(heap, law, row)
        for kind in range(3):
            if like:
                copy(heap, kind * n + children[first], leaf + kind)
            clear(heap, kind * n + i)
        shares = np.zeros(like + 1)
        for m in range(rows):
            for kind in range(4):  # N, F, M and L
                of_y = kind == 1 or kind == 3
                for b in range(like + 1):
                    shares[b] = _share(r, m + b, kind, acts_down[i])
                row = products + (aside if of_y else 0) + m * width
                mantissa, exponent = (tilt_mantissa, tilt_exponent) if of_y else (1.0, 0)
                out = (K if kind > 1 else kind) * n + i
                if not like:
                    dropped |= add(heap, out, row, shares[0] * mantissa, exponent, 1 if of_y else 0)
                    continue
                dropped |= _leaves(heap, shares, leaf + F, leaf + (K if of_y else N), spares, spare)
                dropped |= multiply(heap, row, spares, more)
                dropped |= add(heap, out, more, mantissa, exponent, 1 if of_y else 0)
        dropped |= normalise(heap, F * n + i)
        if not acts_up[i]:  # also at a root, where N becomes the law N + F
            dropped |= add(heap, N * n + i, F * n + i, 1.0, 0, 0)
            dropped |= add(heap, K * n + i, F * n + i, 1.0, 0, 0)
            clear(heap, F * n + i)
        dropped |= normalise(heap, N * n + i)
        dropped |= normalise(heap, K * n + i)
    one(heap, law)
    for k in range(starts[n], starts[n + 1]):
        dropped |= multiply(heap, law, N * n + children[k], more)
        copy(heap, more, law)
    return logarithms(heap, law, n + 1), dropped


@njit(nogil=True, cache=True)
def _share(r: np.ndarray, m: int, kind: int, acts_down: bool) -> float:
    """Return the coefficient of x_m in N and M, of y_m in F and L; M = N and L = 0 where the parent does not act."""
    after = m + 1 if acts_down else m
    if kind == 0:
        return 1.0 - r[m] if m < len(r) else 0.0
    if kind == 1:
        return r[m] if m < len(r) else 0.0
    if after >= len(r):
        return 0.0
    return 1.0 - r[after] if kind == 2 else r[after] - r[m]


@njit(nogil=True, cache=True)
def _alike(
    c: int,
    d: int,
    size: np.ndarray,
    response: np.ndarray,
    response_starts: np.ndarray,
    acts_up: np.ndarray,
    acts_down: np.ndarray,
) -> bool:
    """Return whether two positions are leaves with the same response and the same directions."""
    if size[c] > 1 or size[d] > 1 or acts_up[c] != acts_up[d] or acts_down[c] != acts_down[d]:
        return False
    one_ = response[response_starts[c] : response_starts[c + 1]]
    return np.array_equal(one_, response[response_starts[d] : response_starts[d + 1]])


@njit(nogil=True, cache=True)
def _leaves(heap, shares: np.ndarray, leaf: int, rest: int, spares: int, spare: int) -> bool:
    """Write Σ_b shares[b] C(c, b) F^b Q^(c-b) of c like leaves to ``spares``, F = f y: Horner, as Q^(c-b) grows."""
    values, powers, ranges, _ = heap
    c = len(shares) - 1
    total, next_total, power, next_power = spares, spares + 2 * spare, spares + 3 * spare, spares + 4 * spare
    moved = values[leaf, 1] if ranges[leaf, 1] == 2 else 0.0
    ways, exponent = 1.0, 0  # the binomial coefficient
    dropped = False
    clear(heap, total)
    one(heap, power)
    for b in range(c, -1, -1):
        clear(heap, next_total)
        dropped |= add(heap, next_total, total, moved, powers[leaf] if moved > 0.0 else 0, 1)
        if b == 0 or moved > 0.0:
            dropped |= add(heap, next_total, power, shares[b] * ways, exponent, 0)
        dropped |= normalise(heap, next_total)
        copy(heap, next_total, total)
        if b > 0:
            dropped |= multiply(heap, power, rest, next_power)
            power, next_power = next_power, power
            ways, more = math.frexp(ways * b / (c - b + 1))
            exponent += more
    return dropped
