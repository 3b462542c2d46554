"""Compiled runs of the spike-timing rule on the simplex. Run r draws from the stream of ``(key, r)``."""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import following, start, uniform

_U = np.uint64


@numba.njit(nogil=True, cache=True)
def simplex_runs(probabilities, alpha, jitter, steps, first, key, logs):
    """Fill log p, float64 [runs, records, d], at the rising ``steps``, from run number ``first`` on.

    The weights are kept twice: on one common scale, where those of hopeless neurons may end as 0, to draw from; and
    each on a scale of its own, so that no logarithm is ever lost.
    """
    runs, records, units = logs.shape
    weights, own, offsets = np.empty(units), np.empty(units), np.empty(units)
    for r in range(runs):
        a, b = start(key, _U(first + r))
        total = 0.0
        for i in range(units):
            weights[i] = probabilities[i]
            own[i] = 1.0
            offsets[i] = math.log(probabilities[i]) if probabilities[i] > 0.0 else -np.inf
            total += weights[i]
        k = 0
        for at in range(records):
            while k < steps[at]:
                k += 1
                bits, a, b = following(a, b)
                left = uniform(bits) * total
                trigger = 0
                for i in range(units):
                    if weights[i] > 0.0:
                        trigger = i
                        left -= weights[i]
                        if left <= 0.0:
                            break
                if jitter == 0.0:
                    total += alpha * weights[trigger]
                    weights[trigger] *= 1.0 + alpha
                    own[trigger] *= 1.0 + alpha
                    if own[trigger] > 1e200:
                        offsets[trigger] += math.log(own[trigger])
                        own[trigger] = 1.0
                else:
                    total = 0.0
                    for i in range(units):
                        bits, a, b = following(a, b)
                        factor = 1.0 + alpha * jitter * (2.0 * uniform(bits) - 1.0)
                        if i == trigger:
                            factor += alpha
                        weights[i] *= factor
                        total += weights[i]
                        own[i] *= factor
                        if own[i] > 1e200 or own[i] < 1e-200:
                            offsets[i] += math.log(own[i])
                            own[i] = 1.0
                if total > 1e30 or total < 1e-30:
                    scale = 1.0 / total
                    total = 0.0
                    for i in range(units):
                        weights[i] *= scale
                        if weights[i] < 1e-250:
                            weights[i] = 0.0
                        total += weights[i]
            most = -np.inf
            for i in range(units):
                logs[r, at, i] = offsets[i] + math.log(own[i])
                most = max(most, logs[r, at, i])
            norm = 0.0
            for i in range(units):
                norm += math.exp(logs[r, at, i] - most)
            norm = most + math.log(norm)
            for i in range(units):
                logs[r, at, i] -= norm
