"""Populations from which fresh data sets of any size are drawn: 8 Gaussian inputs, a smooth signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

INPUTS = 8


@dataclass(frozen=True)
class Sample:
    """Fresh rows, with what nobody knows in practice.

    Attributes:
        x: inputs [..., n, 8].
        y: target [..., n], 0/1 or a number.
        mean: expectation of y given x; variance: variance of y given x (both [..., n]); the true difference is
            computed from these, not from y, which saves most of its Monte Carlo error.
        groups: group labels [n], or ``None``.
    """

    x: np.ndarray
    y: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    groups: np.ndarray | None = None


def signal(x: np.ndarray) -> np.ndarray:
    """Return the smooth signal: six of the eight inputs act, two of them only together."""
    smooth = np.sin(1.5 * x[..., 0]) + 0.7 * x[..., 1] + 0.5 * np.tanh(2 * x[..., 4]) - 0.2 * x[..., 5] ** 2
    return smooth + 0.8 * x[..., 2] * x[..., 3]


def _inputs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal((*shape, INPUTS))


def _numbers(x: np.ndarray, scale: np.ndarray, noise: np.ndarray, noise_variance: float) -> Sample:
    mean = signal(x)
    return Sample(x, mean + scale * noise, mean, np.broadcast_to(np.square(scale) * noise_variance, mean.shape))


def _classes(rng: np.random.Generator, x: np.ndarray, chance: np.ndarray, groups: np.ndarray | None = None) -> Sample:
    y = (rng.random(chance.shape) < chance).astype(np.float64)
    return Sample(x, y, chance, chance * (1 - chance), groups)


def regression(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Signal plus Gaussian noise, about as large as the signal."""
    x = _inputs(rng, shape)
    return _numbers(x, np.array(1.2), rng.standard_normal(shape), 1.0)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Signal plus t noise with 3 degrees of freedom whose scale depends on an input."""
    x = _inputs(rng, shape)
    return _numbers(x, 0.4 + 0.5 * np.abs(x[..., 0]), rng.standard_t(3, shape), 3.0)


def classification(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes, drawn with a probability that follows the signal."""
    x = _inputs(rng, shape)
    return _classes(rng, x, expit(1.3 * signal(x) + 0.5))


def rare(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes, about 8 % of class 1."""
    x = _inputs(rng, shape)
    return _classes(rng, x, expit(1.3 * signal(x) - 3.2))


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes that have nothing to do with the inputs, 60 % of class 1."""
    x = _inputs(rng, shape)
    return _classes(rng, x, np.full(shape, 0.6))


def sharp(rng: np.random.Generator, shape: tuple[int, ...]) -> Sample:
    """Two classes told apart by two of the inputs, almost without doubt: a net that hardly sees one of them is bad."""
    x = _inputs(rng, shape)
    return _classes(rng, x, expit(8 * (x[..., 0] + x[..., 1])))


def grouped(rng: np.random.Generator, shape: tuple[int, ...], size: int = 5) -> Sample:
    """Two classes in groups of five rows that share half of the variance of x and an effect on y."""
    *lead, rows = shape
    count = rows // size
    shared = np.repeat(rng.standard_normal((*lead, count, INPUTS)), size, axis=-2)
    x = np.sqrt(0.5) * (shared + _inputs(rng, shape))
    effect = np.repeat(rng.standard_normal((*lead, count)), size, axis=-1)
    return _classes(rng, x, expit(1.3 * signal(x) + 0.5 + 0.7 * effect), np.repeat(np.arange(count), size))


POPULATIONS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Sample]] = {
    "reg": regression,
    "heavy": heavy,
    "cls": classification,
    "rare": rare,
    "noise": noise,
    "sharp": sharp,
    "grouped": grouped,
}
