"""Rows to train on and rows to judge on, in one of two scalings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from fate.data import SHARED
from sklearn.model_selection import train_test_split

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Place:
    """Data, network and length of the training.

    Attributes:
        name: of the data.
        title: on the page.
        hidden: widths of the hidden layers.
        epochs, batch: of every training at equal epochs.
        file: under the data.
        rows: to train on, drawn anew for each replicate.
        official: whether all are judged on the test rows of the data; otherwise on rows that are left, drawn anew.
    """

    name: str
    title: str
    hidden: tuple[int, ...]
    epochs: int
    batch: int
    file: str
    rows: int
    official: bool


PLACES = {
    place.name: place
    for place in (
        Place("mnist10k", "MNIST, 10,000 rows to train on, its 10,000 test rows", (300, 100), 15, 128,
              "mnist/mnist.npz", 10_000, True),
        Place("pneumonia", "PneumoniaMNIST, 4,356 rows to train on, 976 others to judge on", (128, 64), 15, 64,
              "pneumoniamnist/pneumoniamnist.npz", 4_356, False),
        Place("mnist", "MNIST, its 60,000 training rows, its 10,000 test rows", (300, 100), 5, 128,
              "mnist/mnist.npz", 60_000, True),
    )
}  # fmt: skip
SCALES = ("each", "one")
"""Whether each input has variance 1, or the image has."""


@lru_cache(maxsize=4)
def rows_of(name: str, replicate: int, scale: str, inner: bool) -> tuple[Rows, Rows]:
    """Return inputs [rows, 784] and classes, to train on and to judge on.

    Args:
        name: of the place.
        replicate: number of the split.
        scale: one of ``SCALES``.
        inner: judge on a fifth of the training rows, and train on the rest: to choose settings by.
    """
    place = PLACES[name]
    x, y, cut = _stored(place.file)
    if place.official:
        chosen = np.random.default_rng([replicate, 11]).permutation(cut)[: place.rows]
        train, test = (x[chosen], y[chosen]), (x[cut:], y[cut:])
    else:
        x, other, y, truth = train_test_split(x, y, train_size=place.rows, random_state=replicate, stratify=y)
        train, test = (x, y), (other, truth)
    if inner:
        x, other, y, truth = train_test_split(*train, test_size=0.2, random_state=7, stratify=train[1])
        train, test = (x, y), (other, truth)
    mean, spread = train[0].mean(0), train[0].std(0) if scale == "each" else train[0].std()
    spread = np.where(spread > 0, spread, 1)
    scaled = [((part - mean) / spread).clip(-5, 5).astype(np.float32) for part in (train[0], test[0])]
    return (scaled[0], train[1]), (scaled[1], test[1])


@lru_cache(maxsize=1)
def _stored(file: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return all rows, and where the test rows begin."""
    found = np.load(SHARED / file)
    x = np.concatenate([found["x_train"], found["x_test"]]).reshape(-1, 784).astype(np.float32)
    return x, np.concatenate([found["y_train"], found["y_test"]]).ravel().astype(np.int64), len(found["x_train"])
