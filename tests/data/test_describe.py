"""Oracle: the Data block of the terminal mockup, and small tables counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data import describe, describe_split, headline, open_problem, problem_from_arrays, split_test


def told(problem: Any) -> dict[str, str]:
    return dict(describe(problem, *split_test(problem, 0)))


def test_digits_as_in_the_mockup() -> None:
    problem = open_problem()
    assert headline(problem) == "digits · 1,797 rows · 64 inputs · 10 classes"
    assert told(problem) == {
        "inputs": "64 numbers, 0 missing values, 3 constant columns",
        "target": "digit, 10 classes, 174 to 183 rows each",
        "task": "classification, scored by accuracy",
        "test set": "360 rows, stratified, untouched until the end",
        "groups": "no column repeats like an identifier; else give --cluster COLUMN",
    }


def test_mixed_table() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.5, None] * 20,
            "c": ["a", None, "b", "b"] * 10,
            "same": ["k"] * 40,
            "o": pd.Categorical([1, 2] * 20, ordered=True),
        }
    )
    problem = problem_from_arrays(frame, [0] * 38 + [1] * 2)
    table = dict(describe(problem, np.arange(32), np.arange(32, 40)))
    assert table["inputs"] == ("1 number, 2 categories, 1 ordered category, 30 missing values, 2 constant columns")
    assert table["target"] == "target, 2 classes, 38 rows of 0 and 2 of 1 (5%)"
    assert table["task"] == "classification, scored by AUC"


def test_regression_with_minus_signs() -> None:
    problem = problem_from_arrays(np.zeros((5, 1)), pd.Series([-1.5, 0.5, 2.5, 1000.25, 3.5], name="drop-out"))
    table = dict(describe(problem, np.arange(4), np.array([4])))
    assert table["target"] == "drop-out, −1.5 to 1,000.25, median 2.5"
    assert table["test set"] == "1 row, drawn at random, untouched until the end"


def test_every_way_of_splitting_is_named() -> None:
    x, y = np.zeros((60, 1)), np.arange(60.0) ** 2
    by_cluster = problem_from_arrays(x, y, cluster=pd.Series(np.arange(60) // 3, name="patient"))
    assert told(by_cluster)["test set"] == "12 rows, by patient, 4 clusters, untouched until the end"
    assert told(by_cluster)["groups"] == "20 clusters by patient, never divided"
    by_time = problem_from_arrays(x, y, time=pd.Series(np.arange(60), name="visit"))
    assert told(by_time)["test set"] == "12 rows, the latest rows by visit, untouched until the end"
    by_site = problem_from_arrays(x, y, site=pd.Series(["rome", "oslo", "bonn"] * 20, name="hospital"))
    assert describe_split(by_site) == "one hospital left out"
    assert told(by_site)["test set"].startswith("20 rows, hospital ")
    both = problem_from_arrays(x, y, time=np.arange(60), cluster=pd.Series(np.arange(60) % 30, name="patient"))
    assert "rows of clusters on both sides left out" in told(both)["test set"]


def test_images() -> None:
    problem = problem_from_arrays(np.full((10, 4, 6, 3), 255, np.uint8), [0, 1] * 5)
    assert told(problem)["inputs"] == "images of 4 × 6 pixels, 3 channels, values 1 to 1"
