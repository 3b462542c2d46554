"""Oracles: laws small enough to say in words by hand; the law's own cdf and quantiles."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.cascades import Marginals, SizeDistribution
from sparsefire.report.cascade_terminal import WIDTH, result_block, start_block
from sparsefire.report.cascade_text import (
    Outcome,
    amount,
    grouping,
    half_width,
    headline,
    histogram,
    is_exact,
    mean_text,
    most_active,
    quantile_rows,
    share,
    sources_text,
    sure_text,
)
from sparsefire.report.textual import display_width, printable

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e"


def outcome(pmf, sources=(0,), names=None, method="tree", marginals=None, samples=None):
    """An outcome on as many units as the law has sizes beyond 0."""
    law = SizeDistribution.from_pmf(pmf, method) if samples is None else SizeDistribution.from_counts(samples)
    units = len(law.pmf) - 1
    names = names or [f"u{i}" for i in range(units)]
    start = sources if isinstance(sources, float) else list(sources)
    return Outcome("edges.csv", "independent cascade, probability 0.1", units, 2 * units, names, start, law, marginals)


def bimodal(units=1000, low=0.6):
    pmf = np.zeros(units + 1)
    pmf[1:4] = low * np.array([0.7, 0.2, 0.1])
    pmf[800:900] = (1 - low) / 100
    return pmf


@pytest.mark.parametrize(
    ("pmf", "said"),
    [
        ([0, 0.7, 0.2, 0.06, 0.04], "ends with 1 active unit in the median; 1 in 20 reaches 3 or more of 4."),
        ([0, 0, 0.6, 0, 0.4], "ends with 2 active units in the median; 1 in 20 reaches all 4."),
        ([0, 0, 1, 0], "always ends with 2 active units of 3."),
        ([0, 0, 0.97, 0.03], "ends with 2 active units of 3 in the median; 19 in 20 stay at that or below."),
    ],
)
def test_the_sentence(pmf, said):
    assert headline(outcome(pmf)) == f"A cascade from u0 {said}"


def test_samples_do_not_say_always():
    found = headline(outcome(None, samples=[0, 0, 7]))
    assert "always ended with 2" in found
    assert "ends" not in found


@given(st.lists(st.floats(0, 1), min_size=3, max_size=60).filter(lambda values: sum(values[1:]) > 0.1))
def test_one_in_twenty_is_not_said_of_less(values):
    pmf = np.array(values) / np.sum(values)
    law = SizeDistribution.from_pmf(pmf, "tree")
    far = int(law.quantile(0.95))
    assert 1 - law.cdf[far] + law.pmf[far] >= 0.05 - 1e-9
    text = headline(outcome(pmf))
    if "1 in 20 reaches all" in text:
        assert far == len(values) - 1
    elif "1 in 20" in text:
        assert f"reaches {far} or more" in text


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "units that start by themselves"),
        ([1], "b"),
        ([0, 1], "a and b"),
        ([0, 1, 2], "a, b and c"),
        (list(range(6)), "a, b and 4 more units"),
        (0.015, "1.5% of the units at random"),
    ],
)
def test_who_starts(sources, said):
    assert sources_text(sources, "abcdef") == said


def test_the_mean_between_two_kinds_of_cascades():
    law = SizeDistribution.from_pmf(bimodal(), "tree")
    assert grouping(law) == (
        "The mean, 341, is a size that almost never happens: 60% end with 1 to 3 units, 40% with 800 to 899."
    )


def test_two_kinds_whose_mean_is_one_of_them():
    pmf = bimodal(low=0.06)
    pmf[700:800], pmf[800:900] = pmf[800:900], 0
    pmf[650:850] = 0.94 / 200  # mean 0.94 × 749.5, inside
    law = SizeDistribution.from_pmf(pmf / pmf.sum(), "tree")
    assert 650 < law.mean() < 850
    assert grouping(law).startswith("Cascades are of two kinds: 6%")
    assert "almost never" not in grouping(law)


def test_one_kind_says_nothing():
    assert grouping(SizeDistribution.from_pmf(np.full(100, 0.01), "tree")) == ""


def test_a_mean_that_happens_now_and_then_is_not_said_never_to():
    pmf = bimodal() * 0.97
    pmf[100:300] += 0.00015
    assert grouping(SizeDistribution.from_pmf(pmf, "tree")) == (
        "The mean, 336, lies between the kinds of cascades there are: "
        "58.2% end with 1 to 3 units, 38.8% with 800 to 899, 3% in between."
    )


def test_limits_of_quantiles_come_from_the_band():
    generator = np.random.default_rng(3)
    law = SizeDistribution.from_samples(generator.integers(1, 101, 3000), 200)
    for q, size, low, high in quantile_rows(law):
        assert low <= size <= high
        assert law.band[1][low] >= q > (law.band[1][low - 1] if low else 0)
        assert law.band[0][high] >= q > law.band[0][high - 1]
    assert all(row[2:] == (None, None) for row in quantile_rows(SizeDistribution.from_pmf([0.5, 0.5], "tree")))


def test_how_sure():
    sampled = SizeDistribution.from_samples([0, 1] * 50_000, 1)
    assert "±0.43 points" in sure_text(sampled)
    assert half_width(100_000) == pytest.approx(float((sampled.band[1] - sampled.cdf)[0]))
    assert is_exact(SizeDistribution.from_pmf([1.0], "star"))
    for method in ("mean-field", "tree-approximation"):
        law = SizeDistribution.from_pmf([1.0], method)
        assert not is_exact(law)
        assert "without an error bound" in sure_text(law)


def test_the_mean_and_its_error():
    assert mean_text(SizeDistribution.from_pmf([0.25, 0.75], "tree")) == "0.75"
    assert mean_text(SizeDistribution.from_samples([3] * 10, 4)) == "3"
    sizes = np.random.default_rng(0).integers(0, 1001, 10_000)
    mean, error = mean_text(SizeDistribution.from_samples(sizes, 1000)).split(" ± ")
    assert float(mean) == pytest.approx(sizes.mean(), abs=0.05)
    assert float(error) == pytest.approx(1.96 * sizes.std() / 100, rel=0.05)


def test_units_most_often_active():
    values = np.array([1.0, 0.2, 0.0, 0.9, 0.9])
    found = outcome(np.full(6, 1 / 6), marginals=Marginals(values, "tree"), sources=[0])
    assert [row[:2] for row in most_active(found)] == [("u3", 0.9), ("u4", 0.9), ("u1", 0.2)]
    assert [row[0] for row in most_active(found, 1)] == ["u3"]
    chance = outcome(np.full(6, 1 / 6), marginals=Marginals(values, "monte-carlo", 10), sources=0.1)
    name, p, low, high = most_active(chance)[0]
    assert (name, p, high) == ("u0", 1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / 10))  # Clopper and Pearson where all succeed
    assert most_active(outcome([0.5, 0.5])) == []


@given(st.lists(st.floats(0, 1), min_size=2, max_size=3000).filter(lambda values: sum(values) > 0.1))
def test_the_histogram_holds_everything_that_is_seen(values):
    law = SizeDistribution.from_pmf(np.array(values) / np.sum(values), "tree")
    rows = histogram(law)
    assert sum(value for _, value in rows) >= 1 - 5e-5 * 20
    assert rows[0][1] > 0
    assert rows[-1][1] > 0
    low = [int(label.split("–")[0].replace(",", "")) for label, _ in rows]
    assert low == sorted(low)


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0%"), (1.0, "100%"), (0.99999, ">99.9%"), (1e-9, "<0.001%"), (0.5, "50%")]
)
def test_shares_never_round_to_certainty(value, said):
    assert share(value) == said


def test_amounts():
    assert [amount(v) for v in (0.5, 99.94, 99.96, 12345.6)] == ["0.5", "99.9", "100", "12,346"]


def test_the_terminal_is_eighty_columns_and_has_no_commands():
    names = [HOSTILE * 3] * 1000
    found = outcome(bimodal(), names=names, sources=[0, 1, 2], marginals=Marginals(np.linspace(0, 1, 1000), "tree"))
    text = result_block(found, "runs/x")
    text += "\n" + start_block(
        HOSTILE * 5, 1000, 2000, [("model", HOSTILE * 9), ("sources", sources_text([0, 1], names))]
    )
    assert all(display_width(line) <= WIDTH for line in text.splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "almost never happens" in " ".join(text.split())


def test_the_terminal_without_unicode():
    text = result_block(outcome(bimodal()), "runs/x")
    shown = printable(text, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    shown.encode("ascii")
    assert "?" not in shown
    assert "#####" in shown


def test_bars_are_as_long_as_their_shares():
    text = result_block(outcome([0, 0.5, 0.25, 0, 0, 0.25]))
    bars = [line.count("━") for line in text.splitlines() if "━" in line]
    assert bars == [36, 18, 18]
