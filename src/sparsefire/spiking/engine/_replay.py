"""Units followed again in NumPy from recorded spikes: the independent second opinion on the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse, special, stats

from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.spiking.engine.drives import Arrivals, PoissonDrive
from sparsefire.spiking.engine.run import Replay, Run
from sparsefire.spiking.spikes import Spikes
from sparsefire.wiring.graph import Wiring


def replayed(run: Run, units: Any) -> Replay:
    """Return potentials and probabilities of some units."""
    who = _checked(run, units)
    each, back = np.unique(who, return_inverse=True)
    if len(each) < len(who):  # asked for more than once
        once = replayed(run, each)
        return Replay(once.v[:, back], once.probability[:, back])
    steps, neurons = round(run.duration / run.dt), run.neurons

    def per_unit(name: str) -> np.ndarray:
        value = np.asarray(getattr(neurons, name).detach().cpu(), np.float64)
        return np.broadcast_to(value, neurons.shape).ravel()[who]

    fired = _fired(run.spikes, who, run.dt, steps)
    current, jumps = _external(run, who, steps)
    arrived = _from_others(run, who, steps) + jumps

    def left_of(name: str) -> np.ndarray:
        tau = per_unit(name)
        return np.exp(-run.dt / tau) if neurons.discretisation == "exponential" else 1 - run.dt / tau

    if hasattr(neurons, "tau_syn"):
        a, alpha, synaptic = left_of("tau_mem"), left_of("tau_syn"), np.zeros(len(who))
        for k in range(steps):
            synaptic = alpha * synaptic + (1 - alpha) * per_unit("w_in") * current[k] + arrived[k]
            current[k] = synaptic
        pull = (1 - a) * (per_unit("v_leak") + per_unit("r") * current)
    elif hasattr(neurons, "tau"):
        a = left_of("tau")
        pull = (1 - a) * (per_unit("v_leak") + per_unit("r") * current) + arrived
    else:
        a, pull = np.ones(len(who)), run.dt * per_unit("r") * current + arrived
    threshold, reset = per_unit("v_threshold"), per_unit("v_reset")
    rests, adaptation = round(neurons.refractory / run.dt), neurons.adaptation
    escape = neurons.escape if neurons.escape is not None and neurons.stochastic else None

    v, raised, resting = run.initial[who].copy(), np.zeros(len(who)), np.zeros(len(who), int)
    seen, chance = np.empty((steps, len(who))), np.empty((steps, len(who)))
    for k in range(steps):
        free = resting == 0
        v = np.where(free, a * v + pull[k], v)
        seen[k] = v
        chance[k] = free * _probability(v - threshold - raised, escape, run.dt)
        v = np.where(fired[k], reset if neurons.reset == "hard" else v - threshold - raised, v)
        resting = np.where(fired[k], rests, np.maximum(resting - 1, 0))
        if adaptation is not None:
            raised = raised * np.exp(-run.dt / adaptation.tau) + adaptation.step * fired[k]
    return Replay(seen, chance)


def _probability(distance: np.ndarray, escape: Any, dt: float) -> np.ndarray:
    if escape is None:
        return (distance > 0).astype(float)
    x = distance / escape.width
    shapes = {"exponential": lambda: np.exp(np.minimum(x, 60.0)), "linear": lambda: np.maximum(x, 0.0)}
    return -np.expm1(-escape.rate * dt * shapes.get(escape.form, lambda: 1 + special.erf(x))())


def _from_others(run: Run, who: np.ndarray, steps: int) -> np.ndarray:
    """Return the sum of weights that arrives in each step, [steps, units]."""
    delays = np.broadcast_to(run.delay / run.dt, run.wiring.arcs)
    return _delivered(run.spikes, run.wiring, run.weights, delays, who, run.dt, steps)


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
    spikes: Spikes, wiring: Wiring, weights: np.ndarray, delays: np.ndarray, who: np.ndarray, dt: float, steps: int
) -> np.ndarray:
    """Return what arrives; memory goes with the spikes, the arcs into these units and the result."""
    when = _steps_of(spikes, dt)
    early = when < steps
    trains = sparse.csr_array(
        (np.ones(int(early.sum())), (when[early], spikes.units[early])), shape=(steps, spikes.n_units)
    )
    place = np.full(wiring.shape[1], -1)
    place[who] = np.arange(len(who))
    arcs = np.flatnonzero((place >= 0)[wiring.receivers])
    senders, column = np.searchsorted(wiring.starts, arcs, side="right") - 1, place[wiring.receivers[arcs]]
    weights, delays = weights[arcs], np.rint(delays[arcs]).astype(np.int64)
    found = np.zeros((steps, len(who)))
    for late in np.unique(delays[delays < steps]):
        part = delays == late
        matrix = sparse.csr_array((weights[part], (senders[part], column[part])), shape=(spikes.n_units, len(who)))
        sent = (trains[: steps - late] @ matrix).tocoo()
        found[sent.row + late, sent.col] += sent.data
    return found


def _external(run: Run, who: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return currents and jumps from outside, [steps, units] each."""
    current, jumps, number = np.zeros((steps, len(who))), np.zeros((steps, len(who))), 0
    parts = () if run.drive is None else run.drive if isinstance(run.drive, tuple) else (run.drive,)
    for part in parts:
        if isinstance(part, PoissonDrive):
            jumps += _poisson(part, number, run, who, steps)
            number += 1
        elif isinstance(part, Arrivals):
            at_once = np.zeros(part.wiring.arcs)
            jumps += _delivered(part.spikes, part.wiring, part.wiring.weights, at_once, who, run.dt, steps)
        else:
            values = np.asarray(part.detach().cpu() if hasattr(part, "detach") else part, np.float64)
            current += np.broadcast_to(values, (steps, run.wiring.units))[:, who]
    return current, jumps


def _poisson(part: PoissonDrive, number: int, run: Run, who: np.ndarray, steps: int) -> np.ndarray:
    """Draw the counts again: the quantile of the Poisson law at the number of each step and unit."""
    key = np.uint64(integer(run.rng, "spiking", "poisson", number))
    rate, weight = (np.broadcast_to(np.asarray(x, float), run.wiring.units)[who] for x in (part.rate, part.weight))
    row = np.arange(steps, dtype=np.uint64)[:, None] << np.uint64(32)
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
