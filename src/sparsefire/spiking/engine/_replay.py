"""Units followed again in NumPy from recorded spikes: the independent second opinion on the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse, special, stats

from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.spiking.engine.drives import Arrivals, PoissonDrive
from sparsefire.spiking.engine.run import Replay, Run
from sparsefire.spiking.spikes import Spikes
from sparsefire.wiring.graph import Wiring

Part = Callable[[np.ndarray], np.ndarray]  # all of some numbers, those above 0 or those below it


def replayed(run: Run, units: Any) -> Replay:
    """Return potentials and probabilities of some units."""
    who = _checked(run, units)
    each, back = np.unique(who, return_inverse=True)
    if len(each) < len(who):  # asked for more than once
        once = replayed(run, each)
        return Replay(once.v[:, back], once.probability[:, back])
    steps = round(run.duration / run.dt)
    fired = _fired(run.spikes, who, run.dt, steps)
    if hasattr(run.neurons, "tau_after"):
        return _with_after_potentials(run, who, fired)
    return _with_resets(run, who, fired, *_pulled(run, who, steps))


def _with_resets(run: Run, who: np.ndarray, fired: np.ndarray, a: np.ndarray, pull: np.ndarray) -> Replay:
    """Follow v ← a v + pull, and what spikes do to it."""
    neurons, threshold, reset = run.neurons, _number(run, who, "v_threshold"), _number(run, who, "v_reset")
    v, raised, resting = run.initial[who].copy(), np.zeros(len(who)), np.zeros(len(who), int)
    if run.before is not None:
        resting = run.before.refractory[who]
        raised = run.before.raised[who] if neurons.adaptation is not None else raised
    a, seen, chance = np.broadcast_to(a, pull.shape), np.empty(pull.shape), np.empty(pull.shape)
    for k in range(len(pull)):
        free = resting == 0
        v = np.where(free, a[k] * v + pull[k], v)
        seen[k] = v
        chance[k] = free * _probability(run, v - threshold - raised)
        v = np.where(fired[k], reset if neurons.reset == "hard" else v - threshold - raised, v)
        resting = _rested(run, resting, fired[k])
        if neurons.adaptation is not None:
            raised = raised * np.exp(-run.dt / neurons.adaptation.tau) + neurons.adaptation.step * fired[k]
    return Replay(seen, chance)


def _with_after_potentials(run: Run, who: np.ndarray, fired: np.ndarray) -> Replay:
    """Follow h, which spikes do not touch, and what they add to it."""
    h = _followed(run, who, "tau", _pulled(run, who, len(fired))[1], 0, run.initial[who])
    threshold, jump, fade = _number(run, who, "v_threshold"), _number(run, who, "after"), _left(run, who, "tau_after")
    after, resting, before = np.zeros(len(who)), np.zeros(len(who), int), run.before
    if before is not None:
        after, resting = before.inner[1, who], before.refractory[who]
    seen, chance = np.empty(fired.shape), np.empty(fired.shape)
    for k in range(len(fired)):
        after = fade * after
        seen[k] = h[k] + after
        chance[k] = (resting == 0) * _probability(run, seen[k] - threshold)
        after = np.where(fired[k], jump + (run.neurons.memory == "all") * after, after)
        resting = _rested(run, resting, fired[k])
    return Replay(seen, chance)


def _pulled(run: Run, who: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a step leaves of the potentials and what it adds to them, [units] or [steps, units]."""
    neurons, current = run.neurons, _currents(run, who, steps)
    if hasattr(neurons, "tau_e"):
        excitation = _arrived(run, who, steps, _above_0) + _above_0(current)
        inhibition = _arrived(run, who, steps, _below_0) + _below_0(current)
        g_e, g_i = _followed(run, who, "tau_e", excitation, 0), _followed(run, who, "tau_i", -inhibition, 1)
        total = 1 + g_e + g_i
        a = np.exp(-run.dt * total / _number(run, who, "tau"))
        v_leak, v_e, v_i = (_number(run, who, name) for name in ("v_leak", "v_e", "v_i"))
        return a, (1 - a) * (v_leak + g_e * v_e + g_i * v_i) / total
    arrived, r = _arrived(run, who, steps, lambda values: values), _number(run, who, "r")
    if hasattr(neurons, "tau_syn"):
        a, alpha = _left(run, who, "tau_mem"), _left(run, who, "tau_syn")
        given = (1 - alpha) * _number(run, who, "w_in") * current + arrived
        return a, (1 - a) * (_number(run, who, "v_leak") + r * _followed(run, who, "tau_syn", given, 0))
    if hasattr(neurons, "tau"):
        a = _left(run, who, "tau")
        return a, (1 - a) * (_number(run, who, "v_leak") + r * current) + arrived
    return np.ones(len(who)), run.dt * r * current + arrived


def _number(run: Run, who: np.ndarray, name: str) -> np.ndarray:
    value = np.asarray(getattr(run.neurons, name).detach().cpu(), np.float64)
    return np.broadcast_to(value, run.neurons.shape).ravel()[who]


def _left(run: Run, who: np.ndarray, name: str) -> np.ndarray:
    """Return what a step leaves of something with this time constant."""
    tau = _number(run, who, name)
    euler = getattr(run.neurons, "discretisation", "exponential") == "euler"
    return 1 - run.dt / tau if euler else np.exp(-run.dt / tau)


