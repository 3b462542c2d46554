"""The run store: one folder per run, complete or absent, whoever is killed when."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsefire.studies import files
from sparsefire.studies.spec import canonical, key_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_KEY = re.compile(r"[0-9a-f]{20}")
_STALE = 3600.0  # seconds after which a folder nobody named is taken for a leftover


@dataclass(frozen=True)
class StoredRun:
    """One finished run: its key, settings, one dict per epoch, the result and the arrays by name."""

    key: str
    settings: dict[str, Any]
    metrics: list[dict[str, Any]]
    result: dict[str, Any]
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Store:
    """Finished runs under a folder (created when absent), each in ``<key>/``.

    A run folder holds ``spec.json`` (its settings), ``metrics.jsonl`` (one line per epoch), ``result.json``,
    ``arrays.npz`` and the marker ``done`` with the SHA-256 of the others. It is filled under another name and renamed
    when it is whole, so a run is there or not there, also when processes are killed or write the same run at once. A
    folder whose files are not what the marker says counts as not finished and is replaced when the run is repeated.

    Args:
        path: the folder of the runs. Opening it removes what killed processes left more than an hour ago.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> settings = {"method": "gmp", "density": 0.1}
    >>> store.write(key_of(settings), settings, [{"loss": 0.5}], {"score": 0.97})
    True
    >>> store.read(key_of(settings)).result
    {'score': 0.97}
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(os.path.abspath(path)))
        self.path.mkdir(parents=True, exist_ok=True)
        self.clean(_STALE)

    def finished(self, key: str) -> bool:
        """Say whether the run is there and every file is what was written (hashes are compared)."""
        return files.read_files(self._folder(key)) is not None

    def keys(self) -> list[str]:
        """Return the keys of the finished runs, sorted."""
        return [key for key in sorted(os.listdir(self.path)) if _KEY.fullmatch(key) and self.finished(key)]

    def write(
        self,
        key: str,
        settings: Mapping[str, Any],
        metrics: Iterable[Mapping[str, Any]] = (),
        result: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
    ) -> bool:
        """Keep a finished run.

        Args:
            key: ``key_of(settings)``.
            settings: what the run is, see :func:`~sparsefire.studies.spec.canonical`.
            metrics: one dict per epoch. result: any dict. In both, NaN and infinities are kept as None (JSON has none).
            arrays: name → array of numbers, booleans or strings.

        Returns:
            True when it was stored, False when another process had already stored the same run (which is left alone).

        Raises:
            ValueError: the key is not that of the settings, or an array holds objects. TypeError: not plain values.
        """
        if key != key_of(dict(settings)):
            raise ValueError(f"the key {key!r} is not the key of these settings ({key_of(dict(settings))})")
        contents = {
            files.SPEC: (canonical(dict(settings)) + "\n").encode(),
            files.METRICS: files.to_lines(metrics),
            files.RESULT: files.to_json(result or {}),
            files.ARRAYS: files.to_npz(arrays or {}),
        }
        unnamed = self._unnamed(key)
        unnamed.mkdir()
        try:
            files.write_files(unnamed, contents)
            return self._publish(unnamed, key)
        finally:
            shutil.rmtree(unnamed, ignore_errors=True)

    def _publish(self, unnamed: Path, key: str) -> bool:
        with _locked(self.path):
            if self.finished(key):
                return False
            final = self._folder(key)
            if os.path.lexists(final):  # broken: out of the way first, a folder cannot replace a full one
                broken = self._unnamed(key)
                os.rename(final, broken)
                shutil.rmtree(broken, ignore_errors=True)
            os.rename(unnamed, final)
            files.sync_folder(self.path)
            return True

    def read(self, key: str) -> StoredRun:
        """Return a finished run; KeyError when it is absent or broken."""
        contents = files.read_files(self._folder(key))
        if contents is None:
            raise KeyError(f"no finished run {key} in {self.path}")
        return StoredRun(
            key=key,
            settings=json.loads(contents[files.SPEC]),
            metrics=files.from_lines(contents[files.METRICS]),
            result=json.loads(contents[files.RESULT]),
            arrays=files.from_npz(contents[files.ARRAYS]),
        )

    def table(self) -> pd.DataFrame:
        """Return one row per finished run: ``key``, the settings, then the result; nested names are joined by dots.

        A result that has the name of a setting gets the column ``result.<name>``. One DuckDB scan reads and hashes all
        files, so thousands of runs take a second. Broken runs and leftovers are left out.
        """
        import pandas as pd

        rows = []
        for key, settings, result in sorted(_scan(self.path)):
            row: dict[str, Any] = {"key": key, **_flat(json.loads(settings))}
            for name, value in _flat(json.loads(result)).items():
                row[f"result.{name}" if name in row else name] = value
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else ["key"])

    def export(self, path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows as a Parquet file, see :func:`sparsefire.studies.parquet.write_parquet`."""
        from sparsefire.studies.parquet import write_parquet

        write_parquet(path, rows)

    def clean(self, older: float = 0.0) -> int:
        """Remove what killed processes left behind more than ``older`` seconds ago; return how many folders."""
        removed = 0
        for entry in os.scandir(self.path):
            if re.fullmatch(rf"\.{_KEY.pattern}\.\d+\.[0-9a-f]+", entry.name):
                try:
                    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:  # its owner has just finished
                    continue
                if age >= older:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    removed += 1
        return removed

    def _folder(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a key is 20 hexadecimal digits, got {key!r}")
        return self.path / key

    def _unnamed(self, key: str) -> Path:
        return self.path / f".{key}.{os.getpid()}.{secrets.token_hex(6)}"


def _scan(root: Path) -> list[tuple[str, bytes, bytes]]:
    """Return (key, spec, result) of every run whose files are what its marker says."""
    import duckdb

    if "\\" in str(root):  # DuckDB cannot list such folders
        listed = [(name, files.read_files(root / name)) for name in os.listdir(root) if _KEY.fullmatch(name)]
        return [(name, run[files.SPEC], run[files.RESULT]) for name, run in listed if run is not None]
    query = """
        SELECT filename, sha256(content), CASE WHEN parse_filename(filename) <> ? THEN content END
        FROM read_blob(?)
    """
    with duckdb.connect() as connection:
        try:
            found = connection.execute(query, [files.ARRAYS, f"{files.literal_glob(root)}/*/*"]).fetchall()
        except duckdb.IOException:  # older versions: no file matches
            if any(_KEY.fullmatch(name) for name in os.listdir(root)):
                raise
            return []
    runs: dict[str, dict[str, tuple[str, bytes]]] = {}
    for filename, digest, content in found:
        folder, name = os.path.split(filename)
        parent, key = os.path.split(folder)
        if _KEY.fullmatch(key) and Path(parent) == root:
            runs.setdefault(key, {})[name] = (digest, content)
    whole = []
    for key, run in runs.items():
        marker = files.listed_in(run[files.DONE][1]) if files.DONE in run else None
        if marker and all(name in run and run[name][0] == digest for name, digest in marker.items()):
            whole.append((key, run[files.SPEC][1], run[files.RESULT][1]))
    return whole


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Let one process at a time give a run its name; the system drops the lock of a killed process."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: renaming alone has to do
        yield
        return
    with open(root / ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
