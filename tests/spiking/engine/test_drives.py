"""Arrivals and Poisson drives: what they take, and the tables of counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import Arrivals, PoissonDrive, Spikes
from sparsefire.spiking.engine.drives import poisson_tables

TWO = Spikes([0.1, 0.2], [0, 1], duration=1.0)


def test_tables_are_the_law_in_units_of_2_to_the_minus_32():
    means = np.array([0.0, 1e-6, 0.3, 7.0, 900.0])
    tables, guides = poisson_tables(means)
    for mean, table, guide in zip(means, tables, guides, strict=True):
        assert table[-1] == 2**32  # a number below that always finds its count
        mass = np.diff(table.astype(float), prepend=0.0) / 2.0**32
        assert np.abs(mass - stats.poisson.pmf(np.arange(len(table)), mean)).max() < 2.0**-31
        for byte in (0, 1, 77, 255):
            assert guide[byte] == (table <= np.uint64(byte << 24)).sum()


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
