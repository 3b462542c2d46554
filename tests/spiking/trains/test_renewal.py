"""Oracles: closed moments, the renewal sums, enumeration of a short window, quadrature of the hazard, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from sparsefire.errors import UserError
from sparsefire.spiking import GammaRenewal, HazardRenewal, PoissonDeadTime

LAWS = [
    PoissonDeadTime(50.0, 5e-3),
    PoissonDeadTime(50.0),
    GammaRenewal(4.0, 20.0),
    GammaRenewal(0.6, 20.0),
    HazardRenewal(lambda s: 4e3 * s, dead_time=2e-3),
]
NAMES = ["dead time", "poisson", "gamma", "bursts", "rayleigh"]


def test_dead_time_figures() -> None:
    law = PoissonDeadTime(50.0, 5e-3)
    assert law.rate == pytest.approx(40.0, rel=1e-12)
    assert law.cv == pytest.approx(0.8, rel=1e-12)
    assert law.fano(5.0) == pytest.approx(0.64, abs=2e-4)
    assert law.fano(1e4) == pytest.approx(0.64, abs=1e-6)


def test_gamma_fano_at_a_hundred_spikes() -> None:
    assert GammaRenewal(4.0, 20.0).fano(5.0) == pytest.approx(0.25 + (1 - 0.5**4) / 600, abs=1e-9)
    assert GammaRenewal(1.0, 20.0).fano([0.01, 1.0]) == pytest.approx([1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_moments_by_quadrature(law) -> None:
    s = np.linspace(0, law.mean * 40, 500_001)
    survival = law.survival(s)
    mean, second = integrate.simpson(survival, x=s), 2 * integrate.simpson(s * survival, x=s)
    third = 3 * integrate.simpson(s**2 * survival, x=s)
    assert law.mean == pytest.approx(mean, rel=1e-4)  # a jump or an infinite slope costs the oracle accuracy
    assert law.variance == pytest.approx(second - mean**2, rel=1e-4)
    assert law.third == pytest.approx(third - 3 * mean * second + 2 * mean**3, rel=1e-3, abs=1e-9 * mean**3)


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_hazard_is_the_slope_of_what_it_accumulates(law) -> None:
    s = law.mean * np.array([0.3, 0.9, 2.0, 4.0])
    step = 1e-4 * law.mean
    slope = (law.cumulative(s + step) - law.cumulative(s - step)) / (2 * step)
    np.testing.assert_allclose(law.hazard(s), slope, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(law.density(s), law.hazard(s) * np.exp(-law.cumulative(s)), rtol=1e-12)


def test_gamma_hazard_far_out_does_not_break() -> None:
    law = GammaRenewal(4.0, 20.0)
    edge = (600 + 16) / 80
    s = np.array([edge * (1 - 1e-9), edge * (1 + 1e-9), 100.0])
    assert law.hazard(s)[0] == pytest.approx(law.hazard(s)[1], rel=1e-4)
    assert law.cumulative(s)[0] == pytest.approx(law.cumulative(s)[1], rel=1e-4)
    assert law.hazard(s)[2] == pytest.approx(80.0, rel=1e-3)


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_draws_have_the_law(law) -> None:
    spikes = law.sample(3.0, 3000, rng=1)
    counts = spikes.counts
    expected = 3.0 * law.rate
    error = np.sqrt(expected * law.fano(3.0) / 3000)
    assert abs(counts.mean() - expected) < 4 * error
    fano = counts.var(ddof=1) / counts.mean()
    assert abs(fano / law.fano(3.0) - 1) < 4 * np.sqrt(2 / 3000) * 1.5
    z = law.cumulative(law.intervals(np.random.default_rng(0), (20_000,)))
    assert stats.kstest(z, "expon").pvalue > 1e-4


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_stationary_from_the_first_moment(law) -> None:
    """The rate of a train in equilibrium does not depend on time; just after a spike it does."""
    window = 0.5 * law.mean
    spikes = law.sample(4 * window, 20_000, rng=2)
    found = spikes.counts_in(window).mean(axis=1)
    error = np.sqrt(law.fano(window) * law.rate * window / 20_000)
    assert (np.abs(found - law.rate * window) < 4 * error).all()


def test_after_a_spike_the_first_interval_has_the_law() -> None:
    law = PoissonDeadTime(50.0, 5e-3)
    spikes = law.sample(2.0, 4000, rng=3, start="spike")
    first = np.array([train[0] for train in spikes.trains()])
    assert first.min() >= 5e-3
    assert stats.kstest(law.cumulative(first), "expon").pvalue > 1e-4


@pytest.mark.parametrize("window", [0.4, 1.0, 2.3, 7.0, 40.0])
def test_numerical_fano_agrees_with_the_closed_sums(window: float) -> None:
    """Of short windows, where the lattice works, and of long ones, where the expansion does."""
    gamma = GammaRenewal(4.0, 20.0)
    tabulated = HazardRenewal(gamma.hazard)
    length = window * gamma.mean
    assert tabulated.fano(length) == pytest.approx(gamma.fano(length), abs=2e-5)
    dead = PoissonDeadTime(50.0, 5e-3)
    assert HazardRenewal(lambda s: 50.0 + 0 * s, 5e-3).fano(window * dead.mean) == pytest.approx(
        dead.fano(window * dead.mean), abs=2e-5
    )


def test_fano_of_a_window_with_at_most_one_spike() -> None:
    """Shorter than the dead time: a Bernoulli number, of Fano factor 1 − rate · window."""
    law = PoissonDeadTime(50.0, 5e-3)
    assert law.fano(4e-3) == pytest.approx(1 - 40 * 4e-3, abs=1e-12)


def test_many_trains_in_pieces_are_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsefire.spiking.trains import renewal

    law = GammaRenewal(4.0, 20.0)
    monkeypatch.setattr(renewal, "MOST_DRAWN", 500)
    spikes = law.sample(5.0, 40, rng=0)
    assert spikes.n_units == 40
    assert (spikes.counts > 50).all()
    assert abs(spikes.counts.mean() - 100) < 4 * np.sqrt(25 / 40)


def test_same_rng_same_train() -> None:
    law = PoissonDeadTime(50.0, 5e-3)
    np.testing.assert_array_equal(law.sample(1.0, 3, rng=7).times, law.sample(1.0, 3, rng=7).times)
    assert len(law.sample(1.0, 3, rng=8)) != 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: PoissonDeadTime(0.0),
        lambda: PoissonDeadTime(50.0, -1e-3),
        lambda: PoissonDeadTime("50"),
        lambda: GammaRenewal(-1.0, 20.0),
        lambda: GammaRenewal(1.0, float("nan")),
        lambda: PoissonDeadTime(50.0).sample(0.0),
        lambda: PoissonDeadTime(50.0).sample(1.0, 0),
        lambda: PoissonDeadTime(50.0).sample(1.0, start="middle"),
        lambda: PoissonDeadTime(50.0).fano(0.0),
        lambda: PoissonDeadTime(50.0).fano([]),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()