def _followed(
    run: Run, who: np.ndarray, name: str, given: np.ndarray, row: int, first: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return what falls with a time constant and rises by what is given, [steps, units]; ``row``: of the state."""
    left, x = _left(run, who, name), first if run.before is None else run.before.inner[row, who]
    found = np.empty(given.shape)
    for k in range(len(given)):
        found[k] = x = left * x + given[k]
    return found


def _rested(run: Run, resting: np.ndarray, fired: np.ndarray) -> np.ndarray:
    return np.where(fired, round(run.neurons.refractory / run.dt), np.maximum(resting - 1, 0))


def _above_0(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0.0)


def _below_0(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, 0.0)


def _probability(run: Run, distance: np.ndarray) -> np.ndarray:
    escape, dt = run.neurons.escape, run.dt
    if escape is None or not run.neurons.stochastic:
        return (distance > 0).astype(float)
    x = distance / escape.width
    shapes = {"exponential": lambda: np.exp(np.minimum(x, 60.0)), "linear": lambda: np.maximum(x, 0.0)}
    return -np.expm1(-escape.rate * dt * shapes.get(escape.form, lambda: 1 + special.erf(x))())


def _arrived(run: Run, who: np.ndarray, steps: int, part: Part) -> np.ndarray:
    """Return what arrives in each step through one part of the weights, [steps, units]."""
    delays = np.rint(np.broadcast_to(run.delay / run.dt, run.wiring.arcs)).astype(np.int64)
    when, units, before = _steps_of(run.spikes, run.dt), run.spikes.units, run.before
    if before is not None:
        when, units = np.append(before.sent, when), np.append(before.senders, units)
    found = _delivered(when, units, run.wiring, part(run.weights), delays, who, steps)
    number = 0
    for drive in _drives(run):
        if isinstance(drive, PoissonDrive):
            found += part(_poisson(drive, number, run, who, steps))
            number += 1
        elif isinstance(drive, Arrivals):
            at_once, weights = np.zeros(drive.wiring.arcs, np.int64), part(drive.wiring.weights)
            when = _steps_of(drive.spikes, run.dt)
            found += _delivered(when, drive.spikes.units, drive.wiring, weights, at_once, who, steps)
    return found


def _steps_of(spikes: Spikes, dt: float) -> np.ndarray:
    """Return the step of each spike, as :meth:`Spikes.counts_in` does."""
    last = max(int(np.ceil(spikes.duration / dt - 1e-9)) - 1, 0)
    return np.clip(np.ceil(spikes.times / dt - 1e-9).astype(np.int64) - 1, 0, last)


def _fired(spikes: Spikes, who: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """Return which of some units fired when, bool [steps, units]."""
    place = np.full(spikes.n_units, -1)
    place[who] = np.arange(len(who))
    column, found = place[spikes.units], np.zeros((steps, len(who)), bool)
    found[_steps_of(spikes, dt)[column >= 0], column[column >= 0]] = True
    return found


def _delivered(
    when: np.ndarray, units: np.ndarray, wiring: Wiring, weights: np.ndarray, delays: np.ndarray, who: np.ndarray,
    steps: int,
) -> np.ndarray:  # fmt: skip
    """Return what spikes bring, those of steps below 0 too; memory: them, the arcs into these units, the result."""
    place = np.full(wiring.shape[1], -1)
    place[who] = np.arange(len(who))
    arcs = np.flatnonzero((place >= 0)[wiring.receivers])
    senders, column = np.searchsorted(wiring.starts, arcs, side="right") - 1, place[wiring.receivers[arcs]]
    weights, delays = weights[arcs], delays[arcs]
    found = np.zeros((steps, len(who)))
    for late in np.unique(delays):
        there = (when + late >= 0) & (when + late < steps)
        if there.any():
            ends = (np.ones(int(there.sum())), (when[there] + late, units[there]))
            trains = sparse.csr_array(ends, shape=(steps, wiring.shape[0]))
            part = delays == late
            matrix = sparse.csr_array((weights[part], (senders[part], column[part])), (wiring.shape[0], len(who)))
            came = (trains @ matrix).tocoo()
            found[came.row, came.col] += came.data
    return found


def _drives(run: Run) -> tuple[Any, ...]:
    return () if run.drive is None else run.drive if isinstance(run.drive, tuple) else (run.drive,)


def _currents(run: Run, who: np.ndarray, steps: int) -> np.ndarray:
    """Return the currents from outside, [steps, units]."""
    found = np.zeros((steps, len(who)))
    for part in _drives(run):
        if not isinstance(part, PoissonDrive | Arrivals):
            values = np.asarray(part.detach().cpu() if hasattr(part, "detach") else part, np.float64)
            found += np.broadcast_to(values, (steps, run.wiring.units))[:, who]
    return found


def _poisson(part: PoissonDrive, number: int, run: Run, who: np.ndarray, steps: int) -> np.ndarray:
    """Draw the counts again: the quantile of the Poisson law at the number of each step and unit."""
    key = np.uint64(integer(run.rng, "spiking", "poisson", number))
    rate, weight = (np.broadcast_to(np.asarray(x, float), run.wiring.units)[who] for x in (part.rate, part.weight))
    begun = 0 if run.before is None else run.before.step
    row = np.arange(begun, begun + steps, dtype=np.uint64)[:, None] << np.uint64(32)
    with np.errstate(over="ignore"):
        z = key + ((row | (who.astype(np.uint64) >> np.uint64(1))) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    half = np.where(who & 1, z >> np.uint64(32), z & np.uint64(0xFFFFFFFF))
    return weight * stats.poisson.ppf((half.astype(float) + 0.5) / 2.0**32, np.maximum(rate * run.dt, 1e-300))


def _checked(run: Run, units: Any) -> np.ndarray:
    who = np.arange(run.wiring.units) if units is None else np.atleast_1d(np.asarray(units))
    most = run.wiring.units - 1
    if who.dtype.kind not in "iu" or who.ndim != 1 or (len(who) and not 0 <= who.min() <= who.max() <= most):
        raise UserError("there is no such unit.", came=repr(units)[:60], expected=f"ids of 0 to {most:,}")
    return who.astype(np.int64)
