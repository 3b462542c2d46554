"""The sentences by which a bound says where it should not be trusted (each starts with one of the constants below)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LIMITED = "The result is limited by the spread between initialisations"
FAILING = "Some initialisations fail"
SMALL = "Too small to promise a level"
TAIL = "A few rows carry the result"
FEW_GROUPS = "Few groups"
FEW_POSITIVES = "Too few positives for a promised level"
NEVER = "The two never disagreed"

RARER_ROWS = "rows of the rarer class"
RARER_GROUPS = "groups with the rarer class"
SCALED_MAD = 1.4826  # the MAD of a normal variable times this is its standard deviation


def fired(warnings: Iterable[str], *leads: str) -> bool:
    """Return whether one of the warnings starts with one of the leads.

    >>> fired(("Few groups (12): the level is approximate.",), FEW_GROUPS)
    True
    """
    return any(text.startswith(leads) for text in warnings)


def about_initialisations(
    share: float, round_means: np.ndarray, round_error: float, *, accuracy: bool = False
) -> list[str]:
    """Warn if rounds dominate the variance, or if one round is far below the others.

    Args:
        share: fraction of the variance that is due to rounds, in [0, 1].
        round_means: mean difference per round, shape [M].
        round_error: standard error of the worst round's mean that its rows alone explain.
        accuracy: whether differences are those of 0/1 scores, so that 0.05 means five points.

    A round fails if it lies more than 3 scaled median absolute deviations below the median round, or more than 0.05 of
    accuracy; and, lest every small data set be warned of, more than 3 of its own standard errors.

    >>> about_initialisations(0.2, np.array([0.0, 0.01, 0.0, -0.01, -0.2]), 0.01)[0].startswith(FAILING)
    True
    """
    texts = []
    if share > 0.5:
        texts.append(
            f"{LIMITED} ({share:.0%} of the variance): more rounds would sharpen it, and with few rounds "
            "its level can be up to about twice the nominal one."
        )
    centre = float(np.median(round_means))
    fall = centre - float(round_means.min())
    spread = SCALED_MAD * float(np.median(np.abs(round_means - centre)))
    if (fall > 3 * spread or (accuracy and fall > 0.05)) and fall > 3 * round_error:
        texts.append(
            f"{FAILING}, and the average hides it: "
            f"the worst of {len(round_means)} rounds is {fall:.3g} below the middle one."
        )
    return texts


def about_size(
    rows: int, *, differing: int | None = None, clusters: int | None = None, folds: int | None = None
) -> list[str]:
    """Warn of few rows, few rows or groups per fold, few rows that differ, few groups.

    Args:
        rows: number of rows.
        differing: rows on which the two predictors ever differ, if that means something for the score.
        clusters: number of groups, if rows are grouped.
        folds: number of folds, if there are folds.
    """
    reasons = []
    if rows < 100:
        reasons.append(f"{rows} rows")
    units, word = (rows, "rows") if clusters is None else (clusters, "groups")
    if folds is not None and units < 10 * folds:
        reasons.append(f"{units / folds:.3g} {word} per fold")
    if differing is not None and differing < 30:
        reasons.append(f"{differing} rows that differ")
    texts = [f"{SMALL}: {', '.join(reasons)}."] if reasons else []
    if clusters is not None and clusters < 30:
        texts.append(f"{FEW_GROUPS} ({clusters}): {'no verdict' if clusters < 10 else 'the level is approximate'}.")
    return texts


def about_tail(row_values: np.ndarray, clusters: int | None = None) -> list[str]:
    """Warn if the top 1 % of rows (or groups) holds more than a quarter of the variance.

    Args:
        row_values: centred contribution per row or per group, shape [n] or [C].
        clusters: number of groups if the values are sums over groups.
    """
    squares = np.square(row_values)
    top = max(1, round(len(squares) / 100))
    held = float(np.partition(squares, len(squares) - top)[-top:].sum()) / max(
        float(squares.sum()), np.finfo(float).tiny
    )
    if held <= 0.25:
        return []
    word = "rows" if clusters is None else "groups"
    return [f"{TAIL}: {top:,} of {len(squares):,} {word} make {held:.0%} of its variance."]


def about_positives(positives: int, negatives: int, auc: float) -> list[str]:
    """Warn if the rarer class has fewer than 20 rows, or fewer than 50 with an AUC above 0.95.

    >>> about_positives(12, 300, 0.8)
    ['Too few positives for a promised level: 12 rows of the rarer class, at least 20 are needed.']
    """
    fewest = min(positives, negatives)
    needed = 50 if auc > 0.95 else 20
    if fewest >= needed:
        return []
    return [f"{FEW_POSITIVES}: {fewest} rows of the rarer class, at least {needed} are needed."]


def never_disagreed(units: int, level: float, word: str = "rows") -> str:
    """Say what zero disagreement in so many rows (or groups) still allows, by the rule of three −ln(level)/units.

    >>> never_disagreed(300, 0.05)
    'The two never disagreed in 300 rows; a loss below 0.00999 cannot be excluded.'
    """
    return f"{NEVER} in {units:,} {word}; a loss below {-np.log(level) / units:.3g} cannot be excluded."
