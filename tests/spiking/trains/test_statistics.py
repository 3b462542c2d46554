"""Oracles: definitions written out train by train, closed forms of renewal laws, coverage of intervals, real trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsefire.errors import UserError
from sparsefire.spiking import (
    GammaRenewal,
    Hawkes,
    PoissonDeadTime,
    Spikes,
    check,
    count_correlation,
    cross_correlogram,
    fano_factor,
    fit_gamma,
    fitted_test,
    interval_cv,
    interval_cv2,
    local_variation,
    serial_correlation,
)

GAMMA = GammaRenewal(4.0, 20.0)
TRAINS = GAMMA.sample(100.0, 200, rng=0)


def test_definitions_train_by_train() -> None:
    spikes = Hawkes([2.0, 3.0], [[0.5, 0.1], [0.2, 0.4]], 10.0).sample(40.0, rng=0)
    cv, cv2, lv, rho = (f(spikes).value for f in (interval_cv, interval_cv2, local_variation, serial_correlation))
    third = serial_correlation(spikes, 3).value
    fano = fano_factor(spikes, [0.5, 1.0])
    for unit, train in enumerate(spikes.trains()):
        x = np.diff(train)
        a, b = x[:-1], x[1:]
        assert cv[unit] == pytest.approx(x.std(ddof=1) / x.mean(), rel=1e-10)
        assert cv2[unit] == pytest.approx(np.mean(2 * np.abs(b - a) / (a + b)), rel=1e-10)
        assert lv[unit] == pytest.approx(3 * np.mean(((a - b) / (a + b)) ** 2), rel=1e-10)
        assert rho[unit] == pytest.approx(np.corrcoef(a, b)[0, 1], rel=1e-9)
        assert third[unit] == pytest.approx(np.corrcoef(x[:-3], x[3:])[0, 1], rel=1e-9)
        counts = np.histogram(train, np.arange(81) * 0.5)[0]
        assert fano.value[0, unit] == pytest.approx(counts.var(ddof=1) / counts.mean(), rel=1e-10)
        assert interval_cv(spikes).n[unit] == len(x)
    assert fano.value.shape == (2, 2)
    counts = spikes.counts_in(0.5)
    np.testing.assert_allclose(count_correlation(spikes, 0.5).value, np.corrcoef(counts.T), rtol=1e-9)


@pytest.mark.parametrize(
    ("statistic", "true"),
    [
        (interval_cv, 0.5),
        (local_variation, 1 / 3),
        (serial_correlation, 0.0),
        (lambda s: fano_factor(s, 1.0), GAMMA.fano(1.0)),
    ],
    ids=["cv", "lv", "serial", "fano"],
)
def test_closed_forms_and_coverage(statistic, true: float) -> None:
    found = statistic(TRAINS)
    assert abs(found.value.mean() - true) < 4 * found.error.mean() / np.sqrt(200) + 0.003
    low, high = found.interval()
    assert 0.87 < np.mean((low < true) & (true < high)) < 0.99
    assert found.error.mean() == pytest.approx(found.value.std(), rel=0.15)
    narrow = found.interval(0.5)
    assert (narrow[0] > low).all()
    assert (narrow[1] < high).all()


def test_short_windows_and_long_ones() -> None:
    law = PoissonDeadTime(50.0, 5e-3)
    found = fano_factor(law.sample(400.0, 20, rng=1), [0.01, 0.1, 1.0, 5.0])
    np.testing.assert_allclose(found.value.mean(axis=1), law.fano([0.01, 0.1, 1.0, 5.0]), rtol=0.05)


def test_pairs_of_counts() -> None:
    """A common source of spikes: correlation c of the counts is the share of common spikes."""
    generator = np.random.default_rng(0)
    common = np.sort(generator.random(1000) * 100)
    own = [np.sort(generator.random(1000) * 100) for _ in range(2)]
    times = np.concatenate([common, own[0], common, own[1]])
    spikes = Spikes.sorted_from(times, np.repeat([0, 1], 2000), 2, 100.0)
    found = count_correlation(spikes, 0.5)
    low, high = found.interval()
    assert low[0, 1] < 0.5 < high[0, 1]
    assert found.value[0, 0] == 1.0
    assert low[0, 0] == 1.0
    grid = cross_correlogram(spikes, 0, 1, width=1e-3, span=20e-3)
    assert int(np.argmax(grid.counts)) == 20
    assert grid.counts[20] >= 1000
    assert (grid.counts[[0, 40]] <= grid.band(0.999)[1][[0, 40]]).all()


def test_correlogram_by_hand_and_its_band() -> None:
    spikes = GAMMA.sample(50.0, 2, rng=3)
    found = cross_correlogram(spikes, 0, 1, width=2e-3, span=20e-3)
    a, b = spikes.trains()
    lags = (b[None, :] - a[:, None]).ravel()
    expected = [int(np.sum((lags >= (k - 0.5) * 2e-3) & (lags < (k + 0.5) * 2e-3))) for k in range(-10, 11)]
    assert found.counts.tolist() == expected
    back = cross_correlogram(spikes, 1, 0, width=2e-3, span=20e-3)
    assert back.counts.tolist() == expected[::-1]
    same = cross_correlogram(spikes, 0, 0, width=2e-3, span=20e-3)
    assert same.counts[10] == 0
    assert same.counts.tolist() == same.counts[::-1].tolist()
    outside = 0
    for k in range(100):
        one = cross_correlogram(PoissonDeadTime(30.0).sample(30.0, 2, rng=k), 0, 1, width=2e-3, span=20e-3)
        low, high = one.band()
        outside += bool(((one.counts < low) | (one.counts > high)).any())
    assert outside <= 13
    assert "outside the band" in repr(found)


def test_effect_of_one_unit_on_another_is_in_the_correlogram() -> None:
    law = Hawkes([5.0, 5.0], [[0.0, 0.0], [0.5, 0.0]], 100.0)
    found = cross_correlogram(law.sample(300.0, rng=0), 0, 1, width=2e-3, span=40e-3)
    rates = law.rates
    later = (found.lags > 1e-3) & (found.lags < 21e-3)
    density = np.array([law.covariance_density(lag)[1, 0] for lag in found.lags[later]])
    np.testing.assert_allclose(
        found.ratio.value[later], 1 + density / np.prod(rates), atol=4 * found.ratio.error[later].max()
    )
    low, high = found.interval(0.999)
    assert (low[later][:5] > 1).all()
    assert high[0] > 1 > low[0]


def test_units_that_hardly_spike_are_told() -> None:
    spikes = Spikes([0.1, 0.2, 0.5], [0, 0, 0], 2, 1.0)
    found = interval_cv(spikes)
    assert np.isnan(found.value).all()
    assert found.n.tolist() == [2, 0]
    assert repr(found) == "Estimate(nothing to tell)"
    regular = interval_cv(Spikes(np.arange(1, 101) / 10, np.zeros(100, int)))
    assert regular.value[0] == pytest.approx(0.0, abs=1e-6)
    assert "200 values" in repr(interval_cv(TRAINS))


def test_ganglion_cells(shared_data: Callable[[str], Path]) -> None:
    """Trains of Kramer & Eden: 750 spikes in the dark, CV 0.96; 969 in the light, CV 2.02; bursts, no gamma law."""
    with np.load(shared_data("spike_trains/spike_trains.npz")) as data:
        low, high = data["ganglion_low_s"], data["ganglion_high_s"]
    spikes = Spikes.sorted_from(np.concatenate([low, high]), np.repeat([0, 1], [750, 969]), 2, 30.0)
    assert spikes.firing_rates.tolist() == pytest.approx([25.0, 32.3])
    cv = interval_cv(spikes)
    assert cv.value == pytest.approx([0.96, 2.02], abs=0.01)
    # closer to Poisson locally than over all: the rate drifts between bursts and silence
    assert local_variation(spikes).value[1] < cv.value[1] ** 2
    assert fano_factor(spikes, 0.2).value[1] > 1.5
    assert check(spikes, PoissonDeadTime(25.0)).passed is False
    _, p = fitted_test(Spikes(high, np.zeros(969, int), 1, 30.0), lambda s: fit_gamma(s).law, resamples=39, rng=0)
    assert p <= 0.05


@pytest.mark.parametrize(
    "call",
    [
        lambda: fano_factor(TRAINS, 50.0),
        lambda: fano_factor(TRAINS, 0.0),
        lambda: fano_factor(TRAINS, 1.0, blocks=3),
        lambda: fano_factor([0.1], 1.0),
        lambda: serial_correlation(TRAINS, 0),
        lambda: interval_cv(TRAINS).interval(1.0),
        lambda: cross_correlogram(TRAINS, 0, 500),
        lambda: cross_correlogram(TRAINS, 0, 1, width=1.0, span=0.5),
        lambda: cross_correlogram(TRAINS, 0, 1, width=1.0, span=200.0),
        lambda: cross_correlogram(Spikes([0.1], [0], 2, 1.0), 0, 1),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()
