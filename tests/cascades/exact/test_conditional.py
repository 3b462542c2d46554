"""Oracles: all patterns gone through, one model as a special case of another, and sums that must come out."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sparsefire.cascades.exact import conditional
from sparsefire.cascades.exact.conditional import (
    hard_given_size,
    live_marginals_given_size,
    marginals_given_size,
    threshold_marginals_given_size,
)
from sparsefire.cascades.exact.live_tree import live_marginals, live_tree_law
from sparsefire.cascades.exact.small import threshold_enumeration
from sparsefire.cascades.exact.threshold_tree import threshold_marginals, threshold_tree_law
from sparsefire.cascades.exact.tree import marginals, tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

sys.path.insert(0, str(Path(__file__).resolve().parent))
from trees import live_joint, open_arcs_joint, oriented_tree, random_tree, random_weights, threshold_joint


def agree(given, law, joint):
    """Compare with all sizes that can be, and see that the others are refused."""
    for size in range(len(law)):
        if law[size] == 0:
            with pytest.raises(UserError, match="impossible"):
                given(size)
            continue
        found = given(size)
        assert np.abs(found - joint[size] / law[size]).max() <= 1e-12
        assert found.sum() == pytest.approx(size, abs=1e-12)


def random_responses(wiring, rng):
    return [np.sort(rng.choice([0.0, 1.0, *rng.random(6)], k + 1)) for k in wiring.in_degrees]


def test_independent_cascades_against_all_patterns():
    rng = np.random.default_rng(4)
    for _ in range(12):
        wiring = random_tree(6, rng, both=False, forest=True)
        w, p = rng.choice([0.0, 1.0, *rng.random(3)], wiring.edges), rng.choice([0.0, 1.0, *rng.random(3)], 6)
        law, joint = open_arcs_joint(wiring, w, p)
        assert np.allclose(marginals(wiring, w, p), joint.sum(axis=0), rtol=0, atol=1e-12)
        agree(lambda size: marginals_given_size(wiring, w, p, size), law, joint)  # noqa: B023


@pytest.mark.parametrize("kind", ["both", "some", "one"])
@pytest.mark.parametrize("n", range(1, 7))
def test_linear_thresholds_against_all_choices_of_whom_to_follow(n, kind):
    rng = np.random.default_rng(n)
    for _ in range(4):
        wiring = oriented_tree(n, rng, kind)
        w, p = random_weights(wiring, rng), rng.choice([0.0, 1.0, *rng.random(6)], n)
        law, joint = live_joint(wiring, w, p)
        agree(lambda size: live_marginals_given_size(wiring, w, p, size), law, joint)  # noqa: B023


@pytest.mark.parametrize("kind", ["both", "some", "one"])
@pytest.mark.parametrize("n", range(1, 6))
def test_thresholds_against_all_numbers_that_are_needed(n, kind):
    rng = np.random.default_rng(10 + n)
    for _ in range(4):
        wiring = oriented_tree(n, rng, kind)
        responses = random_responses(wiring, rng)
        law, joint = threshold_joint(wiring, responses)
        agree(lambda size: threshold_marginals_given_size(wiring, responses, size), law, joint)  # noqa: B023


def test_thresholds_on_forests_with_hubs_against_enumeration():
    rng = np.random.default_rng(5)
    for parents in ([0] * 7, [0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 3, 3, 3, 3]):
        keep = rng.random(len(parents)) < 0.9
        wiring = Wiring.from_edges(
            np.array(parents)[keep], np.arange(1, len(parents) + 1)[keep], units=len(parents) + 1, directed=False
        )
        responses = [np.sort(rng.random(k + 1)) for k in wiring.in_degrees]
        exact = threshold_enumeration(wiring, responses)
        law = exact.law().pmf
        joint = np.array([p * exact.active(size) for size, p in enumerate(law)])
        agree(lambda size: threshold_marginals_given_size(wiring, responses, size), law, joint)  # noqa: B023


def test_equal_weights_are_a_threshold_response():
    rng = np.random.default_rng(15)
    wiring = oriented_tree(60, rng, "some")
    w = np.empty(wiring.edges)
    w[wiring.given] = 1 / np.maximum(wiring.in_degrees, 1)[wiring.receivers]
    responses = [0.05 + 0.95 * (np.arange(d + 1) / max(d, 1)) for d in wiring.in_degrees]
    for size in range(61):
        found = live_marginals_given_size(wiring, w, 0.05, size)
        assert np.abs(found - threshold_marginals_given_size(wiring, responses, size)).max() <= 1e-11


def test_independent_cascades_with_equal_arcs_are_a_threshold_response():
    """Hubs, whose products are kept in part only, and sizes far out in the tail."""
    rng = np.random.default_rng(16)
    ends = np.array([(int(rng.choice([0, i // 2, i - 1])), i) for i in range(1, 120)]).T
    wiring = Wiring.from_edges(*ends, directed=False)
    assert wiring.in_degrees.max() > 30
    for w, p in ((0.2, 0.1), (1e-3, 1e-4)):
        responses = [1 - (1 - p) * (1 - w) ** np.arange(k + 1.0) for k in wiring.in_degrees]
        for size in (0, 1, 2, 30, 77, 119, 120):
            found = threshold_marginals_given_size(wiring, responses, size)
            assert np.abs(found - marginals_given_size(wiring, w, p, size)).max() <= 1e-9
    assert tree_law(wiring, 1e-3, 1e-4).log_pmf[120] < -400


def test_weighted_by_the_law_they_are_the_marginals():
    rng = np.random.default_rng(17)
    wiring = oriented_tree(40, rng, "some")
    w, p, responses = random_weights(wiring, rng), rng.random(40) * 0.2, random_responses(wiring, rng)
    for given, law, expected in (
        (
            lambda s: live_marginals_given_size(wiring, w, p, s),
            live_tree_law(wiring, w, p),
            live_marginals(wiring, w, p),
        ),
        (
            lambda s: threshold_marginals_given_size(wiring, responses, s),
            threshold_tree_law(wiring, responses),
            threshold_marginals(wiring, responses),
        ),
    ):
        total = sum(law.pmf[size] * given(int(size)) for size in np.flatnonzero(law.pmf > 0))
        assert np.abs(total - expected).max() <= 1e-12


def test_marginals_given_size_add_up():
    rng = np.random.default_rng(11)
    wiring = random_tree(150, rng)
    w, p = rng.random(wiring.edges) * 0.1, rng.random(150) * 0.01
    law = tree_law(wiring, w, p)
    total = np.zeros(150)
    for size in range(0, 15):
        found = marginals_given_size(wiring, w, p, size)
        assert found.sum() == pytest.approx(size, rel=1e-11, abs=1e-11)
        total += found * law.pmf[size]
    assert law.survival[14] < 1e-6
    assert np.allclose(total, marginals(wiring, w, p), atol=2e-5)
    assert marginals_given_size(wiring, w, p, 140).sum() == pytest.approx(140, rel=1e-10)  # P about 1e-250


@pytest.mark.parametrize("size", [0, 1, 40, 99, 100])
def test_two_ends_of_the_law_on_a_star_of_like_leaves(size):
    """Leaves are alike, so that all have one chance, and it follows from that of the hub."""
    star = Wiring.from_edges([0] * 99, range(1, 100), directed=False)
    found = marginals_given_size(star, 0.2, 0.05, size)
    assert found[1:] == pytest.approx(found[1], rel=1e-12)
    assert found[1] == pytest.approx((size - found[0]) / 99, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("size", [0, 1, 17, 59, 60])
def test_leaves_that_are_alike_share_what_the_hub_leaves(size):
    star = Wiring.from_edges([0] * 59, range(1, 60), directed=False)
    responses = [np.linspace(0.1, 0.9, 60) ** 2, *([np.array([0.1, 0.35])] * 59)]
    both = Wiring.from_edges(np.c_[range(1, 60), [0] * 59].ravel(), np.c_[[0] * 59, range(1, 60)].ravel())
    for found in (
        threshold_marginals_given_size(star, responses, size),
        live_marginals_given_size(both, np.tile([1 / 60, 0.4], 59), 0.05, size),
    ):
        assert found[1:] == pytest.approx(found[1], rel=1e-12)
        assert found[1] == pytest.approx((size - found[0]) / 59, rel=1e-12, abs=1e-13)


def test_sizes_whose_law_underflows():
    path = Wiring.from_edges(range(59), range(1, 60))
    assert live_marginals_given_size(path, 1e-9, [0], 40) == pytest.approx((np.arange(60) < 40) * 1.0, abs=1e-12)
    responses = [np.array([1.0]), *([np.array([0.0, 1e-9])] * 59)]
    assert threshold_marginals_given_size(path, responses, 40) == pytest.approx((np.arange(60) < 40) * 1.0, abs=1e-12)


def test_what_takes_minutes_is_known_beforehand(monkeypatch):
    star = Wiring.from_edges([0] * 3000, range(1, 3001), directed=False)
    path = Wiring.from_edges(range(3000), range(1, 3001), directed=False)
    assert hard_given_size(star, 1500, counts=True)
    assert not hard_given_size(star, 20, counts=True)
    assert not hard_given_size(path, 1500, counts=True)
    assert not hard_given_size(path, 1500)
    monkeypatch.setattr(conditional, "MOST_HELD", 1_000_000)
    assert hard_given_size(path, 1500)
    assert not hard_given_size(path, 20)
    assert not hard_given_size(star, 1500)


def test_a_size_that_is_none():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="impossible"):
        marginals_given_size(pair, 0.5, [0.0, 0.0], 1)
    with pytest.raises(UserError, match="impossible"):
        live_marginals_given_size(pair, 0.5, [1], 2)
    with pytest.raises(UserError, match="impossible"):
        threshold_marginals_given_size(pair, [[1.0], [0.0, 1.0]], 1)
    ring = Wiring.from_edges([0, 1, 2], [1, 2, 0])
    with pytest.raises(UserError, match="closes a cycle"):
        live_marginals_given_size(ring, 0.5, [0], 1)
    with pytest.raises(UserError, match="closes a cycle"):
        threshold_marginals_given_size(ring, [[0.1, 0.2]] * 3, 1)
    for size in (-1, 3, 1.5, True):
        with pytest.raises(UserError, match="impossible") as caught:
            marginals_given_size(pair, 0.5, 0.5, size)
        assert f"size={size!r}" in caught.value.came
    star = Wiring.from_edges([0] * 99, range(1, 100), units=100)  # a hub that nearly all follow, or nearly none
    with pytest.raises(UserError, match="too deep") as caught:
        marginals_given_size(star, 1 - 1e-9, np.append(0.5, np.full(99, 1e-9)), 50)
    assert "log P" in caught.value.came
