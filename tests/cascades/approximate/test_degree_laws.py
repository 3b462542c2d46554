"""Oracles: scipy's laws, sums by hand, and thresholds dealt out to sorted units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.approximate.degree_laws import (
    MOST_DEGREE,
    checked,
    degree_law,
    edge_law,
    poisson,
    power_law,
    regular,
    threshold_cdf,
    threshold_laws,
    thresholds_by_degree,
)
from sparsefire.errors import UserError


@pytest.mark.parametrize("mean", [1e-3, 0.5, 3.0, 40.0, 3000.0])
def test_poisson_is_scipys(mean):
    law = poisson(mean)
    exact = stats.poisson(mean)
    most = len(law) - 1
    assert exact.sf(most) <= 1e-12 < exact.sf(most - 1)
    assert np.abs(law - exact.pmf(np.arange(most + 1))).max() <= 2e-12
    assert law.sum() == pytest.approx(1, abs=1e-14)
    assert np.allclose(degree_law(exact), law, rtol=0, atol=2e-12)


def test_poisson_of_mean_zero():
    assert poisson(0).tolist() == [1.0]


def test_other_laws():
    assert regular(2).tolist() == [0, 0, 1]
    law = power_law(2.5, most=50, least=2)
    assert law[:2].tolist() == [0, 0]
    assert law[40] / law[4] == pytest.approx(10**-2.5, rel=1e-12)
    assert law.sum() == pytest.approx(1, abs=1e-15)
    assert power_law(-3000.0, most=100)[-1] == pytest.approx(1.0, abs=1e-9)  # no overflow
    cut = degree_law(stats.zipf(4.0), tail=1e-6)
    assert np.allclose(cut[1:] / cut[1], np.arange(1, len(cut)) ** -4.0)
    assert edge_law(np.array([0.2, 0.3, 0.5])) == pytest.approx([0, 0.3 / 1.3, 1 / 1.3])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30).filter(lambda row: sum(row[1:]) > 1e-3))
def test_rows_are_scaled_to_one(row):
    row = np.array(row) / sum(row)
    law = degree_law(row)
    assert law.sum() == pytest.approx(1, abs=1e-14)
    assert np.allclose(law, row, rtol=1e-8, atol=0)


def test_thresholds_of_every_kind():
    loads = np.array([0.0, 0.25, 0.3, 1.0])
    assert threshold_cdf(0.25)(loads).tolist() == [0, 1, 1, 1]
    assert threshold_cdf(np.float32(0.25))(loads).tolist() == [0, 1, 1, 1]
    assert threshold_cdf(np.inf)(loads).tolist() == [0, 0, 0, 0]
    assert threshold_cdf(-1)(loads).tolist() == [1, 1, 1, 1]
    assert threshold_cdf(stats.uniform)(loads).tolist() == loads.tolist()
    assert threshold_cdf(np.sqrt)(loads).tolist() == np.sqrt(loads).tolist()
    assert threshold_cdf(0.1 + 0.2)(np.array([3 / 10])).tolist() == [1]  # 0.1 + 0.2 is above 0.3 by rounding
    assert [len(threshold_laws(r, 2)) for r in (0.5, [0.1, 0.2, 0.3])] == [1, 3]


@pytest.mark.parametrize("falling", [False, True])
def test_thresholds_by_degree_are_those_of_sorted_units(falling):
    law = np.array([0.1, 0.4, 0.0, 0.5])
    n = 200_000
    degrees = np.repeat(np.arange(4), np.rint(law * n).astype(int))
    thresholds = np.sort(stats.norm(0.4, 0.2).ppf((np.arange(n) + 0.5) / n))
    if falling:
        thresholds = thresholds[::-1]
    parts = thresholds_by_degree(law, stats.norm(0.4, 0.2), falling)
    loads = np.linspace(-0.2, 1.2, 29)
    for k in (0, 1, 3):
        exact = [(thresholds[degrees == k] <= x).mean() for x in loads]
        assert np.abs(parts[k](loads) - exact).max() <= 1e-4
        checked(parts[k], loads)
    mixed = sum(p * part(loads) for p, part in zip(law, parts, strict=True))
    assert np.abs(mixed - stats.norm(0.4, 0.2).cdf(loads)).max() <= 1e-12


@pytest.mark.parametrize(
    ("degrees", "message", "came"),
    [
        ([0.5, 0.6], "adds up to 1", "1.1"),
        ([0.5, -0.5, 1.0], "have probabilities", "-0.5 for degree 1"),
        ([0.5, np.nan], "have probabilities", "nan for degree 1"),
        ([np.inf, 1.0], "adds up to 1", "inf"),
        ([1.0, 0.0], "nobody is joined", "mean degree of 0"),
        ([], "is a row", "(0,)"),
        ([[0.5, 0.5]], "is a row", "(1, 2)"),
        (np.full(MOST_DEGREE + 2, 1 / (MOST_DEGREE + 2)), "is a row", "4098"),
        (stats.zipf(2.5), "too heavy", "4,096"),
        (stats.randint(-1, 3), "0 or more", "0.25"),
    ],
)
def test_wrong_degrees(degrees, message, came):
    with pytest.raises(UserError, match=message) as caught:
        degree_law(degrees)
    assert came in caught.value.came


def test_wrong_parameters():
    for mean in (-1.0, np.nan, np.inf):
        with pytest.raises(UserError, match="mean degree is 0 or more"):
            poisson(mean)
    with pytest.raises(UserError, match="too large"):
        poisson(5000.0)
    with pytest.raises(UserError, match="whole number"):
        regular(2.5)
    with pytest.raises(UserError, match="no power law"):
        power_law(2.0, most=3, least=4)
    with pytest.raises(UserError, match="whole number"):
        power_law(2.0, most=3, least=0)
    with pytest.raises(UserError, match="tail is a share"):
        degree_law(stats.poisson(3), tail=0.0)


def test_wrong_thresholds():
    loads = np.array([0.0, 0.5, 1.0])
    with pytest.raises(UserError, match="threshold is no number"):
        threshold_cdf(np.nan)
    for response in ("0.3", None, True):
        with pytest.raises(UserError, match="no law of thresholds"):
            threshold_cdf(response)
    with pytest.raises(UserError, match="cannot help less") as caught:
        checked(lambda x: 1 - x, loads)
    assert caught.value.came == "F(0) = 1, F(0.5) = 0.5"
    with pytest.raises(UserError, match="is a probability") as caught:
        checked(lambda x: 2 * x, loads)
    assert caught.value.came == "F(1) = 2.0"
    with pytest.raises(UserError, match="is a probability"):
        checked(stats.norm(np.nan, 1).cdf, loads)
    with pytest.raises(UserError, match="takes and gives arrays"):
        checked(lambda x: 0.5, loads)
    with pytest.raises(UserError, match="every degree needs"):
        threshold_laws([0.1, 0.2], 2)
