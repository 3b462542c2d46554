"""Intervals, paired tests, and the bound by which the package says "not worse" (no torch, float64).

``level`` is a one-sided error level (0.05) in tests and bounds, and a two-sided confidence (0.95) in intervals.
"""

from sparsefire.statistics.crossed import CrossedBound, crossed_bound, crossed_bound_auc, r2_differences
from sparsefire.statistics.intervals import (
    accuracy_interval,
    auc_interval,
    mean_interval,
    r2_interval,
    score_interval,
    wilson,
)
from sparsefire.statistics.paired import PairedTest, accuracy_difference, delong, mean_difference, r2_difference, tango
from sparsefire.statistics.power import PlannedPower, planned_power, rows_needed, smallest_margin, tango_power
from sparsefire.statistics.scores import accuracy, auc, r2, score_of

__all__ = [
    "CrossedBound",
    "PairedTest",
    "PlannedPower",
    "accuracy",
    "accuracy_difference",
    "accuracy_interval",
    "auc",
    "auc_interval",
    "crossed_bound",
    "crossed_bound_auc",
    "delong",
    "mean_difference",
    "mean_interval",
    "planned_power",
    "r2",
    "r2_difference",
    "r2_differences",
    "r2_interval",
    "rows_needed",
    "score_interval",
    "score_of",
    "smallest_margin",
    "tango",
    "tango_power",
    "wilson",
]
