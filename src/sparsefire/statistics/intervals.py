"""Two-sided intervals of single scores, each as (value, low, high). ``level`` is the confidence, 0.95 by default."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, ndtri, stdtrit

from sparsefire.errors import UserError
from sparsefire.statistics._check import binary, cluster_codes, confidence_checked, vector
from sparsefire.statistics._variance import mean_variance
from sparsefire.statistics.ranks import placement_variance, placements
from sparsefire.statistics.scores import correctness, known, spread_of

Interval = tuple[float, float, float]


def wilson(successes: float, rows: float, level: float = 0.95) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: number of successes, 0 ≤ successes ≤ rows; fractions are allowed (effective numbers).
        rows: number of trials, above 0.
        level: confidence in (0, 1).

    >>> [round(value, 3) for value in wilson(8, 10)]
    [0.8, 0.49, 0.943]
    """
    if not rows > 0 or not 0 <= successes <= rows:
        raise UserError(
            "no such proportion.", came=f"{successes} of {rows}", expected="0 ≤ successes ≤ rows, rows above 0"
        )
    z = float(ndtri(0.5 + confidence_checked(level) / 2))
    p = successes / rows
    middle = (p + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * np.sqrt(p * (1 - p) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    return float(p), float(max(middle - half, 0.0)) if p > 0 else 0.0, float(min(middle + half, 1.0)) if p < 1 else 1.0


def accuracy_interval(correct: Any, level: float = 0.95, clusters: Any = None) -> Interval:
    """Return an accuracy with Wilson's interval; for groups with the effective number of rows.

    Args:
        correct: 1 where right, 0 where wrong [n].
        level: confidence.
        clusters: a label per row [n], or ``None``. The number of rows is divided by the design effect (variance by
            group over binomial variance, at least 1) and by the square of t(C − 1)/z; Korn, Graubard 1998.

    >>> [round(value, 3) for value in accuracy_interval([1, 1, 1, 1, 0])]
    [0.8, 0.376, 0.964]
    """
    values = vector(correct, "correct")
    rows, p = len(values), float(values.mean())
    if clusters is None:
        return wilson(float(values.sum()), rows, level)
    variance, _, groups, _ = mean_variance(values, p, clusters)
    effect = max(1.0, variance * rows / (p * (1 - p))) if 0 < p < 1 else rows / groups  # nothing varies: count groups
    half = 0.5 + confidence_checked(level) / 2
    effective = rows / effect * (float(ndtri(half)) / float(stdtrit(groups - 1, half))) ** 2
    return wilson(p * effective, effective, level)


def mean_interval(values: Any, clusters: Any = None, level: float = 0.95) -> Interval:
    """Return a mean with Student's t interval, its variance from group sums where rows come in groups.

    Args:
        values: one number per row [n], n ≥ 2.
        clusters: a label per row [n], or ``None``.
        level: confidence.

    >>> [round(value, 2) for value in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    x = vector(values, "values")
    mean, error, degrees = _mean_error(x, clusters)
    half = float(stdtrit(degrees, 0.5 + confidence_checked(level) / 2)) * error
    return mean, mean - half, mean + half


def auc_interval(target: Any, score: Any, level: float = 0.95, clusters: Any = None) -> Interval:
    """Return an AUC with DeLong's variance on the logit scale, by t with min(n₊, n₋) − 1 degrees of freedom.

    Args:
        target: 0 or 1 per row [n], both present.
        score: higher means rather 1 [n].
        level: confidence.
        clusters: a label per row [n] (variance of Obuchowski 1997, doi:10.2307/2533958), or ``None``.

    Where the variance shows nothing (AUC 0 or 1, or a class of one row) Wilson's interval with the rarer class stands
    in. Logit: Qin, Hotilovac 2008, doi:10.1177/0962280207087173.

    >>> value, low, high = auc_interval([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    >>> round(value, 3), 0 < low < value < high < 1
    (0.889, True)
    """
    positive = binary(target)
    rows = len(positive)
    u, v = placements(positive, vector(score, "score", rows)[:, None])
    area = float(u.mean())
    codes, groups = (None, None) if clusters is None else cluster_codes(clusters, rows)
    variance, degrees = placement_variance(u[:, 0], v[:, 0], positive, codes, groups or 0)
    if not np.isfinite(variance) or variance <= 1e-24 or not 1e-12 < area < 1 - 1e-12:
        fewest = degrees + 1 if np.isfinite(variance) else 1
        return wilson(min(max(area, 0.0), 1.0) * fewest, fewest, level)
    middle = np.log(area / (1 - area))
    half = float(stdtrit(degrees, 0.5 + confidence_checked(level) / 2)) * np.sqrt(variance) / (area * (1 - area))
    return area, float(expit(middle - half)), float(expit(middle + half))


def r2_interval(target: Any, prediction: Any, level: float = 0.95, clusters: Any = None) -> Interval:
    """Return an R² with the delta method on the scale log(1 − R²), by t.

    Args:
        target: true values [n], not all equal.
        prediction: predicted values [n].
        level: confidence.
        clusters: a label per row [n], or ``None``.

    The influence value of log(MSE/v) is e²/MSE − (y − ȳ)²/v, v = mean (y − ȳ)². The upper end stays below 1.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=300)
    >>> value, low, high = r2_interval(y, y + 0.5 * rng.normal(size=300))
    >>> 0.6 < low < value < high < 0.9
    True
    """
    y = vector(target, "target")
    squares = np.square(y - vector(prediction, "prediction", len(y)))
    spread, loss = spread_of(y), float(squares.mean())
    if loss <= 1e-24 * spread:
        confidence_checked(level)
        return 1.0, 1.0, 1.0
    _, error, degrees = _mean_error(squares / loss - np.square(y - y.mean()) / spread, clusters)
    factor = np.exp(float(stdtrit(degrees, 0.5 + confidence_checked(level) / 2)) * error)
    return float(1 - loss / spread), float(1 - loss / spread * factor), float(1 - loss / spread / factor)


def score_interval(name: str, target: Any, prediction: Any, level: float = 0.95, clusters: Any = None) -> Interval:
    """Return a score by its name (``"accuracy"``, ``"auc"``, ``"r2"``) with its interval.

    >>> score_interval("accuracy", [0, 1], [0, 1])[0]
    1.0
    """
    if known(name) == "accuracy":
        return accuracy_interval(correctness(target, np.asarray(prediction).reshape(-1)), level, clusters)
    return (auc_interval if name == "auc" else r2_interval)(target, prediction, level, clusters)


def _mean_error(x: np.ndarray, clusters: Any) -> tuple[float, float, int]:
    rows = len(x)
    if rows < 2:
        raise UserError("one row has no variance.", came=f"{rows} rows", expected="at least 2")
    mean = float(x.mean())
    variance, _, units, _ = mean_variance(x, mean, clusters)
    return mean, variance**0.5, units - 1
