"""Training on rows of a table: part of them trains, part chooses rate, decay, noise and the moment to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from smooth import kernels

from sparsefire.randomness import integer, stream

UNITS, BATCH, MARKS = 64, 64, 40
HELD = 0.25


@dataclass(frozen=True)
class Setting:
    """What the held rows choose from.

    Attributes:
        rate: first rate of Adam.
        decay: of the weights, decoupled.
        radius: size of the noise of rules that have some.
    """

    rate: float
    decay: float = 0.0
    radius: float = 0.01


def standard(x: np.ndarray) -> np.ndarray:
    """Return uniform numbers with mean 0 and variance 1, as float32."""
    return ((x - 0.5) * np.sqrt(12.0)).astype(np.float32)


def initial(inputs: int, name: tuple[int | str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (He et al. 2015 for the hidden ones, biases alike) and the feedback of feedback alignment."""
    rng = stream(0, *name, "weights")
    theta = np.zeros(UNITS * (inputs + 2) + 1, np.float32)
    theta[: (inputs + 1) * UNITS] = rng.standard_normal((inputs + 1) * UNITS) * np.sqrt(2 / (inputs + 1))
    theta[(inputs + 1) * UNITS : -1] = rng.standard_normal(UNITS) / np.sqrt(UNITS)
    return theta, (rng.standard_normal(UNITS) / np.sqrt(UNITS)).astype(np.float32)


@dataclass(frozen=True)
class Trained:
    """What the held rows would have chosen after each number of steps, over all settings; the last is the choice.

    Attributes:
        marks: numbers of steps, ascending.
        thetas: weights [marks, p].
        settings: of the training that had them.
        stopped: step at which the choice stood.
    """

    marks: np.ndarray
    thetas: np.ndarray
    settings: list[Setting]
    stopped: int


def train(
    rule: str, x: np.ndarray, y: np.ndarray, settings: Sequence[Setting], steps: int, name: tuple[int | str, ...]
) -> Trained:
    """Train with every setting and let the held rows choose.

    Args:
        rule: of :data:`smooth.kernels.RULES`.
        x: float32 [n, d], standardised.
        y: [n].
        settings: that are tried.
        steps: of each.
        name: of the random numbers.
    """
    held = max(8, round(HELD * len(x)))
    cut, answers = len(x) - held, y.astype(np.float32)
    key = np.uint64(integer(0, *name, "key"))
    marks = np.unique(np.geomspace(20, steps, MARKS).astype(np.int64))
    theta, back = initial(x.shape[1], name)
    seen = np.empty((len(settings), len(marks), len(theta)), np.float32)
    losses = np.empty((len(settings), len(marks)))
    for number, setting in enumerate(settings):
        kernels.train(
            kernels.RULES[rule], theta.copy(), back, x[:cut], answers[:cut], x[cut:], answers[cut:], UNITS,
            setting.rate, setting.decay, np.float32(setting.radius), BATCH, key, marks, seen[number], losses[number],
        )  # fmt: skip
    best = np.where(np.isfinite(losses), losses, np.inf).argmin(0)
    stopped = int(marks[int(np.argmin(losses[best[-1]]))])
    return Trained(marks, seen[best, np.arange(len(marks))], [settings[i] for i in best], stopped)


def predict(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return f(x) [n]."""
    d, first = x.shape[1], (x.shape[1] + 1) * UNITS
    hidden = np.maximum(x @ theta[: d * UNITS].reshape(d, UNITS) + theta[d * UNITS : first], 0.0)
    return hidden @ theta[first:-1] + theta[-1]
