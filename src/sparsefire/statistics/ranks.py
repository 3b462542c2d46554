"""Areas under the ROC curve by midranks: placement values, their variance, and its form for grouped rows.

DeLong, DeLong, Clarke-Pearson 1988, doi:10.2307/2531595; midranks: Sun, Xu 2014, doi:10.1109/LSP.2014.2337313;
groups: Obuchowski 1997, doi:10.2307/2533958.
"""

from __future__ import annotations

import numpy as np


def placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return placement values of every row, per column of scores.

    Args:
        positive: which rows are of class 1, bool [n], both classes present.
        scores: higher means rather class 1, float [n, k].

    Returns:
        ``(u, v)``: for each positive row the fraction of negatives below it [n₊, k], for each negative row the
        fraction of positives above it [n₋, k]; ties count one half. The mean of either is the AUC of that column.
        Costs one sort.

    >>> u, v = placements(np.array([True, True, False]), np.array([[0.9], [0.2], [0.2]]))
    >>> u[:, 0].tolist(), v[:, 0].tolist()
    ([1.0, 0.5], [0.75])
    """
    count = int(positive.sum())
    u, v = np.empty((count, scores.shape[1])), np.empty((len(positive) - count, scores.shape[1]))
    for column, values in enumerate(scores.T):
        order = np.argsort(values)
        ordered, ones = values[order], positive[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))  # of runs of tied scores
        ends = np.append(starts[1:], len(ordered))
        below = np.concatenate([[0], np.cumsum(ones)])  # positives before each place
        middle = 0.5 * (below[starts] + below[ends])  # positives below a run, plus half of those in it
        place = np.empty(len(ordered))
        place[order] = np.repeat(middle, ends - starts)
        both = np.empty(len(ordered))
        both[order] = np.repeat(0.5 * (starts + ends), ends - starts)
        u[:, column] = (both - place)[positive] / len(v)
        v[:, column] = 1.0 - place[~positive] / count
    return u, v


def placement_variance(
    u: np.ndarray, v: np.ndarray, positive: np.ndarray, codes: np.ndarray | None = None, groups: int = 0
) -> tuple[float, int]:
    """Return the variance of an AUC, or of a difference of AUCs, and its degrees of freedom.

    Args:
        u: placement values of positives (or their differences between two scores), [n₊].
        v: placement values of negatives, [n₋].
        positive: which rows are of class 1, bool [n].
        codes: group of every row, ints in [0, groups), [n]; ``None`` for independent rows.
        groups: number of groups.

    Returns:
        ``(variance, degrees)``. Independent rows: var(u)/n₊ + var(v)/n₋ with min(n₊, n₋) − 1. Groups: Obuchowski's sum
        of squares and products of the sums per group, with one less than the smaller number of groups that hold a
        class. A class of a single row (or group) shows no variance: the result is infinite.
    """
    du, dv = u - u.mean(), v - v.mean()
    if codes is None:
        sizes = (len(u), len(v))
        if min(sizes) < 2:
            return np.inf, 1
        return float(
            np.square(du).sum() / (len(u) * (len(u) - 1)) + np.square(dv).sum() / (len(v) * (len(v) - 1))
        ), min(sizes) - 1
    code_u, code_v = codes[positive], codes[~positive]
    sum_u = np.bincount(code_u, weights=du, minlength=groups) / len(u)
    sum_v = np.bincount(code_v, weights=dv, minlength=groups) / len(v)
    with_u, with_v = len(np.unique(code_u)), len(np.unique(code_v))
    if min(with_u, with_v) < 2:
        return np.inf, 1
    variance = (
        with_u / (with_u - 1) * np.square(sum_u).sum()
        + with_v / (with_v - 1) * np.square(sum_v).sum()
        + 2 * groups / (groups - 1) * (sum_u * sum_v).sum()
    )
    return float(max(variance, 0.0)), min(with_u, with_v) - 1
