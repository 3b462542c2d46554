"""A small network, its exact gradient, and every vector of signs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire.rules import Backprop
from sparsefire.rules.asking import Batch
from sparsefire.rules.weights import WeightRule


def generator(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(autouse=True)
def same_weights() -> Iterator[None]:
    """Import it, and networks of a file begin with the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        yield


def normal(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(number), dtype=torch.float64)


def squared(output: Tensor, y: Tensor) -> Tensor:
    """Return half the squared error of each row."""
    return 0.5 * (output - y).square().flatten(1).sum(1)


def entropy(output: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, y, reduction="none")


def small() -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a network of 9 weights in float64, and a batch."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator(1), dtype=torch.float64))
    x = torch.randn(5, 2, generator=generator(2), dtype=torch.float64)
    return net, x, torch.randn(5, 1, generator=generator(3), dtype=torch.float64)


def linear(features: int = 4) -> tuple[nn.Linear, Tensor, Tensor]:
    """Return a linear model in float64, whose squared error is quadratic in its weights, and a batch."""
    net = nn.Linear(features, 1, bias=False).double()
    net.weight.data.copy_(torch.randn(1, features, generator=generator(4), dtype=torch.float64))
    x = torch.randn(7, features, generator=generator(5), dtype=torch.float64)
    return net, x, torch.randn(7, 1, generator=generator(6), dtype=torch.float64)


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def exact(net: nn.Module, x: Any, y: Any) -> Tensor:
    net.zero_grad()
    Backprop()(net, nn.functional.mse_loss, x, y)
    gradient = flat(net).clone()
    net.zero_grad()
    return gradient


def all_signs(size: int) -> Tensor:
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=size)), dtype=torch.float64)


def given_directions(monkeypatch: pytest.MonkeyPatch, kind: type[WeightRule], vectors: Tensor) -> None:
    """Let a rule use these directions of the active weights, [K, N]."""

    def blocks(self: WeightRule, batch: Batch) -> Iterator[Tensor]:
        yield vectors

    monkeypatch.setattr(kind, "_blocks", blocks)


def estimate(rule: Any, net: nn.Module, x: Any, y: Any) -> Tensor:
    net.zero_grad()
    rule(net, nn.functional.mse_loss, x, y)
    return flat(net).clone()


def close_on_average(found: list[Tensor], expected: Tensor, errors: float = 4.0) -> None:
    """Every entry of the mean lies within so many standard errors."""
    stacked = torch.stack(found)
    spread = stacked.std(0) / len(found) ** 0.5
    assert bool(((stacked.mean(0) - expected).abs() <= errors * spread + 1e-12).all())
