"""The variance of one estimate on one batch, by the package's own rules, against weights and against units."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from dimension.laws import node_variance
from dimension.pictures import rows_of
from torch import Tensor, nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.rules.active import Active

ROWS, NETWORKS = 256, 5
DRAWS = {"two-query": 60, "node-perturbation": 30}
STEPS = 100  # of Adam with back-propagation, before the second look
WIDTHS = (16, 64, 256)
DENSITIES = {"digits": (1.0, 0.5, 0.25, 0.1), "mnist10k": (1.0, 0.3, 0.1, 0.03, 0.01)}
RULES = {
    "two-query": lambda rng: sf.rules.TwoQuery(scale=1e-3, rng=rng),
    "node-perturbation": lambda rng: sf.rules.NodePerturbation(scale=1e-2, rng=rng),
}


def network(place: str, width: int, density: float, number: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a perceptron with one random mask and He weights by in-degree, and a batch."""
    rows, _ = rows_of(place, number)
    x, y = (torch.from_numpy(part[:ROWS]) for part in rows)
    net = nn.Sequential(nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, 10))
    if density < 1:
        sf.sparsify(net, density, "static", layout="uniform", rng=number)
    stream = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for layer in (net[0], net[2]):
            kept = layer.weight.detach() != 0
            scale = (2 / kept.sum(1, keepdim=True).clamp_min(1)).sqrt()
            drawn = torch.randn(kept.shape, generator=stream) * scale * kept
            masks.write_weight_(layer, drawn)
            layer.bias.zero_()
    return net, x, y


def run(place: str, width: int, density: float, quick: bool = False) -> dict[str, Any]:
    """Return relative variances of networks of one size, at the start and after some training."""
    found: dict[str, list[list[float]]] = {rule: [] for rule in (*RULES, "law")}
    active = 0
    for number in range(1 if quick else NETWORKS):
        net, x, y = network(place, width, density, number)
        looks = []
        for _ in range(2):
            view = Active(net)
            active = view.size
            gradient = _estimate(sf.rules.Backprop(), net, view, x, y)
            size = float(gradient.double().square().sum())
            look = {"law": _law(net, x, y, gradient)}
            for name, make in RULES.items():
                rule, errors = make(number), []
                for _ in range(3 if quick else DRAWS[name]):
                    apart = _estimate(rule, net, view, x, y) - gradient
                    errors.append(float(apart.double().square().sum()) / size)
                look[name] = float(np.mean(errors))
            looks.append(look)
            _train(net, x, y, 3 if quick else STEPS)
        for name, values in found.items():
            values.append([look[name] for look in looks])
    return {
        "part": "variance", "place": place, "width": width, "density": density, "active": active, "units": width + 10,
        **{name: values for name, values in found.items()},
    }  # fmt: skip


def _estimate(rule: Any, net: nn.Module, view: Active, x: Tensor, y: Tensor) -> Tensor:
    net.zero_grad()
    per_row = "none" if rule.per_example else "mean"
    rule(net, lambda output, target: nn.functional.cross_entropy(output, target, reduction=per_row), x, y)
    return view.gradient()


def _train(net: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    optimizer, rule = torch.optim.Adam(net.parameters(), 3e-3), sf.rules.Backprop()
    stream = torch.Generator().manual_seed(0)
    for _ in range(steps):
        index = torch.randint(len(x), (64,), generator=stream)
        rule(net, nn.functional.cross_entropy, x[index], y[index])
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def _law(net: nn.Sequential, x: Tensor, y: Tensor, gradient: Tensor) -> float:
    """Return what the law says of node perturbation on this batch."""
    before = net[0](x)
    after = before.relu()
    far = net[2](after).softmax(1) - nn.functional.one_hot(y, 10)
    near = (far @ net[2].weight) * (before > 0)  # type: ignore[operator]
    squares = [
        inputs.square() @ (layer.weight != 0).float().T + 1  # type: ignore[union-attr]
        for inputs, layer in ((x, net[0]), (after, net[2]))
    ]
    return node_variance([near, far], squares, gradient)
