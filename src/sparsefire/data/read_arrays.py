"""Inputs and target from an NPZ file, and inputs brought to one standard shape and type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsefire.data.bounded import existing, file_sha256
from sparsefire.data.npz import Archive
from sparsefire.data.words import listing, nearest, plain, plural
from sparsefire.errors import UserError

_FEATURE_NAMES = ("feature_names", "features", "columns", "genes", "names")
_LARGEST = 1e30  # inputs become float32, whose squares end near 1e38


@dataclass(frozen=True)
class Arrays:
    """The arrays of one data set; rows of the file's own test set stand last."""

    inputs: np.ndarray  # float32 [n, p] or [n, channels, height, width]
    target: np.ndarray  # [n], of any plain type
    target_name: str
    test_rows: np.ndarray | None
    scaled: bool
    classes: tuple[str, ...]  # names of the codes 0, 1, ..., where the file gives them
    feature_names: tuple[str, ...]
    roles: dict[str, np.ndarray]
    sha256: str
    notes: tuple[str, ...]


def read_npz(path: str | Path, *, target: str | None = None, roles: tuple[str, ...] = ()) -> Arrays:
    """Read inputs and target from an NPZ file.

    Args:
        path: holds ``x`` and ``y``, or ``x_train`` and ``y_train``; ``x_test`` and ``y_test`` become the test set. An
            array ``classes`` of texts names the classes, one called ``genes`` or ``feature_names`` the features.
        target: read this array in place of ``y`` (``t`` stands for ``t_train`` and ``t_test`` too).
        roles: names of arrays with one value per row (cluster, time, site, groups).

    Returns:
        :class:`Arrays`; unsigned bytes of images are divided by 255, a channel axis is added or moved to the front.

    Raises:
        UserError: for broken files, pickled objects, zip bombs, missing arrays and lengths that differ.
    """
    path = existing(Path(path))
    with Archive(path) as archive:
        shapes = archive.shapes
        key_y = target or "y"
        single = archive.find("x"), archive.find(key_y)
        train = archive.find("x_train"), archive.find(f"{key_y}_train")
        pair = single if all(single) or not all(train) else train
        if not all(pair):
            raise _no_pair(path, archive, key_y)
        x_key, y_key = str(pair[0]), str(pair[1])
        x, y = archive.load(x_key), archive.load(y_key)
        used = [x_key, y_key]
        test = (archive.find("x_test"), archive.find(f"{key_y}_test")) if pair == train else (None, None)
        x_test = y_test = None
        if all(test):
            x_test, y_test = archive.load(str(test[0])), archive.load(str(test[1]))
            used += [str(key) for key in test]
        checked = [_pair(path.name, x, y, x_key, y_key)]
        if x_test is not None and y_test is not None:
            checked.append(_pair(path.name, x_test, y_test, str(test[0]), str(test[1])))
            if x_test.shape[1:] != x.shape[1:] or x_test.dtype.kind != x.dtype.kind:
                raise UserError(
                    f"the test inputs of {plain(path.name)} differ from the training inputs.",
                    came=f"{x_key} {x.dtype} {x.shape}, {test[0]} {x_test.dtype} {x_test.shape}",
                    expected="the same type and the same shape but for the number of rows",
                )
        own_test = len(checked) == 2
        x, y = (np.concatenate([part[i] for part in checked]) if own_test else checked[0][i] for i in (0, 1))
        found_roles = {}
        for name in roles:
            values, keys = _role(path, archive, name, len(checked[0][1]), len(y))
            found_roles[name] = values
            used += keys
        classes = _texts(archive, ("classes",), None, used)
        features = _texts(archive, _FEATURE_NAMES, int(np.prod(x.shape[1:])) if x.ndim == 2 else -1, used)
    inputs, scaled = standard_inputs(x, path.name)
    rest = [f"{key} {'×'.join(map(str, shapes[key])) or 'one value'}" for key in shapes if key not in used]
    return Arrays(
        inputs,
        y,
        target or "y",
        np.arange(len(checked[0][1]), len(y)) if own_test else None,
        scaled,
        classes,
        features,
        found_roles,
        file_sha256(path),
        (f"{plural(len(rest), 'array')} not used: {listing(rest)}",) if rest else (),
    )


def read_new_array(path: str | Path, rank: int) -> np.ndarray:
    """Return the inputs in an NPZ file of new data: ``x``, else ``x_test``, else the only array of that rank."""
    path = existing(Path(path))
    with Archive(path) as archive:
        fitting = [key for key, shape in archive.shapes.items() if len(shape) >= min(rank, 3)]
        key = archive.find("x") or archive.find("x_test") or (fitting[0] if len(fitting) == 1 else None)
        if key is None:
            raise UserError(
                f"{plain(path.name)} has no array of inputs that is called x.",
                came=listing(archive.shapes),
                expected="an array x with one row for each prediction",
            )
        return archive.load(key)


