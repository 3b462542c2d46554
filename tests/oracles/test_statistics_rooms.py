"""Oracle: textbook formulas, exact enumeration, brute force and simulation against the statistics rooms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire import statistics as room

SEEDS = st.integers(0, 100_000)


def ternary(seed: int, rows: int, rounds: int, p: float = 0.08) -> np.ndarray:
    """Differences of two 0/1 scores."""
    return np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], p=[p, 1 - 2 * p, p], size=(rows, rounds))


# ---------------------------------------------------------------- the crossed bound


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, rows=st.integers(5, 80), rounds=st.integers(2, 8), level=st.sampled_from([0.05, 0.0167, 0.2]))
def test_crossed_bound_is_its_formula(own: SimpleNamespace, seed: int, rows: int, rounds: int, level: float) -> None:
    d = ternary(seed, rows, rounds) + np.random.default_rng(seed).normal(size=(1, rounds)) * 0.01
    found, mine = room.crossed_bound(d, level=level), own.crossed(d, level)
    assert found.estimate == pytest.approx(mine.estimate, abs=1e-12)
    assert found.lower == pytest.approx(mine.lower, abs=1e-9)
    assert found.degrees == pytest.approx(mine.degrees, rel=1e-9)
    assert found.share_initialisation == pytest.approx(mine.share, abs=1e-9)
    assert found.upper == pytest.approx(2 * mine.estimate - mine.lower, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, units=st.integers(11, 40), rounds=st.integers(2, 5))
def test_crossed_bound_by_cluster_is_its_formula(own: SimpleNamespace, seed: int, units: int, rounds: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(units), rng.integers(0, units, 3 * units)])
    d = ternary(seed, len(label), rounds, 0.2)
    found, mine = room.crossed_bound(d, clusters=label), own.crossed(d, 0.05, clusters=label)
    assert found.lower == pytest.approx(mine.lower, abs=1e-9)
    assert found.degrees == pytest.approx(mine.degrees, rel=1e-9)
    assert found.clusters == units
    alone = room.crossed_bound(d, clusters=np.arange(len(label)))
    assert alone.lower == pytest.approx(room.crossed_bound(d).lower, abs=1e-12)  # clusters of one row are rows


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, rounds=st.integers(2, 5), grouped=st.booleans())
def test_crossed_bound_auc_is_its_formula(own: SimpleNamespace, seed: int, rounds: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    n = 90
    y = (rng.random(n) < 0.35).astype(int)
    y[:2] = [0, 1]
    label = rng.integers(0, 25, n) if grouped else None
    dense = np.round(y[:, None] + rng.normal(size=(n, rounds)), 1)  # ties on purpose
    chosen = np.round(dense + 0.4 * rng.normal(size=(n, rounds)), 1)
    found = room.crossed_bound_auc(y, chosen, dense, clusters=label)
    mine = own.crossed_auc(y, chosen, dense, 0.05, clusters=label)
    assert found.estimate == pytest.approx(mine.estimate, abs=1e-12)
    assert found.lower == pytest.approx(mine.lower, abs=1e-9)
    assert found.degrees == pytest.approx(mine.degrees, rel=1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_permuting_rows_and_relabelling_rounds_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = ternary(seed, 60, 4)
    first = room.crossed_bound(d)
    other = room.crossed_bound(d[rng.permutation(60)][:, rng.permutation(4)])
    assert other.lower == pytest.approx(first.lower, abs=1e-12)
    label = rng.integers(0, 15, 60)
    order = rng.permutation(60)
    names = rng.permutation(15)
    grouped = room.crossed_bound(d, clusters=label)
    assert room.crossed_bound(d[order], clusters=names[label][order]).lower == pytest.approx(grouped.lower, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_swapping_chosen_and_dense_flips_the_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.arange(80) % 2
    a, b = (rng.normal(size=(80, 3)) + y[:, None] for _ in range(2))
    for one, two in (
        (room.crossed_bound(a - b), room.crossed_bound(b - a)),
        (room.crossed_bound_auc(y, a, b), room.crossed_bound_auc(y, b, a)),
    ):
        assert two.estimate == pytest.approx(-one.estimate, abs=1e-12)
        assert two.lower == pytest.approx(-one.upper, abs=1e-12)
    np.testing.assert_allclose(
        room.r2_differences(a[:, 0], b, a + 0.1), -room.r2_differences(a[:, 0], a + 0.1, b), atol=1e-12
    )
    lost, won = (int(value) for value in rng.integers(0, 20, 2))
    there, back = room.tango(lost, won, 200, margin=0.02), room.tango(won, lost, 200, margin=0.02)
    assert there.lower == pytest.approx(-back.upper, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.01, 100), shift=st.floats(-5, 5))
def test_scaling_and_shifting_differences_scales_and_shifts_the_bound(seed: int, factor: float, shift: float) -> None:
    d = np.random.default_rng(seed).normal(size=(40, 3))
    first = room.crossed_bound(d)
    other = room.crossed_bound(d * factor + shift)
    assert other.lower == pytest.approx(first.lower * factor + shift, rel=1e-9, abs=1e-9)


def test_r2_differences_and_its_bound_do_not_depend_on_the_unit_of_the_target(own: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    chosen, dense = y[:, None] + rng.normal(size=(200, 3)), y[:, None] + 0.9 * rng.normal(size=(200, 3))
    found = room.r2_differences(y, chosen, dense)
    np.testing.assert_allclose(found, room.r2_differences(y * 40 - 9, chosen * 40 - 9, dense * 40 - 9), atol=1e-9)
    for r in range(3):
        np.testing.assert_allclose(found[:, r], own.influence_r2(y, chosen[:, r], dense[:, r]), atol=1e-12)
        assert found[:, r].mean() == pytest.approx(room.r2(y, chosen[:, r]) - room.r2(y, dense[:, r]), abs=1e-12)


def test_the_delta_method_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=400)
    chosen, dense = y + 1.2 * rng.normal(size=400), y + rng.normal(size=400)
    test = room.r2_difference(y, chosen, dense, margin=0.1)
    drawn = []
    for _ in range(3000):
        at = rng.integers(0, 400, 400)
        drawn.append(room.r2(y[at], chosen[at]) - room.r2(y[at], dense[at]))
    assert (test.estimate - test.lower) / stats.t.ppf(0.95, 399) == pytest.approx(np.std(drawn), rel=0.12)


def test_the_level_of_the_crossed_bound_where_theory_gives_it() -> None:
    """Rows alone: P(T > z·√1.5) = 2.2 % with the factor, 5 % without; rounds alone: t(M − 1), exactly 5 %."""
    rng = np.random.default_rng(2)
    sets, rows, rounds, loss = 3000, 150, 4, 0.1
    passed = {"rows": 0, "rows, factor 1": 0, "rounds": 0, "both": 0, "interaction": 0}
    for _ in range(sets):
        by_row, by_round = rng.normal(size=(rows, 1)), rng.normal(size=(1, rounds)) * 0.1
        noise = rng.normal(size=(rows, rounds))
        wide = np.broadcast_to(by_row, (rows, rounds)) - loss
        passed["rows"] += room.crossed_bound(wide).passes(loss)
        passed["rows, factor 1"] += room.crossed_bound(wide, factor=1.0).passes(loss)
        passed["rounds"] += room.crossed_bound(np.broadcast_to(by_round, (rows, rounds)) - loss).passes(loss)
        passed["both"] += room.crossed_bound(by_row + by_round - loss).passes(loss)
        passed["interaction"] += room.crossed_bound(by_row + by_round + 2 * noise - loss).passes(loss)

    def error(p: float) -> float:
        return 3.5 * math.sqrt(p * (1 - p) / sets)

    exact = stats.norm.sf(stats.norm.ppf(0.95) * math.sqrt(1.5))
    assert passed["rows"] / sets == pytest.approx(exact, abs=error(exact) + 0.002)
    assert passed["rows, factor 1"] / sets == pytest.approx(0.05, abs=error(0.05) + 0.002)
    assert passed["rounds"] / sets == pytest.approx(0.05, abs=error(0.05))
    assert passed["both"] / sets <= 0.05 + error(0.05)
    assert passed["interaction"] / sets <= 0.05 + error(0.05)


def test_where_no_row_ever_disagreed_the_rule_of_three_holds() -> None:
    bound = room.crossed_bound(np.zeros((300, 5)), level=0.05)
    assert bound.lower == pytest.approx(math.log(0.05) / 300)
    assert bound.passes(0.01)
    assert not room.crossed_bound(np.zeros((290, 5)), level=0.05).passes(0.01)
    label = np.repeat(np.arange(60), 5)
    assert room.crossed_bound(np.zeros((300, 5)), clusters=label).lower == pytest.approx(math.log(0.05) / 60)


def test_few_groups_give_no_verdict() -> None:
    d = np.full((90, 4), 0.3) + 0.01 * np.random.default_rng(0).normal(size=(90, 4))
    assert not room.crossed_bound(d, clusters=np.repeat(np.arange(9), 10)).passes(0.05)
    assert room.crossed_bound(d, clusters=np.repeat(np.arange(10), 9)).passes(0.05)


# ---------------------------------------------------------------- Tango, power


@settings(max_examples=80, deadline=None)
@given(n=st.integers(5, 400), b=st.integers(0, 40), c=st.integers(0, 40), level=st.sampled_from([0.05, 0.025, 0.01]))
def test_tango_is_the_inversion_of_its_score(own: SimpleNamespace, n: int, b: int, c: int, level: float) -> None:
    if b + c >= n:
        return
    found = room.tango(b, c, n, margin=0.05, level=level)
    lower, upper = own.tango_limits(b, c, n, level)
    assert found.estimate == pytest.approx((c - b) / n)
    assert found.lower == pytest.approx(lower, abs=1e-7)
    assert found.upper == pytest.approx(upper, abs=1e-7)
    z = own.tango_score(b, c, n, -0.05)
    if abs(z - stats.norm.ppf(1 - level)) > 1e-6:
        assert found.passed == (z > stats.norm.ppf(1 - level))


def test_zero_disagreement_passes_from_the_number_of_rows_in_the_note() -> None:
    for n, margin in ((268, 0.01), (133, 0.02), (52, 0.05)):
        assert room.tango(0, 0, n, margin=margin).passed
        assert not room.tango(0, 0, n - 1, margin=margin).passed


def enumerated(own: Any, n: int, psi: float, margin: float, difference: float) -> float:
    """Chance to pass, summed over the whole trinomial."""
    p_won, p_lost = (psi + difference) / 2, (psi - difference) / 2
    z, total = stats.norm.ppf(0.95), 0.0
    for lost in range(n + 1):
        at_lost = stats.binom.pmf(lost, n, p_lost)
        if at_lost < 1e-13:
            continue
        rest = n - lost
        share = min(p_won / (1 - p_lost), 1.0) if p_lost < 1 else 0.0
        first = next((won for won in range(rest + 1) if own.tango_score(lost, won, n, -margin) > z), None)
        if first is not None:
            total += at_lost * stats.binom.sf(first - 1, rest, share)
    return total


@pytest.mark.parametrize(
    ("n", "psi", "margin"),
    [(50, 0.05, 0.03), (50, 0.03, 0.01), (120, 0.1, 0.05), (200, 0.05, 0.02), (200, 0.03, 0.01), (300, 0.02, 0.02)],
)
def test_power_and_level_by_enumeration(own: SimpleNamespace, n: int, psi: float, margin: float) -> None:
    assert room.tango_power(n, psi, margin) == pytest.approx(enumerated(own, n, psi, margin, 0.0), abs=1e-9)
    exact = enumerated(own, n, psi, margin, -min(margin, psi))
    if margin <= psi:
        assert room.tango_power(n, psi, margin, difference=-margin) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(
    ("n", "psi", "margin", "level"),
    [
        (50, 0.01, 0.01, 0.000), (50, 0.02, 0.01, 0.001), (50, 0.03, 0.01, 0.005), (50, 0.05, 0.01, 0.019),
        (50, 0.05, 0.02, 0.033), (50, 0.05, 0.03, 0.013), (50, 0.05, 0.05, 0.000), (200, 0.01, 0.01, 0.000),
        (200, 0.02, 0.01, 0.044), (200, 0.03, 0.01, 0.048), (200, 0.05, 0.01, 0.049), (200, 0.05, 0.02, 0.047),
        (200, 0.05, 0.03, 0.043), (200, 0.05, 0.05, 0.026), (1000, 0.01, 0.01, 0.029), (1000, 0.02, 0.01, 0.046),
        (1000, 0.03, 0.01, 0.050), (1000, 0.05, 0.01, 0.049), (1000, 0.05, 0.02, 0.048), (1000, 0.05, 0.03, 0.047),
        (1000, 0.05, 0.05, 0.043),
    ],
)  # fmt: skip
def test_levels_of_tango_in_the_note(n: int, psi: float, margin: float, level: float) -> None:
    assert room.tango_power(n, psi, margin, difference=-margin) == pytest.approx(level, abs=0.00051)


@pytest.mark.parametrize(
    ("psi", "margin", "n", "power"),
    [
        (0.02, 0.01, 1237, 0.775), (0.02, 0.02, 310, 0.67), (0.02, 0.03, 138, 0.56), (0.02, 0.05, 50, 0.25),
        (0.05, 0.01, 3092, 0.795), (0.05, 0.02, 773, 0.78), (0.05, 0.03, 344, 0.76), (0.05, 0.05, 124, 0.71),
        (0.10, 0.02, 1546, 0.796), (0.10, 0.05, 248, 0.77),
    ],
)  # fmt: skip
def test_power_of_equal_networks_in_the_note(psi: float, margin: float, n: int, power: float) -> None:
    digits = 3 if round(power, 2) != power else 2
    assert room.tango_power(n, psi, margin) == pytest.approx(power, abs=0.51 * 10**-digits)
    z = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)
    assert abs(z**2 * psi / margin**2 - n) < 1
    if margin <= psi / 2:
        assert room.rows_needed(psi, margin) == math.ceil(z**2 * psi / margin**2)


def test_planned_power_is_the_enumerated_one(own: SimpleNamespace) -> None:
    plan = room.planned_power(150, 0.03)
    for psi, power in zip(plan.discordance, plan.power, strict=True):
        assert power == pytest.approx(enumerated(own, 150, psi, 0.03, 0.0), abs=1e-9)
    assert plan.low == (max(plan.power) < 0.5)


# ---------------------------------------------------------------- AUC, R², Wilson


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n=st.integers(40, 90), grouped=st.booleans())
def test_delong_by_brute_force(own: SimpleNamespace, seed: int, n: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    y[:4] = [0, 1, 0, 1]
    dense = np.round(1.3 * y + rng.normal(size=n), 1)
    chosen = np.round(dense + 0.5 * rng.normal(size=n), 1)
    label = rng.integers(0, 20, n) if grouped else None
    found = room.delong(y, chosen, dense, margin=0.05, clusters=label)
    mine = own.delong_corrected(y, chosen, dense, 0.05, label)
    assert found.estimate == pytest.approx(mine.estimate, abs=1e-12)
    assert mine.estimate - found.lower == pytest.approx(mine.critical * mine.error(found.lower), abs=1e-9)
    assert found.upper - mine.estimate == pytest.approx(mine.critical * mine.error(found.upper), abs=1e-9)
    z = (mine.estimate + 0.05) / mine.error(-0.05)
    if abs(z - mine.critical) > 1e-9:
        assert (found.lower > -0.05) == (z > mine.critical)
    assert room.auc(y, chosen) == pytest.approx(own.placement(y, chosen)[0].mean(), abs=1e-12)


def test_delong_does_not_see_monotone_changes_of_the_scores() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 200)
    a, b = y + rng.normal(size=200), y + rng.normal(size=200)
    first = room.delong(y, a, b, margin=0.05)
    other = room.delong(y, np.exp(a) * 3, b**3 - 8, margin=0.05)
    assert (other.lower, other.upper) == pytest.approx((first.lower, first.upper), abs=1e-12)


def test_few_positives_give_no_verdict() -> None:
    rng = np.random.default_rng(4)
    y = np.r_[np.ones(19), np.zeros(400)].astype(int)
    score = y + 0.9 * rng.normal(size=419)
    assert not room.delong(y, score + 1e-3 * rng.normal(size=419), score, margin=0.3).passed
    y = np.r_[np.ones(30), np.zeros(400)].astype(int)
    sharp, blunt = y + 0.2 * rng.normal(size=430), y + 1.0 * rng.normal(size=430)
    assert not room.delong(y, sharp + 1e-3 * rng.normal(size=430), sharp, margin=0.3).passed  # 30 with an AUC near 1
    assert room.delong(y, blunt + 1e-3 * rng.normal(size=430), blunt, margin=0.3).passed


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 500), data=st.data(), level=st.sampled_from([0.95, 0.9, 0.99]))
def test_wilson_is_the_inversion_of_its_score(own: SimpleNamespace, n: int, data: Any, level: float) -> None:
    hits = data.draw(st.integers(0, n))
    value, low, high = room.wilson(hits, n, level)
    assert value == pytest.approx(hits / n)
    assert (low, high) == pytest.approx(own.wilson(hits, n, level), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, grouped=st.booleans())
def test_mean_tests_are_students_t(own: SimpleNamespace, seed: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    d = rng.normal(0.1, 1, size=70)
    label = rng.integers(0, 20, 70) if grouped else None
    found = room.mean_difference(d, margin=0.2, clusters=label)
    assert (found.estimate, found.lower, found.upper) == pytest.approx(own.mean_test(d, 0.05, label), abs=1e-9)
    if not grouped:
        reference = stats.ttest_1samp(d, -0.2, alternative="greater")
        assert found.passed == (reference.pvalue < 0.05)


def test_the_level_of_the_paired_tests_by_simulation() -> None:
    """At the margin, the corrected DeLong stays at or below 6 % in a cell of the note (50, 50, AUC .97, δ .02)."""
    rng = np.random.default_rng(5)
    sets, passed = 400, 0
    y = np.r_[np.ones(50), np.zeros(50)].astype(int)
    shift = math.sqrt(2) * stats.norm.ppf(0.97)
    worse = math.sqrt(2) * stats.norm.ppf(0.95)
    for _ in range(sets):
        common = rng.normal(size=100)
        dense = math.sqrt(0.9) * common + math.sqrt(0.1) * rng.normal(size=100) + shift * y
        chosen = math.sqrt(0.9) * common + math.sqrt(0.1) * rng.normal(size=100) + worse * y
        passed += room.delong(y, chosen, dense, margin=0.02).lower > -0.02
    assert passed / sets <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / sets)
