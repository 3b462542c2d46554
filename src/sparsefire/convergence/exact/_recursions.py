"""The compiled loops over steps behind the exact risks: each takes α_1 … α_K and returns what it holds after them.

Fourth moments come as (twice, trace, diagonal), see :mod:`sparsefire.convergence.fourth`; ``noise`` is the variance of
all outputs together, mσ².
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def grouped(start, counts, values, moves, inputs, estimate, noise, alphas, weights):
    """Return Σ_g weights_g p_g after each step [K + 1]; p_g is the risk of ``counts_g`` coordinates of variance λ_g."""
    p = start.copy()
    size = len(p)
    own = values * values * (inputs[0] + inputs[2])
    shared = counts * values
    gradient = np.zeros(size)
    risk = np.empty(len(alphas) + 1)
    risk[0] = (weights * p).sum()
    for k in range(len(alphas)):
        alpha = alphas[k]
        answers = noise
        for g in range(size):
            answers += inputs[1] * values[g] * p[g]
        total = 0.0
        for g in range(size):
            if moves[g]:
                gradient[g] = own[g] * p[g] + shared[g] * answers
                total += gradient[g]
        found = 0.0
        for g in range(size):
            if moves[g]:
                second = (estimate[0] + estimate[2]) * gradient[g] + estimate[1] * counts[g] * total
                p[g] += alpha * (alpha * second - 2.0 * values[g] * p[g])
            found += weights[g] * p[g]
        if not found < np.inf:  # beyond the range of numbers, as ∞ − ∞ would be
            risk[k + 1 :] = np.inf
            break
        risk[k + 1] = found
    return risk


@numba.njit(nogil=True, cache=True)
def greedy(start, counts, values, moves, inputs, estimate, noise, steps, weights):
    """Return the step sizes [K] that make each next Σ_g weights_g p_g smallest, and that risk [K + 1]."""
    p = start.copy()
    size = len(p)
    gradient = np.zeros(size)
    second = np.zeros(size)
    risk = np.empty(steps + 1)
    alphas = np.zeros(steps)
    risk[0] = (weights * p).sum()
    for k in range(steps):
        answers = noise + inputs[1] * (values * p).sum()
        for g in range(size):
            if moves[g]:
                gradient[g] = values[g] * (values[g] * (inputs[0] + inputs[2]) * p[g] + counts[g] * answers)
        total = gradient.sum()
        gain = cost = 0.0
        for g in range(size):
            if moves[g]:
                second[g] = (estimate[0] + estimate[2]) * gradient[g] + estimate[1] * counts[g] * total
                gain += weights[g] * values[g] * p[g]
                cost += weights[g] * second[g]
        alpha = gain / cost if cost > 0.0 else 0.0
        for g in range(size):
            if moves[g]:
                p[g] += alpha * (alpha * second[g] - 2.0 * values[g] * p[g])
        alphas[k] = alpha
        risk[k + 1] = (weights * p).sum()
    return alphas, risk


@numba.njit(nogil=True, cache=True)
def elementwise(start, values, moves, inputs, estimate, noise, alphas, at):
    """Return A after the steps ``at`` (ascending) [len(at), d, d] in a basis where Q is diagonal: d² sums per step."""
    a = start.copy()
    size = len(values)
    kept = np.empty((len(at), size, size))
    gradient = np.zeros(size)
    held = 0
    while held < len(at) and at[held] == 0:
        kept[held] = a
        held += 1
    both = inputs[0] * estimate[0]
    for k in range(len(alphas)):
        alpha = alphas[k]
        answers = noise
        for i in range(size):
            answers += inputs[1] * values[i] * a[i, i]
        total = 0.0
        for i in range(size):
            if moves[i]:
                gradient[i] = values[i] * ((inputs[0] + inputs[2]) * values[i] * a[i, i] + answers)
                total += gradient[i]
        for i in range(size):
            here = values[i] if moves[i] else 0.0
            for j in range(size):
                there = values[j] if moves[j] else 0.0
                if i != j:
                    a[i, j] *= 1.0 - alpha * (here + there) + alpha * alpha * both * here * there
            if moves[i]:
                second = (estimate[0] + estimate[2]) * gradient[i] + estimate[1] * total
                a[i, i] += alpha * (alpha * second - 2.0 * here * a[i, i])
        while held < len(at) and at[held] == k + 1:
            kept[held] = a
            held += 1
    return kept


@numba.njit(nogil=True, cache=True)
def matrix(start, covariance, root, moving, inputs, estimate, noise, alphas, prediction, at):
    """Return tr A (or tr QA) after each step [K + 1], and A after the steps ``at`` (ascending): d³ sums per step."""
    a = start.copy()
    size = len(a)
    kept = np.empty((len(at), size, size))
    risk = np.empty(len(alphas) + 1)
    held = 0
    for k in range(len(alphas) + 1):
        seen = np.dot(covariance, a)
        answers = noise
        found = 0.0
        for i in range(size):
            answers += inputs[1] * seen[i, i]
            found += seen[i, i] if prediction else a[i, i]
        risk[k] = found
        if not found < np.inf:  # beyond the range of numbers, as ∞ − ∞ would be
            risk[k:] = np.inf
            kept[held:] = np.inf
            break
        while held < len(at) and at[held] == k:
            kept[held] = a
            held += 1
        if k == len(alphas):
            break
        alpha = alphas[k]
        gradient = inputs[0] * np.dot(seen, covariance) + answers * covariance
        if inputs[2] != 0.0:
            half = np.dot(root, a)
            along = np.empty(size)
            for i in range(size):
                along[i] = (half[i] * root[i]).sum()
            gradient += inputs[2] * np.dot(root * along, root)
        total = 0.0
        for i in range(moving):
            total += gradient[i, i]
        for i in range(size):
            for j in range(i + 1):
                change = 0.0
                if i < moving:
                    change -= seen[i, j]
                    change += alpha * estimate[0] * gradient[i, j]
                if j < moving:
                    change -= seen[j, i]
                if i == j and i < moving:
                    change += alpha * (estimate[1] * total + estimate[2] * gradient[i, i])
                a[i, j] += alpha * change
                a[j, i] = a[i, j]
    return risk, kept


@numba.njit(nogil=True, cache=True)
def means(values, alphas, at):
    """Return Π_{i ≤ k} (1 − α_i λ_j) for the steps k of ``at`` (ascending) [len(at), len(values)]."""
    kept = np.empty((len(at), len(values)))
    factor = np.ones(len(values))
    held = 0
    while held < len(at) and at[held] == 0:
        kept[held] = factor
        held += 1
    for k in range(len(alphas)):
        for j in range(len(values)):
            factor[j] *= 1.0 - alphas[k] * values[j]
        while held < len(at) and at[held] == k + 1:
            kept[held] = factor
            held += 1
    return kept


@numba.njit(nogil=True, cache=True)
def biases(values, squares, products, constant, alphas):
    """Return Σ_j squares_j f_j² + 2 products_j f_j + constant after each step [K + 1], f_j as in :func:`means`."""
    factor = np.ones(len(values))
    bias = np.empty(len(alphas) + 1)
    bias[0] = constant + squares.sum() + 2.0 * products.sum()
    for k in range(len(alphas)):
        found = constant
        for j in range(len(values)):
            factor[j] *= 1.0 - alphas[k] * values[j]
            found += factor[j] * (squares[j] * factor[j] + 2.0 * products[j])
        bias[k + 1] = found
    return bias


@numba.njit(nogil=True, cache=True)
def repeated_moments(alpha, repeats, seen, hidden, nodes, weights, extra, along, across):
    """Return how one sample of l repeats with step α moves the risk p of the ``seen`` coordinates and the hidden ones.

    p ← (1 − loss) p + gain p + added, hidden ← hidden + drift p + diffused; the mean error shrinks by ``shrink``.
    ``nodes`` and ``weights`` are the law of q = ‖X‖², ``extra`` the variance of the answer at each node.
    """
    shrink = gain = added = drift = diffused = 0.0
    for i in range(len(nodes)):
        q = nodes[i]
        if q <= 0.0 or weights[i] == 0.0:
            continue
        x = alpha * q
        lost = x * (2.0 - along * x)  # 1 − m₂
        if x < 0.5:  # sums without cancellation
            fade = repeats * np.log1p(-x)
            moved = -np.expm1(fade)
            spread = np.exp(2.0 * fade) * np.expm1(repeats * np.log1p((along - 1.0) * x * x / (1.0 - x) ** 2))
            both = (spread + moved * moved) / q
        else:
            moved = 1.0 - (1.0 - x) ** repeats
            both = (1.0 - 2.0 * (1.0 - moved) + (1.0 - lost) ** repeats) / q
        if abs(lost) < 0.5:
            series = float(repeats) if lost == 0.0 else -np.expm1(repeats * np.log1p(-lost)) / lost
        else:
            series = (1.0 - (1.0 - lost) ** repeats) / lost
        out = alpha * alpha * across * q * series
        whole = both + (seen - 1.0) * out
        shrink += weights[i] * moved / seen
        gain += weights[i] * q * whole / seen
        added += weights[i] * extra[i] * whole
        drift += weights[i] * q * hidden * out / seen
        diffused += weights[i] * extra[i] * hidden * out
    return shrink, gain, added, drift, diffused


@numba.njit(nogil=True, cache=True)
def repeated(p, rest, repeats, seen, hidden, nodes, weights, extra, along, across, alphas):
    """Return the risk of the seen coordinates, that of the hidden ones [K + 1 each], and the shrinking of the mean."""
    risk = np.empty(len(alphas) + 1)
    others = np.empty(len(alphas) + 1)
    shrinks = np.empty(len(alphas))
    risk[0], others[0] = p, rest
    shrink = gain = added = drift = diffused = 0.0
    for k in range(len(alphas)):
        if k == 0 or alphas[k] != alphas[k - 1]:
            shrink, gain, added, drift, diffused = repeated_moments(
                alphas[k], repeats, seen, hidden, nodes, weights, extra, along, across
            )
        rest += drift * p + diffused
        p += (gain - 2.0 * shrink) * p + added
        if not (p < np.inf and rest < np.inf):  # beyond the range of numbers, as ∞ − ∞ would be
            p = rest = np.inf
        risk[k + 1], others[k + 1] = p, rest
        shrinks[k] = shrink
    return risk, others, shrinks
