"""Oracle: what changes the rows that are trained on, or how, must change the identity; nothing else may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparsefire.data import Problem, problem_from_arrays

X, Y = np.arange(120.0).reshape(40, 3), np.arange(40) % 2
WHO, DAY = np.arange(40) // 4, np.arange(40.0)


def problem(**options: Any) -> Problem:
    return problem_from_arrays(X, Y, **options)


def test_the_same_problem_has_the_same_identity() -> None:
    assert problem(cluster=WHO).identity() == problem(cluster=WHO.copy()).identity()
    assert problem(cluster=WHO).identity() == problem(cluster=[f"p{code:02d}" for code in WHO]).identity()
    assert problem().identity() == problem(group={"sex": ["f", "m"] * 20}).identity()
    assert problem().identity() == problem(name="another").identity()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"cluster": WHO}),
        ({"cluster": WHO}, {"cluster": np.arange(40) // 5}),
        ({"cluster": WHO}, {"site": WHO}),
        ({"cluster": WHO}, {"cluster": {"patient": WHO}}),
        ({"time": DAY}, {"time": DAY[::-1]}),
        ({"time": DAY}, {"time": {"day": DAY}}),
        ({"site": WHO}, {"site": np.roll(WHO, 1)}),
        ({"site": WHO}, {"site": WHO + 1}),
        ({}, {"score": "auc"}),
        ({}, {"feature_names": ["a", "b", "c"]}),
        ({}, {"target_name": "relapse"}),
    ],
)
def test_every_role_is_part_of_the_identity(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert problem(**one).identity() != problem(**other).identity()


def test_the_data_and_the_test_rows_are_part_of_the_identity() -> None:
    whole = problem()
    others = [replace(whole, test_rows=np.arange(30, 40)), replace(whole, test_rows=np.arange(31, 40))]
    others += [problem_from_arrays(X + 1, Y), problem_from_arrays(X, 1 - Y), whole]
    assert len({other.identity() for other in others}) == 5
