"""The two doors for data: a file or a name on the command line, arrays or tables in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.assemble import ROLES, are_names, array_problem, column, roles_of, table_problem, values_of
from sparsefire.data.bounded import existing
from sparsefire.data.bundled import BUNDLED, bundled, openml
from sparsefire.data.detect import find_target
from sparsefire.data.frames import as_pandas, frame_sha256
from sparsefire.data.problem import Problem
from sparsefire.data.read_arrays import read_npz, standard_inputs
from sparsefire.data.read_table import ENDINGS, ending, read_table, unknown_ending
from sparsefire.data.words import command, nearest, plain
from sparsefire.errors import UserError

_DENSE_LIMIT = 10**8  # values of a sparse matrix that are spread out: 400 MB


def open_problem(
    source: str | Path | Any | None = None,
    *,
    target: str | None = None,
    cluster: Any = None,
    time: Any = None,
    site: Any = None,
    group: Any = None,
    task: str | None = None,
    score: str | None = None,
) -> Problem:
    """Read data, find out what they are, and check them.

    Args:
        source: path of a .csv, .tsv (also .gz), .parquet or .npz file; ``openml:ID``; ``digits`` (the default),
            ``breast_cancer``, ``iris``, ``wine`` or ``diabetes``; or a pandas or polars table.
        target: column to predict; without it a column called target, label, class or y is taken, never another.
        cluster: column whose equal values mark rows that belong together, such as a patient.
        time: column of numbers or dates; the latest rows become the test set.
        site: column of places; one of them is left out as the test set.
        group: column or list of columns by whose levels the result is compared. Cluster, time, site and group may also
            be one value per row (a list, an array or a series), or a mapping from names to such values.
        task: ``classification`` or ``regression``, in place of what is detected.
        score: ``accuracy``, ``auc`` or ``r2``, in place of the default.

    Returns:
        A :class:`Problem`. In NPZ files the names stand for arrays with one value per row.

    Raises:
        UserError: for anything wrong with the data or the names; it says what came, what was expected and what to try.

    >>> problem = open_problem("iris")
    >>> problem.rows, problem.task, problem.classes
    (150, 'classification', ('setosa', 'versicolor', 'virginica'))
    """
    if target is not None and not isinstance(target, str):
        raise UserError("target is no name.", came=type(target).__name__, expected="a column; values are given as y")
    options = {"target": target, "cluster": cluster, "time": time, "site": site, "group": group}
    if source is None:
        source = "digits"
    if not isinstance(source, str | Path):
        frame = as_pandas(source)
        return _from_frame(frame, None, "the table", "data", frame_sha256(frame), options, task, score)
    text = str(source)
    if text.startswith("openml:"):
        found = openml(text.removeprefix("openml:"), target)
    elif text in BUNDLED and not Path(text).is_file():  # a folder of this name may hold its results
        found = bundled(text)
    else:
        return _from_file(Path(source), options, task, score)
    own = target in (None, found.target_name)
    options["target"] = target or found.target_name
    frame = found.frame.assign(**{found.target_name: found.target})
    classes = found.classes if own else ()
    return _from_frame(frame, text, text, found.name, found.sha256, options, task, score, classes)


def problem_from_arrays(
    X: Any,
    y: Any,
    *,
    name: str = "data",
    target_name: str | None = None,
    cluster: Any = None,
    time: Any = None,
    site: Any = None,
    group: Any = None,
    task: str | None = None,
    score: str | None = None,
    feature_names: Sequence[str] = (),
) -> Problem:
    """Return the problem of inputs and target that are already in memory.

    Args:
        X: pandas or polars table; or array (or nested list) [rows, features], [rows, height, width] or images with 1, 3
            or 4 channels, first or last; or a SciPy sparse matrix of at most 100 million cells.
        y: one value per row (list, array, series), or the name of a column of the table. A column that is called as the
            target, the cluster, the time or the site is no input.
        name: of the data, for reports.
        target_name: for reports; the name of the series by default, else ``target``.
        cluster, time, site, group: as in :func:`open_problem`.
        task, score: as in :func:`open_problem`.
        feature_names: of the columns of a 2-D array.

    Raises:
        UserError: as in :func:`open_problem`, and for lengths that differ.

    >>> problem_from_arrays([[0.0, 1.0], [2.0, 3.0]], ["no", "yes"]).classes
    ('no', 'yes')
    """
    is_table = hasattr(X, "columns")
    frame = as_pandas(X) if is_table else pd.DataFrame()

    def find(role: str, given: str) -> pd.Series:
        return column(frame, given, "the table" if is_table else "the array", lambda close: f"{role}={close!r}")

    own_name, values = values_of(y, "target", find)
    target = target_name or own_name, values
    given = {"cluster": cluster, "time": time, "site": site, "group": group}
    roles = roles_of(given, len(values), frame.columns, find)
    common: dict[str, Any] = {"name": name, "task": task, "score": score}
    if is_table:
        digest = frame_sha256(pd.concat([frame, values.rename("\0target")], axis=1))
        table = frame.drop(columns=[own_name, *roles.names], errors="ignore")
        return table_problem(table, target, roles, sha256=digest, **common)
    array = _dense(X)
    hasher = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    hasher.update(frame_sha256(values.to_frame("target")).encode())
    inputs, scaled = standard_inputs(array, "the array")
    names = tuple(str(feature) for feature in feature_names)
    if names and (inputs.ndim != 2 or len(names) != inputs.shape[1]):
        raise UserError(
            "feature_names does not fit the inputs.", came=f"{len(names)} names", expected=f"{inputs.shape[1]}"
        )
    return array_problem(inputs, scaled, target, roles, sha256=hasher.hexdigest(), feature_names=names, **common)


def _from_file(path: Path, options: dict[str, Any], task: str | None, score: str | None) -> Problem:
    kind = ending(path)
    shown = path.name.removesuffix(path.name[len(path.name) - len(kind) :]) if kind else path.name
    if "://" in str(path) or ":/" in str(path)[:8]:
        raise UserError("data are not fetched from an address.", came=plain(path), expected="a file on this machine")
    if kind not in (*ENDINGS, ".npz") and not path.is_dir():
        if not path.exists() and not kind:
            close = nearest(str(path), BUNDLED)
            raise UserError(
                f"{plain(path)} is neither a file nor a known data set.",
                came=plain(path),
                expected=f"a file ending in {', '.join(ENDINGS)} or .npz, openml:ID, or one of {', '.join(BUNDLED)}",
                attempt=command(close or "digits"),
            )
        raise unknown_ending(path)
    existing(path, "the path of a data file, or the name of a data set such as digits")
    if kind != ".npz":
        table = read_table(path)
        return _from_frame(
            table.frame, str(path), path.name, shown, table.sha256, options, task, score, (), table.notes
        )
    given = [one if isinstance(one := options[role], list | tuple) else [one] for role in ROLES]
    named = dict.fromkeys(name for one in given for name in one if isinstance(name, str))
    arrays = read_npz(path, target=options["target"], roles=tuple(named))
    roles = roles_of(options, len(arrays.target), arrays.roles, lambda role, name: pd.Series(arrays.roles[name]))
    return array_problem(
        arrays.inputs,
        arrays.scaled,
        (arrays.target_name, pd.Series(arrays.target)),
        roles,
        name=shown,
        sha256=arrays.sha256,
        classes=arrays.classes,
        feature_names=arrays.feature_names,
        test_rows=arrays.test_rows,
        task=task,
        score=score,
        notes=arrays.notes,
    )


def _from_frame(
    frame: pd.DataFrame,
    source: str | None,
    label: str,
    name: str,
    sha256: str,
    options: dict[str, Any],
    task: str | None,
    score: str | None,
    classes: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Problem:
    """Take target and roles out of a table by their names."""
    names = [str(one) for one in frame.columns]
    named = {k: v for k, v in options.items() if isinstance(v, str) or are_names(v, len(frame), names)}
    target = options["target"] or find_target(names, label, command(source, **{**named, "target": "COLUMN"}))
    if not options["target"]:
        notes = (*notes, f"the target {plain(target)} was found by its name")

    def find(role: str, name: str) -> pd.Series:
        def attempt(close: str) -> str:
            given = named.get(role, name)
            right = close if isinstance(given, str) else [close if one == name else one for one in given]
            return command(source, **{**named, role: right})

        return column(frame, name, label, attempt)

    chosen = target, find("target", target)
    roles = roles_of(options, len(frame), names, find)
    inputs = frame.drop(columns=[target, *roles.names], errors="ignore")
    return table_problem(
        inputs, chosen, roles, name=name, sha256=sha256, classes=classes, task=task, score=score, notes=notes
    )


def _dense(X: Any) -> np.ndarray:
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        cells = int(np.prod(X.shape))
        if cells > _DENSE_LIMIT:
            raise UserError(
                "the sparse matrix is too large to be spread out.",
                came=f"shape {X.shape}, {cells:,} cells",
                expected=f"at most {_DENSE_LIMIT:,} cells",
                attempt="keep the columns that are used most",
            )
        return np.asarray(X.toarray())
    try:
        return np.asarray(X)
    except ValueError:
        raise UserError(
            "the inputs are no rectangular array.", came="rows of different length", expected="[rows, features]"
        ) from None
