"""The network and the loop that tests of topologies share: three small layers, one of them a convolution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sparsefire import masks

SIZE = 36 + 192 + 36


def drawn(net: nn.Sequential, scale: float = 1.0, start: int = 0) -> nn.Sequential:
    """Give a network normal weights, and biases, of a scale."""
    generator = torch.Generator().manual_seed(start)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return net


def network() -> nn.Sequential:
    layers = [nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)]
    return drawn(nn.Sequential(*layers), 1 / 3)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, topology: Any, number: int) -> None:
    """Go one step with the batch of a number; a topology of None is plain training."""
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(8, 1, 4, 4, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    if topology is not None:
        topology.step()
    optimizer.zero_grad()


def kept(net: nn.Module) -> int:
    return sum(int(mask.sum()) for mask in masks.masks(net).values())


def bakes_to_what_it_computes(net: nn.Module) -> bool:
    values = [layer.weight.detach().clone() for layer in masks.layers(net).values()]
    masks.bake(net)
    return all(torch.equal(a, b.weight) for a, b in zip(values, masks.layers(net).values(), strict=True))


def resumes(started: Callable[[], tuple], stop: int, steps: int) -> bool:
    """Say whether a training stopped and resumed, and one that was copied, end as the one that went on."""
    whole = started()
    for number in range(stop):
        step(*whole, number)
    saved = copy.deepcopy([part.state_dict() for part in whole])
    other = started()
    for part, state in zip(other, saved, strict=True):
        part.load_state_dict(state)
    again = copy.deepcopy(whole)
    for number in range(stop, steps):
        for one in (whole, other, again):
            step(*one, number)
    expected = whole[0].state_dict()
    return all(
        torch.equal(one[0].state_dict()[name], value) for one in (other, again) for name, value in expected.items()
    )
