"""The networks that are trained without derivatives, what they are to reach, and one training."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from targets.rows import rows_of

from sparsefire.train import Training, build, outputs_of, train
from sparsefire.train.learners import LEARNERS

REPLICATES = 5
TUNING = 100
"""Number of the first replicate that chooses rates; those of the tables are numbered from 0."""


@dataclass(frozen=True)
class Job:
    """A network, a rule, and the figures it is held to.

    Attributes:
        name: row of the table.
        data: see :func:`targets.rows.rows_of`.
        rule: a name in ``LEARNERS``.
        hidden: widths.
        minutes: that a training may take.
        target, stretch: share of test rows told right.
        components: whitened inputs; 0 for pixels.
        method, density: the sparse structure, fixed before training.
        epochs, batch, directions: of each training.
        rates: the highest rates that tuning chooses from.
    """

    name: str
    data: str
    rule: str
    hidden: tuple[int, ...]
    minutes: float
    target: float | None = None
    stretch: float | None = None
    components: int = 0
    method: str = "static"
    density: float = 1.0
    epochs: int = 20
    batch: int = 128
    directions: int = 1
    rates: tuple[float, ...] = (1e-3, 3e-3)


def _black_box(data: str, **other: Any) -> Job:
    return Job("black box: two losses per direction", data, "two-query", batch=512, directions=32, **other)


def _units(data: str, **other: Any) -> Job:
    return Job("node perturbation", data, "node-perturbation", **other)


def _fields(data: str, name: str, rule: str, **other: Any) -> Job:
    return Job(name, data, rule, (256,), method="fields", density=0.095 if data == "mnist" else 0.1, **other)


def _random(data: str, name: str, rule: str, **other: Any) -> Job:
    return replace(_fields(data, name, rule, **other), method="static")


def _limited(name: str, rule: str, **other: Any) -> Job:
    """Return a job of 20 CPU seconds on the network that the figures of other packages are for."""
    one = Job(name, "enlarged", rule, (300, 100), 1 / 3, 0.80, 0.93, density=0.02, rates=(3e-3, 1e-2), epochs=100)
    return replace(one, **other)


DIFFERENCES = "unit-wise differences"
FEEDBACK = "direct feedback alignment"
EXACT = "back-propagation"
WIDER = (1e-3, 3e-3, 8e-3)
JOBS = (
    _black_box("digits", hidden=(31,), components=20, minutes=1, target=0.95, stretch=0.97, epochs=1000,
               rates=(5e-3, 1e-2)),
    _units("digits", hidden=(64,), minutes=1, target=0.95, stretch=0.97, epochs=300, directions=4),
    _random("digits", f"{DIFFERENCES}, random mask", "unit-differences", minutes=1, epochs=120, rates=(3e-3, 1e-2)),
    _random("digits", f"{EXACT}, random mask", "backprop", minutes=1, epochs=120, rates=(3e-3, 1e-2)),
    _black_box("mnist", hidden=(32,), components=25, minutes=10, target=0.94, stretch=0.95, epochs=80,
               rates=(5e-3, 1e-2)),
    _random("mnist", f"{FEEDBACK}, random mask", "direct-feedback-alignment", minutes=1, target=0.95, stretch=0.965,
            epochs=15, rates=WIDER),
    _fields("mnist", f"{FEEDBACK}, fields", "direct-feedback-alignment", minutes=1, target=0.95, stretch=0.965,
            epochs=15, rates=WIDER),
    _random("mnist", f"{DIFFERENCES}, random mask", "unit-differences", minutes=10, target=0.97, epochs=12,
            rates=WIDER),
    _fields("mnist", f"{DIFFERENCES}, fields", "unit-differences", minutes=10, target=0.97, epochs=12, rates=WIDER),
    Job(f"{DIFFERENCES}, dense", "mnist", "unit-differences", (256,), 10, 0.98, 0.983, epochs=12, rates=WIDER),
    _random("mnist", f"{EXACT}, random mask", "backprop", minutes=10, epochs=12, rates=WIDER),
    _fields("mnist", f"{EXACT}, fields", "backprop", minutes=10, epochs=12, rates=WIDER),
    Job(f"{EXACT}, dense", "mnist", "backprop", (256,), 10, epochs=12, rates=WIDER),
    _units("mnist", hidden=(256,), components=50, minutes=10, target=0.96, stretch=0.97, epochs=80, batch=256,
           directions=4, rates=(3e-3, 6e-3)),
    Job("forward mode on activities", "mnist", "activity-forward-gradient", (256,), 10, 0.96, 0.97, components=50,
        epochs=80, batch=256, directions=4, rates=(3e-3, 6e-3)),
    _limited("black box: two losses per direction", "two-query", directions=32),
    _limited("black box: one loss per direction", "one-query", directions=64),
    _limited("forward gradient", "forward-gradient", directions=32),
    _limited("black box, dense", "two-query", directions=16, density=1.0, epochs=30),
    _limited("black box, narrow dense", "two-query", directions=32, density=1.0, hidden=(7,)),
    _limited("node perturbation", "node-perturbation", directions=4),
    _limited(DIFFERENCES, "unit-differences"),
    _limited(EXACT, "backprop"),
    _limited(f"{EXACT}, narrow dense", "backprop", density=1.0, hidden=(7,)),
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One training: a job, the rate, the replicate, and whether it chooses the rate."""

    job: Job
    rate: float
    replicate: int
    inner: bool


def run(piece: Piece) -> dict[str, Any]:
    """Train a network once and judge it."""
    job = piece.job
    (x, y), (other, truth) = rows_of(job.data, piece.replicate, job.components, piece.inner)
    net = build({"kind": "mlp", "widths": [x.shape[1], *job.hidden, 10]}, rng=piece.replicate)
    rule = LEARNERS[job.rule].make(piece.replicate, job.directions)
    how = Training(
        job.method if job.density < 1 else "dense", job.density, rate=piece.rate, epochs=job.epochs, batch=job.batch,
        weight_decay=0.0,
    )  # fmt: skip
    curve: list[tuple[float, int, float]] = []
    began, spent = time.process_time(), 0.0

    def look(epoch: int, net: Any, loss: float) -> None:
        nonlocal spent
        now = time.process_time()
        if epoch == 1 or epoch % max(1, job.epochs // 20) == 0:
            curve.append((now - began - spent, rule.budget.queries, right(net, other, truth)))
        spent += time.process_time() - now

    net = train(net, x, y, how, task="classification", rng=piece.replicate, watch=look, rule=rule)
    seconds = time.process_time() - began - spent
    return {
        "piece": asdict(piece), "accuracy": right(net, other, truth), "seconds": seconds,
        "weights": sum(int((p != 0).sum()) for p in net.parameters() if p.ndim > 1),
        "parameters": sum(int((p != 0).sum()) for p in net.parameters()), "budget": asdict(rule.budget),
        "curve": curve,
    }  # fmt: skip


def right(net: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows told right."""
    return float((outputs_of(net, x).argmax(1) == y).mean())
