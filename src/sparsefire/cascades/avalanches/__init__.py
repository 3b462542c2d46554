"""Avalanches in recorded activity: cut them out, fit the tail of their sizes, estimate the branching ratio."""

from sparsefire.cascades.avalanches.cut import Avalanches, count_events, cut_avalanches
from sparsefire.cascades.avalanches.multistep import BranchingRatio, branching_ratio
from sparsefire.cascades.avalanches.tail import Comparison, TailFit, tail_fit

__all__ = [
    "Avalanches",
    "BranchingRatio",
    "Comparison",
    "TailFit",
    "branching_ratio",
    "count_events",
    "cut_avalanches",
    "tail_fit",
]
