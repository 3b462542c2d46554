"""Oracles: the formulas written out with loops, closed forms, simulation of the two-way model, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.statistics import cautions, crossed_bound, crossed_bound_auc, r2_differences, score_of

tables = arrays(np.float64, st.tuples(st.integers(3, 12), st.integers(2, 5)), elements=st.floats(-2, 2, width=16))


def by_hand(d, level, factor, row_variance, units):
    n, rounds = d.shape
    total = sum(d[i, r] for i in range(n) for r in range(rounds)) / (n * rounds)
    rnd = sum((d[:, r].mean() - total) ** 2 for r in range(rounds)) / (rounds * (rounds - 1))
    variance = factor * row_variance + rnd
    nu = variance**2 / (rnd**2 / (rounds - 1) + (factor * row_variance) ** 2 / (units - 1))
    return total, rnd, nu, total - stats.t.ppf(1 - level, nu) * np.sqrt(variance)


@pytest.mark.parametrize(("level", "factor"), [(0.05, 1.5), (0.05 / 3, 1.25)])
def test_formula_of_independent_rows(level, factor):
    d = np.random.default_rng(0).choice([-1, 0, 1], size=(120, 4), p=[0.2, 0.7, 0.1])
    bound = crossed_bound(d, level=level, factor=factor)
    row = sum((d[i].mean() - d.mean()) ** 2 for i in range(120)) / (120 * 119)
    estimate, rnd, nu, lower = by_hand(d, level, factor, row, 120)
    assert (bound.estimate, bound.variance_rows, bound.variance_rounds) == pytest.approx((estimate, row, rnd))
    assert (bound.degrees, bound.lower) == pytest.approx((nu, lower))
    assert bound.upper == pytest.approx(2 * estimate - lower)
    assert bound.share_initialisation == pytest.approx(rnd / (factor * row + rnd))
    assert (bound.rows, bound.rounds, bound.clusters, bound.level) == (120, 4, None, level)


def test_formula_of_groups():
    rng = np.random.default_rng(1)
    d, group = rng.normal(size=(150, 5)), np.sort(rng.integers(0, 35, 150))
    count = len(set(group))
    sums = [sum(d[i].mean() - d.mean() for i in range(150) if group[i] == g) for g in set(group)]
    row = count / (count - 1) * sum(s * s for s in sums) / 150**2
    *_, nu, lower = by_hand(d, 0.05, 1.5, row, count)
    bound = crossed_bound(d, clusters=group)
    assert (bound.variance_rows, bound.degrees, bound.lower) == pytest.approx((row, nu, lower))
    assert bound.clusters == count


def test_groups_of_one_row_are_rows():
    d = np.random.default_rng(2).normal(size=(60, 3))
    alone, grouped = crossed_bound(d), crossed_bound(d, clusters=np.arange(60)[::-1])
    assert grouped.lower == pytest.approx(alone.lower)
    assert grouped.degrees == pytest.approx(alone.degrees)


@settings(max_examples=60)
@given(tables, st.integers(0, 10**6))
def test_order_of_rows_and_rounds_does_not_matter(d, order):
    rng = np.random.default_rng(order)
    shuffled = d[rng.permutation(len(d))][:, rng.permutation(d.shape[1])]
    assert crossed_bound(shuffled).lower == pytest.approx(crossed_bound(d).lower, abs=1e-9)


@settings(max_examples=60)
@given(tables, st.integers(-3, 3))
def test_a_shift_moves_the_bound_and_a_sign_swaps_its_ends(d, shift):
    bound, moved, turned = crossed_bound(d), crossed_bound(d + shift), crossed_bound(-d)
    if bound.variance_rows + bound.variance_rounds == 0:
        return
    assert moved.lower == pytest.approx(bound.lower + shift, abs=1e-9)
    assert (turned.lower, turned.upper) == pytest.approx((-bound.upper, -bound.lower), abs=1e-9)


def test_a_smaller_level_is_more_careful():
    d = np.random.default_rng(3).normal(size=(100, 5))
    lowers = [crossed_bound(d, level=level).lower for level in (0.2, 0.05, 0.01)]
    assert lowers == sorted(lowers, reverse=True)


def test_never_disagreed_is_the_rule_of_three():
    bound = crossed_bound(np.zeros((300, 5)), level=0.05)
    assert bound.lower == pytest.approx(np.log(0.05) / 300)
    assert (bound.estimate, bound.share_initialisation) == (0.0, 0.0)
    assert bound.passes(0.01)
    assert not bound.passes(0.009)
    assert cautions.fired(bound.warnings, cautions.NEVER)
    # exact: with a chance of loss as large as the bound, 300 rows without one have probability of about the level
    assert (1 + bound.lower) ** 300 == pytest.approx(0.05, rel=0.02)
    grouped = crossed_bound(np.zeros((300, 5)), clusters=np.arange(300) // 3)
    assert grouped.lower == pytest.approx(np.log(0.05) / 100)


def test_rounding_is_not_disagreement():
    assert crossed_bound(np.full((50, 3), 0.1)).lower == pytest.approx(0.1 + np.log(0.05) / 50 * 1.1)


def test_level_under_the_two_way_model():
    # rows and rounds with normal effects and no training variability: factor 1 is then enough, nominal 5 %
    rng, sets, n, rounds = np.random.default_rng(4), 4000, 40, 5
    misses = 0
    for _ in range(sets):
        d = rng.normal(size=(n, 1)) * 0.6 + rng.normal(size=(1, rounds)) * 0.2 + rng.normal(size=(n, rounds)) * 0.5
        misses += crossed_bound(d, factor=1.0).lower > 0
    assert misses / sets <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)
    assert misses / sets > 0.02


def test_auc_formula():
    rng = np.random.default_rng(5)
    y = (rng.random(80) < 0.3).astype(int)
    small, dense = rng.normal(size=(80, 4)) + y[:, None], rng.normal(size=(80, 4)) + 1.5 * y[:, None]
    positive = y == 1

    def psi(s):
        return (s[positive][:, None] > s[~positive][None, :]).astype(float)

    delta = np.stack([psi(small[:, r]) - psi(dense[:, r]) for r in range(4)])
    u, v = delta.mean(axis=(0, 2)), delta.mean(axis=(0, 1))
    rounds = delta.mean(axis=(1, 2))
    row = u.var(ddof=1) / len(u) + v.var(ddof=1) / len(v)
    rnd = rounds.var(ddof=1) / 4
    total = 1.5 * row + rnd
    nu = total**2 / (rnd**2 / 3 + (1.5 * row) ** 2 / (min(len(u), len(v)) - 1))
    bound = crossed_bound_auc(y, small, dense)
    differences = [score_of("auc", y, small[:, r]) - score_of("auc", y, dense[:, r]) for r in range(4)]
    assert bound.estimate == pytest.approx(np.mean(differences))
    assert (bound.variance_rows, bound.variance_rounds, bound.degrees) == pytest.approx((row, rnd, nu))
    assert bound.lower == pytest.approx(bound.estimate - stats.t.ppf(0.95, nu) * np.sqrt(total))


def test_auc_sees_ranks_only_and_groups_of_one_row_change_nothing():
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 90)
    small, dense = rng.normal(size=(90, 3)) + y[:, None], rng.normal(size=(90, 3)) + y[:, None]
    bound = crossed_bound_auc(y, small, dense)
    assert crossed_bound_auc(y, np.exp(small), dense**3).lower == pytest.approx(bound.lower)
    assert crossed_bound_auc(y, small, dense, clusters=np.arange(90)).lower == pytest.approx(bound.lower)
    assert crossed_bound_auc(1 - y, -small, -dense).lower == pytest.approx(bound.lower)
    paired = crossed_bound_auc(y, small, dense, clusters=np.arange(90) // 2)
    assert paired.clusters == 45
    assert paired.lower != bound.lower


def test_equal_ranks_use_the_rarer_class():
    y = np.arange(100) % 4 == 0
    x = np.random.default_rng(7).normal(size=(100, 5))
    bound = crossed_bound_auc(y.astype(int), 2 * x, x)
    assert bound.lower == pytest.approx(np.log(0.05) / 25)


def test_influence_values_average_to_the_difference_and_follow_the_delta_method():
    rng = np.random.default_rng(8)
    y = rng.normal(size=400) ** 2
    small, dense = y + 0.6 * rng.normal(size=400), y + 0.5 * rng.normal(size=400)
    values = r2_differences(y, small, dense)
    difference = score_of("r2", y, small) - score_of("r2", y, dense)
    assert values.mean() == pytest.approx(difference)
    draws = rng.integers(0, 400, (4000, 400))
    boot = []
    for rows in draws:
        spread = y[rows].var()
        boot.append((np.square(y - dense)[rows].mean() - np.square(y - small)[rows].mean()) / spread)
    assert values.std(ddof=1) / 20 == pytest.approx(np.std(boot), rel=0.05)


def test_influence_values_round_by_round():
    rng = np.random.default_rng(9)
    y, small, dense = rng.normal(size=30), rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    together = r2_differences(y, small, dense)
    for r in range(3):
        np.testing.assert_allclose(together[:, r], r2_differences(y, small[:, r], dense[:, r]))


def test_warnings_of_size_and_groups():
    d = np.zeros((90, 5))
    d[0, 0] = 1
    texts = crossed_bound(d, folds=10).warnings
    (small,) = [text for text in texts if text.startswith(cautions.SMALL)]
    assert small == "Too small to promise a level: 90 rows, 9 rows per fold, 1 rows that differ."
    rng = np.random.default_rng(10)
    twenty = crossed_bound(rng.normal(size=(200, 5)), clusters=np.arange(200) // 10)
    assert cautions.fired(twenty.warnings, cautions.FEW_GROUPS)
    assert twenty.no_verdict == ""
    nine = crossed_bound(rng.normal(size=(180, 5)) + 9, clusters=np.arange(180) // 20)
    assert nine.lower > 0
    assert not nine.passes(1.0)
    assert "9 groups" in nine.no_verdict


def test_warning_of_initialisations():
    rng = np.random.default_rng(11)
    lasting = rng.choice([-1, 0, 1], size=(2000, 1), p=[0.1, 0.8, 0.1])  # rows that differ do so in every round
    quiet = crossed_bound(np.where(rng.random((2000, 5)) < 0.9, lasting, 0))
    assert not cautions.fired(quiet.warnings, cautions.LIMITED, cautions.FAILING)
    d = rng.choice([-1.0, 0.0, 1.0], size=(2000, 5), p=[0.02, 0.96, 0.02])
    d[:, 3] = rng.choice([-1.0, 0.0], size=2000, p=[0.15, 0.85])  # one initialisation in five is bad
    bad = crossed_bound(d)
    assert bad.share_initialisation > 0.5
    assert cautions.fired(bad.warnings, cautions.LIMITED)
    assert cautions.fired(bad.warnings, cautions.FAILING)


def test_warning_of_a_few_rows():
    rng = np.random.default_rng(12)
    assert not cautions.fired(crossed_bound(rng.normal(size=(500, 5))).warnings, cautions.TAIL)
    d = rng.normal(size=(500, 5))
    d[:3] += 30
    assert cautions.fired(crossed_bound(d).warnings, cautions.TAIL)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: crossed_bound(np.zeros(5)), "shape"),
        (lambda: crossed_bound(np.zeros((5, 1))), "rounds"),
        (lambda: crossed_bound(np.full((5, 2), np.nan)), "finite"),
        (lambda: crossed_bound(np.zeros((5, 2)), level=0.7), "level"),
        (lambda: crossed_bound(np.zeros((5, 2)), factor=0.5), "factor"),
        (lambda: crossed_bound(np.zeros((5, 2)), clusters=np.zeros(5)), "cluster"),
        (lambda: crossed_bound(np.zeros((5, 2)), clusters=np.zeros(4)), "clusters"),
        (lambda: crossed_bound_auc(np.zeros(5), np.zeros((5, 2)), np.zeros((5, 2))), "classes"),
        (lambda: crossed_bound_auc(np.arange(5), np.zeros((5, 2)), np.zeros((5, 2))), "zeros and ones"),
        (lambda: crossed_bound_auc([0, 0, 1], np.zeros((3, 2)), np.zeros((3, 2))), "rarer"),
        (lambda: crossed_bound_auc([0, 0, 1, 1], np.zeros((4, 2)), np.zeros((4, 3))), "belong"),
        (lambda: r2_differences(np.ones(4), np.zeros(4), np.zeros(4)), "constant"),
        (lambda: r2_differences(np.arange(4), np.zeros(4), np.zeros((4, 2))), "belong"),
    ],
)
def test_wrong_input_is_told(call, word):
    with pytest.raises(UserError) as caught:
        call()
    assert word in caught.value.render()
