"""Oracles: two trainings one after the other, the second without decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.steps import HAM, DecayOff

RECIPE = Recipe("decay-off", "decay switch-off", "arXiv:2504.12883", optimizer_steps=(DecayOff,))


def started(steps: int = 20) -> tuple:
    net = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    groups = [{"params": net[0].parameters(), "weight_decay": 0.5}, {"params": net[1].parameters()}]
    optimizer = HAM(torch.optim.SGD(groups, lr=0.1, weight_decay=0.2), alpha=0.0, beta=0.0)
    return net, optimizer, sparsify(net, 0.5, RECIPE, optimizer=optimizer, steps=steps, rng=0)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, topology: object, steps: int) -> list[list[float]]:
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.ones(1, 4)).square().sum().mul(0.0).backward()  # nothing but decay moves the weights
        optimizer.step()
        topology.step()
        seen.append([group["weight_decay"] for group in optimizer.param_groups])
    return seen


def test_decay_stops_half_way() -> None:
    net, optimizer, topology = started()
    before = [layer.weight.detach().clone() for layer in net]
    seen = train(net, optimizer, topology, 20)
    assert seen == [[0.5, 0.2]] * 9 + [[0.0, 0.0]] * 11
    for layer, start, decay in zip(net, before, (0.5, 0.2), strict=True):
        torch.testing.assert_close(layer.weight.detach(), start * (1 - 0.1 * decay) ** 10)


@pytest.mark.parametrize("at", [4, 9, 10, 15])
def test_a_checkpoint_brings_decay_back_or_keeps_it_off(at: int) -> None:
    net, optimizer, topology = started()
    train(net, optimizer, topology, at)
    held = net.state_dict(), optimizer.state_dict(), topology.state_dict()
    other_net, other, resumed = started()
    train(other_net, other, resumed, 15 if at < 10 else 0)  # one that has switched off goes back
    other_net.load_state_dict(held[0])
    other.load_state_dict(held[1])
    resumed.load_state_dict(held[2])
    assert train(other_net, other, resumed, 20 - at) == train(net, optimizer, topology, 20 - at)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other_net.parameters(), strict=True))


def test_the_state_is_plain() -> None:
    _, _, topology = started()
    assert topology.state_dict() == {"steps_done": 0, "control.0.off": False, "control.0.decays": [0.5, 0.2]}


@pytest.mark.parametrize(("after", "expected"), [(0.0, 0), (0.25, 5), (1.0, 20)])
def test_the_fraction(after: float, expected: int) -> None:
    net, optimizer, _ = started()
    control = DecayOff(Setting(net, optimizer=optimizer, steps=20), after=after)
    assert control.last == expected
    assert control.off == (expected == 0)
    assert optimizer.param_groups[0]["weight_decay"] == (0.0 if expected == 0 else 0.5)


def test_bad_use() -> None:
    net = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UserError, match="fraction"):
        DecayOff(Setting(net, optimizer=optimizer, steps=10), after=1.5)
    with pytest.raises(UserError, match="number of training steps"):
        DecayOff(Setting(net, optimizer=optimizer))
    with pytest.raises(UserError, match="needs the optimizer"):
        DecayOff(Setting(net, steps=10))
    with pytest.raises(UserError, match="no weight decay"):
        DecayOff(Setting(net, optimizer=torch.optim.LBFGS(net.parameters()), steps=10))
