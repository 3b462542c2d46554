"""Whether some rows are enough: to learn every class, and to estimate a score together with its error."""

from __future__ import annotations

import numpy as np

from sparsefire.data.problem import Problem
from sparsefire.data.words import listing, plural, quote
from sparsefire.errors import UserError


def lacking(problem: Problem, rows: np.ndarray) -> str:
    """Return what rows lack for an estimate of the score and its error; "" if nothing.

    The error needs two clusters where there are clusters. An AUC needs two rows of each class (from two clusters), an
    R² a target that varies.

    >>> from sparsefire.data.read import problem_from_arrays
    >>> problem = problem_from_arrays([[0.0]] * 5, [0, 0, 0, 0, 1], score="auc")
    >>> lacking(problem, np.array([0, 1, 4]))
    'two rows of the class "1"'
    """
    target, units, unit = problem.target[rows], rows, "rows"
    if problem.cluster is not None:
        units, unit = problem.cluster[rows], "clusters"
        if len(np.unique(units)) < 2:
            return f"two values of {quote(problem.cluster_name)}"
    if problem.score == "auc":
        for code, name in enumerate(problem.classes):
            if len(np.unique(units[target == code])) < 2:
                return f"two {unit} of the class {quote(name)}"
    # the bar of statistics.scores.spread_of
    if problem.score == "r2" and np.var(target) <= 1e-24 * np.square(target).max(initial=0.0):
        return f"two rows that differ in {quote(problem.target_name)}"
    return ""


def refuse_lacking(problem: Problem, rows: np.ndarray, where: str, share: float = 1.0) -> None:
    """Stop where the score of some rows, or its error, could not be estimated after training.

    Args:
        problem: the data with their roles.
        rows: that will be scored together.
        where: what they are called, in the plural.
        share: of all rows that they are meant to be, to say how many that takes.

    Raises:
        UserError: with what is lacking.
    """
    lack = lacking(problem, rows)
    if not lack:
        return
    came = [plural(len(rows), "row")]
    if problem.cluster is not None:
        came.append(plural(len(np.unique(problem.cluster[rows])), "cluster"))
    if problem.score == "auc":
        came.append(_counts(problem, rows))
    raise UserError(
        f"{where} lack {lack}.",
        came=", ".join(came),
        expected=f"{lack}, at least" + (f"; about {2 / share:.0f} among all rows" if share < 1 else ""),
        attempt="another way of splitting" + (", or --score accuracy" if problem.score == "auc" else ""),
    )


def refuse_rare_class(problem: Problem, rows: np.ndarray, k: int) -> None:
    """Stop where a class has fewer rows than there are folds."""
    if problem.task != "classification":
        return
    counts = np.bincount(problem.target[rows], minlength=len(problem.classes))
    rarest = int(np.argmin(counts))
    if counts[rarest] < k:
        raise UserError(
            f"the class {quote(problem.classes[rarest])} of {quote(problem.target_name)} has fewer rows than folds.",
            came=f"{plural(int(counts[rarest]), 'row')} for development, {k} folds",
            expected=f"at least {k} rows of every class",
            attempt="join rare classes, remove them, or --task regression if the target is a quantity",
        )


def refuse_lost_class(problem: Problem, rows: np.ndarray, where: str) -> None:
    """Stop where rows to learn from have no row of some class, or are none at all."""
    if not len(rows):
        raise UserError(
            f"{where} would have no rows.",
            came=f"values of {quote(problem.cluster_name)} that are also held out",
            expected="rows to learn from",
            attempt="another way of splitting",
        )
    if problem.task != "classification":
        return
    counts = np.bincount(problem.target[rows], minlength=len(problem.classes))
    lost = np.flatnonzero(counts == 0)
    if len(lost):
        raise UserError(
            f"{where} would have no row of the class {quote(problem.classes[int(lost[0])])}.",
            came=_counts(problem, rows),
            expected="rows of every class to learn from",
            attempt="fewer folds, join rare classes, or another way of splitting",
        )


def _counts(problem: Problem, rows: np.ndarray) -> str:
    counts = np.bincount(problem.target[rows], minlength=len(problem.classes))
    return listing(f"{name}: {count:,}" for name, count in zip(problem.classes, counts, strict=True))
