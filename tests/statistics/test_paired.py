"""Oracles: enumeration, DeLong's formula over all pairs, Student's t from SciPy, simulation at the margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.statistics import accuracy_difference, cautions, delong, mean_difference, r2_difference, tango
from sparsefire.statistics.trinomial import tango_z


@given(st.integers(1, 2000), st.data())
def test_passed_lower_and_score_are_one_statement(n, data):
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    margin = data.draw(st.sampled_from([0.005, 0.01, 0.02, 0.05, 0.2]))
    test = tango(b, c, n, margin=margin)
    z = float(tango_z(b, c, n, -margin))
    assert test.passed == (test.lower > -margin)
    if abs(z - 1.6448536269514722) > 1e-9:
        assert test.passed == (z > 1.6448536269514722)


def test_intervals_of_the_mockup():
    # 360 test rows: lower ends in points for 0:0, 1:1 and 2:2 disagreements
    ends = [100 * tango(k, k, 360, margin=0.01).lower for k in range(3)]
    assert [round(end, 2) for end in ends] == [-0.75, -0.98, -1.17]


def test_zero_disagreement():
    assert tango(0, 0, 268, margin=0.01).passed
    test = tango(0, 0, 267, margin=0.01)
    assert not test.passed
    assert cautions.fired(test.warnings, cautions.NEVER)
    # one row in 267 stands in for the disagreement
    other = tango(1, 0, 267, margin=0.01)
    assert (test.rows_needed, test.power) == (other.rows_needed, other.power)


def test_rows_needed_are_exact():
    assert tango(10, 8, 360, margin=0.01).rows_needed == 3092  # 6.18 · 0.05 / 0.0001 = 3091.3


def test_few_rows_are_named():
    (text,) = tango(1, 1, 60, margin=0.01).warnings
    assert text.startswith(cautions.SMALL)
    assert "out of reach" in text


def test_accuracy_goes_to_tango_or_to_groups():
    rng = np.random.default_rng(0)
    dense, chosen = (rng.random(400) < 0.9) * 1, (rng.random(400) < 0.9) * 1
    alone = accuracy_difference(chosen, dense, margin=0.05)
    counts = int(((dense == 1) & (chosen == 0)).sum()), int(((dense == 0) & (chosen == 1)).sum())
    assert alone == tango(*counts, 400, margin=0.05)
    groups = np.arange(400) // 8
    grouped = accuracy_difference(chosen, dense, margin=0.05, clusters=groups)
    sums = np.bincount(groups, chosen - dense - (chosen - dense).mean())
    error = np.sqrt(50 / 49 * np.square(sums).sum()) / 400
    assert grouped.lower == pytest.approx((chosen - dense).mean() - stats.t.ppf(0.95, 49) * error)
    assert (grouped.method, grouped.clusters, grouped.only_dense) == ("t, by group", 50, counts[0])


def test_mean_difference_is_the_one_sample_t_test():
    x = np.random.default_rng(1).normal(0.01, 0.2, 300)
    test = mean_difference(x, margin=0.02)
    low, high = stats.t.interval(0.90, 299, x.mean(), stats.sem(x))
    assert (test.lower, test.upper) == pytest.approx((low, high))
    p = stats.ttest_1samp(x, -0.02, alternative="greater").pvalue
    assert test.passed == (p < 0.05)


def test_r2_difference_is_a_t_test_on_influence_values():
    rng = np.random.default_rng(2)
    y = rng.normal(size=500)
    chosen, dense = y + 0.5 * rng.normal(size=500), y + 0.5 * rng.normal(size=500)
    test = r2_difference(y, chosen, dense, margin=0.05)
    assert test.estimate == pytest.approx((np.square(y - dense).mean() - np.square(y - chosen).mean()) / y.var())
    assert test.method == "delta method, t"
    scaled = r2_difference(3 + 7 * y, 3 + 7 * chosen, 3 + 7 * dense, margin=0.05)
    assert (scaled.lower, scaled.upper) == pytest.approx((test.lower, test.upper))
    assert r2_difference(y, chosen, dense, margin=0.05, clusters=np.arange(500)).lower == pytest.approx(test.lower)


def test_identical_predictions_use_the_rule_of_three():
    y = np.random.default_rng(3).normal(size=400)
    test = r2_difference(y, y + 1, y + 1, margin=0.01)
    assert test.lower == pytest.approx(np.log(0.05) / 400)
    assert (test.rows_needed, test.power) == (None, None)
    labels = (np.arange(400) % 4 == 0).astype(int)
    same = delong(labels, y, y, margin=0.05)
    assert same.lower == pytest.approx(np.log(0.05) / 100)
    assert any("100 rows of the rarer class" in text for text in same.warnings)


def delong_by_pairs(y, chosen, dense):
    positive = y == 1
    psi = [np.sign(s[positive][:, None] - s[~positive][None, :]) / 2 + 0.5 for s in (chosen, dense)]
    delta = psi[0] - psi[1]
    m, n = delta.shape
    variance = delta.mean(axis=1).var(ddof=1) / m + delta.mean(axis=0).var(ddof=1) / n
    return psi[0].mean(), psi[1].mean(), np.sqrt(variance), min(m, n) - 1


@pytest.mark.parametrize("margin", [0.01, 0.05])
@pytest.mark.parametrize("strength", [0.5, 2.5])
def test_delong_corrected_at_the_margin(margin, strength):
    rng = np.random.default_rng(4)
    y = (rng.random(500) < 0.3).astype(int)
    shared = rng.normal(size=500) + strength * y
    chosen, dense = shared + 0.5 * rng.normal(size=500), shared + 0.45 * rng.normal(size=500)
    a_s, a_d, error, degrees = delong_by_pairs(y, chosen, dense)

    def g(a):
        return max(a * (1 - a), 1 / 2000)

    factor = np.sqrt(max(1.0, (g(a_d - margin) + g(a_d)) / (g(a_s) + g(a_d))))
    statistic = (a_s - a_d + margin) / (error * factor)
    test = delong(y, chosen, dense, margin=margin)
    assert test.estimate == pytest.approx(a_s - a_d)
    assert test.passed == (statistic > stats.t.ppf(0.95, degrees))
    # the lower end is the margin at which the corrected statistic is exactly critical
    at_end = -test.lower
    factor = np.sqrt(max(1.0, (g(a_d - at_end) + g(a_d)) / (g(a_s) + g(a_d))))
    assert (a_s - a_d + at_end) / (error * factor) == pytest.approx(stats.t.ppf(0.95, degrees), rel=1e-6)
    assert delong(y, chosen, dense, margin=at_end * 1.0001).passed
    assert not delong(y, chosen, dense, margin=at_end * 0.9999).passed


def test_few_positives_give_no_verdict():
    rng = np.random.default_rng(5)
    y = np.array([1] * 12 + [0] * 300)
    x = rng.normal(size=312) + y
    test = delong(y, x, x + 0.05 * rng.normal(size=312), margin=0.2)
    assert test.lower > -0.2
    assert not test.passed
    assert test.no_verdict.startswith(cautions.FEW_POSITIVES)
    easy = np.array([1] * 30 + [0] * 300)
    sure = rng.normal(size=330) + 5 * easy
    assert delong(easy, sure, sure + 0.01 * rng.normal(size=330), margin=0.05).no_verdict
    y = np.array([1] * 60 + [0] * 300)
    assert delong(y, rng.normal(size=360) + y, rng.normal(size=360) + y, margin=0.05).no_verdict == ""


def test_few_groups_give_no_verdict():
    values = np.full(90, 0.5) + np.random.default_rng(6).normal(size=90) * 0.01
    test = mean_difference(values, margin=0.1, clusters=np.arange(90) // 10)
    assert test.lower > -0.1
    assert not test.passed
    assert test.no_verdict


def test_level_of_the_corrected_delong_at_the_margin():
    # binormal scores with correlation 0.9; published level of this cell .050 (N = 1000, error .007); here 600 sets
    rng, sets, passes = np.random.default_rng(7), 600, 0
    from scipy.special import ndtri

    dense_shift, chosen_shift = np.sqrt(2) * ndtri(0.90), np.sqrt(2) * ndtri(0.85)
    y = np.repeat([1, 0], 100)
    for _ in range(sets):
        shared = np.sqrt(0.9) * rng.normal(size=200)
        dense = shared + np.sqrt(0.1) * rng.normal(size=200) + dense_shift * y
        chosen = shared + np.sqrt(0.1) * rng.normal(size=200) + chosen_shift * y
        passes += delong(y, chosen, dense, margin=0.05).passed
    assert 0.01 < passes / sets < 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)


@pytest.mark.parametrize(
    "call",
    [
        lambda: tango(3, 3, 5, margin=0.01),
        lambda: tango(-1, 3, 5, margin=0.01),
        lambda: tango(1.5, 3, 5, margin=0.01),
        lambda: tango(1, 3, 50, margin=0.0),
        lambda: tango(1, 3, 50, margin=1.0),
        lambda: accuracy_difference([0.5, 1], [0, 1], margin=0.01),
        lambda: accuracy_difference([0, 1], [0, 1, 1], margin=0.01),
        lambda: mean_difference([1.0], margin=0.1),
        lambda: mean_difference([1.0, np.nan], margin=0.1),
        lambda: delong([1, 0, 0], [1, 2, 3], [1, 2, 3], margin=0.1),
        lambda: r2_difference([1, 1], [1, 2], [1, 2], margin=0.1),
    ],
)
def test_wrong_input_is_refused(call):
    with pytest.raises(UserError):
        call()
