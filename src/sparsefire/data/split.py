"""Which rows are for testing, and which are held out in turn: by class, cluster, time or site."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.data.enough import lacking, refuse_lacking, refuse_lost_class, refuse_rare_class
from sparsefire.data.problem import Problem
from sparsefire.data.sites import choose_site, site_folds
from sparsefire.data.words import listing, plain, plural, quote
from sparsefire.errors import UserError
from sparsefire.randomness import entropy, stream

TEST_SHARE = 0.2
_TRIES = 32  # random orders of the clusters, of which the most balanced is taken

Fold = tuple[np.ndarray, np.ndarray]


def split_test(problem: Problem, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    """Set the test rows aside.

    Args:
        problem: the data with their roles.
        rng: see :func:`sparsefire.randomness.entropy`; the same int gives the same split.

    Returns:
        Development rows and test rows, sorted, disjoint. Without roles: 20 % of the rows, rounded up, by class. With a
        cluster: whole clusters, about 20 % of the rows, of the most balanced among 32 random choices. With a time: the
        latest 20 %, rows of one moment staying together. With a site: all rows of one site, one of those nearest to
        20 %. A source with its own test set keeps it. Development rows whose cluster is also in the test set are left
        out (possible with a time, a site, or an own test set), so the two need not exhaust the rows then.

    Raises:
        UserError: where a class, the rows, the clusters, the moments or the sites are too few to learn from, or to
            estimate the score of the test rows and its error.

    >>> from sparsefire.data.read import open_problem
    >>> development, test = split_test(open_problem("digits"), 0)
    >>> len(development), len(test)
    (1437, 360)
    """
    rows = np.arange(problem.rows)
    if problem.test_rows is not None:
        test = np.asarray(problem.test_rows)
    elif problem.time is not None:
        test = _latest(problem)
    elif problem.site is not None:
        test = np.flatnonzero(problem.site == choose_site(problem, stream(rng, "test site"), TEST_SHARE))
    elif problem.cluster is not None:
        test = _test_clusters(problem, stream(rng, "test clusters"))
    else:
        test = _stratified_test(problem, stream(rng, "test rows"))
    development = np.setdiff1d(rows, test)
    if problem.cluster is not None:
        development = development[~np.isin(problem.cluster[development], problem.cluster[test])]
    if len(development) < 2 or len(test) < 1:
        raise UserError(
            f"{plain(problem.name)} has too few rows for a test set.",
            came=f"{plural(problem.rows, 'row')}: {len(development):,} for development, {len(test):,} for the test",
            expected="at least 2 and 1",
        )
    refuse_lost_class(problem, development, "the rows for development")
    refuse_lacking(problem, test, "the test rows", TEST_SHARE)
    refuse_lacking(problem, development, "the rows for development")
    return development, np.sort(test)


def folds(problem: Problem, rows: np.ndarray, k: int, rng: Any) -> list[Fold]:
    """Hold out each part of some rows in turn.

    Args:
        problem: the data with their roles.
        rows: row numbers to divide, such as the development rows.
        k: how many parts, at least 2.
        rng: the same int gives the same folds; another one, another round.

    Returns:
        Pairs (training rows, held-out rows), sorted, disjoint, as numbers into all rows of the problem. Every training
        part holds every class. Without roles the k held-out parts exhaust ``rows`` and are balanced by class; with a
        cluster no cluster is on both sides. With a time, the k held-out parts follow each other and each training part
        is all that came strictly before, so the earliest rows are never held out and ``rng`` changes nothing. With a
        site, whole sites are held out: each in turn, or in k lots where there are more than k; fewer sites make fewer
        folds. Where a time or site is combined with a cluster, training rows of a cluster that is also held out are
        left out.

    Raises:
        UserError: where a class has fewer rows than k, or the rows, clusters, moments or sites are too few, also for
            an estimate of the score of all held-out rows together and of its error.

    >>> from sparsefire.data.read import open_problem
    >>> parts = folds(open_problem("iris"), np.arange(150), 5, rng=0)
    >>> [len(held_out) for _, held_out in parts]
    [30, 30, 30, 30, 30]
    """
    rows = np.sort(np.asarray(rows))
    if k < 2:
        raise UserError(f"{plural(k, 'fold')} cannot be held out in turn.", came=f"{k}", expected="2 folds or more")
    if len(rows) < 2 * k:
        raise UserError(
            f"{plain(problem.name)} has too few rows for {k} folds.",
            came=f"{plural(len(rows), 'row')} for development",
            expected=f"at least {2 * k}",
            attempt="fewer folds, or more rows",
        )
    refuse_rare_class(problem, rows, k)
    if problem.time is not None:
        parts = _forward(problem, rows, k)
    elif problem.site is not None:
        parts = site_folds(problem, rows, k, stream(rng, "folds"))
    elif problem.cluster is not None:
        parts = _cluster_folds(problem, rows, k, rng)
    else:
        parts = _stratified_folds(problem, rows, k, stream(rng, "folds"))
    if problem.cluster is not None:
        codes = problem.cluster
        parts = [(train[~np.isin(codes[train], codes[held])], held) for train, held in parts]
    refuse_lacking(problem, np.concatenate([held for _, held in parts]), "the rows held out in turn")
    for number, (train, _) in enumerate(parts, 1):
        refuse_lost_class(problem, train, f"the training part of fold {number} of {len(parts)}")
    return parts


def describe_split(problem: Problem, test: np.ndarray | None = None) -> str:
    """Return in a few words how the test rows are chosen.

    Args:
        problem: the data with their roles.
        test: the test rows, to name the site that was left out.

    >>> from sparsefire.data.read import open_problem
    >>> describe_split(open_problem("iris")), describe_split(open_problem("diabetes"))
    ('stratified', 'drawn at random')
    """
    if problem.test_rows is not None:
        return "the file's own test set"
    if problem.time is not None:
        return f"the latest rows by {plain(problem.time_name)}"
    if problem.site is not None:
        if test is None or not len(test):
            return f"one {plain(problem.site_name)} left out"
        return f"{plain(problem.site_name)} {plain(problem.site_names[int(problem.site[test[0]])])} left out"
    if problem.cluster is not None:
        return f"by {plain(problem.cluster_name)}"
    return "stratified" if problem.task == "classification" else "drawn at random"


def _strata(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """Return class codes of the rows; one class for regression."""
    return problem.target[rows] if problem.task == "classification" else np.zeros(len(rows), np.int64)


def _stratified_test(problem: Problem, generator: np.random.Generator) -> np.ndarray:
    rows = np.arange(problem.rows)
    strata = _strata(problem, rows)
    counts = np.bincount(strata)
    single = np.flatnonzero(counts == 1)
    if problem.task == "classification" and len(single):
        raise UserError(
            f"the class {quote(problem.classes[int(single[0])])} of {quote(problem.target_name)} has one row only.",
            came=listing(f"{name}: {count:,}" for name, count in zip(problem.classes, counts, strict=True)),
            expected="rows of every class for development and for the test",
            attempt="join rare classes, remove them, or --task regression if the target is a quantity",
        )
    total = int(np.ceil(TEST_SHARE * problem.rows - 1e-9))
    exact = counts * total / counts.sum()
    share = np.clip(np.floor(exact), 1, np.maximum(counts - 1, 1)).astype(int)
    order = np.argsort(-(exact - share), kind="stable")  # largest remainders first
    for stratum in order:
        if share.sum() < total and share[stratum] < counts[stratum] - 1:
            share[stratum] += 1
    chosen = [generator.permutation(rows[strata == code])[: share[code]] for code in range(len(counts))]
    return np.concatenate(chosen)


def _stratified_folds(problem: Problem, rows: np.ndarray, k: int, generator: np.random.Generator) -> list[Fold]:
    strata = _strata(problem, rows)
    order = np.concatenate([generator.permutation(rows[strata == code]) for code in np.unique(strata)])
    part = np.empty(problem.rows, np.int64)
    part[order] = generator.permutation(k)[np.arange(len(order)) % k]
    return [(rows[part[rows] != fold], rows[part[rows] == fold]) for fold in range(k)]


def _cluster_table(problem: Problem, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each row, renumbered 0, 1, …, and how many rows of each class each cluster has."""
    assert problem.cluster is not None
    _, codes = np.unique(problem.cluster[rows], return_inverse=True)
    strata = _strata(problem, rows)
    table = np.zeros((int(codes.max()) + 1, int(strata.max()) + 1))
    np.add.at(table, (codes, strata), 1)
    return codes, table


