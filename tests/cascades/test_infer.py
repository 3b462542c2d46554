"""Oracles: estimates in closed form on paths and stars, a brute-force grid, coverage of what the law itself draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.independent import IndependentCascade
from sparsefire.cascades.infer import fit_probability
from sparsefire.cascades.linear_threshold import LinearThreshold
from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.wiring.graph import Wiring


def arcs_out(k: int) -> Wiring:
    return Wiring.from_edges(np.zeros(k, dtype=int), np.arange(1, k + 1))


def complete(n: int) -> Wiring:
    u, v = np.nonzero(~np.eye(n, dtype=bool))
    return Wiring.from_edges(u, v)


def tree(n: int) -> Wiring:
    parents = [int(stream(0, "tree", i).integers(i)) for i in range(1, n)]
    return Wiring.from_edges(parents, np.arange(1, n), directed=False)


def draws(law, runs: int, *key) -> np.ndarray:
    return np.searchsorted(law.cdf, stream(1, *key).random(runs))


def test_a_star_of_arcs_is_a_binomial() -> None:
    """From the hub, size - 1 is Binomial(k, w): estimate, error, test and interval are those of a binomial."""
    sizes = np.array([3, 1, 4, 6, 2])
    hits, trials = int((sizes - 1).sum()), 50
    found = fit_probability(arcs_out(10), sizes, sources=[0])
    w = hits / trials
    assert found.probability == pytest.approx(w, abs=1e-7)
    assert found.error == pytest.approx(np.sqrt(w * (1 - w) / trials), rel=2e-3)
    assert found.log_likelihood == pytest.approx(stats.binom(10, w).logpmf(sizes - 1).sum(), rel=1e-12)
    for end in found.interval(0.9):
        gap = hits * np.log(w / end) + (trials - hits) * np.log((1 - w) / (1 - end))
        assert 2 * gap == pytest.approx(stats.chi2(1).ppf(0.9), rel=1e-5)
        assert found.test(end).p_value == pytest.approx(0.1, rel=1e-5)
    assert found.test(w).p_value == pytest.approx(1.0, abs=1e-3)
    assert found.test(0.0) == (np.inf, 0.0)
    assert found.source_probability is None
    assert found.source_interval() is None
    assert found.samples == 5
    assert "5 sizes" in repr(found)
    assert "95% interval" in found.text()


def test_ends_of_the_range() -> None:
    nothing = fit_probability(arcs_out(3), [1, 1, 1, 1], sources=[0])
    assert nothing.probability == 0.0
    low, high = nothing.interval()
    assert low == 0.0
    assert high == pytest.approx(-np.expm1(-stats.chi2(1).ppf(0.95) / 2 / 12), rel=1e-6)  # 24 log(1 - w) = -χ²
    assert np.isnan(nothing.error)
    everything = fit_probability(arcs_out(3), [4, 4, 4, 4], sources=[0])
    assert everything.probability == 1.0
    assert everything.interval()[1] == 1.0
    assert everything.interval()[0] == pytest.approx(np.exp(-stats.chi2(1).ppf(0.95) / 2 / 12), rel=1e-6)


def test_a_small_probability_keeps_its_digits() -> None:
    sizes = np.ones(2000, dtype=int)
    sizes[0] = 2
    found = fit_probability(arcs_out(100), sizes, sources=[0])
    assert found.probability == pytest.approx(1 / 200_000, rel=1e-5)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_no_point_of_a_grid_is_likelier(sizes: list[int]) -> None:
    ring = Wiring.from_edges([0, 1, 2, 3, 4], [1, 2, 3, 4, 0])
    found = fit_probability(ring, sizes, sources=[0])
    others = [found.likelihood(w) for w in np.linspace(0, 1, 101)]
    assert found.log_likelihood >= max(others) - 1e-8
    low, high = found.interval()
    assert low <= found.probability <= high


def test_complete_graphs_and_the_source_too() -> None:
    law = IndependentCascade(complete(30), 0.03).size_distribution(np.full(30, 0.05))
    sizes = draws(law, 400, "complete")
    known = fit_probability(complete(30), sizes, sources=0.05)
    assert known.interval(0.999)[0] < 0.03 < known.interval(0.999)[1]
    both = fit_probability(complete(30), sizes)
    assert both.source_probability is not None
    assert both.log_likelihood >= known.log_likelihood
    assert both.interval(0.999)[0] < 0.03 < both.interval(0.999)[1]
    low, high = both.source_interval(0.999)
    assert low < 0.05 < high
    assert both.error > known.error  # what is not known of the sources is not known of the arcs
    assert 0 < both.source_error < 0.02
    grid = [both.likelihood(w, p) for w in np.linspace(0.01, 0.06, 26) for p in np.linspace(0.02, 0.1, 26)]
    assert both.log_likelihood >= max(grid) - 1e-8
    assert "a unit starts with" in both.text()


def test_one_source_probability_is_the_same_as_one_for_each_unit() -> None:
    sizes = [0, 1, 3, 2, 0]
    one = fit_probability(tree(4), sizes, sources=0.3)
    each = fit_probability(tree(4), sizes, sources=np.full(4, 0.3))
    assert one.probability == each.probability
    model = IndependentCascade(tree(4), 0.9)
    assert fit_probability(model, sizes, sources=0.3).probability == one.probability


def test_wrong_input() -> None:
    path = Wiring.from_edges([0, 1], [1, 2])
    with pytest.raises(UserError, match="no sizes"):
        fit_probability(path, [], [0])
    for sizes, entry in (([1, 4], "4 in entry 1"), ([1.5], "1.5 in entry 0"), ([-1], "-1"), ([np.nan], "nan")):
        with pytest.raises(UserError) as caught:
            fit_probability(path, sizes, [0])
        assert entry in caught.value.came
    with pytest.raises(UserError, match="impossible") as caught:
        fit_probability(path, [2, 0], [0])
    assert "0 in entry 1" in caught.value.came
    with pytest.raises(UserError, match="say nothing"):
        fit_probability(path, [1, 1], [2])
    with pytest.raises(UserError, match="say nothing"):
        fit_probability(path, [0, 0])
    with pytest.raises(UserError, match="say nothing"):
        fit_probability(path, [0, 0], 0.1)
    crowd = stream(0, "crowd").integers(0, 40, (2, 300))
    with pytest.raises(UserError, match="not known exactly") as caught:
        fit_probability(Wiring.from_edges(*crowd, units=40), [3], [0])
    assert "tree-approximation" in caught.value.attempt
    with pytest.raises(UserError, match="monte-carlo"):
        fit_probability(path, [1], [0], method="monte-carlo")
    with pytest.raises(UserError, match="belongs to a wiring"):
        fit_probability([[0, 1]], [1], [0])
    found = fit_probability(path, [1, 2], [0])
    with pytest.raises(UserError, match="level"):
        found.interval(1.0)
    with pytest.raises(UserError, match="no probability"):
        found.test(1.5)


@pytest.mark.slow
def test_intervals_cover_on_a_random_tree() -> None:
    graph = tree(50)
    law = IndependentCascade(graph, 0.3).size_distribution(np.full(50, 0.02))
    held = errors = 0.0
    estimates = []
    for repeat in range(300):
        found = fit_probability(graph, draws(law, 200, "coverage", repeat), sources=0.02)
        low, high = found.interval()
        held += low <= 0.3 <= high
        errors += found.error
        estimates.append(found.probability)
    assert held / 300 == pytest.approx(0.95, abs=0.035)
    assert errors / 300 == pytest.approx(np.std(estimates), rel=4 / np.sqrt(2 * 300))
    assert np.mean(estimates) == pytest.approx(0.3, abs=4 * np.std(estimates) / np.sqrt(300) + 0.005)


def test_other_models_have_no_probability_of_an_arc() -> None:
    with pytest.raises(UserError, match="independent cascades"):
        fit_probability(LinearThreshold(Wiring.from_edges([0, 1], [1, 2])), [1, 2], sources=[0])
