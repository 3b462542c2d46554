"""Compiled passes over a rooted forest: hanging it, and the positive recursion of the independent cascade."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.cascades.exact._scaled import (
    WIDTH,
    add,
    clear,
    copy,
    logarithms,
    multiply,
    new_heap,
    normalise,
    one,
    power_of_two,
)

B, A, D = 0, 1, 2  # the polynomials of a message, D holding T; and of a product; S = A + D in both


@njit(nogil=True, cache=True)
def hang(n: int, low: np.ndarray, high: np.ndarray):
    """Order units depth first, each tree from its centroid, which makes the sum of all subtree sizes smallest.

    Returns (pair that closes a cycle or -1, order, parent, size, pair to the parent).
    """
    order = np.empty(n, np.int64)
    parent = np.full(n, -1, np.int64)
    size = np.ones(n, np.int64)
    via = np.full(n, -1, np.int64)
    boss = np.arange(n)
    for e in range(len(low)):
        u, v = low[e], high[e]
        while boss[u] != u:
            boss[u] = boss[boss[u]]
            u = boss[u]
        while boss[v] != v:
            boss[v] = boss[boss[v]]
            v = boss[v]
        if u == v:
            return e, order, parent, size, via
        boss[u] = v
    starts = np.zeros(n + 1, np.int64)
    for e in range(len(low)):
        starts[low[e] + 1] += 1
        starts[high[e] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    ends = starts[:-1].copy()
    pairs = np.empty(2 * len(low), np.int64)
    for e in range(len(low)):
        pairs[ends[low[e]]] = e
        ends[low[e]] += 1
        pairs[ends[high[e]]] = e
        ends[high[e]] += 1
    seen = np.zeros(n, np.bool_)
    stack = np.empty((n, 3), np.int64)  # unit, position of its parent, pair to it
    at = 0
    for unit in range(n):
        if seen[unit]:
            continue
        root, first = unit, at
        for turn in range(2):
            stack[0, 0], stack[0, 1], stack[0, 2] = root, -1, -1
            height, at = 1, first
            while height:
                height -= 1
                u, by = stack[height, 0], stack[height, 2]
                seen[u] = True
                order[at], parent[at], via[at], size[at] = u, stack[height, 1], by, 1
                for k in range(starts[u], starts[u + 1]):
                    e = pairs[k]
                    if e != by:
                        stack[height, 0], stack[height, 1], stack[height, 2] = low[e] + high[e] - u, at, e
                        height += 1
                at += 1
            for i in range(at - 1, first, -1):
                size[parent[i]] += size[i]
            middle = at - 1
            while 2 * size[middle] < at - first:
                middle -= 1
            if turn == 0 and middle > first:
                root = order[middle]
            else:
                break
    return -1, order, parent, size, via


@njit(nogil=True, cache=True)
def reached(parent: np.ndarray, start: np.ndarray, up: np.ndarray, down: np.ndarray) -> int:
    """Count the positions reached from ``start`` over open arcs of a forest."""
    n = len(parent)
    on = start.copy()
    for i in range(n - 1, -1, -1):
        if on[i] and parent[i] >= 0 and up[i]:
            on[parent[i]] = True
    count = 0
    for i in range(n):
        if not on[i] and parent[i] >= 0 and down[i] and on[parent[i]]:
            on[i] = True
        count += on[i]
    return count


@njit(nogil=True, cache=True)
def independent_pass(
    size: np.ndarray,
    starts: np.ndarray,
    children: np.ndarray,
    p: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    tilt_mantissa: float,
    tilt_exponent: int,
):
    """Return (log of the coefficients of G(r·y), whether anything was dropped); r = mantissa · 2^exponent.

    Messages of disjoint subtrees share one store of 2n values per polynomial: the subtree at position i of size s owns
    [2i, 2i + 2s) and needs s + 1 of them. So memory is linear in n for every tree. Children are multiplied two at a
    time, products of like size first: every two units meet in one product, and a star costs no more than a path.
    """
    n = len(size)
    spare = n // WIDTH + 2
    # on the heap: two stores of n blocks for each of B, A, D; n for each of products that wait; spare ones; and 1, 1, 0
    heap = new_heap(9 * n + 5 * spare + 3)
    spares, units = 9 * n, 9 * n + 5 * spare
    one(heap, units + B)
    one(heap, units + A)
    turn = np.zeros(n, np.int64)  # which of the two stores: a unit writes where its children do not stand
    for i in range(n):
        for k in range(starts[i], starts[i + 1]):
            turn[children[k]] = 1 - turn[i]
    waiting = np.empty((int(math.sqrt(2.0 * n)) + 4, 3), np.int64)  # their sizes fall strictly
    weights, exponents = np.empty((3, 3)), np.empty((3, 3), np.int64)
    dropped = False
    for i in range(n - 1, -1, -1):
        product, apart = units, 1
        if starts[i] < starts[i + 1]:
            store = 3 * n * (1 - turn[i])
            product, lost = _product(heap, size, children[starts[i] : starts[i + 1]], store, 6 * n, spares, 3, waiting)
            apart = spare if product == spares else n
            dropped |= lost
        _weights(p[i], up[i], down[i], tilt_mantissa, tilt_exponent, weights, exponents)
        dropped |= _message(heap, product, apart, weights, exponents, 3 * n * turn[i] + i, n)
    product, lost = _product(heap, size, children[starts[n] : starts[n + 1]], 0, 6 * n, spares, 1, waiting)
    return logarithms(heap, product, n + 1), dropped | lost


@njit(nogil=True, cache=True)
def _product(
    heap,
    size: np.ndarray,
    children: np.ndarray,
    store: int,
    waits: int,
    spares: int,
    kinds: int,
    waiting: np.ndarray,
):
    """Multiply the messages of ``children``, smallest first: B, A and D, or only B; return (where, anything dropped).

    The last two products that wait are joined while the first of them is no larger than the second.
    """
    n, spare = len(size), len(size) // WIDTH + 2
    dropped = False
    height, done = 0, 0
    for c in children:
        waiting[height, 0], waiting[height, 1], waiting[height, 2] = (
            store + c,
            waits + done,
            size[c],
        )  # where it is, where there is room for it, its size
        done += size[c]
        height += 1
        while height > 1 and (c == children[-1] or waiting[height - 2, 2] <= waiting[height - 1, 2]):
            height -= 1
            large, small = waiting[height - 1, 0], waiting[height, 0]
            if waiting[height - 1, 2] < waiting[height, 2]:
                large, small = small, large
            dropped |= _join(heap, large, small, n, kinds, spares, spare)
            if height == 1 and c == children[-1]:
                return spares, dropped
            waiting[height - 1, 0] = waiting[height - 1, 1]
            waiting[height - 1, 2] += waiting[height, 2]
            for kind in range(kinds):
                copy(heap, spares + kind * spare, waiting[height - 1, 0] + kind * n)
    return waiting[0, 0], dropped


@njit(nogil=True, cache=True)
def _join(heap, x: int, y: int, n: int, kinds: int, spares: int, spare: int) -> bool:
    """Write the product of (B, A, D) at x and y to ``spares``, or only that of B: D = D₁ S₂ + A₁ D₂, S₂ = A₂ + D₂."""
    dropped = multiply(heap, x + B * n, y + B * n, spares + B * spare)
    if kinds == 3:
        product, sums, more = spares + D * spare, spares + 3 * spare, spares + 4 * spare
        dropped |= multiply(heap, x + A * n, y + A * n, spares + A * spare)
        clear(heap, sums)
        dropped |= add(heap, sums, y + A * n, 1.0, 0, 0)
        dropped |= add(heap, sums, y + D * n, 1.0, 0, 0)
        dropped |= normalise(heap, sums)
        dropped |= multiply(heap, x + D * n, sums, product)
        dropped |= multiply(heap, x + A * n, y + D * n, more)
        dropped |= add(heap, product, more, 1.0, 0, 0)
        dropped |= normalise(heap, product)
    return dropped


@njit(nogil=True, cache=True)
def _weights(
    p: float, a: float, b: float, tilt_mantissa: float, tilt_exponent: int, weights: np.ndarray, exponents: np.ndarray
) -> None:
    """Write the weights 2^exponent · weight [message, product] of ∏B, y ∏A and y D in the message of a unit.

    With F = r·y (p ∏A + D): B = q ∏B + (1-a) F, A = (1-b) q ∏B + b q r·y ∏A + (1-a) F, T = a F. A root has a = 0, so
    that its B is the law of its tree.
    """
    q = 1.0 - p
    p_mantissa, p_exponent = math.frexp(p)  # products of tiny probabilities underflow
    a_mantissa, a_exponent = math.frexp(a)
    b_mantissa, b_exponent = math.frexp(b)
    exponents[:] = tilt_exponent
    weights[B, B], weights[A, B], weights[D, B] = q, (1.0 - b) * q, 0.0
    exponents[:, B] = 0
    weights[B, D] = weights[A, D] = (1.0 - a) * tilt_mantissa
    weights[D, D] = a_mantissa * tilt_mantissa
    exponents[D, D] += a_exponent
    weights[B, A], weights[D, A] = weights[B, D] * p_mantissa, weights[D, D] * p_mantissa
    exponents[B, A] += p_exponent
    exponents[D, A] += a_exponent + p_exponent
    helped = b_mantissa * q * tilt_mantissa
    if helped == 0.0 or (weights[B, A] > 0.0 and p_exponent > b_exponent):
        weights[A, A] = weights[B, A] + helped * power_of_two(b_exponent - p_exponent)
        exponents[A, A] += p_exponent
    else:
        weights[A, A] = helped + weights[B, A] * power_of_two(p_exponent - b_exponent)
        exponents[A, A] += b_exponent


@njit(nogil=True, cache=True)
def _message(heap, x: int, x_apart: int, weights: np.ndarray, exponents: np.ndarray, out: int, apart: int) -> bool:
    """Write the message of a unit to ``out`` from the products ∏B, ∏A, D over its children at x."""
    dropped = False
    for kind in range(3):
        row = out + kind * apart
        clear(heap, row)
        for by in range(3):
            step = 0 if by == B else 1
            dropped |= add(heap, row, x + by * x_apart, weights[kind, by], exponents[kind, by], step)
        dropped |= normalise(heap, row)
    return dropped


@njit(nogil=True, cache=True)
def independent_marginals(
    parent: np.ndarray, p: np.ndarray, up: np.ndarray, down: np.ndarray, starts: np.ndarray, children: np.ndarray
) -> np.ndarray:
    """Return P(active) by position: cavity probabilities up, then down with prefix and suffix sums of logarithms."""
    n = len(parent)
    alone = np.empty(n)  # active without any help of the parent
    total = np.empty(n)
    for i in range(n - 1, -1, -1):
        left = math.log1p(-p[i]) if p[i] < 1.0 else -np.inf
        for k in range(starts[i], starts[i + 1]):
            c = children[k]
            x = up[c] * alone[c]
            left += math.log1p(-x) if x < 1.0 else -np.inf
        alone[i] = -math.expm1(left)
    before = np.empty(n + 1)
    outside = np.zeros(n)  # the parent is active without any help of this one
    for i in range(n):
        help_ = down[i] * outside[i] if parent[i] >= 0 else 0.0
        left = math.log1p(-p[i]) if p[i] < 1.0 else -np.inf
        left += math.log1p(-help_) if help_ < 1.0 else -np.inf
        first, last = starts[i], starts[i + 1]
        for k in range(first, last):
            before[k - first] = left
            x = up[children[k]] * alone[children[k]]
            left += math.log1p(-x) if x < 1.0 else -np.inf
        total[i] = -math.expm1(left)
        after = 0.0
        for k in range(last - 1, first - 1, -1):
            outside[children[k]] = -math.expm1(before[k - first] + after)
            x = up[children[k]] * alone[children[k]]
            after += math.log1p(-x) if x < 1.0 else -np.inf
    return total
