"""What was found in the data, in a few lines to read before training starts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sparsefire.data.problem import Problem
from sparsefire.data.split import describe_split
from sparsefire.data.words import listing, plain, plural

_SCORES = {"accuracy": "accuracy", "auc": "AUC", "r2": "R²"}


def headline(problem: Problem) -> str:
    """Return name, rows, inputs and classes on one line.

    >>> from sparsefire.data.read import open_problem
    >>> headline(open_problem("digits"))
    'digits · 1,797 rows · 64 inputs · 10 classes'
    """
    parts = [plain(problem.name), plural(problem.rows, "row"), plural(problem.width, "input")]
    parts.append(plural(len(problem.classes), "class", "classes") if problem.classes else "a number to predict")
    return " · ".join(parts)


def describe(problem: Problem, development: np.ndarray, test: np.ndarray) -> list[tuple[str, str]]:
    """Return the rows of the table that is shown before training.

    Args:
        problem: the data.
        development: rows for development.
        test: rows of the test set.

    Returns:
        Pairs (label, text): inputs, target, task, test set, groups, and a pair ``("note", …)`` for each note.

    >>> from sparsefire.data.read import open_problem
    >>> from sparsefire.data.split import split_test
    >>> problem = open_problem("digits")
    >>> for label, text in describe(problem, *split_test(problem, 0)):
    ...     print(f"{label:9} {text}")
    inputs    64 numbers, 0 missing values, 3 constant columns
    target    digit, 10 classes, 174 to 183 rows each
    task      classification, scored by accuracy
    test set  360 rows, stratified, untouched until the end
    groups    no column repeats like an identifier; else give --cluster COLUMN
    """
    return [
        ("inputs", _inputs(problem)),
        ("target", _target(problem)),
        ("task", f"{problem.task}, scored by {_SCORES[problem.score]}"),
        ("test set", _test(problem, development, test)),
        ("groups", _groups(problem)),
        *(("note", note) for note in problem.notes),
    ]


def _inputs(problem: Problem) -> str:
    inputs = problem.inputs
    if isinstance(inputs, pd.DataFrame):
        kinds = [column.kind for column in problem.columns]
        counted = (("number", "number", "numbers"), ("category", "category", "categories"))
        parts = [plural(kinds.count(kind), one, many) for kind, one, many in counted if kind in kinds]
        if "ordinal" in kinds:
            parts.append(plural(kinds.count("ordinal"), "ordered category", "ordered categories"))
        missing = int(inputs.isna().to_numpy().sum())
        constant = _constant_columns(inputs)
    else:
        if inputs.ndim == 4:
            _, channels, height, width = inputs.shape
            size = f"images of {height} × {width} pixels, {plural(channels, 'channel')}"
            return f"{size}, values {inputs.min():.4g} to {inputs.max():.4g}"
        parts = [plural(inputs.shape[1], "number")]
        missing = int(np.isnan(inputs).sum())
        constant = int((np.nanmin(inputs, axis=0) == np.nanmax(inputs, axis=0)).sum())
    parts.append(plural(missing, "missing value"))
    if constant:
        parts.append(plural(constant, "constant column"))
    return ", ".join(parts)


def _constant_columns(table: pd.DataFrame) -> int:
    numbers = table.select_dtypes("number").to_numpy(np.float64)
    count = int((np.nanmin(numbers, axis=0) == np.nanmax(numbers, axis=0)).sum()) if numbers.shape[1] else 0
    levels = (table[name] for name in table.select_dtypes("category").columns)
    return count + sum(series.nunique() == 1 and not series.isna().any() for series in levels)


def _target(problem: Problem) -> str:
    name = plain(problem.target_name)
    if problem.task == "regression":
        low, middle, high = (f"{value:,.6g}".replace("-", "−") for value in np.quantile(problem.target, (0, 0.5, 1)))
        return f"{name}, {low} to {high}, median {middle}"
    counts = np.bincount(problem.target, minlength=len(problem.classes))
    if len(counts) == 2:
        first, second = (plain(label) for label in problem.classes)
        share = 100 * counts[1] / counts.sum()
        return f"{name}, 2 classes, {counts[0]:,} rows of {first} and {counts[1]:,} of {second} ({share:.3g}%)"
    least, most = int(counts.min()), int(counts.max())
    each = f"{least:,} rows each" if least == most else f"{least:,} to {most:,} rows each"
    return f"{name}, {len(counts)} classes, {each}"


def _test(problem: Problem, development: np.ndarray, test: np.ndarray) -> str:
    parts = [plural(len(test), "row"), describe_split(problem, test)]
    if problem.cluster is not None:
        parts.append(f"{plural(len(np.unique(problem.cluster[test])), 'cluster')}")
        dropped = problem.rows - len(development) - len(test)
        if dropped:
            parts.append(f"{plural(dropped, 'row')} of clusters on both sides left out")
    return ", ".join([*parts, "untouched until the end"])


def _groups(problem: Problem) -> str:
    if problem.identifiers:
        first = plain(problem.identifiers[0])
        return f"{listing(problem.identifiers)} repeats like an identifier: give --cluster {first}"
    if problem.cluster is not None:
        return f"{plural(len(np.unique(problem.cluster)), 'cluster')} by {plain(problem.cluster_name)}, never divided"
    if problem.kind != "table":
        return "rows are taken as independent; else give --cluster ARRAY"
    return "no column repeats like an identifier; else give --cluster COLUMN"
