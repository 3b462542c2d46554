"""Oracles: runs cut by hand; nothing is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.cascades.avalanches import count_events, cut_avalanches, tail_fit
from sparsefire.errors import UserError
from sparsefire.randomness import stream


def test_runs_by_hand() -> None:
    found = cut_avalanches([3, 0, 0, 1, 4, 0, 2, 0, 1, 1])
    assert (found.sizes.tolist(), found.durations.tolist(), found.starts.tolist()) == ([5, 2], [2, 1], [3, 6])
    assert found.cut == 2
    assert "2 cut off" in repr(found)
    found = cut_avalanches([3, 0, 0, 1, 4, 0, 2, 0, 1, 1], keep_cut=True)
    assert (found.sizes.tolist(), found.durations.tolist(), found.cut) == ([3, 5, 2, 2], [1, 2, 1, 2], 0)
    raster = np.array([[0, 0], [1, 0], [1, 1], [0, 0]], dtype=bool)
    assert cut_avalanches(raster).sizes.tolist() == [3]
    assert len(cut_avalanches([0, 0]).sizes) == 0
    assert cut_avalanches([2, 2]).cut == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
@settings(deadline=None)
def test_nothing_is_lost(counts: list[int]) -> None:
    found = cut_avalanches(counts, keep_cut=True)
    assert found.sizes.sum() == sum(counts)
    assert found.durations.sum() == np.count_nonzero(counts)
    text = "".join("x" if c else " " for c in counts).split()
    assert found.durations.tolist() == [len(part) for part in text]
    assert len(cut_avalanches(counts).sizes) + cut_avalanches(counts).cut == len(text)


def test_events_in_bins() -> None:
    assert count_events([0.0, 1.0, 2.0]).tolist() == [1, 1, 1]  # the mean interval is the width
    assert count_events([5.0, 1.0, 1.2], bin=1.0, start=0.0, stop=8.0).tolist() == [0, 2, 0, 0, 0, 1, 0, 0, 0]
    times = stream(0, "times").random(500)
    found = count_events(times, 0.01, start=0.0, stop=1.0)
    assert np.array_equal(found[:100], np.histogram(times, np.arange(101) / 100)[0])


def test_a_ganglion_cell(shared_data) -> None:
    spikes = np.load(shared_data("spike_trains/spike_trains.npz"))["ganglion_low_s"]
    counts = count_events(spikes, 0.01, start=0.0, stop=30.0)
    assert counts.sum() == 750
    found = cut_avalanches(counts, keep_cut=True)
    assert found.sizes.sum() == 750
    assert len(found.sizes) == np.count_nonzero(np.diff(np.concatenate([[0], counts > 0])) == 1)
    fit = tail_fit(found.sizes, xmin=1)
    assert [c.ratio < 0 for c in fit.comparisons] == [True, True, True]  # short bursts of one cell have no heavy tail


def test_wrong_counts() -> None:
    for counts, came in (([1, -2], "-2 in entry 1"), ([0.5, 1], "0.5 in entry 0"), ([1, np.nan], "nan in entry 1")):
        with pytest.raises(UserError, match="whole number") as caught:
            cut_avalanches(counts)
        assert came in caught.value.came
    with pytest.raises(UserError, match="whole number") as caught:
        cut_avalanches([[0, 1], [2, -1]])
    assert "(1, 1)" in caught.value.came
    for shape in ((0,), (2, 2, 2)):
        with pytest.raises(UserError, match="cut from counts"):
            cut_avalanches(np.zeros(shape))
    with pytest.raises(UserError, match="have times"):
        count_events([1.0])
    with pytest.raises(UserError, match="have times"):
        count_events([1.0, np.nan])
    with pytest.raises(UserError, match="outside"):
        count_events([1.0, 3.0], 0.1, stop=2.0)
    with pytest.raises(UserError, match="width"):
        count_events([1.0, 3.0], 0.0)
    with pytest.raises(UserError, match="width"):
        count_events([1.0, 1.0])
