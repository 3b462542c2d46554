"""Compiled descent of diagonal linear networks, noisy and in the mean. Run r draws from the stream of ``(key, r)``."""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import following, start, uniform

_U = np.uint64


@numba.njit(inline="always")
def _add_normals(values, scale, a, b):
    """Add scale · N(0, 1) to all entries of a matrix (Marsaglia's polar method); return the state of the stream."""
    spare, kept = 0.0, False
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if kept:
                values[i, j] += scale * spare
                kept = False
                continue
            while True:
                bits, a, b = following(a, b)
                v = 2.0 * uniform(bits) - 1.0
                bits, a, b = following(a, b)
                w = 2.0 * uniform(bits) - 1.0
                s = v * v + w * w
                if 0.0 < s < 1.0:
                    break
            factor = math.sqrt(-2.0 * math.log(s) / s)
            values[i, j] += scale * v * factor
            spare = w * factor
            kept = True
    return a, b


@numba.njit
def _slope(weights, gram, correlation, variance, found, beta):
    """Write the gradient at the weights [layers, d]: of the loss, or for variance η² > 0 of its mean over the noise."""
    layers, d = weights.shape
    for j in range(d):
        beta[j] = 1.0
        for i in range(layers):
            beta[j] *= weights[i, j]
    for j in range(d):
        residual = -correlation[j]
        for k in range(d):
            residual += gram[j, k] * beta[k]
        for i in range(layers):
            others, noisy = 1.0, 1.0
            for m in range(layers):
                if m != i:
                    others *= weights[m, j]
                    noisy *= weights[m, j] * weights[m, j] + variance
            found[i, j] = residual * others
            if variance > 0.0:
                found[i, j] += gram[j, j] * (weights[i, j] * noisy - beta[j] * others)


@numba.njit(nogil=True, cache=True)
def mean_slope(weights, gram, correlation, variance):
    """Return the gradient of the expected loss, [layers, d]."""
    found = np.empty_like(weights)
    _slope(weights, gram, correlation, variance, found, np.empty(weights.shape[1]))
    return found


@numba.njit(nogil=True, cache=True)
def mean_descent(begin, gram, correlation, variance, sizes, steps, found):
    """Fill the weights of gradient descent on the expected loss at the rising ``steps``, [records, layers, d]."""
    now, slope, beta = begin.copy(), np.empty_like(begin), np.empty(begin.shape[1])
    k = 0
    for at in range(len(steps)):
        while k < steps[at]:
            _slope(now, gram, correlation, variance, slope, beta)
            now -= sizes[k] * slope
            k += 1
        found[at] = now


@numba.njit(nogil=True, cache=True)
def noisy_descent(begin, gram, correlation, noise, sizes, steps, first, key, found):
    """Fill the weights of runs at the rising ``steps``, [runs, records, layers, d], from run number ``first`` on."""
    now, slope, beta = np.empty_like(begin), np.empty_like(begin), np.empty(begin.shape[1])
    shifted = np.empty_like(begin)
    for r in range(len(found)):
        a, b = start(key, _U(first + r))
        now[:] = begin
        k = 0
        for at in range(len(steps)):
            while k < steps[at]:
                shifted[:] = now
                a, b = _add_normals(shifted, noise, a, b)
                _slope(shifted, gram, correlation, 0.0, slope, beta)
                now -= sizes[k] * slope
                k += 1
            found[r, at] = now
