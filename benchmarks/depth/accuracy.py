"""What networks learn: choices of a rate, and trainings at the chosen rate, in pieces of less than two minutes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from depth.networks import data, widths_of

from sparsefire import rules
from sparsefire.rules import Rule
from sparsefire.train import Training, build, train
from sparsefire.train.loop import outputs_of

Record = dict[str, Any]
EPOCHS = {"digits": 30, "mnist10k": 8}
BATCH = {"digits": 64, "mnist10k": 128}
REPLICATES = 5
TUNING = {"digits": (100, 101), "mnist10k": (100,)}  # replicates whose training rows choose rates
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
LOOKS = 12  # accuracies along the way, about


@dataclass(frozen=True)
class Arm:
    """A rule and how long it trains.

    Attributes:
        name: on the page.
        rule: name of the rule.
        rates: places in ``LADDER`` that are tried; where the best is at an end, the next one is tried, too.
        spends: None trains for the epochs of the place; ``"seconds"`` or ``"queries"`` as long as takes as much of
            these as ``like``.
        like: name of another arm.
    """

    name: str
    rule: str
    rates: tuple[int, ...] = (3, 4, 5)
    spends: str | None = None
    like: str = ""


ARMS = {
    arm.name: arm
    for arm in (
        Arm("backprop", "backprop"),
        Arm("unit-differences", "unit-differences"),
        Arm("node-perturbation", "node-perturbation", (2, 3, 4)),
        Arm("unit-differences, in the time of backprop", "unit-differences", (3, 4, 5), "seconds", "backprop"),
        Arm("node-perturbation, in the time of unit-differences", "node-perturbation", (2, 3), "seconds",
            "unit-differences"),
        Arm("node-perturbation, with the losses of unit-differences", "node-perturbation", (2, 3), "queries",
            "unit-differences"),
    )
}  # fmt: skip
EQUAL_QUERIES = "node-perturbation, with the losses of unit-differences"


@dataclass(frozen=True)
class Cell:
    """One kind of network on one data set; with_queries: at equal queries, too."""

    place: str
    depth: int
    width: int
    density: float
    with_queries: bool = False

    @property
    def key(self) -> dict[str, Any]:
        """What records say of it."""
        return {"place": self.place, "depth": self.depth, "width": self.width, "density": self.density}


@dataclass(frozen=True)
class Piece:
    """One choice of a rate (no rate, no replicate), or one training."""

    place: str
    depth: int
    width: int
    density: float
    arm: str
    epochs: int
    rate: float | None = None
    replicate: int | None = None


def pieces(cell: Cell, found: Iterable[Record]) -> list[Piece]:
    """Return all pieces of a cell that what is found so far lets one name, choices first."""
    here = [record for record in found if all(record[name] == value for name, value in cell.key.items())]
    chosen = {record["arm"]: record for record in here if record["replicate"] is None}
    listed, runs = [], []
    for arm in ARMS.values():
        if arm.name == EQUAL_QUERIES and not cell.with_queries:
            continue
        if arm.spends is not None and not {arm.rule, arm.like} <= set(chosen):
            continue
        epochs = EPOCHS[cell.place]
        if arm.spends is not None:
            each = [chosen[name][arm.spends] / chosen[name]["epochs"] for name in (arm.like, arm.rule)]
            epochs = max(1, round(epochs * each[0] / each[1]))
        listed.append(Piece(**cell.key, arm=arm.name, epochs=epochs))
        if arm.name in chosen:
            known = chosen[arm.name]
            listed[-1] = Piece(**cell.key, arm=arm.name, epochs=known["epochs"])
            runs += [
                Piece(**cell.key, arm=arm.name, epochs=known["epochs"], rate=known["best"], replicate=number)
                for number in range(REPLICATES)
            ]
    return listed + runs


def run(piece: Piece) -> Record:
    """Return the record of a piece."""
    return (
        choice(piece) if piece.rate is None else {**asdict(piece), **trained(piece, piece.rate, piece.replicate or 0)}
    )


def choice(piece: Piece) -> Record:
    """Choose the rate that is best on a fifth of the training rows; seconds and queries are those of one training."""
    tried: dict[int, list[Record]] = {}
    mean = lambda place: float(np.mean([one["accuracy"] for one in tried[place]]))  # noqa: E731
    ends = list(ARMS[piece.arm].rates)
    while ends:
        for place in ends:
            tried[place] = [trained(piece, LADDER[place], number, inner=True) for number in TUNING[piece.place]]
        best = max(tried, key=mean)
        ends = [place for place in (best - 1, best + 1) if 0 <= place < len(LADDER) and place not in tried]
        ends = ends if best in (min(tried), max(tried)) else []
    return {
        **asdict(piece),
        "best": LADDER[best],
        "tried": {f"{LADDER[place]:g}": mean(place) for place in sorted(tried)},
        "seconds": float(np.median([one["seconds"] for many in tried.values() for one in many])),
        "queries": float(np.mean([one["queries"] for one in tried[best]])),
    }


def trained(piece: Piece, rate: float, number: int, inner: bool = False) -> Record:
    """Train one network; seconds are CPU seconds of the training without the looks at its accuracy.

    Rows, first weights, masks and the order of rows are those of the replicate ``number``, whatever the rule.
    """
    rows, (test, truth) = data(piece.place, number, inner)
    net = build({"kind": "mlp", "widths": widths_of(piece.place, piece.depth, piece.width)}, rng=number)
    rule = rule_of(ARMS[piece.arm].rule, number)
    settings = Training(
        method="dense" if piece.density == 1 else "static", density=piece.density, rate=rate, epochs=piece.epochs,
        batch=BATCH[piece.place], init="in-degree",
    )  # fmt: skip
    every, looked, curve = -(-piece.epochs // LOOKS), 0.0, []

    def look(epoch: int, net: torch.nn.Module, loss: float) -> None:
        nonlocal looked
        if epoch % every and epoch < piece.epochs:
            return
        began = time.process_time()
        right = float((outputs_of(net, test).argmax(1) == truth).mean())
        curve.append([epoch, round(began - start - looked, 4), right, loss])
        looked += time.process_time() - began

    warm()
    start = time.process_time()
    train(net, *rows, settings, task="classification", rng=number, watch=look, rule=rule)
    return {
        "accuracy": curve[-1][2],
        "seconds": curve[-1][1],
        "queries": rule.budget.queries,
        "samples": rule.budget.samples,
        "passes": rule.budget.forward_passes,
        "curve": curve,
    }


def rule_of(name: str, number: int) -> Rule:
    """Return a fresh rule with its own settings."""
    if name == "backprop":
        return rules.Backprop()
    return (rules.UnitDifferences if name == "unit-differences" else rules.NodePerturbation)(rng=number)


@lru_cache
def warm() -> None:
    """Do once what takes longer the first time in a process, outside of all times."""
    x, y = np.ones((40, 64), np.float32), np.arange(40) % 10
    for method, density in (("dense", 1.0), ("static", 0.1)):
        for name in ("backprop", "unit-differences", "node-perturbation"):
            net = build({"kind": "mlp", "widths": widths_of("digits", 2, 64)})
            settings = Training(method=method, density=density, epochs=2, batch=20, init="in-degree")
            train(net, x, y, settings, task="classification", rng=0, rule=rule_of(name, 0))
