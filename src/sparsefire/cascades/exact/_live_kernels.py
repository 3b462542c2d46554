"""Compiled positive recursion of the linear threshold model on a rooted forest."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.cascades.exact._scaled import WIDTH, add, clear, copy, logarithms, multiply, new_heap, normalise, one

X, Y, F, R = 0, 1, 2, 3  # of a product, F and R hold Σ over the child that is followed


@njit(nogil=True, cache=True)
def live_pass(
    size: np.ndarray,
    starts: np.ndarray,
    children: np.ndarray,
    p: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    rest: np.ndarray,
    tilt_mantissa: float,
    tilt_exponent: int,
):
    """Return (log of the coefficients of G(r·y), whether anything was dropped); r = mantissa · 2^exponent.

    The message of the subtree at position i of size s owns the blocks [i, i + s) of a store: where its children stood.
    """
    n = len(size)
    spare = n // WIDTH + 2
    heap = new_heap(
        8 * n + 6 * spare + 4
    )  # messages and products of n blocks for each kind, spare ones, and 1, 1, 0, 0
    waits, spares, units = 4 * n, 8 * n, 8 * n + 6 * spare
    one(heap, units + X)
    one(heap, units + Y)
    begins = np.zeros(int(math.sqrt(2.0 * n)) + 4, np.int64)  # of the products that wait; their sizes fall strictly
    dropped = False
    for i in range(n - 1, -1, -1):
        first, last = starts[i], starts[i + 1]
        product, apart = (units, 1) if first == last else (waits, n)
        if first < last:
            dropped |= _product(heap, size, children[first:last], n, 4, waits, begins, spares, spare)
        dropped |= _message(
            heap, product, apart, i, n, p[i], up[i], down[i], rest[i], tilt_mantissa, tilt_exponent, spares, spare
        )
    dropped |= _product(heap, size, children[starts[n] : starts[n + 1]], n, 1, waits, begins, spares, spare)
    return logarithms(heap, waits, n + 1), dropped


@njit(nogil=True, cache=True)
def _product(
    heap,
    size: np.ndarray,
    children: np.ndarray,
    n: int,
    kinds: int,
    waits: int,
    begins: np.ndarray,
    spares: int,
    spare: int,
) -> bool:
    """Write the product of the messages of ``children``, smallest first, to ``waits``: all kinds, or only X.

    The last two products that wait are joined while the first of them is no larger than the second.
    """
    dropped = False
    height = 0
    begins[0] = waits
    for c in children:
        for kind in range(kinds):
            copy(heap, kind * n + c, begins[height] + kind * n)
        begins[height + 1] = begins[height] + size[c]
        height += 1
        while height > 1 and begins[height - 1] - begins[height - 2] <= begins[height] - begins[height - 1]:
            height -= 1
            dropped |= _join(heap, begins[height - 1], begins[height], n, kinds, spares, spare)
            begins[height] = begins[height + 1]
    while height > 1:
        height -= 1
        dropped |= _join(heap, begins[height - 1], begins[height], n, kinds, spares, spare)
    return dropped


@njit(nogil=True, cache=True)
def _join(heap, x: int, y: int, n: int, kinds: int, spares: int, spare: int) -> bool:
    """Multiply (X, Y, F, R) at x by that at y, or only X by X: F = F₁ Y₂ + Y₁ F₂, R = R₁ X₂ + X₁ R₂."""
    dropped = False
    more = spares + 4 * spare
    for kind in range(min(kinds, 2)):
        dropped |= multiply(heap, x + kind * n, y + kind * n, spares + kind * spare)
    for kind in range(2, kinds):
        others, out = (Y if kind == F else X) * n, spares + kind * spare
        dropped |= multiply(heap, x + kind * n, y + others, out)
        dropped |= multiply(heap, x + others, y + kind * n, more)
        dropped |= add(heap, out, more, 1.0, 0, 0)
        dropped |= normalise(heap, out)
    for kind in range(kinds):
        copy(heap, spares + kind * spare, x + kind * n)
    return dropped


@njit(nogil=True, cache=True)
def _message(
    heap,
    product: int,
    apart: int,
    out: int,
    n: int,
    p: float,
    a: float,
    b: float,
    rest: float,
    tilt_mantissa: float,
    tilt_exponent: int,
    spares: int,
    spare: int,
) -> bool:
    """Write the message of a unit to ``out`` from the products over its children.

    With F = r·y (p ∏Y + q F), N = q (w_0 ∏X + R), I = q b ∏X, A = r·y q b ∏Y: X = F + N + I, Y = F + N + A, a F and
    a (N + I). A root has b = 0, so that its X is the law of its tree.
    """
    alone, never, idle, led = spares, spares + spare, spares + 2 * spare, spares + 3 * spare
    for k in range(4):
        clear(heap, spares + k * spare)
    q = 1.0 - p
    p_mantissa, p_exponent = math.frexp(p)  # products of tiny probabilities underflow
    b_mantissa, b_exponent = math.frexp(b)
    dropped = add(heap, alone, product + Y * apart, p_mantissa * tilt_mantissa, p_exponent + tilt_exponent, 1)
    dropped |= add(heap, alone, product + F * apart, q * tilt_mantissa, tilt_exponent, 1)
    dropped |= add(heap, never, product + X * apart, q * rest, 0, 0)
    dropped |= add(heap, never, product + R * apart, q, 0, 0)
    dropped |= add(heap, idle, product + X * apart, q * b_mantissa, b_exponent, 0)
    dropped |= add(heap, led, product + Y * apart, q * b_mantissa * tilt_mantissa, b_exponent + tilt_exponent, 1)
    for k in range(4):
        dropped |= normalise(heap, spares + k * spare)
    for kind in range(4):
        row = out + kind * n
        share = 1.0 if kind < F else a
        clear(heap, row)
        if kind != R:
            dropped |= add(heap, row, alone, share, 0, 0)
        if kind != F:
            dropped |= add(heap, row, never, share, 0, 0)
        if kind in (X, R):
            dropped |= add(heap, row, idle, share, 0, 0)
        if kind == Y:
            dropped |= add(heap, row, led, share, 0, 0)
        dropped |= normalise(heap, row)
    return dropped


@njit(nogil=True, cache=True)
def certain(starts: np.ndarray, receivers: np.ndarray, w: np.ndarray, p: np.ndarray, rest: np.ndarray) -> int:
    """Count the units that are active whatever happens: sure sources, and what follows only such units."""
    n = len(p)
    doubts = np.zeros(n, np.int64)  # possible picks not known to be active for certain
    for i in range(n):
        doubts[i] += rest[i] > 0.0
    for e in range(len(w)):
        doubts[receivers[e]] += w[e] > 0.0
    queue = np.empty(n, np.int64)
    last = 0
    for i in range(n):
        if p[i] == 1.0 or doubts[i] == 0:
            queue[last] = i
            last += 1
            doubts[i] = 0
    first = 0
    while first < last:
        u = queue[first]
        first += 1
        for e in range(starts[u], starts[u + 1]):
            v = receivers[e]
            if w[e] > 0.0 and doubts[v] > 0:
                doubts[v] -= 1
                if doubts[v] == 0:
                    queue[last] = v
                    last += 1
    return last
