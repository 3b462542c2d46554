"""What initialisers share: the layers of a network, which weights exist, what a gain is, how to write."""

from __future__ import annotations

import math
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
        raise UserError("this works on a torch network.", came=type(net).__name__, expected="a torch.nn.Module")
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
            "this network has no linear or convolutional layer.", came=type(net).__name__, expected="at least one"
        )
    return found


def gain_of(gain: Any) -> float:
    """Return a gain as a number: the factor of amplitudes that torch means by it, √2 for ``"relu"``.

    Args:
        gain: a number above 0, or an activation that ``torch.nn.init.calculate_gain`` knows.

    >>> round(gain_of("relu"), 4), gain_of(1.5)
    (1.4142, 1.5)
    """
    try:
        value = torch.nn.init.calculate_gain(gain) if isinstance(gain, str) else float(gain)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(gain, bool) or not 0 < value < math.inf:
        raise UserError(
            "a gain is a positive number.", came=f"gain={gain!r}", expected="such as 1.4142, or an activation, 'relu'"
        )
    return float(value)


def centre_tap(weight: Tensor) -> Tensor:
    """Return the view [out, in] on the centre tap of a convolution (of an even kernel the one before the middle).

    >>> centre_tap(torch.arange(4.0).reshape(1, 1, 4)).tolist(), centre_tap(torch.ones(2, 3)).shape
    ([[1.0]], torch.Size([2, 3]))
    """
    while weight.ndim > 2:
        weight = weight.select(2, (weight.shape[2] - 1) // 2)
    return weight


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
