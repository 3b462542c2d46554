"""Oracles: exact enumeration over all pairs of counts, closed forms, and simulation of Student's t."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from sparsefire.errors import UserError
from sparsefire.statistics.power import (
    about,
    planned_power,
    rows_needed,
    rows_needed_from_error,
    smallest_margin,
    t_power,
    tango_power,
)
from sparsefire.statistics.trinomial import tango_z


@pytest.mark.parametrize(
    ("n", "discordance", "margin", "published"),
    [
        (1237, 0.02, 0.01, 0.775),
        (310, 0.02, 0.02, 0.67),
        (138, 0.02, 0.03, 0.56),
        (50, 0.02, 0.05, 0.25),
        (3092, 0.05, 0.01, 0.795),
        (773, 0.05, 0.02, 0.78),
        (344, 0.05, 0.03, 0.76),
        (124, 0.05, 0.05, 0.71),
        (1546, 0.10, 0.02, 0.796),
        (248, 0.10, 0.05, 0.77),
        (200, 0.05, 0.02, 0.32),
        (1000, 0.05, 0.01, 0.40),
    ],
)
def test_power_of_equal_networks(n, discordance, margin, published):
    digits = 5.1e-4 if round(published, 2) != published else 5.1e-3
    assert tango_power(n, discordance, margin) == pytest.approx(published, abs=digits)


@pytest.mark.parametrize(
    ("n", "discordance", "published"), [(1000, 0.03, 0.050), (1000, 0.01, 0.029), (200, 0.05, 0.049)]
)
def test_level_at_the_margin(n, discordance, published):
    assert tango_power(n, discordance, 0.01, difference=-0.01) == pytest.approx(published, abs=5.1e-4)


@pytest.mark.parametrize(
    ("n", "discordance", "margin"), [(1, 0.5, 0.3), (37, 0.2, 0.05), (80, 0.9, 0.1), (60, 1.0, 0.2)]
)
@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5])
def test_bisection_equals_the_sum_over_all_counts(n, discordance, margin, shift):
    difference = shift * min(margin, discordance)
    critical, total = ndtri(0.95), 0.0
    for k in range(n + 1):
        c = np.arange(k + 1)
        passes = tango_z(k - c, c, n, -margin) > critical
        wins = binom.pmf(c, k, 0.5 * (1 + difference / discordance))
        total += binom.pmf(k, n, discordance) * wins[passes].sum()
    assert tango_power(n, discordance, margin, difference=difference) == pytest.approx(total, abs=1e-10)


def test_more_wins_never_hurt():
    critical = ndtri(0.95)
    for n in (20, 75):
        for margin in (0.01, 0.1, 0.4):
            for k in range(n + 1):
                c = np.arange(k + 1)
                passes = tango_z(k - c, c, n, -margin) > critical
                assert (np.diff(passes.astype(int)) >= 0).all()


def test_no_disagreement_passes_from_268_rows_on():
    assert tango_power(267, 0.0, 0.01) == 0.0
    assert tango_power(268, 0.0, 0.01) == 1.0


def test_rows_needed_has_two_branches():
    both = ndtri(0.95) + ndtri(0.8)
    assert rows_needed(0.04, 0.02) == int(np.ceil(both**2 * 0.04 / 0.02**2))
    assert rows_needed(0.10, 0.05) == 248
    second = (ndtri(0.95) * np.sqrt(0.03 - 0.03**2) + ndtri(0.8) * np.sqrt(0.02)) ** 2 / 0.03**2
    assert rows_needed(0.02, 0.03) == int(np.ceil(second))
    assert tango_power(rows_needed(0.02, 0.03), 0.02, 0.03) == pytest.approx(0.74, abs=0.006)
    assert tango_power(rows_needed(0.02, 0.05), 0.02, 0.05) == pytest.approx(0.81, abs=0.006)


def test_rows_from_an_error_agree_with_rows_from_discordance():
    rows, discordance = 500, 0.06
    assert rows_needed_from_error(rows, np.sqrt(discordance / rows), 0.01) == rows_needed(discordance, 0.01)


@pytest.mark.parametrize("degrees", [4, 30, 500])
def test_t_power_by_simulation(degrees):
    from scipy.special import stdtrit

    rng = np.random.default_rng(degrees)
    t = (rng.normal(size=200_000) + 2.5) / np.sqrt(rng.chisquare(degrees, 200_000) / degrees)
    assert t_power(0.4, degrees, 1.0) == pytest.approx((t > stdtrit(degrees, 0.95)).mean(), abs=0.005)


def test_two_digits():
    assert [about(x) for x in (1, 9, 95, 104, 105, 687, 999, 12345)] == [1, 9, 95, 100, 110, 690, 1000, 12000]


def test_smallest_margin_is_where_power_crosses():
    margin = smallest_margin(300, 0.04)
    assert tango_power(300, 0.04, margin) >= 0.8 > tango_power(300, 0.04, margin - 2e-6)


def test_fifty_rows_confirm_no_accuracy_margin():
    plan = planned_power(50, 0.05)
    assert plan.low
    assert max(plan.power) < 0.5
    assert plan.text.startswith("50 test rows confirm an equal network with chance ")
    assert not planned_power(5000, 0.01).low


@pytest.mark.parametrize(
    "call",
    [
        lambda: tango_power(0, 0.1, 0.01),
        lambda: tango_power(10, 1.1, 0.01),
        lambda: tango_power(10, 0.1, 0.0),
        lambda: tango_power(10, 0.1, 0.01, difference=0.2),
        lambda: tango_power(10, 0.1, 0.01, level=0.6),
        lambda: rows_needed(0.0, 0.01),
        lambda: rows_needed(0.1, 0.01, power=0.3),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(UserError):
        call()
