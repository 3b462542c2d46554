"""What one call costs: milliseconds, losses and multiplications, beside back-propagation and a forward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from depth.networks import batch, network
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.rules import Backprop, NodePerturbation, UnitDifferences
from sparsefire.train.loop import loss_of

ROWS = 128
ROUNDS = 7
FEWER = 3  # rounds where a call takes longer than half a second
LEAST = 0.999  # cosine with the back-propagated gradient, or the time is worth nothing


@dataclass(frozen=True)
class Cost:
    """One network whose calls are timed."""

    depth: int
    width: int
    density: float
    place: str = "mnist10k"


def run(case: Cost) -> dict[str, Any]:
    """Time the calls in turns, and return the record.

    Raises:
        ArithmeticError: the estimate that was timed is not the gradient.
    """
    net = network(case.place, case.depth, case.width, case.density)
    x, y = batch(case.place, ROWS)
    by_row, mean = loss_of("classification", per_row=True), loss_of("classification")
    rule, exact, noisy = UnitDifferences(rng=0), Backprop(), NodePerturbation(rng=0)

    @torch.no_grad()
    def forward() -> None:
        by_row(net(x), y)

    jobs: dict[str, Callable[[], Any]] = {
        "unit-differences": lambda: rule(net, by_row, x, y),
        "backprop": lambda: exact(net, mean, x, y),
        "node-perturbation": lambda: noisy(net, by_row, x, y),
        "forward": forward,
    }
    found = {name: gradient(net, jobs[name]) for name in ("unit-differences", "backprop")}
    cosine = float(nn.functional.cosine_similarity(found["unit-differences"], found["backprop"], dim=0))
    if not cosine > LEAST:
        raise ArithmeticError(f"{case}: the estimate has a cosine of {cosine:.4f} with the gradient")
    turns: dict[str, list[float]] = {name: [] for name in jobs}
    while len(turns["forward"]) < (FEWER if sum(turns["unit-differences"][:1]) > 0.5 else ROUNDS):
        for name, job in jobs.items():
            turns[name].append(seconds(job, 1 if name == "unit-differences" else 5))
            net.zero_grad()
    weights = sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values())  # type: ignore[operator]
    spent = rule.budget
    return {
        **asdict(case),
        "cosine": cosine,
        "milliseconds": {name: 1e3 * statistics.median(values) for name, values in turns.items()},
        "ratio": statistics.median(
            a / b for a, b in zip(turns["unit-differences"], turns["backprop"], strict=True)
        ),
        "queries": spent.queries / spent.samples,
        "weights": weights,
        "products": (spent.forward_passes / spent.calls - 2) * weights,  # a clean pass and the derivatives of layers
    }  # fmt: skip


def gradient(net: nn.Module, call: Callable[[], Any]) -> Tensor:
    """Return what a call leaves in ``.grad``, in one vector, and clear it.

    Rules differentiate a masked layer by its weight times the mask, so absent weights get zero.
    """
    net.zero_grad()
    call()
    found = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    net.zero_grad()
    return found


def seconds(job: Callable[[], Any], times: int) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - began) / times
