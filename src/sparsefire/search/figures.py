"""How numbers are written: true minus signs, one rounding rule per unit, and never a fail that reads like a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"

# Accuracies are told in percent and points, the others in their own unit: factor, decimals, word after a difference.
_UNITS = {"accuracy": (100.0, 1, "points"), "auc": (1.0, 3, ""), "r2": (1.0, 3, "")}
_SCORE_NAMES = {"accuracy": "accuracy", "auc": "AUC", "r2": "R²"}
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


def score_name(score: str) -> str:
    """Return the name of a score as it stands in a sentence.

    >>> score_name("auc"), score_name("r2")
    ('AUC', 'R²')
    """
    return _SCORE_NAMES[score]


def score_unit(score: str) -> str:
    """Return the unit for table heads: ``%`` for accuracy, nothing for the others.

    >>> score_unit("accuracy"), score_unit("auc")
    ('%', '')
    """
    return "%" if score == "accuracy" else ""


def difference_unit(score: str) -> str:
    """Return the word behind a difference: ``points`` for accuracy, nothing for the others.

    >>> difference_unit("accuracy"), difference_unit("r2")
    ('points', '')
    """
    return _UNITS[score][2]


def scale(score: str) -> float:
    """Return what a stored fraction is multiplied by before it is shown: 100 for accuracy, else 1.

    >>> scale("accuracy")
    100.0
    """
    return _UNITS[score][0]


def score_value(value: float, score: str, *, unit: bool = False) -> str:
    """Return a score: percent with one decimal for accuracy, three decimals for AUC and R².

    Args:
        value: the score as a fraction.
        score: ``accuracy``, ``auc`` or ``r2``.
        unit: add the percent sign (tables say it once, in the head).

    >>> score_value(0.9774, "accuracy"), score_value(0.9774, "accuracy", unit=True), score_value(-0.05, "r2")
    ('97.7', '97.7%', '−0.050')
    """
    factor, decimals, _ = _UNITS[score]
    return fixed(factor * value, decimals) + (score_unit(score) if unit else "")


def score_interval(low: float, high: float, score: str) -> str:
    """Return an interval of a score in square brackets, both ends to the same decimals.

    >>> score_interval(0.971, 0.984, "accuracy")
    '[97.1, 98.4]'
    """
    return f"[{score_value(low, score)}, {score_value(high, score)}]"


def difference(value: float, score: str, *, decimals: int | None = None, unit: bool = False) -> str:
    """Return a signed difference of scores: points for accuracy, plain units for AUC and R².

    Args:
        value: difference as a fraction.
        score: ``accuracy``, ``auc`` or ``r2``.
        decimals: digits after the point; by default 1 for points and 3 for the others.
        unit: add the word ``points`` where it is one.

    >>> difference(-0.0022, "accuracy", unit=True), difference(0.0041, "auc"), difference(0.0, "accuracy")
    ('−0.2 points', '+0.004', '0.0')
    """
    factor, usual, word = _UNITS[score]
    text = fixed(factor * value, usual if decimals is None else decimals, plus=True)
    return f"{text} {word}" if unit and word else text


def difference_interval(low: float, high: float, score: str, *, decimals: int | None = None) -> str:
    """Return an interval of a difference in square brackets, every end signed.

    >>> difference_interval(-0.009, 0.004, "accuracy")
    '[−0.9, +0.4]'
    """
    return f"[{difference(low, score, decimals=decimals)}, {difference(high, score, decimals=decimals)}]"


def decimals_to_tell(bounds: Sequence[float], margin: float, score: str) -> int:
    """Return how many decimals keep every bound on its own side of the margin, and the margin as it was given.

    A bound at −1.04 fails a margin of 1.0 but would be printed like it; one more digit tells them apart.

    Args:
        bounds: lower bounds of differences, as fractions.
        margin: the largest loss allowed, as a positive fraction.
        score: ``accuracy``, ``auc`` or ``r2``.

    >>> decimals_to_tell([-0.008], 0.01, "accuracy"), decimals_to_tell([-0.0104], 0.01, "accuracy")
    (1, 2)
    """
    factor, usual, _ = _UNITS[score]
    allowed = -factor * margin
    # A margin typed as 1.25 is shown as such; one computed from a retained share gets one digit more than usual.
    exact = (digits for digits in range(usual, usual + 3) if abs(round(allowed, digits) - allowed) < 1e-9)
    needed = next(exact, usual + 1)
    for bound in bounds:
        value = factor * bound
        # Rounding is monotone, so the only danger is that both are printed alike.
        while abs(value - allowed) > 1e-12 and needed < usual + 4 and round(value, needed) == round(allowed, needed):
            needed += 1
    return needed


def column_decimals(bounds: Sequence[float], margin: float, score: str) -> int:
    """Return the decimals for a column of differences: one number for all, at most two more than usual.

    >>> column_decimals([-0.008, -0.0104], 0.01, "accuracy"), column_decimals([-0.0100001], 0.01, "accuracy")
    (2, 3)
    """
    return min(decimals_to_tell(bounds, margin, score), _UNITS[score][1] + 2)


def told(estimate: float, lower: float, margin: float, score: str) -> tuple[str, str, str]:
    """Return difference, lower bound and margin as text, with decimals that keep a fail looking like a fail.

    >>> told(-0.0022, -0.0081, 0.01, "accuracy")
    ('−0.2', '−0.8', '−1.0')
    >>> told(-0.0022, -0.0104, 0.01, "accuracy")
    ('−0.22', '−1.04', '−1.00')
    """
    decimals = decimals_to_tell([lower], margin, score)
    return (
        difference(estimate, score, decimals=decimals),
        difference(lower, score, decimals=decimals),
        difference(-margin, score, decimals=decimals),
    )


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
