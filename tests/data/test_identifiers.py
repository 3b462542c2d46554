"""Oracle: columns of which people know whether they identify anybody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparsefire.data.identifiers import repeating_identifiers, row_identifiers

RNG = np.random.default_rng(0)
WHO = RNG.integers(1000, 1200, 1000)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patient_id", WHO),
        ("PatientID", WHO.astype(float)),
        ("subject", [f"s{i}" for i in WHO]),
        ("customerId", WHO),
        ("MRN", WHO),
        ("pair_id", WHO),
        ("user", WHO),
        ("anything", [f"P{i:05d}" for i in WHO]),
        ("anything", [f"{i * 7919:08x}-{i:04x}" for i in WHO]),
        ("donor no", RNG.integers(0, 12, 1000)),
    ],
)
def test_identifiers_that_repeat_are_noticed(name: str, values: Any) -> None:
    (found,) = repeating_identifiers(pd.DataFrame({name: values}))
    assert found == (name, len(set(values)), name != "anything")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", RNG.integers(18, 90, 1000)),
        ("chol", RNG.integers(100, 400, 1000)),
        ("balance", RNG.integers(0, 10**6, 1000)),
        ("households", WHO.astype(float)),
        ("account_balance", WHO),
        ("paid", WHO),
        ("humidity", WHO),
        ("number_of_sessions", RNG.integers(0, 300, 1000)),
        ("city", [f"{chr(65 + i % 26)}{chr(97 + i % 7)}ville" for i in WHO]),
        ("state_id", RNG.integers(0, 20, 1000)),
        ("patient_id", np.arange(1000)),
        ("user_score", RNG.random(1000)),
    ],
)
def test_ordinary_columns_raise_no_alarm(name: str, values: Any) -> None:
    assert repeating_identifiers(pd.DataFrame({name: values})) == []


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("Unnamed: 0", np.arange(100), True),
        ("row", np.arange(5, 105), True),
        ("id", RNG.permutation(100), True),
        ("name", [f"airport {i}" for i in range(100)], True),
        ("name", [f"airport {i % 80}" for i in range(100)], True),
        ("patient_id", [f"p{i % 80}" for i in range(100)], False),  # repeats: a cluster, not a row
        ("income", RNG.permutation(100) * 100, False),
        ("age", np.arange(100), False),  # merely sorted
        ("", np.arange(1, 101), True),
        ("x", RNG.random(100), False),
        ("colour", ["red", "blue"] * 50, False),
        ("date", [f"2020-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(100)], False),
    ],
)
def test_columns_that_name_the_rows(name: str, values: Any, expected: bool) -> None:
    assert row_identifiers(pd.DataFrame({name: values})) == ([name] if expected else [])
