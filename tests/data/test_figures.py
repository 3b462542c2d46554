# Oracle: hand-written examples from the style rules of the report, and properties that must hold for every number.
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparsefire.data import figures

MINUS = "\N{MINUS SIGN}"


def read(text: str) -> float:
    """The number that a reader sees."""
    return float(text.replace(MINUS, "-").replace(",", ""))


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
@example(-0.04, 1)
@example(-0.0, 0)
def test_fixed_has_a_true_minus_sign_and_no_sign_at_zero(value, decimals):
    text = figures.fixed(value, decimals, plus=True)
    assert "-" not in text
    shown = read(text)
    assert shown == pytest.approx(value, abs=0.5 * 10**-decimals * (1 + 1e-9))
    assert text[0] == (MINUS if shown < 0 else "+" if shown > 0 else text[0])
    if shown == 0:
        assert text[0].isdigit()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (29_123, "29 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_480_000, "1.5 MB"),
        (250_000_000, "250 MB"),
        (431, "0.43 kB"),
    ],
)
def test_file_sizes(size, text):
    assert figures.file_size(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5 µs"),
        (5.31, "5.3 µs"),
        (21.4, "21 µs"),
        (412.0, "410 µs"),
        (999.0, "1 ms"),
        (1234.0, "1.2 ms"),
        (2.6e6, "2.6 s"),
        (0.0, "0 µs"),
    ],
)
def test_latencies_have_at_most_two_significant_digits(value, text):
    assert figures.latency(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (292.2, "4 min 52 s"),
        (59.6, "1 min"),
        (25, "25 s"),
        (0.2, "under 1 s"),
        (3600, "1 h"),
        (7512, "2 h 5 min"),
        (3599.7, "1 h"),
    ],
)
def test_durations(seconds, text):
    assert figures.duration(seconds) == text


@given(st.floats(1, 1e6))
def test_durations_are_told_to_a_percent_or_a_second(seconds):
    units = {"h": 3600, "min": 60, "s": 1}
    words = figures.duration(seconds).replace(",", "").split()
    told = sum(int(n) * units[u] for n, u in zip(words[::2], words[1::2], strict=True))
    assert abs(told - seconds) <= max(0.51, 0.01 * seconds)


@given(st.floats(1e-6, 1e9), st.integers(1, 4))
def test_significant_digits(value, digits):
    text = figures.significant(value, digits)
    assert "e" not in text
    assert len(text.replace(",", "").replace(".", "").lstrip("0").rstrip("0")) <= digits
    assert read(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


def test_counts_are_never_rounded_and_needed_rows_are_about():
    assert figures.count(13_310) == "13,310"
    assert figures.about_count(687) == "690"
    assert figures.about_count(12_345) == "12,000"
    assert figures.about_count(362, above=360) == "362"  # "about 360" would contradict "360 are too few"


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_times_fewer_is_close(many, few):
    many, few = max(many, few), min(many, few)
    told, exact = read(figures.times_fewer(many, few)), many / few
    assert abs(told - exact) <= (0.5 if exact >= 9.95 else 0.05) + 1e-9


def test_short_percent_keeps_small_densities():
    assert [figures.short_percent(x) for x in (0.5, 0.05, 0.005, 0.0005)] == ["50%", "5%", "0.5%", "0.05%"]
    assert not math.isnan(read(figures.short_percent(1 / 3).rstrip("%")))
