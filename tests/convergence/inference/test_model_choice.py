"""Oracles: paths whose law is known, and p-values that must be uniform where the model is true."""

import numpy as np
import pytest
from scipy import stats

from sparsefire.convergence.inference.model_choice import choose_model
from sparsefire.errors import UserError

STEPS = np.unique(np.rint(np.geomspace(30, 30_000, 61)))


def paths(draws, runs, curve, spread=0.5, forget=0.5):
    """The curve times a log-normal factor of mean 1 that forgets its past over 1 / forget in log k."""
    kept = np.exp(-forget * np.diff(np.log(STEPS)))
    noise = draws.normal(size=(runs, len(STEPS)))
    for at in range(1, len(STEPS)):
        noise[:, at] = kept[at - 1] * noise[:, at - 1] + np.sqrt(1 - kept[at - 1] ** 2) * noise[:, at]
    return curve * np.exp(spread * noise - spread**2 / 2)


CURVES = {"power": 5 / STEPS, "floor": 5 / STEPS + 5e-4, "log": np.log(STEPS) / STEPS}


@pytest.mark.parametrize("truth", CURVES)
def test_the_law_of_a_curve(truth):
    chosen = choose_model(STEPS, CURVES[truth], window=(30, 30_000))
    assert chosen.best.model == truth
    assert chosen.best.exponent == pytest.approx(1.0, abs=1e-5)
    assert chosen.weights()[truth] == 1.0
    assert np.isnan(list(chosen.p_values.values())).all()
    assert chosen.criterion[truth] < 1e-5


@pytest.mark.parametrize("truth", CURVES)
def test_the_law_of_noisy_paths(truth):
    draws = np.random.default_rng(0)
    right = 0
    chances = []
    for number in range(20):
        values = paths(draws, 400, CURVES[truth])
        chosen = choose_model(STEPS, values, window=(30, 30_000), resamples=100, rng=number)
        right += chosen.best.model == truth
        chances.append(chosen.p_values[truth])
        assert sum(chosen.weights().values()) == pytest.approx(1.0)
    assert right >= 14
    assert stats.kstest(chances, "uniform").pvalue > 1e-4


def test_a_wrong_law_is_rejected():
    values = paths(np.random.default_rng(1), 2000, CURVES["floor"])
    chosen = choose_model((STEPS, values), window=(30, 30_000), resamples=100)
    assert chosen.p_values["power"] < 1e-6
    assert chosen.p_values["log"] < 1e-6
    assert chosen.p_values["floor"] > 1e-3
    low, high = chosen.best.interval(0.999, parameter="floor")
    assert 0 < low < 5e-4 < high


def test_runs_that_are_copies_measure_nothing():
    one = np.tile(CURVES["power"], (30, 1))
    few = np.repeat(paths(np.random.default_rng(0), 3, CURVES["power"]), 10, axis=0)  # 3 runs, 10 times each
    for copies in (one, few):
        with pytest.raises(UserError, match="do not differ"):
            choose_model(STEPS, copies, window=(30, 30_000), resamples=100)


def test_wrong_input():
    with pytest.raises(UserError, match="few runs"):
        choose_model(STEPS, paths(np.random.default_rng(1), 10, CURVES["log"]))
    with pytest.raises(UserError, match="choose from"):
        choose_model(STEPS, CURVES["log"], models=())
    with pytest.raises(UserError, match="model"):
        choose_model(STEPS, CURVES["log"], models=("linear",))
