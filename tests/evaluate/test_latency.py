# Oracle: sleeps of known length, and the thread count torch reports inside the call.
from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from sparsefire.evaluate import latency


def test_known_sleep_in_microseconds():
    median, low, high = latency(lambda row: time.sleep(0.003), np.zeros((1, 2)), seconds=0.1)
    assert 3000 <= low <= median <= high
    assert median < 30_000  # right unit, on a busy machine too


def test_the_row_is_passed_and_one_thread_is_used():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = set()
    row = np.arange(4.0)[None]
    try:
        latency(lambda given: seen.add((given is row, torch.get_num_threads())), row, seconds=0.01)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {(True, 1)}


@pytest.mark.parametrize("rows", [0, 2])
def test_one_row_only(rows):
    with pytest.raises(ValueError, match="one row"):
        latency(lambda row: None, np.zeros((rows, 3)))
