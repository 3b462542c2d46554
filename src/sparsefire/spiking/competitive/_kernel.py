"""Presentations to the competitive network, event-driven: only rows of inputs and columns of units that fired.

The order within step t is that of Brian 2's default schedule: membranes move with the conductances that are there,
thresholds are tested, then the spikes of step t are delivered (they act from step t + 1) and weights change.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

_U = np.uint64
NEVER = -(1 << 40)
"""Step of a last spike that there was not."""


class Clock(NamedTuple):
    """Steps of a presentation with and without input, expected spikes per step at intensity 1, and its raise."""

    shown: int
    rest: int
    probability: float
    more: float
    fewest: int
    attempts: int


class Membrane(NamedTuple):
    """One population: h = dt/τ, potentials in mV, decay of its conductances per step, refractory steps."""

    h: float
    rest: float
    reset: float
    threshold: float
    excited: float
    inhibited: float
    keep_e: float
    keep_i: float
    wait: int


class Competition(NamedTuple):
    """Strengths between the populations, and how thresholds adapt: jump at a spike and decay per step."""

    layer: bool
    to_inhibitory: float
    inhibition: float
    jump: float
    fade: float


class Learning(NamedTuple):
    """What a spike does to weights; see :class:`sparsefire.spiking.CompetitiveRule`."""

    a_plus: float
    a_minus: float
    target: float
    mu: float
    w_max: float
    triplet: bool
    total: float


class State(NamedTuple):
    """Everything that changes: weights float32 [inputs, units], thresholds, membranes, conductances, last spikes."""

    weights: np.ndarray
    theta: np.ndarray
    v: np.ndarray
    ge: np.ndarray
    gi: np.ndarray
    free: np.ndarray
    v_inhibitory: np.ndarray
    ge_inhibitory: np.ndarray
    free_inhibitory: np.ndarray
    last_input: np.ndarray
    last_unit: np.ndarray


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _mixed(z):
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return z ^ (z >> _U(31))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def presentation_key(key, sample, attempt):
    """Return the key of one presentation: a hash of the sample's name, uint64, and how often it was shown before."""
    named = _mixed(key + (_U(sample) + _U(1)) * _U(0x9E3779B97F4A7C15))
    return _mixed(named + _U(attempt + 1) * _U(0xD1B54A32D192ED03))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def poisson(image, scale, steps, key, starts, inputs, found):
    """Draw which inputs fire in which step: input i in each step with chance min(image[i] · scale, 1), independently.

    Args:
        image: intensities float64 [inputs], not negative.
        scale: expected spikes per step at intensity 1.
        steps: how many.
        key: uint64; SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195).
        starts: int64 [at least steps + 1], filled: events of step t are inputs[starts[t]:starts[t + 1]], ascending.
        inputs: int32 [at least steps · inputs], filled. found: int64 of the same size, room to work in.

    Returns:
        How many events there are. Gaps are geometric: ⌊log u / log(1 - p)⌋ steps are skipped.
    """
    state, events = key, 0
    starts[: steps + 1] = 0
    for i in range(len(image)):
        p = image[i] * scale
        if p <= 0.0:
            continue
        slope = 1.0 / np.log1p(-p) if p < 1.0 else 0.0
        at = -1.0
        while True:
            state = state + _U(0x9E3779B97F4A7C15)
            u = (float(_mixed(state) >> _U(11)) + 0.5) * 1.1102230246251565e-16
            at += 1.0 + np.floor(np.log(u) * slope)
            if at >= steps:
                break
            step = np.int64(at)
            found[events] = step * len(image) + i
            starts[step + 1] += 1
            events += 1
    for t in range(steps):
        starts[t + 1] += starts[t]
    for e in range(events):  # starts[t] runs to the beginning of step t + 1, and is moved back below
        step = found[e] // len(image)
        inputs[starts[step]] = found[e] - step * len(image)
        starts[step] += 1
    for t in range(steps, 0, -1):
        starts[t] = starts[t - 1]
    starts[0] = 0
    return events


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _move(v, ge, gi, free, t, level, cell):
    """Move one population by a step (backward Euler at the conductances of its start); return how many are over."""
    over = 0
    for n in range(len(v)):
        drive = cell.rest + ge[n] * cell.excited + gi[n] * cell.inhibited
        new = (v[n] + cell.h * drive) / (1.0 + cell.h * (1.0 + ge[n] + gi[n]))
        new = cell.reset if t < free[n] else new
        v[n] = new
        ge[n] *= cell.keep_e
        gi[n] *= cell.keep_i
        over += new > level[n]
    return over


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _power(base, exponent):
    if exponent == 0.0:
        return 1.0
    return base if exponent == 1.0 else max(base, 0.0) ** exponent


