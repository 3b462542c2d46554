"""Oracles: hand-written matrices, and a stable sort (hypothesis)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.sparsity.ranking import keep_largest

T, F = True, False

MATRIX = torch.tensor([[4.0, 1.0, 3.0, 3.0], [2.0, 3.0, 0.0, 5.0], [3.0, 0.0, 1.0, 2.0], [0.0, 2.0, 4.0, 1.0]])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, [[F, F, F, F], [F, F, F, F], [F, F, F, F], [F, F, F, F]]),
        (3, [[T, F, F, F], [F, F, F, T], [F, F, F, F], [F, F, T, F]]),
        (4, [[T, F, T, F], [F, F, F, T], [F, F, F, F], [F, F, T, F]]),  # first of four threes
        (6, [[T, F, T, T], [F, T, F, T], [F, F, F, F], [F, F, T, F]]),  # three of four threes
        (8, [[T, F, T, T], [T, T, F, T], [T, F, F, F], [F, F, T, F]]),  # and the first of three twos
        (14, [[T, T, T, T], [T, T, T, T], [T, F, T, T], [F, T, T, T]]),  # and the first of three zeros
        (16, [[T, T, T, T], [T, T, T, T], [T, T, T, T], [T, T, T, T]]),
    ],
)
def test_written_out_by_hand(count: int, expected: list[list[bool]]) -> None:
    (mask,) = keep_largest([MATRIX], count)
    assert mask.tolist() == expected


def test_earlier_tensors_win_ties() -> None:
    one, two = keep_largest([torch.ones(1, 2), torch.ones(2, 1)], 3)
    assert one.tolist() == [[T, T]]
    assert two.tolist() == [[T], [F]]


@given(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=12), min_size=1, max_size=4), st.floats(0, 1))
def test_equals_a_stable_sort(values: list[list[int]], share: float) -> None:
    scores = [torch.tensor(v, dtype=torch.float32) for v in values]
    flat = np.concatenate([np.array(v) for v in values])
    count = round(share * flat.size)
    expected = np.zeros(flat.size, dtype=bool)
    expected[np.argsort(-flat, kind="stable")[:count]] = True
    assert torch.cat(keep_largest(scores, count)).tolist() == expected.tolist()


def test_infinite_and_missing_scores_do_not_change_the_count() -> None:
    scores = torch.tensor([1.0, float("nan"), float("inf"), -float("inf"), float("nan"), 2.0])
    for count in range(7):
        assert int(keep_largest([scores], count)[0].sum()) == count
    assert keep_largest([scores], 3)[0].tolist() == [F, T, T, F, T, F]


@pytest.mark.parametrize("count", [-1, 17])
def test_a_count_outside_the_tensors_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 16"):
        keep_largest([MATRIX], count)


def test_scores_that_need_gradients_are_only_looked_at() -> None:
    score = torch.tensor([1.0, 2.0], requires_grad=True)
    (mask,) = keep_largest([score * 2], 1)
    assert mask.tolist() == [F, T]
    assert not mask.requires_grad
