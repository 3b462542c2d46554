"""From columns to float32 features: fitted on training rows only, kept as plain numbers, rebuilt without pickle.

The steps are those of scikit-learn's SimpleImputer (median; for categories a level of their own or the most frequent
one), StandardScaler, OneHotEncoder and OrdinalEncoder, written on arrays so that a fitted preparation *is* its numbers;
the tests compare it with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparsefire.data.numbers import Numbers, fit_images, fit_numbers
from sparsefire.data.problem import Column, Inputs
from sparsefire.data.words import listing, plural, quote
from sparsefire.errors import UserError

ONE_HOT_LEVELS = 50  # a category with more levels becomes one number
_CHUNK = 4096  # rows at a time, so that float64 copies stay small


@dataclass(frozen=True)
class Encoder:
    """How one column of categories becomes features.

    Args:
        position: of the column among the inputs.
        name: of the column.
        levels: seen in training, in order; ``None`` stands for a missing value.
        one_hot: one feature for each level; else one number, the position of the level (−1 where it is unknown).
        fill: level that replaces a missing value (ordered categories); ``None`` where missing is a level.
    """

    position: int
    name: str
    levels: tuple[str | None, ...]
    one_hot: bool
    fill: str | None = None

    def codes(self, series: pd.Series) -> np.ndarray:
        """Return for each row the position of its level, −1 for levels that are not known."""
        category = series if isinstance(series.dtype, pd.CategoricalDtype) else series.astype("category")
        known = {level: i for i, level in enumerate(self.levels)}
        levels = list(category.cat.categories)
        gone = known.get(self.fill, -1)  # with no fill this is the missing level itself
        table = np.array([*(known.get(str(level), -1) for level in levels), gone], np.int64)
        return table[category.cat.codes.to_numpy()]  # code −1, missing, picks the last entry

    def unseen(self, series: pd.Series) -> list[str]:
        """Return levels among the rows that were not there in training."""
        values = series.dropna().unique()
        found = sorted({str(value) for value in values} - {level for level in self.levels if level is not None})
        missing = bool(series.isna().any()) and self.fill is None and None not in self.levels
        return found + ["(missing)"] * missing


@dataclass(frozen=True, eq=False)
class Preparation:
    """A fitted preparation.

    Args:
        kind: ``"table"``, ``"array"`` or ``"images"``.
        shape: of one row of the inputs.
        columns: names of the columns of a table; empty for arrays.
        numbers: how numbers are filled in and scaled, ``positions`` says which columns (of arrays: all).
        positions: of the numbers among the columns.
        encoders: of the categories, in the order of the columns.
        feature_names: one for each feature; for images one for each channel.
        origin: int64, for each feature the position of its column; for images of its channel.
        ordinals: how categories that are one number are scaled.
    """

    kind: Literal["table", "array", "images"]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    numbers: Numbers
    positions: np.ndarray
    encoders: tuple[Encoder, ...]
    feature_names: tuple[str, ...]
    origin: np.ndarray
    ordinals: Numbers

    @property
    def features(self) -> int:
        """Return the number of values of a prepared row."""
        return int(np.prod(self.shape)) if self.kind == "images" else len(self.feature_names)

    @property
    def logged(self) -> tuple[str, ...]:
        """Return the columns that are taken as log(1 + x)."""
        return tuple(self.columns[self.positions[i]] for i in np.flatnonzero(self.numbers.log)) if self.columns else ()

    def transform(self, inputs: Inputs, *, warn: bool = True) -> np.ndarray:
        """Return features as float32, [rows, features] or [rows, channels, height, width].

        Args:
            inputs: of the same form as those it was fitted on.
            warn: give a ``UserWarning`` for each column with levels that training did not have (they become zeros; in a
                column that is one number, −1).

        Raises:
            UserError: for other columns or another shape, and for infinite values.
        """
        if self.kind == "table":
            return self._table(inputs, warn)
        if not isinstance(inputs, np.ndarray) or inputs.shape[1:] != self.shape:
            came = f"shape {inputs.shape}" if hasattr(inputs, "shape") else type(inputs).__name__
            raise UserError(
                "the inputs have another shape than in training.", came=came, expected=f"[rows, *{self.shape}]"
            )
        out = np.empty((len(inputs), *(self.shape if self.kind == "images" else (self.features,))), np.float32)
        for start in range(0, len(inputs), _CHUNK):
            part = inputs[start : start + _CHUNK]
            if self.kind == "images":
                for channel in range(self.shape[0]):
                    out[start : start + _CHUNK, channel] = self.numbers.scaled_column(part[:, channel], channel)
            else:
                _refuse_infinite(part, range(part.shape[1]))
                out[start : start + _CHUNK] = self.numbers.features(part)
        return out

    def _table(self, inputs: Inputs, warn: bool) -> np.ndarray:
        if not isinstance(inputs, pd.DataFrame) or tuple(inputs.columns) != self.columns:
            raise UserError(
                "the inputs have other columns than in training.",
                came=listing(getattr(inputs, "columns", [])) or type(inputs).__name__,
                expected=listing(self.columns),
            )
        out = np.zeros((len(inputs), self.features), np.float32)
        block = inputs.iloc[:, self.positions].to_numpy(np.float64)
        _refuse_infinite(block, [self.columns[i] for i in self.positions])
        end = self.numbers.width
        out[:, :end] = self.numbers.features(block)
        rows = np.arange(len(inputs))
        ordinals = np.empty((len(inputs), sum(not encoder.one_hot for encoder in self.encoders)))
        ordinal = 0
        for encoder in self.encoders:
            series = inputs.iloc[:, encoder.position]
            codes = encoder.codes(series)
            if warn and (codes < 0).any():
                levels = encoder.unseen(series)
                warnings.warn(
                    f"the column {quote(encoder.name)} has {plural(len(levels), 'level')} that training did not have: "
                    f"{listing(levels)} ({plural(int((codes < 0).sum()), 'row')})",
                    UserWarning,
                    stacklevel=3,
                )
            if encoder.one_hot:
                seen = codes >= 0
                out[rows[seen], end + codes[seen]] = 1
                end += len(encoder.levels)
            else:
                ordinals[:, ordinal] = codes
                ordinal += 1
        out[:, end:] = self.ordinals.scaled(ordinals)
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return every fitted number, to be stored beside :meth:`settings`."""
        stored = {f"numbers.{key}": value for key, value in self.numbers.arrays().items()}
        stored |= {f"ordinals.{key}": value for key, value in self.ordinals.arrays().items()}
        return stored | {"positions": self.positions, "origin": self.origin}

    def settings(self) -> dict[str, Any]:
        """Return all else as plain JSON values."""
        return {
            "format": 1,
            "kind": self.kind,
            "shape": list(self.shape),
            "columns": list(self.columns),
            "feature_names": list(self.feature_names),
            "logged": list(self.logged),
            "encoders": [
                {
                    "position": encoder.position,
                    "name": encoder.name,
                    "levels": list(encoder.levels),
                    "one_hot": encoder.one_hot,
                    "fill": encoder.fill,
                }
                for encoder in self.encoders
            ],
        }


