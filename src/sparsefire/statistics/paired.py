"""The one test on untouched rows: two fitted networks, the same rows, is the chosen one worse by the margin or more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from sparsefire.errors import UserError
from sparsefire.statistics import cautions
from sparsefire.statistics._check import binary, cluster_codes, level_checked, margin_checked, vector
from sparsefire.statistics._variance import mean_variance
from sparsefire.statistics.crossed import FEWEST_GROUPS, r2_differences
from sparsefire.statistics.power import (
    about,
    rows_needed,
    rows_needed_from_error,
    smallest_margin,
    t_power,
    tango_power,
)
from sparsefire.statistics.ranks import placement_variance, placements
from sparsefire.statistics.trinomial import tango_interval


@dataclass(frozen=True)
class PairedTest:
    """A paired one-sided test of score(chosen) − score(dense) ≤ −margin on test rows.

    Attributes:
        estimate: score(chosen) − score(dense).
        lower, upper: ends of the interval, each at one-sided ``level``.
        level, margin, rows: as given.
        passed: lower > −margin, and nothing in ``no_verdict``.
        method: name of the method.
        only_dense, only_chosen: rows that only one of the two gets right (accuracy), else ``None``.
        clusters: number of groups, or ``None``.
        rows_needed: rows that would confirm equal networks with 80 % power, rounded to two digits.
        power: chance that equal networks pass with these rows and this disagreement.
        no_verdict: why the test may not speak; empty if it may.
        warnings: sentences that start with a constant of :mod:`sparsefire.statistics.cautions`.
    """

    estimate: float
    lower: float
    upper: float
    level: float
    margin: float
    rows: int
    passed: bool
    method: str
    only_dense: int | None = None
    only_chosen: int | None = None
    clusters: int | None = None
    rows_needed: int | None = None
    power: float | None = None
    no_verdict: str = ""
    warnings: tuple[str, ...] = ()


def tango(only_dense: int, only_chosen: int, rows: int, *, margin: float, level: float = 0.05) -> PairedTest:
    """Test the difference of two paired accuracies by Tango's score (independent rows).

    Args:
        only_dense: rows that only the dense one gets right.
        only_chosen: rows that only the chosen one gets right.
        rows: all test rows.
        margin: loss of accuracy to be excluded, in (0, 1).
        level: one-sided error level.

    Returns:
        A :class:`PairedTest` whose limits are the roots of the score, so that ``passed`` and ``lower > -margin`` are
        one. Power is enumerated; where no row disagrees, one row in ``rows`` stands in for the disagreement. Tango
        1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    Raises:
        UserError: for counts that do not fit together, or a margin outside (0, 1).

    >>> test = tango(4, 2, 360, margin=0.01)
    >>> test.passed, test.rows_needed
    (False, 1027)
    """
    margin, level = margin_checked(margin), level_checked(level)
    counts = (int(only_dense), int(only_chosen), int(rows))
    b, c, n = counts
    if counts != (only_dense, only_chosen, rows) or min(b, c) < 0 or n < 1 or b + c > n or margin >= 1:
        raise UserError(
            "these counts do not fit together.",
            came=f"only dense {only_dense}, only chosen {only_chosen}, rows {rows}, margin {margin}",
            expected="whole numbers, only dense + only chosen ≤ rows, margin below 1",
        )
    low, high = tango_interval(b, c, n, level)
    discordance = max(b + c, 1) / n
    texts = []
    if b + c == 0:
        texts.append(cautions.never_disagreed(n, level))
    if n < 100:
        texts.append(
            f"{cautions.SMALL}: {n} rows; margins below {smallest_margin(n, discordance, level):.2g} are out of reach "
            f"(for {margin:g} about {about(rows_needed(discordance, margin, level)):,} rows are needed)."
        )
    return PairedTest(
        estimate=(c - b) / n,
        lower=low,
        upper=high,
        level=level,
        margin=margin,
        rows=n,
        passed=low > -margin,
        method="Tango score",
        only_dense=b,
        only_chosen=c,
        rows_needed=rows_needed(discordance, margin, level),
        power=tango_power(n, discordance, margin, level),
        warnings=tuple(texts),
    )


def accuracy_difference(
    correct_chosen: Any, correct_dense: Any, *, margin: float, level: float = 0.05, clusters: Any = None
) -> PairedTest:
    """Test the difference of two paired accuracies: Tango's score, or a cluster-robust t where rows come in groups.

    Args:
        correct_chosen: 1 where the chosen one is right, else 0 [n].
        correct_dense: the same for the dense one [n].
        margin: loss of accuracy to be excluded, in (0, 1).
        level: one-sided error level.
        clusters: a label per row [n], or ``None``.

    >>> right = np.ones(400)
    >>> accuracy_difference(right, right, margin=0.01).method
    'Tango score'
    """
    chosen = vector(correct_chosen, "correct_chosen")
    dense = vector(correct_dense, "correct_dense", len(chosen))
    if not (np.isin(chosen, (0, 1)).all() and np.isin(dense, (0, 1)).all()):
        raise UserError("correctness is 0 or 1 per row.", came="other values", expected="0 or 1")
    only_dense, only_chosen = int((dense > chosen).sum()), int((chosen > dense).sum())
    if clusters is None:
        return tango(only_dense, only_chosen, len(chosen), margin=margin, level=level)
    return mean_difference(
        chosen - dense, margin=margin, level=level, clusters=clusters, only_dense=only_dense, only_chosen=only_chosen
    )


def r2_difference(
    target: Any, chosen: Any, dense: Any, *, margin: float, level: float = 0.05, clusters: Any = None
) -> PairedTest:
    """Test the difference of two R² on the same rows by the delta method with Student's t.

    Args:
        target: true values [n].
        chosen, dense: predictions [n].
        margin: loss of R² to be excluded.
        level: one-sided error level.
        clusters: a label per row [n], or ``None``.

    The influence values are those of :func:`sparsefire.statistics.crossed.r2_differences`.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=500)
    >>> r2_difference(y, y + 0.1 * rng.normal(size=500), y + 0.1 * rng.normal(size=500), margin=0.01).passed
    True
    """
    values = r2_differences(vector(target, "target"), vector(chosen, "chosen"), vector(dense, "dense"))
    return mean_difference(values, margin=margin, level=level, clusters=clusters, method="delta method, t")


def mean_difference(
    values: Any,
    *,
    margin: float,
    level: float = 0.05,
    clusters: Any = None,
    method: str = "t",
    only_dense: int | None = None,
    only_chosen: int | None = None,
) -> PairedTest:
    """Test a mean of per-row differences by Student's t, with a variance from group sums where rows come in groups.

    Args:
        values: score(chosen) − score(dense) per row, or influence values [n].
        margin: loss to be excluded.
        level: one-sided error level.
        clusters: a label per row [n], or ``None``.
        method: name to be shown.
        only_dense, only_chosen: counts to be shown (accuracy).

    Variance Σ(dᵢ − T)²/(n(n − 1)), or C/(C − 1)·Σ_c(Σ_{i∈c}(dᵢ − T))²/n² with C − 1 degrees of freedom. No variance:
    the rule of three.

    >>> mean_difference(np.tile([0.01, -0.01], 200), margin=0.01).passed
    True
    """
    margin, level = margin_checked(margin), level_checked(level)
    d = vector(values, "values")
    rows = len(d)
    if rows < 2:
        raise UserError("one row has no variance.", came=f"{rows} rows", expected="at least 2")
    estimate = float(d.mean())
    variance, parts, units, groups = mean_variance(d, estimate, clusters)
    if groups is not None:
        method = f"{'t' if only_dense is not None else method}, by group"
    texts = cautions.about_size(rows, clusters=groups)
    error = np.sqrt(variance) if variance > np.square(1e-12 * np.abs(d).max()) else 0.0
    if only_dense is None and error > 0:
        texts += cautions.about_tail(parts, groups)
    critical = float(stdtrit(units - 1, 1 - level))
    return _t_test(
        estimate,
        lambda theta: error,
        critical,
        units,
        margin=margin,
        level=level,
        rows=rows,
        method=method,
        clusters=groups,
        degrees=units - 1,
        only_dense=only_dense,
        only_chosen=only_chosen,
        no_verdict=_few(groups),
        texts=texts,
        word="rows" if groups is None else "groups",
    )


def delong(
    target: Any, chosen: Any, dense: Any, *, margin: float, level: float = 0.05, clusters: Any = None
) -> PairedTest:
    """Test the difference of two areas under the ROC curve on the same rows by DeLong, corrected at the margin.

    Args:
        target: 0 or 1 per row [n], both present.
        chosen, dense: scores, higher means rather 1 [n].
        margin: loss of AUC to be excluded, in (0, 1).
        level: one-sided error level.
        clusters: a label per row [n] (variance of Obuchowski 1997), or ``None``.

    Returns:
        A :class:`PairedTest` by t with min(n₊, n₋) − 1 degrees of freedom; at a hypothesised difference θ DeLong's
        standard error is multiplied by F, F² = max(1, [g(A_D + θ) + g(A_D)]/[g(A_S) + g(A_D)]) with g(A) = max(A(1 −
        A), 1/(4n)). This scaling is a heuristic (variance at the margin instead of at the estimate), checked by
        simulation, not from the literature. With fewer than 20 rows of the rarer class, or fewer than 50 and an AUC
        above 0.95, there is no verdict. DeLong et al. 1988, doi:10.2307/2531595; Sun, Xu 2014,
        doi:10.1109/LSP.2014.2337313.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 600)
    >>> x = y + rng.normal(size=600)
    >>> delong(y, x + 0.05 * rng.normal(size=600), x, margin=0.02).passed
    True
    """
    margin, level = margin_checked(margin), level_checked(level)
    positive = binary(target)
    rows = len(positive)
    scores = np.stack([vector(chosen, "chosen", rows), vector(dense, "dense", rows)], axis=1)
    u, v = placements(positive, scores)
    area, reference = (float(value) for value in u.mean(axis=0))
    codes, groups = (None, None) if clusters is None else cluster_codes(clusters, rows)
    variance, degrees = placement_variance(u[:, 0] - u[:, 1], v[:, 0] - v[:, 1], positive, codes, groups or 0)
    positives = int(positive.sum())
    few = cautions.about_positives(positives, rows - positives, max(area, reference))
    if not np.isfinite(variance):
        raise UserError(
            "the rarer class is in one row or group only.",
            came=f"{positives} positives",
            expected="at least 2 of each class",
        )
    error = np.sqrt(variance) if variance > 1e-24 else 0.0

    def at(theta: float) -> float:
        here = max(reference + theta, 0.0)
        top = _spread(here, rows) + _spread(reference, rows)
        return error * np.sqrt(max(1.0, top / (_spread(area, rows) + _spread(reference, rows))))

    return _t_test(
        area - reference,
        at,
        float(stdtrit(degrees, 1 - level)),
        degrees + 1,
        margin=margin,
        level=level,
        rows=rows,
        method="DeLong, corrected" + ("" if groups is None else ", by group"),
        clusters=groups,
        degrees=degrees,
        no_verdict=few[0] if few else _few(groups),
        texts=cautions.about_size(rows, clusters=groups) + few,
        word=cautions.RARER_ROWS if groups is None else cautions.RARER_GROUPS,
    )


def _spread(area: float, rows: int) -> float:
    return max(area * (1 - area), 1 / (4 * rows))


def _few(groups: int | None) -> str:
    if groups is None or groups >= FEWEST_GROUPS:
        return ""
    return f"{groups} groups are too few for a verdict; {FEWEST_GROUPS} are the least."


def _t_test(
    estimate: float,
    error_at: Callable[[float], float],
    critical: float,
    units: int,
    *,
    margin: float,
    level: float,
    rows: int,
    method: str,
    clusters: int | None,
    degrees: int,
    no_verdict: str,
    texts: list[str],
    word: str,
    only_dense: int | None = None,
    only_chosen: int | None = None,
) -> PairedTest:
    """Invert (estimate − θ)/error(θ) against a t quantile; where nothing varies, use the rule of three on the units."""
    error = error_at(-margin)
    needed: int | None = None
    power: float | None = None
    if error > 0:
        low, high = (_limit(estimate, error_at, side * critical) for side in (1, -1))
        needed = rows_needed_from_error(rows, error, margin, level)
        power = t_power(error, degrees, margin, level)
    else:
        reach = -np.log(level) / units * max(1.0, 1.0 + estimate)
        low, high = estimate - reach, estimate + reach
        if abs(estimate) <= 1e-12:
            texts = [*texts, cautions.never_disagreed(units, level, word)]
    return PairedTest(
        estimate=estimate,
        lower=float(low),
        upper=float(high),
        level=level,
        margin=margin,
        rows=rows,
        passed=bool(low > -margin) and not no_verdict,
        method=method,
        only_dense=only_dense,
        only_chosen=only_chosen,
        clusters=clusters,
        rows_needed=needed,
        power=power,
        no_verdict=no_verdict,
        warnings=tuple(texts),
    )


def _limit(estimate: float, error_at: Callable[[float], float], critical: float) -> float:
    """Return θ with estimate − θ = critical·error(θ); the left side minus the right falls in θ."""
    step = critical * error_at(estimate)
    guess = estimate - step
    if abs(critical * error_at(guess) - step) <= 1e-15 * abs(step):
        return guess
    far = estimate - step
    while (estimate - far - critical * error_at(far)) * np.sign(step) < 0:
        far = estimate - 2 * (estimate - far)
    return float(brentq(lambda theta: estimate - theta - critical * error_at(theta), far, estimate, xtol=1e-15))
