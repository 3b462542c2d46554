"""Oracles: enumeration of all threshold classes, the printed vector, the independent cascade as a special case."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sparsefire.cascades.exact.closed_forms import star_law
from sparsefire.cascades.exact.forest import forest_of
from sparsefire.cascades.exact.small import enumerate_thresholds, neighbour_responses
from sparsefire.cascades.exact.threshold_tree import _log_law, threshold_tree_law
from sparsefire.cascades.exact.tree import tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trees import oriented_tree


@pytest.mark.parametrize("kind", ["both", "some"])
@pytest.mark.parametrize("n", range(1, 8))
def test_equals_enumeration(n, kind):
    rng = np.random.default_rng(n)
    for _ in range(5):
        wiring = oriented_tree(n, rng, kind)
        responses = [np.sort(rng.choice([0.0, 1.0, *rng.random(9)], k + 1)) for k in wiring.in_degrees]
        exact = enumerate_thresholds(wiring, responses).pmf
        found = threshold_tree_law(wiring, responses)
        assert np.abs(found.pmf - exact).max() <= 1e-12
        assert np.array_equal(found.log_pmf > -np.inf, exact > 0)


def test_printed_vector_of_the_path():
    path = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 4], directed=False)
    law = threshold_tree_law(path, neighbour_responses(path, stats.norm(0.4, 0.25).cdf))
    expected = [0.75443216, 0.03798033, 0.05445434, 0.05914425, 0.00143929, 0.09254965]
    assert np.allclose(law.pmf, expected, rtol=0, atol=1e-8)


def test_independent_cascade_with_equal_arcs_is_a_special_case():
    rng = np.random.default_rng(2)
    wiring = oriented_tree(200, rng, "both")
    responses = [-np.expm1(np.log1p(-0.01) + np.arange(k + 1) * np.log1p(-1e-4)) for k in wiring.in_degrees]
    found, exact = threshold_tree_law(wiring, responses), tree_law(wiring, 1e-4, 0.01)
    assert exact.log_pmf[-1] < -800
    assert np.abs(found.log_pmf - exact.log_pmf).max() < 1e-9  # r(m+1) - r(m) itself loses four digits here
    found = threshold_tree_law(wiring, [1 - 0.9 * 0.8 ** np.arange(k + 1.0) for k in wiring.in_degrees])
    assert np.abs(found.log_pmf - tree_law(wiring, 0.2, 0.1).log_pmf).max() < 1e-11


def test_logarithms_agree_with_scaled_passes():
    rng = np.random.default_rng(3)
    wiring = oriented_tree(60, rng, "some")
    responses = [np.sort(10.0 ** rng.uniform(-60, 0, k + 1)) for k in wiring.in_degrees]
    forest = forest_of(wiring)
    slow = _log_law(forest, [responses[i] for i in forest.order], forest.up >= 0, forest.down >= 0)
    found = threshold_tree_law(wiring, responses).log_pmf
    assert np.abs(found - slow).max() < 1e-10
    assert found.min() < -1000


@pytest.mark.parametrize("directed", [False, True])
def test_like_leaves_that_are_taken_together(directed):
    """Hubs with like and unlike leaves, and with branches; leaves that act on the hub, or only listen."""
    rng = np.random.default_rng(4)
    for _ in range(6):
        senders, receivers = [], []
        for i in range(1, 70):
            hub = int(rng.choice([0, 1, 2, 30, 31])) if i > 31 else int(rng.integers(max(0, i - 3), i))
            senders.append(i)
            receivers.append(hub)
            if not directed or rng.random() < 0.6:
                senders.append(hub)
                receivers.append(i)
        wiring = Wiring.from_edges(senders, receivers, units=70)
        loud = rng.random(70) < 0.3  # every other leaf is like the others
        responses = [
            np.sort(rng.random(k + 1)) if loud[i] else np.linspace(0.01, 0.95, k + 2)[: k + 1] ** 2
            for i, k in enumerate(wiring.in_degrees)
        ]
        forest = forest_of(wiring)
        slow = _log_law(forest, [responses[i] for i in forest.order], forest.up >= 0, forest.down >= 0)
        found = threshold_tree_law(wiring, responses).log_pmf
        assert np.array_equal(np.isfinite(found), np.isfinite(slow))
        some = np.isfinite(slow)
        assert np.abs(found[some] - slow[some]).max() < 1e-10


def test_stars_of_like_leaves_against_the_closed_form():
    star = Wiring.from_edges([0] * 300, range(1, 301), directed=False)
    hub = stats.norm(0.5, 0.1).cdf(np.arange(301) / 300)
    found = threshold_tree_law(star, [hub, *([np.array([0.1, 0.35])] * 300)])
    exact = star_law(hub, 0.1, 0.35)
    assert np.abs(found.log_pmf - exact.log_pmf).max() < 1e-10
    sure = threshold_tree_law(star, [hub, *([np.array([0.1, 1.0])] * 300)])  # all follow an active hub
    assert sure.pmf[301] == pytest.approx(star_law(hub, 0.1, 1.0).pmf[301], rel=1e-11)
    assert sure.pmf[:301] == pytest.approx(star_law(hub, 0.1, 1.0).pmf[:301], rel=1e-11, abs=1e-300)


def test_wrong_input_names_the_unit():
    path = Wiring.from_edges([0, 1], [1, 2])
    with pytest.raises(UserError, match="unit 1 has shape"):
        threshold_tree_law(path, [[0.1], [0.1], [0.1, 0.2]])
    with pytest.raises(UserError, match="unit 2 is no rising"):
        threshold_tree_law(path, [[0.1], [0.1, 0.2], [0.3, 0.2]])
    with pytest.raises(UserError, match="closes a cycle"):
        threshold_tree_law(Wiring.from_edges([0, 1, 2], [1, 2, 0]), [[0.1, 0.2]] * 3)
