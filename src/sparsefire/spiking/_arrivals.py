"""Layers in front of conductance synapses: what excites and what inhibits arrive apart, for each opens its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsefire.spiking.indexed import by_itself
from sparsefire.spiking.neurons._fused import plain
from sparsefire.spiking.neurons.coba import CobaLIF

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def takes_both(part: nn.Module | None) -> bool:
    """Whether a part, or the first one of a chain, has a conductance for each sum."""
    while isinstance(part, nn.Sequential) and len(part):
        part = part[0]
    return isinstance(part, CobaLIF)


def apart(part: nn.Module, layer: Any, x: Tensor) -> Tensor | None:
    """Return what arrives over a layer, [rows, 2, …]: the sum of positive contributions, and that of negative ones.

    A contribution is an input times its weight, or a bias. The derivative by a weight that is zero is the one towards
    positive weights.

    Args:
        part: what is called, so that hooks hear of it and see both sums.
        layer: the layer that does the work of the part: linear or convolutional. Masked and constrained ones count by
            the weight that they compute with.
        x: [rows, …].

    Returns:
        The sums, not negative; None for other layers, and those with a ``forward`` of their own.
    """
    kind = next((kind for kind in LAYERS if isinstance(layer, kind)), None)
    if kind is None or type(layer).forward is not kind.forward or "forward" in vars(layer):
        return None
    if by_itself(layer, kind) and part is layer:
        return sums(layer, x)
    layer.forward = lambda given: sums(layer, given)
    try:
        return part(x)
    finally:
        del layer.forward


def sums(layer: Any, x: Tensor) -> Tensor:
    """Return the sums of positive and of negative contributions, both as amounts, [rows, 2, …]."""
    product = functional.linear if isinstance(layer, nn.Linear) else layer._conv_forward
    weight, bias = layer.weight, layer.bias
    up, down = weight.clamp(min=0), torch.relu(-weight)
    more, less = (None, None) if bias is None else (bias.clamp(min=0), torch.relu(-bias))
    above = x.clamp(min=0)
    excite, inhibit = product(above, up, more), product(above, down, less)
    if not plain(x) or bool((x < 0).any()):  # spikes are not negative, and what is known costs nothing
        below = torch.relu(-x)
        excite, inhibit = excite + product(below, down, None), inhibit + product(below, up, None)
    return torch.stack([excite, inhibit], 1)
