"""Data sets that come by name: scikit-learn's own, and OpenML's by number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.frames import as_pandas, frame_sha256
from sparsefire.data.words import plain
from sparsefire.errors import UserError

BUNDLED = {
    "digits": ("load_digits", "digit"),
    "breast_cancer": ("load_breast_cancer", "diagnosis"),
    "iris": ("load_iris", "species"),
    "wine": ("load_wine", "cultivar"),
    "diabetes": ("load_diabetes", "progression"),
}


@dataclass(frozen=True)
class Named:
    """A table and its target, known by name."""

    frame: pd.DataFrame
    target: pd.Series
    target_name: str
    classes: tuple[str, ...]
    name: str
    sha256: str


def bundled(name: str) -> Named:
    """Return one of the data sets that scikit-learn carries, without any download.

    Args:
        name: ``digits``, ``breast_cancer``, ``iris``, ``wine`` or ``diabetes``.

    >>> bundled("breast_cancer").classes
    ('malignant', 'benign')
    """
    from sklearn import datasets

    loader, target_name = BUNDLED[name]
    bunch: Any = getattr(datasets, loader)(as_frame=True)
    classes = () if name == "diabetes" else tuple(str(label) for label in bunch.target_names)
    table = as_pandas(bunch.data)
    digest = hashlib.sha256(np.ascontiguousarray(table.to_numpy(np.float64)).tobytes())
    digest.update(np.ascontiguousarray(bunch.target.to_numpy(np.float64)).tobytes())
    return Named(table, bunch.target.reset_index(drop=True), target_name, classes, name, digest.hexdigest())


def openml(number: str, target: str | None = None) -> Named:
    """Return a data set of openml.org by its number; the copy in scikit-learn's cache is used where there is one.

    Args:
        number: the id in the address of the data set, such as 31 for credit-g.
        target: a column, in place of the one that OpenML names.

    Raises:
        UserError: for anything but a number, without a network, for an unknown id, or where no target is named.
    """
    if not number.isdecimal():
        raise UserError(
            "OpenML data sets are known by number.",
            came=f"openml:{plain(number)}",
            expected="openml: followed by the id of the data set",
            attempt="sparsefire fit openml:31",
        )
    from sklearn.datasets import fetch_openml

    try:
        bunch: Any = fetch_openml(
            data_id=int(number), as_frame=True, parser="auto", target_column=target or "default-target"
        )
    except KeyError as error:
        raise UserError(
            f"OpenML data set {number} has no column {plain(target)}.",
            came=plain(error),
            expected="the name of one of its columns, as its page on openml.org lists them",
        ) from None
    except Exception as error:  # urllib, http, ssl and parser errors of many kinds, all meaning: it could not be had
        raise UserError(
            f"OpenML data set {number} could not be fetched.",
            came=f"{type(error).__name__}: {plain(error)}",
            expected="a network connection, or a copy in scikit-learn's cache, and an id that exists",
            attempt="download it once as CSV and give the file",
        ) from None
    if bunch.target is None or isinstance(bunch.target, pd.DataFrame):
        several = [] if bunch.target is None else list(bunch.target.columns)
        raise UserError(
            f"OpenML data set {number} names {'several targets' if several else 'no target'}.",
            came=plain(", ".join(map(str, several)) or "no target column"),
            expected="--target followed by the name of a column",
        )
    table = as_pandas(bunch.data)
    series = bunch.target.reset_index(drop=True)
    details = getattr(bunch, "details", None) or {}
    digest = frame_sha256(pd.concat([table, series.rename("\0target")], axis=1))
    return Named(table, series, str(series.name), (), str(details.get("name", f"openml_{number}")), digest)
