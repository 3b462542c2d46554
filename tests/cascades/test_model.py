"""Every model answers the same questions in the same words; every solver of one law agrees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades import CascadeModel, IndependentCascade, LinearThreshold, LoadRedistribution, Threshold
from sparsefire.cascades.exact import conditional
from sparsefire.cascades.model import METHODS
from sparsefire.cascades.sampling.runs import Marginals
from sparsefire.wiring import Wiring, erdos_renyi, random_tree

TREE = random_tree(40, rng=1)
TINY = Wiring.from_edges([0, 1, 2, 0, 2], [1, 2, 0, 3, 3], units=5)  # a ring, two ways to unit 3, and one alone
COMPLETE = Wiring.from_edges(*np.triu_indices(6, 1), directed=False)
GRAPH = erdos_renyi(120, mean_degree=4, directed=False, rng=2)
MAKE = {
    "independent": lambda wiring: IndependentCascade(wiring, 0.3),
    "linear threshold": LinearThreshold,
    "threshold": lambda wiring: Threshold(wiring, stats.norm(0.5, 0.25)),
    "load redistribution": lambda wiring: LoadRedistribution(wiring, 0.2, stats.uniform()),
}
progressive = pytest.mark.parametrize("make", list(MAKE.values())[:3], ids=list(MAKE)[:3])
everywhere = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


@everywhere
def test_methods_are_those_it_names(make) -> None:
    model = make(GRAPH)
    assert isinstance(model, CascadeModel)
    assert set(model.methods) <= set(METHODS)
    for method in METHODS:
        if method not in model.methods:
            with pytest.raises(UserError, match=method):
                model.size_distribution([0], method)
    with pytest.raises(UserError, match="no method 'trees'"):
        model.size_distribution([0], "trees")


@everywhere
def test_solvers_that_are_exact_agree_with_runs(make) -> None:
    model = make(TREE)
    start = np.full(40, 0.1)
    sampled = model.size_distribution(start, "monte-carlo", runs=100_000, rng=0)
    assert sampled.samples == 100_000
    assert len(sampled.pmf) == 41
    low, high = sampled.interval()
    for method in ("auto", "exact", "tree", "tree-approximation"):
        if method not in model.methods or isinstance(model, LoadRedistribution):
            continue
        law = model.size_distribution(start, method)
        assert law.samples is None
        assert law.interval() is None
        assert np.all((low <= law.cdf + 1e-12) & (law.cdf - 1e-12 <= high))
        assert law.mean() == pytest.approx(sampled.mean(), abs=4 * np.sqrt(law.variance() / 100_000))


@progressive
def test_marginals_on_trees_are_exact_and_add_up(make) -> None:
    model = make(TREE)
    start = np.linspace(0, 0.2, 40)
    exact = model.marginals(start)
    assert exact.method == "tree"
    assert exact.interval() is None
    assert exact.probability.sum() == pytest.approx(model.size_distribution(start).mean(), rel=1e-9)
    field = model.size_distribution(start, "mean-field")
    assert field.method == "mean-field"
    assert field.mean() == pytest.approx(exact.probability.sum(), rel=1e-9)


@progressive
def test_mean_field_is_close_in_the_mean_on_sparse_graphs(make) -> None:
    model = make(GRAPH)
    start = np.full(120, 0.05)
    field, sampled = model.marginals(start, "mean-field"), model.marginals(start, "monte-carlo", runs=20_000, rng=0)
    assert field.method == "mean-field"
    assert np.abs(field.probability - sampled.probability).mean() < 0.08
    assert np.corrcoef(field.probability, sampled.probability)[0, 1] > 0.9


def close(exact: Marginals, sampled: Marginals) -> bool:
    assert exact.samples is None
    assert sampled.samples > 1000
    p = exact.probability
    return bool(np.all(np.abs(sampled.probability - p) <= 4.5 * np.sqrt(p * (1 - p) / sampled.samples) + 1e-9))


@pytest.mark.parametrize(
    ("kind", "wiring", "method"),
    [
        ("independent", TINY, "enumeration"),
        ("linear threshold", TINY, "enumeration"),
        ("threshold", TINY, "enumeration"),
        ("independent", COMPLETE, "complete graph"),
        ("linear threshold", Wiring.from_edges(*np.triu_indices(4, 1), directed=False), "enumeration"),
        ("threshold", COMPLETE, "complete graph"),
        ("load redistribution", COMPLETE, "fibre bundle, equal sharing"),
    ],
)
def test_marginals_are_exact_where_laws_are(kind: str, wiring: Wiring, method: str) -> None:
    model = MAKE[kind](wiring)
    start = np.where(np.arange(wiring.units) == 2, 1.0, 0.1)
    law = model.size_distribution(start)
    assert law.method == method
    for way in ("auto", "exact"):
        every = model.marginals(start, way)
        assert every.method == method
        assert every.interval() is None
        assert every.probability.sum() == pytest.approx(law.mean(), rel=1e-12)
        assert every[2] == pytest.approx(1.0, abs=1e-14)
        with pytest.raises(UserError, match="this size is impossible"):
            model.marginals_given_size(0, start, way)
    assert close(every, model.marginals(start, "monte-carlo", rng=0))
    total = np.zeros(wiring.units)
    for size in np.flatnonzero(law.pmf > 0).tolist():
        given = model.marginals_given_size(size, start)
        assert given.method == method
        assert given.probability.sum() == pytest.approx(size, rel=1e-12)
        np.testing.assert_array_equal(given, model.marginals_given_size(size, start, "exact"))
        total += law.pmf[size] * given.probability
    np.testing.assert_allclose(total, every, rtol=1e-11)
    size = int(law.pmf[2:].argmax()) + 2
    sampled = model.marginals_given_size(size, start, "monte-carlo", rng=1)
    assert close(model.marginals_given_size(size, start), sampled)
    if "tree" in model.methods:
        with pytest.raises(UserError, match="no forest"):
            model.marginals(start, "tree")
        with pytest.raises(UserError, match="no forest"):
            model.marginals_given_size(size, start, "tree")


@progressive
def test_what_takes_minutes_given_the_size_is_sampled(make, monkeypatch) -> None:
    model = make(TREE)
    assert model.marginals_given_size(4, 0.1).method == "tree"
    monkeypatch.setattr(conditional, "MOST_HELD", 100)
    assert model.marginals_given_size(4, 0.1, runs=5_000, rng=0).method == "monte-carlo"
    assert model.marginals_given_size(4, 0.1, "exact").method == "tree"


@progressive
def test_marginals_on_large_forests_are_exact(make, monkeypatch) -> None:
    monkeypatch.setattr("sparsefire.cascades.model.MOST_ON_TREES", 39)
    model = make(TREE)
    assert model.size_distribution(0.1, runs=100, rng=0).method == "monte-carlo"
    assert model.marginals(0.1, runs=100, rng=0).method == "tree"
    assert model.marginals_given_size(4, 0.1, runs=1000, rng=0).method == "monte-carlo"


@progressive
def test_given_the_size_trees_and_runs_agree(make) -> None:
    model = make(TREE)
    start = np.full(40, 0.1)
    exact = model.marginals_given_size(8, start)
    assert exact.method == "tree"
    assert exact.probability.sum() == pytest.approx(8)
    assert close(exact, model.marginals_given_size(8, start, "monte-carlo", runs=200_000, rng=0))


@everywhere
@pytest.mark.parametrize("size", [-1, 121, 2.5, True, None], ids=str)
def test_sizes_that_cannot_be_are_refused(make, size) -> None:
    with pytest.raises(UserError, match="there is no such size"):
        make(GRAPH).marginals_given_size(size, [0])


@everywhere
def test_what_a_method_cannot_do_is_said(make) -> None:
    model = make(GRAPH)
    with pytest.raises(UserError, match="no exact solution") as caught:
        model.marginals([0], "exact")
    assert caught.value.expected == model._solvable(np.zeros(120))
    with pytest.raises(UserError):
        model.marginals([0], "tree-approximation")
    with pytest.raises(UserError, match="exact or sampled"):
        model.marginals_given_size(3, [0], "mean-field" if "mean-field" in model.methods else "auto-matic")
    with pytest.raises(UserError, match=r"no exact solution|exact or sampled"):
        model.marginals_given_size(3, [0], "exact")
    with pytest.raises(UserError, match="no exact solution"):
        model.size_distribution([0], "exact")


@everywhere
def test_two_layers_hold_no_cascade(make) -> None:
    with pytest.raises(UserError, match="two layers"):
        make(Wiring.from_edges([0, 1], [1, 0], shape=(2, 2)))


@everywhere
def test_nobody_starts_what_nobody_is(make) -> None:
    """A wiring without arcs: exactly the sources, and units that start by themselves."""
    model = make(Wiring.from_edges([], [], units=5))
    sizes = model.sample([1, 3], runs=2000, rng=0).sizes
    assert sizes.min() >= 2
    alone = model.marginals([1, 3], "monte-carlo", runs=4000, rng=0).probability
    assert alone[[1, 3]].tolist() == [1.0, 1.0]
    expected = {IndependentCascade: 0.0, LinearThreshold: 0.0, Threshold: stats.norm(0.5, 0.25).cdf(0)}
    share = expected.get(type(model), 0.2)
    assert np.abs(alone[[0, 2, 4]] - share).max() < 4 * np.sqrt(0.25 / 4000)
