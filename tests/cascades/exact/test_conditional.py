"""Oracles: all patterns gone through, and sums that must come out."""

import numpy as np
import pytest

from sparsefire.cascades.exact.conditional import marginals_given_size
from sparsefire.cascades.exact.tree import marginals, tree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


def random_tree(n, rng, *, both=True, forest=False):
    parents = [int(rng.integers(i)) for i in range(1, n)]
    keep = rng.random(n - 1) < (0.7 if forest else 2)
    senders, receivers = [], []
    names = rng.permutation(n)
    for i, parent in enumerate(parents, start=1):
        if not keep[i - 1]:
            continue
        ends = [(names[i], names[parent]), (names[parent], names[i])]
        for sender, receiver in ends if both else ends[: rng.integers(1, 3)]:
            senders.append(sender)
            receivers.append(receiver)
    return Wiring.from_edges(np.array(senders, dtype=int), np.array(receivers, dtype=int), units=n)


def test_marginals_against_enumeration_of_conditioned_runs():
    rng = np.random.default_rng(4)
    for _ in range(8):
        wiring = random_tree(6, rng, forest=True)
        w, p = rng.random(wiring.edges), rng.random(6)
        uncertain = rng.permutation(wiring.edges)[:4]
        sure = np.setdiff1d(np.arange(wiring.edges), uncertain)
        w[sure] = rng.integers(0, 2, len(sure))
        joint = np.zeros((7, 6))
        for pattern in range(2 ** (6 + len(uncertain))):
            bits = np.array([(pattern >> k) & 1 for k in range(6 + len(uncertain))], dtype=bool)
            active, is_open = bits[:6].copy(), w == 1
            is_open[uncertain] = bits[6:]
            chance = np.prod(np.where(bits[:6], p, 1 - p)) * np.prod(np.where(bits[6:], w[uncertain], 1 - w[uncertain]))
            before = -1
            while before != active.sum():
                before = active.sum()
                for arc in np.flatnonzero(is_open[wiring.given]):
                    active[wiring.receivers[arc]] |= active[wiring.senders[arc]]
            joint[active.sum()] += chance * active
        assert np.allclose(marginals(wiring, w, p), joint.sum(axis=0), rtol=0, atol=1e-12)
        law = tree_law(wiring, w, p).pmf
        for size in np.flatnonzero(law > 0):
            found = marginals_given_size(wiring, w, p, int(size))
            assert np.allclose(found * law[size], joint[size], rtol=0, atol=1e-12)


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


def test_a_size_that_is_none():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="impossible"):
        marginals_given_size(pair, 0.5, [0.0, 0.0], 1)
    for size in (-1, 3, 1.5, True):
        with pytest.raises(UserError, match="impossible") as caught:
            marginals_given_size(pair, 0.5, 0.5, size)
        assert f"size={size!r}" in caught.value.came
    star = Wiring.from_edges([0] * 99, range(1, 100), units=100)  # a hub that nearly all follow, or nearly none
    with pytest.raises(UserError, match="too deep") as caught:
        marginals_given_size(star, 1 - 1e-9, np.append(0.5, np.full(99, 1e-9)), 50)
    assert "log P" in caught.value.came
