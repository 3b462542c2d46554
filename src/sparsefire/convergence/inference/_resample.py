"""Statistics of a path over runs, and the same of paths whose runs are drawn again.

Data come as blocks [runs, columns] that are independent of each other; within a block a row is one run, whose columns
depend on one another. Only whole rows are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.convergence._inputs import confidence, entropy, number, whole
from sparsefire.errors import UserError
from sparsefire.randomness import stream

STATISTICS = ("mean", "median")
FEWEST_STUDENTISED = 5  # runs; with fewer a resample often has no spread of its own
ENTRIES = 4_000_000  # of counts held at a time
RANGE = (1e-300, 1e300)  # of a resample all of whose risks are 0, or diverged


@dataclass(frozen=True, eq=False)
class Resampled:
    """Logarithms of means or medians, and how far linear functionals of them deviate.

    Attributes:
        logs: of the statistic of every resample, float64 [resamples, columns].
        errors: standard errors of the functionals by the delta method [functionals]; NaN for medians.
        degrees: of freedom of these errors (Welch-Satterthwaite over blocks) [functionals].
        deviations: (functional of the resample - functional) / its own standard error [resamples, functionals].
        runs: in the smallest block.
    """

    logs: np.ndarray
    errors: np.ndarray
    degrees: np.ndarray
    deviations: np.ndarray
    runs: int

    def studentised(self, values: Any, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) for functionals that have these values: bootstrap-t, or Student's t below 5 runs."""
        if self.runs < FEWEST_STUDENTISED:
            half = special.stdtrit(self.degrees, (1 + level) / 2) * self.errors
            return values - half, values + half
        low, high = np.nanquantile(self.deviations, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return values - high * self.errors, values - low * self.errors

    def expanded(self, values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return percentiles of resampled values, widened for few runs (Hesterberg, doi:10.1080/00031305.2015.1089789).

        The chance α/2 becomes Φ(-√(n / (n - 1)) t), t the quantile of Student's law with n - 1 degrees of freedom.
        """
        n = self.runs
        tail = special.ndtr(-np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + level) / 2))
        low, high = np.quantile(values, [tail, 1 - tail], axis=0)
        return low, high


def statistic_of(blocks: Sequence[np.ndarray], statistic: str) -> np.ndarray:
    """Return the mean or the median of every column, float64 [columns]."""
    return np.concatenate([getattr(np, statistic)(block, axis=0) for block in blocks])


def quantile_of(values: np.ndarray, q: Any) -> np.ndarray:
    """Return a quantile over runs for every entry of values [runs, ...], ∞ beside a run that is.

    >>> quantile_of(np.array([[1.0], [2.0], [np.inf]]), 0.75).tolist()
    [inf]
    """
    if not number(q) or not 0 <= q <= 1:
        raise UserError("there is no such quantile.", came=repr(q), expected="a number from 0 to 1")
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, q, axis=0)
    above = int(np.ceil((len(values) - 1) * q))  # where an infinite run comes next NumPy is at a loss
    return np.where(np.isnan(found), np.sort(values, axis=0)[above], found)


def student_interval(values: np.ndarray, level: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return Student's t interval (low, high) of the mean over runs, for every entry of values [runs, ...].

    >>> [end.round(2).tolist() for end in student_interval(np.array([[1.0], [2.0], [3.0]]), 0.95)]
    [[-0.48], [4.48]]
    """
    level, runs = confidence(level), len(values)
    if runs < 2:
        raise UserError("one run has no spread.", came="1 run", expected="2 or more")
    half = special.stdtrit(runs - 1, (1 + level) / 2) * values.std(axis=0, ddof=1) / np.sqrt(runs)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def log_covariance(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the covariance of the logarithms of the means [columns, columns], by the delta method."""
    size = sum(block.shape[1] for block in blocks)
    found, at = np.zeros((size, size)), 0
    for block in blocks:
        ratios = block / block.mean(0) - 1
        end = at + block.shape[1]
        found[at:end, at:end] = ratios.T @ ratios / (len(block) * (len(block) - 1))
        at = end
    return found


def resample(
    blocks: Sequence[np.ndarray], functionals: np.ndarray, statistic: str, resamples: int, rng: Any
) -> Resampled:
    """Draw whole runs again, with replacement, as many as there are in each block.

    Args:
        blocks: risks [runs, columns] each, above 0 in the mean.
        functionals: linear in the logarithms, [functionals, columns].
        statistic: ``"mean"`` or ``"median"``.
        resamples: how many, 100 or more.
        rng: see :mod:`sparsefire.randomness`.
    """
    resamples = whole(resamples, "resamples", 100)
    source = entropy(rng)
    logs = np.empty((resamples, functionals.shape[1]))
    spreads = np.zeros((resamples, len(functionals)))
    at = 0
    for place, block in enumerate(blocks):
        end = at + block.shape[1]
        draws = stream(source, "resample runs", place)
        part = max(1, ENTRIES // len(block))
        for first in range(0, resamples, part):
            rows = slice(first, min(first + part, resamples))
            counts = _counts(len(block), rows.stop - rows.start, draws)
            if statistic == "median":
                logs[rows, at:end] = np.log(np.clip(_medians(block, counts), *RANGE))
                continue
            means = np.clip(counts @ block / len(block), *RANGE)
            logs[rows, at:end] = np.log(means)
            spreads[rows] += _spreads(block, means, counts, functionals[:, at:end])
        at = end
    runs = min(len(block) for block in blocks)
    nothing = np.full(len(functionals), np.nan)
    if statistic == "median":
        return Resampled(logs, nothing, nothing, np.full((resamples, len(functionals)), np.nan), runs)
    middle = np.log(statistic_of(blocks, statistic)) @ functionals.T
    parts = np.stack([_variances(block, part) for block, part in zip(blocks, _parts(blocks, functionals), strict=True)])
    freedom = np.array([len(block) - 1.0 for block in blocks])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.nan_to_num(parts.sum(0) ** 2 / (parts**2 / freedom).sum(0), nan=float(freedom.min()))
        deviations = (logs @ functionals.T - middle) / np.sqrt(spreads)
    deviations[~(spreads > 0)] = np.nan
    return Resampled(logs, np.sqrt(parts.sum(0)), degrees, deviations, runs)


def _parts(blocks: Sequence[np.ndarray], functionals: np.ndarray) -> list[np.ndarray]:
    return np.split(functionals, np.cumsum([block.shape[1] for block in blocks])[:-1], axis=1)


def _variances(block: np.ndarray, functionals: np.ndarray) -> np.ndarray:
    influence = (block / block.mean(0) - 1) @ functionals.T
    return np.square(influence).sum(0) / (len(block) * (len(block) - 1))


def _counts(runs: int, resamples: int, draws: np.random.Generator) -> np.ndarray:
    """Return how often each run is drawn, float64 [resamples, runs]."""
    drawn = draws.integers(0, runs, (resamples, runs))
    drawn += runs * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=runs * resamples).reshape(resamples, runs).astype(np.float64)


def _spreads(block: np.ndarray, means: np.ndarray, counts: np.ndarray, functionals: np.ndarray) -> np.ndarray:
    """Return the variance of the functionals within each resample [resamples, functionals]."""
    runs = len(block)
    found = np.empty((len(means), len(functionals)))
    for place, row in enumerate(functionals):
        used = np.flatnonzero(row)
        influence = block[:, used] @ (row[used] / means[:, used]).T - row.sum()
        found[:, place] = np.einsum("bn,nb->b", counts, influence**2) / (runs * (runs - 1))
    return found


def _medians(block: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the medians of the columns where runs count several times [resamples, columns]."""
    half = len(block) / 2
    found = np.empty((len(counts), block.shape[1]))
    for column, values in enumerate(block.T):
        order = np.argsort(values)
        reached = np.cumsum(counts[:, order], axis=1)
        below, above = (reached >= half).argmax(1), (reached > half).argmax(1)
        found[:, column] = (values[order[below]] + values[order[above]]) / 2
    return found
