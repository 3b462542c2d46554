"""Arrivals and Poisson drives: what they take, and the tables of counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import Arrivals, PoissonDrive, Spikes
from sparsefire.spiking.engine.drives import poisson_tables

TWO = Spikes([0.1, 0.2], [0, 1], duration=1.0)


def test_tables_are_the_law_in_units_of_2_to_the_minus_32():
    means = np.array([0.0, 1e-6, 0.3, 7.0, 900.0, 10_000.0])
    tables, begins, least, guides = poisson_tables(means)
    for mean, table, first, guide in zip(means, np.split(tables, begins[1:]), least, guides, strict=True):
        assert table[-1] == 2**32  # a number below that always finds its count
        assert first == 0 or stats.poisson.cdf(first - 1, mean) < 2.0**-33  # what is left out rounds to 0
        mass = np.diff(table.astype(float), prepend=0.0) / 2.0**32
        assert np.abs(mass - stats.poisson.pmf(first + np.arange(len(table)), mean)).max() < 2.0**-31
        for byte in (0, 1, 77, 255):
            assert guide[byte] == (table <= np.uint64(byte << 24)).sum()


def test_many_laws_take_no_wide_tables():
    tables = poisson_tables(np.linspace(2.5, 5000.0, 2000))
    assert sum(part.nbytes for part in tables) < 25e6  # in one rectangle 160 MB or more


def test_many_laws_are_drawn_as_their_quantiles():
    units = 40
    drive = PoissonDrive(np.linspace(0.0, 2e6, units), np.linspace(1e-9, 2e-9, units))  # up to 2000 in a step
    still = sf.spiking.LIF(units, tau=1e6)
    run = sf.spiking.simulate(sf.Wiring.from_edges([], [], units=units), still, (drive, 0.0), 0.02, 1e-3, initial=0.5)
    assert len(run.times) == 0
    threshold = run.replay().v[9] - 1e-12  # exactly what came within ten steps, by quantiles in NumPy
    firing = sf.spiking.LIF(units, tau=1e6, v_threshold=torch.tensor(threshold), v_reset=-1.0)
    again = sf.spiking.simulate(run.wiring, firing, (drive, 0.0), 0.02, 1e-3, initial=0.5)
    fired = again.spikes.dense(1e-3)
    assert (fired[9, 1:] == 1).all()
    assert fired[:9, 1:].sum() == 0


@pytest.mark.parametrize(
    "weights", [[1.0, 2.0, 3.0], np.ones((3, 3)), np.nan, "w", sf.Wiring.from_edges([0], [0], shape=(3, 2))]
)
def test_weights_that_do_not_fit(weights):
    with pytest.raises(UserError):
        Arrivals(TWO, weights)


def test_arrivals_are_spikes():
    with pytest.raises(UserError, match="arrivals are spikes"):
        Arrivals([0.1, 0.2], 1.0)


@pytest.mark.parametrize(("rate", "weight"), [(-1.0, 1.0), (np.nan, 1.0), (1.0, np.inf), ("fast", 1.0), ([[1.0]], 1.0)])
def test_a_poisson_drive_needs_rates_and_weights(rate, weight):
    with pytest.raises(UserError):
        PoissonDrive(rate, weight)
