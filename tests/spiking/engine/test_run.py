"""Units followed again from recorded spikes, by code that shares nothing with the kernels."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import IF, LIF, Adaptation, Arrivals, CubaLIF, Escape, PoissonDrive, Spikes, simulate

UNITS, DT = 20, 1e-3


def network():
    rng = np.random.default_rng(0)
    return sf.Wiring.from_edges(
        rng.integers(0, UNITS, 100), rng.integers(0, UNITS, 100), 0.3 * rng.normal(size=100), units=UNITS
    )


def drives():
    spikes = Spikes.sorted_from(np.random.default_rng(1).uniform(0, 0.5, 300), np.arange(300) % 4, 4, 0.5)
    weights = np.random.default_rng(2).normal(size=(UNITS, 4)) * 0.2
    changing = np.random.default_rng(3).uniform(0, 2, (500, UNITS))
    return (
        1.2, changing, Arrivals(spikes, weights), PoissonDrive(np.linspace(0, 800, UNITS), 0.1),
        PoissonDrive(500.0, np.linspace(-0.1, 0.1, UNITS)),
    )  # fmt: skip


CELLS = {
    "hard": LIF(UNITS, refractory=3e-3),
    "soft and adaptive": LIF(UNITS, reset="soft", adaptation=Adaptation(50e-3, 0.1), discretisation="euler"),
    "synapses": CubaLIF(UNITS, w_in=0.7, refractory=2e-3),
    "no leak": IF(UNITS, r=30.0),
}


@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("delay", [2e-3, "each"])
def test_deterministic_spikes_are_found_again(case, delay):
    wiring = network()
    delay = DT * np.random.default_rng(4).integers(1, 8, wiring.arcs) if delay == "each" else delay
    run = simulate(wiring, CELLS[case], drives(), 0.5, DT, rng=7, delay=delay)
    seen = run.replay()
    assert len(run.times) > 100
    assert np.array_equal(seen.probability, run.spikes.counts_in(DT))
    some = run.replay([3, 11])
    assert np.array_equal(some.v, seen.v[:, [3, 11]])


@pytest.mark.parametrize("form", ["exponential", "linear", "erf"])
def test_as_many_noisy_spikes_as_their_probabilities_say(form):
    neurons = LIF(UNITS, refractory=2e-3, escape=Escape(rate=60.0, width=0.5, form=form), v_leak=0.5)
    run = simulate(network(), neurons, drives(), 0.5, DT, rng=7, delay=2e-3)
    p, fired = run.replay().probability, run.spikes.counts_in(DT)
    assert ((fired > 0) <= (p > 0)).all()
    assert fired.sum() > 200
    # spikes minus their chances given the past are a martingale, also weighted by anything known before
    for weight in (1.0, p, np.arange(UNITS) % 2):
        spread = np.sqrt((weight**2 * p * (1 - p)).sum())
        assert abs((weight * (fired - p)).sum()) < 4 * spread


def test_a_run_speaks_as_spikes_do():
    run = simulate(network(), LIF(UNITS), 2.0, 0.2, DT)
    assert run.times is run.spikes.times
    assert run.units is run.spikes.units
    assert np.array_equal(run.firing_rates, run.spikes.firing_rates)
    assert run.duration == pytest.approx(0.2)
    assert float(run.delay) == DT
    assert "Spikes(" in repr(run)


@pytest.mark.parametrize("units", [[UNITS], [-1], [0.5], "all"])
def test_a_unit_that_does_not_exist(units):
    run = simulate(network(), LIF(UNITS), 2.0, 0.01, DT)
    with pytest.raises(UserError, match="no such unit"):
        run.replay(units)


def test_a_unit_asked_for_twice():
    run = simulate(network(), LIF(UNITS), drives(), 0.5, DT)
    once, twice = run.replay([3, 11]), run.replay([11, 3, 11])
    assert np.array_equal(twice.v, once.v[:, [1, 0, 1]])
    assert np.array_equal(twice.probability, once.probability[:, [1, 0, 1]])


def test_memory_of_a_replay_goes_with_the_units_asked_for():
    units = 20_000
    chain = sf.Wiring.from_edges(np.arange(units - 1), np.arange(1, units), units=units)
    outside = Arrivals(Spikes([0.1], [7], units, 1.0), 0.1)
    run = simulate(chain, LIF(units, dt=DT), (np.eye(1, units, 0).ravel() * 2.0, outside), 1.0, DT, delay=3e-3)
    assert len(run.times) > 10
    tracemalloc.start()
    seen = run.replay([0, 1])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.probability[:, 0].sum() == (run.units == 0).sum()
    assert most < 20e6  # steps times all units would be 160 MB
