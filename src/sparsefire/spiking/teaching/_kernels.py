"""Compiled passes over time: a teacher that fires, and a student that learns while it does."""

from __future__ import annotations

import math

import numba
import numpy as np

LIKELIHOOD, REWARD = 0, 1
LOWEST, HIGHEST = -600.0, 20.0  # potentials are cut here, so that a student that diverges stays finite


@numba.njit(nogil=True, cache=True, inline="always")
def _gap(rng, chance):
    """Return how many of independent trials fail before the next that does not."""
    return int(min(math.log1p(-rng.random()) / math.log1p(-chance), 1e15))


@numba.njit(nogil=True, cache=True, inline="always")
def _listen(traces, keep, jump, chance, left, rng):
    """Let the traces decay and the inputs of this step arrive; return the trials left before the next input spike."""
    d = len(traces)
    for i in range(d):
        traces[i] *= keep
    while left < d:
        traces[left] += jump
        left += 1 + _gap(rng, chance)
    return left - d


@numba.njit(nogil=True, cache=True, inline="always")
def _hazard(potential):
    """Return q = exp(u) and the probability 1 − exp(−q) of a step."""
    q = math.exp(min(max(potential, LOWEST), HIGHEST))
    return q, -math.expm1(-q)


@numba.njit(nogil=True, cache=True)
def record(weights, law, burn, rng, traces_out, offset_out, spikes_out):
    """Write centred traces, potential without inputs, and spikes of a teacher, after ``burn`` steps.

    Args:
        weights: [d].
        law: keep, jump and mean of a trace, chance of an input spike; bias, after-potential and what is kept of it.
    """
    keep, jump, mean, chance, bias, after, keep_after = law
    d = len(weights)
    traces, memory = np.full(d, mean), 0.0
    left = _gap(rng, chance)
    for t in range(-burn, len(spikes_out)):
        left = _listen(traces, keep, jump, chance, left, rng)
        memory *= keep_after
        potential = bias + after * memory
        offset = potential
        for i in range(d):
            potential += weights[i] * (traces[i] - mean)
        fired = rng.random() < _hazard(potential)[1]
        if t >= 0:
            for i in range(d):
                traces_out[t, i] = traces[i] - mean
            offset_out[t] = offset
            spikes_out[t] = fired
        memory += fired


@numba.njit(nogil=True, cache=True)
def learn(weights, law, burn, rule, schedule, forget, since, student, kept, rng, paths, averages, counts):
    """Let a student learn from a teacher that fires, step after step; weights and their averages are written.

    Args:
        weights, law, burn: of the teacher, as above.
        rule: LIKELIHOOD or REWARD.
        schedule: first step size, steps after which it falls, power by which it does.
        forget: 1 over the memory of the mean reward, in steps.
        since: step from which weights are averaged.
        student: first weights of the student, [d]; changed in place.
        kept: steps after which weights are written, ascending.
        paths, averages: [len(kept), d]. counts: spikes so far, [len(kept)].
    """
    keep, jump, mean, chance, bias, after, keep_after = law
    first, delay, power = schedule
    d, memory, count, place, baseline = len(weights), 0.0, 0, 0, 1.0
    traces, average = np.full(d, mean), np.zeros(d)
    left = _gap(rng, chance)
    for t in range(-burn, kept[-1]):
        left = _listen(traces, keep, jump, chance, left, rng)
        memory *= keep_after
        taught = own = bias + after * memory
        for i in range(d):
            x = traces[i] - mean
            taught += weights[i] * x
            own += student[i] * x
        fired = rng.random() < _hazard(taught)[1]
        memory += fired
        if t < 0:
            continue
        count += fired
        q, p = _hazard(own)
        if rule == LIKELIHOOD:
            factor = q * (1 - p) / p if fired else -q
        else:
            mine = rng.random() < p
            reward = 0.0
            if mine == fired:
                reward = 1 / p if fired else 1 / (1 - p)
            factor = (q * (1 - p) / p if mine else -q) * (reward - baseline)
            baseline += forget * (reward - baseline)
        factor *= first * (1 + t / delay) ** -power
        share = 1 / (t + 1 - since) if t >= since else 1.0
        for i in range(d):
            student[i] += factor * (traces[i] - mean)
            average[i] += share * (student[i] - average[i])
        if t + 1 == kept[place]:
            paths[place], averages[place], counts[place] = student, average, count
            place += 1