@numba.njit(nogil=True, cache=True, error_model="numpy")
def present(events, starts, steps, learn, state, cells, competition, learning, senders, traces, counts, room):
    """Run ``steps`` steps; spikes of units are added to ``counts``. Without ``learn`` weights and θ stay.

    Args:
        events, starts: input spikes as of :func:`poisson`, starts for all steps.
        state: of the network, changed in place; last spikes are counted from the end afterwards.
        cells: Membrane of the excitatory and of the inhibitory units.
        senders: int32 [units, fan-in], the inputs that each unit is connected with; other weights are 0.
        traces: float64 [3, ages], decay of the input's and of both traces of a unit with the age of the last spike.
        counts: int64 [units].
        room: int64 [2, units] and more to work in.
    """
    excitatory, inhibitory = cells
    weights, theta = state.weights, state.theta
    units = len(theta)
    oldest = traces.shape[1] - 1
    none = np.zeros(units)
    level = excitatory.threshold + theta
    level_inhibitory = np.full(units, inhibitory.threshold)
    fired, active = room[0], room[1]
    depress = learn and learning.a_minus != 0.0
    n_active = 0
    for n in range(units):
        if -state.last_unit[n] < oldest:
            active[n_active] = n
            n_active += 1
    for t in range(steps):
        over = _move(state.v, state.ge, state.gi, state.free, t, level, excitatory)
        n_fired = 0
        if over:
            for n in range(units):
                if state.v[n] > level[n]:
                    fired[n_fired] = n
                    n_fired += 1
        if competition.layer:
            over = _move(
                state.v_inhibitory, state.ge_inhibitory, none, state.free_inhibitory, t, level_inhibitory, inhibitory
            )
            if over:
                for k in range(units):
                    if state.v_inhibitory[k] > level_inhibitory[k]:
                        state.v_inhibitory[k] = inhibitory.reset
                        state.free_inhibitory[k] = t + 1 + inhibitory.wait
                        _inhibit(state.gi, k, competition.inhibition)
        for e in range(starts[t], starts[t + 1]):
            i = events[e]
            row = weights[i]
            for n in range(units):
                state.ge[n] += row[n]
            if depress:
                a = 0
                while a < n_active:
                    n = active[a]
                    age = t - state.last_unit[n]
                    if age >= oldest:
                        n_active -= 1
                        active[a] = active[n_active]
                        continue
                    w = np.float64(row[n])
                    w -= learning.a_minus * traces[1, age] * _power(w, learning.mu)
                    row[n] = np.float32(max(w, 0.0))
                    a += 1
            state.last_input[i] = t
        for f in range(n_fired):
            n = fired[f]
            state.v[n] = excitatory.reset
            state.free[n] = t + 1 + excitatory.wait
            counts[n] += 1
            if competition.layer:
                state.ge_inhibitory[n] += competition.to_inhibitory
            else:
                _inhibit(state.gi, n, competition.inhibition)
            if learn:
                age = t - state.last_unit[n]
                if age >= oldest:
                    active[n_active] = n
                    n_active += 1
                _potentiate(weights, n, t, min(age, oldest), state.last_input, senders, traces, learning)
                state.last_unit[n] = t
                theta[n] += competition.jump
                level[n] += competition.jump
    for i in range(len(state.last_input)):
        state.last_input[i] -= steps
    for n in range(units):
        state.last_unit[n] -= steps
        state.free[n] -= steps
        state.free_inhibitory[n] -= steps
    if learn:
        theta *= competition.fade**steps


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _inhibit(gi, source, strength):
    own = gi[source]
    for n in range(len(gi)):
        gi[n] += strength
    gi[source] = own


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _potentiate(weights, n, t, age, last_input, senders, traces, learning):
    """Change the weights of unit n, which fires at step t."""
    oldest = traces.shape[1] - 1
    rate = learning.a_plus * (traces[2, age] if learning.triplet else 1.0)
    for s in range(senders.shape[1]):
        i = senders[n, s]
        x = traces[0, min(t - last_input[i], oldest)] - learning.target
        w = np.float64(weights[i, n])
        w += rate * x * _power(learning.w_max - w, learning.mu)
        weights[i, n] = np.float32(min(max(w, 0.0), learning.w_max))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def normalise(weights, senders, units, total):
    """Scale the weights of some units so that they add up to ``total``."""
    for n in units:
        have = 0.0
        for s in range(senders.shape[1]):
            have += weights[senders[n, s], n]
        if have > 0.0:
            factor = np.float32(total / have)
            for s in range(senders.shape[1]):
                weights[senders[n, s], n] *= factor


