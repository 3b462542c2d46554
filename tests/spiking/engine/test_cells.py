"""Neurons with after-potentials and with conductance synapses: the module's steps where exact, its law where noisy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sparsefire as sf
from sparsefire.spiking import SRM0, Adaptation, Arrivals, CobaLIF, Escape, PoissonDrive, Spikes, check, simulate
from sparsefire.spiking.engine import _arrange

UNITS, STEPS, DT = 24, 400, 1e-3


def network(scale: float = 0.4):
    rng = np.random.default_rng(0)
    senders = rng.integers(0, UNITS, 6 * UNITS)
    return sf.Wiring.from_edges(senders, np.repeat(np.arange(UNITS), 6), scale * rng.normal(size=6 * UNITS))


def per_unit(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, UNITS, dtype=torch.float64)


def delivered(due, k, fired, wiring, delays, weights):
    arcs = fired[wiring.senders] > 0
    np.add.at(due, (k + delays[arcs], wiring.receivers[arcs]), weights[arcs])


@pytest.mark.parametrize("memory", ["last", "all"])
@pytest.mark.parametrize("refractory", [0.0, 3e-3])
def test_after_potentials_spike_for_spike_as_the_torch_module(memory, refractory):
    wiring, rng = network(), np.random.default_rng(1)
    neurons = SRM0(
        UNITS, tau=per_unit(10e-3, 30e-3), v_threshold=per_unit(0.8, 1.2), v_leak=per_unit(0.0, 0.2), dt=DT, r=1.3,
        after=per_unit(-1.5, -0.5), tau_after=per_unit(5e-3, 40e-3), memory=memory, refractory=refractory,
        stochastic=False,
    )  # fmt: skip
    delays, current = rng.integers(1, 9, wiring.arcs), rng.uniform(0, 5, (STEPS, UNITS))
    per_arrival = (1 - np.exp(-DT / neurons.tau.numpy())) * 1.3
    due, expected, state = np.zeros((STEPS + 9, UNITS)), np.zeros((STEPS, UNITS)), None
    for k in range(STEPS):
        spikes, state = neurons(torch.tensor(current[k] + due[k] / per_arrival)[None, None], state)
        expected[k] = spikes.numpy()[0, 0]
        delivered(due, k, expected[k], wiring, delays, wiring.weights)
    run = simulate(wiring, neurons, current, STEPS * DT, DT, delay=delays * DT)
    assert expected.sum() > 300
    assert np.array_equal(run.spikes.dense(DT), expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reset": "soft", "refractory": 3e-3},
        {"adaptation": Adaptation(tau=30e-3, step=0.3), "refractory": 1e-3, "v_i": -2.0},
    ],
)
def test_conductances_spike_for_spike_as_the_torch_module(options):
    wiring, rng = network(0.1), np.random.default_rng(1)
    neurons = CobaLIF(
        UNITS, tau=per_unit(10e-3, 30e-3), v_threshold=per_unit(0.8, 1.2), v_reset=per_unit(-0.2, 0.1), dt=DT,
        tau_e=per_unit(3e-3, 6e-3), tau_i=per_unit(5e-3, 12e-3), v_e=per_unit(3.0, 5.0), v_leak=0.1, **options,
    )  # fmt: skip
    delays, current = rng.integers(1, 9, wiring.arcs), rng.uniform(-0.1, 0.3, (STEPS, UNITS))
    due = np.zeros((STEPS + 9, 2, UNITS))  # what excites, and what inhibits
    due[:STEPS] = np.stack([np.maximum(current, 0), np.maximum(-current, 0)], 1)
    expected, state = np.zeros((STEPS, UNITS)), None
    for k in range(STEPS):
        spikes, state = neurons(torch.tensor(due[k])[None, None], state)
        expected[k] = spikes.detach().numpy()[0, 0]
        delivered(due[:, 0], k, expected[k], wiring, delays, np.maximum(wiring.weights, 0))
        delivered(due[:, 1], k, expected[k], wiring, delays, np.maximum(-wiring.weights, 0))
    run = simulate(wiring, neurons, current, STEPS * DT, DT, delay=delays * DT)
    assert expected.sum() > 250
    assert np.array_equal(run.spikes.dense(DT), expected)


def test_arrivals_of_one_step_do_not_cancel():
    none, neurons = sf.Wiring.from_edges([], [], units=2), CobaLIF(2, tau_e=5e-3, tau_i=5e-3, v_e=4.0, v_i=-1.0)
    both = Spikes([0.5e-3, 0.5e-3], [0, 1], 2, 0.01)
    run = simulate(none, neurons, Arrivals(both, [[0.3, -0.3], [9.0, 0.0]]), 0.01, DT)
    v = (0.3 * 4.0 - 0.3) / 1.6 * -np.expm1(-DT * 1.6 / 20e-3)
    assert run.replay([0]).v[0, 0] == pytest.approx(v, abs=1e-12)
    assert run.state.inner[:, 0] == pytest.approx([0.3 * np.exp(-9 / 5)] * 2)


def drives(scale: float):
    spikes = Spikes.sorted_from(np.random.default_rng(1).uniform(0, 0.5, 300), np.arange(300) % 4, 4, 0.5)
    weights = np.random.default_rng(2).normal(size=(UNITS, 4)) * 0.2
    changing = np.random.default_rng(3).uniform(-0.5, 2, (500, UNITS))
    return (
        0.2 * scale, changing * scale, Arrivals(spikes, weights), PoissonDrive(np.linspace(0, 600, UNITS), 0.1),
        PoissonDrive(500.0, np.linspace(-0.1, 0.1, UNITS)),
    )  # fmt: skip


SURE = {
    "last spike": SRM0(UNITS, stochastic=False, refractory=3e-3),
    "all spikes": SRM0(UNITS, stochastic=False, memory="all", after=-0.5),
    "conductances": CobaLIF(UNITS, refractory=2e-3),
    "conductances, soft and adaptive": CobaLIF(UNITS, reset="soft", adaptation=Adaptation(50e-3, 0.1)),
}
NOISE = Escape(rate=60.0, width=0.4)
NOISY = {
    "last spike": SRM0(UNITS, escape=NOISE, refractory=3e-3),
    "all spikes": SRM0(UNITS, escape=NOISE, memory="all", after=-0.5),
    "conductances": CobaLIF(UNITS, escape=NOISE, refractory=2e-3),
}


def scale_of(neurons) -> float:
    return 0.1 if isinstance(neurons, CobaLIF) else 1.0


@pytest.mark.parametrize("case", SURE)
@pytest.mark.parametrize("delay", [2e-3, "each"])
def test_deterministic_spikes_are_found_again(case, delay):
    wiring, neurons = network(), SURE[case]
    delay = DT * np.random.default_rng(4).integers(1, 8, wiring.arcs) if delay == "each" else delay
    run = simulate(wiring, neurons, drives(scale_of(neurons)), 0.5, DT, rng=7, delay=delay)
    seen = run.replay()
    assert len(run.times) > 100
    assert np.array_equal(seen.probability, run.spikes.counts_in(DT))
    assert np.array_equal(run.replay([3, 11]).v, seen.v[:, [3, 11]])


@pytest.mark.parametrize("case", NOISY)
def test_noisy_spikes_keep_to_the_law_that_is_followed_again(case):
    neurons = NOISY[case]
    run = simulate(network(), neurons, drives(scale_of(neurons)), 0.5, DT, rng=7, delay=2e-3)
    p, fired = run.replay().probability, run.spikes.counts_in(DT)
    assert fired.sum() > 200
    for weight in (1.0, p, np.arange(UNITS) % 2):
        assert abs((weight * (fired - p)).sum()) < 4 * np.sqrt((weight**2 * p * (1 - p)).sum())
    assert check(run).passed
    assert "time rescaling" in set(check(run).table["test"])


@pytest.mark.parametrize("dead", [0.0, 4e-3])
def test_the_last_spike_alone_makes_a_renewal_process(dead):
    units, dt, noise = 300, 1e-4, Escape(rate=100.0, width=0.3)
    neurons = SRM0(units, after=-1.0, tau_after=10e-3, escape=noise, refractory=dead)
    none = sf.Wiring.from_edges([], [], units=units)
    run = simulate(none, neurons, 0.9, 3.0, dt, rng=4, initial=0.9)
    k = np.arange(1, round(0.5 / dt) + 1)
    u = 0.9 - np.exp(-k * dt / 10e-3)
    chance = np.where(k > round(dead / dt), -np.expm1(-noise.rate * np.exp((u - 1) / noise.width) * dt), 0.0)
    survival = np.append(1.0, np.cumprod(1 - chance))
    law = -np.diff(survival)
    assert survival[-1] < 1e-9
    mean = (k * law).sum() * dt
    variance = (k**2 * law).sum() * dt**2 - mean**2
    trains = np.array([np.diff(train)[:20] for train in run.spikes.trains()])  # all have had as many by far
    for found, expected in ((trains.mean(axis=1), mean), (trains.var(axis=1, ddof=1), variance)):
        assert abs(found.mean() - expected) < 4 * found.std(ddof=1) / np.sqrt(units)


@pytest.mark.parametrize("case", NOISY)
def test_neither_workers_nor_blocks_matter(monkeypatch, case):
    neurons, runs = NOISY[case], []
    for block, workers in ((4096, 1), (8, 1), (6, 2)):
        monkeypatch.setattr(_arrange, "BLOCK", block)
        runs.append(simulate(network(), neurons, drives(scale_of(neurons)), 0.5, DT, rng=5, workers=workers))
    for run in runs[1:]:
        assert np.array_equal(run.times, runs[0].times)
        assert np.array_equal(run.units, runs[0].units)


@pytest.mark.parametrize("case", SURE)
def test_a_constant_current_is_the_same_current_in_every_step(case):
    constant = scale_of(SURE[case]) * np.linspace(-0.5, 3, UNITS)
    a = simulate(network(), SURE[case], constant, 0.3, DT)
    b = simulate(network(), SURE[case], np.tile(constant, (300, 1)), 0.3, DT)
    assert len(a.times) > 50
    assert np.array_equal(a.times, b.times)
    assert np.array_equal(a.units, b.units)