def fit_preparation(
    inputs: Inputs, columns: Sequence[Column] = (), *, feature_names: Sequence[str] = ()
) -> Preparation:
    """Fit the preparation on training rows.

    Args:
        inputs: the training rows, as :meth:`Problem.select` returns them.
        columns: ``Problem.columns``; empty for arrays.
        feature_names: of a 2-D array, where it has any.

    Returns:
        A :class:`Preparation`. Numbers: missing ones become the median and get an indicator feature where training has
        missing ones; non-negative ones with a long right tail are taken as log(1 + x); then mean 0 and variance 1
        (constant ones become 0). Categories: a feature for each level, missing being one; with more than 50 levels, and
        where the levels have an order, one standardised number. Arrays: each feature standardised, no logarithm.
        Images: one mean and standard deviation for each channel. Features stand in this order: numbers, indicators of
        missing ones, levels of categories, categories as one number. Results are limited to ±1e6.

    >>> prepared = fit_preparation(pd.DataFrame({"age": [30.0, 50.0]}), [Column("age", "number")])
    >>> prepared.transform(pd.DataFrame({"age": [40.0, 60.0]}))
    array([[0.],
           [2.]], dtype=float32)
    """
    if isinstance(inputs, np.ndarray):
        return _fit_array(inputs, tuple(feature_names))
    positions = np.array([i for i, column in enumerate(columns) if column.kind == "number"], np.int64)
    block = inputs.iloc[:, positions].to_numpy(np.float64)
    _refuse_infinite(block, [columns[i].name for i in positions])
    numbers = fit_numbers(block, log=True, fill="median")
    encoders = [
        _fit_encoder(inputs.iloc[:, i], column, i) for i, column in enumerate(columns) if column.kind != "number"
    ]
    encoders.sort(key=lambda encoder: not encoder.one_hot)  # stable: one-hot first, each kind in column order
    ranked = [encoder for encoder in encoders if not encoder.one_hot]
    codes = [encoder.codes(inputs.iloc[:, encoder.position]) for encoder in ranked]
    ordinals = np.stack(codes, axis=1).astype(np.float64) if ranked else np.empty((len(inputs), 0))
    names = [columns[i].name for i in positions]
    origin = list(positions)
    names += [f"{columns[i].name} is missing" for i in positions[numbers.indicators]]
    origin += list(positions[numbers.indicators])
    for encoder in encoders:
        if encoder.one_hot:
            names += [f"{encoder.name}={'(missing)' if level is None else level}" for level in encoder.levels]
            origin += [encoder.position] * len(encoder.levels)
        else:
            names.append(encoder.name)
            origin.append(encoder.position)
    return Preparation(
        "table",
        (len(columns),),
        tuple(column.name for column in columns),
        numbers,
        positions,
        tuple(encoders),
        tuple(names),
        np.array(origin, np.int64),
        fit_numbers(ordinals, log=False, fill="mean"),
    )


