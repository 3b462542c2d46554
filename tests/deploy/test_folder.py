# Oracle: safetensors' own reader for what is written, and a folder damaged in every way we could think of.
from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from sparsefire.deploy import folder as module
from sparsefire.deploy.folder import read_folder, write_folder
from sparsefire.errors import UserError

SETTINGS = {"description": {"kind": "mlp"}, "network": {}, "preparation": {}, "schema": {}, "extra": {"a": "ü"}}
DATA = {
    "x": np.arange(6.0, dtype=np.float32).reshape(2, 3),
    "n": np.array(3, np.int64),
    "e": np.zeros((0, 2), np.uint16),
}


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "m", DATA, SETTINGS)
    return tmp_path / "m"


def rewrite(folder, change):
    """Change model.json as a careful attacker would."""
    path = folder / "model.json"
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


def put(folder, content):
    """Replace the arrays and make the settings agree with their size and hash."""
    (folder / "model.safetensors").write_bytes(content)
    rewrite(folder, lambda s: s.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))


def test_round_trip_and_safetensors_agrees(folder):
    arrays, settings_ = read_folder(folder)
    theirs = load_file(folder / "model.safetensors")
    assert sorted(arrays) == sorted(theirs) == sorted(DATA)
    for name, array in DATA.items():
        np.testing.assert_array_equal(arrays[name], array)
        np.testing.assert_array_equal(theirs[name], array)
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
    assert {name: settings_[name] for name in SETTINGS} == SETTINGS
    assert settings_["arrays"]["x"] == {"dtype": "float32", "shape": [2, 3]}
    assert settings_["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_nothing_else_is_left_and_writing_again_replaces(folder):
    write_folder(folder, {"y": np.ones(2)}, SETTINGS)
    assert sorted(os.listdir(folder)) == ["model.json", "model.safetensors"]
    assert list(read_folder(folder)[0]) == ["y"]


def test_a_failed_write_leaves_the_old_model(folder):
    with pytest.raises(ValueError, match="JSON"):
        write_folder(folder, {"y": np.ones(2)}, {**SETTINGS, "extra": {"x": float("nan")}})
    assert sorted(read_folder(folder)[0]) == sorted(DATA)
    assert sorted(os.listdir(folder)) == ["model.json", "model.safetensors"]


def test_views_and_fortran_order_are_stored_by_value(tmp_path):
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    write_folder(tmp_path, {"a": array, "b": array[::2, ::-1]}, SETTINGS)
    arrays, _ = read_folder(tmp_path)
    np.testing.assert_array_equal(arrays["a"], array)
    np.testing.assert_array_equal(arrays["b"], array[::2, ::-1])


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "folder", "pipe", "empty", "half", "noise", "device"])
def test_files_that_are_none(folder, name, instead):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if instead == "folder":
        path.mkdir()
    elif instead == "pipe":
        os.mkfifo(path)
    elif instead == "device":
        path.symlink_to("/dev/zero")
    elif instead != "nothing":
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "noise": bytes(range(256)) * 4}[instead])
    with pytest.raises(UserError) as caught:
        read_folder(folder)
    assert caught.value.came
    assert caught.value.expected
    assert caught.value.attempt


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="holds no model") as caught:
        read_folder(tmp_path / "absent")
    assert "model.json" in caught.value.came


@pytest.mark.parametrize("at", [0, 3, 9, 40, -1])
def test_one_bit_of_the_arrays(folder, at):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[at] ^= 4
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not the file"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(format=2), "another format"),
        (lambda s: s.pop("format"), "another format"),
        (lambda s: s.pop("schema"), "'schema'"),
        (lambda s: s.update(network=[]), "'network'"),
        (lambda s: s.update(bytes=True), "'bytes'"),
        (lambda s: s.update(bytes=10**30), "another size"),
        (lambda s: s.update(sha256="0" * 64), "not the file"),
        (lambda s: s["arrays"].pop("x"), "'x'"),
        (lambda s: s["arrays"].update(y={"dtype": "float32", "shape": [1]}), "'y'"),
        (lambda s: s["arrays"]["x"].update(shape=[3, 2]), "'x'"),
        (lambda s: s["arrays"]["x"].update(shape=[-2, -3]), "'x'"),
        (lambda s: s["arrays"]["x"].update(shape=[2.0, 3.0]), "'x'"),
        (lambda s: s["arrays"]["x"].update(shape="23"), "'x'"),
        (lambda s: s["arrays"]["x"].update(shape=[1] * 9), "'x'"),
        (lambda s: s["arrays"]["x"].update(dtype="int32"), "'x'"),
        (lambda s: s["arrays"]["x"].update(dtype="object"), "'x'"),
        (lambda s: s["arrays"]["x"].update(dtype=["float32"]), "'x'"),
        (lambda s: s["arrays"].update(x=None), "'x'"),
        (lambda s: s["network"].update(w={"layout": "csr", "shape": [2**29, 2]}), "too large"),
        (lambda s: s["network"].update(w={"layout": "csr", "shape": [2**29] * 8}), "too large"),
        (lambda s: s["network"].update(w={"layout": "pickle", "shape": [1]}), "'w'"),
        (lambda s: s["network"].update(w={"layout": [], "shape": [1]}), "'w'"),
        (lambda s: s["network"].update(w=3), "'w'"),
    ],
)
def test_settings_that_do_not_fit(folder, change, words):
    rewrite(folder, change)
    with pytest.raises(UserError, match=words):
        read_folder(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '{"format": NaN}',
        '{"format": 1e999}',
        "[" * 200_000,
        "\x00",
        '{"format": ' + "9" * 5000 + "}",
    ],
)
def test_json_that_is_none(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json"):
        read_folder(folder)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(folder, bad):
    put(folder, save({**DATA, "x": np.full((2, 3), bad, np.float32)}))
    with pytest.raises(UserError, match="not finite"):
        read_folder(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        (60).to_bytes(8, "little") + b'{"x":{"dtype":"F32","shape":[9,9],"data_offsets":[0,4]}}    ' + b"\0" * 4,
        (62).to_bytes(8, "little") + b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[400,404]}}    ' + b"\0" * 4,
        (60).to_bytes(8, "little") + b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}     ' + b"\0" * 4,
    ],
)
def test_hostile_safetensors_with_the_right_hash(folder, content):
    put(folder, content)
    with pytest.raises(UserError):
        read_folder(folder)


def test_names_are_never_paths(tmp_path):
    names = {"../../outside": np.ones(1), "/etc/passwd": np.ones(2), "a\x00b": np.ones(3)}
    write_folder(tmp_path / "m", names, SETTINGS)
    assert sorted(read_folder(tmp_path / "m")[0]) == sorted(names)
    assert os.listdir(tmp_path) == ["m"]


def test_files_beyond_the_limit_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="sensible size"):
        read_folder(folder)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_byte_of_the_settings(folder, at, byte):
    path = folder / "model.json"
    original = path.read_bytes()
    changed = bytearray(original)
    changed[at % len(changed)] = byte
    path.write_bytes(changed)
    try:
        arrays, _ = read_folder(folder)
        for name, array in DATA.items():  # what is still read is right: the change was in words or spaces
            np.testing.assert_array_equal(arrays[name], array)
    except UserError:
        pass
    finally:
        path.write_bytes(original)