@numba.njit(nogil=True, cache=True, error_model="numpy")
def rest(state, cells):
    """Put membranes, conductances and last spikes where they are when nothing ever happened."""
    state.v[:] = cells[0].rest
    state.v_inhibitory[:] = cells[1].rest
    state.ge[:] = 0.0
    state.gi[:] = 0.0
    state.ge_inhibitory[:] = 0.0
    state.free[:] = NEVER
    state.free_inhibitory[:] = NEVER
    state.last_input[:] = NEVER
    state.last_unit[:] = NEVER


@numba.njit(nogil=True, cache=True, error_model="numpy")
def show_all(images, names, key, learn, clock, state, cells, competition, learning, senders, traces, counts):
    """Present images one after the other, each again at a higher rate while the units fire too few spikes.

    Args:
        images: intensities float64 [n, inputs]. names: uint64 [n], what the draws of each are called by.
        learn: True carries the state on from one to the next, with a pause; False starts each at rest, pauses not,
            and changes neither weights nor θ.
        counts: int64 [n, units], filled with the spikes of the last showing of each.

    Returns:
        How many presentations there were.
    """
    inputs, units = state.weights.shape
    steps = clock.shown + (clock.rest if learn else 0)
    starts = np.zeros(steps + 1, np.int64)
    events, found = np.empty(clock.shown * inputs, np.int32), np.empty(clock.shown * inputs, np.int64)
    room = np.empty((2, units), np.int64)
    touched = np.empty(units, np.int64)
    shown = 0
    for s in range(len(images)):
        for attempt in range(clock.attempts):
            if not learn:
                rest(state, cells)
            chance = clock.probability + attempt * clock.more
            own = presentation_key(key, names[s], attempt)
            n_events = poisson(images[s], chance, clock.shown, own, starts, events, found)
            starts[clock.shown :] = n_events
            counts[s] = 0
            before = state.last_unit.copy()
            present(events, starts, steps, learn, state, cells, competition, learning, senders, traces, counts[s], room)
            shown += 1
            if learn and learning.total > 0.0:
                n_touched = 0
                for n in range(units):
                    if counts[s, n] or -before[n] < traces.shape[1]:
                        touched[n_touched] = n
                        n_touched += 1
                normalise(state.weights, senders, touched[:n_touched], learning.total)
            if counts[s].sum() >= clock.fewest or not images[s].any():
                break
    return shown