def from_stored(arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Preparation:
    """Rebuild a preparation from what :meth:`Preparation.arrays` and :meth:`Preparation.settings` returned.

    Returns:
        A preparation whose results are identical, bit for bit.

    >>> fitted = fit_preparation(np.array([[1.0], [3.0]], np.float32))
    >>> again = from_stored(fitted.arrays(), fitted.settings())
    >>> again.transform(np.array([[2.0]], np.float32))
    array([[0.]], dtype=float32)
    """
    parts = {
        head: Numbers(**{key.removeprefix(head): value for key, value in arrays.items() if key.startswith(head)})
        for head in ("numbers.", "ordinals.")
    }
    encoders = tuple(
        Encoder(entry["position"], entry["name"], tuple(entry["levels"]), entry["one_hot"], entry["fill"])
        for entry in settings["encoders"]
    )
    return Preparation(
        settings["kind"],
        tuple(settings["shape"]),
        tuple(settings["columns"]),
        parts["numbers."],
        np.asarray(arrays["positions"], np.int64),
        encoders,
        tuple(settings["feature_names"]),
        np.asarray(arrays["origin"], np.int64),
        parts["ordinals."],
    )


def _fit_array(inputs: np.ndarray, names: tuple[str, ...]) -> Preparation:
    none = np.empty(0, np.int64)
    if inputs.ndim == 4:
        shape = inputs.shape[1:]
        channels = np.arange(shape[0])
        numbers = fit_images(inputs)
        labels = tuple(f"channel {i}" for i in channels)
        return Preparation("images", shape, (), numbers, none, (), labels, channels, Numbers.none())
    if inputs.ndim != 2:
        raise UserError("the inputs are neither rows of features nor images.", came=f"shape {inputs.shape}")
    _refuse_infinite(inputs, range(inputs.shape[1]))
    numbers = fit_numbers(inputs, log=False, fill="median" if np.isnan(inputs).any() else "mean")
    base = names or tuple(f"x{i}" for i in range(inputs.shape[1]))
    labels = (*base, *(f"{base[i]} is missing" for i in numbers.indicators))
    origin = np.concatenate([np.arange(inputs.shape[1]), numbers.indicators]).astype(np.int64)
    return Preparation("array", inputs.shape[1:], (), numbers, none, (), labels, origin, Numbers.none())


def _fit_encoder(series: pd.Series, column: Column, position: int) -> Encoder:
    counts = series.value_counts()
    present = {str(level) for level, count in counts.items() if count}
    missing = bool(series.isna().any())
    ordered = [level for level in column.categories if level in present]
    if column.kind == "ordinal":
        most = max(ordered, key=lambda level: counts[level]) if ordered else None
        return Encoder(position, column.name, tuple(ordered), False, most)
    levels = (*ordered, *([None] if missing else []))
    return Encoder(position, column.name, levels, len(column.categories) <= ONE_HOT_LEVELS)


def _refuse_infinite(block: np.ndarray, names: Sequence[Any]) -> None:
    if np.isinf(block).any():
        row, position = np.argwhere(np.isinf(block))[0]
        raise UserError(
            f"the column {quote(names[position])} holds infinite values.",
            came=f"{block[row, position]} in row {row + 1}",
            expected="finite numbers, or nothing where the value is missing",
        )
