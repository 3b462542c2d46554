"""Oracles: processes drawn right and wrong on purpose, by a small fake run and by the simulator itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import (
    LIF,
    Escape,
    EscapeLIF,
    GammaRenewal,
    Hawkes,
    InhomogeneousPoisson,
    PoissonDeadTime,
    Spikes,
    check,
    rescale,
    simulate,
    uniform_test,
)

LAW = PoissonDeadTime(50.0, 5e-3)


@dataclass(frozen=True)
class Fake:
    """As much of a run as a check looks at."""

    spikes: Spikes
    probability: np.ndarray
    v: np.ndarray
    neurons: Any
    dt: float = 1e-3

    def replay(self, units: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(v=self.v[:, units], probability=self.probability[:, units])


def noisy(units: int = 40, steps: int = 4000, wrong: float = 1.0, rests: int = 2, rng: int = 0) -> Fake:
    """Neurons that fire with a chance that rises after a rest of ``rests`` steps; drawn ``wrong`` times as often."""
    generator = np.random.default_rng(rng)
    p, fired, since = np.empty((steps, units)), np.zeros((steps, units)), np.full(units, 50)
    for k in range(steps):
        p[k] = np.where(since > rests, 0.1 * (1 - np.exp(-since / 10)), 0.0)
        fired[k] = generator.random(units) < p[k] * wrong
        since = np.where(fired[k] > 0, 1, since + 1)
    return Fake(Spikes.from_dense(fired, 1e-3), p, np.zeros_like(p), SimpleNamespace(refractory=2e-3))


def crossing(units: int = 20, steps: int = 2000) -> Fake:
    """Neurons without noise."""
    v, now = np.empty((steps, units)), np.linspace(0, 1, units)
    fired = np.zeros((steps, units))
    for k in range(steps):
        now = 0.95 * now + 0.05 * (1.2 + 0.3 * np.sin(k / 30 + np.arange(units)))
        v[k], fired[k] = now, now > 1.0
        now = np.where(now > 1.0, 0.0, now)
    neurons = SimpleNamespace(refractory=0.0, v_threshold=1.0, adaptation=None)
    return Fake(Spikes.from_dense(fired, 1e-3), (v > 1.0) * 1.0, v, neurons)


def verdict(found: Any, test: str) -> str:
    table = found.table
    return str(table[table["test"].str.startswith(test)]["verdict"].iloc[0])


def test_right_noise_fits_and_reads_well() -> None:
    found = check(noisy())
    assert found.passed is True
    text = str(found)
    assert "VERDICT  The spikes keep to the law, in 7 tests at 5% for all jointly." in text
    assert "Check  run, dt 1 ms · 40 units · 4 s" in text
    assert max(map(len, text.splitlines())) <= 80
    assert list(found.table.columns) == [
        "test", "units", "n", "statistic", "low", "high", "expected", "p_value", "p_holm", "verdict",
    ]  # fmt: skip
    assert {"branching ratio, 4 ms"} <= set(found.table["test"])
    assert "<table" in found._repr_html_()


def test_a_little_too_often_fails() -> None:
    found = check(noisy(wrong=1.1))
    assert found.passed is False
    assert verdict(found, "spikes / expected") == "fails"
    assert "do not keep to the law" in str(found)


def test_refractory_time_that_is_too_short_fails() -> None:
    run = noisy(rests=1)
    found = check(run)
    assert verdict(found, "intervals <") == "fails"
    assert found.passed is False


def test_spikes_where_none_can_be_fail() -> None:
    run = noisy(units=5)
    impossible = replace(run, probability=np.where(run.probability > 0.05, run.probability, 0.0))
    found = check(impossible)
    assert verdict(found, "spikes of chance 0") == "fails"


def test_neurons_that_know_each_other_too_well_fail() -> None:
    """Chances that are right on average but not given the past: the same spikes, chances shifted by a step."""
    run = noisy(rests=0)
    smooth = np.full_like(run.probability, run.spikes.counts.sum() / run.probability.size)
    found = check(replace(run, probability=smooth))
    assert verdict(found, "spikes / expected") == "fits"
    assert verdict(found, "time rescaling") == "fails"


def test_crossings_are_exact() -> None:
    run = crossing()
    assert check(run).passed is True
    assert verdict(check(run), "spikes ≠ crossings") == "fits"
    lost = run.spikes
    kept = np.arange(len(lost)) != 17
    found = check(replace(run, spikes=Spikes(lost.times[kept], lost.units[kept], 20, lost.duration)))
    assert found.passed is False
    assert found.table["statistic"][0] == 1


def test_rounding_at_the_threshold_is_excused() -> None:
    run = crossing()
    at = tuple(np.argwhere(run.probability > 0)[0])
    v, p = run.v.copy(), run.probability.copy()
    v[at], p[at] = 1.0, 0.0  # the replay sums in another order and just misses it
    assert check(replace(run, v=v, probability=p)).passed is True
    moving = SimpleNamespace(refractory=0.0, v_threshold=1.0, adaptation=object())
    assert check(replace(run, v=v, probability=p, neurons=moving)).passed is False


def test_right_laws_fail_as_often_as_promised() -> None:
    failed = sum(check(LAW.sample(15.0, 6, rng=k), LAW, bin=0.5, rng=k).passed is False for k in range(60))
    assert failed <= 9  # 3 in the mean; more than 9 has chance 0.0006


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (LAW, PoissonDeadTime(40.0)),
        (GammaRenewal(2.0, 30.0), PoissonDeadTime(30.0)),
        (Hawkes([2.0, 1.0], [[0.4, 0.1], [0.2, 0.3]], 10.0), Hawkes([4.0, 2.5], [[0, 0], [0, 0]], 10.0)),
        (InhomogeneousPoisson([10.0, 50.0] * 100, dt=0.5), InhomogeneousPoisson([30.0] * 200, dt=0.5)),
    ],
    ids=["dead time", "gamma", "hawkes", "poisson"],
)
def test_laws_against_spikes(right, wrong) -> None:
    spikes = right.sample(100.0, rng=0)
    assert check(spikes, right).passed is True
    assert check(spikes, wrong).passed is False


def test_spikes_alone_are_described() -> None:
    found = check(LAW.sample(20.0, 5, rng=0))
    assert found.passed is None
    assert set(found.table["verdict"]) == {"described"}
    assert "Nothing was tested" in str(found)
    assert check(LAW.sample(20.0, 5, rng=0), refractory=5e-3).passed is True
    assert check(PoissonDeadTime(50.0).sample(20.0, 5, rng=0), refractory=5e-3).passed is False


def test_a_simulated_network() -> None:
    wiring = sf.wiring.erdos_renyi(120, 0.1, rng=0)
    cell = sf.spiking.LIF(120, tau=20e-3, escape=Escape(rate=100.0, width=0.2), refractory=2e-3)
    run = sf.spiking.simulate(wiring, cell, 0.9, duration=3.0, dt=1e-3, rng=0, weights=0.02)
    found = check(run)
    assert found.passed is True, str(found)
    assert len(found.table) >= 7
    other = replace(run, weights=run.weights * 0.5)  # not the network that was simulated
    assert check(other).passed is False
    assert check(run, units=[3]).table["units"][0] == "1 of 120"


def test_a_simulated_network_without_noise() -> None:
    wiring = sf.wiring.erdos_renyi(120, 0.1, rng=0)
    cell = sf.spiking.LIF(120, tau=20e-3, refractory=2e-3)
    run = sf.spiking.simulate(
        wiring, cell, sf.spiking.PoissonDrive(2000.0, 0.03), duration=1.0, dt=1e-3, rng=0, weights=0.01
    )
    assert check(run).passed is True
    assert check(replace(run, weights=run.weights * 0.9)).passed is False


def test_simulated_neurons_without_arcs_are_the_renewal_law() -> None:
    """The engine in steps of 0.1 ms against the law of continuous time, which knows nothing of it."""
    law = EscapeLIF(20e-3, 20.0, 15.0, escape=Escape(rate=100.0, width=2.0))
    cell = sf.spiking.LIF(200, tau=20e-3, v_threshold=15.0, escape=Escape(rate=100.0, width=2.0))
    none = sf.Wiring.from_edges([], [], units=200)
    run = sf.spiking.simulate(none, cell, 20.0, duration=4.0, dt=1e-4, rng=0)
    gaps = np.concatenate([np.diff(train) for train in run.spikes.trains()])
    assert gaps.mean() == pytest.approx(law.mean, rel=5e-3)
    assert gaps.std() / gaps.mean() == pytest.approx(law.cv, rel=1e-2)
    some = run.spikes.units < 20
    few = Spikes(run.spikes.times[some], run.spikes.units[some], 20, 4.0)
    # all begin at rest, which is where a spike leaves them: the total is that of the law just after a spike
    assert uniform_test(rescale(few, law).pooled).p_value > 1e-3
    assert uniform_test(rescale(few, replace(law, drive=20.5)).pooled).p_value < 1e-3


@pytest.mark.parametrize(
    "call",
    [
        lambda: check([0.1, 0.2]),
        lambda: check(Spikes([], [], 3, 1.0)),
        lambda: check(LAW.sample(1.0, rng=0), "poisson"),
        lambda: check(LAW.sample(1.0, rng=0), LAW, level=0.7),
        lambda: check(LAW.sample(1.0, 2, rng=0), LAW, bin=-1.0),
    ],
)
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()


def test_units_that_do_not_heed_each_other_have_no_branching_ratio() -> None:
    wiring = sf.wiring.fixed_fan_in(100, 10, rng=0)
    alone = simulate(wiring, LIF(100, escape=Escape()), drive=0.9, duration=10.0, dt=1e-3, weights=0.0, rng=1)
    found = check(alone)
    row = found.table.set_index("test").loc["branching ratio, 4 ms"]
    assert np.isnan(row["statistic"])
    assert "no estimate" in row["expected"]
    assert "–  no estimate" in str(found)


def test_a_named_column_is_never_run_into_its_neighbour() -> None:
    spikes = PoissonDeadTime(50.0).sample(25.0, 40, rng=0)
    lines = str(check(spikes, bin=0.000123456)).splitlines()
    assert all("  all " in line for line in lines if "ratio" in line or "avalanche" in line)


def test_units_belong_to_a_run() -> None:
    spikes = PoissonDeadTime(50.0).sample(5.0, 4, rng=0)
    with pytest.raises(UserError, match="units"):
        check(spikes, PoissonDeadTime(50.0), units=[99])
