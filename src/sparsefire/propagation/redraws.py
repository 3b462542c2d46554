"""What a network would do with other weights of the same law on the same connections."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.propagation.init.walk import Layer, layers_of
from sparsefire.propagation.measures import MEASURES, measure
from sparsefire.propagation.trace import watched

ROWS = 16  # of the inputs are sent through each redraw


@torch.no_grad()
def redraw(net: nn.Module, rows: Tensor, count: int, rng: Any) -> dict[str, np.ndarray]:
    """Return what is measured in each layer over redraws of all weights.

    Every existing weight becomes an independent draw of mean zero with the mean square of its unit's weights: a sign
    where the weights of every unit of its layer have one size, else a normal number. Masks, biases and all else stay.
    So the law belongs to these connections and this scale; weights that are tuned to each other (orthogonal, mirrored,
    trained) do not follow it, and the difference shows what their order does.

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
    twin = masks.bake(copy.deepcopy(net)).to("cpu", torch.float32).eval()
    for module in twin.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    layers = {layer.name: layer for layer in layers_of(twin)}
    laws = [_Law(layer, old) for layer, old in zip(layers.values(), layers_of(net), strict=True)]
    inputs = rows[:ROWS].float() if rows.is_floating_point() else rows[:ROWS]
    generator = torch.Generator().manual_seed(randomness.integer(rng, "redraws"))
    found: dict[str, list[list[float]]] = {}
    for _ in range(count):
        for law in laws:
            law.draw_(generator)
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        with watched(layers, seen):
            twin(inputs)
        for name, (_, given) in seen.items():
            values = measure(given, layers[name].module.bias)  # type: ignore[arg-type]
            found.setdefault(name, []).append([values[key] for key in MEASURES])
    return {name: np.array(values) for name, values in found.items()}


class _Law:
    """The law of the weights of one layer, and the plain tensor to write them to."""

    def __init__(self, layer: Layer, masked: Layer) -> None:
        self.weight = cast("Tensor", layer.module.weight)
        flat = self.weight.detach().flatten(1)
        exists = flat.ne(0) if masked.mask is None else masked.mask.flatten(1).cpu()
        degree = exists.sum(1)
        size = (flat.square().sum(1) / degree.clamp_min(1)).sqrt()
        self.scale = size.repeat_interleave(degree)
        even = (flat[exists].abs() - self.scale).abs() <= 1e-5 * self.scale
        self.signs = bool(even.all()) and int(degree.max()) > 1
        self.where: Tensor | None = None if bool(exists.all()) else exists.flatten().nonzero()[:, 0]

    def draw_(self, generator: torch.Generator) -> None:
        drawn = torch.randn(len(self.scale), generator=generator)
        drawn = self.scale * (drawn.sign() if self.signs else drawn)
        flat = self.weight.view(-1)
        if self.where is None:
            flat.copy_(drawn)
        else:
            flat[self.where] = drawn
