"""Arms of the study: a spiking network learns digits on a chip, without its constraints, and by back-propagation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.randomness import integer, stream
from sparsefire.rules import Backprop, NodePerturbation
from sparsefire.spiking import LIF, LOIHI, Chip, Sequential, constrain, energy
from sparsefire.spiking.chips.constraints import device_of

Record = dict[str, Any]

REPLICATES = 5
HIDDEN, STEPS, DT = 64, 20, 2e-3
BATCH, EPOCHS, SHORT = 32, 80, 4
CHIP = Chip(weight_bits=4, mismatch=0.2, backward=False)
ROUNDED = Chip(weight_bits=4, mismatch=0.2, backward=False, stochastic_rounding=True)
WRITTEN = Chip(weight_bits=4, mismatch=0.2, backward=False, scale=0.15)  # levels of one size, for ever


@dataclass(frozen=True)
class Arm:
    """One way to learn: the chip during training, and the rule with its learning rate at the start.

    With ``written`` a weight is one of the chip's levels and nothing more: after each update it is written there,
    rounded at random, and what is left over is lost. Nothing is kept for a weight beside it, so no momentum either.
    """

    name: str
    chip: Chip | None
    rule: str
    rate: float
    written: bool = False
    batch: int = BATCH


ARMS = (
    Arm("on the chip", CHIP, "node perturbation", 0.1),
    Arm("on the chip, rounding at random", ROUNDED, "node perturbation", 0.1),
    Arm("on the chip, stored at 4 bits", WRITTEN, "node perturbation", 0.6, written=True),
    Arm("on the chip, stored at 4 bits, large batches", WRITTEN, "node perturbation", 4.0, written=True, batch=256),
    Arm("no constraints", None, "node perturbation", 0.1),
    Arm("back-propagation, no constraints", None, "back-propagation", 0.3),
)


@dataclass(frozen=True)
class Piece:
    """One training."""

    arm: Arm
    replicate: int
    epochs: int = EPOCHS


class Network(nn.Module):
    """Pixels are constant currents into spiking neurons; an accumulator for each class adds up their spikes.

    Σ_t W s_t = W Σ_t s_t, so that the readout is applied once, to firing rates: every layer is called once with a row
    for each sample, which is what node perturbation asks for.
    """

    def __init__(self, rng: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, HIDDEN)
        self.cells = LIF(HIDDEN, tau=20e-3, dt=DT)
        self.readout = nn.Linear(HIDDEN, 10)
        draws = stream(rng, "weights")
        with torch.no_grad():
            self.hidden.weight.copy_(torch.from_numpy(draws.normal(0, 2 / 8, (HIDDEN, 64))))
            self.hidden.bias.fill_(0.5)
            self.readout.weight.copy_(torch.from_numpy(draws.normal(0, 0.3, (10, HIDDEN))))
            self.readout.bias.zero_()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the accumulators over steps [rows, class] for pixels [rows, 64]."""
        current = self.hidden(pixels)
        spikes, _ = self.cells(current.expand(STEPS, *current.shape))
        return self.readout(spikes.mean(0))


def split(replicate: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return pixels and digits to learn from, and to test on."""
    x, y = load_digits(return_X_y=True)
    a, b, c, d = train_test_split((x / 16).astype(np.float32), y, test_size=0.25, random_state=replicate, stratify=y)
    return torch.from_numpy(a), torch.from_numpy(c), torch.from_numpy(b), torch.from_numpy(d)


def by_row(output: Tensor, y: Tensor) -> Tensor:
    """Return the cross entropy of each row."""
    return nn.functional.cross_entropy(output, y, reduction="none")


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of rows that are classified right."""
    with torch.no_grad():
        return float((net(x).argmax(1) == y).float().mean())


@torch.no_grad()
def write_(net: Network, draws: np.random.Generator) -> None:
    """Write the weights at the levels of their chip: up with the probability of the remainder."""
    for layer in (net.hidden, net.readout):
        weight, device = masks.own_parameter(layer), device_of(layer)
        assert device is not None
        levels, up = WRITTEN.levels or 0, torch.from_numpy(draws.random(tuple(weight.shape), np.float32))
        scale = device.scale(weight, levels)
        weight.copy_(torch.floor(weight / scale + up).clamp(-levels, levels) * scale)


def run(piece: Piece) -> list[Record]:
    """Train once and return one record."""
    arm, rng = piece.arm, piece.replicate
    x, y, x_test, y_test = split(rng)
    net = Network(rng)
    if arm.chip is not None:
        constrain(net, arm.chip, rng=rng)
    perturb = NodePerturbation(scale=0.3, directions=8, rng=integer(rng, "rule"))
    rule = perturb if arm.rule == "node perturbation" else Backprop()
    loss = by_row if arm.rule == "node perturbation" else nn.functional.cross_entropy
    optimizer = torch.optim.SGD(net.parameters(), lr=arm.rate, momentum=0.0 if arm.written else 0.9)
    order, draws, updates, curve = stream(rng, "order"), stream(rng, "writing"), 0, []
    if arm.written:
        write_(net, draws)
    total = piece.epochs * -(-len(x) // arm.batch)
    begun = time.process_time()
    for epoch in range(piece.epochs):
        if epoch in (0, 1, 2, 4, 8, 16, 32, 64):
            curve.append([updates, accuracy(net, x_test, y_test)])
        for rows in torch.from_numpy(order.permutation(len(x))).split(arm.batch):
            optimizer.param_groups[0]["lr"] = arm.rate * (1 - updates / total)
            optimizer.zero_grad()
            rule(net, loss, x[rows], y[rows])  # type: ignore[operator]
            optimizer.step()
            if arm.written:
                write_(net, draws)
            updates += 1
    seconds = time.process_time() - begun
    curve.append([updates, accuracy(net, x_test, y_test)])
    clocked = Sequential(net.hidden, net.cells, net.readout)  # what a chip does: every layer in every step
    cost = energy(clocked, x_test.expand(STEPS, *x_test.shape), costs=LOIHI)
    record = {
        "arm": arm.name, "replicate": piece.replicate, "epochs": piece.epochs, "curve": curve, "accuracy": curve[-1][1],
        "train": accuracy(net, x, y), "seconds": seconds, "losses": rule.budget.queries, "joules": cost.joules,
        "sparsity": cost.activation_sparsity, "bytes": cost.weight_bytes,
    }  # fmt: skip
    if arm.chip is None:  # what is left of it on the chip, if it learned elsewhere
        record["moved"] = accuracy(constrain(net, CHIP, rng=rng), x_test, y_test)
    return [record]


def everything() -> list[Piece]:
    """Return all pieces."""
    return [Piece(arm, replicate) for replicate in range(1, REPLICATES + 1) for arm in ARMS]


def few() -> list[Piece]:
    """Return those of a quick look."""
    return [Piece(arm, 1, SHORT) for arm in (ARMS[0], ARMS[-1])]


def done(piece: Piece, records: list[Record]) -> bool:
    """Say whether a piece is finished."""
    return any(
        (r["arm"], r["replicate"], r["epochs"]) == (piece.arm.name, piece.replicate, piece.epochs) for r in records
    )
