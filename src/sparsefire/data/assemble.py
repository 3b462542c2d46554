"""From a raw table or raw arrays to a checked :class:`~sparsefire.data.problem.Problem`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.detect import Target, detect_score, detect_target
from sparsefire.data.frames import as_series, canonical
from sparsefire.data.identifiers import repeating_identifiers, row_identifiers
from sparsefire.data.problem import Column, Problem
from sparsefire.data.roles import encode_cluster, encode_group, encode_site, encode_time
from sparsefire.data.words import columns, listing, nearest, plain, plural, quote
from sparsefire.errors import UserError


@dataclass(frozen=True)
class Roles:
    """Raw values of the columns that are no inputs, with their names."""

    cluster: tuple[str, pd.Series] | None = None
    time: tuple[str, pd.Series] | None = None
    site: tuple[str, pd.Series] | None = None
    groups: dict[str, pd.Series] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Return the names of cluster, time and site, which are not inputs (a group may be one)."""
        return [role[0] for role in (self.cluster, self.time, self.site) if role]


ROLES = ("cluster", "time", "site", "group")
Find = Callable[[str, str], pd.Series]  # from a role and a name to a column


def column(frame: pd.DataFrame, name: str, source: str, attempt: Callable[[str], str]) -> pd.Series:
    """Return a column by name, or say which name was probably meant.

    Args:
        frame: the table.
        name: the column.
        source: name of the data, for the message.
        attempt: makes the text to paste from the right name.
    """
    if name in frame.columns:
        return frame[name]
    names = [str(other) for other in frame.columns]
    close = nearest(name, names)
    raise UserError(
        f"{plain(source)} has no column {quote(name)}.",
        came=columns(names),
        expected="the name of one of them" if names else "one value per row, or a table with names",
        attempt=attempt(close or "COLUMN") if names else "",
    )


def values_of(given: Any, role: str, find: Find) -> tuple[str, pd.Series]:
    """Return name and values of what is given as the name of a column or as one value per row.

    Args:
        given: a name, or a list, an array or a series (which brings its own name).
        role: what the values are called where they bring no name.
        find: returns a column by role and name, or raises.
    """
    if isinstance(given, str):
        return given, find(role, given)
    series = as_series(given)
    return str(role if series.name in (None, "") else series.name), series


def are_names(given: Any, rows: int, names: Collection[str]) -> bool:
    """Say whether a list means columns by their names, and is not one text per row.

    >>> are_names(["age", "sex"], 40, ["age", "sex"]), are_names(["f", "m"] * 20, 40, ["age", "sex"])
    (True, False)
    """
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        return False
    return len(given) != rows or (set(given) <= set(names) and len(set(given)) == len(given))


def roles_of(given: Mapping[str, Any], rows: int, names: Collection[str], find: Find) -> Roles:
    """Return the roles from what a person gave for each.

    Args:
        given: for ``cluster``, ``time``, ``site`` and ``group``: None, the name of a column, a list of names, one value
            per row (a list, an array or a series), or a mapping from names to such values.
        rows: how many there are.
        names: of the columns.
        find: returns a column by role and name, or raises.

    Raises:
        UserError: for a name that is not there, values that are no column, and several columns for one role.

    >>> given = {"cluster": [7, 7, 8], "time": None, "site": None, "group": {"sex": ["f", "m", "f"]}}
    >>> roles = roles_of(given, 3, [], find=None)
    >>> roles.cluster[0], list(roles.groups)
    ('cluster', ['sex'])
    """
    found: dict[str, dict[str, pd.Series]] = {}
    for role in ROLES:
        one = given[role]
        if one is None:
            found[role] = {}
        elif isinstance(one, Mapping):
            found[role] = {str(name): as_series(values) for name, values in one.items()}
        elif are_names(one, rows, names):
            found[role] = {name: find(role, name) for name in one}
        else:
            found[role] = dict([values_of(one, role, find)])
        if role != "group" and len(found[role]) > 1:
            raise UserError(f"{role} is one column.", came=listing(found[role]), expected="a single name")
    groups = found.pop("group")
    return Roles(**{role: next(iter(columns.items()), None) for role, columns in found.items()}, groups=groups)


def refuse_clashes(target: str, roles: Roles) -> None:
    """Stop where one column is asked to be two things, or where two ways of splitting exclude each other."""
    given = {"target": target}
    given |= {kind: role[0] for kind in ("cluster", "time", "site") if (role := getattr(roles, kind))}
    for kind, name in list(given.items()):
        other = next((k for k, n in given.items() if n == name and k != kind), None)
        if other:
            raise UserError(
                f"the column {quote(name)} cannot be both {kind} and {other}.",
                came=f"--{kind} {plain(name)} --{other} {plain(name)}",
                expected="a different column for each",
            )
    if target in roles.groups:
        raise UserError(f"the target {quote(target)} cannot also be a group.", expected="a column of the inputs")
    if roles.time and roles.site:
        raise UserError(
            "--time and --site cannot be used together: the test set is either the latest rows or one site.",
            came=f"--time {plain(roles.time[0])} --site {plain(roles.site[0])}",
            expected="one of them",
        )


