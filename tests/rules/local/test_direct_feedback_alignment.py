"""Oracles: autograd, with the true products of the Jacobians as feedback; the update written out by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.local import DirectFeedbackAlignment

mse = nn.functional.mse_loss


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def exact(net: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    twin = copy.deepcopy(net)
    mse(twin(x), y).backward()
    return [p.grad for p in twin.parameters()]


def test_with_true_jacobians_it_is_autograd_on_linear_networks() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 2)).double()
    x, y = draw(7, 6), draw(7, 2, number=1)
    rule = DirectFeedbackAlignment(rng=0)
    rule.feedback = {"1": net[2].weight.detach().clone(), "0": (net[2].weight @ net[1].weight).detach()}
    rule(net, mse, x, y)
    for parameter, expected in zip(net.parameters(), exact(net, x, y), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)
    assert rule.budget.random_bits == 0  # nothing had to be drawn


def test_with_true_jacobians_it_is_autograd_on_linear_convolutions() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(9, 2, bias=False))
    net = nn.Sequential(net, nn.Linear(2, 2, bias=False)).double()
    x, y = draw(5, 2, 8), draw(5, 2, number=1)
    rule = DirectFeedbackAlignment(rng=0)
    rule.feedback = {"0.3": net[1].weight.detach().clone(), "0.0": (net[1].weight @ net[0][3].weight).detach()}
    rule(net, mse, x, y)
    for parameter, expected in zip(net.parameters(), exact(net, x, y), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)


def test_the_update_by_hand() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x, y = draw(7, 6), draw(7, 2, number=1)
    rule = DirectFeedbackAlignment(rng=0)
    loss = rule(net, mse, x, y)
    with torch.no_grad():
        h1 = net[0](x).tanh()
        a2 = net[2](h1)
        e = 2 * (net[4](a2.relu()) - y) / y.numel()
        d2 = (e @ rule.feedback["2"]) * (a2 > 0)
        d1 = (e @ rule.feedback["0"]) * (1 - h1**2)
    torch.testing.assert_close(net[4].weight.grad, e.T @ a2.relu())
    torch.testing.assert_close(net[2].weight.grad, d2.T @ h1)
    torch.testing.assert_close(net[0].weight.grad, d1.T @ x)
    torch.testing.assert_close(net[0].bias.grad, d1.sum(0))
    torch.testing.assert_close(loss, mse(net(x), y).detach())


def test_feedback_keeps_the_size_of_an_error() -> None:
    net = nn.Sequential(nn.Linear(3, 400), nn.Linear(400, 50))
    for scale, size in ((None, 1 / math.sqrt(50)), (0.3, 0.3)):
        rule = DirectFeedbackAlignment(scale=scale, rng=0)
        rule(net, mse, torch.ones(2, 3), torch.ones(2, 50))
        assert abs(float(rule.feedback["0"].std()) / size - 1) < 4 / math.sqrt(2 * 20000)


def test_the_budget_by_hand() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    rule = DirectFeedbackAlignment(rng=0)
    for _ in range(2):
        rule(net, mse, torch.ones(7, 6), torch.ones(7, 2))
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries, budget.forward_passes) == (2, 14, 2, 6)
    assert budget.random_bits == 32 * (2 * 5 + 2 * 4)


def test_a_frozen_last_block_still_has_an_error() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, y = draw(5, 3), draw(5, 1, number=1)
    found = []
    for frozen in (False, True):
        net.zero_grad()
        net[2].requires_grad_(not frozen)
        DirectFeedbackAlignment(rng=0)(net, mse, x, y)
        found.append(net[0].weight.grad.clone())
    assert torch.equal(*found)
    assert net[2].weight.grad is None


def test_sizes_that_change_are_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    net = nn.Sequential(nn.Conv1d(1, 2, 1), net)
    rule = DirectFeedbackAlignment(rng=0)
    rule(net, mse, torch.ones(2, 1, 6), torch.ones(2, 2))
    with pytest.raises(UserError, match="layer '0'"):
        rule(net, mse, torch.ones(2, 1, 7), torch.ones(2, 2))
