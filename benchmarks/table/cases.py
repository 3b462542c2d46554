"""What is trained for the table of methods: places, settings, one record per case."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.train import Training, build, train
from sparsefire.train.loop import outputs_of
from sparsefire.train.networks import narrow, weight_count

RATES = (3e-3, 1e-2, 3e-2)
TUNING = 100  # the number of the replicate on whose training rows rates are chosen
ALONE = ("dense", "narrow")


@dataclass(frozen=True)
class Place:
    """Data, network and length of the training.

    Attributes:
        name: of the data.
        hidden: widths of the hidden layers.
        epochs, batch: of every training, whatever the method.
        fixed: whether the test rows are the same for all replicates.
    """

    name: str
    hidden: tuple[int, ...]
    epochs: int
    batch: int
    fixed: bool = False


PLACES = {
    place.name: place
    for place in (
        Place("digits", (128, 128), 40, 64),
        Place("adult", (128, 64), 8, 128),
        Place("mnist10k", (300, 100), 15, 128, fixed=True),
        Place("pneumonia", (128, 64), 15, 64, fixed=True),
        Place("golub", (64,), 60, 16),
    )
}


@dataclass(frozen=True)
class Case:
    """One method at one density on one split; density 1 for dense."""

    place: str
    method: str
    density: float
    replicate: int


def run(case: Case) -> dict[str, Any]:
    """Return the record of a case: accuracy at the rate that was best on the tuning split, weights, CPU seconds."""
    began = time.process_time()
    try:
        rate, tried = best_rate(case.place, case.method, case.density)
        found = trained(case, rate)
    except UserError as error:
        found, rate, tried = {"missing": str(error)}, 0.0, {}
    return {**asdict(case), "rate": rate, "tried": tried, **found, "seconds": round(time.process_time() - began, 2)}


@lru_cache
def best_rate(place: str, method: str, density: float) -> tuple[float, dict[str, float]]:
    """Return the rate with the best accuracy on a fifth of the training rows of a split of its own."""
    tried = {}
    for rate in RATES:
        case = Case(place, method, density, TUNING)
        tried[str(rate)] = trained(case, rate, inner=True)["accuracy"]
    return max(RATES, key=lambda rate: tried[str(rate)]), tried


def trained(case: Case, rate: float, inner: bool = False) -> dict[str, Any]:
    """Train one network and judge it on rows it has not seen."""
    place = PLACES[case.place]
    x, y, test, truth = split(case.place, case.replicate)
    if inner:
        x, test, y, truth = train_test_split(x, y, test_size=0.2, random_state=7, stratify=y)
    description: dict[str, Any] = {"kind": "mlp", "widths": [x.shape[1], *place.hidden, int(y.max()) + 1]}
    if case.method == "narrow":
        description = narrow(description, round(case.density * weight_count(description)))
    net = build(description, rng=case.replicate)
    training = Training(
        "dense" if case.method in ALONE else case.method,
        1.0 if case.method in ALONE else case.density,
        rate=rate,
        epochs=place.epochs,
        batch=place.batch,
    )
    began = time.process_time()
    net = train(net, x, y, training, task="classification", rng=case.replicate)
    spent = time.process_time() - began
    wanted = None if case.method in ALONE else case.density
    right = outputs_of(net, test).argmax(1) == truth
    weights = sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values())  # type: ignore[operator]
    return {"accuracy": float(right.mean()), "weights": weights, "training_seconds": spent, "asked": wanted}


@lru_cache
def split(name: str, replicate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised rows and classes to train on, and those to judge on."""
    place = PLACES[name]
    x, y, cut = _rows(name)
    if place.fixed:
        rows = np.random.default_rng([replicate, 11]).permutation(cut)[: _size(name, cut)]
        x, y, test, truth = x[rows], y[rows], x[cut:], y[cut:]
    else:
        x, test, y, truth = train_test_split(x, y, test_size=0.3, random_state=replicate, stratify=y)
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 0, spread, 1)
    return (
        ((x - mean) / spread).clip(-5, 5).astype(np.float32), y,
        ((test - mean) / spread).clip(-5, 5).astype(np.float32), truth,
    )  # fmt: skip


def _size(name: str, cut: int) -> int:
    return 10_000 if name == "mnist10k" else int(0.8 * cut)


@lru_cache
def _rows(name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return rows, classes and where the test rows begin."""
    from fate.data import SHARED

    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return x, y.astype(np.int64), 0
    if name == "adult":
        table = pd.read_csv(SHARED / "adult" / "adult_train.csv.gz", keep_default_na=False).iloc[:9000]
        inputs = pd.get_dummies(table.drop(columns="income")).to_numpy(dtype=np.float64)
        return inputs, pd.factorize(table["income"], sort=True)[0].astype(np.int64), 0
    if name == "golub":
        stored = np.load(SHARED / "golub" / "golub.npz")
        x = stored["x"].astype(np.float64)
        return x, np.unique(stored["y"], return_inverse=True)[1].astype(np.int64), 0
    stored = np.load(SHARED / ("mnist/mnist.npz" if name == "mnist10k" else "pneumoniamnist/pneumoniamnist.npz"))
    cut = len(stored["x_train"])
    x = np.concatenate([stored["x_train"], stored["x_test"]]).reshape(-1, 784).astype(np.float64)
    return x, np.concatenate([stored["y_train"], stored["y_test"]]).ravel().astype(np.int64), cut