def _test_clusters(problem: Problem, generator: np.random.Generator) -> np.ndarray:
    rows = np.arange(problem.rows)
    codes, table = _cluster_table(problem, rows)
    ideal = TEST_SHARE * table.sum(axis=0)
    best, least = np.empty(0, np.int64), np.inf
    for _ in range(_TRIES):
        order = generator.permutation(len(table))
        sizes = np.cumsum(table[order].sum(axis=1))
        take = max(1, min(int(np.argmin(np.abs(sizes - ideal.sum()))) + 1, len(order) - 2))
        counts = table[order[:take]].sum(axis=0)
        lost = ((counts == 0) | (counts == table.sum(axis=0))) & (table.sum(axis=0) > 0)
        test = rows[np.isin(codes, order[:take])]
        bad = float(lost.sum()) + bool(lacking(problem, test))
        cost = float(np.sum((counts - ideal) ** 2 / np.maximum(ideal, 1))) + 1e6 * bad
        if cost < least:
            best, least = test, cost
    return best


def _cluster_folds(problem: Problem, rows: np.ndarray, k: int, rng: Any) -> list[Fold]:
    codes, table = _cluster_table(problem, rows)
    if len(table) < k:
        raise UserError(
            f"{quote(problem.cluster_name)} has too few values for {k} folds.",
            came=f"{plural(len(table), 'cluster')} among the rows for development",
            expected=f"at least {k}",
            attempt="fewer folds",
        )
    if problem.task == "classification":
        spread = (table > 0).sum(axis=0)
        alone = np.flatnonzero(spread == 1)
        if len(alone):
            raise UserError(
                f"the class {quote(problem.classes[int(alone[0])])} occurs in one {plain(problem.cluster_name)} only.",
                came=listing(f"{problem.classes[i]} in {int(spread[i]):,}" for i in range(len(spread))),
                expected="at least two clusters with rows of each class, so that one can be held out",
            )
    root = entropy(rng)
    part = np.empty(0, np.int64)
    for attempt in range(_TRIES):
        part = _deal(table, k, stream(root, "folds", attempt))
        held = np.stack([table[part == fold].sum(axis=0) for fold in range(k)])
        if not ((held == table.sum(axis=0)) & (table.sum(axis=0) > 0)).any():  # else a training part loses a class
            break
    return [(rows[part[codes] != fold], rows[part[codes] == fold]) for fold in range(k)]


