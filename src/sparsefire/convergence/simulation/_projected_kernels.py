"""Steps for normal inputs of which only X′δ and X′ξ are drawn: nothing else of X enters a step along ξ.

Given δ and ξ both are normal with variances ‖δ‖² and ‖ξ‖² and covariance δ′ξ, so that two normal numbers take the place
of d. The path of δ has the same law; nothing is approximated.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sparsefire.convergence.simulation._kernels import (
    ONE_QUERY,
    SLOPE,
    _add_rows,
    _products,
    against_baseline,
    read_loss,
    scale,
)
from sparsefire.convergence.simulation._streams import (
    COORDINATES,
    DIRECTIONS,
    INPUTS,
    LANES,
    NOISE,
    RADEMACHER,
    SPHERE,
    box_muller,
    draw,
    padded,
    philox,
    room,
)  # fmt: skip


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _factors(factor, along, length, square, first, second, noise, baseline, began, alpha, grid, reward, s):
    """How far to go along ξ [LANES], from δ′ξ, ‖δ‖², ‖ξ‖² and two normal numbers, which become X′ξ and ε − X′δ."""
    for lane in range(LANES):
        size = math.sqrt(square[lane])
        part = along[lane] / size
        rest = math.sqrt(max(length[lane] - part * part, 0.0))
        second[lane] = noise[lane] - part * first[lane] - rest * second[lane]
        first[lane] *= size
    if s.rule == SLOPE:
        for lane in range(LANES):
            factor[lane] = alpha * second[lane] * first[lane]
    elif s.rule == ONE_QUERY:
        for lane in range(LANES):
            read = read_loss(second[lane] - s.radius * first[lane], grid, reward)
            factor[lane] = -alpha * against_baseline(read, baseline, lane, began, s) / s.radius
    else:
        for lane in range(LANES):
            ahead, behind = second[lane] - s.radius * first[lane], second[lane] + s.radius * first[lane]
            factor[lane] = alpha * (0.5 * behind * behind - 0.5 * ahead * ahead) / (2.0 * s.radius)


@numba.njit(nogil=True, cache=True)
def advance(delta, baseline, values, recorded, alphas, grid, reward, key, first, begin, end, at, s):
    """Make steps begin + 1 … end of one block of runs; as the loop that draws X, with δ [d, LANES] as the state."""
    words, spare = room(4).view(np.uint32).reshape(8, LANES), room(8)
    direction, drawn, noise = room(padded(s.dimension)), room(4), np.zeros((4, LANES))
    sums = room(4)
    along, length, square, factor = sums[0], sums[1], sums[2], sums[3]
    constant = s.law in (RADEMACHER, SPHERE, COORDINATES)
    for lane in range(LANES):
        square[lane] = np.float64(s.dimension)
    for k in range(begin, end):
        draw(s.law, direction, s.dimension, 1.0, words, spare, key, first, k, DIRECTIONS)
        if k % 2 == 0 or k == begin:  # a block of words serves two steps
            philox(words, key, first, k // 2, np.int64(0), INPUTS)
            box_muller(drawn, np.int64(0), words)
        if s.noise > 0.0 and (k % 4 == 0 or k == begin):
            draw(s.noise_law, noise, 4, 1.0, words, spare, key, first, k // 4, NOISE)
            scale(noise, s.noise)
        _products(along, delta, direction, s.dimension)
        _products(length, delta, delta, s.dimension)
        if not constant:
            _products(square, direction, direction, s.dimension)
        _factors(
            factor, along, length, square, drawn[k % 2 * 2], drawn[k % 2 * 2 + 1], noise[k % 4], baseline, k > 0,
            alphas[k], grid, reward, s,
        )  # fmt: skip
        _add_rows(delta, factor, s.dimension, direction)
        if at < len(recorded) and recorded[at] == k + 1:
            _products(length, delta, delta, s.dimension)
            for lane in range(LANES):
                values[lane, at] = length[lane]
            at += 1
