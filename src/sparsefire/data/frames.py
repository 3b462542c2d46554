"""Tables from elsewhere (pandas, polars, any narwhals frame) brought to one form: a pandas table of plain columns."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import re
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.problem import Column
from sparsefire.data.read_table import refuse_repeated
from sparsefire.data.words import listing, plural, quote, rows
from sparsefire.errors import UserError

LARGEST = 1e150  # beyond it squares leave float64
MANY = 50  # levels from which text in a column of numbers is taken for a slip
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


def as_pandas(frame: Any) -> pd.DataFrame:
    """Return a pandas table with text column names and rows counted from 0.

    Args:
        frame: a pandas, polars or other eager table that narwhals knows.

    Raises:
        UserError: for anything else, for lazy frames, and for column names on several levels.
    """
    import narwhals as nw

    if isinstance(frame, pd.DataFrame):
        if frame.columns.nlevels > 1:
            raise UserError("the table has column names on several levels.", expected="one name for each column")
        table = frame.reset_index(drop=True)
    else:
        try:
            known = nw.from_native(frame, eager_only=True)
        except TypeError:
            raise UserError(
                "the inputs are no table that is understood.",
                came=f"an object of type {type(frame).__name__}",
                expected="a pandas or polars DataFrame (collect a lazy one first)",
            ) from None
        series = {name: _from_narwhals(known[name]) for name in known.columns}
        table = pd.DataFrame(series, index=pd.RangeIndex(len(known)))
    names = [str(name) for name in table.columns]
    refuse_repeated(names, "the table")
    table.columns = pd.Index(names, dtype=object)
    return table


def as_series(values: Any) -> pd.Series:
    """Return one column of values from a list, an array [rows] or [rows, 1], or a pandas, polars or narwhals series."""
    import narwhals as nw

    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, list | tuple):
        return pd.Series(list(values))
    if isinstance(values, np.ndarray) and values.ndim != 1:
        if values.ndim != 2 or values.shape[1] != 1:
            raise UserError("an array is not one value per row.", came=f"shape {values.shape}", expected="shape [rows]")
        values = values[:, 0]
    if isinstance(values, np.ndarray | pd.api.extensions.ExtensionArray | pd.Index):
        return pd.Series(values).reset_index(drop=True)
    try:
        known = nw.from_native(values, series_only=True)
        return _from_narwhals(known).rename(known.name)
    except TypeError:
        raise UserError(
            "a column of values is of a kind that is not understood.",
            came=f"an object of type {type(values).__name__}",
            expected="the name of a column, or one value per row: a list, an array or a series",
        ) from None


def _from_narwhals(series: Any) -> pd.Series:
    import narwhals as nw

    kind = series.dtype
    if kind.is_numeric() and not kind.is_decimal():
        return pd.Series(series.to_numpy())
    values = series.to_list()
    if isinstance(kind, nw.Enum):
        return pd.Series(pd.Categorical(values, categories=list(kind.categories), ordered=True))
    if isinstance(kind, nw.Datetime | nw.Date):
        return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True))
    return pd.Series(values, dtype=object)


def frame_sha256(frame: pd.DataFrame) -> str:
    """Return a SHA-256 of names, types and values of a table."""
    digest = hashlib.sha256()
    for name, series in frame.items():
        digest.update(f"{name}\0{series.dtype}\0".encode("utf-8", "surrogatepass"))
        values = series.to_numpy()
        if values.dtype == object:
            digest.update("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))
        else:
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def text_of(value: Any) -> str:
    """Return a level as text: whole numbers without a point, everything else as Python writes it.

    >>> text_of(2.0), text_of("2.0"), text_of(True)
    ('2', '2.0', 'True')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def seconds(moments: pd.Series) -> np.ndarray:
    """Return dates as seconds since 1970-01-01 UTC (dates without a zone are taken as UTC), NaN where missing."""
    stamps = pd.to_datetime(moments, utc=True).dt.tz_localize(None)
    values = stamps.to_numpy("datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype("int64") / 1e6)


def canonical(frame: pd.DataFrame, *, known: tuple[Column, ...] = ()) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """Bring every column to numbers (float64, NaN where missing) or categories (of text).

    Args:
        frame: a pandas table without repeated names.
        known: for new data: the columns of the model, whose kinds are then kept; values that do not fit are errors.

    Returns:
        The table, and for each column its kind. Truth values become 0 and 1, dates and durations become seconds, a
        column of text with more than 50 levels of which nine in ten are numbers becomes numbers.

    Raises:
        UserError: for infinite or huge numbers, complex numbers, lists and other objects, and columns without values.
    """
    kinds = {column.name: column for column in known}
    fast = [name for name in frame.columns if _plain_number(frame[name]) and _wants_number(kinds.get(name))]
    block = frame[fast].to_numpy(np.float64) if fast else np.empty((len(frame), 0))
    done: dict[str, Any] = {name: block[:, i] for i, name in enumerate(fast)}
    columns: dict[str, Column] = {name: kinds.get(name, Column(name, "number")) for name in fast}
    for name in frame.columns:
        if name not in done:
            done[name], columns[name] = _one(frame[name], name, kinds.get(name))
    table = pd.DataFrame({name: done[name] for name in frame.columns}, index=pd.RangeIndex(len(frame)), copy=False)
    table.columns = pd.Index(list(frame.columns), dtype=object)
    _refuse_extreme(table, columns)
    if not known:
        _refuse_empty(table)
    return table, tuple(columns[name] for name in frame.columns)


def _plain_number(series: pd.Series) -> bool:
    return isinstance(series.dtype, np.dtype) and series.dtype.kind in "buif"


def _wants_number(column: Column | None) -> bool:
    return column is None or (column.kind == "number" and not column.date)


def _one(series: pd.Series, name: str, known: Column | None) -> tuple[Any, Column]:
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype) and known is None:
        levels = tuple(text_of(level) for level in series.cat.categories[np.unique(series.cat.codes[series.notna()])])
        codes = pd.Categorical(_texts(series), categories=list(levels))
        return codes, Column(name, "ordinal" if kind.ordered else "category", levels)
    if not isinstance(kind, np.dtype) and pd.api.types.is_numeric_dtype(kind):  # nullable extension types
        return _number(series.to_numpy(np.float64, na_value=np.nan), series, name, known)
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _number(seconds(series), series, name, known, date=True)
    if pd.api.types.is_timedelta64_dtype(kind):
        return _number(series.dt.total_seconds().to_numpy(np.float64), series, name, known)
    if isinstance(kind, np.dtype) and kind.kind in "buif":
        return _number(series.to_numpy(np.float64), series, name, known)
    return _from_objects(series, name, known)


