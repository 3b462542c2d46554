"""The two files of a model, ``model.safetensors`` and ``model.json``: written whole, read with every claim checked."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sparsefire.deploy.arrays import TYPES
from sparsefire.errors import UserError

ARRAYS, SETTINGS, FORMAT = "model.safetensors", "model.json", 1
MOST_BYTES = 2**32  # of arrays; MOST_TEXT of settings; MOST_VALUES of one model when every matrix is dense
MOST_TEXT = 2**26
MOST_VALUES = 2**29


def write_folder(folder: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
    """Write a model folder (created when absent).

    Args:
        arrays: name → array of plain numbers.
        settings: JSON; ``format``, ``arrays``, ``bytes`` and ``sha256`` are added.

    Each file appears whole or not at all, the settings last. If the machine stops in between, the SHA-256 in the old
    settings does not fit the new arrays, and reading says so.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    content = save({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()})
    listed = {name: {"dtype": array.dtype.name, "shape": list(array.shape)} for name, array in sorted(arrays.items())}
    whole = {
        "format": FORMAT,
        **settings,
        "arrays": listed,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / ARRAYS, content)
    replace_file(folder / SETTINGS, text.encode())


def replace_file(path: Path, content: bytes) -> None:
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(unnamed, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unnamed, path)
    finally:
        unnamed.unlink(missing_ok=True)


def read_folder(folder: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and settings of a model folder, after checking them against each other.

    Nothing in the files can name another file or make code run: the two file names are fixed, the arrays are plain
    numbers, and sizes are compared before memory is taken.

    Raises:
        UserError: missing, truncated or changed files, bad JSON, shapes or types that do not agree, numbers that are
            not finite, or sizes beyond the limits of this module.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = Path(folder)
    settings = _settings(folder)
    content = _read(folder, ARRAYS, MOST_BYTES)
    if len(content) != settings["bytes"]:
        broken(
            folder, f"{ARRAYS} has another size than {SETTINGS} says", f"{len(content)} bytes", f"{settings['bytes']}"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != settings["sha256"]:
        broken(folder, f"{ARRAYS} is not the file {SETTINGS} was written for", f"SHA-256 {digest[:16]}…",
               f"{settings['sha256'][:16]}…")  # fmt: skip
    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        broken(folder, f"{ARRAYS} cannot be read", _line(error), "a safetensors file")
    found = {name: (array.dtype.name, list(array.shape)) for name, array in arrays.items()}
    said = {name: (entry["dtype"], entry["shape"]) for name, entry in settings["arrays"].items()}
    for name in sorted(found.keys() | said.keys()):
        if found.get(name) != said.get(name):
            broken(
                folder, f"the array {name!r} is not as {SETTINGS} says", _array(found.get(name)), _array(said.get(name))
            )
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            broken(folder, f"the array {name!r} holds a number that is not finite", "NaN or infinity", "finite numbers")
    return arrays, settings


def _settings(folder: Path) -> dict[str, Any]:
    text = _read(folder, SETTINGS, MOST_TEXT)
    try:
        settings = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        broken(folder, f"{SETTINGS} is not JSON", _line(error), "the text that saving wrote")
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        came = repr(settings.get("format")) if isinstance(settings, dict) else type(settings).__name__
        broken(folder, f"{SETTINGS} has another format", came, f"format {FORMAT}; a newer sparsefire may read it")
    kinds = {"arrays": dict, "bytes": int, "sha256": str, "network": dict, "description": dict, "preparation": dict}
    for name, kind in {**kinds, "schema": dict, "extra": dict}.items():
        if not isinstance(settings.get(name), kind) or isinstance(settings.get(name), bool):
            broken(
                folder,
                f"{SETTINGS} lacks {name!r} or has it in another form",
                repr(settings.get(name))[:60],
                kind.__name__,
            )
    for name, entry in settings["arrays"].items():
        if not isinstance(entry, dict) or str(entry.get("dtype")) not in TYPES or not is_shape(entry.get("shape")):
            broken(folder, f"{SETTINGS} describes the array {name!r} wrongly", repr(entry)[:60], "a type and a shape")
    for name, entry in settings["network"].items():
        if (
            not isinstance(entry, dict)
            or entry.get("layout") not in ("dense", "csr")
            or not is_shape(entry.get("shape"))
        ):
            broken(
                folder, f"{SETTINGS} describes the weights {name!r} wrongly", repr(entry)[:60], "a layout and a shape"
            )
    total = sum(math.prod(entry["shape"]) for entry in settings["network"].values())
    if total > MOST_VALUES:
        broken(folder, "the network is too large to load", f"{total:,} numbers", f"at most {MOST_VALUES:,}")
    return settings


def is_shape(shape: Any) -> bool:
    """Say whether this is a list of at most 8 sizes from 0 to :data:`MOST_VALUES`.

    >>> is_shape([3, 4]), is_shape([-1]), is_shape([True])
    (True, False, False)
    """
    return isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and 0 <= n <= MOST_VALUES for n in shape)


def _read(folder: Path, name: str, most: int) -> bytes:
    try:
        with open(folder / name, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                broken(folder, f"{name} is no ordinary file of a sensible size", f"{status.st_size:,} bytes",
                       f"at most {most:,}")  # fmt: skip
            return file.read(most + 1)
    except OSError as error:
        raise UserError(
            f"{str(folder)!r} holds no model.",
            came=f"{name}: {error.strerror or error}",
            expected=f"a folder with {SETTINGS} and {ARRAYS}",
            attempt="the folder that was given to --out, or to save_model",
        ) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a named pipe would wait for ever


def broken(folder: str | os.PathLike[str], what: str, came: str, expected: str) -> NoReturn:
    """Raise the error for a model folder that cannot be trusted."""
    raise UserError(
        f"the model in {str(folder)!r} is damaged: {what}.",
        came=came,
        expected=expected,
        attempt="copy the whole folder again from where it was written, or fit and save the model again",
    )


def _array(entry: tuple[str, list[int]] | None) -> str:
    return f"{entry[0]} of shape {entry[1]}" if entry else "no such array"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
