"""Populations from which fresh data sets of any size are drawn: 8 Gaussian inputs, a smooth signal with one interaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

INPUTS = 8


@dataclass(frozen=True)
class Sample:
    """Fresh rows: inputs [n, 8], target [n] (0/1 or a number), group labels [n] or ``None``."""

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None


def signal(x: np.ndarray) -> np.ndarray:
    """Return the smooth signal, about standardised: five of the eight inputs act, two of them together."""
    return np.sin(1.5 * x[..., 0]) + 0.7 * x[..., 1] + 0.8 * x[..., 2] * x[..., 3] + 0.5 * np.tanh(2 * x[..., 4]) - 0.2 * x[..., 5] ** 2


def regression(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Signal plus Gaussian noise of the size of the signal."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, signal(x) + 1.2 * rng.standard_normal(shape))


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Signal plus t noise with 3 degrees of freedom whose scale depends on an input."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, signal(x) + (0.4 + 0.5 * np.abs(x[..., 0])) * rng.standard_t(3, shape))


def classification(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes, drawn with a probability that follows the signal."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, (rng.random(shape) < expit(0.9 * signal(x) + 0.4)).astype(np.float64))


def rare(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes, about 8 % of class 1."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, (rng.random(shape) < expit(1.3 * signal(x) - 3.2)).astype(np.float64))


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes that have nothing to do with the inputs, 60 % of class 1."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, (rng.random(shape) < 0.6).astype(np.float64))


def sharp(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes, told apart almost without doubt by two of the inputs: a tiny net that misses one of them is bad."""
    x = rng.standard_normal((*shape, INPUTS))
    return Sample(x, (rng.random(shape) < expit(8 * (x[..., 0] + x[..., 1]))).astype(np.float64))


def grouped(rng: np.random.Generator, shape: tuple[int, ...], size: int = 5) -> Sample:
    """Two classes in groups of five rows that share half of the variance of x and an effect on y."""
    *lead, rows = shape
    count = rows // size
    shared = np.repeat(rng.standard_normal((*lead, count, INPUTS)), size, axis=-2)
    x = np.sqrt(0.5) * (shared + rng.standard_normal((*lead, rows, INPUTS)))
    effect = np.repeat(rng.standard_normal((*lead, count)), size, axis=-1)
    y = (rng.random(shape) < expit(0.9 * signal(x) + 0.4 + 0.7 * effect)).astype(np.float64)
    return Sample(x, y, np.repeat(np.arange(count), size))


POPULATIONS = {
    "reg": regression,
    "heavy": heavy,
    "cls": classification,
    "rare": rare,
    "noise": noise,
    "sharp": sharp,
    "grouped": grouped,
}
