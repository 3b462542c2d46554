"""Columns that say which row, or which person or thing, a row belongs to: known by their names and their looks."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

SHARE = 0.05  # of the rows: a column with fewer values is a code, unless its name says whose identifier it is
FEWEST_IDS = 10  # fewer codes such as A41 are levels

_ID_WORDS = frozenset(["id", "ids", "uid", "uuid", "guid", "pid", "mrn", "identifier", "key", "ref"])
_WHO = frozenset(
    [
        "patient",
        "subject",
        "participant",
        "person",
        "customer",
        "client",
        "user",
        "household",
        "family",
        "animal",
        "mouse",
        "donor",
        "specimen",
        "account",
        "session",
        "student",
        "employee",
        "member",
        "respondent",
        "device",
        "case",
        "sample",
        "record",
    ]
)
_NUMBERED = frozenset(["no", "nr", "num", "number", "code"])
_COUNTERS = frozenset(
    ["unnamed", "index", "idx", "row", "rows", "rowid", "rownum", "obs", "observation", "serial", "instance"]
)
_ID_TEXT = re.compile(r"[A-Za-z]{1,12}[-_#: ]?\d{2,}|[A-Za-z]{0,4}\d{3,}[A-Za-z]{0,2}|[0-9a-f]{8}[0-9a-f-]{4,}", re.I)


def row_identifiers(frame: pd.DataFrame) -> list[str]:
    """Return the columns that only name or number the rows: nothing can be learned from them.

    These are texts that differ in (nearly) every row, whole numbers that count the rows and are called a row number
    (or nothing), and whole numbers that differ in every row and are called an identifier. Other numbers and dates
    never are.
    """
    total = len(frame)
    found = []
    for name in frame.columns:
        series = frame[name]
        if total < 3 or isinstance(series.dtype, pd.CategoricalDtype):
            continue
        if _is_text(series):
            distinct = series.nunique()
            if total >= 10 and distinct > 0.6 * total and not _is_date_or_number(series):
                repeats = distinct < series.notna().sum()
                if not (repeats and _rank(name) == 2):  # a patient seen once or twice is still a patient
                    found.append(name)
        elif pd.api.types.is_integer_dtype(series.dtype):
            values = series.dropna().to_numpy(np.float64)
            steps = np.diff(values)
            counting = _counts_by_name(name) and len(values) == total and bool((steps == 1).all())
            if counting or (_rank(name) and len(values) == total and series.is_unique):
                found.append(name)
    return found


def repeating_identifiers(frame: pd.DataFrame) -> list[tuple[str, int, bool]]:
    """Return columns that repeat over rows like an identifier of a person or thing.

    A column of text or whole numbers counts when its name says so (``patient_id``, ``SubjectNo``, ``user``), or when
    it is text with 5 to 60 % as many values as rows, of which nearly all look like ``P0017`` or a hash. An ordinary
    name on ordinary numbers never counts.

    Returns:
        For each the name, the number of values, and whether its name says so: looks alone may deceive.
    """
    total = len(frame)
    found = []
    for name in frame.columns:
        rank = _rank(name)
        series = frame[name]
        text = _is_text(series)
        if not text and (not rank or not _is_whole(series)):
            continue
        distinct = int(series.nunique())
        if distinct < 3 or distinct >= int(series.notna().sum()):
            continue
        share = distinct / total
        if rank == 2 or (rank == 1 and share >= SHARE):
            found.append((str(name), distinct, True))
        elif text and SHARE <= share <= 0.6 and distinct >= FEWEST_IDS:
            levels = series.dropna().unique()
            if sum(bool(_ID_TEXT.fullmatch(level)) for level in levels) > 0.9 * len(levels):
                found.append((str(name), distinct, False))
    return found


def _rank(name: str) -> int:
    """Return 2 for the name of an identifier of somebody, 1 for the name of some identifier, else 0."""
    words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    joined = any(word.endswith("id") and word.removesuffix("id") in _WHO for word in words)  # patientid
    if joined or set(words) & {"mrn", "uuid", "guid", "pid"}:
        return 2
    identifying = any(word in _ID_WORDS for word in words)
    who = any(
        word in _WHO or (identifying and word.removesuffix("s") in _WHO) for word in words
    )  # households are a count
    if who and (identifying or (len(words) == 2 and words[1] in _NUMBERED)):
        return 2
    bare = len(words) == 1 and words[0] in _WHO
    return 1 if bare or (words and words[-1] in _ID_WORDS) else 0


def _counts_by_name(name: str) -> bool:
    """Tell whether a column that counts upwards is called a row number: an ordinary quantity may be sorted too."""
    words = [word.casefold() for word in re.findall(r"[A-Za-z]+", name)]
    return not words or any(word in _COUNTERS | _NUMBERED | _ID_WORDS for word in words)


def _is_text(series: pd.Series) -> bool:
    if isinstance(series.dtype, pd.StringDtype):
        return True
    return series.dtype == object and pd.api.types.infer_dtype(series, skipna=True) == "string"


def _is_whole(series: pd.Series) -> bool:
    if pd.api.types.is_integer_dtype(series.dtype):
        return True
    if not pd.api.types.is_float_dtype(series.dtype):
        return False
    values = series.dropna().to_numpy(np.float64)
    return bool(np.isfinite(values).all() and (values == np.round(values)).all())


def _is_date_or_number(series: pd.Series) -> bool:
    sample = series.dropna().iloc[:50].astype(str)
    dates = sample.str.fullmatch(r"\d{4}-\d{2}-\d{2}.*|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.*").mean()
    return bool(dates > 0.9 or pd.to_numeric(sample, errors="coerce").notna().mean() > 0.8)
