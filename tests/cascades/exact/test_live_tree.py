"""Oracles: all choices of whom to follow, thresholds drawn at random, threshold responses, closed forms on paths."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.cascades.approximate.cavity import checked_influence
from sparsefire.cascades.exact.forest import forest_of
from sparsefire.cascades.exact.live_tree import _log_law, live_marginals, live_tree_law
from sparsefire.cascades.exact.threshold_tree import threshold_tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trees import live_joint, oriented_tree, random_weights


@pytest.mark.parametrize("kind", ["both", "some", "one"])
@pytest.mark.parametrize("n", range(1, 8))
def test_equals_enumeration_on_random_trees(n, kind):
    rng = np.random.default_rng(n)
    for _ in range(3):
        wiring = oriented_tree(n, rng, kind)
        w, p = random_weights(wiring, rng), rng.choice([0.0, 1.0, *rng.random(6)], n)
        exact, joint = live_joint(wiring, w, p)
        law = live_tree_law(wiring, w, p)
        assert np.abs(law.pmf - exact).max() <= 1e-12
        assert np.abs(live_marginals(wiring, w, p) - joint.sum(axis=0)).max() <= 1e-12


def test_impossible_sizes_are_told():
    rng = np.random.default_rng(12)
    for _ in range(40):
        wiring = oriented_tree(6, rng, "some")
        w = rng.choice([0.0, 1.0, 1.0], wiring.edges)
        total = np.bincount(wiring.receivers, wiring.per_arc(w), 6)
        w /= np.maximum(total[wiring.receivers], 1)[np.argsort(wiring.given)]
        p = rng.choice([0.0, 0.0, 0.3, 1.0], 6)
        exact, _ = live_joint(wiring, w, p)
        assert np.array_equal(live_tree_law(wiring, w, p).log_pmf > -np.inf, exact > 0)


def test_tiny_weights_and_sources_keep_their_digits():
    rng = np.random.default_rng(13)
    for _ in range(4):
        wiring = oriented_tree(6, rng, "some")
        w, p = 0.2 * 10.0 ** rng.uniform(-25, 0, wiring.edges), 10.0 ** rng.uniform(-25, 0, 6)
        exact, joint = live_joint(wiring, w, p)
        assert np.allclose(live_tree_law(wiring, w, p).pmf, exact, rtol=1e-12, atol=0)
        assert np.allclose(live_marginals(wiring, w, p), joint.sum(axis=0), rtol=1e-12, atol=0)


def test_thresholds_drawn_at_random():
    """The model itself: active once the weights of active in-neighbours reach an evenly drawn threshold."""
    rng = np.random.default_rng(14)
    wiring = oriented_tree(9, rng, "both")
    w = random_weights(wiring, rng, full=0.5)
    runs = 100_000
    matrix = np.zeros((9, 9))
    matrix[wiring.senders, wiring.receivers] = wiring.per_arc(w)
    thresholds = rng.random((runs, 9))
    active = rng.random((runs, 9)) < 0.1
    for _ in range(9):
        active |= active @ matrix >= thresholds
    observed = np.bincount(active.sum(axis=1), minlength=10) / runs
    law = live_tree_law(wiring, w, 0.1).pmf
    assert np.all(np.abs(observed - law) <= 4 * np.sqrt(law * (1 - law) / runs) + 1e-12)


@pytest.mark.parametrize("kind", ["both", "some"])
def test_equal_weights_are_a_threshold_response(kind):
    rng = np.random.default_rng(15)
    wiring = oriented_tree(150, rng, kind)
    k = np.maximum(wiring.in_degrees, 1)
    w = np.empty(wiring.edges)
    w[wiring.given] = 1 / k[wiring.receivers]
    responses = [0.05 + 0.95 * (np.arange(d + 1) / max(d, 1)) for d in wiring.in_degrees]
    found, exact = live_tree_law(wiring, w, 0.05), threshold_tree_law(wiring, responses)
    some = np.isfinite(exact.log_pmf)
    assert np.array_equal(np.isfinite(found.log_pmf), some)
    assert np.abs(found.log_pmf[some] - exact.log_pmf[some]).max() <= 1e-10
    assert found.mean() == pytest.approx(live_marginals(wiring, w, 0.05).sum(), rel=1e-12)


def test_path_in_closed_form():
    n, p, w = 40, 0.1, 0.6
    path = Wiring.from_edges(range(n - 1), range(1, n))
    law = live_tree_law(path, w, p)
    expected = np.empty(n)
    expected[0] = p
    for i in range(1, n):
        expected[i] = p + (1 - p) * w * expected[i - 1]
    assert np.allclose(live_marginals(path, w, p), expected, rtol=1e-13)
    assert law.mean() == pytest.approx(expected.sum(), rel=1e-12)
    assert law.pmf[0] == pytest.approx((1 - p) ** n, rel=1e-12)
    assert law.pmf[n] == pytest.approx(p * (p + (1 - p) * w) ** (n - 1), rel=1e-12)
    first = live_tree_law(path, w, [0]).pmf
    assert np.allclose(first[1:n], w ** np.arange(n - 1) * (1 - w), rtol=1e-12)


def test_far_tails_of_a_large_tree_agree_with_logarithms():
    rng = np.random.default_rng(16)
    wiring = oriented_tree(300, rng, "some")
    w, p = random_weights(wiring, rng) * 1e-3, rng.random(300) * 1e-3
    arcs, rest = checked_influence(wiring, w)
    forest = forest_of(wiring)
    padded, o = np.append(arcs, 0.0), forest.order
    slow = _log_law(forest, p[o], padded[forest.up], padded[forest.down], rest[o])
    found = live_tree_law(wiring, w, p).log_pmf
    assert np.abs(found - slow).max() <= 1e-10
    assert found.min() < -1500


def test_two_that_follow_each_other_keep_nothing_alive():
    pair = Wiring.from_edges([0, 1], [1, 0])
    assert live_tree_law(pair, 1.0, 0.1).pmf.tolist() == pytest.approx([0.81, 0, 0.19], rel=1e-13)
    assert live_tree_law(pair, 1.0, 0.0).pmf.tolist() == pytest.approx([1, 0, 0], rel=1e-13)
    assert live_tree_law(pair, 1.0, [1]).pmf.tolist() == pytest.approx([0, 0, 1], rel=1e-13)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_sums_to_one_with_the_mean_of_the_marginals(number, n):
    rng = np.random.default_rng(number)
    wiring = oriented_tree(n, rng, ["both", "some", "one"][number % 3])
    w, p = random_weights(wiring, rng), rng.choice([0.0, 1.0, 0.01, 0.3], n)
    law = live_tree_law(wiring, w, p)
    assert law.pmf.sum() == pytest.approx(1, abs=1e-12)
    assert law.pmf[0] == pytest.approx(np.prod(1 - p), rel=1e-12)
    assert law.mean() == pytest.approx(live_marginals(wiring, w, p).sum(), rel=1e-11)


def test_wrong_input_names_the_entry():
    pair = Wiring.from_edges([0, 1], [1, 0])
    with pytest.raises(UserError, match="into unit 2 add up"):
        live_tree_law(Wiring.from_edges([0, 1], [2, 2]), 0.6, 0.1)
    with pytest.raises(UserError, match="no influence"):
        live_tree_law(pair, [0.5, float("nan")], 0.1)
    with pytest.raises(UserError, match="unit 0 is none"):
        live_tree_law(pair, 0.5, [1.1, 0.0])
    for find in (live_tree_law, live_marginals):
        with pytest.raises(UserError, match="closes a cycle"):
            find(Wiring.from_edges([0, 1, 2], [1, 2, 0]), 0.5, 0.1)