def table_problem(
    frame: pd.DataFrame,
    target: tuple[str, pd.Series],
    roles: Roles,
    *,
    name: str,
    sha256: str,
    classes: tuple[str, ...] = (),
    task: str | None = None,
    score: str | None = None,
    notes: tuple[str, ...] = (),
) -> Problem:
    """Return the problem of a table.

    Args:
        frame: the inputs, from which target, cluster, time and site are already removed.
        target: its name and raw values.
        roles: raw values of cluster, time, site and groups.
        name: of the data.
        sha256: of its bytes.
        classes: names of the codes, where the source gives them.
        task: to override what is detected.
        score: to override the default.
        notes: from reading.
    """
    refuse_clashes(target[0], roles)
    if len(frame) != len(target[1]):
        raise _lengths(len(frame), len(target[1]))
    found = detect_target(target[1], target[0], task=task, classes=classes)
    chosen = detect_score(found, target[0], score)
    encoded = _encoded(roles, len(frame))
    more = list(notes) + list(found.notes)
    unique = [column for column in row_identifiers(frame) if column not in roles.groups]
    frame = frame.drop(columns=unique)
    if unique:
        more.append(f"left out, as nearly every row has its own value: {listing(unique)}")
    repeating = [found for found in repeating_identifiers(frame) if found[0] not in roles.groups]
    sure = [found[0] for found in repeating if found[2]]
    frame = frame.drop(columns=sure)
    for column_name, distinct, named in repeating:
        what = f"{plain(column_name)} ({plural(distinct, 'value')})"
        more.append(f"left out, as it is called an identifier: {what}" if named else f"an identifier? {what}")
    if not len(frame.columns):
        raise UserError(
            f"{plain(name)} has no inputs left.",
            came=f"left out: {listing([target[0], *roles.names, *unique, *sure])}",
            expected="at least one more column, to predict the target from",
        )
    inputs, kinds = canonical(frame)
    more += _column_notes(kinds, roles)
    return Problem(
        name=name,
        inputs=inputs,
        target=found.values,
        task=found.task,
        classes=found.classes,
        labels=found.labels,
        target_name=target[0],
        score=chosen,
        columns=kinds,
        identifiers=tuple(found[0] for found in repeating if roles.cluster is None),
        ignored=tuple(dict.fromkeys([target[0], *roles.names, *unique, *sure])),
        notes=tuple(more),
        sha256=sha256,
        **encoded,
    )


def array_problem(
    inputs: np.ndarray,
    scaled: bool,
    target: tuple[str, pd.Series],
    roles: Roles,
    *,
    name: str,
    sha256: str,
    classes: tuple[str, ...] = (),
    feature_names: tuple[str, ...] = (),
    test_rows: np.ndarray | None = None,
    task: str | None = None,
    score: str | None = None,
    notes: tuple[str, ...] = (),
) -> Problem:
    """Return the problem of arrays that :func:`~sparsefire.data.read_arrays.standard_inputs` has brought to form."""
    refuse_clashes(target[0], roles)
    if len(inputs) != len(target[1]):
        raise _lengths(len(inputs), len(target[1]))
    found: Target = detect_target(target[1], target[0], task=task, classes=classes)
    return Problem(
        name=name,
        inputs=inputs,
        target=found.values,
        task=found.task,
        classes=found.classes,
        labels=found.labels,
        target_name=target[0],
        score=detect_score(found, target[0], score),
        feature_names=feature_names,
        test_rows=test_rows,
        scaled=scaled,
        ignored=tuple(dict.fromkeys([target[0], *roles.names, *roles.groups])),
        notes=(*notes, *found.notes),
        sha256=sha256,
        **_encoded(roles, len(inputs)),
    )


def _encoded(roles: Roles, total: int) -> dict[str, Any]:
    for name, values in [*(r for r in (roles.cluster, roles.time, roles.site) if r), *roles.groups.items()]:
        if len(values) != total:
            raise UserError(
                f"{quote(name)} has not one value per row.", came=f"{len(values):,} values", expected=f"{total:,}"
            )
    encoded: dict[str, Any] = {}
    if roles.cluster:
        encoded |= {"cluster": encode_cluster(roles.cluster[1], roles.cluster[0]), "cluster_name": roles.cluster[0]}
    if roles.time:
        encoded |= {"time": encode_time(roles.time[1], roles.time[0]), "time_name": roles.time[0]}
    if roles.site:
        codes, names = encode_site(roles.site[1], roles.site[0])
        encoded |= {"site": codes, "site_names": names, "site_name": roles.site[0]}
    encoded["groups"] = {name: encode_group(values, name) for name, values in roles.groups.items()}
    return encoded


def _column_notes(kinds: tuple[Column, ...], roles: Roles) -> list[str]:
    notes = []
    dates = [kind.name for kind in kinds if kind.date]
    if dates:
        hint = "" if roles.time else f"; if new rows will be later ones, give --time {plain(dates[0])}"
        notes.append(f"dates taken as seconds since 1970: {listing(dates)}{hint}")
    for kind in kinds:
        if kind.not_numbers:
            notes.append(f"{plain(kind.name)} is taken as numbers; as missing count: {listing(kind.not_numbers)}")
    ranked = [kind.name for kind in kinds if kind.kind == "category" and len(kind.categories) > 50]
    if ranked:
        notes.append(f"more than 50 levels, given as one number each: {listing(ranked)}")
    for name in roles.groups:
        if any(kind.name == name for kind in kinds):
            notes.append(f"{plain(name)} is compared by group and is an input too; remove the column to hide it")
    return notes


def _lengths(inputs: int, target: int) -> UserError:
    return UserError(
        "inputs and target differ in length.",
        came=f"{inputs:,} rows of inputs, {target:,} target values",
        expected="one target value for each row of inputs",
    )
