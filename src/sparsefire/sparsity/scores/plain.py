"""Scores that need nothing but the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire import masks, randomness
from sparsefire.sparsity.setting import Setting


@torch.no_grad()
def magnitude(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return |w| by layer.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> magnitude(Setting(net), 0)[""]
    tensor([[1., 4.]])
    """
    return {name: module.weight.detach().abs() for name, module in masks.maskable(setting.net, setting.layers).items()}  # type: ignore[operator]


def random(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return uniform numbers by layer, others for every key."""
    found = {}
    for name, module in masks.maskable(setting.net, setting.layers).items():
        weight: Any = module.weight
        generator = randomness.stream(setting.rng, f"random scores {key} {name}")
        found[name] = torch.from_numpy(generator.random(tuple(weight.shape), dtype="float32")).to(weight)
    return found