def _number(
    values: np.ndarray, series: pd.Series, name: str, known: Column | None, *, date: bool = False
) -> tuple[Any, Column]:
    if known is not None and known.kind != "number":
        return pd.Categorical(_texts(series)), known
    if known is not None and date != known.date and series.notna().any():
        raise UserError(
            f"the column {quote(name)} holds {'dates' if date else 'numbers'} here.",
            came=f"{series.dropna().iloc[0]} in the first row with a value",
            expected="dates such as 2021-04-03" if known.date else "numbers, as in the data of the model",
        )
    return values, known or Column(name, "number", date=date)


def _from_objects(series: pd.Series, name: str, known: Column | None) -> tuple[Any, Column]:
    present = series.dropna()
    kinds = {str} if isinstance(series.dtype, pd.StringDtype) else {type(value) for value in present}
    if kinds <= {bool, np.bool_} or all(issubclass(kind, int | float | decimal.Decimal | np.number) for kind in kinds):
        if any(issubclass(kind, complex | np.complexfloating) for kind in kinds):
            raise _strange(series, name)
        return _number(
            series.astype(object).where(series.notna(), np.nan).astype(np.float64).to_numpy(), series, name, known
        )
    if all(issubclass(kind, datetime.date) for kind in kinds):
        return _number(seconds(series.astype(object)), series, name, known, date=True)
    if not all(issubclass(kind, str | bool | int | float | np.number | np.bool_) for kind in kinds):
        raise _strange(series, name)
    if kinds != {str}:
        series = pd.Series(_texts(series), dtype=object)
    codes, levels = pd.factorize(series)  # from here on the levels are looked at, not the rows
    return _from_levels(codes, np.asarray(levels, dtype=object), name, known)


