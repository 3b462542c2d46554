"""What is trained, and what it cost."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from gap.arms import BY_NAME, Arm
from gap.data import PLACES, SCALES, Rows, rows_of
from gap.masks import neighbours, shuffled, take_signs_
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation import init
from sparsefire.sparsity import recipe, sparsify
from sparsefire.sparsity.steps import SAM, needs_closure
from sparsefire.train import build
from sparsefire.train.loop import outputs_of, schedule

RATES = (3e-3, 1e-2, 2e-2)
HIGHER = (3e-2, 5e-2)  # tried one after the other where the highest so far is the best
TUNING = (100, 101)  # replicates whose training rows choose the rate and the scaling
WEIGHT_DECAY = 0.02
LOOK = 512  # rows that scores look at
LATE = 0.75  # share of the steps after which weights are averaged
FIRST = {"in-degree": init.in_degree_, "typical": init.typical_, "signs": init.signs_}


@dataclass(frozen=True)
class Case:
    """One arm at one density on one split; ``times`` the epochs of the place."""

    place: str
    arm: str
    density: float
    replicate: int
    times: float = 1.0


@dataclass(frozen=True)
class Setup:
    """What is chosen by held-out rows."""

    rate: float
    scale: str


def run(case: Case) -> dict[str, Any]:
    """Return the record of a case."""
    began = time.process_time()
    try:
        setup, tried = chosen(case.place, case.arm, case.density, case.times)
        found = trained(case, setup)[1]
    except UserError as error:
        return {**asdict(case), "missing": str(error)}
    return {
        **asdict(case), **asdict(setup), **found, "tried": tried, "seconds": round(time.process_time() - began, 1)
    }  # fmt: skip


@lru_cache
def chosen(place: str, arm: str, density: float, times: float) -> tuple[Setup, dict[str, float]]:
    """Return the rate and the scaling with the best mean accuracy on held-out training rows of two splits."""
    tried: dict[Setup, float] = {}
    for number, rate in enumerate((*RATES, *HIGHER)):
        if number >= len(RATES) and max(tried, key=lambda one: tried[one]).rate < (*RATES, *HIGHER)[number - 1]:
            break
        for scale in SCALES:
            setup = Setup(rate, scale)
            found = [trained(Case(place, arm, density, r, times), setup, inner=True)[1]["accuracy"] for r in TUNING]
            tried[setup] = float(np.mean(found))
    return max(tried, key=lambda one: tried[one]), {f"{one.rate:g} {one.scale}": v for one, v in tried.items()}


def trained(case: Case, setup: Setup, inner: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """Train one network and judge it; cost is relative to the dense network at ``times`` 1."""
    place, arm = PLACES[case.place], BY_NAME[case.arm]
    rows, test = rows_of(case.place, case.replicate, setup.scale, inner)
    net = build(
        {"kind": "mlp", "widths": [rows[0].shape[1], *place.hidden, int(rows[1].max()) + 1]}, rng=case.replicate
    )
    mask = _first_masks(net, arm, case, setup, inner)
    epochs = max(1, round(place.epochs * case.times))
    share = _fit(net, arm, 1.0 if arm.kind == "dense" else case.density, rows, setup.rate, (epochs, place.batch),
                 mask, case.replicate)  # fmt: skip
    right = outputs_of(net, test[0]).argmax(1) == test[1]
    weights = sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values())  # type: ignore[operator]
    dense = arm.kind == "dense" or (arm.method is not None and recipe(arm.method).memory == "dense")
    return net, {
        "accuracy": float(right.mean()),
        "weights": weights,
        "operations": share * epochs / place.epochs * (2 if "sam" in case.arm else 1),
        "memory": 1.0 if dense else case.density,
    }


def _first_masks(net: nn.Module, arm: Arm, case: Case, setup: Setup, inner: bool) -> dict[str, Any] | None:
    """Return what a borrowed or drawn mask is made from: priors by layer, or masks."""
    if arm.mask is None or arm.mask == "orthogonal":
        return None
    rng = np.random.default_rng([case.replicate, 23])
    if arm.mask == "neighbours":
        name, layer = next(iter(masks.maskable(net).items()))
        x = rows_of(case.place, case.replicate, setup.scale, inner)[0][0]
        return {name: neighbours(x, len(layer.weight), rng)}  # type: ignore[arg-type]
    other = "dense" if arm.mask == "dense signs" else "gmp"
    donor, _ = trained(Case(case.place, other, case.density, case.replicate, case.times), setup, inner)
    if arm.mask == "dense signs":
        return {"donor": donor}
    kept = {name: layer.weight != 0 for name, layer in masks.layers(donor).items()}  # type: ignore[misc]
    if ", " in arm.mask:
        how = arm.mask.split(", ")[1]
        kept = {name: shuffled(one, how, rng) for name, one in kept.items()}
    return {name: one.numpy().astype(float) for name, one in kept.items()}


def _fit(
    net: nn.Module,
    arm: Arm,
    density: float,
    rows: Rows,
    rate: float,
    length: tuple[int, int],
    mask: dict[str, Any] | None,
    number: int,
) -> float:
    """Train in place, and return the mean share of the weights that took part in a step."""
    x, y = torch.from_numpy(rows[0]), torch.from_numpy(rows[1])
    epochs, size = length
    per_epoch = -(-len(x) // size)
    steps = epochs * per_epoch
    matrices, others = [p for p in net.parameters() if p.ndim > 1], [p for p in net.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
    method = None if arm.method is None else recipe(arm.method)
    if method is not None and "closure" in method.needs:
        optimizer = SAM(optimizer)
    levels = method.moves.schedules(density) if method is not None else 1
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(max(1, steps // levels)))
    topology = None
    if method is not None:
        look = torch.from_numpy(np.random.default_rng([number, 29]).permutation(len(x))[:LOOK])
        layout = mask if mask is not None and "donor" not in mask else arm.layout
        topology = sparsify(
            net, density, method, layout, optimizer, scheduler, steps, data=(x[look], y[look]),
            loss=nn.functional.cross_entropy, pattern=arm.pattern, rng=number,
        )  # fmt: skip
    if mask is not None and "donor" in mask:
        take_signs_(net, mask["donor"])
    if arm.mask == "orthogonal":
        init.sparse_orthogonal_(net, rng=number)
    if arm.first != "own":
        FIRST[arm.first](net, rng=number)
    order = randomness.stream(number, "batches")
    mean, used = _Mean(net) if arm.averaged else None, 0.0
    net.train()
    for step in range(steps):
        if step % per_epoch == 0:
            blocks = torch.from_numpy(order.permutation(len(x))).split(size)
        block = blocks[step % per_epoch]
        if method is not None:
            used += (masks.density(net) if step % 10 == 0 else 0.0) * 10 + _asked(net) / 3

        def again(block: Tensor = block) -> Tensor:
            loss = nn.functional.cross_entropy(net(x[block]), y[block])
            loss.backward()
            return loss

        again()
        _ = optimizer.step(again) if needs_closure(optimizer) else optimizer.step()  # type: ignore[arg-type]
        scheduler.step()
        if topology is not None:
            topology.step()
        optimizer.zero_grad(set_to_none=True)
        if mean is not None and step >= LATE * steps:
            mean.add()
    if mean is not None:
        mean.write_()
    net.eval()
    masks.bake(net)
    return used / (-(-steps // 10) * 10) if method is not None else 1.0


def _asked(net: nn.Module) -> float:
    """Return the share of weights that a step gives a gradient to though they are absent: one product of three."""
    parts = [masks.mask_of(layer) for layer in masks.masked(net).values()]
    return 1 - masks.density(net) if any(part is not None and part.dense_gradient for part in parts) else 0.0


class _Mean:
    """The mean of the weights over steps."""

    def __init__(self, net: nn.Module) -> None:
        self.parts, self.count = list(net.parameters()), 0
        self.sums = [torch.zeros_like(part) for part in self.parts]

    @torch.no_grad()
    def add(self) -> None:
        self.count += 1
        for total, part in zip(self.sums, self.parts, strict=True):
            total += part

    @torch.no_grad()
    def write_(self) -> None:
        for total, part in zip(self.sums, self.parts, strict=True):
            part.copy_(total / self.count)
