"""How scores and differences of scores are written: each in its unit, and never a fail that reads like a pass."""

from __future__ import annotations

from collections.abc import Sequence

from sparsefire.data import figures

# Accuracies are told in percent and points, the others in their own unit: factor, decimals, word after a difference.
_UNITS = {"accuracy": (100.0, 1, "points"), "auc": (1.0, 3, ""), "r2": (1.0, 3, "")}
_SCORE_NAMES = {"accuracy": "accuracy", "auc": "AUC", "r2": "R²"}


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
    return figures.fixed(factor * value, decimals) + (score_unit(score) if unit else "")


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
    text = figures.fixed(factor * value, usual if decimals is None else decimals, plus=True)
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
