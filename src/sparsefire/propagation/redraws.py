"""What a network would do with other weights of the same law on the same connections."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.propagation.init.walk import Layer
from sparsefire.propagation.measures import MEASURES, measure
from sparsefire.propagation.plain import plain_copy
from sparsefire.propagation.trace import watched

ROWS = 16  # of the inputs are sent through each redraw


@torch.no_grad()
def redraw(net: nn.Module, rows: Tensor, count: int, rng: Any) -> dict[str, np.ndarray]:
    """Return what is measured in each layer over redraws of all weights.

    Every existing weight becomes an independent draw: the size of the weights of its layer that reach units of the same
    in-degree (root mean square), times a weight of the layer in units of that size, drawn with replacement, with a fair
    sign. So connections, sizes and the law of the weights stay, and biases and all else; weights that are tuned to each
    other (orthogonal, mirrored, trained) do not follow it, and the difference shows what their order does. Signals are
    float32: below 1e-38 they are zero.

    Args:
        net: any network; it is left as it is.
        rows: inputs [rows, ...]; the first 16 are used.
        count: redraws.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        name of a layer → float64 [redraws, measures], in the order of ``MEASURES``.

    >>> found = redraw(nn.Linear(4, 3), torch.randn(8, 4), 5, 0)
    >>> found[""].shape
    (5, 4)
    """
    generator = torch.Generator().manual_seed(randomness.integer(rng, "redraws"))
    plain = plain_copy(net, torch.float32, generator)
    laws = [_Law(layer, plain.exists[name]) for name, layer in plain.layers.items()]
    inputs = rows[:ROWS].float() if rows.is_floating_point() else rows[:ROWS]
    found: dict[str, list[list[float]]] = {}
    for _ in range(count):
        for law in laws:
            law.draw_(generator)
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        with watched(plain.layers, seen):
            plain.net(inputs)
        for name, (_, given) in seen.items():
            values = measure(given, plain.layers[name].module.bias)  # type: ignore[arg-type]
            found.setdefault(name, []).append([values[key] for key in MEASURES])
    return {name: np.array(values) for name, values in found.items()}


class _Law:
    """The law of the weights of one layer, and where to write them."""

    def __init__(self, layer: Layer, exists: Tensor) -> None:
        weight = cast("Tensor", layer.module.weight)
        self.flat = weight.view(-1)
        flat = weight.detach().flatten(1)
        kept = exists.flatten(1)
        degree = kept.sum(1)
        _, group = degree.unique(return_inverse=True)
        groups = int(group.max()) + 1
        square = torch.zeros(groups).index_add_(0, group, flat.square().masked_fill(~kept, 0.0).sum(1))
        number = torch.zeros(groups).index_add_(0, group, degree.float())
        size = (square / number.clamp_min(1)).sqrt()[group]
        self.scale = size.repeat_interleave(degree)
        values = flat[kept]
        self.standard = (values / self.scale.clamp_min(torch.finfo(torch.float32).tiny)).abs()
        self.where = None if bool(kept.all()) else kept.flatten().nonzero().squeeze(1)

    def draw_(self, generator: torch.Generator) -> None:
        count = len(self.scale)
        if not count:
            return
        drawn = self.standard[torch.randint(count, (count,), generator=generator)] * self.scale
        drawn.mul_(torch.randint(2, (count,), generator=generator).mul_(2).sub_(1))
        if self.where is None:
            self.flat.copy_(drawn)
        else:
            self.flat.index_copy_(0, self.where, drawn)  # the rest is zero
