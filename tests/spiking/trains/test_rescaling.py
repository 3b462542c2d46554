"""Oracles: rejection rates of right and wrong models, enumeration of steps, naive sums, scipy's own tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.spiking import (
    GammaRenewal,
    Hawkes,
    InhomogeneousPoisson,
    PoissonDeadTime,
    Spikes,
    fit_dead_time,
    fit_gamma,
    fitted_test,
    rescale,
    rescale_steps,
    rescaling_tests,
    uniform_test,
)
from sparsefire.spiking.trains.rescaling import holm

LAW = PoissonDeadTime(50.0, 5e-3)


def test_right_model_is_rejected_as_often_as_promised() -> None:
    found = rescaling_tests(rescale(LAW.sample(25.0, 1000, rng=0), LAW))
    assert len(found.tests) == 1000
    assert np.mean([test.p_value < 0.05 for test in found.tests]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([test.statistic > test.band() for test in found.tests]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([test.correlation_p < 0.05 for test in found.tests]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([test.passed() for test in found.tests]) == pytest.approx(0.95, abs=0.02)
    assert found.passed()
    assert stats.kstest([test.p_value for test in found.tests], "uniform").pvalue > 1e-3


def test_wrong_model_is_always_rejected() -> None:
    found = rescaling_tests(rescale(LAW.sample(25.0, 200, rng=1), PoissonDeadTime(40.0)))
    assert all(test.p_value < 0.05 for test in found.tests)
    assert not found.passed()
    assert (found.adjusted < 0.05).all()


def test_wide_steps_need_the_correction() -> None:
    """Bernoulli model of 40 Hz in steps of 5 ms, 1000 intervals, 400 trains."""
    p = np.full((5000, 400), 0.2)
    fired = np.random.default_rng(0).random(p.shape) < p
    corrected = rescaling_tests(rescale_steps(fired, p, rng=1))
    plain = rescaling_tests(rescale_steps(fired, p, rng=1, corrected=False))
    assert 0.02 < np.mean([test.p_value < 0.05 for test in corrected.tests]) < 0.085
    assert np.mean([test.p_value < 0.05 for test in plain.tests]) == 1.0
    assert corrected.passed()
    assert not plain.passed()


def test_steps_are_exact_for_any_probabilities() -> None:
    """Probabilities from 0 to 1 that depend on the past; z is standard exponential and independent."""
    generator = np.random.default_rng(3)
    steps, units = 4000, 50
    p, fired, since = np.empty((steps, units)), np.zeros((steps, units)), np.zeros(units)
    for k in range(steps):
        p[k] = np.clip(0.9 * (1 - np.exp(-since / 3)) + 0.1 * np.sin(k / 50), 0, 1)
        fired[k] = generator.random(units) < p[k]
        since = np.where(fired[k] > 0, 0, since + 1)
    found = rescale_steps(fired, p, rng=0)
    test = uniform_test(found.pooled)
    assert test.n > 20_000
    assert test.p_value > 1e-3
    assert test.correlation_p > 1e-3
    assert not found.impossible.any()
    assert uniform_test(rescale_steps(fired, 0.95 * p + 0.02, rng=0).pooled).p_value < 1e-6


def test_steps_by_hand() -> None:
    p = np.array([[0.5], [0.2], [0.3], [0.4]])
    found = rescale_steps([[0], [1], [0], [1]], p, corrected=False)
    q = -np.log1p(-p[:, 0])
    np.testing.assert_allclose(found.intervals[0], [q[:2].sum(), q[2:].sum()], rtol=1e-12)
    corrected = rescale_steps([[0], [1], [0], [1]], p, rng=0).intervals[0]
    assert q[0] < corrected[0] < q[:2].sum()
    assert q[2] < corrected[1] < q[2:].sum()
    assert found.left.tolist() == [0.0]


def test_few_spikes_per_train_bias_nothing() -> None:
    """Three spikes a train: intervals that end within it are too short, laid end to end they are not."""
    p = np.full((300, 2000), 0.01)
    fired = np.random.default_rng(0).random(p.shape) < p
    found = rescale_steps(fired, p, rng=0)
    assert uniform_test(found.pooled).p_value > 1e-3
    assert uniform_test(np.concatenate(found.intervals)).p_value < 1e-12
    assert rescaling_tests(found).units.size == 0
    short = rescale(LAW.sample(0.1, 3000, rng=2), LAW)
    assert uniform_test(short.pooled).p_value > 1e-3
    assert uniform_test(np.concatenate(short.intervals)).p_value < 1e-12


def test_impossible_spikes_are_counted() -> None:
    p = np.array([[0.0, 0.5], [0.5, 0.5]])
    assert rescale_steps([[1, 1], [1, 0]], p, units=[7, 9]).impossible.tolist() == [1, 0]


@pytest.mark.parametrize(
    "law",
    [
        Hawkes([1.0, 2.0], [[0.3, 0.2], [0.1, 0.5]], 5.0),
        InhomogeneousPoisson(lambda t: 20 + 15 * np.sin(t), most=35.0),
        GammaRenewal(4.0, 20.0),
    ],
    ids=["hawkes", "poisson", "gamma"],
)
def test_every_kind_of_law(law) -> None:
    spikes = law.sample(300.0, rng=0)
    assert rescaling_tests(rescale(spikes, law)).passed(0.01)
    flat = float(spikes.firing_rates.mean())
    wrong = rescale(spikes, lambda times, unit: flat * times)
    assert uniform_test(wrong.pooled).p_value < 1e-3


def test_dependence_is_seen_where_the_law_is_right() -> None:
    """Standard exponential numbers in a slow order: the distance does not see it, the correlation does."""
    generator = np.random.default_rng(0)
    x = np.zeros(2000)
    for k in range(1, 2000):
        x[k] = 0.3 * x[k - 1] + np.sqrt(1 - 0.09) * generator.standard_normal()
    test = uniform_test(-stats.norm.logsf(x))
    assert test.p_value > 0.01
    assert test.correlation_p < 1e-6
    low, high = test.interval()
    assert low < 0.3 < high
    assert not test.passed()


def test_statistic_is_scipys() -> None:
    z = np.random.default_rng(0).exponential(size=200)
    test, other = uniform_test(z), stats.kstest(z, "expon")
    assert test.statistic == pytest.approx(other.statistic, rel=1e-10)
    assert test.p_value == pytest.approx(other.pvalue, rel=1e-8)
    assert uniform_test(np.full(10, 1e6)).p_value < 1e-6  # far too long: no overflow


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    assert holm([]).size == 0


def test_fitted_laws_need_the_bootstrap() -> None:
    """With fitted parameters plain p-values are too large; by bootstrap they are not, and wrong laws still fail."""
    right = [GammaRenewal(2.0, 30.0).sample(8.0, rng=k) for k in range(30)]

    def fit(spikes: Spikes) -> GammaRenewal:
        return fit_gamma(spikes).law  # type: ignore[return-value]

    found = [fitted_test(spikes, fit, resamples=39, rng=0) for spikes in right]
    assert np.mean([test.p_value for test, _ in found]) > 0.65
    assert abs(np.mean([p for _, p in found]) - 0.5) < 4 * 0.29 / np.sqrt(30)
    _, p = fitted_test(LAW.sample(20.0, rng=0), fit, resamples=39, rng=0)
    assert p <= 0.05


def test_fits_cover() -> None:
    shape, dead, intensity = [], [], []
    for k in range(200):
        low, high = fit_gamma(GammaRenewal(4.0, 20.0).sample(10.0, rng=k)).interval()["shape"]
        shape.append(low < 4.0 < high)
        found = fit_dead_time(LAW.sample(10.0, rng=k)).interval()
        dead.append(found["dead_time"][0] < 5e-3 < found["dead_time"][1])
        intensity.append(found["intensity"][0] < 50.0 < found["intensity"][1])
    for covered in (shape, dead, intensity):
        assert 0.89 <= np.mean(covered) <= 0.995


@pytest.mark.parametrize(
    "call",
    [
        lambda: rescale([0.1, 0.2], LAW),
        lambda: rescale(LAW.sample(1.0, rng=0), "poisson"),
        lambda: rescale_steps(np.zeros((3, 1)), np.zeros((3, 2))),
        lambda: rescale_steps(np.full((3, 1), 0.5), np.zeros((3, 1))),
        lambda: rescale_steps(np.zeros((3, 1)), np.full((3, 1), 1.5)),
        lambda: rescale_steps(np.zeros((3, 1)), np.full((3, 1), np.nan)),
        lambda: uniform_test([1.0, 2.0]),
        lambda: uniform_test([1.0, -2.0, 3.0, 1.0, 1.0]),
        lambda: uniform_test(np.full(6, np.nan)),
        lambda: holm([1.5]),
        lambda: rescaling_tests(rescale(LAW.sample(5.0, rng=0), LAW), least=2),
        lambda: fitted_test(LAW.sample(5.0, rng=0), lambda s: LAW, resamples=5),
        lambda: fit_gamma(Spikes([0.1, 0.2], [0, 0])),
        lambda: fit_dead_time(Spikes([0.25, 0.5, 0.75, 1.0], [0, 0, 0, 0])),
        lambda: fit_gamma(Spikes([0.25, 0.5, 0.75, 1.0], [0, 0, 0, 0])),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()
