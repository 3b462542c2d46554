"""How numbers are written: true minus signs, thousands commas, and one rounding rule per unit."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"

_SMALL_NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def fixed(value: float, decimals: int, *, plus: bool = False) -> str:
    """Return a number with fixed decimals, thousands commas and U+2212 for minus; zero carries no sign.

    Args:
        value: any finite number.
        decimals: digits after the point, 0 or more.
        plus: write ``+`` before positive numbers.

    >>> fixed(-0.24, 1), fixed(0.41, 1, plus=True), fixed(-0.01, 1, plus=True), fixed(1480.4, 0)
    ('−0.2', '+0.4', '0.0', '1,480')
    """
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text
    if value < 0:
        return MINUS + text
    return "+" + text if plus else text


def count(value: int) -> str:
    """Return a count with thousands commas; counts are never rounded.

    >>> count(13310)
    '13,310'
    """
    return f"{int(value):,}"


def in_words(value: int) -> str:
    """Return a small count as a word, a larger one in digits.

    >>> in_words(4), in_words(40)
    ('four', '40')
    """
    return _SMALL_NUMBERS[value] if 0 <= value < len(_SMALL_NUMBERS) else count(value)


def significant(value: float, digits: int = 2) -> str:
    """Return a non-negative number with at most ``digits`` significant digits, without an exponent.

    >>> significant(0.0534), significant(5.0), significant(412.3), significant(12345)
    ('0.053', '5', '410', '12,000')
    """
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - power)
    power = math.floor(math.log10(abs(rounded)))  # 9.96 becomes 10
    text = fixed(rounded, max(digits - 1 - power, 0))
    return text.rstrip("0").rstrip(".") if "." in text else text


def about_count(value: float, *, above: int = 0) -> str:
    """Return a count rounded to two significant digits, exact if rounding would not leave it above ``above``.

    >>> about_count(687), about_count(362, above=360)
    ('690', '362')
    """
    exact = math.ceil(value)
    power = max(len(str(exact)) - 2, 0)
    rounded = round(exact / 10**power) * 10**power
    return count(rounded if rounded > above or exact <= above else exact)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal.

    >>> percent(0.9774)
    '97.7%'
    """
    return fixed(100.0 * fraction, 1) + "%"


def short_percent(fraction: float) -> str:
    """Return a fraction as a percentage with as few digits as it needs, at most three significant ones.

    >>> short_percent(0.05), short_percent(0.0005), short_percent(1 - 2 * 0.05 / 3)
    ('5%', '0.05%', '96.7%')
    """
    return significant(100.0 * fraction, 3) + "%"


def density(fraction: float) -> str:
    """Return a density as it is typed on the command line.

    >>> density(0.05), density(0.0123456)
    ('0.05', '0.0123')
    """
    return significant(fraction, 3)


def times_fewer(many: int, few: int) -> str:
    """Return how many times fewer ``few`` is than ``many``: whole from 10 on, one decimal below.

    >>> times_fewer(84480, 4224), times_fewer(2500, 1000), times_fewer(2000, 1000)
    ('20', '2.5', '2')
    """
    ratio = many / few
    if ratio >= 9.95:
        return fixed(ratio, 0)
    return fixed(ratio, 1).removesuffix(".0")


def kilobytes(size: int) -> str:
    """Return bytes as a number of kB (1,000 bytes) for a column, two significant digits below 1.

    >>> kilobytes(29_123), kilobytes(1_480_000), kilobytes(431)
    ('29', '1,480', '0.43')
    """
    return fixed(size / 1e3, 0) if size >= 1e3 else significant(size / 1e3)


def file_size(size: int) -> str:
    """Return bytes with their unit: kB of 1,000 bytes, MB from 1,000 kB.

    >>> file_size(29_123), file_size(1_480_000), file_size(12)
    ('29 kB', '1.5 MB', '0.012 kB')
    """
    if round(size / 1e3) < 1e3:
        return f"{kilobytes(size)} kB"
    return f"{fixed(size / 1e6, 1 if size < 1e8 else 0)} MB"


def microseconds(value: float) -> str:
    """Return microseconds as a number for a column, at most two significant digits.

    >>> microseconds(5.04), microseconds(412.0), microseconds(1234)
    ('5', '410', '1,200')
    """
    return significant(value)


def latency(value: float) -> str:
    """Return microseconds with the unit that suits them: µs, ms or s, at most two significant digits.

    >>> latency(5.31), latency(1234.0), latency(2.6e6)
    ('5.3 µs', '1.2 ms', '2.6 s')
    """
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if value >= 0.995 * size:
            return f"{significant(value / size)} {unit}"
    return f"{significant(value)} µs"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(292.2), duration(25), duration(7512), duration(0.2)
    ('4 min 52 s', '25 s', '2 h 5 min', 'under 1 s')
    """
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{count(hours)} h {minutes} min" if minutes else f"{count(hours)} h"


def about_duration(seconds: float) -> str:
    """Return a rough duration for a plan: seconds in fives, then minutes, then hours with one decimal.

    >>> about_duration(23), about_duration(178), about_duration(9000)
    ('25 s', '3 min', '2.5 h')
    """
    if seconds < 57.5:
        return f"{max(5 * round(seconds / 5), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{fixed(seconds / 3600, 1).removesuffix('.0')} h"


def short_hash(digest: str) -> str:
    """Return the two ends of a hash.

    >>> short_hash("5f1c77aa9a07")
    '5f1c…9a07'
    """
    return f"{digest[:4]}…{digest[-4:]}" if len(digest) > 9 else digest
