"""Oracle: spikes there and back, counts by NumPy's histogram, and what is no spike train."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsefire.errors import UserError
from sparsefire.spiking import Spikes


@given(arrays(np.int8, st.tuples(st.integers(1, 20), st.integers(1, 6)), elements=st.integers(0, 1)))
def test_dense_and_events_are_one(dense):
    spikes = Spikes.from_dense(dense, dt=1e-3)
    assert np.array_equal(spikes.dense(1e-3), dense)
    assert np.array_equal(spikes.counts, dense.sum(0))
    assert np.allclose(spikes.firing_rates, dense.sum(0) / (1e-3 * len(dense)))


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 4)), max_size=60), st.floats(0.01, 3))
def test_counts_add_up(events, width):
    times, units = [event[0] for event in events], [event[1] for event in events]
    spikes = Spikes.sorted_from(times, units, n_units=5, duration=10.0)
    assert np.array_equal(spikes.counts_in(width).sum(0), spikes.counts)
    assert [len(train) for train in spikes.trains()] == spikes.counts.tolist()
    for unit, train in enumerate(spikes.trains()):
        assert np.array_equal(train, spikes.train(unit))


def test_counts_are_those_of_a_histogram():
    rng = np.random.default_rng(0)
    times = np.sort(rng.random(500)) * 4
    counts = Spikes(times, np.zeros(500, int), 1, 4.0).counts_in(0.25)[:, 0]
    assert np.array_equal(counts, np.histogram(times, np.arange(17) * 0.25)[0])


def test_a_part_of_a_recording():
    part = Spikes([0.1, 0.5, 0.9], [0, 1, 0], duration=1.0).between(0.4, 0.9)
    assert part.times.tolist() == pytest.approx([0.1, 0.5])
    assert part.duration == pytest.approx(0.5)


def test_saved_and_loaded(tmp_path):
    spikes = Spikes([0.1, 0.5], [0, 3], n_units=5, duration=2.0)
    spikes.save(tmp_path / "a.npz")
    again = Spikes.load(tmp_path / "a.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert np.array_equal(again.times, spikes.times)
    assert (again.n_units, again.duration) == (5, 2.0)
    assert np.array_equal(again.units, spikes.units)


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", times=[1.0])
    (tmp_path / "b.npz").write_bytes(b"no archive")
    for name in "ab":
        with pytest.raises(UserError):
            Spikes.load(tmp_path / f"{name}.npz")


def test_no_spikes_at_all():
    silent = Spikes([], [], n_units=3, duration=1.0)
    assert silent.firing_rates.tolist() == [0, 0, 0]
    assert silent.dense(0.5).shape == (2, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Spikes([0.2, 0.1], [0, 0]),
        lambda: Spikes([0.1], [0, 1]),
        lambda: Spikes([0.1], [2], n_units=2),
        lambda: Spikes([0.1], [-1]),
        lambda: Spikes([0.1], [0.5]),
        lambda: Spikes([np.nan], [0]),
        lambda: Spikes([-0.1], [0], duration=1.0),
        lambda: Spikes([0.5], [0], duration=0.2),
        lambda: Spikes([[0.5]], [0]),
        lambda: Spikes(["a"], [0]),
        lambda: Spikes([0.1], [0], n_units=-1),
        lambda: Spikes([0.1], [0], duration=np.inf),
        lambda: Spikes([0.1, 0.11], [0, 0], duration=1.0).dense(0.5),
        lambda: Spikes([0.1], [0], duration=1.0).dense(0.0),
        lambda: Spikes([0.1], [0], duration=1.0).train(1),
        lambda: Spikes([0.1], [0], duration=1.0).between(0.5, 2.0),
        lambda: Spikes.from_dense([[0, 2]], 0.1),
        lambda: Spikes.from_dense([0, 1], 0.1),
    ],
)
def test_what_is_no_spike_train_is_named(call):
    with pytest.raises(UserError):
        call()


def test_some_units_and_a_table() -> None:
    spikes = Spikes([0.1, 0.2, 0.2, 0.3], [0, 1, 2, 1], 4, 1.0)
    some = spikes.select([2, 1])
    assert (some.n_units, some.duration) == (2, 1.0)
    assert [train.tolist() for train in some.trains()] == [[0.2], [0.2, 0.3]]
    assert spikes.to_pandas()["unit"].tolist() == [0, 1, 2, 1]
    for wrong in ([4], [-1], [1, 1], [0.5], [[0]]):
        with pytest.raises(UserError):
            spikes.select(wrong)


def test_windows_that_fill_the_memory_are_refused() -> None:
    with pytest.raises(UserError, match="memory"):
        Spikes([0.1], [0], 3, 1e6).counts_in(1e-9)
