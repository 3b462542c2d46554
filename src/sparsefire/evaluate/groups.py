"""What a small model does to each group of test rows, beside what it does to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.statistics import accuracy_difference, accuracy_interval, delong, r2_difference, score_interval
from sparsefire.statistics.paired import PairedTest
from sparsefire.statistics.scores import correctness

FEWEST_ROWS = 10
WITHIN, WORSE, CANNOT_TELL = "within the margin", "worse", "cannot tell"


def by_group(
    groups: Mapping[str, np.ndarray],
    target: np.ndarray,
    chosen: np.ndarray,
    dense: np.ndarray,
    *,
    task: str,
    score: str,
    margin: float,
    level: float = 0.05,
    clusters: np.ndarray | None = None,
    classes: int | None = None,
) -> list[dict[str, Any]]:
    """Compare the chosen model with the dense one within each level of each named column, on test rows.

    Args:
        groups: column name → level of each row, text [n].
        target: codes 0…C−1 or values [n].
        chosen, dense: predictions [n]: codes for accuracy, probabilities of class 1 for AUC, values for R².
        task: "classification" or "regression". score: "accuracy", "auc" or "r2".
        margin: the loss that is allowed, in units of the score, positive.
        level: error level.
        clusters: a label per row [n] when rows belong together, else None.
        classes: number of classes; default one more than the largest code in target and predictions.

    Returns:
        One dict per column, ready for JSON: ``column``; ``level``, the confidence of each group's intervals,
        1 − level/k for k groups with at least ten rows, so that intervals of one kind hold for all groups together
        at 1 − level (Bonferroni); ``rows``, first that of all rows, then one per level in sorted order:

        ``name``, ``rows``; ``base_rate`` (fraction of class 1, two classes only); ``dense``, ``chosen`` and
        ``difference`` as [value, low, high]; ``verdict``; and for two classes ``missed`` (class 1 called 0, of all of
        class 1) and ``false_alarm`` (class 0 called 1, of all of class 0) of the chosen model, by Wilson's intervals.

        The line of all rows is no group: each end of its difference is a bound at one-sided ``level``, the bound of
        the confirmation, and its other intervals have confidence 1 − level.

    The verdict is "within the margin" when the whole interval of the difference lies above −margin, "worse" when it
    lies below, else "cannot tell". Where there are fewer than ten rows, one class, one value or too few clusters, the
    numbers that cannot be had are None and the verdict is "cannot tell".

    >>> y = np.tile([0, 1], 200)
    >>> sex = np.repeat(["f", "m"], 200)
    >>> [table] = by_group({"sex": sex}, y, y, y, task="classification", score="accuracy", margin=0.1)
    >>> table["level"], [(row["name"], row["verdict"]) for row in table["rows"]]
    (0.975, [('All rows', 'within the margin'), ('f', 'within the margin'), ('m', 'within the margin')])
    """
    target, chosen, dense = np.asarray(target), np.asarray(chosen), np.asarray(dense)
    if score == "auc":
        classes = 2
    elif classes is None and task == "classification":
        classes = int(max(array.max() for array in (target, chosen, dense))) + 1

    def line(name: str, rows: np.ndarray, ends: float, confidence: float) -> dict[str, Any]:
        of = None if clusters is None else np.asarray(clusters)[rows]
        part = (target[rows], chosen[rows], dense[rows])
        test = _or_none(_difference, score, *part, margin, ends, of) if len(rows) >= FEWEST_ROWS else None
        missed, false_alarm = _errors(part[0], part[1], score, confidence, of) if classes == 2 else (None, None)
        return {
            "name": name,
            "rows": len(rows),
            "base_rate": float(np.mean(part[0] == 1)) if classes == 2 and len(rows) else None,
            "dense": _interval(score, part[0], part[2], confidence, of),
            "chosen": _interval(score, part[0], part[1], confidence, of),
            "difference": None if test is None else [test.estimate, test.lower, test.upper],
            "verdict": _verdict(test, margin),
            "missed": missed,
            "false_alarm": false_alarm,
        }

    tables = []
    for column, levels in groups.items():
        levels = np.asarray(levels).astype(str)
        members = {str(name): np.flatnonzero(levels == name) for name in np.unique(levels)}
        share = level / max(1, sum(len(rows) >= FEWEST_ROWS for rows in members.values()))
        lines = [line("All rows", np.arange(len(target)), level, 1 - level)]
        lines += [line(name, rows, share / 2, 1 - share) for name, rows in members.items()]
        tables.append({"column": column, "level": 1 - share, "rows": lines})
    return tables


def _verdict(test: PairedTest | None, margin: float) -> str:
    if test is None or test.no_verdict:
        return CANNOT_TELL
    if test.lower > -margin:
        return WITHIN
    return WORSE if test.upper < -margin else CANNOT_TELL


def _difference(
    score: str, target: np.ndarray, chosen: np.ndarray, dense: np.ndarray, margin: float, level: float, clusters: Any
) -> PairedTest:
    if score == "accuracy":
        right = (correctness(target, chosen), correctness(target, dense))
        return accuracy_difference(*right, margin=margin, level=level, clusters=clusters)
    test = delong if score == "auc" else r2_difference
    return test(target, chosen, dense, margin=margin, level=level, clusters=clusters)


def _interval(
    score: str, target: np.ndarray, prediction: np.ndarray, confidence: float, clusters: Any
) -> list[float] | None:
    if len(target) < FEWEST_ROWS:
        return None
    found = _or_none(score_interval, score, target, prediction, confidence, clusters)
    return None if found is None else list(found)


def _errors(
    target: np.ndarray, chosen: np.ndarray, score: str, confidence: float, clusters: Any
) -> tuple[list[float] | None, list[float] | None]:
    """Return the fractions of class 1 that were missed and of class 0 that were called 1."""
    called = chosen > 0.5 if score == "auc" else chosen == 1
    found: list[list[float] | None] = []
    for truth in (1, 0):
        of = target == truth
        wrong = (called != (truth == 1))[of].astype(float)
        enough = len(target) >= FEWEST_ROWS and len(wrong) > 0
        interval = None
        if enough:
            interval = _or_none(accuracy_interval, wrong, confidence, None if clusters is None else clusters[of])
        found.append(None if interval is None else list(interval))
    return found[0], found[1]


def _or_none(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except UserError:  # one class, one value, one cluster: there is no such number
        return None
