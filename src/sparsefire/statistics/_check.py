"""Checks of arguments that several files of this room share, each ending in one readable error."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError


def level_checked(level: float) -> float:
    """Return a one-sided error level in (0, 0.5) as a float."""
    if not 0.0 < float(level) < 0.5:
        raise UserError(
            f"level is {level!r}.", came=repr(level), expected="an error level between 0 and 0.5, such as 0.05"
        )
    return float(level)


def confidence_checked(level: float) -> float:
    """Return a two-sided confidence level in (0, 1) as a float."""
    if not 0.0 < float(level) < 1.0:
        raise UserError(f"level is {level!r}.", came=repr(level), expected="a confidence level in (0, 1), such as 0.95")
    return float(level)


def margin_checked(margin: float) -> float:
    """Return a margin above 0 as a float."""
    if not (np.isfinite(margin) and margin > 0):
        raise UserError(
            f"margin is {margin!r}.", came=repr(margin), expected="a loss above 0 in units of the score, such as 0.01"
        )
    return float(margin)


def vector(values: Any, name: str, rows: int | None = None) -> np.ndarray:
    """Return finite float64 values of shape [rows]."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        raise UserError(
            f"{name} has shape {array.shape}.",
            came=f"{name} with shape {array.shape}",
            expected="one value per row" if rows is None else f"shape ({rows},), one value per row",
        )
    if not np.isfinite(array).all():
        raise UserError(f"{name} has values that are not finite.", came="nan or infinity", expected="finite numbers")
    return array


def matrix(values: Any, name: str, rows: int | None = None) -> np.ndarray:
    """Return finite float64 values of shape [rows, rounds] with at least 2 rows and 2 rounds."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 2 or (rows is not None and len(array) != rows):
        raise UserError(
            f"{name} has shape {array.shape}.",
            came=f"{name} with shape {array.shape}",
            expected=f"[rows, rounds] with {rows or 'at least 2'} rows and at least 2 rounds",
        )
    if not np.isfinite(array).all():
        raise UserError(f"{name} has values that are not finite.", came="nan or infinity", expected="finite numbers")
    return array


def binary(target: Any) -> np.ndarray:
    """Return a 0/1 target of shape [n] as booleans, both values present."""
    array = np.asarray(target)
    positive = array == 1
    if array.ndim != 1 or not np.logical_or(positive, array == 0).all():
        raise UserError(
            "the AUC needs a target of zeros and ones.", came=f"shape {array.shape}", expected="0 or 1 per row"
        )
    if not positive.any() or positive.all():
        raise UserError(
            "the AUC needs rows of both classes.", came="one class", expected="at least one row of each class"
        )
    return positive


def cluster_codes(clusters: Any, rows: int) -> tuple[np.ndarray, int]:
    """Return cluster labels as codes 0..C−1 of shape [rows], and C (at least 2)."""
    labels = np.asarray(clusters)
    if labels.shape != (rows,):
        raise UserError(
            f"clusters has shape {labels.shape}.",
            came=f"shape {labels.shape}",
            expected=f"shape ({rows},), one label per row",
        )
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise UserError("all rows are in one cluster.", came="1 cluster", expected="at least 2 clusters")
    return codes.reshape(-1), len(names)
