"""Oracle: columns whose meaning is known to people, and the rule written out by hand at its borders."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.data.detect import (
    Target,
    detect_score,
    detect_target,
    find_target,
)
from sparsefire.errors import UserError


def task_of(values: object) -> str:
    return detect_target(pd.Series(values), "y").task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 5, "classification"),
        ([True, False] * 5, "classification"),
        ([0, 1] * 5, "classification"),
        ([0.25, 0.75] * 5, "classification"),
        (np.repeat([0, 1, 2], 8), "classification"),
        (np.repeat([0, 1, 2], 5), "regression"),  # a class of 5 rows cannot be in the test and in 5 folds
        (np.repeat([10, 20, 30], 8), "regression"),  # no codes, and 24 rows for 3 values
        (np.repeat([10, 20, 30], 20), "classification"),
        (np.repeat(np.arange(20), 20), "classification"),
        (np.repeat(np.arange(21), 40), "regression"),
        (np.repeat([0.5, 1.5, 2.5], 100), "regression"),
        (np.arange(100.0), "regression"),
    ],
)
def test_task(values: object, task: str) -> None:
    assert task_of(values) == task


def test_task_can_be_overridden() -> None:
    series = pd.Series(np.repeat([1.5, 2.5, 3.5], 4))
    assert detect_target(series, "y", task="classification").classes == ("1.5", "2.5", "3.5")
    assert detect_target(pd.Series([0, 1] * 5), "y", task="regression").values.dtype == np.float64
    for values, task in ((["a", "b"], "regression"), (np.arange(50.0), "classification"), ([0, 1], "ranking")):
        with pytest.raises(UserError):
            detect_target(pd.Series(values), "y", task=task)


@given(st.lists(st.sampled_from(["no", "yes", "perhaps"]), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1))
def test_codes_and_names_say_what_the_text_said(values: list[str]) -> None:
    target = detect_target(pd.Series(values), "y")
    assert [target.classes[code] for code in target.values] == values
    assert list(target.classes) == sorted(set(values))


def test_names_of_the_source_and_orders_are_used() -> None:
    assert detect_target(pd.Series([0, 1, 1]), "y", classes=("ALL", "AML")).classes == ("ALL", "AML")
    ordered = pd.Series(pd.Categorical(["mid", "low"], categories=["low", "mid", "high"], ordered=True))
    assert detect_target(ordered, "y").classes == ("low", "mid")
    assert detect_target(pd.Series([True, False]), "y").classes == ("False", "True")
    assert detect_target(pd.Series([1.0, 0.0]), "y").classes == ("0", "1")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, None, 2.0, None], r"2 rows with no value \(rows 2, 4\)"),
        (["a", None], r"1 row with no value \(row 2\)"),
        ([1.5, np.inf, 3.5], r"infinite or huge in 1 row \(row 2\)"),
        ([1.5, -1e300], "infinite or huge"),
        (["a", "a"], "nothing to learn"),
        ([3, 3, 3], "nothing to learn"),
        ([float(i) for i in range(1)], "nothing to learn"),
        ([[1], [2]], "neither classes nor numbers"),
        ([1j, 2j], "neither classes nor numbers"),
        ([f"{i}.5" for i in range(60)] + ["lost"], r"text in 1 row \(row 61\)"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "date or a duration"),
    ],
)
def test_targets_that_cannot_be_learned(values: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        detect_target(pd.Series(values), "y")


def test_many_numbers_written_as_text_are_numbers() -> None:
    target = detect_target(pd.Series([f"{i}.5" for i in range(60)]), "y")
    assert target.task == "regression"
    assert target.values[1] == 1.5


def test_score() -> None:
    def binary(rare: int, total: int = 100) -> Target:
        return Target(np.array([1] * rare + [0] * (total - rare)), "classification", ("no", "yes"))

    three = Target(np.array([0] * 98 + [1, 2]), "classification", ("a", "b", "c"))
    assert detect_score(binary(9), "y") == "auc"
    assert detect_score(binary(91), "y") == "auc"
    assert detect_score(binary(10), "y") == "accuracy"
    assert detect_score(three, "y") == "accuracy"
    assert detect_score(Target(np.zeros(3), "regression", ()), "y") == "r2"
    assert detect_score(binary(9), "y", "accuracy") == "accuracy"
    for target, score in ((three, "auc"), (binary(9), "r2"), (binary(9), "f1")):
        with pytest.raises(UserError, match="does not fit"):
            detect_score(target, "y", score)


def test_target_is_found_by_name_and_never_guessed() -> None:
    assert find_target(["a", "Class"], "t.csv", "") == "Class"
    with pytest.raises(UserError, match="does not say which"):
        find_target(["a", "outcome"], "t.csv", "")
    with pytest.raises(UserError, match="more than one"):
        find_target(["y", "label"], "t.csv", "")
