"""Compiled recurrences over [time, lanes], a lane being one unit of one batch entry.

Blocks of lanes stay in the cache over all steps. A constant is one number or an array [lanes]. Every operation is the
one the loop in torch does, in its order, so that both give the same spikes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

_BLOCK = 1024


def _at(constant: Any, lane: int) -> Any:
    raise NotImplementedError  # compiled code only


def _part(constant: Any, low: int, high: int) -> Any:
    raise NotImplementedError


@overload(_at, inline="always")
def _at_lane(constant, lane):
    if isinstance(constant, types.Array):
        return lambda constant, lane: constant[lane]
    return lambda constant, lane: constant


@overload(_part, inline="always")
def _part_of(constant, low, high):
    if isinstance(constant, types.Array):
        return lambda constant, low, high: constant[low:high]
    return lambda constant, low, high: constant


# Blocks are sliced and lanes counted from 0: only then does the compiler know that no index is negative.


@njit(nogil=True, cache=True)
def leaky_forward(x, y, found, a, k, b, r, backwards):
    """Write y after every step of y ← a y + k (b + r x) to ``found``; y is overwritten."""
    steps, lanes = x.shape
    for low in range(0, lanes, _BLOCK):
        high = min(low + _BLOCK, lanes)
        a_, k_, b_, r_ = _part(a, low, high), _part(k, low, high), _part(b, low, high), _part(r, low, high)
        y_ = y[low:high]
        for number in range(steps):
            t = steps - 1 - number if backwards else number
            x_, found_ = x[t, low:high], found[t, low:high]
            for m in range(len(y_)):
                new = _at(a_, m) * y_[m] + _at(k_, m) * (_at(b_, m) + _at(r_, m) * x_[m])
                y_[m] = new
                found_[m] = new


@njit(nogil=True, cache=True)
def _fire_block(current, v, spikes, before, a, k, b, r, threshold, v_reset, hard):
    """One step of neurons that are never refractory."""
    one, zero = spikes.dtype.type(1), spikes.dtype.type(0)
    if hard:
        for m in range(len(v)):
            new = _at(a, m) * v[m] + _at(k, m) * (_at(b, m) + _at(r, m) * current[m])
            fired = new - _at(threshold, m) > zero
            before[m] = new
            spikes[m] = one if fired else zero
            v[m] = _at(v_reset, m) if fired else new
    else:
        for m in range(len(v)):
            new = _at(a, m) * v[m] + _at(k, m) * (_at(b, m) + _at(r, m) * current[m])
            fired = new - _at(threshold, m) > zero
            before[m] = new
            spikes[m] = one if fired else zero
            v[m] = new - _at(threshold, m) if fired else new


@njit(nogil=True, cache=True)
def _rest_block(current, v, rest, spikes, before, a, k, b, r, threshold, v_reset, hard, again):
    """One step of neurons that may be refractory."""
    one, zero = spikes.dtype.type(1), spikes.dtype.type(0)
    for m in range(len(v)):
        free = rest[m] <= zero
        new = _at(a, m) * v[m] + _at(k, m) * (_at(b, m) + _at(r, m) * current[m])
        new = new if free else v[m]
        fired = free and (new - _at(threshold, m) > zero)
        before[m] = new if free else v.dtype.type(np.nan)
        spikes[m] = one if fired else zero
        after = _at(v_reset, m) if hard else new - _at(threshold, m)
        v[m] = after if fired else new
        rest[m] = again if fired else max(rest[m] - one, zero)


@njit(nogil=True, cache=True)
def fire_forward(current, v, rest, spikes, before, a, k, b, r, threshold, v_reset, hard, refractory_steps, keep):
    """Write spikes; v and rest are overwritten; ``before`` keeps v before the reset, NaN where refractory."""
    steps, lanes = current.shape
    again = v.dtype.type(refractory_steps)
    for low in range(0, lanes, _BLOCK):
        high = min(low + _BLOCK, lanes)
        a_, k_, b_, r_ = _part(a, low, high), _part(k, low, high), _part(b, low, high), _part(r, low, high)
        threshold_, v_reset_ = _part(threshold, low, high), _part(v_reset, low, high)
        v_, rest_ = v[low:high], rest[low:high]
        for t in range(steps):
            current_, spikes_, before_ = current[t, low:high], spikes[t, low:high], before[t if keep else 0, low:high]
            if refractory_steps > 0:
                _rest_block(
                    current_, v_, rest_, spikes_, before_, a_, k_, b_, r_, threshold_, v_reset_, hard, again,
                )  # fmt: skip
            else:
                _fire_block(current_, v_, spikes_, before_, a_, k_, b_, r_, threshold_, v_reset_, hard)


@njit(nogil=True, cache=True)
def _slopes(distance, shape, steepness, found):
    """Write the surrogate derivatives of a block; shapes in the order of ``surrogates.SHAPES``."""
    one, zero = found.dtype.type(1), found.dtype.type(0)
    if shape == 0:
        for m in range(len(found)):
            x = one + steepness * abs(distance[m])
            found[m] = one / (x * x)
    elif shape == 1:
        scale = steepness * found.dtype.type(np.pi / 2)
        for m in range(len(found)):
            x = scale * distance[m]
            found[m] = one / (one + x * x)
    elif shape == 2:
        for m in range(len(found)):
            found[m] = max(one - steepness * abs(distance[m]), zero)
    else:
        for m in range(len(found)):
            half = one / (one + np.exp(-steepness * distance[m]))
            found[m] = found.dtype.type(4) * half * (one - half)


@njit(nogil=True, cache=True)
def _back_block(by_spikes, by_v, before, grad, slope, a, k, r, threshold, v_reset, hard, reset_gradient):
    """One step back; where ``before`` is NaN the neuron was refractory."""
    one, zero = by_v.dtype.type(1), by_v.dtype.type(0)
    if reset_gradient:  # what the reset takes away depends on whether it fired
        for m in range(len(by_v)):
            jump = _at(v_reset, m) - before[m] if hard else -_at(threshold, m)
            left = zero if hard and before[m] - _at(threshold, m) > zero else one
            new = by_v[m] * left + (by_spikes[m] + by_v[m] * jump) * slope[m]
            free = before[m] == before[m]
            grad[m] = _at(k, m) * _at(r, m) * new if free else zero
            by_v[m] = _at(a, m) * new if free else by_v[m]
    else:
        for m in range(len(by_v)):
            left = zero if hard and before[m] - _at(threshold, m) > zero else by_v[m]
            new = left + by_spikes[m] * slope[m]
            free = before[m] == before[m]
            grad[m] = _at(k, m) * _at(r, m) * new if free else zero
            by_v[m] = _at(a, m) * new if free else by_v[m]


@njit(nogil=True, cache=True)
def fire_backward(by_spikes, by_v, before, grad, a, k, r, threshold, v_reset, hard, reset_gradient, shape, steepness):
    """Write the gradient by the current; ``by_v`` becomes that by the first v."""
    steps, lanes = grad.shape
    distance, slope = np.empty(_BLOCK, by_v.dtype), np.empty(_BLOCK, by_v.dtype)
    for low in range(0, lanes, _BLOCK):
        high = min(low + _BLOCK, lanes)
        a_, k_, r_ = _part(a, low, high), _part(k, low, high), _part(r, low, high)
        threshold_, v_reset_ = _part(threshold, low, high), _part(v_reset, low, high)
        by_v_, distance_, slope_ = by_v[low:high], distance[: high - low], slope[: high - low]
        for t in range(steps - 1, -1, -1):
            before_ = before[t, low:high]
            for m in range(len(distance_)):
                distance_[m] = before_[m] - _at(threshold_, m)
            _slopes(distance_, shape, steepness, slope_)
            _back_block(
                by_spikes[t, low:high], by_v_, before_, grad[t, low:high], slope_, a_, k_, r_, threshold_, v_reset_,
                hard, reset_gradient,
            )  # fmt: skip
