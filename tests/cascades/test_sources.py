"""Who starts: the three ways to say it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire import UserError
from sparsefire.cascades.sources import read_sources


def test_three_ways_to_say_the_same() -> None:
    for given in ([2, 0], np.array([2, 0], np.uint8), [True, False, True, False], [1.0, 0.0, 1.0, 0.0]):
        assert read_sources(given, 4).dense(4).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert read_sources(3, 4).dense(4).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert read_sources(0.25, 4).dense(4).tolist() == [0.25] * 4


@pytest.mark.parametrize("nobody", [None, [], (), np.array([]), np.zeros(4), np.zeros(4, bool)])
def test_nobody(nobody: object) -> None:
    assert len(read_sources(nobody, 4).ids) == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ([4], "no unit 4"),
        ([-1], "no unit -1"),
        ([1, 0, 1], "unit 1 is named twice"),
        ([True], "a mask must have"),
        ([0.5], "activation probabilities must have"),
        ([0.1, 0.2, 0.3, 1.2], "probability of unit 3"),
        ([0.1, 0.2, np.nan, 0.3], "probability of unit 2"),
        (["a"], "ids, a mask or probabilities"),
        ([[0, 1]], "one list"),
    ],
    ids=str,
)
def test_what_is_no_source_is_refused(wrong: object, named: str) -> None:
    with pytest.raises(UserError, match=named):
        read_sources(wrong, 4)
