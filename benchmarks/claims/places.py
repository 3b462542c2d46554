"""Where claims are tried: rows to train on and to judge on, and a fresh network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from table import cases as table
from torch import Tensor, nn

from sparsefire.train import build
from sparsefire.train.networks import initialise_

TUNING = table.TUNING
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Place:
    """Data, network, and the length of a training.

    Attributes:
        title: for the page.
        rows: to train on, drawn anew for each replicate from the 60,000 of MNIST.
        epochs, batch: of a training, unless an arm says otherwise.
        network: from ``rng`` to a fresh network.
        images: whether rows are 1 × 28 × 28.
    """

    title: str
    rows: int
    epochs: int
    batch: int
    network: Callable[[int], nn.Module]
    images: bool = False


class Residual(nn.Module):
    """Two convolutions beside a strided one of size 1, batch norm after each."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.around = nn.Conv2d(inputs, outputs, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norms[0](self.first(x)).relu()
        return (self.norms[1](self.second(inner)) + self.norms[2](self.around(x))).relu()


def perceptron(rng: int) -> nn.Module:
    """Return 784-300-100-10, He normal."""
    return build({"kind": "mlp", "widths": [784, 300, 100, 10]}, rng=rng)


def residual(rng: int) -> nn.Module:
    """Return a convolution and two residual blocks of 16 and 32 channels, 18,312 weights, He normal."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Residual(8, 16), Residual(16, 32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    initialise_(net, rng)
    return net


PLACES = {
    "mlp": Place("MLP 784-300-100-10, 10,000 rows of MNIST", 10_000, 15, 128, perceptron),
    "conv": Place("residual convnet of 18,312 weights, 3,000 rows of MNIST", 3_000, 10, 64, residual, images=True),
}


@lru_cache
def split(place: str, replicate: int, inner: bool = False) -> Rows:
    """Return rows and classes to train on, and those to judge on.

    Args:
        place: a name in ``PLACES``.
        replicate: which rows are drawn.
        inner: judge on 10,000 further training rows instead of the test rows, to choose a rate.
    """
    if place == "mlp" and not inner:
        return table.split("mnist10k", replicate)
    here = PLACES[place]
    x, y, cut = table._rows("mnist10k")
    drawn = np.random.default_rng([replicate, 11]).permutation(cut)
    own = drawn[: here.rows]
    judged = drawn[here.rows :][:10_000] if inner else np.arange(cut, len(x))
    mean, spread = x[own].mean(0), x[own].std(0)
    if here.images:  # one mean and spread for all pixels: a convolution sees them all
        mean, spread = mean.mean(), x[own].std()
    spread = np.where(spread > 0, spread, 1)
    scaled = partial(np.clip, a_min=-5, a_max=5)
    first, second = (scaled((x[some] - mean) / spread).astype(np.float32) for some in (own, judged))
    if here.images:
        first, second = first.reshape(-1, 1, 28, 28), second.reshape(-1, 1, 28, 28)
    return first, y[own], second, y[judged]
