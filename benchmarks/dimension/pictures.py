"""Digits and MNIST: rows to train on and rows to judge on, as pixels or whitened without looking at classes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from dimension.engine import Batches
from fate.data import SHARED
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

Rows = tuple[np.ndarray, np.ndarray]
MNIST = SHARED / "mnist" / "mnist.npz"


@lru_cache(maxsize=24)
def rows_of(place: str, replicate: int, components: int = 0, inner: bool = False) -> tuple[Rows, Rows]:
    """Return inputs and classes to train on, and others to judge on.

    Args:
        place: ``"digits"``, split anew into 1,437 rows and 360, or ``"mnist10k"``: 10,000 training rows drawn anew, the
            10,000 test rows.
        replicate: number of the split.
        components: whitened principal components of the training rows; 0 leaves pixels, centred, with variance 1 over
            the whole image.
        inner: judge on a fifth of the training rows, and train on the rest: to choose rates by.
    """
    if place == "digits":
        x, y = load_digits(return_X_y=True)
        train, test = _split(x, y, 360, replicate)
    else:
        stored = np.load(MNIST)
        chosen = np.random.default_rng([replicate, 36]).permutation(len(stored["y_train"]))[:10_000]
        train = stored["x_train"][chosen].reshape(-1, 784), stored["y_train"][chosen]
        test = stored["x_test"].reshape(-1, 784), stored["y_test"]
    if inner:
        train, test = _split(*train, 0.2, 7)
    if components:
        found = PCA(components, whiten=True, svd_solver="covariance_eigh").fit(train[0].astype(np.float64))
        inputs = [found.transform(part[0].astype(np.float64)) for part in (train, test)]
    else:
        mean, spread = train[0].mean(0), train[0].std()
        inputs = [(part[0] - mean) / spread for part in (train, test)]
    return tuple(
        (x.astype(np.float32), np.asarray(part[1]).astype(np.int64))
        for x, part in zip(inputs, (train, test), strict=True)
    )


def batches(parts: list[Rows], numbers: list[int], count: int) -> Batches:
    """Yield batches [replicates, count, inputs] and classes for ever, drawn with replacement, the same for all arms."""
    streams = [np.random.default_rng([number, 37]) for number in numbers]
    x = torch.from_numpy(np.stack([part[0] for part in parts]))
    y = torch.from_numpy(np.stack([part[1] for part in parts]))
    which = torch.arange(len(parts))[:, None]
    while True:
        chosen = np.stack([one.integers(x.shape[1], size=(128, count)) for one in streams])
        for step in range(chosen.shape[1]):
            index = torch.from_numpy(chosen[:, step])
            yield x[which, index], y[which, index]


def _split(x: np.ndarray, y: np.ndarray, size: float, number: int) -> tuple[Rows, Rows]:
    x, other, y, truth = train_test_split(x, y, test_size=size, random_state=number, stratify=y)
    return (x, y), (other, truth)
