"""A network that goes on from where it was: pieces are one whole, spike for spike."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
import torch

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import (
    IF,
    LIF,
    SRM0,
    STDP,
    Adaptation,
    Arrivals,
    CobaLIF,
    CubaLIF,
    Escape,
    PoissonDrive,
    Spikes,
    simulate,
)
from sparsefire.spiking.engine import _arrange

UNITS, DT, STEPS = 24, 1e-3, 300
CUTS = (0, 101, 104, 250, STEPS)  # one piece is shorter than most delays
NOISE = Escape(rate=60.0, width=0.4)
CELLS = {
    "plain": LIF(UNITS),
    "refractory, adaptive": LIF(UNITS, refractory=4e-3, adaptation=Adaptation(50e-3, 0.2)),
    "soft, noisy": LIF(UNITS, reset="soft", escape=NOISE, adaptation=Adaptation(50e-3, 0.1)),
    "synapses": CubaLIF(UNITS, r=2.0, refractory=3e-3),
    "no leak": IF(UNITS, r=25.0, escape=Escape(rate=60.0, width=0.4, form="linear")),
    "last spike": SRM0(UNITS, escape=NOISE, refractory=3e-3),
    "all spikes": SRM0(UNITS, memory="all", stochastic=False),
    "conductances": CobaLIF(UNITS, refractory=3e-3, escape=NOISE),
}


def network():
    rng = np.random.default_rng(0)
    senders, receivers = rng.integers(0, UNITS, 150), rng.integers(0, UNITS, 150)
    return sf.Wiring.from_edges(senders, receivers, 0.4 * rng.normal(size=150), units=UNITS)


def drive(begin: int, end: int, scale: float):
    """The input of some steps of the whole."""
    rng = np.random.default_rng(1)
    changing = scale * rng.uniform(0, 2.5, (STEPS, UNITS))
    when, who = np.sort(rng.integers(0, STEPS, 400)), rng.integers(0, 5, 400)
    kept = (when >= begin) & (when < end)
    spikes = Spikes.sorted_from((when[kept] - begin + 0.5) * DT, who[kept], 5, (end - begin) * DT)
    arrivals = Arrivals(spikes, 0.3 * np.random.default_rng(2).normal(size=(UNITS, 5)))
    return changing[begin:end], arrivals, PoissonDrive(300.0, 0.1), PoissonDrive(np.linspace(0, 200, UNITS), -0.1)


def pieces(neurons, wiring, delay):
    runs, scale = [], 0.05 if isinstance(neurons, CobaLIF) else 1.0
    for begin, end in pairwise(CUTS):
        state, given = runs[-1].state if runs else None, drive(begin, end, scale)
        runs.append(simulate(wiring, neurons, given, (end - begin) * DT, DT, rng=5, delay=delay, state=state))
    whole = simulate(wiring, neurons, drive(0, STEPS, scale), STEPS * DT, DT, rng=5, delay=delay)
    return whole, runs


@pytest.mark.parametrize("delay", [DT, 5e-3, "each", "long"])
@pytest.mark.parametrize("case", CELLS)
def test_pieces_are_one_whole(case, delay):
    wiring = network()
    if isinstance(delay, str):
        delay = DT * np.random.default_rng(3).integers(1, 9 if delay == "each" else 180, wiring.arcs)
    whole, runs = pieces(CELLS[case], wiring, delay)
    assert len(whole.times) > 200
    assert np.array_equal(np.concatenate([run.spikes.counts_in(DT) for run in runs]), whole.spikes.counts_in(DT))
    assert all(run.times.max() <= run.duration for run in runs)
    for name in ("v", "inner", "raised", "left", "refractory", "sent", "senders", "step"):
        assert np.array_equal(getattr(runs[-1].state, name), getattr(whole.state, name))
    seen = whole.replay()
    for name in ("v", "probability"):
        parts = np.concatenate([getattr(run.replay(), name) for run in runs])
        assert np.allclose(parts, getattr(seen, name), rtol=0, atol=1e-9)


def test_neither_workers_nor_blocks_matter_for_pieces(monkeypatch):
    wiring, found = network(), []
    delay = DT * np.random.default_rng(3).integers(2, 20, wiring.arcs)
    for block, workers in ((4096, 1), (8, 2)):
        monkeypatch.setattr(_arrange, "BLOCK", block)
        state, counts = None, []
        for _ in range(3):
            run = simulate(
                wiring, CELLS["conductances"], PoissonDrive(500.0, 0.2), 0.05, DT, delay=delay, state=state,
                workers=workers,
            )  # fmt: skip
            state = run.state
            counts.append(run.spikes.counts_in(DT))
        found.append(np.concatenate(counts))
    assert found[0].sum() > 100
    assert np.array_equal(found[0], found[1])


def test_noise_is_counted_on_and_another_rng_draws_other_numbers():
    none, neurons = sf.Wiring.from_edges([], [], units=200), LIF(200, escape=Escape(rate=100.0, width=2.0))
    first = simulate(none, neurons, duration=0.2, dt=DT, rng=1)
    again = simulate(none, neurons, duration=0.2, dt=DT, rng=1, state=first.state)
    other = simulate(none, neurons, duration=0.2, dt=DT, rng=2, state=first.state)
    counts = [run.spikes.counts_in(DT) for run in (first, again, other)]
    assert again.state.step == other.state.step == 400
    for i, j in ((0, 1), (1, 2)):  # without the first 100 ms: the hazard that was left is that of the state
        one, two = counts[i][100:].ravel(), counts[j][100:].ravel()
        assert one.sum() > 500
        assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(len(one))


def test_a_rule_learns_in_pieces_as_at_once():
    wiring, rule = network(), STDP()
    whole, runs = pieces(CELLS["plain"], wiring, 5e-3)
    total, traces = np.zeros(wiring.arcs), None
    for run in runs:
        change, traces = rule.run(run.spikes, run.spikes, wiring, traces)
        assert change.shape == (wiring.arcs,)
        total += change
    at_once, after = rule.run(whole.spikes, whole.spikes, wiring)
    assert np.abs(at_once).max() > 0.05
    assert np.allclose(total, at_once, rtol=0, atol=1e-9)
    assert np.allclose(traces.pre, after.pre, rtol=0, atol=1e-9)


def test_spikes_in_flight_arrive_with_the_new_weights():
    pair, neurons = sf.Wiring.from_edges([0], [1], [0.1]), LIF(2)
    first = simulate(pair, neurons, duration=5e-3, dt=DT, delay=4e-3, initial=[1.5, 0.0])  # fires in step 0
    assert first.units.tolist() == [0]
    late = simulate(pair, neurons, duration=3e-3, dt=DT, delay=10e-3, initial=[1.5, 0.0])
    assert late.state.sent.tolist() == [-3]
    for weight, fired in ((0.1, 0), (1.5, 1)):
        run = simulate(pair, neurons, duration=0.01, dt=DT, delay=10e-3, weights=weight, state=late.state)
        assert run.units.tolist() == [1] * fired
        assert run.times.tolist() == pytest.approx([8e-3] * fired)
    assert late.state.sent.tolist() == [-3]  # a state can be gone on from more than once


def test_a_network_that_has_become_silent_may_go_on():
    neurons = LIF(UNITS)
    run = simulate(network(), neurons, duration=0.5, dt=DT, initial=1.5)
    assert len(run.times)
    assert len(simulate(network(), neurons, duration=0.5, dt=DT, state=run.state).times) == 0


def test_a_state_is_frozen_and_light():
    run = simulate(network(), LIF(UNITS), 2.0, 0.2, DT, delay=3e-3)
    with pytest.raises(FrozenInstanceError):
        run.state.step = 0
    with pytest.raises(ValueError, match="read-only"):
        run.state.v[0] = 1.0
    assert len(run.state.sent) == run.spikes.counts_in(DT)[-3:].sum()
    assert run.before is None


BAD = {
    "no state": (dict(state=np.zeros(UNITS)), "no state of a network"),
    "other neurons": (dict(neurons=CubaLIF(UNITS)), "neurons"),
    "more neurons": (dict(neurons=LIF(30), wiring=sf.Wiring.from_edges([0], [1], units=30)), "units"),
    "noise": (dict(neurons=LIF(UNITS, escape=Escape())), "noise"),
    "adaptation": (dict(neurons=LIF(UNITS, adaptation=Adaptation(0.1, 0.1))), "adaptation"),
    "another delay": (dict(delay=2e-3), "longest delay"),
    "another step": (dict(dt=5e-4, delay=1.5e-3), "time step"),
    "potentials too": (dict(initial=0.0), "initial"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_state_of_another_network(case):
    change, words = BAD[case]
    state = simulate(network(), LIF(UNITS), 2.0, 0.01, DT, delay=3e-3).state
    given = {
        "wiring": network(), "neurons": LIF(UNITS), "drive": 2.0, "duration": 0.01, "dt": DT, "delay": 3e-3,
        "state": state, **change,
    }  # fmt: skip
    with pytest.raises(UserError, match=words):
        simulate(**given)


def test_neurons_learned_in_between_are_the_same_network():
    neurons = LIF(UNITS, tau=torch.nn.Parameter(torch.full((UNITS,), 20e-3)))
    state = simulate(network(), neurons, 2.0, 0.05, DT).state
    with torch.no_grad():
        neurons.tau.mul_(1.1)
    assert len(simulate(network(), neurons, 2.0, 0.05, DT, state=state).times)
