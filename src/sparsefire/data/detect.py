"""What the data seem to be: the target column, the task and the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparsefire.data.frames import LARGEST, text_of
from sparsefire.data.words import columns, listing, plain, plural, quote, rows
from sparsefire.errors import UserError

TARGETS = ("target", "label", "class", "y")
MOST_CLASSES = 20  # whole numbers with more distinct values are quantities
SHARE = 0.05  # ... and so are those with more distinct values than this share of the rows
FEWEST = 6  # rows of the rarest value: one for the test set and one for each of five folds
RARE = 0.10  # below this share of the rarer class accuracy says little, so AUC is the default


Labels = Literal["text", "whole", "number", "truth"]


@dataclass(frozen=True)
class Target:
    """A target turned into numbers."""

    values: np.ndarray  # int64 codes or float64
    task: Literal["classification", "regression"]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    labels: Labels = "text"  # what the classes were before they became text


def find_target(names: list[str], source: str, attempt: str) -> str:
    """Return the column that is called target, label, class or y, whichever case; never a guess.

    Args:
        names: of the columns.
        source: name of the data, for the message.
        attempt: what to paste, for the message.

    Raises:
        UserError: where there is none, or more than one.

    >>> find_target(["age", "Label"], "a.csv", "")
    'Label'
    """
    found = [name for name in names if name.casefold() in TARGETS]
    if len(found) == 1:
        return found[0]
    problem = "does not say which column to predict" if not found else "has more than one column that may be the target"
    raise UserError(
        f"{plain(source)} {problem}.",
        came=columns(names) if not found else listing(found),
        expected="--target followed by the name of one of them",
        attempt=attempt,
    )


def detect_target(series: pd.Series, name: str, *, task: str | None = None, classes: tuple[str, ...] = ()) -> Target:
    """Turn a target into class codes or numbers.

    Args:
        series: one value per row.
        name: of the column, for messages.
        task: ``"classification"`` or ``"regression"`` to decide; ``None`` detects it. Text and truth values are
            classes; so are numbers with two values, and whole numbers with at most 20 values, at most one for every
            20 rows (or codes 0 to 3 at most), each in at least 6 rows.
        classes: names of the codes 0, 1, …, where the source gives them.

    Raises:
        UserError: for missing or infinite values, a single value, or a task that does not fit.

    >>> detect_target(pd.Series(["yes", "no", "yes"]), "relapse").classes
    ('no', 'yes')
    """
    if task not in (None, "classification", "regression"):
        raise UserError(f"there is no task {quote(task)}.", came=plain(task), expected="classification or regression")
    _refuse_missing(series, name)
    numbers = _as_numbers(series, name)
    if numbers is None:
        if task == "regression":
            raise UserError(
                f"the target {quote(name)} is no number, so regression is not possible.",
                came=f"values such as {listing(series.unique(), 4)}",
                expected="a number in every row, or --task classification",
            )
        return _classes_of_texts(series, name)
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) == 1:
        raise _single(name, text_of(values[0]), len(numbers))
    whole = bool((numbers == np.round(numbers)).all())
    named = bool(classes) and whole and values[0] >= 0 and values[-1] < len(classes)
    notes: tuple[str, ...] = ()
    if task is None:
        task = "classification" if named else _task_of(values, counts, whole)
        if task == "regression" and whole and len(values) <= MOST_CLASSES:
            notes = (
                f"{plain(name)} has {len(values)} distinct whole numbers, taken as a quantity; "
                "--task classification makes them classes",
            )
    if task == "regression":
        return Target(numbers, "regression", (), notes)
    if len(values) > max(MOST_CLASSES, len(numbers) // 2):
        raise UserError(
            f"the target {quote(name)} has too many values for classes.",
            came=f"{len(values):,} distinct numbers in {len(numbers):,} rows",
            expected="classes that repeat, or --task regression",
        )
    codes = np.searchsorted(values, numbers).astype(np.int64)
    texts = tuple(classes[int(value)] if named else text_of(value) for value in values)
    labels: Labels = "text" if named else "whole" if whole and abs(values).max() < 2**53 else "number"
    return Target(codes, "classification", texts, labels=labels)


def detect_score(target: Target, name: str, score: str | None = None) -> Literal["accuracy", "auc", "r2"]:
    """Return the score to use: R² for regression, accuracy for classes, AUC where the rarer of two is below 10 %.

    Raises:
        UserError: for a score that does not fit the task.

    >>> detect_score(Target(np.array([0] * 95 + [1] * 5), "classification", ("no", "yes")), "relapse")
    'auc'
    """
    fitting = ["r2"] if target.task == "regression" else ["accuracy", "auc"][: 2 if len(target.classes) == 2 else 1]
    if score is not None and score not in fitting:
        raise UserError(
            f"the score {quote(score)} does not fit the target {quote(name)}.",
            came=f"{target.task}, {len(target.classes)} classes" if target.classes else target.task,
            expected=" or ".join(fitting),
            attempt=f"--score {fitting[0]}",
        )
    if score is None:
        rare = target.task == "classification" and np.bincount(target.values).min() < RARE * len(target.values)
        score = "auc" if rare and len(target.classes) == 2 else fitting[0]
    return score  # type: ignore[return-value]


def _task_of(values: np.ndarray, counts: np.ndarray, whole: bool) -> Literal["classification", "regression"]:
    if len(values) == 2:
        return "classification"
    codes = len(values) <= 4 and values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    few = len(values) <= MOST_CLASSES and (codes or len(values) <= SHARE * counts.sum())
    return "classification" if whole and few and counts.min() >= FEWEST else "regression"


def _refuse_missing(series: pd.Series, name: str) -> None:
    gone = np.flatnonzero(series.isna().to_numpy())
    if len(gone):
        raise UserError(
            f"the target {quote(name)} has {plural(len(gone), 'row')} with no value ({rows(gone)}).",
            came=f"{plural(len(series), 'row')}, {len(series) - len(gone):,} with a target",
            expected="a value in every row; a missing target is never guessed",
            attempt=f"remove {'this row' if len(gone) == 1 else 'these rows'}, or give the column that is complete",
        )


def _as_numbers(series: pd.Series, name: str) -> np.ndarray | None:
    """Return a numeric target as float64, ``None`` where the values are names of classes."""
    kind = series.dtype
    if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
        raise UserError(
            f"the target {quote(name)} is a date or a duration.",
            came=f"{series.iloc[0]} in row 1",
            expected="classes or numbers",
            attempt="turn it into a number, such as days since the first visit",
        )
    if isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(kind):
        return None
    if pd.api.types.is_object_dtype(kind):
        guess = pd.api.types.infer_dtype(series)
        if guess not in ("integer", "floating", "mixed-integer-float", "decimal"):
            _refuse_objects(series, name)
            return _numbers_in_text(series, name) if guess in ("string", "mixed-integer") else None
    elif isinstance(kind, pd.StringDtype):
        return _numbers_in_text(series, name)
    elif not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
        _refuse_objects(series, name)
        return None
    numbers = series.to_numpy(np.float64)
    wild = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(wild):
        raise UserError(
            f"the target {quote(name)} is infinite or huge in {plural(len(wild), 'row')} ({rows(wild)}).",
            came=f"{numbers[wild[0]]}",
            expected="finite numbers within ±1e150",
            attempt="remove these rows, or correct them",
        )
    return numbers


def _refuse_objects(series: pd.Series, name: str) -> None:
    for value in series:
        if not isinstance(value, bool | np.bool_ | str | int | np.integer):
            raise UserError(
                f"the target {quote(name)} holds values that are neither classes nor numbers.",
                came=f"{quote(value)} of type {type(value).__name__}",
                expected="one number, text or truth value in each row",
            )


def _numbers_in_text(series: pd.Series, name: str) -> np.ndarray | None:
    """Return many numbers written as text; stop where a few other texts would turn every number into a class."""
    levels = pd.Series(series.astype(str).unique())
    slips = levels[pd.to_numeric(levels, errors="coerce").isna()]
    if len(levels) <= MOST_CLASSES or len(slips) >= 0.5 * len(levels):
        return None
    if len(slips):
        where = np.flatnonzero(series.astype(str).isin(slips).to_numpy())
        there = f"{plural(len(where), 'row')} ({rows(where)})"
        raise UserError(
            f"the target {quote(name)} is a number in most rows and text in {there}.",
            came=listing(slips, 4),
            expected="numbers in every row, or classes in every row",
            attempt="correct or remove these rows",
        )
    return pd.to_numeric(series.astype(str)).to_numpy(np.float64)


def _classes_of_texts(series: pd.Series, name: str) -> Target:
    if isinstance(series.dtype, pd.CategoricalDtype):
        used = series.cat.remove_unused_categories()
        levels: list[Any] = list(used.cat.categories)
        codes = used.cat.codes.to_numpy(np.int64)
        texts = tuple(text_of(level) for level in levels)
        labels = _labels_of(used.cat.categories)
    else:
        values = series.astype(object).map(text_of).to_numpy(dtype=object)
        names, codes = np.unique(values.astype(str), return_inverse=True)
        texts = tuple(str(level) for level in names)
        labels = _labels_of(series)
    if len(texts) == 1:
        raise _single(name, texts[0], len(series))
    return Target(codes.astype(np.int64), "classification", texts, labels=labels)


def _labels_of(values: pd.Series | pd.Index) -> Labels:
    if pd.api.types.is_bool_dtype(values.dtype):
        return "truth"
    return "whole" if pd.api.types.is_integer_dtype(values.dtype) else "text"


def _single(name: str, value: str, total: int) -> UserError:
    return UserError(
        f"the target {quote(name)} is the same in every row, so there is nothing to learn.",
        came=f"{quote(value)} in all {plural(total, 'row')}",
        expected="at least two classes, or numbers that differ",
    )
