"""Do curves of risk against queries fall together, and what does a query cost beside a gradient?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]


def curves(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Return log queries [looks] and log risks [replicates, looks]."""
    return np.log(record["queries"]), np.log(record["risks"])


def reached(record: Record, target: float) -> np.ndarray:
    """Return log queries at which each replicate first has this risk, by log-linear interpolation; NaN if it has not.

    >>> one = {"queries": [1, 10, 100], "risks": [[1.0, 0.1, 0.01], [1.0, 1.0, 1.0]]}
    >>> np.exp(reached(one, 10**-0.5)).round(3).tolist()
    [3.162, nan]
    """
    x, y = curves(record)
    found = np.full(len(y), np.nan)
    for r, row in enumerate(y):
        below = np.flatnonzero(row <= np.log(target))
        if len(below):
            k = below[0]
            share = 0.0 if k == 0 else (row[k - 1] - np.log(target)) / (row[k - 1] - row[k])
            found[r] = x[k] if k == 0 else x[k - 1] + share * (x[k] - x[k - 1])
    return found


def exponent(logs: np.ndarray, sizes: Sequence[float]) -> np.ndarray:
    """Return per replicate the slope of log queries [arms, replicates] on log size; NaN with an arm missing.

    >>> exponent(np.log([[1.0], [4.0]]), [3, 6]).round(6).tolist()
    [2.0]
    """
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    return (x[:, None] * logs).sum(0) / (x**2).sum()


def apart(logs: np.ndarray, sizes: Sequence[float], power: float) -> np.ndarray:
    """Return per replicate the deviation over arms of log(queries / size^power), [replicates].

    It is 0 where curves fall together at equal queries / size^power; exp of it is a factor in queries.
    """
    moved = logs - power * np.log(np.asarray(sizes, float))[:, None]
    return moved.std(0, ddof=1)


def spread(records: Sequence[Record], sizes: Sequence[float], power: float, points: int = 12) -> np.ndarray:
    """Return per replicate the deviation over arms of log risk at equal queries / size^power, over their common range.

    Args:
        records: one per arm.
        sizes: of the arms.
        power: 0 compares at equal queries, 1 at equal queries per weight.
        points: abscissas, evenly on the log axis.
    """
    logs = np.log(np.asarray(sizes, float)) * power
    both = [curves(one) for one in records]
    low = max(x[0] - shift for (x, _), shift in zip(both, logs, strict=True))
    high = min(x[-1] - shift for (x, _), shift in zip(both, logs, strict=True))
    grid = np.linspace(low, high, points)
    values = np.array(
        [[np.interp(grid + shift, x, row) for row in y] for (x, y), shift in zip(both, logs, strict=True)]
    )
    return values.std(0, ddof=1).mean(1)


def price(record: Record, gradient: Record, target: float) -> np.ndarray:
    """Return per replicate how many losses stand for one gradient on the way to a risk: of a batch, or of a row."""
    rows = record["rows"] if record["rule"] == "node-perturbation" else 1
    return np.exp(reached(record, target) - reached(gradient, target)) / rows
