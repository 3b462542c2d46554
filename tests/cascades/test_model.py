"""Every model answers the same questions in the same words; every solver of one law agrees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire import UserError
from sparsefire.cascades import CascadeModel, IndependentCascade, LinearThreshold, LoadRedistribution, Threshold
from sparsefire.cascades.model import METHODS
from sparsefire.wiring import Wiring, erdos_renyi, random_tree

TREE = random_tree(40, rng=1)
GRAPH = erdos_renyi(120, mean_degree=4, directed=False, rng=2)
MAKE = {
    "independent": lambda wiring: IndependentCascade(wiring, 0.3),
    "linear threshold": LinearThreshold,
    "threshold": lambda wiring: Threshold(wiring, stats.norm(0.5, 0.25)),
    "load redistribution": lambda wiring: LoadRedistribution(wiring, 0.2, stats.uniform()),
}
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


@pytest.mark.parametrize("make", [MAKE[k] for k in ("independent", "linear threshold", "threshold")])
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


@pytest.mark.parametrize("make", [MAKE[k] for k in ("independent", "linear threshold", "threshold")])
def test_mean_field_is_close_in_the_mean_on_sparse_graphs(make) -> None:
    model = make(GRAPH)
    start = np.full(120, 0.05)
    field, sampled = model.marginals(start, "mean-field"), model.marginals(start, "monte-carlo", runs=20_000, rng=0)
    assert field.method == "mean-field"
    assert np.abs(field.probability - sampled.probability).mean() < 0.08
    assert np.corrcoef(field.probability, sampled.probability)[0, 1] > 0.9


def test_given_the_size_trees_and_runs_agree() -> None:
    model = MAKE["independent"](TREE)
    start = np.full(40, 0.1)
    exact = model.marginals_given_size(8, start)
    assert exact.method == "tree"
    assert exact.probability.sum() == pytest.approx(8)
    sampled = model.marginals_given_size(8, start, "monte-carlo", runs=200_000, rng=0)
    assert sampled.samples > 5000
    z = (sampled.probability - exact.probability) / np.sqrt(
        exact.probability * (1 - exact.probability) / sampled.samples
    )
    assert np.abs(z).max() < 4.5


@everywhere
@pytest.mark.parametrize("size", [-1, 121, 2.5, True, None], ids=str)
def test_sizes_that_cannot_be_are_refused(make, size) -> None:
    with pytest.raises(UserError, match="there is no such size"):
        make(GRAPH).marginals_given_size(size, [0])


@everywhere
def test_what_a_method_cannot_do_is_said(make) -> None:
    model = make(GRAPH)
    with pytest.raises(UserError, match="no exact solution"):
        model.marginals([0], "exact")
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
