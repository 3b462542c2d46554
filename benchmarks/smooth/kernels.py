"""Training of a network with one hidden layer of rectifiers, compiled: four rules, Adam, the best weights kept.

    f(x) = c + Σ_j v_j max(b_j + Σ_i x_i W_ij, 0)

All numbers lie in one vector: W row by row, b, v, c. The loss is half the mean squared error of a batch. The rules are
those of ``sparsefire.rules`` (tests hold their steps against autograd); compiled, because small networks in tens of
thousands of steps take a tenth of the time here.
"""

from __future__ import annotations

import numba
import numpy as np

from sparsefire.rules._noise_kernels import _word

BACKPROP, FEEDBACK, NODES, TWO_QUERIES = 0, 1, 2, 3
RULES = {"backprop": BACKPROP, "feedback alignment": FEEDBACK, "node perturbation": NODES, "two queries": TWO_QUERIES}
_ONE = np.uint64(1)


@numba.njit(nogil=True, cache=True)
def signs(key, place, out):
    """Fill ``out`` with signs that are a function of the key and the place alone."""
    words = (len(out) + 63) // 64
    for number in range(words):
        word, begin = _word(key, np.uint64(place * words + number)), 64 * number
        for j in range(min(64, len(out) - begin)):
            out[begin + j] = np.float32(1.0) - np.float32(2.0) * np.float32((word >> np.uint64(j)) & _ONE)


@numba.njit(nogil=True, cache=True, fastmath=True)
def answer(theta, x, units, field):
    """Return f(x) and leave what each unit receives in ``field``."""
    d = len(x)
    bias, read = d * units, (d + 1) * units
    for j in range(units):
        field[j] = theta[bias + j]
    for i in range(d):
        value = x[i]
        for j in range(units):
            field[j] += value * theta[i * units + j]
    total = np.float32(0.0)
    for j in range(units):
        total += theta[read + j] * max(field[j], np.float32(0.0))
    return total + theta[read + units]


@numba.njit(nogil=True, cache=True, fastmath=True)
def loss(theta, x, y, rows, units, field):
    """Return half the mean squared error over some rows."""
    total = 0.0
    for row in rows:
        error = answer(theta, x[row], units, field) - y[row]
        total += error * error
    return 0.5 * total / len(rows)


@numba.njit(nogil=True, cache=True, fastmath=True)
def backward(theta, back, x, y, rows, units, field, slope):
    """Write the gradient into ``slope``; errors reach the units through ``back`` in place of v."""
    d = x.shape[1]
    bias, read = d * units, (d + 1) * units
    slope[:] = 0.0
    for row in rows:
        error = (answer(theta, x[row], units, field) - y[row]) / np.float32(len(rows))
        for j in range(units):
            on = np.float32(1.0) if field[j] > 0 else np.float32(0.0)
            slope[read + j] += error * on * field[j]
            field[j] = error * on * back[j]
            slope[bias + j] += field[j]
        slope[read + units] += error
        for i in range(d):
            value = x[row, i]
            for j in range(units):
                slope[i * units + j] += value * field[j]


@numba.njit(nogil=True, cache=True, fastmath=True)
def by_nodes(theta, x, y, rows, units, radius, key, place, field, noise, slope):
    """Write what node perturbation estimates: every unit and the output are shaken, ±, for every example by itself."""
    d = x.shape[1]
    bias, read = d * units, (d + 1) * units
    slope[:] = 0.0
    for number in range(len(rows)):
        row = rows[number]
        signs(key, place + number, noise)
        answer(theta, x[row], units, field)
        above, below = theta[read + units] - y[row], theta[read + units] - y[row]
        for j in range(units):
            shift = radius * noise[j]
            above += theta[read + j] * max(field[j] + shift, np.float32(0.0))
            below += theta[read + j] * max(field[j] - shift, np.float32(0.0))
        above, below = above + radius * noise[units], below - radius * noise[units]
        along = np.float32(0.25) * (above * above - below * below) / (radius * np.float32(len(rows)))
        for j in range(units):
            slope[read + j] += along * noise[units] * max(field[j], np.float32(0.0))
            field[j] = along * noise[j]
            slope[bias + j] += field[j]
        slope[read + units] += along * noise[units]
        for i in range(d):
            value = x[row, i]
            for j in range(units):
                slope[i * units + j] += value * field[j]


@numba.njit(nogil=True, cache=True, fastmath=True)
def by_queries(theta, x, y, rows, units, radius, key, place, field, noise, slope):
    """Write (L(θ + cz) − L(θ − cz)) z / 2c for signs z."""
    signs(key, place, noise)
    for j in range(len(theta)):
        slope[j] = theta[j] + radius * noise[j]
    above = loss(slope, x, y, rows, units, field)
    for j in range(len(theta)):
        slope[j] = theta[j] - radius * noise[j]
    along = np.float32((above - loss(slope, x, y, rows, units, field)) / (2.0 * radius))
    for j in range(len(theta)):
        slope[j] = along * noise[j]


@numba.njit(nogil=True, cache=True, fastmath=True)
def train(rule, theta, back, x, y, held_x, held_y, units, rate, decay, radius, batch, key, marks, seen, losses):
    """Train in place; write the best weights so far, and their loss on held rows, at every mark.

    Adam (0.9, 0.999) with decoupled weight decay; the rate falls linearly to nothing. ``seen`` is [marks, weights],
    ``losses`` [marks].
    """
    n, p, steps = len(x), len(theta), marks[-1]
    field, slope = np.empty(units, np.float32), np.empty(p, np.float32)
    noise = np.empty(p if rule == TWO_QUERIES else units + 1, np.float32)
    first, second = np.zeros(p, np.float32), np.zeros(p, np.float32)
    rows, every, least, at = np.empty(min(batch, n), np.int64), np.arange(len(held_x)), np.inf, 0
    for step in range(steps):
        for number in range(len(rows)):
            word = _word(key, np.uint64((step * len(rows) + number) ^ 0x5555555500000000))
            rows[number] = np.int64((word >> np.uint64(33)) % np.uint64(n))
        if rule == BACKPROP:
            backward(theta, theta[(x.shape[1] + 1) * units :], x, y, rows, units, field, slope)
        elif rule == FEEDBACK:
            backward(theta, back, x, y, rows, units, field, slope)
        elif rule == NODES:
            by_nodes(theta, x, y, rows, units, radius, key, step * batch, field, noise, slope)
        else:
            by_queries(theta, x, y, rows, units, radius, key, step, field, noise, slope)
        now = rate * (1.0 - step / steps)
        long = np.float32(np.sqrt(1.0 - 0.999 ** (step + 1.0)) / (1.0 - 0.9 ** (step + 1.0)) * now)
        keep = np.float32(1.0 - now * decay)
        for j in range(p):
            first[j] += np.float32(0.1) * (slope[j] - first[j])
            second[j] += np.float32(0.001) * (slope[j] * slope[j] - second[j])
            theta[j] = keep * theta[j] - long * first[j] / (np.sqrt(second[j]) + np.float32(1e-8))
        if step + 1 == marks[at]:
            found = loss(theta, held_x, held_y, every, units, field)
            better = found < least or at == 0
            least = found if better else least
            losses[at] = least
            seen[at] = theta if better else seen[at - 1]
            at += 1
