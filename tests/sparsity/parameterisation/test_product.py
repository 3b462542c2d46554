"""Oracles: algebra of θ = m · w (balance, reset formula), the small-step limit, finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.parameterisation.product import Product, balanced_factor


def factors(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return masks.mask_of(layer).factor, layer.parametrizations.weight.original


def started(steps: int = 40, lr: float = 0.1, density: float = 0.5, **options: float) -> tuple:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    before = {name: layer.weight.detach().clone() for name, layer in masks.layers(net).items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, **options)
    topology = sparsify(net, density, "sign-in", optimizer=optimizer, steps=steps, rng=0)
    return net, optimizer, topology, before


def step(net: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("beta", [1e-3, 1.0, 7.0])
def test_factors_solve_both_equations(beta: float) -> None:
    theta = torch.cat([-torch.logspace(-6, 3, 40), torch.zeros(1), torch.logspace(-6, 3, 40)]).double()
    m = balanced_factor(theta, beta)
    w = theta / m
    torch.testing.assert_close(m**2 - w**2, torch.full_like(theta, beta), rtol=1e-6, atol=1e-6 * beta)
    assert (m > 0).all()
    assert balanced_factor(torch.tensor(0.0), beta).item() == pytest.approx(math.sqrt(beta))
    # θ = √2, β = 1: m² = 2, w² = 1
    assert balanced_factor(torch.tensor(math.sqrt(2)), 1.0).item() == pytest.approx(math.sqrt(2))


def test_the_start_is_the_weight_that_was_there_with_balance_one() -> None:
    net, _, _, before = started()
    for name, layer in masks.layers(net).items():
        mask = masks.masks(net)[name]
        torch.testing.assert_close(layer.weight, before[name] * mask, rtol=1e-6, atol=1e-7)
        m, w = factors(layer)
        torch.testing.assert_close((m**2 - w**2)[mask], torch.ones(int(mask.sum())), rtol=1e-5, atol=1e-5)
        assert not m[~mask].any()
        assert not w[~mask].any()


def test_a_reset_moves_the_factors_and_not_the_weight() -> None:
    net, optimizer, topology, _ = started(lr=0.5)
    topology.controls[0].every = 10**9
    for number in range(20):
        step(net, optimizer, number)
        topology.step()
    drift = max(
        float((m.detach() ** 2 - w.detach() ** 2 - 1)[m != 0].abs().max())
        for m, w in map(factors, masks.layers(net).values())
    )
    assert drift > 0.01  # large steps do move the balance
    before = [layer.weight.detach().clone() for layer in masks.layers(net).values()]
    topology.controls[0].every = 1
    topology.step()
    for layer, theta in zip(masks.layers(net).values(), before, strict=True):
        mask = masks.mask_of(layer).mask
        assert (layer.weight - theta).abs().max() < 1e-6
        m, w = factors(layer)
        assert (m**2 - w**2 - 1)[mask].abs().max() < 1e-5
        assert not m[~mask].any()


def test_resets_come_every_fortieth_of_the_training() -> None:
    net, optimizer, topology, _ = started(steps=200, lr=0.3)
    assert topology.controls[0].every == 5
    for number in range(1, 21):
        m, _ = factors(net[0])
        step(net, optimizer, number)
        before = m.detach().clone()
        topology.step()
        assert torch.equal(m, before) == (number % 5 != 0)


def test_plain_small_steps_conserve_the_balance() -> None:
    net, optimizer, _, before = started(lr=1e-3)
    for number in range(300):
        step(net, optimizer, number)
    moved = 0.0
    for name, layer in masks.layers(net).items():
        mask = masks.masks(net)[name]
        m, w = factors(layer)
        assert (m**2 - w**2 - 1)[mask].abs().max() < 1e-3
        moved = max(moved, float((layer.weight.detach() - before[name])[mask].abs().max()))
    assert moved > 0.02  # while the weights did go somewhere


def test_a_small_step_moves_theta_by_the_metric() -> None:
    """dθ = −√(4θ² + β²) · g dt, in float64 so that the limit is seen."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(5, 7, generator=generator, dtype=torch.float64) * 2
    pull = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    for beta in (0.3, 1.0):
        layer = nn.Linear(7, 5, bias=False, dtype=torch.float64)
        masks.write_weight_(layer, theta)
        product = Product(torch.ones(5, 7, dtype=torch.bool), layer.weight, beta)
        masks.attach_(layer, product)
        rate, before = 1e-7, layer.weight.detach().clone()
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
        (layer.weight * pull + layer.weight**2).sum().backward()
        optimizer.step()
        g = pull + 2 * theta
        expected = -(4 * theta**2 + beta**2).sqrt() * g
        torch.testing.assert_close((layer.weight.detach() - before) / rate, expected, rtol=1e-5, atol=1e-5)


def test_signs_can_flip() -> None:
    layer = nn.Linear(1, 1, bias=False)
    masks.write_weight_(layer, torch.tensor([[0.5]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    topology = sparsify(layer, 1.0, "sign-in", optimizer=optimizer, steps=400)
    for _ in range(400):
        optimizer.zero_grad()
        (layer.weight + 0.5).square().sum().backward()
        optimizer.step(), topology.step()
    assert layer.weight.item() == pytest.approx(-0.5, abs=1e-3)


def test_factors_join_the_group_of_their_weight_without_decay() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(
        [
            {"params": net[0].parameters(), "lr": 0.1, "weight_decay": 0.3},
            {"params": net[2].parameters(), "lr": 0.2, "betas": (0.5, 0.6)},
        ]
    )
    sparsify(net, 0.5, "sign-in", optimizer=optimizer, steps=10, rng=0)
    one, two = optimizer.param_groups[2:]
    assert one["params"] == [masks.mask_of(net[0]).factor]
    assert (one["lr"], one["weight_decay"]) == (0.1, 0.0)
    assert two["params"] == [masks.mask_of(net[2]).factor]
    assert (two["lr"], two["betas"], two["weight_decay"]) == (0.2, (0.5, 0.6), 0.0)


SCHEDULERS = {
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, [lambda t: 1 / (t + 1), lambda t: 1 / (t + 2)]),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, [0.05, 0.1], [0.1, 0.2], 4, cycle_momentum=False),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, [0.1, 0.2], total_steps=12),
    "warm-up": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, 8),
        ],
        [3],
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_factors_follow_the_schedule_of_their_weight(name: str) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD([{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}], lr=0.2)
    scheduler = SCHEDULERS[name](optimizer)
    topology = sparsify(net, 0.5, "sign-in", optimizer=optimizer, scheduler=scheduler, steps=10, rng=0)
    seen = set()
    for number in range(10):
        step(net, optimizer, number)
        scheduler.step(), topology.step()
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates[2:] == pytest.approx(rates[:2], rel=1e-12)
        seen.add(round(rates[0], 9))
    assert len(seen) > 2
