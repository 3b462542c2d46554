"""A training as that of ``sparsefire.train``, and three things more: SGD and HAM, given masks, and a look inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.sparsity import HAM, Recipe, sparsify
from sparsefire.sparsity.topology.base import Topology
from sparsefire.train.loop import schedule

LOOK = 512  # as in sparsefire.train
Look = Callable[[int, nn.Module, Topology | None], None]


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes:
        recipe: None for dense.
        density, layout: of the recipe.
        optimizer: ``"adamw"``, decay 0.02, decoupled, or ``"sgd"``, momentum 0.9, decay 5e-4.
        rate: the highest of warm-up and half a cosine.
        alpha: of HAM; None without.
        epochs, batch: length.
    """

    recipe: Recipe | None
    density: float
    layout: str | None
    optimizer: str
    rate: float
    alpha: float | None
    epochs: int
    batch: int


def train(
    net: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    plan: Plan,
    *,
    rng: int,
    given: Callable[[dict[str, Tensor]], Mapping[str, Tensor]] | None = None,
    look: Look | None = None,
) -> dict[str, Tensor]:
    """Train a network in place, leave it as a plain module with exact zeros, and return its last masks.

    Args:
        net: freshly initialised.
        x, y: rows and classes.
        plan: see :class:`Plan`.
        rng: masks and batch order, drawn as ``sparsefire.train`` draws them.
        given: from the masks that the recipe starts with to those that are trained; weights keep their first values.
        look: called with the number of the step, after the optimizer and before masks move.
    """
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    per_epoch = len(rows) // plan.batch + (len(rows) % plan.batch > 1)
    steps = plan.epochs * per_epoch
    optimizer = optimizer_of(net, plan)
    parts = 1 if plan.recipe is None else plan.recipe.moves.schedules(plan.density, **plan.recipe.options)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(max(1, steps // parts)))
    topology = None
    if plan.recipe is not None:
        seen = torch.from_numpy(randomness.stream(rng, "rows to look at").permutation(len(rows))[:LOOK])
        first = {name: layer.weight.detach().clone() for name, layer in masks.maskable(net).items()}  # type: ignore[operator]
        topology = sparsify(
            net, plan.density, plan.recipe, plan.layout, optimizer, scheduler, steps,
            data=(rows[seen], targets[seen]), loss=nn.functional.cross_entropy, rng=randomness.integer(rng, "masks"),
        )  # fmt: skip
        if given is not None:
            for name, mask in given(masks.masks(net)).items():
                layer = masks.masked(net)[name]
                masks.write_mask_(layer, mask)
                masks.write_weight_(layer, first[name])
    order = randomness.stream(rng, "batches")
    step = 0
    for _ in range(plan.epochs):
        net.train()
        blocks = torch.from_numpy(order.permutation(len(rows))).split(plan.batch)
        for block in blocks[:per_epoch]:
            nn.functional.cross_entropy(net(rows[block]), targets[block]).backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if look is not None:
                look(step, net, topology)
            if topology is not None:
                topology.step()
            optimizer.zero_grad(set_to_none=True)
    net.eval()
    last = {name: mask.clone() for name, mask in masks.masks(net).items()}
    masks.bake(net)
    return last or {name: torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in masks.layers(net).items()}  # type: ignore[arg-type]


def optimizer_of(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Return the optimizer of a plan; biases and norms do not decay."""
    decay = 0.02 if plan.optimizer == "adamw" else 5e-4
    groups: list[dict[str, Any]] = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if plan.optimizer == "adamw":
        plain: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=plan.rate, fused=True)
    else:
        plain = torch.optim.SGD(groups, lr=plan.rate, momentum=0.9)
    return plain if plan.alpha is None else HAM(plain, alpha=plan.alpha)
