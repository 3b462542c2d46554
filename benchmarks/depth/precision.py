"""How near the estimate is to the gradient, by depth and by the size of the step: truncation above, rounding below."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from depth.cost import gradient
from depth.networks import batch, data, network
from torch import nn

from sparsefire.rules import Backprop, UnitDifferences
from sparsefire.train import Training, train
from sparsefire.train.loop import loss_of

SCALES = tuple(10.0**-power for power in range(1, 8))
TRAINED = Training(rate=3e-3, epochs=6, batch=128)


@dataclass(frozen=True)
class Precision:
    """One network whose estimates are compared; trained is after 6 epochs of back-propagation."""

    depth: int
    width: int
    trained: bool
    place: str = "mnist10k"


def run(case: Precision) -> dict[str, Any]:
    """Return cosine and relative error |ĝ − ∇L| / |∇L| by type, side and step; ∇L is back-propagated in float64."""
    net = network(case.place, case.depth, case.width, 1.0)
    if case.trained:
        train(net, *data(case.place, 0)[0], TRAINED, task="classification", rng=0)
    x, y = batch(case.place, 128)
    by_row, mean = loss_of("classification", per_row=True), loss_of("classification")
    net = net.double()
    truth = gradient(net, lambda: Backprop()(net, mean, x.double(), y))
    found = []
    for kind in (torch.float32, torch.float64):
        net, inputs = net.to(kind), x.to(kind)
        for sided in ("one", "two"):
            for scale in SCALES:
                rule = UnitDifferences(scale=scale, sided=sided)
                estimate = gradient(net, lambda: rule(net, by_row, inputs, y)).double()  # noqa: B023
                cosine = float(nn.functional.cosine_similarity(estimate, truth, dim=0))
                error = float((estimate - truth).norm() / truth.norm())
                bits = torch.finfo(kind).bits
                found.append({"bits": bits, "sided": sided, "scale": scale, "cosine": cosine, "error": error})
    with torch.no_grad():
        loss = float(mean(net(x.double()), y))
    return {**asdict(case), "loss": loss, "estimates": found}
