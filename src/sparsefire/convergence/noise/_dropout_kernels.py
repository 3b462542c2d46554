"""Compiled gradient descent with dropout on fixed data. Run r draws from the stream of ``(key, r)``."""

from __future__ import annotations

import numba
import numpy as np

from sparsefire.cascades.sampling.streams import following, start

_U = np.uint64


@numba.njit(nogil=True, cache=True)
def dropout_runs(gram, correlation, threshold, step_size, simplified, begin, burn_in, length, first, key, last, means):
    """Fill the last iterates [runs, d] and the means of consecutive batches of ``length`` steps [runs, batches, d].

    ``threshold`` is 2⁵³ times the chance to be kept; ``burn_in`` steps come before the first batch.
    """
    runs, batches, d = means.shape
    b, slope = np.empty(d), np.empty(d)
    kept = np.empty(d, np.int64)
    for r in range(runs):
        s0, s1 = start(key, _U(first + r))
        b[:] = begin
        for batch in range(-1, batches):
            if batch >= 0:
                means[r, batch] = 0.0
            for _ in range(burn_in if batch < 0 else length):
                count = 0
                for i in range(d):
                    bits, s0, s1 = following(s0, s1)
                    if (bits >> _U(11)) < threshold:
                        kept[count] = i
                        count += 1
                for at in range(count):
                    i = kept[at]
                    fit = 0.0
                    if simplified:
                        for j in range(d):
                            fit += gram[i, j] * b[j]
                    else:
                        for other in range(count):
                            j = kept[other]
                            fit += gram[i, j] * b[j]
                    slope[at] = correlation[i] - fit
                for at in range(count):
                    b[kept[at]] += step_size * slope[at]
                if batch >= 0:
                    for i in range(d):
                        means[r, batch, i] += b[i]
            if batch >= 0:
                for i in range(d):
                    means[r, batch, i] /= length
        last[r] = b
