"""Oracles: curves with known shapes, the χ² law, and the columns of a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsefire.report import convergence_text
from sparsefire.report.convergence_figures import risk, short, terminal_powers, times
from sparsefire.report.convergence_terminal import WIDTH, result_block, start_block
from sparsefire.report.convergence_text import (
    RARE,
    apart_from_exact,
    cautions,
    example,
    headline,
    known_text,
    over_first_order,
    rare,
    rows,
    scale,
    window,
)
from sparsefire.report.textual import display_width, printable

HOSTILE = "列\x1b[31m\u202e</b>"


def changed(**changes):
    """Return the example with changes to its last curve."""
    found = example()
    return replace(found, curves=[found.curves[0], replace(found.curves[1], **changes)])


def test_the_headline_names_both_exponents_with_intervals():
    assert "rises as d^0.98 [0.96, 1.01] and falls as k^−1.01 [−1.02, −1.00] at d = 20" in headline(example())


def test_what_does_not_fall_is_not_said_to_fall():
    last = example().curves[1]
    assert headline(changed(mean=np.full_like(last.mean, np.inf))).endswith("risk grew instead of falling at d = 20.")
    grown = last.mean[0] * (1.0 + last.steps)
    assert "grew instead of falling" in headline(changed(mean=grown))
    assert "stops falling near 0.5000" in headline(changed(mean=last.mean + 0.5, floor=0.5))
    assert "falls as k" in headline(changed(floor=1e-6))  # still far above the floor
    assert "ends at 0.002020" in headline(changed(exponent=None))
    from_zero = last.mean.copy()
    from_zero[0] = 0.0
    assert "falls as k" in headline(changed(mean=from_zero))


def test_the_ratio_to_first_order():
    found = example()
    assert over_first_order(found, found.curves[1]) == pytest.approx(1.01)
    assert over_first_order(replace(found, noise=2.0), found.curves[1]) == pytest.approx(1.01 / 4)
    assert over_first_order(replace(found, noise=0.0), found.curves[1]) is None
    few = replace(found.curves[1], steps=np.minimum(found.curves[1].steps, 199))
    assert over_first_order(found, few) is None
    assert "σ²d/k" not in headline(replace(found, noise=0.0))


def test_a_calm_result_has_no_cautions():
    assert cautions(example()) == []


def test_cautions_about_steps_name_the_limit():
    (said,) = cautions(changed(largest=0.2))
    assert (
        said
        == "At d = 20 steps are beyond the stability limit, where the mean risk grows: 0.2 against 0.167 at d = 20."
    )
    assert cautions(changed(largest=2 / 12)) == []  # at the limit, not beyond
    assert cautions(changed(largest=9.0, stable=None)) == []


def test_cautions_about_rare_runs():
    last = example().curves[1]
    (said,) = cautions(changed(median=last.mean / 50))
    assert "At d = 20 few runs carry the mean: at d = 20 and k = " in said
    assert "50 times the median. Believe the exact curve instead." in said
    assert "Believe" not in cautions(changed(median=last.mean / 50, exact=None))[0]
    early = np.where(last.steps < 900, last.mean / 50, last.mean)
    assert cautions(changed(median=early)) == []  # only the last decade counts
    assert rare(replace(last, median=0 * last.mean)) == (10_000, 1.0)


@pytest.mark.parametrize("d", [1, 2, 5, 50])
def test_the_law_of_a_risk_in_the_end_is_not_called_rare(d):
    ratio = d / stats.chi2.median(d)
    assert convergence_text._mean_over_median(d) == pytest.approx(ratio, rel=0.04)
    assert ratio < RARE * convergence_text._mean_over_median(d) / 2


def test_cautions_about_too_few_samples():
    (said,) = cautions(replace(example(), size=3))
    assert said == "At d = 10 and 20 there are fewer than ten times d³ log d samples: the limit is still far."
    assert scale(replace(example(), size=2), example().curves[0]) == pytest.approx(100 * np.log(10))


def test_agreement_with_the_exact_risk():
    last = example().curves[1]
    assert apart_from_exact(example()) is False
    assert apart_from_exact(changed(exact=last.mean / 1.05)) is True
    assert apart_from_exact(replace(example(), curves=[replace(last, exact=None)])) is None


def test_what_is_known_is_said_only_where_it_is():
    assert known_text(example())[1] == "Theory, in the limit: k^−1 and d^1."
    bare = [replace(curve, exponent=None) for curve in example().curves]
    assert known_text(replace(example(), curves=bare, in_dimension=None)) == []
    flat = changed(floor=0.1, exponent=replace(example().curves[1].exponent, theory=0.0))
    assert known_text(replace(flat, in_dimension=None))[-1].startswith("Theory: the risk stops at a floor")


def test_rows_leave_out_what_is_not_there():
    (row,) = rows(replace(example(), curves=[replace(example().curves[0], exact=None, exponent=None, limit=None)]))
    assert (row.exact, row.exponent, row.exponent_limits, row.of_limit, row.exponent_exact) == ("",) * 5
    over = rows(changed(mean=np.full(42, np.inf), low=np.full(42, -np.inf), high=np.full(42, np.inf)))[1]
    assert (over.mean, over.half_width, over.of_limit) == ("overflow", "", "")


@given(st.floats(1e-300, 1e300))
def test_risks_are_read_back_to_four_digits(value):
    text = terminal_powers(risk(value)).replace("−", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=5.1e-4)
    assert float(terminal_powers(short(value)).replace(",", "")) == pytest.approx(value, rel=5.1e-3)


def test_numbers():
    assert [times(value) for value in (0.31, 9.94, 9.96, 1234.5)] == ["0.3", "9.9", "10", "1,234"]
    assert times(2e7) == "2.0·10^7"
    assert window(replace(example(), curves=[replace(c, exponent=None) for c in example().curves])) == ""


def many():
    curve = example().curves[0]
    found = replace(curve.exponent, first=987_654_321, last=4_000_000_000)
    same = {"mean": curve.mean * 1e-12, "steps": curve.steps * 400_000, "exponent": found}
    curves = [replace(curve, dimension=10**power, **same) for power in range(7)]
    return replace(example(), rule=HOSTILE, settings=HOSTILE * 9, curves=curves)


@pytest.mark.parametrize(
    "found", [example(), many(), changed(largest=0.2, exact=None)], ids=["plain", "many", "careful"]
)
def test_the_terminal_is_eighty_columns_and_has_no_commands(found):
    text = result_block(found, "runs/x") + "\n" + start_block(HOSTILE, [("problem", "words " * 40), ("", "Ctrl-C")])
    assert max(display_width(line) for line in text.splitlines()) <= WIDTH
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "^" not in text.replace("k^", "").replace("d^", "")  # powers of ten as e-4


def test_colour_only_where_asked():
    assert "\x1b" not in result_block(example())
    assert "\x1b[1mFINDING" in result_block(example(), colour=True)


def test_the_terminal_without_unicode():
    shown = printable(result_block(changed(largest=0.2), "runs/x"), io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    shown.encode("ascii")
    assert "d = 20" in shown
    assert "1.01 [1.00, 1.02]" in shown
