"""Oracles: counts of a Poisson process whose intensity is integrated by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.spiking import InhomogeneousPoisson


def wave(t: np.ndarray) -> np.ndarray:
    return 20 + 15 * np.sin(2 * np.pi * t)


@pytest.mark.parametrize(
    "law",
    [InhomogeneousPoisson(wave, most=35.0), InhomogeneousPoisson(wave((np.arange(4000) + 0.5) / 2000), dt=1 / 2000)],
    ids=["thinning", "inversion"],
)
def test_counts_are_poisson_of_the_integral(law: InhomogeneousPoisson) -> None:
    spikes = law.sample(2.0, 4000, rng=0)
    edges = np.linspace(0, 2, 9)
    expected = 4000 * (np.diff(20 * edges - 15 / (2 * np.pi) * np.cos(2 * np.pi * edges)))
    found = spikes.counts_in(0.25).sum(axis=1)
    assert (np.abs(found - expected) < 4 * np.sqrt(expected)).all()
    assert abs(spikes.counts.var(ddof=1) / 40 - 1) < 4 * np.sqrt(2 / 4000)
    z = law.cumulative(spikes.times) / 40
    assert stats.kstest(z, "uniform").pvalue > 1e-4
    assert law.cumulative(2.0) == pytest.approx(40.0, rel=1e-6)


def test_bins_of_nothing_stay_empty() -> None:
    law = InhomogeneousPoisson([10.0, 0.0, 0.0, 30.0], dt=0.5)
    spikes = law.sample(2.0, 500, rng=1)
    assert not spikes.counts_in(0.5)[1:3].any()
    assert law([0.1, 0.6, 1.9]).tolist() == [10.0, 0.0, 30.0]
    assert law.sample(1.4, 3, rng=1).duration == 1.4


@pytest.mark.parametrize(
    "call",
    [
        lambda: InhomogeneousPoisson(wave),
        lambda: InhomogeneousPoisson([1.0]),
        lambda: InhomogeneousPoisson([-1.0], dt=1.0),
        lambda: InhomogeneousPoisson([[1.0]], dt=1.0),
        lambda: InhomogeneousPoisson(wave, most=30.0).sample(2.0, rng=0),
        lambda: InhomogeneousPoisson(lambda t: -1 + 0 * t, most=30.0).sample(2.0, rng=0),
        lambda: InhomogeneousPoisson([1.0], dt=1.0).sample(2.0),
        lambda: InhomogeneousPoisson([1.0], dt=1.0).sample(1.0, 0),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()
