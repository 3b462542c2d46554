"""Compiled positive recursion of threshold cascades on a rooted forest."""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsefire.cascades._scaled import add, copy, logarithms, multiply, normalise, one

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
    """Return (log of the coefficients of G(r·y), whether anything was dropped); r = mantissa · 2^exponent."""
    n = len(size)
    store = np.empty((3, 2 * n))
    store_meta = np.zeros((n, 3, 3), np.int64)
    spare = np.empty((2, n + 2))
    spare_meta = np.zeros((2, 3), np.int64)
    dropped = False
    for i in range(n - 1, -1, -1):
        degree = starts[i + 1] - starts[i]
        r = response[response_starts[i] : response_starts[i + 1]]
        rows = min(degree + 1, len(r))
        # products[0, m] = [x^m] ∏ (N + x F), products[1, m] = [x^m] ∏ (K + x F)
        products = np.empty((2, rows, size[i] + 1))
        metas = np.zeros((2, rows, 3), np.int64)
        one(products[0, 0], metas[0, 0])
        one(products[1, 0], metas[1, 0])
        for k in range(degree):
            c = children[starts[i] + k]
            child, child_meta = store[:, 2 * c : 2 * c + 2 * size[c]], store_meta[c]
            for kind in range(2):
                other = K if kind else N
                for m in range(min(k + 1, rows - 1), -1, -1):
                    row, meta = products[kind, m], metas[kind, m]
                    dropped |= multiply(row, meta, child[other], child_meta[other], spare[0], spare_meta[0])
                    if m > 0 and child_meta[F, 1] > 0:
                        before, before_meta = products[kind, m - 1], metas[kind, m - 1]
                        dropped |= multiply(before, before_meta, child[F], child_meta[F], spare[1], spare_meta[1])
                        dropped |= add(spare[0], spare_meta[0], spare[1], spare_meta[1], 1.0, 0, 0)
                        dropped |= normalise(spare[0], spare_meta[0])
                    copy(spare[0], spare_meta[0], row, meta)
        mine, mine_meta = store[:, 2 * i : 2 * i + 2 * size[i]], store_meta[i]
        mine_meta[:] = 0
        for m in range(rows):
            x, x_meta, y, y_meta = products[0, m], metas[0, m], products[1, m], metas[1, m]
            dropped |= add(mine[N], mine_meta[N], x, x_meta, 1.0 - r[m], 0, 0)
            dropped |= add(mine[F], mine_meta[F], y, y_meta, r[m] * tilt_mantissa, tilt_exponent, 1)
            if not acts_down[i]:
                dropped |= add(mine[K], mine_meta[K], x, x_meta, 1.0 - r[m], 0, 0)
            elif m + 1 < len(r):
                dropped |= add(mine[K], mine_meta[K], x, x_meta, 1.0 - r[m + 1], 0, 0)
                dropped |= add(mine[K], mine_meta[K], y, y_meta, (r[m + 1] - r[m]) * tilt_mantissa, tilt_exponent, 1)
        dropped |= normalise(mine[F], mine_meta[F])
        if not acts_up[i]:  # also at a root, where N becomes the law N + F
            dropped |= add(mine[N], mine_meta[N], mine[F], mine_meta[F], 1.0, 0, 0)
            dropped |= add(mine[K], mine_meta[K], mine[F], mine_meta[F], 1.0, 0, 0)
            mine_meta[F, :] = 0
        dropped |= normalise(mine[N], mine_meta[N])
        dropped |= normalise(mine[K], mine_meta[K])
    law = np.empty((2, n + 2))
    law_meta = np.zeros((2, 3), np.int64)
    now = 0
    one(law[0], law_meta[0])
    for k in range(starts[n], starts[n + 1]):
        c = children[k]
        row, meta = store[N, 2 * c : 2 * c + 2 * size[c]], store_meta[c, N]
        dropped |= multiply(law[now], law_meta[now], row, meta, law[1 - now], law_meta[1 - now])
        now = 1 - now
    return logarithms(law[now], law_meta[now], n + 1), dropped
