"""Compiled recurrences of neurons whose threshold is raised or whose spikes are drawn; arrays as in ``_kernels``.

Every operation on potentials is the one the loop in torch does, in its order. Probabilities are computed in double
precision, so they are the loop's up to its rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sparsefire.spiking.neurons._kernels import _BLOCK, _at, _part, _slopes
from sparsefire.spiking.neurons._noise import _FIRST, _GOLDEN, _SECOND

_WORD = 1 << 64
_STEP, _MIX, _REMIX = np.uint64(_GOLDEN % _WORD), np.uint64(_FIRST % _WORD), np.uint64(_SECOND % _WORD)
_SHIFT, _PER_LOG_2 = 1.5 * 2.0**52, 1.0 / math.log(2.0)
# The sum is log 2; the first has so few digits that its product with a power is exact.
_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SERIES = tuple(1.0 / math.factorial(n) for n in range(13, -1, -1))
_QUIET, _FIRED, _RESTING = np.int8(0), np.int8(1), np.int8(2)


@njit(nogil=True, cache=True, inline="always")
def _exp(x):
    """Return exp(x) for x up to 700, at least exp(−700), to an ulp: unlike that of libm, many in one instruction."""
    x = -700.0 if x < -700.0 else x  # a NaN stays
    shifted = x * _PER_LOG_2 + _SHIFT
    power = np.float64(shifted).view(np.int64) << 52  # the lowest bits are round(x / log 2)
    n = shifted - _SHIFT
    y = (x - n * _LOG_2_HIGH) - n * _LOG_2_LOW
    series = 0.0
    for c in _SERIES:
        series = series * y + c
    return np.int64(np.float64(series).view(np.int64) + power).view(np.float64)


@njit(nogil=True, cache=True, error_model="numpy")  # a check of each division would be slow
def _chances(distance, form, rate, width, chance, slope):
    """Write the probabilities to fire in a step and their derivatives; forms in the order of ``escape.FORMS``.

    rate is that of a step.
    """
    if form == 0:
        for m in range(len(distance)):
            x = np.float64(distance[m]) / width
            chance[m] = _exp(60.0 if x > 60.0 else x)
        for m in range(len(distance)):
            hazard = rate * chance[m]
            left = _exp(-hazard)
            chance[m] = 1.0 - left
            slope[m] = hazard / width * left
    elif form == 1:
        for m in range(len(distance)):
            x = np.float64(distance[m])
            left = _exp(-rate / width * (0.0 if x < 0.0 else x))
            chance[m] = 1.0 - left
            slope[m] = rate / width * left if x >= 0.0 else 0.0
    else:
        for m in range(len(distance)):
            chance[m] = math.erf(np.float64(distance[m]) / width)
        for m in range(len(distance)):
            x = np.float64(distance[m]) / width
            left = _exp(-rate * (1.0 + chance[m]))
            chance[m] = 1.0 - left
            slope[m] = rate / width * (2.0 / math.sqrt(math.pi)) * _exp(-x * x) * left


@njit(nogil=True, cache=True)
def _draw(chance, places, ahead, spikes):
    """Write 1 with these probabilities, else 0, NaN where they are; see :class:`Noise`."""
    one, zero = spikes.dtype.type(1), spikes.dtype.type(0)
    for m in range(len(spikes)):
        z = places[m] + ahead
        z = (z ^ (z >> np.uint64(30))) * _MIX
        z = (z ^ (z >> np.uint64(27))) * _REMIX
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(11)
        fired = np.float64(np.int64(z)) * 2.0**-53 < chance[m]
        spikes[m] = one if fired else spikes.dtype.type(chance[m]) * zero


@njit(nogil=True, cache=True)
def _integrate(current, v, rest, raised, free, distance, a, k, b, r, threshold, refractory):
    """One step of v, without the spike; ``free`` becomes 0 where refractory, else 1."""
    one, zero = v.dtype.type(1), v.dtype.type(0)
    if refractory:
        for m in range(len(v)):
            free[m] = one if rest[m] <= zero else zero
            new = _at(a, m) * v[m] + _at(k, m) * (_at(b, m) + _at(r, m) * current[m])
            v[m] = new if rest[m] <= zero else v[m]
            distance[m] = v[m] - (_at(threshold, m) + raised[m])
    else:
        for m in range(len(v)):
            free[m] = one
            v[m] = _at(a, m) * v[m] + _at(k, m) * (_at(b, m) + _at(r, m) * current[m])
            distance[m] = v[m] - (_at(threshold, m) + raised[m])


@njit(nogil=True, cache=True)
def _note(v, raised, free, spikes, slope, threshold, v_reset, hard, through, slopes, fates, jumps):
    """Write what the way back needs."""
    zero = v.dtype.type(0)
    for m in range(len(v)):
        slopes[m] = slope[m] * free[m]
        fates[m] = _RESTING if free[m] == zero else _FIRED if spikes[m] > zero else _QUIET
    if through:
        for m in range(len(v)):
            jumps[m] = _at(v_reset, m) - v[m] if hard else -(_at(threshold, m) + raised[m])


@njit(nogil=True, cache=True)
def _settle(v, rest, raised, spikes, threshold, v_reset, hard, again, fall, step):
    """Reset v, begin to rest, raise the threshold."""
    one, zero = v.dtype.type(1), v.dtype.type(0)
    if hard:
        for m in range(len(v)):
            v[m] = _at(v_reset, m) if spikes[m] > zero else v[m]
    else:
        for m in range(len(v)):
            v[m] = v[m] - spikes[m] * (_at(threshold, m) + raised[m])
    if again > zero:
        for m in range(len(v)):
            rest[m] = again if spikes[m] > zero else max(rest[m] - one, zero)
    for m in range(len(v)):
        raised[m] = raised[m] * fall + step * spikes[m]


@njit(nogil=True, cache=True)
def escape_forward(
    current, v, rest, raised, places, units, spikes, slopes, fates, jumps, a, k, b, r, threshold, v_reset, hard,
    refractory_steps, through, shape, steepness, fall, step, form, rate, width, keep,
):  # fmt: skip
    """Write spikes; v, rest and raised are overwritten; form −1 fires exactly above the threshold.

    For the way back: slopes of the spikes, 0 where refractory; what happened to each; what a reset adds to v, if
    gradients go through it.
    """
    steps, lanes = current.shape
    again = v.dtype.type(refractory_steps)
    chance, slope = np.empty(_BLOCK, np.float64), np.empty(_BLOCK, v.dtype)
    distance, free = np.empty(_BLOCK, v.dtype), np.empty(_BLOCK, v.dtype)
    for low in range(0, lanes, _BLOCK):
        high = min(low + _BLOCK, lanes)
        a_, k_, b_, r_ = _part(a, low, high), _part(k, low, high), _part(b, low, high), _part(r, low, high)
        threshold_, v_reset_ = _part(threshold, low, high), _part(v_reset, low, high)
        v_, rest_, raised_, places_ = v[low:high], rest[low:high], raised[low:high], places[low:high]
        chance_, slope_ = chance[: high - low], slope[: high - low]
        distance_, free_ = distance[: high - low], free[: high - low]
        for t in range(steps):
            spikes_ = spikes[t, low:high]
            _integrate(
                current[t, low:high], v_, rest_, raised_, free_, distance_, a_, k_, b_, r_, threshold_,
                refractory_steps > 0,
            )  # fmt: skip
            if form < 0:
                for m in range(len(v_)):
                    spikes_[m] = free_[m] if distance_[m] > 0 else 0
                if keep:
                    _slopes(distance_, shape, steepness, slope_)
            else:
                _chances(distance_, form, rate, width, chance_, slope_)
                _draw(chance_, places_, _STEP * np.uint64(units) * np.uint64(t), spikes_)
                for m in range(len(v_)):
                    spikes_[m] *= free_[m]
            if keep:
                _note(
                    v_, raised_, free_, spikes_, slope_, threshold_, v_reset_, hard, through, slopes[t, low:high],
                    fates[t, low:high], jumps[t if through else 0, low:high],
                )  # fmt: skip
            _settle(v_, rest_, raised_, spikes_, threshold_, v_reset_, hard, again, fall, step)


@njit(nogil=True, cache=True)
def _back(by_spikes, by_v, by_raised, slope, fate, jump, grad, a, k, r, hard, through, fall, step):
    """One step back."""
    zero = by_v.dtype.type(0)
    for m in range(len(by_v)):
        by_fired = by_spikes[m] + step * by_raised[m] + (by_v[m] * jump[m] if through else zero)
        by_distance = by_fired * slope[m]
        lost = by_v[m] if fate[m] == _FIRED else zero
        new = by_v[m] + by_distance - (lost if hard else zero)
        by_raised[m] = fall * by_raised[m] - by_distance - (zero if hard else lost)
        free = fate[m] != _RESTING
        grad[m] = _at(k, m) * _at(r, m) * new if free else zero
        by_v[m] = _at(a, m) * new if free else new


@njit(nogil=True, cache=True)
def escape_backward(
    by_spikes, by_v, by_raised, slopes, fates, jumps, grad, a, k, r, hard, through, fall, step
):  # fmt: skip
    """Write the gradient by the current; ``by_v`` and ``by_raised`` become those by the first v and raised."""
    steps, lanes = grad.shape
    for low in range(0, lanes, _BLOCK):
        high = min(low + _BLOCK, lanes)
        a_, k_, r_ = _part(a, low, high), _part(k, low, high), _part(r, low, high)
        for t in range(steps - 1, -1, -1):
            _back(
                by_spikes[t, low:high], by_v[low:high], by_raised[low:high], slopes[t, low:high], fates[t, low:high],
                jumps[t if through else 0, low:high], grad[t, low:high], a_, k_, r_, hard, through, fall, step,
            )  # fmt: skip
