"""Steps of every rule for a block of runs at once: the loops behind simulated risks."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from sparsefire.convergence.simulation._streams import (
    DIRECTION_STEP,
    DIRECTIONS,
    INPUTS,
    LANES,
    NOISE,
    SPHERE,
    draw,
    padded,
    room,
)

SGD, SLOPE, TWO_QUERY, ONE_QUERY, HEBBIAN, NODES = range(6)
RULES = {
    "sgd": SGD, "forward-gradient": SLOPE, "weight-perturbation": SLOPE, "two-query": TWO_QUERY,
    "one-query": ONE_QUERY, "hebbian": HEBBIAN, "node-perturbation": NODES,
}  # fmt: skip
ZERO, PREVIOUS, MEAN = range(3)
BASELINES = {"none": ZERO, "previous": PREVIOUS, "mean": MEAN}
PLAIN, SCALED, MIXED = range(3)  # inputs are z, √λ z, or Q^½ z

_CONTRACT = {"contract"}  # products and sums may fuse; nothing is reordered


class Settings(NamedTuple):
    """What stays the same in a simulation, in the form that compiled loops take."""

    rule: int
    law: int
    design: int
    noise_law: int
    baseline: int
    mixing: int
    dimension: int
    seen: int  # coordinates with inputs, the first ones
    moved: int  # coordinates that are updated, the first ones
    outputs: int
    directions: int
    repeats: int
    prediction: bool
    noise: float
    filled: float
    radius: float
    memory: float


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _products(out, first, second, rows):
    """Write Σ_row first · second to out [LANES]; four rows at a time, so that sums are seldom stored."""
    head = rows % 4
    for lane in range(LANES):
        found = 0.0
        for row in range(head):
            found += first[row, lane] * second[row, lane]
        out[lane] = found
    for row in range(head, rows, 4):
        for lane in range(LANES):
            one = first[row, lane] * second[row, lane] + first[row + 1, lane] * second[row + 1, lane]
            two = first[row + 2, lane] * second[row + 2, lane] + first[row + 3, lane] * second[row + 3, lane]
            out[lane] += one + two


@numba.njit(nogil=True, cache=True)
def _of(rows, output, size):
    """The rows of one output: they lie together, so that the compiler knows that lanes are neighbours."""
    return rows[output * size : (output + 1) * size]


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _add_rows(target, factor, rows, source):
    for row in range(rows):
        to, add = target[row], source[row]
        for lane in range(LANES):
            to[lane] += factor[lane] * add[lane]


@numba.njit(nogil=True, cache=True)
def scale(rows, factor):
    for row in range(len(rows)):
        for lane in range(LANES):
            rows[row, lane] *= factor


@numba.njit(nogil=True, cache=True)
def _double_sinh(rows):
    for row in range(len(rows)):
        for lane in range(LANES):
            rows[row, lane] = 2.0 * math.sinh(rows[row, lane])


@numba.njit(nogil=True, cache=True)
def _clear(row):
    for lane in range(LANES):
        row[lane] = 0.0


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _mix(inputs, drawn, root, mixing, rows):
    """Turn z into Q^½ z; ``root`` is [d, d], or [d, 1] for a diagonal one."""
    if mixing == SCALED:
        for row in range(rows):
            for lane in range(LANES):
                inputs[row, lane] = root[row, 0] * drawn[row, lane]
        return
    for row in range(rows):
        _clear(inputs[row])
        for column in range(rows):
            for lane in range(LANES):
                inputs[row, lane] += root[row, column] * drawn[column, lane]


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _residuals(residual, noise, inputs, delta, s):
    """Residuals of all outputs, ε − X′δ."""
    for o in range(s.outputs):
        _products(residual[o], inputs, _of(delta, o, s.dimension), s.seen)
        for lane in range(LANES):
            residual[o, lane] = noise[o, lane] - residual[o, lane]


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _gradient_step(delta, residual, inputs, factor, alpha, s):
    for o in range(s.outputs):
        for lane in range(LANES):
            factor[lane] = alpha * residual[o, lane]
        _add_rows(_of(delta, o, s.dimension), factor, min(s.moved, s.seen), inputs)


@numba.njit(nogil=True, cache=True)
def read_loss(shifted, grid, reward):
    """What is read at a residual: half its square, or the reward table between its points, constant beyond the end."""
    if len(grid) == 0:
        return 0.5 * shifted * shifted
    size, low, high = abs(shifted), 0, len(grid) - 1
    if not size < grid[high]:
        return reward[high]
    while high - low > 1:
        middle = (low + high) // 2
        if size < grid[middle]:
            high = middle
        else:
            low = middle
    share = max(size - grid[low], 0.0) / (grid[high] - grid[low])
    return reward[low] + share * (reward[high] - reward[low])


@numba.njit(nogil=True, cache=True)
def against_baseline(read, baseline, lane, began, s):
    """What is read less the baseline, which is then updated; before anything was read there is nothing to compare."""
    if s.baseline == ZERO:
        return read
    if not began:
        baseline[lane] = read
        return 0.0
    found = read - baseline[lane]
    baseline[lane] += found if s.baseline == PREVIOUS else s.memory * found
    return found


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _coefficients(factor, slope, direction, residual, inputs, baseline, began, grid, reward, s):
    """How far to go along the direction, −ĝ = factor · ξ: [LANES]; ``slope`` is room for X′ξ."""
    common = min(s.seen, s.moved)
    if s.rule == NODES:
        _products(factor, residual, direction, s.outputs)
        return
    if s.rule == SLOPE:
        _clear(factor)
        for o in range(s.outputs):
            _products(slope, inputs, _of(direction, o, s.moved), common)
            for lane in range(LANES):
                factor[lane] += residual[o, lane] * slope[lane]
        return
    _products(slope, inputs, direction, common)
    if s.rule == TWO_QUERY:
        for lane in range(LANES):
            ahead = residual[0, lane] - s.radius * slope[lane]
            behind = residual[0, lane] + s.radius * slope[lane]
            factor[lane] = (0.5 * behind * behind - 0.5 * ahead * ahead) / (2.0 * s.radius)
        return
    for lane in range(LANES):
        shift = s.radius * slope[lane] if s.rule == ONE_QUERY else slope[lane]
        read = read_loss(residual[0, lane] - shift, grid, reward)
        factor[lane] = -against_baseline(read, baseline, lane, began, s)
        if s.rule == ONE_QUERY:
            factor[lane] /= s.radius


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def _move(target, direction, factor, inputs, slope, weight, s):
    """Add weight · factor · ξ (times the inputs, for noise on the outputs)."""
    for lane in range(LANES):
        factor[lane] *= weight
    if s.rule != NODES:
        for o in range(s.outputs):
            _add_rows(_of(target, o, s.dimension), factor, s.moved, _of(direction, o, s.moved))
        return
    for o in range(s.outputs):
        for lane in range(LANES):
            slope[lane] = factor[lane] * direction[o, lane]
        _add_rows(_of(target, o, s.dimension), slope, min(s.moved, s.seen), inputs)


@numba.njit(nogil=True, cache=True, fastmath=_CONTRACT)
def risk(out, part, delta, spare, root, s):
    """Write ‖δ‖², or the prediction risk tr δ′Qδ, to out [LANES]; ``part`` [LANES] and ``spare`` [d, LANES] help."""
    _clear(out)
    for o in range(s.outputs):
        rows = _of(delta, o, s.dimension)
        if not s.prediction:
            _products(part, rows, rows, s.dimension)
        elif s.mixing == PLAIN:
            _products(part, rows, rows, s.seen)
        else:
            _mix(spare, rows, root, s.mixing, s.dimension)
            _products(part, spare, spare, s.dimension)
        for lane in range(LANES):
            out[lane] += part[lane]


@numba.njit(nogil=True, cache=True)
def advance(delta, baseline, values, recorded, alphas, root, grid, reward, key, first, begin, end, at, s):
    """Make steps begin + 1 … end of one block of runs.

    Args:
        delta: errors [m · d, LANES], entry (j, o) in row o · d + j; updated.
        baseline: what the last losses were [LANES]; updated.
        values: risks [LANES, p], filled in at the steps of ``recorded`` [p].
        alphas: step sizes [steps].
        root, grid, reward: Q^½ as :func:`_mix` takes it; a reward table, empty for none.
        key, first: random key, and the number of the first run of this block.
        begin, end: a range of steps.
        at: the first of ``recorded`` that is above ``begin``.
        s: settings.
    """
    size = padded(s.outputs if s.rule == NODES else s.moved * s.outputs)
    words, spare = room(4).view(np.uint32).reshape(8, LANES), room(8)
    drawn = room(padded(s.dimension))
    inputs = drawn if s.mixing == PLAIN else room(s.dimension)
    noise, residual, direction = room(4 * s.outputs), room(s.outputs), room(size)
    gathered = room(delta.shape[0] if s.directions > 1 else 0)
    factor, slope, ones = room(1)[0], room(1)[0], np.ones(LANES)
    for row in range(len(noise)):
        _clear(noise[row])
    along = s.outputs if s.rule == NODES else s.moved * s.outputs
    wanted = s.dimension if s.mixing != PLAIN or s.design == SPHERE else s.seen
    for k in range(begin, end):
        draw(s.design, drawn, wanted, s.filled, words, spare, key, first, k, INPUTS)
        if s.mixing != PLAIN:
            _mix(inputs, drawn, root, s.mixing, s.dimension)
        if s.noise > 0.0 and (k % 4 == 0 or k == begin):  # a block of words serves four steps
            draw(s.noise_law, noise, 4 * s.outputs, 1.0, words, spare, key, first, k // 4, NOISE)
            scale(noise, s.noise)
        now = noise[k % 4 * s.outputs : (k % 4 + 1) * s.outputs]
        for repeat in range(s.repeats):
            _residuals(residual, now, inputs, delta, s)
            if s.rule == SGD:
                _gradient_step(delta, residual, inputs, factor, alphas[k], s)
                continue
            target = delta if s.directions == 1 else gathered
            for row in range(len(gathered)):
                _clear(gathered[row])
            for i in range(s.directions):
                number = repeat * s.directions + i
                purpose = DIRECTIONS + DIRECTION_STEP * number
                draw(s.law, direction, along, 1.0, words, spare, key, first, k, purpose)
                if s.rule == HEBBIAN:
                    scale(direction, s.radius / math.sqrt(3.0))  # uniform with unit variance reaches √3
                _coefficients(factor, slope, direction, residual, inputs, baseline, k + number > 0, grid, reward, s)
                if s.rule == HEBBIAN:
                    _double_sinh(direction)
                _move(target, direction, factor, inputs, slope, alphas[k] / s.directions, s)
            if s.directions > 1:
                _add_rows(delta, ones, delta.shape[0], gathered)
        if at < len(recorded) and recorded[at] == k + 1:
            risk(factor, slope, delta, drawn, root, s)
            for lane in range(LANES):
                values[lane, at] = factor[lane]
            at += 1
