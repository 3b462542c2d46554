"""Perceptrons of one width, and how many multiplications the moves of their units take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from gap.data import rows_of
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from sparsefire import masks, sparsify
from sparsefire.propagation import init
from sparsefire.train import build

Rows = tuple[np.ndarray, np.ndarray]
INPUTS = {"digits": 64, "mnist10k": 784}
OUTPUTS = 10
BIAS = 0.05


def widths_of(place: str, depth: int, width: int) -> list[int]:
    """Return the units of all layers, inputs first.

    >>> widths_of("digits", 2, 32)
    [64, 32, 32, 10]
    """
    return [INPUTS[place], *[width] * depth, OUTPUTS]


def network(place: str, depth: int, width: int, density: float, number: int = 0) -> nn.Module:
    """Return a fresh ReLU network on a random mask in the ERK layout, He normal by the weights that units have.

    Biases are a little off zero: a unit whose inputs are all at rest would stand on the kink of its ReLU, where a
    difference upwards is the derivative from the right, and back-propagation takes the one from the left.
    """
    net = build({"kind": "mlp", "widths": widths_of(place, depth, width)}, rng=number)
    if density < 1:
        sparsify(net, density, rng=number)
    init.in_degree_(net, rng=number)
    draw = np.random.default_rng([number, 31])
    for layer in masks.layers(net).values():
        layer.bias.data.copy_(torch.from_numpy(BIAS * draw.standard_normal(len(layer.bias))))  # type: ignore[union-attr, arg-type, operator]
    return net


@lru_cache(maxsize=4)
def data(place: str, replicate: int, inner: bool = False) -> tuple[Rows, Rows]:
    """Return rows to train on and to judge on; inner: both from the training rows, to choose a rate by."""
    if place != "digits":
        return rows_of(place, replicate, "one", inner)
    x, y = load_digits(return_X_y=True)
    x, test, y, truth = train_test_split(x, y, test_size=0.2, random_state=replicate, stratify=y)
    if inner:
        x, test, y, truth = train_test_split(x, y, test_size=0.2, random_state=7, stratify=y)
    scaled = [((part - x.mean()) / x.std()).astype(np.float32) for part in (x, test)]
    return (scaled[0], y.astype(np.int64)), (scaled[1], truth.astype(np.int64))


def batch(place: str, rows: int) -> tuple[Tensor, Tensor]:
    """Return the first training rows."""
    (x, y), _ = data(place, 0)
    return torch.from_numpy(x[:rows]), torch.from_numpy(y[:rows])


def incremental(widths: Sequence[int], share: float = 1.0) -> float:
    """Return the products per row when each unit moves alone and only what follows from it is computed again.

    A hidden unit moves for a ``share`` of the rows. Its move reaches the next layer along a column of weights, and
    passes all further layers whole; a moved output takes none. With L layers of w units, the k-th of L,

        Σₖ share · w · (w + (L − k − 1) w² + 10 w) = share · w³ (L − 1)(L − 2) / 2 + O(w²),    for k < L

    >>> incremental([64, 32, 10]), incremental([64, 32, 32, 10], 0.5)  # 32 · 10; 16 (32 + 320) + 16 · 10
    (320.0, 5792.0)
    """
    found = 0.0
    for level in range(1, len(widths) - 1):
        whole = sum(a * b for a, b in pairwise(widths[level + 1 :]))
        found += share * widths[level] * (widths[level + 1] + whole)
    return found


def queries(widths: Sequence[int], share: float = 1.0) -> float:
    """Return the losses per row: the clean one, one for each output and for each hidden unit that moves.

    >>> queries([64, 32, 10])
    43.0
    """
    return 1 + widths[-1] + share * sum(widths[1:-1])