def standard_inputs(x: np.ndarray, file: str = "the input", *, scaled: bool | None = None) -> tuple[np.ndarray, bool]:
    """Return inputs as float32 of a standard shape, and whether bytes of images were divided by 255.

    Args:
        x: [rows, features], grey images [rows, height, width], or images with 1, 3 or 4 channels first or last.
        file: where they come from, for messages.
        scaled: only for new data: whether the model's own images were bytes divided by 255.

    Raises:
        UserError: for other shapes, for values that are no real numbers, are infinite or beyond ±1e30.

    >>> standard_inputs(np.zeros((5, 8, 6, 3), np.uint8))[0].shape
    (5, 3, 8, 6)
    """
    if x.dtype.kind not in "buif":
        raise UserError(
            f"the inputs of {plain(file)} are no real numbers.",
            came=f"an array of type {x.dtype}",
            expected="integers or floating-point numbers",
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3, 4) and (x.shape[1] not in (1, 3, 4) or x.shape[3] < x.shape[1]):
        x = np.moveaxis(x, 3, 1)
    if x.ndim not in (2, 4) or 0 in x.shape or (x.ndim == 4 and x.shape[1] not in (1, 3, 4)):
        raise UserError(
            f"the inputs of {plain(file)} have a shape that is not understood.",
            came=f"shape {x.shape}",
            expected="[rows, features], [rows, height, width] or images with 1, 3 or 4 channels, nothing empty",
        )
    images = x.ndim == 4
    if x.dtype.kind == "f":
        _refuse_extreme(x, file, images, new=scaled is not None)
    if images and x.dtype == np.uint8 and scaled is not False:
        return np.ascontiguousarray(x, np.float32) / np.float32(255), True
    if images and scaled and (x.min() < 0 or x.max() > 1):
        raise UserError(
            f"the images of {plain(file)} are not on the scale of the model's.",
            came=f"type {x.dtype}, values {x.min():.6g} to {x.max():.6g}",
            expected="unsigned bytes 0 to 255, or numbers 0 to 1",
        )
    return np.ascontiguousarray(x, np.float32), bool(images and scaled)


def _refuse_extreme(x: np.ndarray, file: str, images: bool, *, new: bool) -> None:
    low, high = np.nanmin(x, initial=0), np.nanmax(x, initial=0)
    if not (np.isfinite(low) and np.isfinite(high)) or max(-low, high) > _LARGEST:
        row, column = np.argwhere(np.abs(x.reshape(len(x), -1)) > _LARGEST)[0]
        raise UserError(
            f"the inputs of {plain(file)} hold infinite or huge values.",
            came=f"{x.reshape(len(x), -1)[row, column]} in row {row + 1}, position {column}",
            expected="finite numbers within ±1e30",
        )
    gone = np.isnan(x).reshape(len(x), -1)
    if images and gone.any():
        raise UserError(
            f"the images of {plain(file)} have missing pixels.",
            came=f"{plural(int(gone.sum()), 'value')} that are not a number",
            expected="a value in every pixel",
        )
    empty = np.flatnonzero(gone.all(axis=0))
    if len(empty) and not new:
        raise UserError(
            f"{plural(len(empty), 'feature')} of {plain(file)} have no value in any row.",
            came=f"only NaN at position {listing(empty)}",
            expected="at least one number in every feature",
            attempt="remove these features",
        )


def _pair(file: str, x: np.ndarray, y: np.ndarray, x_key: str, y_key: str) -> tuple[np.ndarray, np.ndarray]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise UserError(
            f"the target {y_key} of {plain(file)} is not one value per row.",
            came=f"shape {y.shape}",
            expected="a one-dimensional array (class numbers, not one column per class)",
        )
    if x.ndim == 0 or len(x) != len(y):
        raise UserError(
            f"{x_key} and {y_key} of {plain(file)} differ in length.",
            came=f"{x_key} {x.shape}, {y_key} {y.shape}",
            expected="one target value for each row of inputs",
        )
    return x, y


def _role(path: Path, archive: Archive, name: str, train: int, total: int) -> tuple[np.ndarray, list[str]]:
    keys = [key for key in (archive.find(name),) if key]
    if not keys:
        parts = archive.find(f"{name}_train"), archive.find(f"{name}_test")
        keys = [key for key in parts if key][: 2 if total > train else 1]
    if not keys:
        close = nearest(name, archive.shapes)
        raise UserError(
            f"{plain(path.name)} has no array {plain(name)}.",
            came=f"{plural(len(archive.shapes), 'array')}: {listing(archive.shapes)}",
            expected="the name of an array with one value per row",
            attempt=f"use {plain(close)}" if close else "",
        )
    values = np.concatenate([np.ravel(archive.load(key)) for key in keys])
    if len(values) != total:
        raise UserError(
            f"the array {plain(name)} of {plain(path.name)} has not one value per row.",
            came=f"{len(values):,} values",
            expected=f"{total:,}, one for each row",
        )
    return values, keys


def _texts(archive: Archive, names: tuple[str, ...], length: int | None, used: list[str]) -> tuple[str, ...]:
    """Return the first array of texts that goes by one of the names and has the right length."""
    for key in (archive.find(name) for name in names):
        if key and len(archive.shapes[key]) == 1 and length in (None, archive.shapes[key][0]):
            values = archive.load(key)
            if values.dtype.kind == "U":
                used.append(key)
                return tuple(str(value) for value in values)
    return ()


def _no_pair(path: Path, archive: Archive, key_y: str) -> UserError:
    shapes = [f"{key} {'×'.join(map(str, shape)) or 'one value'}" for key, shape in archive.shapes.items()]
    return UserError(
        f"{plain(path.name)} does not hold inputs and target under the names that are looked for.",
        came=f"{plural(len(shapes), 'array')}: {listing(shapes)}",
        expected=f"arrays x and {plain(key_y)}, or x_train and {plain(key_y)}_train",
        attempt="save it again with numpy.savez(file, x=inputs, y=target), or name the target array with --target",
    )
