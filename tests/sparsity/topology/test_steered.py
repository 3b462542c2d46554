"""Oracles: exact counts, a loss term written out, bit-for-bit resumption, sorting of all weights."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from small_training import drawn
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import bake, sparsify
from sparsefire.sparsity.parameterisation import choices
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.topology.gradual import Gradual
from sparsefire.sparsity.topology.steered import Raised, Selecting, Steered, TopK
from sparsefire.wiring import layer_counts

RECIPES = {
    "spred": Recipe("spred", "", "", topology=Steered, parameterisation=choices.SPRED),
    "pilot": Recipe("pilot", "", "", topology=Steered, parameterisation=choices.PILOT),
    "deep": Recipe("deep", "", "", topology=Steered, parameterisation=choices.DEEP),
    "powerprop": Recipe("powerprop", "", "", topology=Gradual, parameterisation=choices.POWER),
    "str": Recipe("str", "", "", topology=Raised, parameterisation=choices.SOFT),
    "continuous": Recipe("continuous", "", "", topology=Steered, parameterisation=choices.ANNEALED),
    "l0": Recipe("l0", "", "", topology=Steered, parameterisation=choices.HARD_CONCRETE),
    "gates": Recipe("gates", "", "", topology=Selecting, parameterisation=choices.INPUT_GATES),
    "top-k": Recipe("top-k", "", "", layout="erk", score="magnitude", topology=TopK, parameterisation=choices.STRAIGHT),
}
SHAPES, SIZE = [(5, 2, 3), (7, 30), (3, 7)], 261


def network(start: int = 3) -> nn.Sequential:
    layers = [nn.Conv1d(2, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(30, 7), nn.Tanh(), nn.Linear(7, 3)]
    return drawn(nn.Sequential(*layers), 0.4, start)


def started(
    name: str, density: float = 0.2, steps: int = 40, layout: str | None = None, start: int = 3, **options: Any
) -> tuple[nn.Sequential, torch.optim.Optimizer, Any]:
    net = network(start)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    return net, optimizer, sparsify(net, density, RECIPES[name], layout, optimizer, steps=steps, rng=start, **options)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, topology: Any, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(8, 2, 8, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step(), topology.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("density", [0.07, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("layout", [None, "uniform"])
def test_every_method_ends_at_its_exact_density(name: str, density: float, layout: str | None) -> None:
    net, optimizer, topology = started(name, density, layout=layout)
    state = torch.get_rng_state()
    for number in range(40):
        step(net, optimizer, topology, number)
    assert torch.equal(torch.get_rng_state(), state)
    counts = [int(mask.sum()) for mask in masks.masks(net).values()]
    assert sum(counts) == round(density * SIZE)
    if layout:
        assert counts == layer_counts(SHAPES, density, layout)
    for layer in masks.layers(net).values():  # what is reported is what there is
        assert torch.equal(layer.weight != 0, masks.mask_of(layer).mask)
    x = torch.ones(2, 2, 8)
    seen = net.eval()(x)
    assert torch.equal(bake(net)(x), seen)
    assert masks.density(net) == round(density * SIZE) / SIZE


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("name", RECIPES)
def test_even_a_short_training_ends_at_the_exact_density(name: str, steps: int) -> None:
    net, optimizer, topology = started(name, steps=steps)
    for number in range(steps):
        step(net, optimizer, topology, number)
    assert masks.density(net) == round(0.2 * SIZE) / SIZE


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("pause", [13, 35])
def test_a_training_resumes_bit_for_bit(name: str, pause: int) -> None:
    net, optimizer, topology = started(name)
    for number in range(pause):
        step(net, optimizer, topology, number)
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict(), topology.state_dict()))
    other, other_optimizer, other_topology = started(name, start=4)  # other first weights, other numbers
    other.load_state_dict(saved[0])
    other_optimizer.load_state_dict(saved[1])
    other_topology.load_state_dict(saved[2])
    for number in range(pause, 40):
        step(net, optimizer, topology, number)
        step(other, other_optimizer, other_topology, number)
    for one, two in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", ["spred", "deep", "l0"])
def test_a_copied_network_is_the_same(name: str) -> None:
    net, optimizer, topology = started(name)
    for number in range(9):
        step(net, optimizer, topology, number)
    copied = copy.deepcopy(net)
    x = torch.ones(2, 2, 8)
    assert torch.equal(copied(x), net(x))
    assert torch.equal(copied.eval()(x), net.eval()(x))


@pytest.mark.parametrize("name", ["spred", "pilot", "deep", "continuous", "l0", "gates"])
def test_the_pull_equals_a_term_in_the_loss(name: str) -> None:
    stepped = []
    for inside in (False, True):
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        topology = sparsify(net, 0.2, RECIPES[name], optimizer=optimizer, steps=40, rng=0)
        topology.unit, topology.level = 0.02, math.log(0.5)
        assert topology.strength == pytest.approx(0.01)
        x, y = torch.randn(8, 2, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
        loss = nn.functional.cross_entropy(net(x), y)
        parts = [(masks.mask_of(layer), layer.parametrizations.weight.original) for layer in masks.layers(net).values()]
        term = sum(0.01 * part.penalty(own) for part, own in parts if hasattr(part, "penalty"))
        assert topology.penalty() == pytest.approx(term.item(), rel=1e-6)
        if inside:
            loss = loss + term
            topology.unit = 1e-30
        loss.backward()
        optimizer.step()
        stepped.append([parameter.detach().clone() for parameter in net.parameters()])
    for one, two in zip(*stepped, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("unscaled", [False, True])
@pytest.mark.parametrize("name", ["spred", "deep", "l0"])
def test_the_pull_has_the_scale_of_the_gradients(name: str, unscaled: bool) -> None:
    """A fused optimizer under GradScaler divides within its step, unless the caller has done so before."""
    found = []
    for scale in (None, 2.0**10):
        net = network()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, fused=True)
        topology = sparsify(net, 0.2, RECIPES[name], optimizer=optimizer, steps=40, rng=0)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        generator = torch.Generator().manual_seed(0)
        for _ in range(10):
            x, y = torch.randn(8, 2, 8, generator=generator), torch.randint(0, 3, (8,), generator=generator)
            scaler.scale(nn.functional.cross_entropy(net(x), y)).backward()
            if unscaled:
                scaler.unscale_(optimizer)
            scaler.step(optimizer), scaler.update(), topology.step(), optimizer.zero_grad()
        assert topology.strength > 0
        found.append([topology.unit, *(parameter.detach().clone() for parameter in net.parameters())])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, two in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_the_controller_by_hand() -> None:
    _, _, topology = started("spred", steps=400)
    assert topology.every == 2
    assert (topology.strength, topology.level) == (0.0, -2.5)  # no unit before the first step
    shares = iter([0.9, 0.9, 0.5, 0.2])
    topology.alive = lambda: next(shares)
    topology.steer(0.8)
    error = math.log(0.9 / 0.8)
    assert topology.level == pytest.approx(-2.5 + min(0.25, 3.004 * error))
    topology.level = -1.0
    topology.steer(0.79)
    after = math.log(0.9 / 0.79)
    assert topology.level == pytest.approx(-1 + 3 * (after - error) + 0.004 * after)
    topology.steer(0.79)  # a fall at once: at most a quarter
    assert topology.level == pytest.approx(-1 + 3 * (after - error) + 0.004 * after - 0.25)
    topology.level, topology.error = 0.0, -5.0
    topology.steer(0.1)
    assert topology.level == 0.0  # bounded


def test_one_unit_balances_the_gradients() -> None:
    net, optimizer, topology = started("spred")
    x, y = torch.randn(8, 2, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    nn.functional.cross_entropy(net(x), y).backward()
    parts = [(masks.mask_of(layer), layer.parametrizations.weight.original) for layer in masks.layers(net).values()]
    pairs = [(p, p.grad.clone()) for part, own in parts for p in (own, part.factor)]
    optimizer.step()
    loss = math.sqrt(sum(float(g.square().sum()) for _, g in pairs))
    net2, _, _ = started("spred")
    values = [
        p.detach()
        for layer in masks.layers(net2).values()
        for p in (layer.parametrizations.weight.original, masks.mask_of(layer).factor)
    ]
    assert topology.unit == pytest.approx(loss / math.sqrt(sum(4 * float(v.square().sum()) for v in values)), rel=1e-5)


@pytest.mark.parametrize("keep", [False, True])
def test_the_penalty_goes_off_at_the_cut_or_stays(keep: bool) -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    chosen = Recipe("x", "", "", topology=Steered, options={"keep": keep}, parameterisation=choices.SPRED)
    topology = sparsify(net, 0.2, chosen, optimizer=optimizer, steps=40, rng=0)
    for number in range(30):
        assert masks.density(net) == 1.0
        step(net, optimizer, topology, number)
    assert masks.density(net) == round(0.2 * SIZE) / SIZE
    assert (topology.strength > 0) == keep
    part, own = masks.mask_of(net[3]), net[3].parametrizations.weight.original
    before = (part.factor.detach().clone(), own.detach().clone())
    optimizer.zero_grad()
    (0 * net(torch.ones(1, 2, 8))).sum().backward()
    optimizer.step()
    shrink = 1 - 2 * 0.05 * topology.strength
    torch.testing.assert_close(part.factor.detach(), before[0] * shrink)
    torch.testing.assert_close(own.detach(), before[1] * shrink)


@pytest.mark.parametrize("name", ["spred", "pilot", "deep", "str", "continuous", "l0"])
def test_the_density_is_led_along_the_schedule(name: str) -> None:
    """Before the cut about as many weights are alive as the schedule wants: within a factor of four."""
    net = drawn(nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 5)), 0.2)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    topology = sparsify(net, 0.2, RECIPES[name], optimizer=optimizer, steps=800, rng=0)
    x = torch.randn(400, 20, generator=generator)
    y = x[:, :5].argmax(1)
    for number in range(799):
        rows = slice(number % 8 * 50, number % 8 * 50 + 50)
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
        if topology.steps_done == topology.last - 1:
            assert 0.2 / 4 < topology.alive() < 0.2 * 4
    assert masks.density(net) == 0.2
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.8


def test_soft_thresholds_follow_the_schedule_to_the_weight() -> None:
    net, optimizer, topology = started("str", 0.1)
    for number in range(30):
        before = topology.steps_done
        step(net, optimizer, topology, number)
        if 4 < before + 1 < 30:
            wanted = round(topology.density_at(before + 1) * SIZE)
            assert abs(sum(int(layer.weight.count_nonzero()) for layer in masks.layers(net).values()) - wanted) <= 2


def test_top_k_holds_the_largest_of_all_weights_at_every_step() -> None:
    net, optimizer, topology = started("top-k", 0.3, layout="global")
    parts = [masks.mask_of(layer) for layer in masks.layers(net).values()]
    changed = False
    for number in range(40):
        before = [part.mask.clone() for part in parts]
        step(net, optimizer, topology, number)
        sizes = torch.cat([part.reserve.detach().abs().flatten() for part in parts])
        kept = torch.cat([part.mask.flatten() for part in parts])
        assert int(kept.sum()) == round(0.3 * SIZE)
        assert sizes[kept].min() >= sizes[~kept].max()
        assert masks.density(net) == round(0.3 * SIZE) / SIZE
        changed |= any(not torch.equal(one, part.mask) for one, part in zip(before, parts, strict=True))
    assert changed


def test_top_k_passes_the_gradient_of_the_sparse_network_to_all_weights() -> None:
    net, _, _ = started("top-k", 0.3)
    twin = bake(copy.deepcopy(net))
    x, y = torch.randn(8, 2, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    nn.functional.cross_entropy(net(x), y).backward()
    nn.functional.cross_entropy(twin(x), y).backward()
    for one, two in zip(masks.layers(net).values(), masks.layers(twin).values(), strict=True):
        torch.testing.assert_close(masks.mask_of(one).reserve.grad, two.weight.grad)
        assert one.parametrizations.weight.original.grad is None


def test_gates_on_inputs_take_whole_columns() -> None:
    net = drawn(nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3)), 0.2)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    topology = sparsify(net, 0.04, RECIPES["gates"], optimizer=optimizer, steps=600, rng=0)
    x = torch.randn(400, 30, generator=generator)
    y = x[:, :3].argmax(1)
    for _ in range(600):
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
    used = masks.masks(net)["0"].any(0)
    assert used[:3].all()
    assert int(used.sum()) <= 8


def test_plain_masks_cannot_be_steered() -> None:
    for kind, options, message in (
        (Steered, {}, "nothing to steer"),
        (Raised, {}, "nothing to steer"),
        (TopK, {"score": "magnitude"}, "out of use"),
    ):
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with pytest.raises(UserError, match=message):
            sparsify(net, 0.2, Recipe("x", "", "", topology=kind, **options), optimizer=optimizer, steps=10)
