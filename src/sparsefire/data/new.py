"""New rows for a trained model: brought to exactly the columns, kinds and scale of its own data, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.frames import as_pandas, canonical
from sparsefire.data.problem import Column, Inputs
from sparsefire.data.read_arrays import read_new_array, standard_inputs
from sparsefire.data.read_table import ending, read_table
from sparsefire.data.words import columns, listing, nearest, plain, plural, quote
from sparsefire.errors import UserError


def read_new(source: str | Path | Any, schema: dict[str, Any]) -> Inputs:
    """Read rows to predict.

    Args:
        source: path of a table or NPZ file, a pandas or polars table, or an array.
        schema: what :meth:`Problem.schema` returned for the data of the model.

    Returns:
        Inputs in the form of the model's own: a table with the same columns in the same order, or an array of the same
        shape. Target, cluster, time and site may be there and are ignored; levels that the model has not seen are kept,
        and :meth:`Preparation.transform` warns of them.

    Raises:
        UserError: for missing columns, for columns that are neither inputs nor known, for text where numbers belong,
            for infinite values and other shapes.

    >>> from sparsefire.data.read import problem_from_arrays
    >>> trained = problem_from_arrays(pd.DataFrame({"age": [31.0, 52.0]}), ["no", "yes"])
    >>> read_new(pd.DataFrame({"age": [40], "target": ["?"]}), trained.schema())
        age
    0  40.0
    """
    label = "the new data"
    as_text = [entry["name"] for entry in schema["columns"] if entry["kind"] != "number"]
    given: Any = source
    if isinstance(source, str | Path):
        path = Path(source)
        label = path.name
        given = (
            read_new_array(path, len(schema["shape"]) + 1)
            if ending(path) == ".npz"
            else read_table(path, as_text=as_text).frame
        )
    is_table = hasattr(given, "columns")
    if schema["kind"] == "table":
        return _table(as_pandas(given) if is_table else _named(np.asarray(given), schema, label), schema, label)
    if is_table:
        if schema["kind"] == "images":
            raise UserError(
                f"{plain(label)} is a table, but the model takes images.",
                came=columns([str(name) for name in given.columns]),
                expected=f"images of shape {schema['shape']}, in an .npz file or an array",
            )
        given = _matrix(as_pandas(given), schema, label)
    inputs, _ = standard_inputs(np.asarray(given), label, scaled=schema["scaled"])
    if list(inputs.shape[1:]) != schema["shape"]:
        raise UserError(
            f"{plain(label)} has another shape than the data of the model.",
            came=f"{inputs.shape[1:]} for each row",
            expected=f"{tuple(schema['shape'])}",
        )
    return inputs


def _table(frame: pd.DataFrame, schema: dict[str, Any], label: str) -> pd.DataFrame:
    known = tuple(
        Column(entry["name"], entry["kind"], tuple(entry["categories"]), entry["date"], tuple(entry["not_numbers"]))
        for entry in schema["columns"]
    )
    names = [column.name for column in known]
    _refuse_different(list(frame.columns), names, schema["ignored"], label)
    return canonical(frame[names], known=known)[0]


def _refuse_different(came: list[str], names: list[str], ignored: list[str], label: str) -> None:
    present, wanted = set(came), set(names)
    missing = [name for name in names if name not in present]
    extra = [name for name in came if name not in wanted and name not in ignored]
    if missing:
        close = nearest(missing[0], extra)
        raise UserError(
            f"{plain(label)} lacks {plural(len(missing), 'column')} that the model needs: {listing(missing)}.",
            came=columns(came),
            expected=columns(names),
            attempt=f"rename {quote(close)} to {quote(missing[0])}" if close else "add them (cells may be empty)",
        )
    if extra:
        raise UserError(
            f"{plain(label)} has {plural(len(extra), 'column')} that the model does not know: {listing(extra)}.",
            came=columns(came),
            expected=columns(names),
            attempt="remove what is not listed",
        )


def _named(array: np.ndarray, schema: dict[str, Any], label: str) -> pd.DataFrame:
    """Give the columns of an array their names by position, where all of them are numbers."""
    names = [entry["name"] for entry in schema["columns"]]
    numbers = all(entry["kind"] == "number" for entry in schema["columns"])
    if array.ndim != 2 or array.shape[1] != len(names) or array.dtype.kind not in "buif" or not numbers:
        raise UserError(
            f"{plain(label)} does not fit the table that the model was made from.",
            came=f"an array of shape {array.shape}, type {array.dtype}",
            expected=f"a table with {columns(names)}",
        )
    return pd.DataFrame(array, columns=pd.Index(names, dtype=object))


def _matrix(frame: pd.DataFrame, schema: dict[str, Any], label: str) -> np.ndarray:
    """Return the numbers of a table for a model of arrays: by name where it has names, else by position."""
    names = schema["feature_names"]
    if not names or len(set(names)) < len(names):
        frame = frame.drop(columns=[name for name in schema["ignored"] if name in frame.columns])
        if len(frame.columns) != schema["shape"][0]:
            raise UserError(
                f"{plain(label)} has another number of columns than the data of the model.",
                came=columns(list(frame.columns)),
                expected=plural(schema["shape"][0], "column") + " of numbers, in the same order",
            )
        names = list(frame.columns)
    _refuse_different(list(frame.columns), list(names), schema["ignored"], label)
    known = tuple(Column(name, "number") for name in names)
    return canonical(frame[list(names)], known=known)[0].to_numpy(np.float64)
