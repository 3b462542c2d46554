"""A learning problem: inputs, target, and the roles that decide how its rows may be split."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

Inputs = pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class Column:
    """One input column of a table.

    Args:
        name: as in the file, untouched.
        kind: ``"number"``, ``"category"`` (no order) or ``"ordinal"`` (the order of ``categories``).
        categories: the levels as text; empty for numbers.
        date: the numbers are seconds since 1970-01-01 UTC, made from dates.
        not_numbers: texts in a column of numbers that count as missing.
    """

    name: str
    kind: Literal["number", "category", "ordinal"]
    categories: tuple[str, ...] = ()
    date: bool = False
    not_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Data that was read and checked, ready to be split and prepared.

    Args:
        name: short name of the data (the file name without ending).
        inputs: a table (numbers as float64 with NaN where missing, categories as pandas categoricals of text) or an
            array of float32, [rows, features] or images [rows, channels, height, width].
        target: int64 codes 0..C−1, or float64 values.
        task: ``"classification"`` or ``"regression"``.
        classes: names of the codes, empty for regression; with two classes the positive one is code 1.
        labels: what the classes are in the data: ``"text"``, ``"whole"`` numbers, ``"number"`` or ``"truth"`` values.
        target_name: the column or array that is predicted.
        score: ``"accuracy"``, ``"auc"`` or ``"r2"``.
        columns: the inputs of a table, in order; empty for arrays.
        feature_names: names of the features of a 2-D array, where the source gives them; else empty.
        cluster: int64 codes of rows that belong together, or ``None``; ``cluster_name`` says which column.
        time: float64 moments (seconds since 1970 where they were dates), or ``None``.
        site: int64 codes into ``site_names``, or ``None``.
        groups: for each column whose levels are compared, one text per row.
        test_rows: the last rows, where the source brings its own test set; else ``None``.
        scaled: the images were divided by 255.
        identifiers: columns that repeat like an identifier and are not the cluster.
        ignored: columns that are no inputs but may come with new data.
        notes: what was decided on the way, one sentence each.
        sha256: of the bytes of the file, or of the arrays.
    """

    name: str
    inputs: Inputs
    target: np.ndarray
    task: Literal["classification", "regression"]
    classes: tuple[str, ...]
    target_name: str
    score: Literal["accuracy", "auc", "r2"]
    labels: Literal["text", "whole", "number", "truth"] = "text"
    columns: tuple[Column, ...] = ()
    feature_names: tuple[str, ...] = ()
    cluster: np.ndarray | None = None
    time: np.ndarray | None = None
    site: np.ndarray | None = None
    cluster_name: str = ""
    time_name: str = ""
    site_name: str = ""
    site_names: tuple[str, ...] = ()
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    test_rows: np.ndarray | None = None
    scaled: bool = False
    identifiers: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def __repr__(self) -> str:
        return f"Problem({self.name!r}, {self.task} of {self.target_name!r}, {self.rows} rows, {self.width} inputs)"

    @property
    def rows(self) -> int:
        """Return the number of rows, the test set included."""
        return len(self.target)

    @property
    def kind(self) -> Literal["table", "array", "images"]:
        """Return what the inputs are."""
        if isinstance(self.inputs, pd.DataFrame):
            return "table"
        return "images" if self.inputs.ndim == 4 else "array"

    @property
    def width(self) -> int:
        """Return the number of input values of a row, before encoding."""
        return int(np.prod(self.inputs.shape[1:]))

    def select(self, rows: np.ndarray) -> Inputs:
        """Return the inputs of some rows.

        Args:
            rows: integer row numbers, counted from 0.
        """
        return self.inputs.iloc[rows] if isinstance(self.inputs, pd.DataFrame) else self.inputs[rows]

    def schema(self) -> dict[str, Any]:
        """Return what is needed to read new data for a model of this problem, as plain JSON values."""
        columns = [
            {
                "name": column.name,
                "kind": column.kind,
                "categories": list(column.categories),
                "date": column.date,
                "not_numbers": list(column.not_numbers),
            }
            for column in self.columns
        ]
        return {
            "format": 1,
            "kind": self.kind,
            "columns": columns,
            "shape": [int(size) for size in self.inputs.shape[1:]],
            "feature_names": list(self.feature_names),
            "scaled": self.scaled,
            "task": self.task,
            "classes": list(self.classes),
            "labels": self.labels,
            "target": self.target_name,
            "ignored": list(self.ignored),
        }

    def identity(self) -> str:
        """Return a hash of the data and of all that decides how they are split, prepared and scored, in hexadecimal.

        Two problems of one identity lead to the same runs. Groups do not count: they change what is compared, not what
        is trained.

        >>> from dataclasses import replace
        >>> one = Problem("d", np.zeros((2, 1)), np.zeros(2), "regression", (), "y", "r2", cluster=np.array([0, 1]))
        >>> one.identity() == replace(one, groups={"sex": np.array(["f", "m"])}).identity()
        True
        >>> one.identity() == replace(one, cluster=np.array([0, 0])).identity()
        False
        """
        schema = {key: value for key, value in self.schema().items() if key != "ignored"}
        names = [self.target_name, self.cluster_name, self.time_name, self.site_name, *self.site_names]
        text = json.dumps([self.sha256, schema, names, self.score, self.rows], sort_keys=True)
        digest = hashlib.sha256(text.encode())
        for role in (self.cluster, self.time, self.site, self.test_rows):
            digest.update(b"none" if role is None else hashlib.sha256(np.ascontiguousarray(role).tobytes()).digest())
        return digest.hexdigest()
