"""Runs do not depend on workers or blocks; what is recorded is consistent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.cascades.sampling import runs as sampling
from sparsefire.cascades.threshold import Threshold
from sparsefire.randomness import stream
from sparsefire.wiring import erdos_renyi

GRAPH = erdos_renyi(300, 0.02, rng=0)
EDGES = GRAPH.edges
MODELS = {
    "independent": IndependentCascade(GRAPH, 0.2),
    "independent, each": IndependentCascade(GRAPH, np.linspace(0, 0.25, EDGES)),
    "independent, large": IndependentCascade(GRAPH, np.linspace(0, 0.7, EDGES)),
    "linear threshold": LinearThreshold(GRAPH),
    "linear threshold, weights": LinearThreshold(GRAPH, 0.04),
    "threshold, fixed": Threshold(GRAPH, stream(1, "thresholds").random(300)),
    "threshold, law": Threshold(GRAPH, stats.norm(0.4, 0.25)),
    "threshold, damage": Threshold(GRAPH, stats.norm(0.4, 0.25), load="damage"),
}
SOURCES = np.linspace(0, 0.1, 300)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_neither_workers_nor_blocks_change_a_run(model, monkeypatch) -> None:
    runs = 700
    one = model.sample(SOURCES, runs, rng=5)
    monkeypatch.setattr(sampling, "BLOCK", 97)
    two = model.sample(SOURCES, runs, rng=5, workers=3)
    np.testing.assert_array_equal(one.sizes, two.sizes)
    np.testing.assert_array_equal(one.durations, two.durations)
    np.testing.assert_array_equal(model.sample(SOURCES, 10, rng=5).sizes, one.sizes[:10])
    assert not np.array_equal(model.sample(SOURCES, runs, rng=6).sizes, one.sizes)
    assert len(np.unique(one.sizes)) > 5


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_laws_and_marginals_come_from_the_same_runs(model) -> None:
    runs = 600
    sizes = model.sample(SOURCES, runs, rng=5).sizes
    law = model.size_distribution(SOURCES, "monte-carlo", runs=runs, rng=5, workers=2)
    np.testing.assert_array_equal(np.rint(law.pmf * runs), np.bincount(sizes, minlength=301))
    assert law.samples == runs
    every = model.marginals(SOURCES, "monte-carlo", runs=runs, rng=5, workers=2)
    assert every.samples == runs
    assert every.probability.sum() == pytest.approx(sizes.mean())
    size = int(np.bincount(sizes).argmax())
    given = model.marginals_given_size(size, SOURCES, "monte-carlo", runs=runs, rng=5, workers=2)
    assert given.samples == (sizes == size).sum()
    assert given.probability.sum() == pytest.approx(size)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_who_activated_whom_is_a_forest_along_arcs(model) -> None:
    found = model.sample(SOURCES, 50, rng=1, who=True, workers=2)
    told = found.activations
    np.testing.assert_array_equal(np.bincount(told.run, minlength=50), found.sizes)
    arcs = set(zip(GRAPH.senders.tolist(), GRAPH.receivers.tolist(), strict=True))
    for run in range(50):
        rows = told.run == run
        unit, by, step = told.unit[rows], told.by[rows], told.step[rows]
        assert len(np.unique(unit)) == len(unit)
        assert step.max(initial=0) == found.durations[run]
        when = dict(zip(unit.tolist(), step.tolist(), strict=True))
        for u, b, s in zip(unit.tolist(), by.tolist(), step.tolist(), strict=True):
            assert (b == -1) == (s == 0)
            if b >= 0:
                assert (b, u) in arcs
                assert when[b] == s - 1


def test_marginals_stand_for_an_array_and_carry_limits() -> None:
    found = MODELS["independent"].marginals(SOURCES, "monte-carlo", runs=4000, rng=0)
    assert np.asarray(found).shape == (300,)
    assert len(found) == 300
    low, high = found.interval()
    assert np.all((low <= found.probability) & (found.probability <= high))
    again = MODELS["independent"].marginals(SOURCES, "monte-carlo", runs=40_000, rng=9).probability
    assert np.mean((low <= again) & (again <= high)) > 0.9


@pytest.mark.parametrize("runs", [0, -3, 2.5, True, None])
def test_there_must_be_runs(runs: object) -> None:
    model = MODELS["independent"]
    for ask in (model.sample, model.marginals):
        with pytest.raises(UserError, match="there must be runs"):
            ask(SOURCES, runs=runs)
    with pytest.raises(UserError, match="there must be runs"):
        model.size_distribution(SOURCES, "monte-carlo", runs=runs)


def test_a_size_that_no_run_ends_with_is_named() -> None:
    with pytest.raises(UserError, match="no run ended with 299"):
        MODELS["independent"].marginals_given_size(299, [0], runs=10, rng=0)


def test_memory_does_not_grow_with_runs() -> None:
    """At most two blocks per thread wait, however many there are."""
    alive, most = 0, 0

    class Held:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    for workers in (1, 2):
        seen = sum(1 for _ in sampling.each_block(lambda first, count: Held(), 50 * sampling.BLOCK, workers))
        assert seen >= 50
    assert most <= 8


def test_marginals_are_arrays_of_any_kind() -> None:
    found = MODELS["independent"].marginals(SOURCES, "monte-carlo", runs=100, rng=0)
    assert np.asarray(found, dtype=np.float32).dtype == np.float32
    assert np.array(found, copy=True) is not found.probability
