"""Filling in and standardising a block of numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

LIMIT = 1e6  # of a prepared value: float32 networks stay finite whatever comes later
_CHUNK = 4096
_SKEWNESS = 2.0  # a column more skewed than this ...
_WIDE = 30.0  # ... that reaches this value ...
_GAIN = 0.8  # ... and whose skewness a logarithm cuts to this share is taken as log(1 + x)
_ROUNDING = 10 * np.finfo(np.float64).eps  # equal numbers may seem to differ by this share of themselves


@dataclass(frozen=True, eq=False)
class Numbers:
    """Fitted numbers for p columns.

    Args:
        fill: float64 [p], what replaces a missing value.
        mean, scale: float64 [p], of the training rows after filling and logarithm; the scale of a constant column is 0.
        log: bool [p], whether the column is taken as log(1 + x) (as −log(1 − x) below zero).
        indicators: int64, columns that had missing values in training.
    """

    fill: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    log: np.ndarray
    indicators: np.ndarray

    @staticmethod
    def none() -> Numbers:
        """Return the preparation of no columns."""
        empty = np.empty(0)
        return Numbers(empty, empty, empty, np.empty(0, bool), np.empty(0, np.int64))

    @property
    def width(self) -> int:
        """Return the number of features: the columns and the indicators."""
        return len(self.fill) + len(self.indicators)

    def scaled(self, block: np.ndarray) -> np.ndarray:
        """Return [rows, p] in float64: filled, logged, standardised, within ±1e6; constant columns are 0."""
        values = _logged(_filled(np.asarray(block, np.float64), self.fill), self.log)
        values -= self.mean
        constant = self.scale == 0
        values /= np.where(constant, 1, self.scale)
        if constant.any():
            values[:, constant] = 0
        return np.clip(values, -LIMIT, LIMIT, out=values)

    def scaled_column(self, values: np.ndarray, position: int) -> np.ndarray:
        """Return values of any shape scaled as those of one column, none of them missing."""
        if self.scale[position] == 0:
            return np.zeros(values.shape)
        out = values.astype(np.float64)
        out -= self.mean[position]
        out /= self.scale[position]
        return np.clip(out, -LIMIT, LIMIT, out=out)

    def features(self, block: np.ndarray) -> np.ndarray:
        """Return [rows, width] in float32: the scaled columns, then 1 where a column with an indicator is missing."""
        out = np.empty((len(block), self.width), np.float32)
        p = len(self.fill)
        for start in range(0, len(block), _CHUNK):
            part = block[start : start + _CHUNK]
            out[start : start + _CHUNK, :p] = self.scaled(part)
            out[start : start + _CHUNK, p:] = np.isnan(part[:, self.indicators])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def fit_numbers(block: np.ndarray, *, log: bool, fill: Literal["median", "mean"]) -> Numbers:
    """Fit on training rows.

    Args:
        block: [rows, p], NaN where missing, never infinite.
        log: whether columns with a long right tail may be taken as log(1 + x): non-negative, skewness above 2, largest
            value at least 30, and a logarithm that cuts the skewness by a fifth.
        fill: what replaces missing values (0 in a column without any value).

    >>> fit_numbers(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]), log=False, fill="median").scale.round(4)
    array([0.8165, 0.    ])
    """
    missing = np.isnan(block).sum(axis=0) if block.size else np.zeros(block.shape[1], np.int64)
    indicators = np.flatnonzero(missing)
    filler = _fillers(block, missing, fill)
    chosen = np.zeros(block.shape[1], bool)
    if log and len(block):
        chosen = _long_tails(_filled(block, filler))
    mean, scale = _moments(block, filler, chosen)
    if fill == "mean":
        untouched = missing == 0
        filler[untouched] = mean[untouched]
    return Numbers(filler, mean, scale, chosen, indicators)


def fit_images(images: np.ndarray) -> Numbers:
    """Fit one mean and one standard deviation for each channel.

    Args:
        images: [rows, channels, height, width], none of the values missing.

    >>> fit_images(np.array([0.0, 1.0]).reshape(2, 1, 1, 1)).mean
    array([0.5])
    """
    channels = images.shape[1]
    mean, scale = np.zeros(channels), np.zeros(channels)
    for channel in range(channels):
        parts = [images[i : i + _CHUNK, channel] for i in range(0, len(images), _CHUNK)]
        count = max(sum(part.size for part in parts), 1)
        mean[channel] = sum(part.sum(dtype=np.float64) for part in parts) / count
        squares = largest = 0.0
        for part in parts:
            away = part.astype(np.float64).ravel()
            largest = max(largest, float(np.abs(away).max()))
            away -= mean[channel]
            squares += float(away @ away)
        deviation = np.sqrt(squares / count)
        scale[channel] = deviation if deviation > _ROUNDING * largest else 0
    return Numbers(mean.copy(), mean, scale, np.zeros(channels, bool), np.empty(0, np.int64))


def _fillers(block: np.ndarray, missing: np.ndarray, fill: str) -> np.ndarray:
    if not len(block):
        return np.zeros(block.shape[1])
    if fill == "mean" and not missing.any():
        return np.zeros(block.shape[1])  # set from the means once they are known
    filler = np.zeros(block.shape[1])
    whole = missing == 0
    some = ~whole & (missing < len(block))
    middle, middle_of_some = (np.median, np.nanmedian) if fill == "median" else (np.mean, np.nanmean)
    if whole.any():
        filler[whole] = middle(block[:, whole].astype(np.float64, copy=False), axis=0)
    if some.any():
        filler[some] = middle_of_some(block[:, some].astype(np.float64, copy=False), axis=0)
    return filler


def _filled(block: np.ndarray, fill: np.ndarray) -> np.ndarray:
    missing = np.isnan(block)
    return np.where(missing, fill, block) if missing.any() else np.array(block, np.float64)


def _logged(values: np.ndarray, log: np.ndarray) -> np.ndarray:
    if log.any():
        tails = values[:, log]
        values[:, log] = np.sign(tails) * np.log1p(np.abs(tails))
    return values


def _moments(block: np.ndarray, fill: np.ndarray, log: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (over n) of each column in two passes; a constant column has deviation 0."""
    n, p = len(block), block.shape[1]
    if not n:
        return np.zeros(p), np.zeros(p)
    parts = [block[i : i + _CHUNK] for i in range(0, n, _CHUNK)]
    total, largest = np.zeros(p), np.zeros(p)
    for part in parts:
        values = _logged(_filled(part, fill), log)
        total += values.sum(axis=0)
        np.maximum(largest, np.abs(values).max(axis=0), out=largest)
    mean = total / n
    unit = np.where(largest > 0, largest, 1)  # squares of very small or large numbers would leave float64
    squares, rest = np.zeros(p), np.zeros(p)
    for part in parts:
        away = (_logged(_filled(part, fill), log) - mean) / unit
        rest += away.sum(axis=0)
        squares += np.einsum("ij,ij->j", away, away)
    scale = unit * np.sqrt(np.maximum(squares / n - (rest / n) ** 2, 0))
    scale[scale <= _ROUNDING * largest] = 0
    return mean, scale


def _long_tails(values: np.ndarray) -> np.ndarray:
    """Return the columns for which a logarithm is due."""
    chosen = np.zeros(values.shape[1], bool)
    able = (
        np.flatnonzero((values.min(axis=0) >= 0) & (values.max(axis=0) >= _WIDE)) if len(values) else np.empty(0, int)
    )
    if len(able):
        plain = _skewness(values[:, able])
        candidates = plain > _SKEWNESS
        able, plain = able[candidates], plain[candidates]
    if len(able):
        after = np.abs(_skewness(np.log1p(values[:, able])))
        chosen[able[after <= _GAIN * plain]] = True
    return chosen


def _skewness(values: np.ndarray) -> np.ndarray:
    size = np.abs(values).max(axis=0)
    away = values / np.where(size > 0, size, 1)  # cubes of large numbers would overflow
    away -= away.mean(axis=0)
    second = (away**2).mean(axis=0)
    third = (away**3).mean(axis=0)
    return np.divide(third, second**1.5, out=np.zeros_like(third), where=second > 1e-24)