def _deal(table: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Deal clusters to k folds, the largest first, each to the fold that it brings nearest to an equal share."""
    table = np.hstack([table, table.sum(axis=1, keepdims=True)])  # balance the classes and the number of rows
    ideal = np.maximum(table.sum(axis=0) / k, 1e-9)
    weights = 1 / ideal
    order = generator.permutation(len(table))
    order = order[np.argsort(-table[order, -1], kind="stable")]
    held = np.zeros((k, table.shape[1]))
    part = np.empty(len(table), np.int64)
    preference = generator.permutation(k)
    for cluster in order:
        # adding a to h changes Σ (h − ideal)² / ideal by Σ (2 h a + a²) / ideal − 2 Σ a: only h a / ideal differs
        gain = held @ (table[cluster] * weights)
        fold = preference[int(np.argmin(gain[preference]))]
        held[fold] += table[cluster]
        part[cluster] = fold
    return part


def _latest(problem: Problem) -> np.ndarray:
    assert problem.time is not None
    moments, counts = np.unique(problem.time, return_counts=True)
    after = problem.rows - np.cumsum(counts)[:-1]  # rows later than each moment but the last
    if not len(after):
        raise _few_moments(problem, len(moments))
    cut = int(np.argmin(np.abs(after - TEST_SHARE * problem.rows)))
    if after[cut] > 0.5 * problem.rows:
        raise UserError(
            f"{quote(problem.time_name)} cannot be cut near its latest fifth.",
            came=f"{plural(len(moments), 'moment')}, the latest with {counts[-1]:,} of {problem.rows:,} rows",
            expected="moments that differ more finely",
        )
    return np.flatnonzero(problem.time > moments[cut])


def _forward(problem: Problem, rows: np.ndarray, k: int) -> list[Fold]:
    assert problem.time is not None
    order = rows[np.argsort(problem.time[rows], kind="stable")]
    time = problem.time[order]
    cuts = np.flatnonzero(np.diff(time) > 0) + 1  # a part may begin only where the moment changes
    first = len(order) // (k + 1)
    if problem.task == "classification":
        seen = [int(np.argmax(problem.target[order] == code)) for code in np.unique(problem.target[order])]
        first = max(first, max(seen) + 1)
    usable = cuts[cuts >= first]
    if len(usable) < k:
        raise _few_moments(problem, len(cuts) + 1, k)
    ideal = np.linspace(usable[0], len(order), k + 1)[:-1]
    starts: list[int] = []
    for number, wish in enumerate(ideal):
        low = np.searchsorted(usable, starts[-1], side="right") if starts else 0
        choice = usable[low : len(usable) - (k - 1 - number)]  # leave a cut for every part still to come
        starts.append(int(choice[np.argmin(np.abs(choice - wish))]))
    ends = [*starts[1:], len(order)]
    return [(np.sort(order[:start]), np.sort(order[start:end])) for start, end in zip(starts, ends, strict=True)]


def _few_moments(problem: Problem, moments: int, k: int = 1) -> UserError:
    return UserError(
        f"{quote(problem.time_name)} cannot be cut into {k} later parts after a first one that holds every class.",
        came=plural(moments, "different moment"),
        expected="more moments, and rows of every class among the early ones",
        attempt="fewer folds, or a finer time column",
    )
