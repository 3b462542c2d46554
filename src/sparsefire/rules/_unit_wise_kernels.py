"""Compiled passes of unit-wise differences: what one unit's move changes above it, and nothing else.

Moves are by unit and example, [units, rows]. Activities are features first, [units, rows], where loops run over the
examples, and rows first where whole rows are written.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

IDENTITY, RELU, LEAKY, TANH, SIGMOID, GELU, SILU = range(7)


@njit(nogil=True, cache=True)
def spread(base: np.ndarray, moves: np.ndarray, fans: np.ndarray, found: np.ndarray, who: np.ndarray) -> int:
    """Write base[b] + moves[u, b] · fans[u] for every pair that moves; return how many there are.

    Args:
        base: [rows, n]. moves: [units, rows], zero where nothing changes. fans: [units, n].
        found: [units · rows, n], filled from the top. who: int64 of that length: u · rows + b.
    """
    rows, width = base.shape
    count = 0
    for u in range(moves.shape[0]):
        fan = fans[u]
        for b in range(rows):
            move = moves[u, b]
            if move != 0:
                row, line = found[count], base[b]
                for i in range(width):
                    row[i] = line[i] + move * fan[i]
                who[count] = u * rows + b
                count += 1
    return count


@njit(nogil=True, cache=True)
def collect(base: np.ndarray, moves: np.ndarray, shifts: np.ndarray, found: np.ndarray, who: np.ndarray) -> int:
    """The same with shifts [units, n, rows] in place of products: base[b] + shifts[u, :, b]."""
    rows, width = base.shape
    count = 0
    for u in range(moves.shape[0]):
        for b in range(rows):
            if moves[u, b] != 0:
                for i in range(width):
                    found[count, i] = base[b, i] + shifts[u, i, b]
                who[count] = u * rows + b
                count += 1
    return count


@njit(nogil=True, cache=True)
def compress(weight: np.ndarray, values: np.ndarray, outputs: np.ndarray, starts: np.ndarray, first: int) -> int:
    """Write the non-zeros of a weight [out, in] column by column, from place ``first`` on; return the next free place.

    starts [in + 1] says where each column begins.
    """
    heights = np.zeros(weight.shape[1], np.int64)
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            if weight[o, i] != 0:
                heights[i] += 1
    starts[0] = first
    for i in range(weight.shape[1]):
        starts[i + 1] = starts[i] + heights[i]
        heights[i] = starts[i]
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            if weight[o, i] != 0:
                values[heights[i]] = weight[o, i]
                outputs[heights[i]] = o
                heights[i] += 1
    return int(starts[weight.shape[1]])


@njit(nogil=True, cache=True)
def activity(code, slope, a):
    """Return the activity of one unit."""
    if code == RELU:
        return a if a > 0 else 0 * a
    if code == LEAKY:
        return a if a > 0 else slope * a
    if code == TANH:
        return math.tanh(a)
    if code == SIGMOID:
        return 1 / (1 + math.exp(-a))
    if code == GELU:
        return 0.5 * a * (1 + math.erf(a * 0.7071067811865476))
    if code == SILU:
        return a / (1 + math.exp(-a))
    return a


@njit(nogil=True, cache=True)
def respond(code, slope, before, value, shift):
    """Replace shifts of pre-activations [rows] by those of activities; return whether one is left."""
    left = False
    if code == RELU:
        zero = before[0] * 0
        for b in range(len(shift)):
            shift[b] = max(before[b] + shift[b], zero) - value[b]
    elif code != IDENTITY:
        for b in range(len(shift)):
            if shift[b] != 0:
                shift[b] = activity(code, slope, before[b] + shift[b]) - value[b]
    for b in range(len(shift)):
        left |= shift[b] != 0
    return left


@njit(nogil=True, cache=True)
def cones(units, moves, values, outputs, starts, columns, places, before, after, codes, slopes, shifts):
    """Follow each unit's move through its fan-out cone; return the products of a weight and an activity it took.

    Args:
        units: int64 [u], the units that move, one after the other. moves: [u, rows], of their activities.
        values, outputs, starts: the weights of the levels above, by :func:`compress`, one after the other.
        columns: int64 [levels]: where the starts of each level begin.
        places: int64 [levels]: where the units that each level leads to begin in ``before``; the last is not used.
        before, after: [units above, rows], their pre-activations and activities, features first.
        codes, slopes: [levels − 1], of their activations.
        shifts: [u, outputs, rows], overwritten: how the outputs of the last level change.
    """
    levels, rows = len(columns), moves.shape[1]
    height = max(1, before.shape[0])
    moved = np.zeros((height, rows), moves.dtype)  # by place in ``before``; zero again after each unit
    touched = np.empty(height, np.int64)
    marked = np.zeros(height, np.bool_)
    work = 0
    shifts[:] = 0
    for u in range(len(units)):
        if not moves[u].any():
            continue
        begin, count = 0, 0  # the units of the level below that changed are touched[begin:count]
        for level in range(levels):
            end = count
            last = level == levels - 1
            sources = 1 if level == 0 else end - begin
            for s in range(sources):
                if level == 0:
                    unit, amount = units[u], moves[u]
                else:
                    place = touched[begin + s]
                    unit, amount = place - places[level - 1], moved[place]
                    if not respond(codes[level - 1], slopes[level - 1], before[place], after[place], amount):
                        continue
                for k in range(starts[columns[level] + unit], starts[columns[level] + unit + 1]):
                    weight, o = values[k], outputs[k]
                    if last:
                        goal = shifts[u, o]
                    else:
                        place = places[level] + o
                        goal = moved[place]
                        if not marked[place]:
                            marked[place] = True
                            touched[count] = place
                            count += 1
                    for b in range(rows):
                        goal[b] += weight * amount[b]
                    work += rows
            begin = end
        for t in range(count):
            moved[touched[t]] = 0
            marked[touched[t]] = False
    return work


@njit(nogil=True, cache=True)
def awake(before, shifts, crest, columns):
    """Write the columns of shifts [n, units] in which some ReLU is above zero, moved or not; return how many."""
    crest[:] = 0
    for i in range(len(shifts)):
        shift = shifts[i]
        for j in range(len(crest)):
            crest[j] = max(crest[j], shift[j])
    count = 0
    for j in range(len(crest)):
        if before[j] + crest[j] > 0:
            columns[count] = j
            count += 1
    return count


@njit(nogil=True, cache=True)
def rectify(before, value, shifts, columns, few):
    """Write how the activities of ReLUs change, those of these columns alone, into few [n, columns]."""
    zero = before[0] * 0
    base, clean = before[columns], value[columns]
    for i in range(len(shifts)):
        shift, goal = shifts[i], few[i]
        for c in range(len(columns)):
            goal[c] = shift[columns[c]]
        for c in range(len(columns)):  # apart, so that it is done in vectors
            goal[c] = max(base[c] + goal[c], zero) - clean[c]


@njit(nogil=True, cache=True)
def take(weight, columns, lines):
    """Copy these lines of a weight."""
    for c in range(len(columns)):
        line, goal = weight[columns[c]], lines[c]
        for o in range(len(line)):
            goal[o] = line[o]


@njit(nogil=True, cache=True)
def answer(code, slope, before, value, shifts):
    """Replace shifts [n, units] of pre-activations of one example by those of activities."""
    for i in range(len(shifts)):
        shift = shifts[i]
        for j in range(len(shift)):
            if shift[j] != 0:
                shift[j] = activity(code, slope, before[j] + shift[j]) - value[j]


@njit(nogil=True, cache=True)
def lift(code, slope, before, value, weight, shifts, few, lines, crest, columns, goal):
    """Write the shifts [n, units above] that shifts [n, units] of pre-activations lead to; few and lines are room."""
    pairs, above = goal.shape
    if code != RELU:
        if code != IDENTITY:
            answer(code, slope, before, value, shifts)
        np.dot(shifts, weight, goal)
        return
    count = awake(before, shifts, crest, columns)
    if count == 0:
        goal[:] = 0
        return
    changed, used = few[: pairs * count].reshape(pairs, count), lines[: count * above].reshape(count, above)
    rectify(before, value, shifts, columns[:count], changed)
    take(weight, columns[:count], used)
    np.dot(changed, used, goal)


@njit(nogil=True, cache=True)
def scaled(move, line, goal):
    """Write move · line."""
    for o in range(len(line)):
        goal[o] = move * line[o]


@njit(nogil=True, cache=True)
def sweep(first, last, moves, before, after, weights, widths, codes, slopes, room, found, who):
    """Take the moves of one example after the other up through all levels, those of all units below together.

    A level gets the shifts of all moves from below as one matrix. ReLU units that are at rest whatever moves are left
    out of the product with the weights above.

    Args:
        first, last: examples.
        moves: [rows, hidden units], of activities, zero for units that do not move; level by level.
        before, after: [rows, hidden units + outputs], pre-activations and activities; outputs have no activities.
        weights: of each level above a hidden one, [units, units above] one after the other.
        widths: int64 [levels + 1], units of each level, outputs at the end.
        codes, slopes: [levels], of the activations.
        room: (3 · moves of one example + widest level) · widest level long.
        found: [pairs, outputs], filled from the top, example by example.
        who: int64 [pairs]: unit · rows + example.

    Returns:
        How many pairs there are.
    """
    rows, outputs, widest = len(moves), widths[-1], widths.max()
    lines, part = room[: widest * widest], (len(room) - widest * widest) // 3
    rest = room[widest * widest :]
    shifts, others, few = rest[:part], rest[part : 2 * part], rest[2 * part :]
    crest, columns = np.empty(widest, moves.dtype), np.empty(widest, np.int64)
    count = 0
    for b in range(first, last):
        pairs, unit, start = 0, 0, 0
        for level in range(len(codes)):
            width, above = widths[level], widths[level + 1]
            weight = weights[start : start + width * above].reshape(width, above)
            if pairs:
                lift(
                    codes[level], slopes[level], before[b, unit : unit + width], after[b, unit : unit + width], weight,
                    shifts[: pairs * width].reshape(pairs, width), few, lines, crest[:width], columns,
                    others[: pairs * above].reshape(pairs, above),
                )  # fmt: skip
            shifts, others = others, shifts
            for j in range(width):
                move = moves[b, unit + j]
                if move != 0:
                    scaled(move, weight[j], shifts[pairs * above : (pairs + 1) * above])
                    who[count] = (unit + j) * rows + b
                    pairs += 1
                    count += 1
            unit += width
            start += width * above
        base, top = before[b, unit : unit + outputs], count - pairs
        for i in range(pairs):
            shift, goal = shifts[i * outputs : (i + 1) * outputs], found[top + i]
            for o in range(outputs):
                goal[o] = base[o] + shift[o]
    return count
