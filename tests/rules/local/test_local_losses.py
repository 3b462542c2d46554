"""Oracles: autograd of each block's own loss, written out; the read-outs' steps by a twin of their optimiser."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.local import LocalLosses

cross_entropy = nn.functional.cross_entropy


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_block_follows_its_own_loss_and_read_outs_too(optimizer: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5), nn.Tanh(),
        nn.Linear(5, 4),
    ).double()  # fmt: skip
    x, y = draw(6, 1, 6, 6), torch.tensor([0, 1, 2, 3, 0, 1])
    rule = LocalLosses(rate=0.01, optimizer=optimizer, rng=0)
    first = rule(net, cross_entropy, x, y)
    torch.testing.assert_close(first, cross_entropy(net(x), y).detach())
    for _ in range(2):
        net.zero_grad()
        readouts = {name: [part.detach().clone() for part in pair] for name, pair in rule.readouts.items()}
        rule(net, cross_entropy, x, y)
        inputs = [x, net[:2](x).detach(), net[:5](x).detach(), net[:7](x).detach()]
        outputs = [net[:2](inputs[0]), net[2:5](inputs[1]), net[5:7](inputs[2]), net[7](inputs[3])]
        pooled = [outputs[0].mean((2, 3)), outputs[1], outputs[2]]  # the second block flattens: no maps are left
        for (weight, bias), features, layer in zip(readouts.values(), pooled, (net[0], net[2], net[5]), strict=True):
            loss = cross_entropy(features @ weight.T + bias, y)
            for parameter in (layer.weight, layer.bias):
                expected = torch.autograd.grad(loss, parameter, retain_graph=True)[0]
                torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)
        expected = torch.autograd.grad(cross_entropy(outputs[3], y), net[7].weight)[0]
        torch.testing.assert_close(net[7].weight.grad, expected, rtol=1e-12, atol=1e-14)
        if optimizer == "sgd":
            weight, bias = (part.requires_grad_() for part in readouts["5"])
            steps = torch.autograd.grad(cross_entropy(outputs[2].detach() @ weight.T + bias, y), (weight, bias))
            for old, step, new in zip((weight, bias), steps, rule.readouts["5"], strict=True):
                torch.testing.assert_close(new, old - 0.01 * step)
    assert list(rule.readouts) == ["0", "2", "5"]
    assert all(part.grad is None for pair in rule.readouts.values() for part in pair)


def test_read_outs_learn_while_the_network_rests() -> None:
    net = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 2)).double()
    x = draw(50, 4)
    y = (x[:, 0] > 0).long()
    rule = LocalLosses(rate=0.02, rng=0)
    for _ in range(200):
        rule(net, cross_entropy, x, y)
    weight, bias = rule.readouts["0"]
    assert cross_entropy(net[:2](x) @ weight.T + bias, y) < 0.2 < math.log(2)


def test_the_budget_by_hand() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    rule = LocalLosses(rng=0)
    for _ in range(2):
        rule(net, nn.functional.mse_loss, torch.ones(7, 6), torch.ones(7, 2))
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries, budget.forward_passes) == (2, 14, 6, 6)
    assert budget.random_bits == 32 * ((5 * 2 + 2) + (4 * 2 + 2))


def test_outputs_of_any_shape_are_read() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))
    LocalLosses(rng=0)(net, nn.functional.mse_loss, torch.ones(5, 3), torch.ones(5, 2, 3))
    assert net[0].weight.grad.any()


def test_options_and_other_networks_are_refused() -> None:
    with pytest.raises(UserError, match="rate"):
        LocalLosses(rate=0)
    with pytest.raises(UserError, match="'lion'"):
        LocalLosses(optimizer="lion")
    rule = LocalLosses(rng=0)
    rule(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), nn.functional.mse_loss, torch.ones(2, 3), torch.ones(2, 1))
    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    with pytest.raises(UserError, match="layer '0'"):
        rule(other, nn.functional.mse_loss, torch.ones(2, 3), torch.ones(2, 1))
