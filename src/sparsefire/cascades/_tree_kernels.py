"""Compiled passes over a rooted forest: hanging it, and the positive recursion of the independent cascade."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.cascades._scaled import add, copy, logarithms, multiply, normalise, one

B, A, S, T = 0, 1, 2, 3  # the four polynomials of a message; of a product, T holds D = ∏S - ∏A


@njit(nogil=True, cache=True)
def hang(n: int, low: np.ndarray, high: np.ndarray):
    """Order units depth first; return (pair that closes a cycle or -1, order, parent, size, pair to the parent)."""
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
    stack = np.empty(n, np.int64)
    above = np.full(n, -1, np.int64)
    by = np.full(n, -1, np.int64)
    at = 0
    for root in range(n):
        if seen[root]:
            continue
        stack[0] = root
        seen[root] = True
        height = 1
        while height:
            height -= 1
            u = stack[height]
            order[at], parent[at], via[at] = u, above[u], by[u]
            for k in range(starts[u], starts[u + 1]):
                e = pairs[k]
                v = low[e] + high[e] - u
                if not seen[v]:
                    seen[v] = True
                    above[v], by[v] = at, e
                    stack[height] = v
                    height += 1
            at += 1
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            size[parent[i]] += size[i]
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
    [2i, 2i + 2s) and needs s + 1 of them. So memory is linear in n for every tree.
    """
    n = len(size)
    store = np.empty((4, 2 * n))
    store_meta = np.zeros((n, 4, 3), np.int64)
    product = np.empty((2, 4, n + 2))
    product_meta = np.zeros((2, 4, 3), np.int64)
    spare = np.empty((3, n + 2))
    spare_meta = np.zeros((3, 3), np.int64)
    dropped = False
    for i in range(n - 1, -1, -1):
        now = 0
        if starts[i] == starts[i + 1]:
            for kind in range(3):
                one(product[0, kind], product_meta[0, kind])
            product_meta[0, T, :] = 0
        for k in range(starts[i], starts[i + 1]):
            c = children[k]
            child, child_meta = store[:, 2 * c : 2 * c + 2 * size[c]], store_meta[c]
            if k == starts[i]:
                for kind in range(4):
                    copy(child[kind], child_meta[kind], product[0, kind], product_meta[0, kind])
                continue
            old, old_meta, new, new_meta = product[now], product_meta[now], product[1 - now], product_meta[1 - now]
            for kind in range(3):
                dropped |= multiply(old[kind], old_meta[kind], child[kind], child_meta[kind], new[kind], new_meta[kind])
            # D ← D · S_c + (∏A) · T_c, every term positive
            dropped |= multiply(old[T], old_meta[T], child[S], child_meta[S], new[T], new_meta[T])
            dropped |= multiply(old[A], old_meta[A], child[T], child_meta[T], spare[0], spare_meta[0])
            dropped |= add(new[T], new_meta[T], spare[0], spare_meta[0], 1.0, 0, 0)
            dropped |= normalise(new[T], new_meta[T])
            now = 1 - now
        full, full_meta = product[now], product_meta[now]
        self, q = p[i], 1.0 - p[i]
        f, f_meta = spare[0], spare_meta[0]  # F = r·y·(p ∏S + q D)
        f_meta[:] = 0
        dropped |= add(f, f_meta, full[S], full_meta[S], self * tilt_mantissa, tilt_exponent, 1)
        dropped |= add(f, f_meta, full[T], full_meta[T], q * tilt_mantissa, tilt_exponent, 1)
        dropped |= normalise(f, f_meta)
        mine, mine_meta = store[:, 2 * i : 2 * i + 2 * size[i]], store_meta[i]
        mine_meta[:] = 0
        a, b = up[i], down[i]
        b_mantissa, b_exponent = math.frexp(b)
        stay_mantissa, stay_exponent = math.frexp(1.0 - b)
        # B = q ∏B + (1-a) F; a root has a = 0, so that B is its law
        dropped |= add(mine[B], mine_meta[B], full[B], full_meta[B], q, 0, 0)
        dropped |= add(mine[B], mine_meta[B], f, f_meta, 1.0 - a, 0, 0)
        for kind in (A, S):  # A = (1-b) N + b L + (1-a) F, S = A + T = (1-b) N + b L + F
            row, meta = mine[kind], mine_meta[kind]
            dropped |= add(row, meta, full[B], full_meta[B], stay_mantissa * q, stay_exponent, 0)
            dropped |= add(
                row, meta, full[A], full_meta[A], b_mantissa * (q * tilt_mantissa), b_exponent + tilt_exponent, 1
            )
            dropped |= add(row, meta, f, f_meta, 1.0 if kind == S else 1.0 - a, 0, 0)
        dropped |= add(mine[T], mine_meta[T], f, f_meta, a, 0, 0)
        for kind in range(4):
            dropped |= normalise(mine[kind], mine_meta[kind])
    now = 0
    one(product[0, 0], product_meta[0, 0])
    for k in range(starts[n], starts[n + 1]):
        c = children[k]
        dropped |= multiply(
            product[now, 0],
            product_meta[now, 0],
            store[B, 2 * c : 2 * c + 2 * size[c]],
            store_meta[c, B],
            product[1 - now, 0],
            product_meta[1 - now, 0],
        )
        now = 1 - now
    return logarithms(product[now, 0], product_meta[now, 0], n + 1), dropped


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