def _from_levels(codes: np.ndarray, levels: np.ndarray, name: str, known: Column | None) -> tuple[Any, Column]:
    """Return a column of text as dates, as numbers with a few slips among them, or as categories."""
    if known is not None and known.kind != "number":
        return pd.Categorical.from_codes(codes, categories=pd.Index(levels, dtype=object)), known
    dates = _dates(levels) if known is None or known.date else None
    if dates is not None:
        return np.append(dates, np.nan)[codes], known or Column(name, "number", date=True)
    numbers = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce").to_numpy(np.float64)
    slips = np.flatnonzero(np.isnan(numbers))
    if known is not None:
        strange = np.arange(len(levels)) if known.date else slips[[levels[i] not in known.not_numbers for i in slips]]
        if len(strange):
            kind = "dates" if known.date else "numbers"
            raise UserError(
                f"the column {quote(name)} holds text where the model was given {kind}.",
                came=f"{quote(levels[strange[0]])} in {rows(np.flatnonzero(np.isin(codes, strange)))}",
                expected="dates such as 2021-04-03" if known.date else "numbers, or nothing where the value is missing",
            )
        return np.append(numbers, np.nan)[codes], known
    if len(levels) > MANY and np.isin(codes, slips).sum() <= (codes >= 0).sum() / 10:
        return np.append(numbers, np.nan)[codes], Column(name, "number", not_numbers=tuple(sorted(levels[slips])))
    order = np.argsort(levels, kind="stable")
    ranks = np.append(np.argsort(order), -1)
    ordered = tuple(levels[order])
    return pd.Categorical.from_codes(ranks[codes], categories=pd.Index(ordered, dtype=object)), Column(
        name, "category", ordered
    )


def _dates(levels: np.ndarray) -> np.ndarray | None:
    """Return ISO dates as seconds, ``None`` where one of the texts is none."""
    if not len(levels) or not all(_DATE.fullmatch(level) for level in levels):
        return None
    read = pd.to_datetime(pd.Series(levels, dtype=object), format="ISO8601", errors="coerce", utc=True)
    return seconds(read) if read.notna().all() else None


def _texts(series: pd.Series) -> np.ndarray:
    values = series.astype(object).to_numpy()
    missing = series.isna().to_numpy()
    return np.array([None if gone else text_of(value) for value, gone in zip(values, missing, strict=True)], object)


def _strange(series: pd.Series, name: str) -> UserError:
    present = series.dropna()
    return UserError(
        f"the column {quote(name)} holds values that are neither number, text, truth value nor date.",
        came=f"{quote(present.iloc[0])} of type {type(present.iloc[0]).__name__}",
        expected="one number or text in each cell",
        attempt="convert or remove the column",
    )


def _refuse_extreme(table: pd.DataFrame, columns: dict[str, Column]) -> None:
    names = [name for name in table.columns if columns[name].kind == "number"]
    if not names:
        return
    block = np.abs(table[names].to_numpy(np.float64))
    if not (np.nanmax(block, initial=0) <= LARGEST):
        row, column = np.argwhere(block > LARGEST)[0]
        raise UserError(
            f"the column {quote(names[column])} holds infinite or huge numbers.",
            came=f"{table[names[column]].iloc[row]} in {rows(np.flatnonzero(block[:, column] > LARGEST))}",
            expected="finite numbers within ±1e150, or nothing where the value is missing",
        )


def _refuse_empty(table: pd.DataFrame) -> None:
    empty = table.columns[table.isna().all().to_numpy()]
    if len(empty):
        have = "has" if len(empty) == 1 else "have"
        raise UserError(
            f"{plural(len(empty), 'column')} {have} no value in any row: {listing(empty)}.",
            came=f"{len(table):,} rows, all of them missing there",
            expected="at least one value in every column",
            attempt=f"remove the column {quote(empty[0])}" if len(empty) == 1 else "remove these columns",
        )
