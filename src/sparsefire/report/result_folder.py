"""The folder of a result: whether it may be used, files that appear whole or not at all, columns as Parquet."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.report import svg
from sparsefire.studies import canonical


def check_folder(folder: Path, asked: Mapping[str, Any], *, told: str, what: str) -> None:
    """Raise unless the folder is free, empty, or holds a result of the same settings.

    Args:
        folder: where results are to go.
        asked: everything that decides the result; plain values by name.
        told: name of the JSON file in the folder whose ``"asked"`` holds the settings of what is there.
        what: one word for such a result, ``"cascade"``.

    Raises:
        UserError: a result of other settings, other files, or a place that cannot be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file.", came=f"--out {folder}", expected="a folder, or a name that is free")
    if not os.access(there, os.W_OK):
        raise unwritable(folder, "no permission")
    if there != folder or not any(folder.iterdir()):
        return
    came = f"--out {folder}, not empty"
    try:
        stored = json.loads((folder / told).read_text(encoding="utf-8"))["asked"]
        differing = sorted(key for key in {*asked, *stored} if _known(asked, key) != _known(stored, key))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder} holds files that are not a {what}.",
            came=came,
            expected="an empty folder, or the results of the same command",
            attempt=f"--out {folder}-2",
        ) from None
    if differing:
        raise UserError(
            f"{folder} already holds another {what}.",
            came=f"{came}, settings differ: {', '.join(svg.shorten(key, 40) for key in differing)}",
            expected="an empty folder, or the same data and settings",
            attempt=f"--out {folder}-2",
        )


@contextmanager
def filled(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a hidden folder beside this one to be filled; its files take their places when the block ends well.

    The folder never holds half of a file, and what is interrupted before the first move leaves no trace.

    Args:
        folder: fresh, empty, or with earlier results.
        names: files in the order in which they are put in place; those that were not made are passed over.

    Raises:
        UserError: the folder cannot be written.
    """
    unnamed = folder.absolute().parent / f".{folder.name}.{secrets.token_hex(8)}"
    try:
        unnamed.mkdir(parents=True)
        yield unnamed
        if folder.exists() and any(folder.iterdir()):
            for name in names:
                if (unnamed / name).exists():
                    os.replace(unnamed / name, folder / name)
        else:
            if folder.exists():
                folder.rmdir()
            os.rename(unnamed, folder)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(unnamed, ignore_errors=True)


def write_columns(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write a Parquet file; NaN becomes null. Row by row, as in ``studies.parquet``, a million rows take a minute.

    >>> import duckdb, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.parquet"
    >>> write_columns(file, {"size": np.arange(2), "share": np.array([0.5, np.nan])})
    >>> duckdb.execute("SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
    [(0, 0.5), (1, None)]
    """
    import duckdb
    import pandas as pd

    table = pd.DataFrame(dict(columns))
    with duckdb.connect() as connection:
        connection.register("columns", table)
        select = ", ".join(
            f'CASE WHEN isnan("{name}") THEN NULL ELSE "{name}" END AS "{name}"'
            if values.dtype.kind == "f"
            else f'"{name}"'
            for name, values in columns.items()
        )
        connection.sql(f"SELECT {select} FROM columns").write_parquet(str(path))


def unwritable(folder: Path, reason: str) -> UserError:
    """Return the error of a folder that cannot be written."""
    return UserError(f"{folder} cannot be written.", came=f"--out {folder}: {reason}", expected="a folder of yours")


def _known(settings: Mapping[str, Any], key: str) -> str:
    return canonical({"v": settings.get(key)})
