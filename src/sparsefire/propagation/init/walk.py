"""What initialisers share: the layers of a network, which of their weights exist, and how to write them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False)
class Layer:
    """One linear or convolutional layer.

    Attributes:
        name: in the network; ``""`` for a network that is a layer itself.
        module: the layer.
        shape: of its weight, ``[out, in]`` or ``[out, in / groups, *kernel]``.
        mask: bool tensor of that shape, or None where all weights exist.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    mask: Tensor | None

    @property
    def label(self) -> str:
        """Name as errors show it."""
        return f"layer {self.name!r}" if self.name else f"the {type(self.module).__name__} layer"

    def in_degrees(self) -> Tensor:
        """Return how many weights reach each output unit, float64 [out]."""
        if self.mask is None:
            return torch.full((self.shape[0],), float(torch.Size(self.shape[1:]).numel()), dtype=torch.float64)
        return self.mask.flatten(1).sum(1).to("cpu", torch.float64)


def layers_of(net: nn.Module) -> list[Layer]:
    """Return the linear and convolutional layers in the order of the modules, or raise if there are none.

    Raises:
        UserError: something that is no module, a network without such layers, a lazy layer that has no shape yet.

    >>> [layer.shape for layer in layers_of(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))]
    [(2, 3)]
    """
    if not isinstance(net, nn.Module):
        raise UserError("an initialiser works on a network.", came=type(net).__name__, expected="a torch.nn.Module")
    found = []
    for name, module in masks.layers(net).items():
        weight: Any = module.weight
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise UserError(
                f"layer {name!r} has no shape yet.", came=type(module).__name__, expected="a network that has run once"
            )
        masked = masks.mask_of(module)
        found.append(Layer(name, module, tuple(weight.shape), None if masked is None else masked.mask))
    if not found:
        raise UserError(
            "this network has no layer to initialise.",
            came=type(net).__name__,
            expected="at least one linear or convolutional layer",
        )
    return found


@torch.no_grad()
def write_(layer: Layer, weight: Tensor) -> None:
    """Write a weight through mask and parametrisation, in the layer's own type and place, and set its bias to zero."""
    own: Any = layer.module.weight
    masks.write_weight_(layer.module, weight.to(own.device, own.dtype))
    if getattr(layer.module, "bias", None) is not None:
        layer.module.bias.zero_()  # type: ignore[operator]


def generators(rng: Any, count: int) -> Iterator[torch.Generator]:
    """Yield a generator of its own for every layer, so that layers can be drawn in any order.

    >>> one, two = generators(0, 2); one.initial_seed() != two.initial_seed()
    True
    """
    draws = randomness.stream(rng, "initial weights").integers(2**63, size=count)
    for value in draws:
        yield torch.Generator().manual_seed(int(value))
