"""From records to verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from claims.cases import Arm
from claims.parts import Comparison, Experiment, Part, Rise, Share
from claims.statistics import not_worse, same, share_interval, spearman_interval
from figures import mean

HOLDS, OPEN, AGAINST = "holds", "not shown", "contradicted"
Record = dict[str, Any]
Judged = tuple[float, float, float, float, str]
"""Value, interval, p-value and word."""


@dataclass(frozen=True)
class Verdict:
    """What came of one part of an experiment.

    Attributes:
        experiment, part: what was judged.
        count: replicates that all arms have.
        value, low, high: the mean difference in points, the share, or ρ, with its 95% interval.
        p: of the test that the claim asks for, one-sided or TOST; NaN for shares and ρ.
        word: ``"holds"``, ``"not shown"`` or ``"contradicted"``.
    """

    experiment: Experiment
    part: Part
    count: int
    value: float
    low: float
    high: float
    p: float
    word: str


class Outcomes:
    """Records by arm and replicate."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.of: dict[str, dict[int, Record]] = {}
        for record in records:
            if "replicate" in record:
                self.of.setdefault(record["arm"], {})[record["replicate"]] = record

    def values(self, arms: Iterable[Arm], entries: Iterable[str]) -> np.ndarray:
        """Return one entry of each arm, in percent, on the replicates that all have, [arms, replicates]."""
        found = [self.of.get(arm.key, {}) for arm in arms]
        shared = sorted(set.intersection(*(set(one) for one in found)))
        rows = [[one[r][entry] for r in shared] for one, entry in zip(found, entries, strict=True)]
        return 100 * np.array(rows, dtype=float).reshape(len(found), len(shared))


def judged(records: list[Record], experiments: Iterable[Experiment]) -> list[Verdict]:
    """Return the verdicts on all parts whose arms share three replicates or more."""
    outcomes, found = Outcomes(records), []
    for experiment in experiments:
        for part in experiment.parts:
            if isinstance(part, Comparison):
                values, judge = outcomes.values(part.arms, part.entries), compare
            elif isinstance(part, Share):
                values, judge = outcomes.values(part.arms, ["accuracy"] * 3), share
            else:
                n = len(part.arms)
                values, judge = outcomes.values(part.arms * 2, [part.of] * n + ["accuracy"] * n), rise
            count = values.shape[1]
            if count >= 3:
                found.append(Verdict(experiment, part, count, *judge(values, part)))
    return found


def compare(values: np.ndarray, part: Comparison) -> Judged:
    """Judge a difference by its paired t interval, and by TOST where none is claimed; values are [ours, base]."""
    gap = values[0] - values[1]
    middle, low, high = mean(gap)
    if part.claim == "better":
        p, word = not_worse(gap, 0.0), _word(low > 0, high <= 0)
    elif part.claim == "not worse":
        p, word = not_worse(gap, part.margin), _word(low > -part.margin, high <= -part.margin)
    else:
        p = same(gap, part.margin)
        word = _word(p < 0.05, low > part.margin or high < -part.margin)
    return middle, low, high, p, word


def share(values: np.ndarray, part: Share) -> Judged:
    """Judge a share of a gap by Fieller's interval; values are [ours, low, high]."""
    closed, gap = values[0] - values[1], values[2] - values[1]
    low, high = share_interval(closed, gap)
    above, below = low >= part.bound, high <= part.bound
    word = _word(above, below) if part.claim == "at least" else _word(below, above)
    return float(closed.mean() / gap.mean()), low, high, np.nan, word


def rise(values: np.ndarray, part: Rise) -> Judged:
    """Judge a rise by Spearman's ρ over arms, resampling replicates; values are what it rises with, then accuracy."""
    half = len(values) // 2
    rho, low, high = spearman_interval(values[:half], values[half:])
    return rho, low, high, np.nan, _word(low > part.bound, high < part.bound)


def _word(good: bool, bad: bool) -> str:
    return HOLDS if good else AGAINST if bad else OPEN
