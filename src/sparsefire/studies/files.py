"""Files of one run: plain JSON and NPZ, written to disk before anything says that they are there."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SPEC, METRICS, RESULT, ARRAYS, DONE = "spec.json", "metrics.jsonl", "result.json", "arrays.npz", "done"
CONTENTS = (SPEC, METRICS, RESULT, ARRAYS)


def plain(value: Any) -> Any:
    """Return ``value`` as what JSON can hold; numbers that are not finite become None.

    >>> plain({"loss": np.float32("nan"), "widths": (3, 2)})
    {'loss': None, 'widths': [3, 2]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"a run can store numbers, strings, lists and dicts, not {type(value).__name__}")


def to_json(value: Any) -> bytes:
    """Return one line of JSON with the line end."""
    return (json.dumps(plain(value), allow_nan=False) + "\n").encode()


def to_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return JSON lines, one object per row."""
    return b"".join(to_json(row) for row in rows)


def from_lines(content: bytes) -> list[dict[str, Any]]:
    """Read :func:`to_lines` back."""
    return [json.loads(line) for line in content.decode().splitlines()]


def to_npz(arrays: Mapping[str, Any]) -> bytes:
    """Return an uncompressed NPZ file; arrays of objects raise ValueError.

    ``numpy.savez`` would do but for names such as ``file``, which it takes for its own argument, and for the time of
    writing in each entry, which would make equal runs differ.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def from_npz(content: bytes) -> dict[str, np.ndarray]:
    """Read :func:`to_npz` back, refusing pickled objects."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of a run into a fresh folder, and last the marker that lists their sizes and SHA-256."""
    listed = {}
    for name, content in contents.items():
        write_through(folder / name, content)
        listed[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    unnamed = folder / f"{DONE}.tmp"
    write_through(unnamed, to_json({"format": 1, "files": listed}))
    os.replace(unnamed, folder / DONE)
    sync_folder(folder)


def read_files(folder: Path) -> dict[str, bytes] | None:
    """Return the contents of a finished run, or None when the marker is missing or any file is not as it says."""
    try:
        listed = listed_in((folder / DONE).read_bytes())
        contents = {name: (folder / name).read_bytes() for name in CONTENTS}
    except OSError:
        return None
    intact = listed is not None and all(matches(listed, name, content) for name, content in contents.items())
    return contents if intact else None


def listed_in(marker: bytes) -> dict[str, str] | None:
    """Return name → SHA-256 from a marker, or None when it is not a whole one."""
    try:
        files = json.loads(marker)["files"]
        listed = {name: files[name]["sha256"] for name in CONTENTS}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return listed if all(isinstance(digest, str) for digest in listed.values()) else None


def matches(listed: Mapping[str, str], name: str, content: bytes) -> bool:
    """Say whether a file is the one the marker speaks of."""
    return hashlib.sha256(content).hexdigest() == listed[name]


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place of what is there: the old one or the whole new one is seen, never a part.

    What a kill leaves behind is a hidden file beside it with a random name.
    """
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_through(unnamed, content)
        os.replace(unnamed, path)
    finally:
        unnamed.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; systems that cannot open a folder skip this."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def literal_glob(path: Path) -> str:
    """Return a path as a DuckDB glob that matches nothing else: wildcards are put into brackets.

    >>> literal_glob(Path("/tmp/a[1]*"))
    '/tmp/a[[]1][*]'
    """
    return re.sub(r"[*?\[{]", lambda found: f"[{found[0]}]", path.as_posix())
