"""Oracle: events put into bins by hand, and files that are wrong in one way each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsefire.data.events import read_events
from sparsefire.errors import UserError

GOOD = {
    "x": [0, 1, 2, 2], "y": [0, 0, 1, 1], "p": [0, 1, 1, 0], "t": [10, 500_000, 5, 1_000_000], "offset": [0, 2, 4],
    "label": [3, 7],
}  # fmt: skip
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "nmnist_small" / "nmnist_small.npz"


def written(folder, **changes):
    path = folder / "events.npz"
    arrays = {name: np.array(value) for name, value in (GOOD | changes).items() if value is not None}
    np.savez(path, **{f"{name}_train": array for name, array in arrays.items()})
    return path


def test_events_lie_where_they_were(tmp_path):
    found = read_events(written(tmp_path), "train")
    assert found.shape == (2, 2, 3)
    assert found.labels.tolist() == [3, 7]
    assert found.pixels.tolist() == [0, 7, 11, 5]
    dense = found.binned(2)
    assert dense.shape == (2, 2, 12)
    assert np.argwhere(dense).tolist() == [[0, 0, 0], [0, 0, 7], [0, 1, 11], [1, 1, 5]]


def test_counts_and_a_shorter_duration(tmp_path):
    path = written(tmp_path, x=[0, 0, 2, 2], y=[0, 0, 1, 1], p=[0, 0, 1, 0])
    dense = read_events(path, "train").binned(1, [0], duration=0.6, counts=True)
    assert dense[0, 0, 0] == 2
    assert dense.sum() == 2
    assert read_events(path, "train").binned(1, [1], duration=0.6).sum() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"x": None}, {"x": [0, 1]}, {"offset": [0, 2]}, {"offset": [0, 3, 2]}, {"offset": [1, 2, 4]},
        {"t": [10, 5, 5, 6]}, {"p": [0, 2, 1, 0]}, {"t": [-1, 5, 5, 6]},
        {"t": [0.1, 0.2, 0.1, 0.2]}, {"label": ["a", "b"]}, {"offset": 4},
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path, changes):
    with pytest.raises(UserError):
        read_events(written(tmp_path, **changes), "train")


@pytest.mark.parametrize("asked", ["", "valid"])
def test_the_parts_of_a_file_are_told(tmp_path, asked):
    path = tmp_path / "events.npz"
    parts = {f"{name}_{part}": np.array(value) for part in ("train", "test") for name, value in GOOD.items()}
    np.savez(path, **parts, x_other=np.zeros(3, int))
    with pytest.raises(UserError) as caught:
        read_events(path, asked)
    assert caught.value.attempt == 'part="train" or part="test"'
    assert len(read_events(path, "test")) == 2


def test_a_file_without_parts_suggests_none(tmp_path):
    path = tmp_path / "events.npz"
    np.savez(path, **{name: np.array(value) for name, value in GOOD.items()})
    with pytest.raises(UserError) as caught:
        read_events(path, "train")
    assert not caught.value.attempt


def test_a_pickle_is_not_loaded(tmp_path):
    path = tmp_path / "events.npz"
    np.savez(path, **{name: np.array(value, dtype=object) for name, value in GOOD.items()})
    with pytest.raises(UserError, match="never loaded"):
        read_events(path)


def test_recordings_are_chosen_by_number_slice_or_truth(tmp_path):
    found = read_events(written(tmp_path), "train")
    for rows in ([1], slice(1, None), [False, True], -1, np.array([1])):
        assert np.array_equal(found.binned(2, rows), found.binned(2)[:, 1:])
    for rows in ([2], [1.7], "a", [True]):
        with pytest.raises(UserError):
            found.binned(2, rows)


def test_parts_number_their_pixels_alike(tmp_path):
    parts = {f"{name}_train": value for name, value in GOOD.items()}
    parts |= {f"{name}_test": value for name, value in (GOOD | {"x": [0, 0, 0, 0], "y": [0, 0, 0, 0]}).items()}
    np.savez(tmp_path / "two.npz", **{name: np.array(value) for name, value in parts.items()})
    assert read_events(tmp_path / "two.npz", "test").shape == read_events(tmp_path / "two.npz", "train").shape
    assert read_events(tmp_path / "two.npz", "train", shape=(5, 6)).shape == (2, 5, 6)
    with pytest.raises(UserError, match="outside"):
        read_events(tmp_path / "two.npz", "train", shape=(1, 1))


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_steps_are_counted(tmp_path, steps):
    with pytest.raises(UserError):
        read_events(written(tmp_path), "train").binned(steps)


@pytest.mark.skipif(not SHARED.exists(), reason="the N-MNIST recordings are not beside the project")
def test_real_recordings():
    found = read_events(SHARED, "train")
    assert (len(found), found.shape) == (1000, (2, 34, 34))
    assert found.labels[:6].tolist() == [5, 0, 4, 1, 9, 2]
    dense = found.binned(10, [0], counts=True)
    assert dense.sum() == found.offsets[1]
