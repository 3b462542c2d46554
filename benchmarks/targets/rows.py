"""Rows to train on and rows to judge on: digits, enlarged digits and MNIST, as pixels or whitened."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from fate.data import SHARED
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

Rows = tuple[np.ndarray, np.ndarray]
MNIST = SHARED / "mnist" / "mnist.npz"


@lru_cache(maxsize=4)
def rows_of(name: str, replicate: int, components: int, inner: bool) -> tuple[Rows, Rows]:
    """Return inputs and classes to train on, and others to judge on.

    MNIST keeps its 10,000 test rows in every replicate; the digits are split anew, 1,437 rows to 360.

    Args:
        name: ``"digits"``, ``"enlarged"`` (digits drawn on 28 × 28 pixels) or ``"mnist"``.
        replicate: number of the split.
        components: whitened principal components of the training rows, which sees no class; 0 leaves pixels, centred
            and with variance 1 over the whole image.
        inner: judge on a fifth of the training rows, and train on the rest: to choose settings by.
    """
    if name == "mnist":
        stored = np.load(MNIST)
        train, test = (
            (stored[f"x_{part}"].reshape(-1, 784) / 255.0, stored[f"y_{part}"]) for part in ("train", "test")
        )
    else:
        x, y = load_digits(return_X_y=True)
        x = enlarged(x) if name == "enlarged" else x / 16
        train, test = _split(x, y, 360, replicate)
    if inner:
        train, test = _split(*train, 0.2, 7)
    return _scaled(train, test, components)


def enlarged(x: np.ndarray) -> np.ndarray:
    """Return images [rows, 64] on 28 × 28 pixels, [rows, 784], by linear interpolation between pixel centres.

    >>> float(enlarged(np.full((1, 64), 16.0)).min())
    1.0
    """
    at = ((np.arange(28) + 0.5) * 8 / 28 - 0.5).clip(0, 7)
    low = np.floor(at).astype(int).clip(max=6)
    weights = np.zeros((28, 8))
    weights[np.arange(28), low], weights[np.arange(28), low + 1] = 1 - (at - low), at - low
    return np.einsum("ai,rij,bj->rab", weights, x.reshape(-1, 8, 8) / 16, weights).reshape(len(x), 784)


def _split(x: np.ndarray, y: np.ndarray, size: float, number: int) -> tuple[Rows, Rows]:
    x, other, y, truth = train_test_split(x, y, test_size=size, random_state=number, stratify=y)
    return (x, y), (other, truth)


def _scaled(train: Rows, test: Rows, components: int) -> tuple[Rows, Rows]:
    if components:
        found = PCA(components, whiten=True, svd_solver="covariance_eigh").fit(train[0])
        inputs = [found.transform(part[0]) for part in (train, test)]
    else:
        mean, spread = train[0].mean(0), train[0].std()
        inputs = [(part[0] - mean) / spread for part in (train, test)]
    (x, other), (y, truth) = inputs, (train[1], test[1])
    return (x.astype(np.float32), y.astype(np.int64)), (other.astype(np.float32), truth.astype(np.int64))
