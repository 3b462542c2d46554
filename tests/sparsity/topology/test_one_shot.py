"""Oracles: plain torch that trains, prunes and trains by hand; exact counts; bit-for-bit resumption."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_training import SIZE, bakes_to_what_it_computes, kept, network, resumes, step
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.one_shot import OneShot

ONE_SHOT = Recipe("one-shot", "one-shot pruning", "arXiv:1506.02626", topology=OneShot, memory="dense")
STEPS = 12


def started(density: float = 0.2, recipe: Recipe = ONE_SHOT, **options: Any) -> tuple:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    return net, optimizer, sparsify(net, density, recipe, optimizer=optimizer, steps=STEPS, rng=0, **options)


def test_it_is_training_pruning_and_training_by_hand() -> None:
    net, optimizer, topology = started()
    for number in range(STEPS):
        step(net, optimizer, topology, number)

    twin = network()
    plain = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    layers = list(masks.layers(twin).values())
    for number in range(6):
        step(twin, plain, None, number)
    flat = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    least = flat.sort(descending=True).values[round(0.2 * len(flat)) - 1]
    stays = [layer.weight.detach().abs() >= least for layer in layers]

    def cut() -> None:
        for layer, mask in zip(layers, stays, strict=True):
            layer.weight.data.mul_(mask)
            plain.state[layer.weight]["momentum_buffer"].mul_(mask)

    cut()
    for number in range(6, STEPS):
        step(twin, plain, None, number)
        cut()
    for mine, other in zip(masks.layers(net).values(), layers, strict=True):
        assert torch.equal(mine.weight, other.weight)
        assert torch.equal(mine.bias, other.bias)


@pytest.mark.parametrize("density", [0.07, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("layout", ["global", "erk"])
def test_the_count_is_exact_from_the_pruning_on(density: float, layout: str) -> None:
    net, optimizer, topology = started(density, layout=layout)
    counts = []
    for number in range(STEPS):
        step(net, optimizer, topology, number)
        counts.append(kept(net))
    assert counts == [SIZE] * 5 + [round(density * SIZE)] * 7
    assert bakes_to_what_it_computes(net)


@pytest.mark.parametrize(("at", "steps", "expected"), [(0.5, 1, 1), (0.01, 10, 1), (0.25, 100, 25), (1.0, 7, 7)])
def test_when(at: float, steps: int, expected: int) -> None:
    net = nn.Linear(4, 4)
    topology = OneShot(Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=steps), at=at)
    assert topology.last == expected


@pytest.mark.parametrize("pattern", ["2:4", "fan-in", "shared-fan-in", "neurons"])
def test_patterns(pattern: str) -> None:
    recipe = Recipe("x", "x", "x", topology=OneShot, pattern=pattern, layout="uniform")
    net = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sparsify(net, 0.5, recipe, optimizer=optimizer, steps=4)
    for _ in range(4):
        net(torch.ones(3, 8)).square().sum().backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
    assert kept(net) == 72
    assert masks.masks(net)["0"].sum(1).unique().tolist() == ([0, 8] if pattern == "neurons" else [4])


@pytest.mark.parametrize("stop", [3, 6, 9])
def test_resumption_is_bit_for_bit(stop: int) -> None:
    assert resumes(started, stop, STEPS)


@pytest.mark.parametrize("at", [0.0, -1, 1.5])
def test_bad_fractions(at: float) -> None:
    net = nn.Linear(4, 4)
    with pytest.raises(UserError, match="fraction of the steps"):
        OneShot(Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=10), at=at)


def test_it_needs_the_optimizer_and_the_steps() -> None:
    net = nn.Linear(4, 4)
    with pytest.raises(UserError, match="needs the optimizer"):
        sparsify(net, 0.5, ONE_SHOT, steps=4)
    with pytest.raises(UserError, match="number of training steps"):
        sparsify(net, 0.5, ONE_SHOT, optimizer=torch.optim.SGD(net.parameters(), 0.1))
    assert masks.masks(net) == {}
