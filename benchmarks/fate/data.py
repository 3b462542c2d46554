"""The data that networks try to learn: prepared rows to train on and rows to look at."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SHAPES = {
    "digits": (64, 10),
    "adult": (107, 2),
    "pneumonia": (784, 2),
    "mnist": (784, 10),
    "mnist10k": (784, 10),
    "fashion": (784, 10),
}

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def shape_of(name: str) -> tuple[int, int]:
    """Return the numbers of inputs and classes."""
    return SHAPES[name]


@functools.lru_cache
def load(name: str) -> Data:
    """Return rows and classes to train on, rows and classes to look at; inputs have mean 0 and variance 1."""
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        split = 1000
    elif name in ("mnist", "mnist10k"):
        stored, split = np.load(SHARED / "mnist" / "mnist.npz"), 5000 if name == "mnist" else 10_000
        x = np.concatenate([stored["x_train"][:split], stored["x_test"][:2000]]).reshape(split + 2000, -1)
        y = np.concatenate([stored["y_train"][:split], stored["y_test"][:2000]])
    elif name == "fashion":
        stored = np.load(SHARED / "fashion_mnist_sprite" / "fashion_mnist_sprite.npz")
        x, y, split = stored["x"].reshape(900, -1), stored["y"], 600
    elif name == "pneumonia":
        x, y = _pneumonia()
        split = 2000
    elif name == "adult":
        x, y = _adult()
        split = 8000
    else:
        raise ValueError(name)
    order = np.random.default_rng(0).permutation(len(y)) if not name.startswith("mnist") else np.arange(len(y))
    x, y = x[order].astype(np.float64), np.asarray(y)[order].astype(np.int64)
    mean, spread = x[:split].mean(0), x[:split].std(0)
    x = ((x - mean) / np.where(spread > 0, spread, 1)).clip(-5, 5).astype(np.float32)
    if (x.shape[1], int(y.max()) + 1) != SHAPES[name]:
        raise ValueError(f"{name}: {x.shape[1]} inputs, {int(y.max()) + 1} classes")
    return x[:split], y[:split], x[split:], y[split:]


def _adult() -> tuple[np.ndarray, np.ndarray]:
    """Return as many rows of one class as of the other: chance is one half."""
    table = pd.read_csv(SHARED / "adult" / "adult_train.csv.gz", keep_default_na=False)
    table = pd.concat([group.iloc[:6000] for _, group in table.groupby("income")])
    inputs = pd.get_dummies(table.drop(columns="income"))
    return inputs.to_numpy(dtype=np.float64), table["income"].to_numpy()


def _pneumonia() -> tuple[np.ndarray, np.ndarray]:
    """Return as many images of one class as of the other."""
    stored = np.load(SHARED / "pneumoniamnist" / "pneumoniamnist.npz")
    x = np.concatenate([stored["x_train"], stored["x_test"]]).reshape(-1, 784)
    y = np.concatenate([stored["y_train"], stored["y_test"]]).ravel()
    rows = np.concatenate([np.flatnonzero(y == label)[:1400] for label in (0, 1)])
    return x[rows], y[rows]
