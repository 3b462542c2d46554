"""The event-driven simulator: its steps are those of the torch modules, and who computes them does not matter."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import IF, LIF, Adaptation, Arrivals, CobaLIF, CubaLIF, Escape, PoissonDrive, Spikes, simulate
from sparsefire.spiking.engine import _arrange

UNITS, STEPS, DT = 24, 400, 1e-3


def network(units: int = UNITS, fan_in: int = 6, scale: float = 0.4, seed: int = 0):
    rng = np.random.default_rng(seed)
    senders = rng.integers(0, units, units * fan_in)
    return sf.Wiring.from_edges(senders, np.repeat(np.arange(units), fan_in), scale * rng.normal(size=units * fan_in))


def per_unit(low: float, high: float, units: int = UNITS) -> torch.Tensor:
    return torch.linspace(low, high, units, dtype=torch.float64)


def clocked(wiring, neurons, current, delays, per_arrival):
    """Unroll the network by hand: the module one step at a time, arrivals as current."""
    steps, units = current.shape
    due, found, state = np.zeros((steps + delays.max() + 1, units)), np.zeros((steps, units)), None
    for k in range(steps):
        given = torch.tensor(current[k] + due[k] / per_arrival)[None, None]
        spikes, state = neurons(given, state)
        found[k] = spikes.detach().numpy()[0, 0]
        fired = found[k][wiring.senders] > 0
        np.add.at(due, (k + delays[fired], wiring.receivers[fired]), wiring.weights[fired])
    return found


def same(a, b) -> bool:
    return np.array_equal(a.times, b.times) and np.array_equal(a.units, b.units)


def left(neurons, name: str):
    tau = getattr(neurons, name).numpy()
    return np.exp(-DT / tau) if neurons.discretisation == "exponential" else 1 - DT / tau


CASES = {
    "plain": {},
    "soft, refractory": {"reset": "soft", "refractory": 3e-3},
    "euler, adaptive": {"discretisation": "euler", "adaptation": Adaptation(tau=30e-3, step=0.3), "refractory": 1e-3},
    "adaptive, soft": {"adaptation": Adaptation(tau=30e-3, step=0.3), "reset": "soft"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_spike_for_spike_as_the_torch_module(kind, case):
    wiring, options, rng = network(), dict(CASES[case]), np.random.default_rng(1)
    common = {"v_threshold": per_unit(0.8, 1.2), "v_reset": per_unit(-0.2, 0.1), "dt": DT}
    if kind == "IF":
        options.pop("discretisation", None)
        neurons = IF(UNITS, r=80.0, **options, **common)
        per_arrival = DT * neurons.r.numpy()
    elif kind == "LIF":
        neurons = LIF(UNITS, tau=per_unit(10e-3, 30e-3), v_leak=per_unit(0, 0.2), r=1.3, **options, **common)
        per_arrival = (1 - left(neurons, "tau")) * neurons.r.numpy()
    else:
        neurons = CubaLIF(UNITS, tau_syn=4e-3, tau_mem=per_unit(10e-3, 30e-3), r=1.3, w_in=1.5, **options, **common)
        per_arrival = (1 - left(neurons, "tau_syn")) * 1.5
    delays = rng.integers(1, 9, wiring.arcs)
    current = rng.uniform(0, 5, (STEPS, UNITS))
    expected = clocked(wiring, neurons, current, delays, per_arrival)
    run = simulate(wiring, neurons, current, STEPS * DT, DT, delay=delays * DT)
    assert expected.sum() > 300
    assert np.array_equal(run.spikes.dense(DT), expected)


def test_a_constant_current_is_the_same_current_in_every_step():
    wiring = network()
    for neurons in (LIF(UNITS), CubaLIF(UNITS), IF(UNITS, r=30.0)):
        constant = np.linspace(0.5, 3, UNITS)
        a = simulate(wiring, neurons, constant, 0.3, DT)
        b = simulate(wiring, neurons, np.tile(constant, (300, 1)), 0.3, DT)
        assert len(a.times) > 50
        assert same(a, b)


@pytest.mark.parametrize("delay", [DT, 5e-3, "each"])
def test_neither_workers_nor_blocks_matter(monkeypatch, delay):
    wiring = network(units=50)
    drive = (PoissonDrive(per_unit(200, 900, 50), 0.3), PoissonDrive(300.0, -0.2), 0.2)
    neurons = LIF(50, escape=Escape(), refractory=2e-3)
    if delay == "each":
        delay = DT * np.random.default_rng(0).integers(2, 9, wiring.arcs)
    runs = []
    for block, workers in ((4096, 1), (16, 1), (16, 2), (8, 3)):
        monkeypatch.setattr(_arrange, "BLOCK", block)
        runs.append(simulate(wiring, neurons, drive, 0.5, DT, rng=5, delay=delay, workers=workers))
    assert len(runs[0].times) > 300
    for run in runs[1:]:
        assert same(run, runs[0])
    other = simulate(wiring, neurons, drive, 0.5, DT, rng=6, delay=delay)
    assert not same(other, runs[0])


def test_the_names_of_units_do_not_matter():
    rng = np.random.default_rng(2)
    senders, receivers = rng.integers(0, UNITS, 150), rng.integers(0, UNITS, 150)
    weights = rng.integers(-8, 9, 150) / 16  # sums of these are exact in any order
    current, order = rng.integers(0, 64, UNITS) / 16, rng.permutation(UNITS)
    neurons = LIF(UNITS, tau=20e-3, refractory=2e-3)
    wiring = sf.Wiring.from_edges(senders, receivers, weights, units=UNITS)
    one = simulate(wiring, neurons, current, 0.5, DT, delay=3e-3)
    moved = np.empty(UNITS)
    moved[order] = current
    wiring = sf.Wiring.from_edges(order[senders], order[receivers], weights, units=UNITS)
    two = simulate(wiring, neurons, moved, 0.5, DT, delay=3e-3)
    assert len(one.times) > 300
    assert np.array_equal(one.spikes.counts_in(DT), two.spikes.counts_in(DT)[:, order])


def test_weights_delays_and_arrivals_by_hand():
    wiring = sf.Wiring.from_edges([0, 0, 1], [1, 2, 2], [0.6, 0.3, 0.5])
    neurons = LIF(3, tau=1e9, v_threshold=1.0)  # hardly a leak
    drive = Arrivals(Spikes([0.001, 0.004], [0, 0], 1, 0.02), [[1.5], [0.0], [0.0]])
    run = simulate(wiring, neurons, drive, 0.02, DT, delay=[2e-3, 3e-3, 5e-3])
    # unit 0 fires in steps 0 and 3; unit 1 has 1.2 in step 5; unit 2 has 0.3 in 3, 0.6 in 6, 1.1 in 10
    assert run.units.tolist() == [0, 0, 1, 2]
    assert run.times.tolist() == pytest.approx([0.001, 0.004, 0.006, 0.011])
    doubled = simulate(wiring, neurons, drive, 0.02, DT, delay=DT, weights=2 * wiring.weights)
    assert doubled.units.tolist() == [0, 1, 2, 0, 1, 2]
    assert np.array_equal(doubled.weights, 2 * wiring.weights)


def test_arrivals_in_their_three_forms():
    spikes = Spikes.sorted_from(np.random.default_rng(0).uniform(0, 0.3, 200), np.arange(200) % 3, 3, 0.3)
    neurons, none = LIF(3), sf.Wiring.from_edges([], [], units=3)
    one_to_one = sf.Wiring.from_edges([0, 1, 2], [0, 1, 2], [0.6] * 3, shape=(3, 3))
    forms = (0.6, [0.6, 0.6, 0.6], np.diag([0.6] * 3), one_to_one)
    found = [simulate(none, neurons, Arrivals(spikes, form), 0.3, DT) for form in forms]
    assert len(found[0].times) > 20
    assert all(np.array_equal(run.times, found[0].times) for run in found)


def test_progress_ends_at_one():
    seen = []
    simulate(network(), LIF(UNITS), 2.0, 0.2, DT, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_is_heard_on_the_way(monkeypatch, workers):
    monkeypatch.setattr(_arrange, "BLOCK", 8)
    seen = []

    def stop(share: float) -> None:
        seen.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(network(), LIF(UNITS), 2.0, 2000.0, DT, workers=workers, delay=0.5, progress=stop)
    assert len(seen) == 1
    assert seen[0] < 0.5


def test_a_changed_dt_stands_in_place_of_the_modules_own():
    none = sf.Wiring.from_edges([], [], units=1)
    for dt in (1e-3, 1e-4):
        run = simulate(none, LIF(1, tau=20e-3, dt=2e-3), 2.0, 0.1, dt)
        assert run.times[0] == pytest.approx(20e-3 * np.log(2), abs=dt)


BAD = {
    "no input": (dict(drive=None), "no input"),
    "a Poisson drive of rate 0": (dict(drive=PoissonDrive(0.0, 1.0)), "no input"),
    "arrivals that never come": (dict(drive=Arrivals(Spikes([], [], UNITS, 1.0), 1.0)), "no input"),
    "a Poisson drive that inhibits": (dict(drive=PoissonDrive(100.0, -0.1)), "no input"),
    "arrivals of no weight": (dict(drive=Arrivals(Spikes([0.001], [0], UNITS, 1.0), 0.0)), "no input"),
    "arrivals of sources that are silent": (
        dict(drive=Arrivals(Spikes([0.001], [0], 2, 1.0), np.tile([-1.0, 1.0], (UNITS, 1)))),
        "no input",
    ),
    "a current that inhibits": (dict(drive=np.full((10, UNITS), -1.0)), "no input"),
    "noise that is never above threshold": (
        dict(neurons=LIF(UNITS, escape=Escape(form="linear")), drive=None),
        "no input",
    ),
    "inhibition of synapses": (dict(neurons=CobaLIF(UNITS), drive=PoissonDrive(100.0, -0.1)), "no input"),
    "excitation that does not reach": (dict(neurons=CobaLIF(UNITS, v_e=0.9), drive=0.5), "no input"),
    "a drive that leads nowhere": (dict(drive=-1.0), "no input"),
    "a drive that ends at the threshold": (dict(drive=np.linspace(0, 1.0, UNITS)), "no input"),
    "synapses that lead nowhere": (dict(neurons=CubaLIF(UNITS, r=2.0), drive=0.4), "no input"),
    "no leak, and down": (dict(neurons=IF(UNITS), drive=-1.0), "no input"),
    "a refractory time lost in a step": (dict(neurons=LIF(UNITS, dt=1e-4, refractory=4e-4)), "half a step"),
    "an adaptation lost in a step": (
        dict(neurons=LIF(UNITS, dt=1e-4, adaptation=Adaptation(5e-4, 0.1))),
        "longer than a time constant",
    ),
    "a delay between steps": (dict(delay=1.5e-3), "number of time steps"),
    "no delay": (dict(delay=0.0), "number of time steps"),
    "delays of other arcs": (dict(delay=[1e-3, 2e-3]), "delays"),
    "a drive of another shape": (dict(drive=np.ones(3)), "shape"),
    "a drive of other steps": (dict(drive=np.ones((3, UNITS))), "shape"),
    "a drive that is not finite": (dict(drive=np.nan), "finite"),
    "no duration": (dict(duration=0.0), "duration"),
    "half a step": (dict(duration=1.5e-3), "duration"),
    "weights that are not finite": (dict(weights=np.nan), "finite"),
    "weights of other arcs": (dict(weights=[1.0, 2.0]), "weights"),
    "a step without length": (dict(dt=0.0), "step"),
    "a step longer than tau": (dict(dt=0.5, duration=1.0, delay=None), "longer than a time constant"),
    "potentials of other units": (dict(initial=[0.0, 1.0]), "initial"),
    "too many arrivals": (dict(drive=PoissonDrive(1e9, 1.0)), "too many"),
    "rates of other units": (dict(drive=PoissonDrive([1.0, 2.0], 1.0)), "rate"),
    "two kinds of arrivals": (dict(drive=(Arrivals(Spikes([], [], UNITS, 1.0), 1.0),) * 2), "several"),
    "arrivals elsewhere": (dict(drive=Arrivals(Spikes([0.1], [0], 2, 1.0), np.ones((3, 2)))), "another number"),
    "no workers": (dict(workers=0), "workers"),
    "a bipartite wiring": (dict(wiring=sf.Wiring.from_edges([0], [0], shape=(UNITS, UNITS))), "square"),
    "no wiring": (dict(wiring=np.ones((UNITS, UNITS))), "wiring"),
    "other neurons": (dict(neurons=LIF(3)), "as many neurons"),
    "no neurons": (dict(neurons=torch.nn.ReLU()), "no such neurons"),
    "a word": (dict(drive="strong"), "numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, words = BAD[case]
    given = {"wiring": network(), "neurons": LIF(UNITS), "drive": 2.0, "duration": 0.01, "dt": DT, **change}
    with pytest.raises(UserError, match=words):
        simulate(**given)


def test_noise_or_where_they_rest_or_begin_is_input_enough():
    wiring = network()
    assert len(simulate(wiring, LIF(UNITS, escape=Escape(rate=1e4, width=1.0)), duration=0.05, dt=DT).times)
    assert len(simulate(wiring, LIF(UNITS, v_leak=2.0), duration=0.05, dt=DT).times)
    assert len(simulate(wiring, LIF(UNITS), duration=0.05, dt=DT, initial=1.5).times) >= UNITS
    assert len(simulate(wiring, IF(UNITS, r=30.0), 1.0, duration=0.05, dt=DT).times)
    falling = CubaLIF(UNITS, tau_syn=50e-3, tau_mem=5e-3, v_leak=1.5)  # above threshold before the current pulls down
    assert len(simulate(wiring, falling, -1.0, duration=0.05, dt=DT, initial=0.95).times)
    linear = Escape(form="linear", rate=1e4)
    assert len(simulate(wiring, LIF(UNITS, v_leak=1.1, escape=linear), duration=0.05, dt=DT).times)
    turned = CubaLIF(UNITS, r=-5.0)  # what inhibits others excites these
    assert len(simulate(wiring, turned, PoissonDrive(1000.0, -1.0), duration=0.05, dt=DT).times)
    assert len(simulate(wiring, CobaLIF(UNITS, v_i=1.5), PoissonDrive(1e3, -9.0), duration=0.05, dt=DT).times)


def test_delays_of_no_arcs_are_none():
    none, spikes = sf.Wiring.from_edges([], [], units=1), Spikes([0.003, 0.008], [0, 0], 1, 0.02)
    for delay in (np.zeros(0), None, DT):
        run = simulate(none, LIF(1), Arrivals(spikes, 2.0), 0.02, DT, delay=delay)
        assert run.times.tolist() == pytest.approx([0.003, 0.008])


def test_delays_beyond_the_end_take_no_memory_and_never_arrive():
    pair = sf.Wiring.from_edges([0, 0], [1, 2], [5.0, 5.0])
    for delay in (1e6, [1e6, 2e-3]):
        tracemalloc.start()
        run = simulate(pair, LIF(3), [2.0, 0.0, 0.0], 0.1, DT, delay=delay)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 50e6
        assert np.array_equal(run.delay, delay)
        assert (run.units == 0).sum() == 7
        assert (run.units == 1).sum() == 0
        assert (run.units == 2).sum() == (0 if delay == 1e6 else 7)
        assert np.array_equal(run.replay().probability, run.spikes.counts_in(DT))


def test_a_time_constant_of_one_step_in_single_precision():
    cell = LIF(1, tau=torch.tensor(5e-3), dt=5e-3)
    assert len(simulate(sf.Wiring.from_edges([], [], units=1), cell, 2.0, 0.1, 5e-3).times) > 5
