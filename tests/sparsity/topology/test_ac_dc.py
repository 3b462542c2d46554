"""Oracles: the phase table of the paper's 100 epochs, exact counts at every step, plain torch for one cycle."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_training import SIZE, bakes_to_what_it_computes, kept, network, resumes, step
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


def started(density: float = 0.2, steps: int = 100, adam: bool = False, **options: Any) -> tuple:
    net = network()
    optimizer: Any = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    if adam:
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    recipe = Recipe("ac-dc", "AC/DC", "arXiv:2106.12379", topology=ACDC, memory="dense", **options)
    return net, optimizer, sparsify(net, density, recipe, optimizer=optimizer, steps=steps, rng=0)


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
    before = SIZE
    for number in range(1, 101):
        masks_before = {name: mask.clone() for name, mask in masks.masks(net).items()}
        step(net, optimizer, topology, number)
        expected = round(density * SIZE) if topology.sparse_at(number) else SIZE
        assert kept(net) == expected
        if expected == before:  # masks of a phase rest
            assert all(torch.equal(masks_before[name], mask) for name, mask in masks.masks(net).items())
        before = expected
        for layer in masks.layers(net).values():
            mask = masks.mask_of(layer).mask
            moment = optimizer.state[layer.parametrizations.weight.original].get("momentum_buffer")
            assert not bool(layer.weight[~mask].any())
            assert moment is None or not bool(moment[~mask].any())
    assert bakes_to_what_it_computes(net)


def test_one_cycle_is_that_of_plain_torch() -> None:
    net, optimizer, topology = started(steps=40)  # pruned after steps 4, 8, …, restored after 6, 10, …
    for number in range(1, 8):
        step(net, optimizer, topology, number)

    twin = network()
    layers = list(masks.layers(twin).values())
    plain = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for number in range(1, 5):
        step(twin, plain, None, number)
    flat = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    least = flat.sort(descending=True).values[round(0.2 * len(flat)) - 1]
    stays = [layer.weight.detach().abs() >= least for layer in layers]

    def cut() -> None:
        for layer, mask in zip(layers, stays, strict=True):
            layer.weight.data.mul_(mask)
            plain.state[layer.weight]["momentum_buffer"].mul_(mask)

    cut()
    for number in (5, 6):
        step(twin, plain, None, number)
        cut()
    for parameter in twin.parameters():  # restored: weights start at zero, all momentum is forgotten
        plain.state[parameter]["momentum_buffer"].zero_()
    step(twin, plain, None, 7)
    for mine, other in zip(masks.layers(net).values(), layers, strict=True):
        assert torch.equal(mine.weight, other.weight)
        assert torch.equal(mine.bias, other.bias)


def test_weights_come_back_at_zero_and_the_optimizer_starts_anew() -> None:
    net, optimizer, topology = started(adam=True)
    for number in range(1, 15):
        step(net, optimizer, topology, number)
    absent = {name: ~mask for name, mask in masks.masks(net).items()}
    step(net, optimizer, topology, 15)
    assert kept(net) == SIZE
    for name, layer in masks.layers(net).items():
        assert not bool(layer.weight[absent[name]].any())
    assert not optimizer.state
    step(net, optimizer, topology, 16)
    for name, layer in masks.layers(net).items():
        assert bool(layer.weight[absent[name]].any())


@pytest.mark.parametrize("steps", range(1, 30))
def test_even_a_short_training_ends_at_the_exact_density(steps: int) -> None:
    net, _, topology = started(steps=steps)
    for _ in range(steps):
        topology.step()
    assert kept(net) == round(0.2 * SIZE)


@pytest.mark.parametrize("product", [False, True])
def test_factors_come_back_ready_to_grow(product: bool) -> None:
    chosen = Parameterisation("product", Product) if product else None
    net, optimizer, topology = started(parameterisation=chosen)
    for number in range(1, 101):
        step(net, optimizer, topology, number)
        assert kept(net) == (round(0.2 * SIZE) if topology.sparse_at(number) else SIZE)
        if number == 17:  # two steps into the second dense phase
            assert sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values()) > 200


@pytest.mark.parametrize("stop", [5, 12, 15, 40, 90])
def test_resumption_is_bit_for_bit(stop: int) -> None:
    assert resumes(lambda: started(adam=True), stop, 100)


def test_other_phases() -> None:
    net = nn.Linear(4, 4)
    setting = Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=100)
    assert ACDC(setting, warm=0.2, phase=0.1, last=0.7).turns == [20, 30, 40, 50, 70]
    assert ACDC(setting, warm=0.5, phase=0.3, last=0.5).turns == [50]
    for bad in ({"warm": -0.1}, {"warm": 0.9}, {"last": 1.1}, {"phase": 0.0}):
        with pytest.raises(UserError, match="phases come in order"):
            ACDC(setting, **bad)
