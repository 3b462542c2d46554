"""The chain in ‖δ‖ alone that a rotation-invariant problem runs through: a few numbers per step, whatever d is.

With u = δ/‖δ‖ a step needs X′u, ξ′u, ‖ξ − (ξ′u)u‖² and the part of X along ξ − (ξ′u)u: three normal numbers and one χ²
number have their joint law where X and ξ are normal; both divided by their length give the sphere. Nothing is
approximated: ‖δ_k‖ is a Markov chain of its own because δ could be turned to any direction without a change of law.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.convergence.simulation._kernels import ONE_QUERY, SGD, SLOPE, against_baseline, read_loss, scale
from sparsefire.convergence.simulation._streams import (
    CHI_SQUARE,
    INPUTS,
    LANES,
    NOISE,
    SECOND_CHI_SQUARE,
    SPHERE,
    box_muller,
    draw,
    philox,
    room,
)  # fmt: skip

_CONTRACT = {"contract"}


@numba.njit(nogil=True, cache=True)
def chi_square(out, degrees, words, spare, key, first, step, purpose):
    """Fill out [LANES] with χ² numbers: twice the gamma numbers of Marsaglia and Tsang 2000, doi:10.1145/358407.358414.

    Every block of words holds two attempts; lanes whose attempts are refused go on with the next block, so that a
    number depends on its address only.
    """
    if degrees < 2:  # the method needs a shape of at least 1
        philox(words, key, first, step, np.int64(0), purpose)
        box_muller(spare, np.int64(0), words)
        for lane in range(LANES):
            out[lane] = spare[0, lane] * spare[0, lane] * degrees
        return
    d = 0.5 * degrees - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    left, block = LANES, np.int64(0)
    for lane in range(LANES):
        out[lane] = -1.0
    while left > 0:
        philox(words, key, first, step, block, purpose)
        box_muller(spare, np.int64(0), words)  # rows 0 and 1; the words of 2 and 3 are two uniform numbers
        for attempt in range(2):
            for lane in range(LANES):
                z = spare[attempt, lane]
                v = (1.0 + c * z) * (1.0 + c * z) * (1.0 + c * z)
                u = (np.float64(words[2 + attempt, lane]) + 0.5) * 2.0**-32
                squeezed = (v > 0.0) & (u < 1.0 - 0.0331 * (z * z) * (z * z))
                spare[4 + 2 * attempt, lane] = 2.0 * d * v if squeezed else -1.0
                spare[5 + 2 * attempt, lane] = v
        left = 0
        for lane in range(LANES):
            if out[lane] >= 0.0:
                continue
            for attempt in range(2):
                found = spare[4 + 2 * attempt, lane]
                if found < 0.0:  # one in twenty, or fewer
                    v, z = spare[5 + 2 * attempt, lane], spare[attempt, lane]
                    u = (np.float64(words[2 + attempt, lane]) + 0.5) * 2.0**-32
                    if v > 0.0 and math.log(u) < 0.5 * z * z + d * (1.0 - v + math.log(v)):
                        found = 2.0 * d * v
                if found >= 0.0:
                    out[lane] = found
                    break
            if out[lane] < 0.0:
                left += 1
        block += 1


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _unit(size, a, b, g, s, t, s_):
    """Bring X = (a, g, rest t) and ξ = (b, s) to the length √d where their law is the sphere."""
    for lane in range(LANES):
        if s_.design == SPHERE:
            rest = s[lane] if s_.rule == SGD else g[lane] * g[lane] * (s_.dimension > 1) + t[lane]
            factor = math.sqrt(size / (a[lane] * a[lane] + rest))
            a[lane] *= factor
            g[lane] *= factor
            if s_.rule == SGD:
                s[lane] *= factor * factor
        if s_.law == SPHERE and s_.rule != SGD:
            factor = math.sqrt(size / (b[lane] * b[lane] + s[lane]))
            b[lane] *= factor
            s[lane] *= factor * factor


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _step(norm, a, b, g, s, noise, baseline, began, alpha, grid, reward, s_):
    """One step of ‖δ‖ [LANES]."""
    for lane in range(LANES):
        residual = noise[lane] - a[lane] * norm[lane]
        if s_.rule == SGD:
            along = norm[lane] + alpha * residual * a[lane]
            across = alpha * alpha * residual * residual * s[lane]
        else:
            slope = a[lane] * b[lane] + g[lane] * math.sqrt(s[lane])
            if s_.rule == SLOPE:
                factor = residual * slope
            elif s_.rule == ONE_QUERY:
                read = read_loss(residual - s_.radius * slope, grid, reward)
                factor = -against_baseline(read, baseline, lane, began, s_) / s_.radius
            else:
                ahead, behind = residual - s_.radius * slope, residual + s_.radius * slope
                factor = (0.5 * behind * behind - 0.5 * ahead * ahead) / (2.0 * s_.radius)
            along = norm[lane] + alpha * factor * b[lane]
            across = (alpha * factor) * (alpha * factor) * s[lane]
        norm[lane] = math.sqrt(along * along + across)


@numba.njit(nogil=True, cache=True)
def advance(norm, baseline, values, recorded, alphas, grid, reward, key, first, begin, end, at, s):
    """Make steps begin + 1 … end of one block of runs; as the loop of whole vectors, with ‖δ‖ [LANES] as the state."""
    words, spare = room(4).view(np.uint32).reshape(8, LANES), room(8)
    drawn, noise = room(4), np.zeros((4, LANES))
    across, rest = np.zeros(LANES), np.zeros(LANES)
    size = np.float64(s.dimension)
    for k in range(begin, end):
        philox(words, key, first, k, np.int64(0), INPUTS)
        box_muller(drawn, np.int64(0), words)
        chi_square(across, s.dimension - 1, words, spare, key, first, k, CHI_SQUARE)
        if s.design == SPHERE and s.rule != SGD:
            chi_square(rest, max(s.dimension - 2, 0), words, spare, key, first, k, SECOND_CHI_SQUARE)
        if s.noise > 0.0 and (k % 4 == 0 or k == begin):
            draw(s.noise_law, noise, 4, 1.0, words, spare, key, first, k // 4, NOISE)
            scale(noise, s.noise)
        if s.design == SPHERE or s.law == SPHERE:
            _unit(size, drawn[0], drawn[1], drawn[2], across, rest, s)
        _step(norm, drawn[0], drawn[1], drawn[2], across, noise[k % 4], baseline, k > 0, alphas[k], grid, reward, s)
        if at < len(recorded) and recorded[at] == k + 1:
            for lane in range(LANES):
                values[lane, at] = norm[lane] * norm[lane]
            at += 1
