"""Oracles for what all parameterisations promise: finite differences, plain sums of a loss term, exact counts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity import bake, sparsify
from sparsefire.sparsity.parameterisation import Parameterisation, choices
from sparsefire.sparsity.parameterisation.penalised import Penalised
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.topology.gradual import Gradual
from sparsefire.sparsity.topology.levels import LearningRateRewinding
from sparsefire.sparsity.topology.moving import SET, RigL

KNOWN: dict[str, Parameterisation] = {
    "spred": choices.SPRED,
    "pilot": choices.PILOT,
    "deep": choices.DEEP,
    "powerprop": choices.POWER,
    "str": choices.SOFT,
    "continuous": choices.ANNEALED,
    "l0": choices.HARD_CONCRETE,
    "gates": choices.INPUT_GATES,
    "top-k": choices.STRAIGHT,
}
EVERY = list(KNOWN)
INSIDE = [name for name in EVERY if name != "top-k"]  # those whose own Parameter is what is trained


def layer_of(name: str, mask: Tensor | None = None, dtype: torch.dtype = torch.float64) -> tuple[nn.Linear, Tensor]:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(5, 4, bias=False, dtype=dtype)
    theta = torch.randn(4, 5, generator=generator, dtype=dtype)
    masks.write_weight_(layer, theta)
    mask = torch.ones(4, 5, dtype=torch.bool) if mask is None else mask
    options = {"rng": 7} if KNOWN[name].draws else {}
    masks.attach_(layer, KNOWN[name].make(mask, layer.weight, **options))
    return layer, theta


def holes() -> Tensor:
    return torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) < 0.6


@pytest.mark.parametrize("name", EVERY)
def test_the_start_is_the_weight_that_was_there(name: str) -> None:
    layer, theta = layer_of(name, holes())
    layer.eval()
    torch.testing.assert_close(layer.weight, theta * holes(), rtol=1e-12, atol=1e-12)
    assert not layer.weight[~holes()].any()


@pytest.mark.parametrize("name", EVERY)
def test_an_effective_weight_can_be_written(name: str) -> None:
    layer, _ = layer_of(name, holes())
    layer.eval()
    other = torch.linspace(-2, 2, 20, dtype=torch.float64).view(4, 5).clone()
    other[1, 1] = 0.0
    masks.write_weight_(layer, other)
    torch.testing.assert_close(layer.weight, other * holes(), rtol=1e-12, atol=1e-12)
    for parameter in masks.mask_of(layer).factors():
        assert not parameter[~holes()].any()


def loss_of(layer: nn.Module) -> Tensor:
    pull = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
    return (layer.weight * pull + 0.5 * layer.weight**2).sum()


def differences(loss: Callable[[], Tensor], parameter: Tensor, step: float = 1e-6) -> Tensor:
    flat, found = parameter.data.view(-1), []
    for place in range(flat.numel()):
        before = flat[place].item()
        flat[place] = before + step
        high = loss().item()
        flat[place] = before - step
        low = loss().item()
        flat[place] = before
        found.append((high - low) / (2 * step))
    return torch.tensor(found, dtype=parameter.dtype).view(parameter.shape)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_against_finite_differences(name: str, training: bool) -> None:
    layer, _ = layer_of(name)
    layer.train(training)
    loss_of(layer).backward()
    for parameter in layer.parameters():
        torch.testing.assert_close(parameter.grad, differences(lambda: loss_of(layer), parameter), rtol=1e-6, atol=1e-7)
    # and the slope is what turns ∂L/∂θ into the gradient of the layer's own Parameter
    with torch.enable_grad():
        weight = layer.weight.detach().requires_grad_()
        pull = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
        (weight * pull + 0.5 * weight**2).sum().backward()
    slope = torch.as_tensor(masks.mask_of(layer).slope(masks.own_parameter(layer)))
    torch.testing.assert_close(masks.own_parameter(layer).grad, weight.grad * slope, rtol=1e-10, atol=1e-12)


PENALISED = [name for name in INSIDE if name not in ("powerprop", "str")]


@pytest.mark.parametrize("name", PENALISED)
def test_the_pull_is_the_gradient_of_the_penalty(name: str) -> None:
    layer, _ = layer_of(name, holes())
    part = masks.mask_of(layer)
    assert isinstance(part, Penalised)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    part.pull_(masks.own_parameter(layer), 0.3)
    for parameter in layer.parameters():
        expected = differences(lambda: part.penalty(masks.own_parameter(layer)), parameter)
        torch.testing.assert_close(parameter.grad, 1 + 0.3 * expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", INSIDE)
def test_what_enters_starts_small_and_can_move(name: str) -> None:
    layer, theta = layer_of(name, holes())
    layer.eval()
    fresh = ~holes()
    masks.write_mask_(layer, torch.ones(4, 5, dtype=torch.bool))
    typical = theta.square().mean().sqrt()
    assert (layer.weight[fresh].abs() <= 0.02 * typical).all()
    torch.testing.assert_close(layer.weight[holes()], theta[holes()], rtol=1e-12, atol=1e-12)  # the others stay
    before = layer.weight.detach().clone()
    for parameter in layer.parameters():
        parameter.grad = None
    (layer.weight * (1 + theta.abs())).sum().backward()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    optimizer.step()
    assert ((layer.weight - before)[fresh] < 0).all()  # all of them, and down the slope


@pytest.mark.parametrize("name", ["powerprop", "str"])
def test_what_cannot_start_at_zero_enters_downhill(name: str) -> None:
    layer, _ = layer_of(name, holes())
    masks.own_parameter(layer).grad = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
    fresh = ~holes()
    masks.write_mask_(layer, torch.ones(4, 5, dtype=torch.bool))
    assert torch.equal(layer.weight[fresh].sign(), -masks.own_parameter(layer).grad[fresh].sign())


@pytest.mark.parametrize("name", EVERY)
def test_the_baked_weight_is_that_of_the_forward_pass(name: str) -> None:
    layer, _ = layer_of(name, holes(), torch.float32)
    for train in (True, False):
        copied = copy.deepcopy(layer).train(train)
        with torch.no_grad():
            forward = copied.weight.clone()
        assert torch.equal(bake(copied).weight, forward)
    x = torch.ones(3, 5)
    layer.eval()
    seen = layer(x)
    assert torch.equal(bake(layer)(x), seen)


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Conv1d(2, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(30, 7), nn.Tanh(), nn.Linear(7, 3))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net


def step(net: nn.Module, optimizer: Any, scheduler: Any, topology: Any, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(8, 2, 8, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step(), scheduler.step(), topology.step()
    optimizer.zero_grad()


TOPOLOGIES = {"rigl": RigL, "set": SET, "gmp": Gradual, "lrr": LearningRateRewinding}


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("name", INSIDE)
def test_it_goes_with_every_topology(name: str, topology: str) -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    chosen = Recipe("x", "x", "-", topology=TOPOLOGIES[topology], parameterisation=KNOWN[name])
    state = torch.get_rng_state()
    moved = sparsify(net, 0.3, chosen, optimizer=optimizer, scheduler=scheduler, steps=60, rng=0)
    first = {key: mask.clone() for key, mask in masks.masks(net).items()}
    for number in range(60):
        step(net, optimizer, scheduler, moved, number)
        for layer in masks.layers(net).values():
            part = masks.mask_of(layer)
            for parameter in (masks.own_parameter(layer), *part.factors()):
                assert not parameter[~part.mask].any()
    assert torch.equal(torch.get_rng_state(), state)
    assert masks.density(net) == round(0.3 * 261) / 261
    assert any(not torch.equal(mask, first[key]) for key, mask in masks.masks(net).items())
    if topology in ("rigl", "set") and name not in (
        "str",
        "continuous",
        "l0",
        "gates",
    ):  # those have zeros of their own
        for layer in masks.layers(net).values():
            assert int(layer.weight.count_nonzero()) == int(masks.mask_of(layer).mask.sum())


def test_where_a_penalty_takes_the_place_of_decay_no_factor_is_decayed() -> None:
    for name in ("spred", "pilot", "deep"):
        net = network()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.3)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        chosen = Recipe("x", "x", "-", topology=Gradual, parameterisation=KNOWN[name])
        sparsify(net, 0.5, chosen, optimizer=optimizer, scheduler=scheduler, steps=10, rng=0)
        decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        layers = masks.layers(net).values()
        factors = [p for layer in layers for p in (masks.own_parameter(layer), *masks.mask_of(layer).factors())]
        assert [decay[id(p)] for p in factors] == [0.0] * len(factors)
        assert [decay[id(layer.bias)] for layer in layers] == [0.3] * 3
        held = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(held) == sorted(map(id, net.parameters()))  # each once
        net(torch.ones(1, 2, 8)).sum().backward()
        optimizer.step(), scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05] * 2)


def test_gates_learn_at_their_own_rate_and_a_reserve_decays_as_its_weight() -> None:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    chosen = Recipe("x", "x", "-", topology=Gradual, parameterisation=choices.HARD_CONCRETE)
    sparsify(net, 0.5, chosen, optimizer=optimizer, scheduler=scheduler, steps=10, rng=0)
    for _ in range(5):
        optimizer.step(), scheduler.step()
    first, *others = optimizer.param_groups
    assert first["lr"] == pytest.approx(0.05)
    assert [(group["lr"], group["weight_decay"]) for group in others] == [(pytest.approx(1.0), 0.0)]  # twenty times

    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.3)
    sparsify(net, 0.5, Recipe("x", "x", "-", parameterisation=choices.STRAIGHT), optimizer=optimizer, rng=0)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3] * 2


def test_gates_on_inputs_are_for_the_first_layer() -> None:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters())
    sparsify(net, 0.5, Recipe("x", "x", "-", parameterisation=choices.INPUT_GATES), optimizer=optimizer, rng=0)
    kinds = [type(masks.mask_of(layer)).__name__ for layer in masks.layers(net).values()]
    assert kinds == ["InputGates", "Masked", "Masked"]
    assert masks.mask_of(net[0]).mu.shape == (1, 2, 1)
