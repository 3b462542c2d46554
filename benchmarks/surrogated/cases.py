"""What is trained: one network per data set, density and replicate, sparse from its first step to its last."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.data import read_events
from sparsefire.masks import maskable
from sparsefire.randomness import integer, stream
from sparsefire.spiking import LIF, Sequential, encode_by_rate

Record = dict[str, Any]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REPLICATES = 5
DENSITIES = {"mnist": (1.0, 0.1, 0.03), "nmnist": (1.0, 0.3, 0.1)}
STEPS = {"mnist": 12, "nmnist": 16}
BATCH = {"mnist": 128, "nmnist": 32}
RATE = {"mnist": 2e-3, "nmnist": 8e-3}
EPOCHS = {"mnist": 6, "nmnist": 45}
SHIFT = {"mnist": 0, "nmnist": 3}
HIDDEN, TAU, LOST = 512, 8e-3, 0.1
TRIED: dict[str, tuple[Any, ...]] = {"epochs": (15, 45), "rate": (2e-3, 4e-3, 8e-3), "shift": (0, 3)}
"""What the epochs, rate and shift of N-MNIST were chosen from, at TRIED_AT, on HELD of the training recordings."""
TRIED_AT, HELD = (1.0, 0.1), 200
Inputs = Callable[[np.ndarray, int], Tensor]
"""Rows and a number → spikes [time, batch, input]."""


@dataclass(frozen=True)
class Case:
    """One training; one that is held has 200 of the training recordings held out, and is judged by them."""

    data: str
    density: float
    replicate: int
    rows: int | None = None
    epochs: int | None = None
    rate: float | None = None
    shift: int | None = None
    held: bool = False

    def settings(self) -> Record:
        """Return what tells its record from others."""
        named: Record = {"data": self.data, "density": self.density, "replicate": self.replicate, "held": self.held}
        if self.data == "linear":
            return named
        asked: list[tuple[str, Any, dict[str, Any]]] = [
            ("epochs", self.epochs, EPOCHS), ("rate", self.rate, RATE), ("shift", self.shift, SHIFT)
        ]  # fmt: skip
        return named | {name: usual[self.data] if own is None else own for name, own, usual in asked}


def network(data: str) -> Sequential:
    """Return 784 → 512 → 10, or two convolutions, 128 units and 10 sums; weights He normal, smaller for the sums."""
    if data == "mnist":
        net = Sequential(nn.Linear(784, HIDDEN), cells(HIDDEN), nn.Linear(HIDDEN, 10))
    else:
        net = Sequential(
            nn.Conv2d(2, 16, 5, stride=2), cells((16, 15, 15)), nn.Conv2d(16, 32, 5, stride=2), cells((32, 6, 6)),
            nn.Flatten(), nn.Linear(1152, 128), cells(128), nn.Linear(128, 10),
        )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        net[-1].weight *= 0.1  # type: ignore[operator]
    return net


def cells(shape: int | tuple[int, ...]) -> LIF:
    """Return neurons whose membranes a spike moves by its weight."""
    made = LIF(shape, tau=TAU, dt=1e-3)
    with torch.no_grad():
        made.r.copy_(1 / (1 - made.decay))
    return made


def mnist(part: str, case: Case) -> tuple[Inputs, np.ndarray]:
    """Return how rows become spikes, and the labels; a pixel fires with its brightness / 255 as probability."""
    stored = np.load(SHARED / "mnist" / "mnist.npz")
    x = torch.from_numpy(stored[f"x_{part}"][: case.rows].reshape(-1, 784)).float() / 255
    y = stored[f"y_{part}"][: case.rows].astype(np.int64)
    return (lambda chosen, number: encode_by_rate(x[chosen], STEPS["mnist"], rng=number)), y


def nmnist(part: str, case: Case) -> tuple[Inputs, np.ndarray]:
    """Return the same for the event camera: a pixel and polarity fires where it spoke within a step of 20 ms.

    In training each recording is moved by some pixels either way, and one spike in ten is lost.
    """
    found = read_events(SHARED / "nmnist_small" / "nmnist_small.npz", "train" if case.held else part)
    dense = found.binned(STEPS["nmnist"], duration=0.32).astype(np.uint8).reshape(STEPS["nmnist"], -1, *found.shape)
    labels, shift = found.labels, case.settings()["shift"]
    if case.held:
        order = stream(0, "surrogate held").permutation(len(labels))
        kept = order[HELD:] if part == "train" else order[:HELD]
        dense, labels = dense[:, kept], labels[kept]

    def spikes(chosen: np.ndarray, number: int) -> Tensor:
        x = dense[:, chosen]
        return torch.from_numpy((disturbed(x, number, shift) if part == "train" else x).astype(np.float32))

    return spikes, labels


def disturbed(x: np.ndarray, number: int, shift: int) -> np.ndarray:
    """Return spikes [time, batch, polarity, height, width], each recording moved, some lost."""
    rng, (height, width), out = stream(0, "disturbed", number), x.shape[-2:], np.zeros_like(x)
    for row in range(x.shape[1]):
        down, right = rng.integers(-shift, shift + 1, 2)
        there = (slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0)))
        here = (slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0)))
        out[:, row, :, there[0], there[1]] = x[:, row, :, here[0], here[1]]
    return out * (rng.random(out.shape, np.float32) >= LOST)


def run(case: Case) -> list[Record]:
    """Train and test one network; return one record."""
    if case.data == "linear":
        return linear(case)
    load = {"mnist": mnist, "nmnist": nmnist}[case.data]
    inputs, labels = load("train", case)
    settings, key = case.settings(), (case.data, case.replicate)
    epochs, rate = settings["epochs"], settings["rate"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(0, "surrogate", *key))
        net = network(case.data)
        rng, began = stream(0, "surrogate rows", *key), time.process_time()
        batches = -(-len(labels) // BATCH[case.data])
        optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, rate, total_steps=epochs * batches, pct_start=0.1, cycle_momentum=False
        )
        topology = None
        if case.density < 1:
            topology = sf.sparsify(
                net, case.density, method="rigl", optimizer=optimiser, scheduler=schedule, steps=epochs * batches,
                rng=integer(0, "surrogate mask", *key),
            )  # fmt: skip
        targets = torch.from_numpy(labels)
        for epoch in range(epochs):
            for number, rows in enumerate(np.array_split(rng.permutation(len(labels)), batches)):
                out, _ = net(inputs(rows, integer(0, "surrogate inputs", *key, epoch, number)))
                loss = nn.functional.cross_entropy(out.mean(0), targets[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                if topology is not None:
                    topology.step()
        spent = time.process_time() - began
    right, fired = judged(net, case)
    kept = sum(int(layer.weight.count_nonzero()) for layer in maskable(net).values())  # type: ignore[operator]
    return [
        {
            **settings, "accuracy": float(right.mean()), "weights": kept, "firing": fired, "seconds": spent,
            "rows": len(labels), "tested": len(right),
            **({"right": right.astype(int).tolist()} if len(right) <= 100 else {}),
        }
    ]  # fmt: skip


@torch.no_grad()
def judged(net: Sequential, case: Case) -> tuple[np.ndarray, float]:
    """Return which test rows are right, and the spikes per unit of the last hidden layer and step."""
    inputs, labels = {"mnist": mnist, "nmnist": nmnist}[case.data]("test", case)
    right, fired = [], []
    for number, rows in enumerate(np.array_split(np.arange(len(labels)), -(-len(labels) // 500))):
        x = inputs(rows, integer(0, "surrogate test", number))
        spikes, _ = Sequential(*net[:-1])(x)
        out = net[-1](spikes.mean(0))
        right.append(out.argmax(1).numpy() == labels[rows])
        fired.append(float(spikes.mean()))
    return np.concatenate(right), float(np.mean(fired))


def linear(case: Case) -> list[Record]:
    """Return the record of logistic regression on square roots of counts per pixel and polarity, C by folds."""
    began, parts = time.process_time(), []
    for part in ("train", "test"):
        found = read_events(SHARED / "nmnist_small" / "nmnist_small.npz", part)
        parts += [np.sqrt(found.binned(1, counts=True)[0]), found.labels]
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1e-3, 1e-2, 1e-1, 1.0]}, cv=5)
    model = search.fit(parts[0], parts[1]).best_estimator_
    right = model.predict(parts[2]) == parts[3]
    return [
        {
            **case.settings(), "accuracy": float(right.mean()), "weights": model.coef_.size, "firing": 0.0,
            "seconds": time.process_time() - began, "rows": len(parts[1]), "tested": len(right),
            "right": right.astype(int).tolist(),
        }
    ]  # fmt: skip


def all_cases() -> list[Case]:
    """Return the study, and first what its settings for N-MNIST were chosen by: one training each, not a replicate."""
    return [
        *tried(),
        *(
            Case(data, density, replicate)
            for replicate in range(REPLICATES)
            for data, densities in DENSITIES.items()
            for density in densities
        ),
        Case("linear", 1.0, 0),
    ]


def tried() -> list[Case]:
    """Return the trainings that are judged by recordings held out."""
    return [
        Case("nmnist", density, REPLICATES, epochs=epochs, rate=rate, shift=shift, held=True)
        for epochs, rate, shift in itertools.product(*TRIED.values())
        for density in TRIED_AT
    ]


def few() -> list[Case]:
    """Return one short training."""
    return [Case("mnist", 0.1, 0, rows=2000, epochs=2)]


def done(case: Case, found: Sequence[Record]) -> bool:
    """Return whether a case is stored."""
    return any(all(r.get(name) == value for name, value in case.settings().items()) for r in found)
