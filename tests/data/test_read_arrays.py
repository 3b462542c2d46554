"""Oracle: arrays saved by NumPy must come back equal; files broken on purpose must be refused in one message."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sparsefire.data import bounded
from sparsefire.data.read_arrays import read_new_array, read_npz, standard_inputs
from sparsefire.errors import UserError

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(folder / "d.npz", **arrays)
    return folder / "d.npz"


def failing(path: Path, **options: object) -> UserError:
    with pytest.raises(UserError) as caught:
        read_npz(path, **options)  # type: ignore[arg-type]
    return caught.value


def forged(folder: Path, header: bytes, body: bytes = b"") -> Path:
    """Write an NPZ whose x has a header of our own making and whose y is sound."""
    y = io.BytesIO()
    np.save(y, Y)
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        text = header + b" " * (-(len(header) + 11) % 64) + b"\n"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)
        archive.writestr("y.npy", y.getvalue())
    return folder / "d.npz"


def test_x_and_y_come_back_and_extra_arrays_are_noted(tmp_path: Path) -> None:
    arrays = read_npz(saved(tmp_path, x=X, y=Y, extra=np.zeros(3)))
    np.testing.assert_array_equal(arrays.inputs, X.astype(np.float32))
    np.testing.assert_array_equal(arrays.target, Y)
    assert arrays.test_rows is None
    assert arrays.notes == ("1 array not used: extra 3",)


def test_own_test_set_stands_last(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=X, y_train=Y[:, None], x_test=X[:2] + 100, y_test=Y[:2, None], x_val=X, y_val=Y)
    arrays = read_npz(path)
    assert arrays.test_rows is not None
    np.testing.assert_array_equal(arrays.test_rows, [6, 7])
    np.testing.assert_array_equal(arrays.inputs[arrays.test_rows], X[:2].astype(np.float32) + 100)
    assert "x_val 6×2" in arrays.notes[0]


def test_another_target_and_roles_by_name(tmp_path: Path) -> None:
    path = saved(
        tmp_path, x_train=X, t_train=Y * 1.5, x_test=X, t_test=Y * 2.5, site_train=Y, site_test=Y, who=np.arange(12)
    )
    arrays = read_npz(path, target="t", roles=("site", "who"))
    assert arrays.target.tolist() == [*(Y * 1.5), *(Y * 2.5)]
    assert arrays.roles["site"].tolist() == [*Y, *Y]
    assert arrays.roles["who"].tolist() == list(range(12))
    assert "has no array nobody" in failing(path, target="t", roles=("nobody",)).message


def test_names_of_classes_and_features(tmp_path: Path) -> None:
    arrays = read_npz(saved(tmp_path, x=X, y=Y, classes=np.array(["ALL", "AML"]), genes=np.array(["g1", "g2"])))
    assert arrays.classes == ("ALL", "AML")
    assert arrays.feature_names == ("g1", "g2")
    assert arrays.notes == ()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 8, 6), (5, 1, 8, 6)), ((5, 8, 6, 3), (5, 3, 8, 6)), ((5, 3, 8, 6), (5, 3, 8, 6)), ((5, 7), (5, 7))],
)
def test_shapes(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    inputs, scaled = standard_inputs(x)
    assert inputs.shape == expected
    assert inputs.dtype == np.float32
    assert scaled == (len(expected) == 4)
    if shape == (5, 8, 6, 3):
        np.testing.assert_allclose(inputs[2, 1, 4, 5], x[2, 4, 5, 1] / 255, rtol=1e-6)
    if scaled:
        assert 0 <= inputs.min() <= inputs.max() <= 1


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(5),
        np.zeros((5, 0)),
        np.zeros((0, 5)),
        np.zeros((2, 5, 5, 5)),
        np.zeros((2, 1, 5, 5, 5)),
        np.zeros((2, 2), complex),
        np.array([["a", "b"]]),
        np.array([[1, np.inf]]),
        np.array([[1, 1e39]]),
        np.array([[1, np.nan], [2, np.nan]]),
        np.full((2, 3, 3), np.nan),
    ],
)
def test_inputs_that_cannot_be_used(x: np.ndarray) -> None:
    with pytest.raises(UserError):
        standard_inputs(x)


def test_new_images_must_be_on_the_scale_of_the_model() -> None:
    images = np.full((2, 3, 3), 200.0)
    with pytest.raises(UserError, match="not on the scale"):
        standard_inputs(images, scaled=True)
    np.testing.assert_allclose(standard_inputs(images / 255, scaled=True)[0], 200 / 255, rtol=1e-6)
    np.testing.assert_allclose(standard_inputs(images.astype(np.uint8), scaled=True)[0], 200 / 255, rtol=1e-6)
    np.testing.assert_allclose(standard_inputs(images.astype(np.uint8), scaled=False)[0], 200)


def test_lengths_that_differ(tmp_path: Path) -> None:
    assert "differ in length" in failing(saved(tmp_path, x=X, y=Y[:5])).message
    assert "not one value per row" in failing(saved(tmp_path, x=X, y=np.eye(6))).message
    path = saved(tmp_path, x_train=X, y_train=Y, x_test=X[:, :1], y_test=Y)
    assert "differ from the training inputs" in failing(path).message


def test_arrays_that_are_looked_for_in_vain(tmp_path: Path) -> None:
    error = failing(saved(tmp_path, features=X, labels=Y))
    assert "features 6×2" in error.came
    assert "numpy.savez" in error.attempt


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "d.npz", x=X, y=np.array([Trap()] * 6, dtype=object))
    assert "never loaded" in failing(tmp_path / "d.npz").message
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Trap.__name__))
    assert "no complete NPZ" in failing(tmp_path / "p.npz").message
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (6, 3), }",
        b"{'descr': '<f8', 'shape': (6, 2), }",
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (6, 2), }",
        b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6, 2), }",
        b"__import__('os').abort()",
    ],
)
def test_headers_that_lie(tmp_path: Path, header: bytes) -> None:
    failing(forged(tmp_path, header, X.tobytes()))


def test_a_sound_forged_header_is_read(tmp_path: Path) -> None:
    path = forged(tmp_path, b"{'descr': '<f8', 'fortran_order': False, 'shape': (6, 2), }", X.tobytes())
    np.testing.assert_array_equal(read_npz(path).inputs, X.astype(np.float32))


def test_zip_bombs_are_refused_from_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, x=np.zeros((6, 10**6)), y=Y)
    monkeypatch.setattr(bounded, "RATIO", 100)
    monkeypatch.setattr(bounded, "RATIO_FROM", 2**20)
    assert "unpacks" in failing(path).message
    monkeypatch.setattr(bounded, "RATIO", 10**9)
    monkeypatch.setattr(bounded, "LIMIT", 2**20)
    assert "unpacks" in failing(path).message


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, keep: float) -> None:
    whole = saved(tmp_path, x=np.random.default_rng(0).random((50, 50)), y=np.arange(50) % 2).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(keep * len(whole))])
    assert "no complete NPZ" in failing(tmp_path / "cut.npz").message


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    whole = bytearray(saved(tmp_path, x=np.random.default_rng(0).random((50, 50)), y=np.arange(50) % 2).read_bytes())
    whole[3000:3010] = b"\xff" * 10
    (tmp_path / "bad.npz").write_bytes(whole)
    assert "no complete NPZ" in failing(tmp_path / "bad.npz").message


def test_new_data(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_new_array(saved(tmp_path, x=X), 2), X)
    np.testing.assert_array_equal(read_new_array(saved(tmp_path, rows=X, y=Y), 2), X)
    with pytest.raises(UserError, match="called x"):
        read_new_array(saved(tmp_path, a=X, b=X), 2)
