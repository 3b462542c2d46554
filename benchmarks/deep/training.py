"""Train a sparse network: Adam, warm-up and half a cosine, gradients clipped at norm 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from deep.kernels import adam, backward, forward
from deep.sparse import Net
from scipy.special import log_softmax

CHUNK = 128

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What became of a network.

    Attributes:
        accuracy: at the last look.
        best: at the best look.
        loss: mean cross-entropy at the last look.
        steps: made.
    """

    accuracy: float
    best: float
    loss: float
    steps: int


def train(
    net: Net,
    rows: Rows,
    test: Rows,
    *,
    rate: float,
    steps: int = 400,
    batch: int = 64,
    look: int | None = None,
    enough: float = 1.0,
    least: float = 0.0,
    term: Callable[[Net], np.ndarray] | None = None,
    every: int = 20,
    rng: int = 0,
) -> Outcome:
    """Train in place and return how well the network does on the test rows.

    Args:
        net: its ``values`` are changed.
        rows, test: inputs float32 [rows, inputs] and class codes; features come standardised.
        rate: highest learning rate, reached after a twentieth of the steps.
        steps, batch: of the training.
        look: steps between looks at the test rows; None looks at the end alone.
        enough: accuracy at a look at which training stops.
        least: accuracy that a look must have found by half of the steps, else training stops.
        term: gradient [edges] of another term of the loss, taken anew every ``every`` steps.
        rng: decides the batches.
    """
    x, y = np.ascontiguousarray(rows[0].T), rows[1]
    order, values = np.random.default_rng(rng), net.values
    mean, square, other = np.zeros_like(values), np.zeros_like(values), np.zeros_like(net.weights)
    warm, best, found = max(1, steps // 20), 0.0, (0.0, 0.0)
    a, g = net.new(batch), net.new(batch)
    for step in range(1, steps + 1):
        pick = order.integers(len(y), size=batch)
        a[: len(x)] = x[:, pick]
        slope = gradient(net, a, y[pick], g)
        if term is not None:
            if step % every == 1 or every == 1:
                other = np.nan_to_num(term(net), nan=0.0, posinf=0.0, neginf=0.0)
            slope[: len(other)] += other
        rise = step / warm if step <= warm else 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm)))
        adam(values, slope, mean, square, rate * rise, step)
        if step == steps or (look is not None and step % look == 0):
            found = score(net, test)
            best = max(best, found[0])
            if best >= enough or (2 * step >= steps and best < least):
                break
    return Outcome(found[0], best, found[1], step)


def gradient(net: Net, a: np.ndarray, y: np.ndarray, g: np.ndarray | None = None) -> np.ndarray:
    """Return the slope of the mean cross-entropy in all values, given inputs in the first units of ``a``.

    ``g``, of the shape of ``a``, is room to work in.
    """
    _run(net, a)
    outputs, slope, edges = net.widths[-1], np.empty_like(net.values), len(net.source)
    g = np.empty_like(a) if g is None else g
    g.fill(0)
    with np.errstate(all="ignore"):
        p = np.exp(a[-outputs:] - a[-outputs:].max(0))
        p /= p.sum(0)
    p[y, np.arange(len(y))] -= 1
    g[-outputs:] = p / np.float32(len(y))
    backward(net.widths[0], outputs, net.ends, net.source, net.weights, a, g, slope[:edges], slope[edges:])
    return slope


def score(net: Net, test: Rows) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy on test rows."""
    x, y = test
    right, loss = 0, 0.0
    for start in range(0, len(y), CHUNK):
        part, truth = x[start : start + CHUNK], y[start : start + CHUNK]
        a = net.new(len(part))
        a[: net.widths[0]] = part.T
        _run(net, a)
        out = a[-net.widths[-1] :]
        right += int((out.argmax(0) == truth).sum())
        with np.errstate(all="ignore"):
            loss -= float(log_softmax(out.astype(np.float64), axis=0)[truth, np.arange(len(truth))].sum())
    return right / len(y), loss / len(y)


def _run(net: Net, a: np.ndarray) -> None:
    forward(net.widths[0], net.widths[-1], net.ends, net.source, net.weights, net.biases, a)
