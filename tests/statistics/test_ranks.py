"""Oracle: the n² definition of the AUC and of DeLong's and Obuchowski's variances, written out pair by pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.statistics.ranks import placement_variance, placements


def kernel(positive, score):
    """Return psi [n₊, n₋]: 1 if the positive is above, ½ if tied."""
    above = score[positive][:, None] - score[~positive][None, :]
    return (above > 0) + 0.5 * (above == 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_placements_are_pairwise_means(rows):
    positive = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows], dtype=float)
    if positive.all() or not positive.any():
        return
    psi = kernel(positive, score)
    u, v = placements(positive, np.stack([score, -score], axis=1))
    np.testing.assert_allclose(u[:, 0], psi.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(v[:, 0], psi.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(u[:, 1], 1 - psi.mean(axis=1), atol=1e-12)


def test_variance_is_delongs_formula():
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.4
    score = rng.normal(size=60) + positive
    psi = kernel(positive, score)
    m, n = psi.shape
    area = psi.mean()
    by_positive = sum((psi[i].mean() - area) ** 2 for i in range(m)) / (m - 1)
    by_negative = sum((psi[:, j].mean() - area) ** 2 for j in range(n)) / (n - 1)
    u, v = placements(positive, score[:, None])
    variance, degrees = placement_variance(u[:, 0], v[:, 0], positive)
    assert variance == pytest.approx(by_positive / m + by_negative / n, rel=1e-12)
    assert degrees == min(m, n) - 1


def test_variance_by_group_is_obuchowskis_formula():
    rng = np.random.default_rng(1)
    positive = rng.random(90) < 0.4
    group = rng.integers(0, 20, 90)
    score = rng.normal(size=90) + positive + rng.normal(size=20)[group]
    psi = kernel(positive, score)
    area = psi.mean()
    m, n = psi.shape
    x = psi.mean(axis=1) - area
    y = psi.mean(axis=0) - area
    sums = [(x[group[positive] == g].sum(), y[group[~positive] == g].sum()) for g in range(20)]
    holds = [((group[positive] == g).any(), (group[~positive] == g).any()) for g in range(20)]
    with_x, with_y = sum(a for a, _ in holds), sum(b for _, b in holds)
    s10 = with_x / ((with_x - 1) * m) * sum(a * a for a, _ in sums)
    s01 = with_y / ((with_y - 1) * n) * sum(b * b for _, b in sums)
    s11 = 20 / 19 * sum(a * b for a, b in sums)
    u, v = placements(positive, score[:, None])
    variance, degrees = placement_variance(u[:, 0], v[:, 0], positive, group, 20)
    assert variance == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n), rel=1e-10)
    assert degrees == min(with_x, with_y) - 1


def test_groups_of_one_row_change_nothing():
    rng = np.random.default_rng(2)
    positive = rng.random(70) < 0.3
    u, v = placements(positive, rng.normal(size=(70, 1)))
    alone = placement_variance(u[:, 0], v[:, 0], positive)
    grouped = placement_variance(u[:, 0], v[:, 0], positive, rng.permutation(70), 70)
    assert grouped[0] == pytest.approx(alone[0], rel=1e-12)
    assert grouped[1] == alone[1]


def test_a_class_of_one_row_shows_no_variance():
    positive = np.array([True, False, False, False])
    u, v = placements(positive, np.arange(4.0)[:, None])
    assert placement_variance(u[:, 0], v[:, 0], positive) == (np.inf, 1)
