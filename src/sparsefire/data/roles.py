"""Columns that are no inputs but say which rows belong together, came first, or come from where."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.frames import seconds, text_of
from sparsefire.data.words import listing, plural, quote, rows
from sparsefire.errors import UserError

MOST_GROUPS = 30
MISSING_GROUP = "(missing)"


def encode_cluster(series: pd.Series, name: str) -> np.ndarray:
    """Return an int64 code for each row; rows with the same value belong together.

    Raises:
        UserError: for missing values and for a single cluster.

    >>> encode_cluster(pd.Series(["ann", "bob", "ann"]), "patient")
    array([0, 1, 0])
    """
    return _codes(series, name, "cluster")[0]


def encode_site(series: pd.Series, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return an int64 code for each row, and the names of the sites in sorted order.

    Raises:
        UserError: for missing values and for a single site.
    """
    codes, levels = _codes(series, name, "site")
    names = [text_of(level) for level in levels]
    order = np.argsort(np.asarray(names, dtype=object), kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[codes], tuple(names[i] for i in order)


def encode_time(series: pd.Series, name: str) -> np.ndarray:
    """Return moments as float64: numbers as they are, dates as seconds since 1970-01-01 UTC.

    Dates may be ISO 8601 (2021-04-03, with or without time) or any one format that can be read in one way only;
    03/04/2021 is refused unless other rows settle which part is the month.

    Raises:
        UserError: for missing values, for text that is no date, for ambiguous dates, and for a single moment.

    >>> encode_time(pd.Series(["1970-01-02", "1970-01-01"]), "visit")
    array([86400.,     0.])
    """
    _refuse_missing(series, name, "time")
    kind = series.dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        moments = seconds(series)
    elif pd.api.types.is_timedelta64_dtype(kind):
        moments = series.dt.total_seconds().to_numpy(np.float64)
    elif pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        moments = series.to_numpy(np.float64)
    else:
        moments = _dates(series.astype(str), name)
    if not np.isfinite(moments).all():
        raise UserError(
            f"the time column {quote(name)} holds infinite values ({rows(np.flatnonzero(~np.isfinite(moments)))}).",
            expected="finite numbers or dates",
        )
    if moments.min() == moments.max():
        raise UserError(
            f"the time column {quote(name)} is the same in every row.",
            came=f"{quote(series.iloc[0])}",
            expected="numbers or dates that differ, so that the latest rows can be the test set",
        )
    return moments


def encode_group(series: pd.Series, name: str) -> np.ndarray:
    """Return the level of each row as text, ``(missing)`` where there is none.

    Raises:
        UserError: for more than 30 levels, which no comparison by group could tell apart.

    >>> encode_group(pd.Series([1.0, 2.0, None]), "sex")
    array(['1', '2', '(missing)'], dtype='<U9')
    """
    missing = series.isna().to_numpy()
    values = [MISSING_GROUP if gone else text_of(v) for v, gone in zip(series.astype(object), missing, strict=True)]
    texts = np.array(values, dtype=np.str_)
    levels = np.unique(texts)
    if len(levels) > MOST_GROUPS:
        raise UserError(
            f"the group column {quote(name)} has too many levels to compare.",
            came=f"{plural(len(levels), 'level')}: {listing(levels, 4)}",
            expected=f"at most {MOST_GROUPS} levels",
            attempt="add a column of coarser groups, such as age in three bands",
        )
    return texts


def _codes(series: pd.Series, name: str, role: str) -> tuple[np.ndarray, list[Any]]:
    _refuse_missing(series, name, role)
    try:
        codes, levels = pd.factorize(series)
    except TypeError:  # lists and the like
        raise UserError(
            f"the {role} column {quote(name)} holds values that cannot be told apart.",
            came=f"{quote(series.iloc[0])} of type {type(series.iloc[0]).__name__}",
            expected="one number or text in each row",
        ) from None
    if len(levels) < 2:
        raise UserError(
            f"the {role} column {quote(name)} is the same in every row.",
            came=f"{quote(levels[0])}",
            expected=f"at least two different values, else leave --{role} out",
        )
    return codes.astype(np.int64), list(levels)


def _refuse_missing(series: pd.Series, name: str, role: str) -> None:
    gone = np.flatnonzero(series.isna().to_numpy())
    if len(gone):
        raise UserError(
            f"the {role} column {quote(name)} has {plural(len(gone), 'row')} with no value ({rows(gone)}).",
            came=f"{plural(len(series), 'row')}, {len(series) - len(gone):,} with a value",
            expected="a value in every row, for no split can be made without",
            attempt="fill in or remove these rows",
        )


def _dates(texts: pd.Series, name: str) -> np.ndarray:
    stripped = texts.str.strip()
    numbers = pd.to_numeric(stripped, errors="coerce")
    if numbers.notna().all():
        return numbers.to_numpy(np.float64)
    iso = pd.to_datetime(stripped, format="ISO8601", errors="coerce", utc=True)
    if iso.notna().all():
        return seconds(iso)
    parsed = []
    parts = re.compile(r"\d{1,2}([./-])\d{1,2}\1(\d{4}|\d{2})(.*)", re.S)
    if stripped.map(lambda text: bool(parts.fullmatch(text))).all():
        separator = parts.fullmatch(stripped.iloc[0]).group(1)  # type: ignore[union-attr]
        for start in (("%d", "%m"), ("%m", "%d")):
            for year in ("%Y", "%y"):
                for clock in ("", " %H:%M", " %H:%M:%S"):
                    form = separator.join([*start, year]) + clock
                    read = pd.to_datetime(stripped, format=form, errors="coerce", utc=True)
                    if read.notna().all():
                        parsed.append(seconds(read))
    else:
        for form in ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m"):
            read = pd.to_datetime(stripped, format=form, errors="coerce", utc=True)
            if read.notna().all():
                parsed.append(seconds(read))
    if len(parsed) == 1 or (parsed and all(np.array_equal(parsed[0], other) for other in parsed)):
        return parsed[0]
    wrong = texts[iso.isna()]
    raise UserError(
        f"the time column {quote(name)} holds dates that can be read in two ways."
        if parsed
        else f"the time column {quote(name)} cannot be sorted: it is neither number nor date.",
        came=f"{quote(wrong.iloc[0])} in {rows(wrong.index)}",
        expected="numbers, or dates such as 2021-04-03 or 2021-04-03T17:30",
        attempt="write the dates with the year first",
    )
