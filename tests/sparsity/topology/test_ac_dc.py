"""Oracles: the phase table of the paper's 100 epochs, exact counts at every step, plain torch for one cycle."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.parameterisation import Parameterisation
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.ac_dc import ACDC

AC_DC = Recipe("ac-dc", "AC/DC", "arXiv:2106.12379", topology=ACDC, memory="dense")
SPARSE = [(10, 15), (20, 25), (30, 35), (40, 45), (50, 55), (60, 65), (70, 75), (85, 100)]


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return net


def step(net: nn.Module, optimizer: torch.optim.Optimizer, number: int, topology: Any = None) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(8, 1, 4, 4, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    if topology is not None:
        topology.step()
    optimizer.zero_grad()


def started(density: float = 0.2, steps: int = 100, adam: bool = False, **options: Any) -> tuple:
    net = network()
    optimizer: Any = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    if adam:
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    recipe = Recipe("ac-dc", "AC/DC", "arXiv:2106.12379", topology=ACDC, memory="dense", **options)
    return net, optimizer, sparsify(net, density, recipe, optimizer=optimizer, steps=steps, rng=0)


def kept(net: nn.Module) -> int:
    return sum(int(mask.sum()) for mask in masks.masks(net).values())


def test_the_phases_of_the_paper() -> None:
    _, _, topology = started()
    for number in range(1, 101):
        assert topology.sparse_at(number) == any(first <= number < end for first, end in SPARSE) or number == 100
    assert topology.sparse_at(100)
    _, _, long = started(steps=100_000)
    assert [long.turns[0], long.turns[1], long.turns[-2], long.turns[-1]] == [10_000, 15_000, 75_000, 85_000]


@pytest.mark.parametrize("density", [0.07, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("layout", [None, "erk"])
def test_the_count_is_exact_at_every_step(density: float, layout: str | None) -> None:
    net, optimizer, topology = started(density, layout=layout)
    before = 264
    for number in range(1, 101):
        masks_before = {name: mask.clone() for name, mask in masks.masks(net).items()}
        step(net, optimizer, number, topology)
        expected = round(density * 264) if topology.sparse_at(number) else 264
        assert kept(net) == expected
        if expected == before:  # masks of a phase rest
            assert all(torch.equal(masks_before[name], mask) for name, mask in masks.masks(net).items())
        before = expected
        for layer in masks.layers(net).values():
            mask = masks.mask_of(layer).mask
            moment = optimizer.state[layer.parametrizations.weight.original].get("momentum_buffer")
            assert not bool(layer.weight[~mask].any())
            assert moment is None or not bool(moment[~mask].any())
    values = [layer.weight.detach().clone() for layer in masks.layers(net).values()]
    masks.bake(net)
    assert all(torch.equal(a, b.weight) for a, b in zip(values, masks.layers(net).values(), strict=True))


def test_one_cycle_is_that_of_plain_torch() -> None:
    net, optimizer, topology = started(steps=40)  # pruned after steps 4, 8, …, restored after 6, 10, …
    for number in range(1, 8):
        step(net, optimizer, number, topology)

    twin = network()
    layers = list(masks.layers(twin).values())
    plain = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for number in range(1, 5):
        step(twin, plain, number)
    flat = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    least = flat.sort(descending=True).values[round(0.2 * len(flat)) - 1]
    stays = [layer.weight.detach().abs() >= least for layer in layers]

    def cut() -> None:
        for layer, mask in zip(layers, stays, strict=True):
            layer.weight.data.mul_(mask)
            plain.state[layer.weight]["momentum_buffer"].mul_(mask)

    cut()
    for number in (5, 6):
        step(twin, plain, number)
        cut()
    for parameter in twin.parameters():  # restored: weights start at zero, all momentum is forgotten
        plain.state[parameter]["momentum_buffer"].zero_()
    step(twin, plain, 7)
    for mine, other in zip(masks.layers(net).values(), layers, strict=True):
        assert torch.equal(mine.weight, other.weight)
        assert torch.equal(mine.bias, other.bias)


def test_weights_come_back_at_zero_and_the_optimizer_starts_anew() -> None:
    net, optimizer, topology = started(adam=True)
    for number in range(1, 15):
        step(net, optimizer, number, topology)
    absent = {name: ~mask for name, mask in masks.masks(net).items()}
    step(net, optimizer, 15, topology)
    assert kept(net) == 264
    for name, layer in masks.layers(net).items():
        assert not bool(layer.weight[absent[name]].any())
    assert not optimizer.state
    step(net, optimizer, 16, topology)
    for name, layer in masks.layers(net).items():
        assert bool(layer.weight[absent[name]].any())


@pytest.mark.parametrize("steps", range(1, 30))
def test_even_a_short_training_ends_at_the_exact_density(steps: int) -> None:
    net, _, topology = started(steps=steps)
    for _ in range(steps):
        topology.step()
    assert kept(net) == round(0.2 * 264)


@pytest.mark.parametrize("product", [False, True])
def test_factors_come_back_ready_to_grow(product: bool) -> None:
    chosen = Parameterisation("product", Product) if product else None
    net, optimizer, topology = started(parameterisation=chosen)
    for number in range(1, 101):
        step(net, optimizer, number, topology)
        assert kept(net) == (round(0.2 * 264) if topology.sparse_at(number) else 264)
        if number == 17:  # two steps into the second dense phase
            assert sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values()) > 200


@pytest.mark.parametrize("stop", [5, 12, 15, 40, 90])
def test_resumption_is_bit_for_bit(stop: int) -> None:
    net, optimizer, topology = started(adam=True)
    for number in range(1, stop + 1):
        step(net, optimizer, number, topology)
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict(), topology.state_dict()))
    other = started(adam=True)
    for part, state in zip(other, saved, strict=True):
        part.load_state_dict(state)
    again = copy.deepcopy((net, optimizer, topology))
    for number in range(stop + 1, 101):
        step(net, optimizer, number, topology)
        step(*other[:2], number, other[2])
        step(*again[:2], number, again[2])
    for name, value in net.state_dict().items():
        assert torch.equal(value, other[0].state_dict()[name])
        assert torch.equal(value, again[0].state_dict()[name])


def test_other_phases() -> None:
    net = nn.Linear(4, 4)
    setting = Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100)
    assert ACDC(setting, warm=0.2, phase=0.1, last=0.7).turns == [20, 30, 40, 50, 70]
    assert ACDC(setting, warm=0.5, phase=0.3, last=0.5).turns == [50]
    for bad in ({"warm": -0.1}, {"warm": 0.9}, {"last": 1.1}, {"phase": 0.0}):
        with pytest.raises(UserError, match="phases come in order"):
            ACDC(setting, **bad)
