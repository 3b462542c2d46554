"""Oracles: Poisson branching with a known ratio, ordinary regression."""

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.avalanches import branching_ratio
from sparsefire.errors import UserError
from sparsefire.randomness import stream


def branching(m: float, drive: float, bins: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a_(t+1) ~ Poisson(m a_t + drive) from its mean on, int64 [rows, bins]."""
    now = rng.poisson(drive / (1 - m), rows)
    found = np.empty((bins, rows), dtype=np.int64)
    for t in range(-int(5 / (1 - m)), bins):
        now = rng.poisson(m * now + drive)
        if t >= 0:
            found[t] = now
    return found.T


def amplitude(m: float, fraction: float) -> float:
    return fraction / (fraction + (1 - fraction) * (1 - m**2))


def test_one_per_cent_of_a_nearly_critical_process() -> None:
    rng = stream(0, "acceptance")
    seen = rng.binomial(branching(0.98, 100.0, 200_000, 1, rng)[0], 0.01)
    found = branching_ratio(seen, rng=0)
    assert found.ratio == pytest.approx(0.98, abs=0.005)
    assert found.naive == pytest.approx(0.199, abs=0.02)
    low, high = found.interval()
    assert low < 0.98 < high
    assert high - low < 0.01
    assert found.timescale == pytest.approx(-1 / np.log(found.ratio))
    assert found.warnings == ()


@pytest.mark.parametrize(("m", "fraction"), [(0.5, 1.0), (0.9, 0.1), (0.9, 0.5), (0.97, 0.05)])
def test_what_is_unseen_lowers_the_amplitude_alone(m: float, fraction: float) -> None:
    """b = α / (α + (1-α)(1-m²)) for Poisson offspring and drive."""
    rng = stream(0, "amplitude", str((m, fraction)))
    seen = rng.binomial(branching(m, 5.0, 5000, 20, rng), fraction)
    found = branching_ratio(seen, rng=0)
    spread = found.replicates.std()
    assert found.ratio == pytest.approx(m, abs=4 * spread)
    assert spread < 0.03
    assert found.amplitude == pytest.approx(amplitude(m, fraction), rel=0.08)
    assert found.naive == pytest.approx(amplitude(m, fraction) * m, rel=0.08)
    assert found.stretches >= 40


def test_slopes_are_those_of_ordinary_regression() -> None:
    rng = stream(0, "slopes")
    one = branching(0.8, 2.0, 3000, 1, rng)[0]
    lags = [1, 2, 5]
    found = branching_ratio(one, lags=lags, rng=0)
    plain = np.array([stats.linregress(one[:-k], one[k:]).slope for k in lags])
    assert found.naive == pytest.approx(plain[0], rel=1e-12)
    lost = (found.slopes - plain) / (1 - plain)
    assert np.allclose(lost, lost[0])  # what the record's own mean takes away is the same at all lags
    assert lost[0] == pytest.approx((1 + 0.8) / (1 - 0.8) / 3000, rel=0.3)
    k = np.array(lags)
    best = min(
        ((found.slopes - b * m**k) ** 2).sum() for b in np.linspace(0.8, 1.2, 81) for m in np.linspace(0.7, 0.9, 81)
    )
    assert ((found.slopes - found.amplitude * found.ratio**k) ** 2).sum() <= best
    trials = branching(0.8, 2.0, 300, 7, rng) + np.arange(7)[:, None]
    x = np.concatenate([row[:-1] - row[:-1].mean() for row in trials])
    y = np.concatenate([row[1:] - row[1:].mean() for row in trials])
    assert branching_ratio(trials, rng=0).naive == pytest.approx(x @ y / (x @ x), rel=1e-12)
    plain = stats.linregress(trials[:, :-1].ravel(), trials[:, 1:].ravel()).slope
    assert branching_ratio(trials, intercept="shared", rng=0).naive == pytest.approx(plain, rel=1e-12)


def test_short_trials_are_mended_for_their_means() -> None:
    rng = stream(0, "short")
    seen = rng.binomial(branching(0.9, 10.0, 400, 300, rng), 0.3)
    found = branching_ratio(seen, rng=0)
    assert found.ratio == pytest.approx(0.9, abs=4 * found.replicates.std())
    shifted = seen + rng.integers(0, 30, (300, 1))  # rates that differ between trials
    assert branching_ratio(shifted, rng=0).ratio == pytest.approx(found.ratio, abs=1e-6)
    assert branching_ratio(shifted, intercept="shared", rng=0).ratio > 0.95


def test_scale_and_randomness() -> None:
    rng = stream(0, "scale")
    one = branching(0.9, 10.0, 4000, 1, rng)[0]
    found = branching_ratio(one, rng=3, dt=0.004)
    again = branching_ratio(one * 0.37, rng=3)
    assert again.ratio == pytest.approx(found.ratio, abs=1e-6)
    assert again.interval() == pytest.approx(found.interval(), abs=1e-6)
    assert found.timescale == pytest.approx(0.004 * again.timescale)
    assert branching_ratio(one, rng=4).interval() != found.interval()
    wide, narrow = np.diff(found.interval(0.99)), np.diff(found.interval(0.5))
    assert wide > np.diff(found.interval()) > narrow
    assert branching_ratio(one, rng=3, level=0.5).interval() == found.interval(0.5)
    assert "naive" in repr(found)


def test_what_stands_against_it_is_said() -> None:
    rng = stream(0, "doubts")
    noise = branching_ratio(rng.poisson(3.0, 5000), rng=0)
    assert any("no correlation" in said for said in noise.warnings)
    steps = np.arange(20_000)
    drift = rng.poisson(5 + 3 * np.sin(steps / 2000))
    assert any("twenty" in said or "line" in said for said in branching_ratio(drift, rng=0).warnings)
    both = rng.binomial(branching(0.9, 10.0, 20_000, 1, rng)[0], 0.2) + drift
    assert any("do not fall to 0" in said for said in branching_ratio(both, lags=range(1, 60), rng=0).warnings)
    growing = rng.poisson(np.exp(steps[:2000] / 300))
    assert branching_ratio(growing, lags=range(1, 50), rng=0).ratio > 1


def test_wrong_activity() -> None:
    for series, match in (([1.0] * 10, "too short"), ([3] * 40, "never changes"), (np.zeros((2, 2, 30)), "series")):
        with pytest.raises(UserError, match=match):
            branching_ratio(series)
    for value in (-1.0, np.nan, np.inf):
        series = np.ones(50)
        series[7] = value
        with pytest.raises(UserError, match="count of events") as caught:
            branching_ratio(series)
        assert "entry 7" in caught.value.came
    good = stream(0, "good").poisson(3.0, 100)
    for lags in ([0, 1, 2], [1, 2, 90], [1, 2], [1.5, 2.5, 3.5]):
        with pytest.raises(UserError, match="lag"):
            branching_ratio(good, lags=lags)
    with pytest.raises(UserError, match="intercept"):
        branching_ratio(good, intercept="none")
    with pytest.raises(UserError, match="level"):
        branching_ratio(good, level=95)
    with pytest.raises(UserError, match="resamples"):
        branching_ratio(good, resamples=0)


@pytest.mark.slow
def test_intervals_of_the_branching_ratio_cover() -> None:
    rng = stream(0, "coverage")
    seen = rng.binomial(branching(0.9, 10.0, 10_000, 300, rng), 0.2)
    found = [branching_ratio(row, rng=0, resamples=400) for row in seen]
    held = np.mean([low <= 0.9 <= high for low, high in (one.interval() for one in found)])
    assert 0.93 - 4 * np.sqrt(0.93 * 0.07 / 300) < held < 0.93 + 4 * np.sqrt(0.93 * 0.07 / 300)
    ratios = np.array([one.ratio for one in found])
    assert ratios.mean() == pytest.approx(0.9, abs=4 * ratios.std() / np.sqrt(300))
    assert np.mean([bool(one.warnings) for one in found]) < 0.1  # few false alarms
