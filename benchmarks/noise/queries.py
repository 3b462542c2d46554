"""A small network on digits that learns from two losses at a time, and from nothing else.

All trained numbers, both factors of products and biases, are moved by ±c at once, as ``sparsefire.rules.TwoQuery``
moves them. On products the size c is the noise η: the mean step has the penalty of that noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from noise.arms import BY_NAME, PLAIN, SPRED
from noise.digits import measured, rows_of
from noise.networks import Layer, forward, layers
from noise.regression import key_of
from torch import Tensor

from sparsefire.rules.directions import draw

Record = dict[str, Any]
WIDTHS, STEPS, BATCH, SMALL = [64, 32, 10], 15_000, 256, 0.03
RATES = (3e-3, 1e-2)
REPLICATES, INNER = tuple(range(5)), (101,)
STRENGTHS = {PLAIN: (0.0,), "product": (0.03, 0.1, 0.2), SPRED: (1e-3, 2e-3, 4e-3)}
"""η of noise on products; κ of the explicit penalty. Where there is no such noise, the perturbation is ``SMALL``."""


@dataclass(frozen=True)
class Queries:
    """Trainings of one arm at one rate on some replicates, at all strengths or those that are named."""

    arm: str
    rate: float
    strengths: tuple[float, ...]
    replicates: tuple[int, ...]
    inner: bool
    steps: int = STEPS


@torch.no_grad()
def two_losses(net: list[Layer], x: Tensor, y: Tensor, size: Tensor, numbers: torch.Generator) -> None:
    """Leave [L(p + cu) − L(p − cu)] / 2c · u in the ``.grad`` of all trained numbers, each network by itself.

    Args:
        net: of the networks.
        x, y: rows and classes, [networks, rows, ...].
        size: c, [networks].
        numbers: draw the signs u.
    """
    moves = [[_signs(part, numbers) for part in layer.trained] for layer in net]
    sides = []
    for side in (1.0, -1.0):
        weights, biases = [], []
        for layer, drawn in zip(net, moves, strict=True):
            moved = [p + side * _wide(size, p) * u for p, u in zip(layer.trained, drawn, strict=True)]
            weights.append(moved[0] if layer.factor is None else moved[0] * moved[1])
            biases.append(moved[-1])
        logits = forward(weights, biases, x)[-1]
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        sides.append(each.view(y.shape).mean(1))
    slope = (sides[0] - sides[1]) / (2 * size)
    for layer, drawn in zip(net, moves, strict=True):
        for part, u in zip(layer.trained, drawn, strict=True):
            part.grad = _wide(slope, part) * u


def _signs(part: Tensor, numbers: torch.Generator) -> Tensor:
    return draw("rademacher", 1, part.numel(), numbers).view(part.shape)


def _wide(values: Tensor, part: Tensor) -> Tensor:
    return values.view(-1, *[1] * (part.dim() - 1))


def run(piece: Queries) -> list[Record]:
    """Train, and return one record for each strength and replicate."""
    arm, numbers, each = BY_NAME[piece.arm], piece.replicates, len(piece.replicates)
    x, y, tx, ty = (torch.stack(parts) for parts in zip(*(rows_of(n, piece.inner) for n in numbers), strict=True))
    strengths = torch.tensor(piece.strengths).repeat_interleave(each)
    repeats, which = len(piece.strengths), torch.arange(each)[:, None]
    net = layers(arm, WIDTHS, strengths, torch.zeros_like(strengths), list(numbers) * repeats)
    size = strengths if piece.arm == "product" else torch.full_like(strengths, SMALL)
    optimizer = torch.optim.Adam([part for layer in net for part in layer.trained], lr=piece.rate, fused=True)
    orders = [torch.Generator().manual_seed(key_of("order", number)) for number in numbers]
    signs = torch.Generator().manual_seed(key_of("queries", piece.arm, str(piece.rate), str(numbers)))
    for step in range(piece.steps):
        pick = torch.stack([torch.randint(0, y.shape[1], (BATCH,), generator=generator) for generator in orders])
        two_losses(net, x[which, pick].repeat(repeats, 1, 1), y[which, pick].repeat(repeats, 1), size, signs)
        for layer in net:
            layer.pull_()
        optimizer.param_groups[0]["lr"] = piece.rate * 0.5 * (1 + math.cos(math.pi * step / piece.steps))
        optimizer.step()
    found = measured([layer.theta.detach() for layer in net], [layer.bias.detach() for layer in net], tx, ty)
    common = {"piece": "queries", "arm": piece.arm, "rate": piece.rate, "inner": piece.inner, "steps": piece.steps}
    return [
        common | {"strength": strength, "replicate": number} | {name: v[each * i + j] for name, v in found.items()}
        for i, strength in enumerate(piece.strengths) for j, number in enumerate(numbers)
    ]  # fmt: skip


def first() -> list[Queries]:
    """Return what chooses the rates."""
    return [Queries(arm, rate, s, INNER, True) for rate in RATES for arm, s in STRENGTHS.items()]


def second(found: Sequence[Record]) -> list[Queries]:
    """Return the trainings at the rates with the best inner accuracy, arm by arm and strength by strength."""
    groups: dict[tuple[str, float], list[float]] = {}
    for arm, strengths in STRENGTHS.items():
        for strength in strengths:
            groups.setdefault((arm, best_rate(found, arm, strength)), []).append(strength)
    return [Queries(arm, rate, tuple(s), REPLICATES, False) for (arm, rate), s in groups.items()]


def best_rate(found: Sequence[Record], arm: str, strength: float) -> float:
    """Return the rate with the best accuracy on the inner split."""
    rows = [r for r in found if r["piece"] == "queries" and r["inner"] and (r["arm"], r["strength"]) == (arm, strength)]
    return max(RATES, key=lambda rate: float(np.mean([r["accuracy"] for r in rows if r["rate"] == rate])))


def done(piece: Queries, found: Sequence[Record]) -> bool:
    """Say whether the records of a piece are there."""
    wanted = asdict(piece)
    there = {
        (r["strength"], r["replicate"])
        for r in found if r["piece"] == "queries" and all(r[k] == wanted[k] for k in ("arm", "rate", "inner", "steps"))
    }  # fmt: skip
    return all((s, n) in there for s in piece.strengths for n in piece.replicates)
