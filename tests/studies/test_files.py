# Oracle: round trips, NumPy's own reader, and files damaged by hand.
from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest

from sparsefire.studies import files


def test_npz_round_trip_with_awkward_names():
    arrays = {
        "file": np.arange(3),
        "args": np.array(["é", "b"]),
        "a/b": np.float32([[1, np.nan]]),
        "empty": np.zeros((0, 2)),
    }
    content = files.to_npz(arrays)
    for reader in (files.from_npz, lambda c: dict(np.load(io.BytesIO(c), allow_pickle=False))):
        back = reader(content)
        assert list(back) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)
            assert back[name].dtype == array.dtype


def test_npz_is_the_same_every_time():
    assert files.to_npz({"a": np.arange(4)}) == files.to_npz({"a": np.arange(4)})


def test_npz_refuses_objects():
    with pytest.raises(ValueError, match="Object arrays"):
        files.to_npz({"a": np.array([{}, []], dtype=object)})


def test_plain():
    value = {"a": np.arange(2), "b": (1, np.inf), "c": np.float64("nan"), 3: {"x": np.bool_(True)}}
    assert files.plain(value) == {"a": [0, 1], "b": [1, None], "c": None, "3": {"x": True}}
    with pytest.raises(TypeError, match="set"):
        files.plain({1, 2})


def test_lines_round_trip():
    rows = [{"epoch": 0, "note": "a\nb\u2028c"}, {"epoch": 1}]
    assert files.from_lines(files.to_lines(rows)) == rows
    assert files.from_lines(b"") == []


@pytest.fixture
def folder(tmp_path):
    files.write_files(tmp_path, {name: name.encode() for name in files.CONTENTS})
    return tmp_path


def test_written_is_read(folder):
    assert files.read_files(folder) == {name: name.encode() for name in files.CONTENTS}
    assert sorted(os.listdir(folder)) == sorted([*files.CONTENTS, files.DONE])


@pytest.mark.parametrize("name", [*files.CONTENTS, files.DONE])
@pytest.mark.parametrize("damage", ["remove", "truncate", "empty", "flip", "folder"])
def test_damage_is_seen(folder, name, damage):
    path = folder / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "truncate":
        path.write_bytes(content[:-2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "folder":
        path.mkdir()
    assert files.read_files(folder) is None


@pytest.mark.parametrize(
    "marker", [b"", b"{}", b"[]", b"null", b'{"files": 3}', b'{"files": {"spec.json": "x"}}', b"\xff", b"[" * 100_000]
)
def test_markers_that_are_none(marker):
    assert files.listed_in(marker) is None


def test_marker_with_wrong_types():
    assert files.listed_in(json.dumps({"files": {name: {"sha256": 3} for name in files.CONTENTS}}).encode()) is None
