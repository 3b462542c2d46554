"""Rows to a Parquet file, through DuckDB, without guessing types from samples."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.errors import UserError

_LIST = "DOUBLE[]"


def write_parquet(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as a Parquet file that appears whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        rows: dicts of bool, int, float, str, None, or a list of numbers (stored as list of double). Names that a row
            lacks are null in it. The columns stand in the order in which the names first appear.

    Raises:
        UserError: no rows. TypeError: a column mixes types, or has another type.

    >>> import duckdb, tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "results.parquet")
    >>> write_parquet(file, [{"key": "a", "curve": [0.5, 0.75]}, {"key": "b", "curve": None}])
    >>> duckdb.execute("SELECT * FROM read_parquet(?)", [file]).fetchall()
    [('a', [0.5, 0.75]), ('b', None)]
    """
    import duckdb

    rows = [{name: _python(value) for name, value in row.items()} for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise UserError("there are no rows to write.", came="0 rows", expected="at least one finished run")
    columns = [[row.get(name) for row in rows] for name in names]
    types = [_type(name, column) for name, column in zip(names, columns, strict=True)]
    # Parallel ``unnest`` of bound lists: exact types, no SQL made from values.
    select = ", ".join(
        f"unnest(${i}::{kind}[]) AS {_quoted(name)}" for i, (name, kind) in enumerate(zip(names, types, strict=True), 1)
    )
    path = Path(os.path.abspath(path))
    unnamed = path.with_name(f".{secrets.token_hex(8)}.parquet")
    try:
        with duckdb.connect() as connection:
            connection.sql(f"SELECT {select}", params=columns).write_parquet(str(unnamed))
        os.replace(unnamed, path)
    finally:
        unnamed.unlink(missing_ok=True)


def _python(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [None if item is None else float(item) for item in value]
    return value


def _type(name: str, column: list[Any]) -> str:
    kinds = {type(value) for value in column if value is not None}
    if kinds <= {bool}:
        return "BOOLEAN" if kinds else "DOUBLE"  # a column of nulls has to have some type
    if kinds <= {int}:
        return "BIGINT"
    if kinds <= {int, float}:
        return "DOUBLE"
    if kinds <= {str}:
        return "VARCHAR"
    if kinds <= {list}:
        return _LIST
    raise TypeError(f"the column {name!r} holds {sorted(kind.__name__ for kind in kinds)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
