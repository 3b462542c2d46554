"""The crossed bound: is a procedure worse than another, judged on rows × rounds of out-of-fold scores.

Rows are cases and rounds (fresh folds *and* a fresh initialisation) are readers, as in diagnostic studies
(Obuchowski, Rockette 1995, doi:10.1080/03610919508813243; Hillis 2014, doi:10.1002/sim.5926).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from sparsefire.errors import UserError
from sparsefire.statistics import cautions
from sparsefire.statistics._check import binary, cluster_codes, level_checked, matrix, vector
from sparsefire.statistics._variance import mean_variance
from sparsefire.statistics.ranks import placement_variance, placements
from sparsefire.statistics.scores import spread_of

FEWEST_GROUPS = 10  # below this no verdict is given, whatever the bound


@dataclass(frozen=True)
class CrossedBound:
    """A one-sided bound on score(chosen) − score(dense), for networks trained this way on so many rows.

    Attributes:
        estimate: mean difference T, positive if the chosen one is better.
        lower: one-sided lower bound at ``level``; ``upper`` mirrors it, 2·estimate − lower.
        level: one-sided error level.
        rows, rounds, clusters: n, M, and the number of groups (``None`` for independent rows).
        variance_rows: V_row, before it is multiplied by ``factor``.
        variance_rounds: V_rnd.
        degrees: Satterthwaite's degrees of freedom.
        factor: what V_row is multiplied by to pay for the variability of the training set.
        no_verdict: why no verdict may rest on this bound; empty if one may.
        warnings: sentences that start with a constant of :mod:`sparsefire.statistics.cautions`.
    """

    estimate: float
    lower: float
    upper: float
    level: float
    rows: int
    rounds: int
    clusters: int | None
    variance_rows: float
    variance_rounds: float
    degrees: float
    factor: float = 1.5
    no_verdict: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def share_initialisation(self) -> float:
        """Share of the variance that is due to rounds, V_rnd / V, in [0, 1]."""
        total = self.factor * self.variance_rows + self.variance_rounds
        return self.variance_rounds / total if total > 0 else 0.0

    def passes(self, margin: float) -> bool:
        """Return whether a loss of ``margin`` is excluded: lower > −margin, and a verdict may be given."""
        return not self.no_verdict and bool(self.lower > -margin)


def crossed_bound(
    differences: Any, *, level: float = 0.05, factor: float = 1.5, clusters: Any = None, folds: int | None = None
) -> CrossedBound:
    """Bound a mean difference from below, from one value per row and round.

    Args:
        differences: score(chosen) − score(dense) on row i in round r, higher is better for the chosen one, [n, M] with
            M ≥ 2.
        level: one-sided error level in (0, 0.5).
        factor: inflation of the variance of rows, at least 1. 1.5 was found by simulation; it pays for the variability
            of the training set, which no resampling of the same rows can show.
        clusters: a label per row [n] if rows come in groups (repeated patients); ``None`` for independent rows.
        folds: number of folds, only used to warn of folds with fewer than 10 rows (groups).

    Returns:
        A :class:`CrossedBound`. With row means aᵢ, round means bᵣ and overall mean T:
        V_row = Σ(aᵢ − T)²/(n(n−1)), or C/(C−1)·Σ_c(Σ_{i∈c}(aᵢ − T))²/n² for groups; V_rnd = Σ(bᵣ − T)²/(M(M−1));
        V = factor·V_row + V_rnd; ν = V²/(V_rnd²/(M−1) + (factor·V_row)²/(n−1)), C−1 for groups;
        lower = T − t(ν, 1−level)·√V. If V = 0, the rule of three: T − ln(1/level)/n (1/C for groups).

    Raises:
        UserError: for wrong shapes, fewer than two rounds or groups, or values that are not finite.

    The level is approximate: see the table in ``docs/decision_level.md``.

    >>> rng = np.random.default_rng(0)
    >>> bound = crossed_bound(rng.choice([-1, 0, 1], size=(500, 5), p=[0.05, 0.9, 0.05]))
    >>> bound.passes(0.03), bound.passes(0.005)
    (True, False)
    """
    d = matrix(differences, "differences")
    rows = len(d)
    row_means, round_means = d.mean(axis=1), d.mean(axis=0)
    estimate = float(row_means.mean())
    by_rows = mean_variance(row_means, estimate, clusters)
    worst = int(round_means.argmin())
    counts = bool((np.square(d) == np.abs(d)).all())  # 0/1 scores: every difference is −1, 0 or 1
    texts = cautions.about_size(
        rows, differing=int(np.count_nonzero(d.any(axis=1))), clusters=by_rows.clusters, folds=folds
    )
    if not counts and by_rows.variance > 0:
        texts += cautions.about_tail(by_rows.parts, by_rows.clusters)
    return _bound(
        estimate,
        by_rows.variance,
        by_rows.units - 1,
        round_means,
        units=by_rows.units,
        scale=float(np.abs(d).max()),
        round_error=mean_variance(d[:, worst], float(round_means[worst]), clusters).variance ** 0.5,
        accuracy=counts,
        texts=texts,
        word="rows" if by_rows.clusters is None else "groups",
        rows=rows,
        clusters=by_rows.clusters,
        level=level,
        factor=factor,
    )


def crossed_bound_auc(
    target: Any,
    chosen: Any,
    dense: Any,
    *,
    level: float = 0.05,
    factor: float = 1.5,
    clusters: Any = None,
    folds: int | None = None,
) -> CrossedBound:
    """Bound a difference of two areas under the ROC curve from below, from out-of-fold scores per row and round.

    Args:
        target: 0 or 1 per row [n].
        chosen: scores of the chosen one (probability of class 1), pooled over folds, [n, M] with M ≥ 2.
        dense: scores of the dense one, [n, M].
        level, factor, clusters, folds: as in :func:`crossed_bound`.

    Returns:
        A :class:`CrossedBound` with V_row = var(ū)/n₊ + var(v̄)/n₋ of the placement values (chosen − dense) averaged
        over rounds, n₊ − 1 (the smaller class) for n − 1, and V_rnd from the AUC differences of the rounds. Groups:
        Obuchowski 1997, doi:10.2307/2533958.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 400)
    >>> x = y[:, None] + rng.normal(size=(400, 5))
    >>> crossed_bound_auc(y, x + 0.05 * rng.normal(size=x.shape), x).passes(0.02)
    True
    """
    positive = binary(target)
    rows = len(positive)
    small, reference = matrix(chosen, "chosen", rows), matrix(dense, "dense", rows)
    if small.shape != reference.shape:
        raise UserError(
            "chosen and dense do not belong together.",
            came=f"{small.shape} and {reference.shape}",
            expected="one shape",
        )
    u_small, v_small = placements(positive, small)
    u_dense, v_dense = placements(positive, reference)
    du, dv = u_small - u_dense, v_small - v_dense
    codes, groups = (None, None) if clusters is None else cluster_codes(clusters, rows)
    variance_rows, row_degrees = placement_variance(du.mean(axis=1), dv.mean(axis=1), positive, codes, groups or 0)
    positives = int(positive.sum())
    if not np.isfinite(variance_rows):
        raise UserError(
            "the rarer class is in one row or group only.",
            came=f"{positives} positives",
            expected="at least 2 of each class",
        )
    round_means = du.mean(axis=0)
    worst = int(round_means.argmin())
    round_variance, _ = placement_variance(du[:, worst], dv[:, worst], positive, codes, groups or 0)
    return _bound(
        float(round_means.mean()),
        variance_rows,
        row_degrees,
        round_means,
        units=row_degrees + 1,
        scale=float(max(np.abs(du).max(), np.abs(dv).max())),
        round_error=round_variance**0.5,
        accuracy=False,
        texts=cautions.about_size(rows, clusters=groups, folds=folds),
        word=cautions.RARER_ROWS if groups is None else cautions.RARER_GROUPS,
        rows=rows,
        clusters=groups,
        level=level,
        factor=factor,
    )


def r2_differences(target: Any, chosen: Any, dense: Any) -> np.ndarray:
    """Return the influence value of every row on R²(chosen) − R²(dense), round by round.

    Args:
        target: true values [n], not all equal.
        chosen: predictions of the chosen one, [n] or [n, M].
        dense: predictions of the dense one, same shape.

    Returns:
        Values of the same shape: with v = mean (y − ȳ)² and Δ = MSE(dense) − MSE(chosen) of a round,
        (e²_dense − e²_chosen)/v − (Δ/v)·((y − ȳ)²/v − 1). Their mean over rows is the difference Δ/v, their variance
        that of its linearisation (delta method).

    >>> r2_differences([0.0, 2.0], [[0.0], [2.0]], [[1.0], [1.0]]).mean()
    np.float64(1.0)
    """
    y = vector(target, "target")
    small, reference = np.asarray(chosen, dtype=np.float64), np.asarray(dense, dtype=np.float64)
    if small.shape != reference.shape or small.ndim not in (1, 2) or len(small) != len(y):
        raise UserError(
            "target, chosen and dense do not belong together.",
            came=f"shapes {y.shape}, {small.shape} and {reference.shape}",
            expected="[n], and twice [n] or [n, rounds]",
        )
    spread = spread_of(y)
    around = np.square(y - y.mean()) / spread - 1.0
    if small.ndim == 2:
        y, around = y[:, None], around[:, None]
    gain = (np.square(y - reference) - np.square(y - small)) / spread
    return gain - gain.mean(axis=0) * around


def _bound(
    estimate: float,
    variance_rows: float,
    row_degrees: int,
    round_means: np.ndarray,
    *,
    units: int,
    scale: float,
    round_error: float,
    accuracy: bool,
    texts: list[str],
    word: str,
    rows: int,
    clusters: int | None,
    level: float,
    factor: float,
) -> CrossedBound:
    """Join the variances of rows and rounds, take Student's quantile, and collect what must be said."""
    level = level_checked(level)
    if not (np.isfinite(factor) and factor >= 1.0):
        raise UserError(f"factor is {factor!r}.", came=repr(factor), expected="a number of at least 1")
    rounds = len(round_means)
    variance_rounds = float(np.square(round_means - estimate).sum()) / (rounds * (rounds - 1))
    inflated = factor * variance_rows
    variance = inflated + variance_rounds
    if variance <= np.square(1e-12 * scale):  # nothing but rounding: no row ever said anything else
        variance_rows = variance_rounds = 0.0
        degrees = float(row_degrees)
        lower = estimate + np.log(level) / units * max(1.0, 1.0 + estimate)  # an unseen row may fall to −1
        texts = [*texts, cautions.never_disagreed(units, level, word)] if abs(estimate) <= 1e-12 else texts
    else:
        degrees = variance**2 / (variance_rounds**2 / (rounds - 1) + inflated**2 / row_degrees)
        lower = estimate - float(stdtrit(degrees, 1.0 - level)) * np.sqrt(variance)
        share = variance_rounds / variance
        texts = texts + cautions.about_initialisations(share, round_means, round_error, accuracy=accuracy)
    few = clusters is not None and clusters < FEWEST_GROUPS
    return CrossedBound(
        estimate=estimate,
        lower=float(lower),
        upper=float(2 * estimate - lower),
        level=level,
        rows=rows,
        rounds=rounds,
        clusters=clusters,
        variance_rows=variance_rows,
        variance_rounds=variance_rounds,
        degrees=float(degrees),
        factor=float(factor),
        no_verdict=f"{clusters} groups are too few for a verdict; {FEWEST_GROUPS} are the least." if few else "",
        warnings=tuple(texts),
    )
